"""What comes of running a handler again: a difference from the record, or a reason why nothing can be said.

Also how two payloads are compared. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...eventstore.event import Event
from ..faults import Unwinding


class Found(msgspec.Struct, frozen=True):
    """The first place at which what today's code does differs from what was recorded.

    `position` and `event` are those of the recorded event at which they part; `field` is a field of it (`type`,
    `data.value.total`), `effect` where a call differs, `fact` where an emitted event does. `recorded` is what stands
    there in the log, `today` what today's code does. `note` says more where there is more to say, in a sentence.
    """

    position: int
    event: str
    field: str
    recorded: Any
    today: Any
    note: str = ""


class Rerun(msgspec.Struct, frozen=True):
    """What came of one task: `ok` where today's code does what was recorded, as far as the record goes.

    `different` has a `found`; `unloadable` (its code), `lacking` (its files, or a record that can be read) and `stuck`
    (it came to no end) say why in `problem`. `served` counts the effects that were served. `code` is today's version.
    `steady` is false where today's code, run twice, does not even do the same as itself.
    """

    status: str
    found: Found | None = None
    problem: str = ""
    served: int = 0
    code: str = ""
    steady: bool = True


class Parted(Unwinding):
    """Ends a handler at the first difference. No Exception, so that no handler takes it for one of its own."""

    def __init__(self, found: Found) -> None:
        super().__init__(found.field)
        self.found = found


class RecordEnds(Unwinding):
    """Ends a handler where nothing more is recorded of a task that never came to its end."""


def at(event: Event, field: str, recorded: Any, today: Any, note: str = "") -> Found:
    """Return a difference at a recorded event."""
    return Found(event.position, event.type, field, recorded, today, note)


def first_difference(recorded: Any, today: Any, place: str) -> tuple[str, Any, Any] | None:
    """Return the first place at which two JSON-like values differ, and what stands there in each."""
    if isinstance(recorded, Mapping) and isinstance(today, Mapping):
        for key in [*recorded, *(key for key in today if key not in recorded)]:
            if key not in recorded or key not in today:
                return f"{place}.{key}", recorded.get(key), today.get(key)
            if found := first_difference(recorded[key], today[key], f"{place}.{key}"):
                return found
        return None
    if isinstance(recorded, list) and isinstance(today, list):
        for n, (one, other) in enumerate(zip(recorded, today, strict=False)):
            if found := first_difference(one, other, f"{place}[{n}]"):
                return found
        n = min(len(recorded), len(today))
        if len(recorded) == len(today):
            return None
        return f"{place}[{n}]", next(iter(recorded[n:]), None), next(iter(today[n:]), None)
    return None if type(recorded) is type(today) and recorded == today else (place, recorded, today)
