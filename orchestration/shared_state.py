"""Shared state: what is read and appended for each call, without doing it. Pure.

A key's changes are the stream `state.<namespace>.<key>`, so that keys never conflict with each other, the version of
the stream is the version of the key, and reading one is one look-up however long its history is. Calls are generators:
they yield `Newest`, which is answered with events, and `Write`, which is answered with the event or raises
VersionConflict. `twelvefold/shared_state.py` and `async_shared_state.py` answer over the bus, `agents/shared_state.py`
inside a task.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Generator, Sequence
from typing import Any

import msgspec

from ..eventstore.errors import VersionConflict
from ..eventstore.event import Event, NewEvent, new_event
from ..eventstore.names import is_name
from ..projections.shared_state import DELETED, PUT, Entry, entry_of, newest
from .state_errors import StateNameInvalid

#: Events of a key that are looked at, newest first: the first tells, unless somebody else wrote into its stream.
_LOOKS = (1, 100, 100_000)
_NAMESPACE = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_KEY_LENGTH_MAX = 1000
#: A longer key stands in its stream's name by its hash.
_PLAIN_LENGTH_MAX = 160


class Newest(msgspec.Struct, frozen=True):
    """Wanted: the last `limit` events of a stream, the newest first."""

    stream: str
    limit: int


class Write(msgspec.Struct, frozen=True):
    """To be appended, where its stream is at the expected version (at any, where there is none)."""

    event: NewEvent
    expected: int | None = None


#: One call: what it asks for, what it is answered with, what it returns.
Steps = Generator[Newest | Write, Any, Entry]


def answered(
    steps: Steps, last: Callable[[str, int], Sequence[Event]], append: Callable[[NewEvent, dict[str, int]], Event]
) -> Entry:
    """Carry a call out by blocking functions: `last(stream, limit)`, the newest first, and `append(event, expected)`.

    What `append` raises but VersionConflict, which the call may answer by trying again, is raised.
    """
    answer: Any = None
    raised: VersionConflict | None = None
    while True:
        try:
            step = steps.send(answer) if raised is None else steps.throw(raised)
        except StopIteration as end:
            entry: Entry = end.value
            return entry
        answer, raised = None, None
        if isinstance(step, Newest):
            answer = last(step.stream, step.limit)
            continue
        try:
            answer = append(step.event, expected_of(step))
        except VersionConflict as conflict:
            raised = conflict


def expected_of(step: Write) -> dict[str, int]:
    """Return the expected version of an append; empty where any is right."""
    return {} if step.expected is None else {step.event.stream: step.expected}


def check_namespace(namespace: str) -> str:
    """Return a namespace's name, or raise StateNameInvalid."""
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        raise StateNameInvalid("namespace", str(namespace), "1 to 64 of a-z, 0-9, _ and -, and not - first")
    return namespace


def pattern_of(namespace: str) -> str:
    """Return the pattern under which all streams of a namespace lie."""
    return f"state.{check_namespace(namespace)}.*"


def stream_of(namespace: str, key: str) -> str:
    """Return the stream of a key's changes; raises StateNameInvalid. A key that is no name stands there by its hash."""
    check_namespace(namespace)
    if not isinstance(key, str) or not 0 < len(key) <= _KEY_LENGTH_MAX:
        raise StateNameInvalid("key", str(key)[:80], f"text of 1 to {_KEY_LENGTH_MAX} characters")
    # A name that begins with a hyphen could be another key's hash.
    if len(key) <= _PLAIN_LENGTH_MAX and is_name(key) and not key.startswith("-"):
        return f"state.{namespace}.{key}"
    try:
        text = key.encode()
    except UnicodeEncodeError:
        raise StateNameInvalid("key", ascii(key)[:80], "text that has a UTF-8 form") from None
    return f"state.{namespace}.-{hashlib.sha256(text).hexdigest()[:40]}"


def put_event(namespace: str, key: str, value: Any, **fields: Any) -> NewEvent:
    """Return the event that gives a key a value; raises TypeError where that would be read as another one."""
    stream = stream_of(namespace, key)
    _require_json(msgspec.to_builtins(value, builtin_types=(bytes, bytearray, memoryview), str_keys=False))
    return new_event(PUT, {"key": key, "value": value}, stream=stream, **fields)


def _require_json(value: Any) -> None:
    """Raise TypeError where JSON has no such value: it would be written as text, or as null, and read as that."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for name in one:
                if not isinstance(name, str):
                    raise TypeError(f"a key of a JSON object is text, not {name!r}")
            waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        elif isinstance(one, bytes | bytearray | memoryview):
            raise TypeError("JSON has no bytes; encode them as text first")
        elif isinstance(one, float) and not math.isfinite(one):
            raise TypeError(f"JSON has no number {one}")


def get(namespace: str, key: str) -> Steps:
    """Read a key."""
    stream = stream_of(namespace, key)
    for limit in _LOOKS:
        events: Sequence[Event] = yield Newest(stream, limit)
        found = newest(key, events)
        if found is not None:
            return found if found.exists else Entry(key)
        if len(events) < limit:
            break
    return Entry(key)


def put(event: NewEvent, key: str, expected_version: int | None) -> Steps:
    """Append a `put_event`; where a version is expected, only on top of that one. 0: where the key isn't there."""
    try:
        return _written(key, (yield Write(event, expected_version)))
    except VersionConflict as conflict:
        if expected_version != 0:
            raise
        actual = conflict.actual
    while True:
        # What isn't there may have been there: it was deleted at that version.
        found = yield from get(event.stream.split(".", 2)[1], key)
        if found.exists:
            raise VersionConflict(event.stream, 0, found.version)
        try:
            return _written(key, (yield Write(event, actual)))
        except VersionConflict as conflict:
            actual = conflict.actual


def delete(namespace: str, key: str, expected_version: int | None, **fields: Any) -> Steps:
    """Delete a key, and return what it was: not existing, where there was nothing to delete."""
    stream = stream_of(namespace, key)
    event = new_event(DELETED, {"key": key}, stream=stream, **fields)
    while True:
        found = yield from get(namespace, key)
        if expected_version is not None and found.version != expected_version:
            raise VersionConflict(stream, expected_version, found.version)
        if not found.exists:
            return found
        try:
            yield Write(event, found.version)
        except VersionConflict:
            continue
        return found


def update(namespace: str, key: str, change: Callable[[Any], Any], default: Any, load: Callable[[Any], Any]) -> Steps:
    """Give a key what `change` makes of its value (of `default`, where it isn't there), whoever else does meanwhile."""
    while True:
        found = yield from get(namespace, key)
        value = change(load(found.value) if found.exists else default)
        try:
            return (yield from put(put_event(namespace, key, value), key, found.version))
        except VersionConflict:
            continue


def _written(key: str, event: Event) -> Entry:
    return entry_of(event) or Entry(key, version=event.version)
