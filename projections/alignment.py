"""Which event of one run answers to which of another: each has a place that doesn't depend on the run it is in.

A place is where the chain of causes has put an event: the path of its task, the request of that task which it belongs
to, what it is, and which of its kind it is there. So runs align however their tasks were interleaved, and after one
has done more than the other. An effect is one event here, its result with what was asked for, as one that is served
from another run's record has no intent. Owns places, and which events say only how the work was carried out (progress,
who took it, folders that came and went), which no two runs share. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..eventstore.event import Event

#: Says how work was carried out, not what came of it; what was done in a workspace stands in the result of its effect.
_CARRYING = frozenset({"task.progressed", "run.started", "run.forked", "timer.set", "timer.cancelled"})
#: Values that agents record of the clock: two runs can't have the same.
_CLOCKS = frozenset({"time_s", "time", "now", "time_ns", "time_ms", "timestamp"})


_EFFECTS = frozenset({"effect.intended", "effect.completed", "effect.failed"})
#: Kinds of events of which a task, or a run, has one of several: which one it has is a difference, not a place.
ANSWERS = frozenset({"task.succeeded", "task.nothing_to_do", "task.failed", "task.needs_human", "task.planned"})
_ENDS = frozenset({"run.succeeded", "run.nothing_to_do", "run.failed", "run.cancelled", "run.rolled_back"})


class Place(msgspec.Struct, frozen=True, order=True):
    """Where an event stands in its run. `path` is "" for what belongs to no task, `n` counts from 0."""

    path: str
    request: int
    what: str
    n: int

    def __str__(self) -> str:
        number = f" ({self.n + 1})" if self.n else ""
        attempt = f" of attempt {self.request + 1}" if self.request else ""
        return f"{self.path} {self.what}{number}{attempt}".strip()


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


def places_of(events: Iterable[Event]) -> dict[Place, Event]:
    """Return the events of a run by their places, in order; those that only carry are left out."""
    placing = _Placing()
    for event in events:
        placing.take(event)
    return placing.found


class _Placing:
    """How far places are given out. An event of a task names its request as its cause."""

    def __init__(self) -> None:
        self.found: dict[Place, Event] = {}
        self._requests: dict[bytes, tuple[str, int]] = {}
        self._last: dict[str, int] = {}
        self._seen: Counter[tuple[str, int, str]] = Counter()
        self._intents: dict[tuple[str, str], tuple[Place, Any]] = {}

    def take(self, event: Event) -> None:
        data: Any = event.data if event.payload is not None else None
        facts: dict[str, Any] = data if isinstance(data, dict) else {}
        family = event.stream.partition(".")[0]
        if event.type in _EFFECTS and family == "task":
            self._take_effect(event, facts)
            return
        path, request, what = "", 0, event.type
        if event.type == "task.requested" and family == "run":
            path, request = self._requested(event, facts)
            if _is_carried(facts):
                return  # the same request once more, in a fork
        elif family == "task":
            path, request = self._in_task(event)
            what = "task answered" if event.type in ANSWERS else what
        elif family == "run":
            path = str(facts.get("path") or "")
            request = self._last.get(path, 0)
            if event.type.startswith("timer."):
                what = f"{event.type} {facts.get('kind') or facts.get('name') or ''}".strip()
            what = "run ended" if event.type in _ENDS else what
        elif family != "request":
            what = f"{event.type} in {event.stream}"
        place = self._next(path, request, what)
        # A task that is started once more was only delivered again.
        again = event.type == "task.started" and place.n > 0
        if not (event.type in _CARRYING or event.type.startswith("workspace.") or again):
            self.found[place] = event

    def _take_effect(self, event: Event, facts: dict[str, Any]) -> None:
        """Place an effect at its intent, or where it has none, at its result."""
        kind, name, key = (str(facts.get(field) or "") for field in ("kind", "name", "key"))
        if kind == "value" and name in _CLOCKS:
            return
        path, request = self._in_task(event)
        begun = self._intents.pop((path, key), None)
        what = f"effect {kind}" if kind == "model" else f"effect {kind} {name}".rstrip()
        place = self._next(path, request, what) if begun is None else begun[0]
        if event.type == "effect.intended":
            self._intents[path, key] = place, facts.get("parameters")
        elif begun is not None:
            facts.setdefault("parameters", begun[1])
            event = msgspec.structs.replace(event, payload=msgspec.json.encode(facts).decode())
        self.found[place] = event

    def _in_task(self, event: Event) -> tuple[str, int]:
        """Return the path of an event's task, and the number of the request that it belongs to."""
        path = event.stream.split(".", 2)[-1]
        return self._requests.get(event.cause, (path, self._last.get(path, 0)))

    def _next(self, path: str, request: int, what: str) -> Place:
        n = self._seen[path, request, what]
        self._seen[path, request, what] += 1
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
