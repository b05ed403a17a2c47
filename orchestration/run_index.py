"""The list of runs: what each is, where it stands and how it ended, without folding any of them.

A run's first event says what was asked for, the last of its stream whether it has ended; the marks beside the log say
which runs rest. So a page costs the same however long the runs, and the log, are. Pure: reads what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

import msgspec

from ..bus import run_marks
from ..eventstore.event import Event
from ..eventstore.forgotten import forgotten
from ..eventstore.run import FORKED
from .run_state import ENDS, fact_of, text

State = Literal["requested", "open", "paused", "resting", "ended"]
#: How many runs are asked for at first, and how much more each time: every question looks at all runs.
_CHUNK = 200
_GROWTH = 4


class RunSummary(msgspec.Struct, frozen=True):
    """One run in a list. `requested_ns` and `ended_ns` are wall-clock nanoseconds; `ended_ns` is None before the end.

    `outcome` is None while the run is open, `needs_human` while it rests. `pattern` is the word of its plan. Of a fork
    `parent` is the run that it was forked from, after the position `at`. `forgotten`: its payloads were freed.
    """

    run: str
    state: State
    outcome: str | None
    reason: str | None
    pattern: str | None
    labels: dict[str, Any]
    requested_ns: int
    ended_ns: int | None
    first: int
    last: int
    parent: str | None = None
    at: int | None = None
    forgotten: bool = False


class Indexed(Protocol):
    """A log that knows its runs by their ids."""

    def latest_runs(self, before: int | None = None, limit: int = 100) -> list[str]:
        """Return ids of runs, the latest first: those that began before the position `before`."""

    def marks(self, prefix: str = "") -> dict[str, str]:
        """Return the marks whose name starts with prefix."""

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
        """Read one page."""


def list_runs(
    log: Indexed,
    *,
    before: str = "",
    only: Callable[[RunSummary], bool] = lambda _: True,
    until_ns: int = 0,
    begun: bool = False,
) -> Iterator[RunSummary]:
    """Yield runs, the latest first: those before one where `before` names it, requested at `until_ns` or later.

    Their order is that in which they were requested, whatever their ids say. With `begun` only those that are begun
    and not ended, which the marks name.
    """
    marks = log.marks(run_marks.PREFIX)
    start = _first_position(log, before) if before else None
    for id in _begun(log, marks, start) if begun else _all(log, start):
        found = summary_of(log, id, marks)
        if found is None:
            continue
        if found.requested_ns < until_ns:
            # The log's times never go back.
            return
        if only(found):
            yield found


def _all(log: Indexed, before: int | None) -> Iterator[str]:
    """Yield ids of runs that began before a position, the latest first."""
    many = _CHUNK
    while ids := log.latest_runs(before, many):
        yield from ids
        before = _first_position(log, ids[-1])
        many *= _GROWTH


def _begun(log: Indexed, marks: Mapping[str, str], before: int | None) -> Iterator[str]:
    """Yield ids of the runs that marks name and that began before a position, the latest first."""
    ids = (name.removeprefix(run_marks.PREFIX) for name in marks if name != run_marks.SEEN)
    known = sorted(((_first_position(log, id), id) for id in ids), reverse=True)
    yield from (id for position, id in known if before is None or position < before)


def _first_position(log: Indexed, run: str) -> int:
    """Return where a run's stream begins; for one without a stream, where it is first named."""
    first = next(iter(log.read(stream=f"run.{run}", limit=1)), None) or next(iter(log.read(run=run, limit=1)), None)
    return 0 if first is None else first.position


def summary_of(log: Indexed, run: str, marks: Mapping[str, str]) -> RunSummary | None:
    """Return where a run stands, None where events only carry its id; `marks` are all below `run/`."""
    stream = f"run.{run}"
    first = next(iter(log.read(stream=stream, limit=1)), None)
    if first is None or first.type not in ("run.requested", FORKED):
        return None
    last = next(iter(log.read(stream=stream, limit=1, reverse=True)), first)
    asked, cut = _asked(log, first), fact_of(first).data if first.type == FORKED else {}
    family, _, word = last.type.partition(".")
    outcome, reason, state = None, None, _state(log, stream, first, last, marks.get(f"{run_marks.PREFIX}{run}"))
    if state == "ended" and family == "run":
        outcome, reason = word, text(_facts(log, run, last).get("reason")) or None
    elif state == "resting":
        outcome = "needs_human"
        asking = next(iter(log.read(stream=stream, type="run.needs_human", limit=1, reverse=True)), None)
        reason = (text(fact_of(asking).data.get("reason")) or None) if asking is not None else None
    labels = asked.get("labels")
    return RunSummary(
        run,
        state,
        outcome,
        reason,
        _pattern(asked.get("plan")),
        labels if isinstance(labels, dict) else {},
        first.time,
        last.time if state == "ended" else None,
        first.position,
        last.position,
        text(cut.get("parent")) or None,
        cut.get("at"),
        state == "ended" and last.payload is None,
    )


def _asked(log: Indexed, first: Event) -> dict[str, Any]:
    """Return what a run was asked for; of a fork what that run was that it comes from, with the fork's own changes."""
    changes: list[dict[str, Any]] = []
    while first.type == FORKED:
        data = fact_of(first).data
        changes.append(given if isinstance(given := data.get("set"), dict) else {})
        above = next(iter(log.read(stream=f"run.{data.get('parent')}", limit=1)), None)
        if above is None or above.position >= first.position:
            return {}
        first = above
    asked = dict(fact_of(first).data)
    labels = asked.get("labels")
    for change in reversed(changes):
        for name, value in change.items():
            part, _, label = name.partition(".")
            if part == "labels":
                labels = {**(labels if isinstance(labels, dict) else {}), label: value} if label else value
    return {**asked, "labels": labels}


def _facts(log: Indexed, run: str, end: Event) -> dict[str, Any]:
    """Return what a run's end says; where that was forgotten, what is still known of it."""
    if end.payload is None and (found := forgotten(log, run)) is not None:
        return found.facts
    return fact_of(end).data


def _state(log: Indexed, stream: str, first: Event, last: Event, mark: str | None) -> State:
    if last.type.startswith("run.") and last.type.removeprefix("run.") in ENDS:
        return "ended"
    if mark is None:
        # Begun in the moment between the marks and the events, or not decided yet.
        return "requested" if last.position == first.position else "open"
    if run_marks.is_resting(mark):
        return "resting"
    paused = next(iter(log.read(stream=stream, type="run.paused", limit=1, reverse=True)), None)
    if paused is None:
        return "open"
    # One that was answered goes on as it stood: that isn't the end of a pause.
    later = log.read(stream=stream, type="run.resumed", after=paused.position)
    return "open" if any("answered" not in fact_of(event).data for event in later) else "paused"


def _pattern(plan: Any) -> str | None:
    return text(plan.get("pattern", "task")) or None if isinstance(plan, dict) else None


def matches(states: Collection[str], outcomes: Collection[str], labels: Mapping[str, str]) -> Callable[[Any], bool]:
    """Return the test for runs in one of these states, with one of these outcomes and all labels; none ask nothing."""

    def fits(one: RunSummary) -> bool:
        return (
            (not states or one.state in states)
            and (not outcomes or one.outcome in outcomes)
            and all(str(one.labels.get(name)) == value for name, value in labels.items())
        )

    return fits
