"""The one way to read a run: the parent's part up to the fork, then its own events, in the order of positions.

A run's own events are those of the streams `run.<id>`, `task.<id>.…` and `request.<id>`, and whatever else carries
the run's id. A fork begins with `run.forked {parent, at}`, and shares its parent's events up to there: nothing is
copied. Works on any log, reader or blocking client of the bus.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from heapq import merge
from typing import Any, NamedTuple, Protocol

from .event import Event
from .storage_errors import CorruptLog

#: The first event of a fork's stream.
FORKED = "run.forked"
_PAGE = 1000


class Readable(Protocol):
    """Whatever reads pages as `log.EventLog.read` does."""

    def read(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int = 1000,
        stream: str | None = None,
        type: str | None = None,
        run: str | None = None,
        reverse: bool = False,
    ) -> Iterable[Event]:
        """Read events with after < position <= until that fit the filters, at most `limit` of them."""


class Part(NamedTuple):
    """A part of what a run has gone through: the own events of `run` up to the position `until`.

    `first` is where that run's own stream begins, 0 for a run without one.
    """

    run: str
    until: int
    first: int


def read_run(log: Readable, run: str, *, until: int | None = None) -> Iterator[Event]:
    """Yield every event of a run up to position `until` (the head as of now by default); nothing for an unknown run.

    As of a position before it was forked, a fork is what its parent was then. Raises CorruptLog where a fork does not
    lie after the position that it forks at.
    """
    if until is None:
        until = max((event.position for event in log.read(limit=1, reverse=True)), default=0)
    for part in reversed(parts_of(log, run, until)):
        yield from _own_events(log, part.run, part.until)


def parts_of(log: Readable, run: str, until: int) -> list[Part]:
    """Return the parts that a run is made of up to a position: its own, then its parent's, and so on."""
    looking = find_parts(run, until)
    try:
        stream = next(looking)
        while True:
            stream = looking.send(next(iter(log.read(stream=stream, limit=1)), None))
    except StopIteration as found:
        return found.value  # type: ignore[no-any-return]


def find_parts(run: str, until: int) -> Generator[str, Event | None, list[Part]]:
    """Find the parts of a run for whoever reads: yields streams, takes the first event of each, returns as `parts_of`.

    A parent begins before its fork; what says otherwise is nobody's parent, so that no circle is ever followed.
    """
    parts: list[Part] = []
    before: int | None = None
    while True:
        first = yield f"run.{run}"
        position = first.position if first is not None else 0
        if before is not None and (first is None or position >= before):
            return parts
        parts.append(Part(run, until, position))
        if first is None or first.type != FORKED or not isinstance(data := first.data, dict):
            return parts
        parent, at = str(data.get("parent")), data.get("at")
        if not isinstance(at, int) or at >= position:
            raise CorruptLog("", position, f"run {run} is forked at position {at}, after its own beginning")
        run, until, before = parent, min(at, until), position


def _own_events(log: Readable, run: str, until: int) -> Iterator[Event]:
    sources: list[dict[str, Any]] = [
        {"stream": f"run.{run}"},
        {"stream": f"task.{run}.*"},
        {"stream": f"request.{run}"},
        {"run": run},
    ]
    last = 0
    for event in merge(*(_pages(log, until, filters) for filters in sources), key=_position):
        if event.position > last:
            last = event.position
            yield event


def _pages(log: Readable, until: int, filters: dict[str, Any]) -> Iterator[Event]:
    after = 0
    while True:
        page = list(log.read(after=after, until=until, limit=_PAGE, **filters))
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].position


def _position(event: Event) -> int:
    return event.position
