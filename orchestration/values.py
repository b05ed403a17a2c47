"""References to values of earlier steps inside a task's input, and their resolution.

`{"$from": "fix", "key": "commit"}` stands for the field `commit` of the value of the step named `fix`; `$from` may
also be a path (`0.1`), `input`, the run's own input, or what the pattern around binds (`item`); `key` may be a list for
nested fields, and is left out for the whole value; `default` stands in where there is none. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ..eventstore.large_values import LOADED_BYTES_MAX, is_reference

#: The name under which the run's own input is referred to.
INPUT = "input"
#: Names that patterns bind for the plans inside them: no step can have them.
BOUND = frozenset({"item", "index", "items", "round", "feedback"})
_PATH = re.compile(r"\d+(?:\.(?:\d+|undo))*")
_KEYS = frozenset({"$from", "key", "default"})


class Reference(msgspec.Struct, frozen=True):
    """One `$from`: exactly one of name and path is set; `keys` lead from the step's value to the one meant."""

    name: str
    path: str
    keys: tuple[str | int, ...]
    default: Any = msgspec.UNSET


class ReferenceInvalid(ValueError):
    """A `$from` (or a number) that can't be understood, with the place of it in the input."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class Absent(msgspec.Struct, frozen=True):
    """Why a reference has no value: `idle` if the step had nothing to do, else the problem in words.

    `unread`: it may have one, which isn't at hand.
    """

    problem: str
    idle: bool = False
    unread: bool = False


def references(value: Any, place: str = "") -> Iterator[tuple[str, Reference]]:
    """Yield each reference in an input with its place; raises ReferenceInvalid, also for what JSON has no word for."""
    if isinstance(value, dict):
        if "$from" in value:
            yield place, _reference(value, place)
            return
        for key, inner in value.items():
            yield from references(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for n, inner in enumerate(value):
            yield from references(inner, f"{place}[{n}]")
    elif isinstance(value, float) and not math.isfinite(value):
        # It would be written as null, and agents would get that.
        raise ReferenceInvalid(place, f"JSON has no number {value}")


def resolve(value: Any, look_up: Callable[[Reference], Any], *, lenient: bool = False) -> Any:
    """Return the input with each reference replaced by what `look_up` says, or the first Absent.

    `look_up` returns the whole value of the step, or Absent; keys and defaults are applied here. `lenient` puts None
    where a value is absent.
    """
    if isinstance(value, dict):
        if "$from" in value:
            reference = _reference(value, "")
            found = pick(reference, look_up(reference))
            return None if lenient and isinstance(found, Absent) and not found.unread else found
        resolved: dict[Any, Any] = {}
        for key, inner in value.items():
            resolved[key] = found = resolve(inner, look_up, lenient=lenient)
            if isinstance(found, Absent):
                return found
        return resolved
    if isinstance(value, list | tuple):
        items = []
        for inner in value:
            found = resolve(inner, look_up, lenient=lenient)
            if isinstance(found, Absent):
                return found
            items.append(found)
        return items
    return value


def pick(reference: Reference, value: Any) -> Any:
    """Follow a reference's keys into a value; Absent, or the default, where they lead nowhere."""
    for key in reference.keys:
        if isinstance(value, Absent):
            break
        if is_reference(value):
            # What it would be is not known, so that no default stands in for it.
            name = reference.name or reference.path
            return Absent(f"there is no looking for {key!r} in the value of {name}: it {unread(value)}", unread=True)
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            value = Absent(f"the value of {reference.name or reference.path!s} has no {key!r}")
    if isinstance(value, Absent) and reference.default is not msgspec.UNSET:
        return reference.default
    return value


def unread(reference: dict[str, Any]) -> str:
    """Say of a value that is still a reference to a blob why nobody can look into it."""
    size, sha256 = reference["size"], reference["blob"]
    if size > LOADED_BYTES_MAX:
        return f"is a blob of {size} bytes ({sha256}), more than the {LOADED_BYTES_MAX} that are loaded"
    return f"is the blob {sha256}, which is missing, damaged or no JSON"


def _reference(value: dict[str, Any], place: str) -> Reference:
    source, key = value["$from"], value.get("key", ())
    unknown = sorted(str(name) for name in value.keys() - _KEYS)
    if unknown:
        raise ReferenceInvalid(place, f"a `$from` has no {unknown[0]!r}, only `key` and `default`")
    if not isinstance(source, str):
        raise ReferenceInvalid(place, "`$from` must be the name or the path of a step")
    keys = tuple(key) if isinstance(key, list | tuple) else (key,)
    if not all(isinstance(part, str | int) for part in keys):
        raise ReferenceInvalid(place, "`key` must be a field's name, or a list of names and indexes")
    is_path = _PATH.fullmatch(source) is not None
    return Reference(
        name="" if is_path else source,
        path=source if is_path else "",
        keys=keys,
        default=value.get("default", msgspec.UNSET),
    )
