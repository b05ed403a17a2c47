"""The read model of runs: what each is, where it stands and how it ended. Pure.

Agrees with `orchestration/run_index.py`, which tells the same of a page of runs without a fold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..eventstore.event import Event
from ..eventstore.forgotten import REQUESTED
from .projection import Projection, data_of, keepable, text

#: The ends of a run; `needs_human` is a rest and not among them.
ENDS = frozenset({"run.succeeded", "run.nothing_to_do", "run.failed", "run.cancelled", "run.rolled_back"})
_START = len("run.")


class RunRow(msgspec.Struct, frozen=True, gc=False):
    """One run. `state` is requested, open, paused, resting or ended; `outcome` is None while it is neither resting nor
    ended. `first` and `last` are positions of its own stream, `tasks` counts requests of tasks, `parent` is the run
    that it was forked from. Of one that was `forgotten` only this is left, without pattern and labels.
    """

    state: str
    outcome: str | None
    reason: str | None
    pattern: str | None
    labels: dict[str, Any]
    requested_ns: int
    ended_ns: int | None
    first: int
    last: int
    tasks: int = 0
    paused: bool = False
    parent: str | None = None
    forgotten: bool = False


class Runs(Projection[RunRow | None]):
    """All runs, by id."""

    name = "runs"
    types = ("run.*", "task.*", "timer.*", "human.*")
    key_names = ("run",)
    columns = ("run", "state", "outcome", "requested", "tasks", "reason")
    by_run = True
    inherits = True

    def keys(self, event: Event) -> Iterable[str]:
        """Return the run's id for what stands in its own stream."""
        stream = event.stream
        if event.type == REQUESTED:
            return (event.run,)
        return (stream[_START:],) if stream.startswith("run.") else ()

    def initial(self, key: str) -> RunRow | None:
        """Return nothing: a run begins with its first event."""
        return None

    def apply(self, state: RunRow | None, event: Event) -> RunRow | None:
        """Return the run after a decision."""
        kind = event.type
        if kind == "run.forked":
            return _forked(state, event)
        if state is None:
            return _requested(event) if kind == "run.requested" else None
        if kind == REQUESTED:
            reason = text(data_of(event).get("reason")) or None
            return msgspec.structs.replace(state, reason=reason, pattern=None, labels={}, forgotten=True)
        position = event.position
        if kind in ENDS:
            reason = text(data_of(event).get("reason")) or None
            return _moved(state, position, "ended", kind[_START:], reason, event.time)
        if kind == "run.needs_human":
            reason = text(data_of(event).get("reason")) or None
            return _moved(state, position, "resting", "needs_human", reason)
        if kind == "task.requested":
            # Somebody works again, whatever the run rested on or had come to.
            return _moved(state, position, _going(state.paused), tasks=1)
        if kind == "run.paused":
            return msgspec.structs.replace(
                state,
                last=position,
                paused=True,
                state="paused" if state.state in ("requested", "open") else state.state,
            )
        if kind == "run.resumed":
            if "answered" in data_of(event):
                return _moved(state, position, _going(state.paused))
            going = "open" if state.state == "paused" else state.state
            return msgspec.structs.replace(state, last=position, paused=False, state=going)
        if kind == "run.rolling_back" or (state.state == "requested" and kind != "run.requested"):
            return _moved(state, position, _going(state.paused))
        return msgspec.structs.replace(state, last=position)


def _requested(event: Event) -> RunRow:
    asked = data_of(event)
    plan, labels = asked.get("plan"), asked.get("labels")
    pattern = text(plan.get("pattern", "task")) or None if isinstance(plan, dict) else None
    kept = keepable(labels) if isinstance(labels, dict) else {}
    return RunRow("requested", None, None, pattern, kept, event.time, None, event.position, event.position)


def _forked(parent: RunRow | None, event: Event) -> RunRow:
    """Begin a fork, where the parent stood at the fork."""
    asked = data_of(event)
    labels = asked.get("labels")
    known = parent.labels if parent is not None else {}
    return RunRow(
        "requested",
        None,
        None,
        parent.pattern if parent is not None else None,
        keepable(labels) if isinstance(labels, dict) else known,
        event.time,
        None,
        event.position,
        event.position,
        0,
        parent.paused if parent is not None else False,
        text(asked.get("parent")) or None,
    )


def _going(paused: bool) -> str:
    return "paused" if paused else "open"


def _moved(
    row: RunRow,
    last: int,
    state: str,
    outcome: str | None = None,
    reason: str | None = None,
    ended_ns: int | None = None,
    tasks: int = 0,
) -> RunRow:
    # Written out: it is called for most decisions, and `replace` by names costs twice as much.
    return RunRow(
        state,
        outcome,
        reason,
        row.pattern,
        row.labels,
        row.requested_ns,
        ended_ns,
        row.first,
        last,
        row.tasks + tasks,
        row.paused,
        row.parent,
    )
