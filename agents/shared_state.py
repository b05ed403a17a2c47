"""Shared state inside a task: `context.state(namespace)`, each call an effect.

Owns how `orchestration/shared_state.py` is answered through a task's journal. Keeps: what a task has read or written
is served from the record when the task is delivered again, and a change whose result was not recorded is made once,
as its event has an id that comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ..eventstore.errors import VersionConflict
from ..eventstore.event import Event, NewEvent
from ..eventstore.ids import derived_id
from ..eventstore.large_values import inflate
from ..orchestration import shared_state as calls
from ..orchestration.large_decisions import shrunk
from ..projections.shared_state import Entry

if TYPE_CHECKING:
    from .context import TaskContext


class TaskState:
    """One namespace of state that all processes of a home share, as a task sees it. Made by `context.state`."""

    def __init__(self, context: TaskContext, namespace: str) -> None:
        self.namespace = calls.check_namespace(namespace)
        self._context = context

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key's value, `default` where it isn't there; the same when the task is delivered again."""
        found = self.entry(key)
        return found.value if found.exists else default

    def entry(self, key: str) -> Entry:
        """Return a key's value with its version; version 0 and `exists` False where it isn't there."""
        calls.stream_of(self.namespace, key)  # a wrong key is the caller's fault, and no effect

        def do() -> Entry:
            return self._loaded(self._do(calls.get(self.namespace, key)))

        return self._effect("get", {"key": key}, do, "read")

    def put(self, key: str, value: Any, *, expected_version: int | None = None) -> Entry:
        """Give a key a value; raises VersionConflict where it is not at the expected version (0: not there)."""
        calls.stream_of(self.namespace, key)
        id, cause = self._identity("put", key, expected_version, value)

        def do() -> Entry:
            event = calls.put_event(self.namespace, key, value, id=id, cause=cause, trace=self._context.request.trace)
            return self._loaded(self._do(calls.put(event, key, expected_version)))

        parameters = {"key": key, "value": value, "expected_version": expected_version}
        return self._effect("put", parameters, do, "idempotent")

    def compare_and_set(self, key: str, value: Any, expected_version: int) -> Entry:
        """Do as `put` with an expected version: of writers who saw the same version one succeeds."""
        return self.put(key, value, expected_version=expected_version)

    def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Entry:
        """Give a key what `change` makes of its value (of `default` where it isn't there), losing nobody's change."""
        while True:
            found = self.entry(key)
            try:
                return self.put(key, change(found.value if found.exists else default), expected_version=found.version)
            except VersionConflict:
                continue

    def delete(self, key: str, *, expected_version: int | None = None) -> bool:
        """Delete a key; tell whether it was there. With an `expected_version` only that one: VersionConflict else."""
        stream = calls.stream_of(self.namespace, key)
        id, cause = self._identity("delete", key, expected_version, None)

        def do() -> Entry:
            last = self._context.journal.newest(stream, 1)
            if last and last[0].id == id:
                return Entry(key, exists=True)  # deleted by this very call, before its result could be recorded
            return self._do(calls.delete(self.namespace, key, expected_version, id=id, cause=cause))

        parameters = {"key": key, "expected_version": expected_version}
        return self._effect("delete", parameters, do, "idempotent").exists

    def _effect(self, name: str, parameters: dict[str, Any], do: Callable[[], Entry], effect: Any) -> Entry:
        named = {"namespace": self.namespace, **parameters}
        found: Entry = self._context.effect("value", f"state.{name}", named, do, effect=effect, result=Entry)
        return found

    def _identity(self, what: str, key: str, expected: int | None, value: Any) -> tuple[bytes, bytes]:
        """Return id and cause of a change: the same when this call is made again after a crash, and for no other."""
        request = self._context.request
        text = msgspec.json.encode([self.namespace, what, key, expected, value], order="sorted").decode()
        nth = self._context.nth_equal(text)
        return derived_id(request.run, request.path, f"{request.id.hex()}:state:{text}", nth), request.id

    def _do(self, steps: calls.Steps) -> Entry:
        journal = self._context.journal

        def append(event: NewEvent, expected: dict[str, int]) -> Event:
            return journal.append(shrunk([event], journal.put_blob), expected_version=expected)[0]

        return calls.answered(steps, journal.newest, append)

    def _loaded(self, entry: Entry) -> Entry:
        return msgspec.structs.replace(entry, value=inflate(entry.value, self._context.journal.get_blob))
