"""What a fork begins with: the state of its parent at the cut, with everything that was under way made its own.

Owns what `run.forked` does to a run's state. What follows from it is decided in `fork_start`. Keeps: nothing of the
fork ever answers or takes back what the parent has asked for; and where a layer of effects is recorded, the ancestors'
records up to this event are all that it is answered from. Pure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from immutables import Map
from msgspec.structs import replace

from .facts import Fact, text
from .fork_changes import changed
from .fork_errors import ForkChangeInvalid
from .run_state import (
    RUN_TIMERS,
    Ancestor,
    Report,
    Run,
    TaskState,
    Timer,
    is_waiting,
    with_report,
    with_task,
)

_DROPPED = RUN_TIMERS | {"timeout", "release"}
#: The layers of effects that a fork may do for real.
LAYERS = ("model", "tools")


def evolve_forked(run: Run, fact: Fact) -> Run:
    """Return the state with which a fork begins, from that of its parent at the cut; one that had ended stays so.

    Work that was under way is to be requested anew, questions are to be asked again; what was being taken back counts
    as let go, as far as nobody knows how far it had come. Timers are none: they are set anew with what was left.
    """
    data = fact.data
    lineage = tuple(_lineage(data, fact.position))
    if run.status in ("unknown", "ended") or not lineage:
        return run
    live, given = data.get("live"), data.get("at_time")
    cut_ns = given if isinstance(given, int) and given > 0 else run.last_ns
    run = replace(
        run,
        status="open" if run.status == "resting" else run.status,
        first=fact.position,
        requested_ns=fact.time,
        trace=fact.trace or run.trace,
        timers=Map(),
        left=Map(_left(run, cut_ns)),
        resting_on=(),
        outcome="",
        end={},
        lineage=lineage,
        inherited=run.tasks,
        live=tuple(layer for layer in LAYERS if isinstance(live, list) and layer in live),
        cut_ns=cut_ns,
        carried_ns=run.carried_ns + max(0, cut_ns - run.requested_ns),
    )
    moved = 0
    for path in run.open:
        task = run.tasks[path]
        moved += task.phase == "requested"
        run = _taken_over(run, task)
    # A request that is made once more has been counted.
    run = replace(run, spent=replace(run.spent, tasks=max(0, run.spent.tasks - moved)))
    changes = data.get("set")
    if isinstance(changes, dict) and changes:
        with contextlib.suppress(
            ForkChangeInvalid
        ):  # whoever forks has checked it; what was written by hand may not fit
            run = changed(run, changes)
    return run


def _left(run: Run, cut_ns: int) -> Iterator[tuple[str, Timer]]:
    """Yield the timers that a fork sets again, and how long after its beginning they are due.

    Those of the run follow from what it was given; those of attempts, and of letting go, belong to requests that the
    fork doesn't know. Of a run that was forked itself some may not have been set again yet.
    """
    waiting = (replace(timer, due=run.requested_ns + timer.due) for timer in run.left.values())
    for timer in (*waiting, *run.timers.values()):
        if timer.kind not in _DROPPED:
            yield timer.name, replace(timer, due=timer.due - cut_ns)


def _taken_over(run: Run, task: TaskState) -> Run:
    """Return the state with a task in it that was open at the cut, without what only the parent will hear of."""
    if task.phase == "requested":
        carried = (*task.carried, task.request.hex())
        return with_task(run, replace(task, phase="ready", attempt=task.attempt - 1, carried=carried, moved=True))
    if task.phase == "expired":
        report = Report("failed", reason=task.reason, in_doubt=True, known_at=run.first)
        return with_report(run, task, report)
    if task.phase == "stopping":
        return with_task(run, replace(task, phase="reported", doubt=True))
    return with_task(run, replace(task, asking=None)) if is_waiting(task) else run


def _lineage(data: dict[str, Any], position: int) -> Iterator[Ancestor]:
    """Yield the runs that a fork comes from, the nearest first; where it doesn't say, only its parent is known."""
    given = data.get("lineage")
    known = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    for one in known or [{"run": data.get("parent"), "until": data.get("at")}]:
        until, record = one.get("until"), one.get("record")
        if text(one.get("run")) and isinstance(until, int):
            yield Ancestor(one["run"], until, record if isinstance(record, int) else position)
