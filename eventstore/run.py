"""The one way to read a run: the parent's part up to the fork, then its own events, in the order of positions.

A run's own events are those of the streams `run.<id>`, `task.<id>.…` and `request.<id>`, and whatever else carries
the run's id. A fork begins with `run.forked {parent, at}`. Works on any log, reader or blocking client of the bus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Any, Protocol

from .event import Event
from .storage_errors import CorruptLog

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


def read_run(log: Readable, run: str, *, until: int | None = None) -> Iterator[Event]:
    """Yield every event of a run up to position `until` (the head as of now by default); nothing for an unknown run.

    Raises CorruptLog where a fork does not lie after the position that it forks at.
    """
    if until is None:
        until = max((event.position for event in log.read(limit=1, reverse=True)), default=0)
    for first in log.read(stream=f"run.{run}", until=until, limit=1):
        if first.type == "run.forked" and first.payload is not None:
            parent, at = str(first.data["parent"]), int(first.data["at"])
            if at >= first.position:
                raise CorruptLog("", first.position, f"run {run} is forked at position {at}, after its own beginning")
            yield from read_run(log, parent, until=at)
    yield from _own_events(log, run, until)


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
