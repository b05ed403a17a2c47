"""Spans as they are read from a log: of one run, of all, or from where an export had come to.

Owns which events have to be read for that. Reads in pages, so that memory doesn't grow with the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge

from ..eventstore.event import Event
from ..eventstore.reader import LogReader
from ..projections.span import Span
from ..projections.spans import Spans

PAGE = 2_000
_EXITED = {"stream": "process.*", "type": "process.exited"}


def run_spans(log: LogReader, run: str, *, content: bool = False, until: int | None = None) -> Iterator[Span]:
    """Yield the spans of one run, in the order in which they close; then those that are open."""
    until = log.head if until is None else until
    first = next(iter(log.read(run=run, limit=1)), None)
    if first is None:
        return
    fold = Spans(content=content)
    for event in _merged(log, {run: first.position}, until):
        yield from fold.take((event,))
    yield from fold.open()


def all_spans(log: LogReader, *, content: bool = False, until: int | None = None) -> Iterator[Span]:
    """Yield the spans of the whole log, in the order in which they close; then those that are open."""
    until = log.head if until is None else until
    fold, after = Spans(content=content), 0
    while after < until and (page := log.read(after=after, until=until, limit=PAGE)):
        yield from fold.take(page)
        after = page[-1].position
    yield from fold.open()


def restored(log: LogReader, open_runs: Mapping[str, int], until: int, *, content: bool = False) -> Spans:
    """Return the fold as it was after a position, from the runs that were open there and where each begins."""
    fold = Spans(content=content)
    for event in _merged(log, open_runs, until):
        fold.take((event,))
    return fold


def _merged(log: LogReader, runs: Mapping[str, int], until: int) -> Iterator[Event]:
    """Yield the events of runs, each from its position on, and the ends of processes, in the order of positions."""
    if not runs:
        return
    sources = [_pages(log, since - 1, until, run=run) for run, since in runs.items()]
    sources.append(_pages(log, min(runs.values()) - 1, until, **_EXITED))
    yield from merge(*sources, key=_position)


def _pages(log: LogReader, after: int, until: int, **filters: str) -> Iterator[Event]:
    while page := log.read(after=after, until=until, limit=PAGE, **filters):  # type: ignore[arg-type]
        yield from page
        after = page[-1].position


def _position(event: Event) -> int:
    return event.position
