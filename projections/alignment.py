"""Which event of one run answers to which of another: each has a place that doesn't depend on the run it is in.

A place is where the chain of causes has put an event: the path of its task, the request of that task which it belongs
to, what it is, and the how manieth of its kind there. So runs align however their tasks were interleaved, and after one
has done more than the other. Owns places, and which events say only how the work was carried out (progress, who took
it, folders that came and went), which no two runs share. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..eventstore.event import Event

#: Says how work was carried out, not what came of it.
_CARRYING = frozenset({"task.progressed", "workspace.fetched", "workspace.removed", "timer.set", "timer.cancelled"})
#: Of these only the first of a request counts: the others tell of a delivery that was repeated.
_ONCE = frozenset({"task.started", "workspace.created"})
#: Values that agents record of the clock: two runs can't have the same.
_CLOCKS = frozenset({"time_s", "time", "now", "time_ns", "time_ms", "timestamp"})


class Place(msgspec.Struct, frozen=True, order=True):
    """Where an event stands in its run. `path` is "" for what belongs to no task, `n` counts from 0."""

    path: str
    request: int
    what: str
    n: int

    def __str__(self) -> str:
        number = f" ({self.n + 1})" if self.n else ""
        return f"{self.path} {self.what}{number}".strip()


class Pair(msgspec.Struct, frozen=True):
    """What stands at one place in two runs; None where one of them has nothing there."""

    place: Place
    a: Event | None
    b: Event | None


def merge(a: dict[Place, Event], b: dict[Place, Event]) -> list[Pair]:
    """Pair what stands at the same places, in the order of the first run.

    What only the second has comes after what came before it there.
    """
    extra: dict[Place | None, list[Place]] = {}
    last: Place | None = None
    for place in b:
        if place in a:
            last = place
        else:
            extra.setdefault(last, []).append(place)
    found = [Pair(place, None, b[place]) for place in extra.get(None, ())]
    for place, event in a.items():
        found.append(Pair(place, event, b.get(place)))
        found += [Pair(other, None, b[other]) for other in extra.get(place, ())]
    return found


def shared(a: Sequence[Event], b: Sequence[Event]) -> int:
    """Return how many events two runs begin with in common, as a fork does with its parent."""
    count = 0
    for one, other in zip(a, b, strict=False):
        if one.position != other.position or one.hash != other.hash:
            break
        count += 1
    return count


def places_of(events: Iterable[Event], skip: int = 0) -> dict[Place, Event]:
    """Return the events of a run by their places, in order, without the first `skip`; those that only carry are left
    out.
    """
    placing = _Placing()
    found: dict[Place, Event] = {}
    for number, event in enumerate(events):
        place = placing.place(event)
        if place is not None and number >= skip:
            found[place] = event
    return found


class _Placing:
    """How far places are given out. An event of a task names its request as its cause."""

    def __init__(self) -> None:
        self._requests: dict[bytes, tuple[str, int]] = {}
        self._last: dict[str, int] = {}
        self._seen: Counter[tuple[str, int, str]] = Counter()

    def place(self, event: Event) -> Place | None:
        data: Any = event.data if event.payload is not None else None
        facts: dict[str, Any] = data if isinstance(data, dict) else {}
        family = event.stream.partition(".")[0]
        path, request, what = "", 0, event.type
        if event.type == "task.requested" and family == "run":
            path, request = self._requested(event, facts)
            if _is_carried(facts):
                return None  # the same request once more, in a fork
        elif family == "task":
            path = event.stream.split(".", 2)[-1]
            _, request = self._requests.get(event.cause, (path, self._last.get(path, 0)))
            what = _what(event, facts)
        elif family == "run":
            path = str(facts.get("path") or "")
            request = self._last.get(path, 0)
            if event.type.startswith("timer."):
                what = f"{event.type} {facts.get('kind') or facts.get('name') or ''}".strip()
        else:
            what = f"{event.type} in {event.stream}" if not event.stream.startswith("request.") else event.type
        key = (path, request, what)
        n = self._seen[key]
        self._seen[key] += 1
        if event.type in _CARRYING or event.type == "run.forked" or (event.type in _ONCE and n):
            return None
        if what.startswith("effect.completed value ") and facts.get("name") in _CLOCKS:
            return None
        return Place(path, request, what, n)

    def _requested(self, event: Event, facts: dict[str, Any]) -> tuple[str, int]:
        path = str(facts.get("path") or "")
        before = self._last.get(path, -1)
        number = max(before, 0) if _is_carried(facts) else before + 1
        self._last[path] = number
        self._requests[event.id] = (path, number)
        return path, number


def _is_carried(facts: dict[str, Any]) -> bool:
    """Tell whether a request is one of an ancestor that a fork makes anew."""
    fork = facts.get("fork")
    return isinstance(fork, dict) and bool(fork.get("carries"))


def _what(event: Event, facts: dict[str, Any]) -> str:
    """Say what a task has reported: of an effect also of what kind and, but for models, by which name."""
    if not event.type.startswith("effect."):
        return event.type
    kind, name = str(facts.get("kind") or ""), str(facts.get("name") or "")
    return f"{event.type} {kind}" if kind == "model" else f"{event.type} {kind} {name}".rstrip()
