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
from .run_state import ENDS, fact_of, text

State = Literal["requested", "open", "paused", "resting", "ended"]
_CHUNK = 200
#: By how much a client's clock may be ahead of the log's.
_DAY_MS = 86_400_000


class RunSummary(msgspec.Struct, frozen=True):
    """One run in a list. `requested_ns` and `ended_ns` are wall-clock nanoseconds; `ended_ns` is None before the end.

    `outcome` is None while the run is open, `needs_human` while it rests. `pattern` is the word of its plan.
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


class Indexed(Protocol):
    """A log that knows its runs by their ids."""

    def latest_runs(self, before: str = "", limit: int = 100) -> list[str]:
        """Return ids of runs, the latest first: those before one where `before` names it."""

    def marks(self, prefix: str = "") -> dict[str, str]:
        """Return the marks whose name starts with prefix."""

    def read(
        self,
        *,
        until: int | None = None,
        limit: int = 1000,
        stream: str | None = None,
        type: str | None = None,
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

    With `begun` only those that are begun and not ended, which the marks name.
    """
    marks = log.marks(run_marks.PREFIX)
    known = sorted((name.removeprefix(run_marks.PREFIX) for name in marks if name != run_marks.SEEN), reverse=True)

    def next_ids() -> list[str]:
        if not begun:
            return log.latest_runs(before, _CHUNK)
        return [id for id in known if not before or id < before]

    while ids := next_ids():
        for id in ids:
            found = summary_of(log, id, marks)
            if found is None:
                continue
            if found.requested_ns < until_ns:
                if _tells_its_time(found):
                    return
                continue
            if only(found):
                yield found
        before = ids[-1]


def _tells_its_time(one: RunSummary) -> bool:
    """Tell whether a run's id is in the order of time: one that is derived from a name may be above all later ones."""
    return one.run[:12] <= f"{one.requested_ns // 1_000_000 + _DAY_MS:012x}"


def summary_of(log: Indexed, run: str, marks: Mapping[str, str]) -> RunSummary | None:
    """Return where a run stands, None where events only carry its id; `marks` are all below `run/`."""
    stream = f"run.{run}"
    first = next(iter(log.read(stream=stream, limit=1)), None)
    if first is None or first.type not in ("run.requested", "run.forked"):
        return None
    last = next(iter(log.read(stream=stream, limit=1, reverse=True)), first)
    asked = fact_of(first).data
    family, _, word = last.type.partition(".")
    outcome, reason, state = None, None, _state(log, stream, first, last, marks.get(f"{run_marks.PREFIX}{run}"))
    if state == "ended" and family == "run":
        outcome, reason = word, text(fact_of(last).data.get("reason")) or None
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
    )


def _state(log: Indexed, stream: str, first: Event, last: Event, mark: str | None) -> State:
    if last.type.startswith("run.") and last.type.removeprefix("run.") in ENDS:
        return "ended"
    if mark is None:
        # Begun in the moment between the marks and the events, or not decided yet.
        return "requested" if last.position == first.position else "open"
    if run_marks.is_resting(mark):
        return "resting"
    change = {
        type: next((event.position for event in log.read(stream=stream, type=type, limit=1, reverse=True)), 0)
        for type in ("run.paused", "run.resumed")
    }
    return "paused" if change["run.paused"] > change["run.resumed"] else "open"


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
