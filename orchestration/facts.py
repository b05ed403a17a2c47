"""Events of a run as the fold reads them: decoded once, with the path of the task that they are about.

Owns that reading, which never fails on what a client or an agent wrote: what has a wrong shape counts as absent. Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..eventstore.event import Event
from ..eventstore.large_values import Load, may_hold, size_held

#: Events of whose values the state keeps nothing, so that no blob is loaded for them.
_LEFT_OUT = frozenset({"task.requested", "effect.completed"})
#: Up to so many bytes an input counts as small.
SMALL_SIZE_MAX = 1024


class Fact(msgspec.Struct, frozen=True, gc=False):
    """An event of a run as `evolve` needs it: its payload decoded once, and the path of the task that it is about.

    `position` is its place in the log; of a decision, that of the input which it answers. `size` is what an input
    takes of the memory that a run may hold, in bytes of JSON text; 0 where that is little.
    """

    type: str
    data: dict[str, Any]
    path: str = ""
    id: bytes = b""
    position: int = 0
    time: int = 0
    cause: bytes = b""
    trace: str = ""
    decided: bool = False
    size: int = 0


def fact_of(event: Event, load: Load | None = None) -> Fact:
    """Decode an event once; a payload that is no object, or was forgotten, counts as an empty one.

    `load` puts in what the payload holds as blobs; what it can't load stays a reference.
    """
    decided = event.seen > 0 and event.stream.startswith("run.")
    size = 0
    try:
        data, payload = event.data, event.payload or ""
        if event.type not in _LEFT_OUT:
            size = len(payload)
            if load is not None and may_hold(payload):
                size += size_held(data)
                data = load(data)
    except (msgspec.DecodeError, RecursionError):
        data = None
    if not isinstance(data, dict):
        data = {}
    if event.stream.startswith("task."):
        path = event.stream.split(".", 2)[-1]
    else:
        path = data.get("path", "") if isinstance(data.get("path"), str) else ""
    return Fact(
        event.type,
        data,
        path,
        event.id,
        event.seen if decided else event.position,
        event.time,
        event.cause,
        event.trace,
        decided,
        size if size > SMALL_SIZE_MAX and not decided else 0,
    )


def run_of(event: Event) -> str:
    """Return the id of the run that an event belongs to, "" if none."""
    if event.run:
        return event.run
    family, _, rest = event.stream.partition(".")
    return rest.partition(".")[0] if family in ("run", "task", "request") else ""


def number(value: Any) -> float | None:
    """Return a number that is neither negative nor beyond all bounds, None for anything else."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    return float(value) if fits else None


def text(value: Any) -> str:
    """Return a text, "" for anything that isn't one: what agents and clients write may be of any shape."""
    return value if isinstance(value, str) else ""
