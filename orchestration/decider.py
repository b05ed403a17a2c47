"""Deciding a run: for one input, what happens next. Pure: the same state and input give the same decisions.

`decide` is called once for each input, in position order. It folds the input, brings the plan forward through the
patterns' deciders where the input has changed something, and closes the run where its outcome stands. Its events are
one append to `run.<id>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..eventstore.event import NewEvent
from ..eventstore.run import FORKED
from . import patterns  # noqa: F401  they register their deciders when they are imported
from .evolve import evolve
from .fork_start import start_fork
from .levels import Admission
from .memo import Memo
from .plan import PatternFields, nodes_of, pattern_of
from .rolling_back import ROOT, roll_back
from .run_state import HELD_SIZE_MAX, Fact, Run, Timer, tree_order
from .turn import DECIDERS, NS, RUN_VERSION, Outcome, Turn
from .undoing import accounts
from .winding_up import is_letting_go, rest_if_idle, sweep


class Decision(msgspec.Struct, frozen=True):
    """What was decided for one input: the state after it, the events that say so, and requests to take back.

    `withdrawn` has the ids of `task.requested` events whose deliveries end in the same commit, `timers` those that the
    events set.
    """

    run: Run
    events: list[NewEvent]
    withdrawn: list[bytes]
    timers: list[Timer]


def decide(before: Run, fact: Fact, versions: Mapping[str, Any] | None = None, memo: Memo | None = None) -> Decision:
    """Fold an input and decide what follows; `versions` (of what runs here) are pinned in the run's first decision.

    `memo` is what the turns before have worked out, if it is at hand: it changes how long this takes, and nothing else.
    """
    run = evolve(before, fact)
    if run.status in ("unknown", "ended"):
        return Decision(run, [], [], [])
    memo = Memo() if memo is None else memo
    path = _note_changes(before, run, fact, memo)
    turn = Turn(run, fact, memo)
    released = before.tasks.get(path)
    if released is not None and released.phase == "stopping" and run.tasks[path].phase != "stopping":
        turn.cancel_timers(path, released.attempt, ("release",))
    if fact.type == FORKED and run.status != "requested":
        start_fork(turn, {**(versions or {}), "deciders": decider_versions()})
    elif before.status == "resting" and run.status == "open":
        turn.decide("run.resumed", what="run.resumed/answered", answered=fact.path)
    if run.status == "requested":
        _start(turn, versions or {})
    if turn.run.status != "ended":
        _pause_or_resume(turn)
        turn.check_budget()
        # What is decided on the way may be that the run must stop.
        over = not turn.stopping and _go_on(turn)
        rollback = turn.run.rollback
        if turn.stopping and not over:
            _stop(turn) if rollback is None else roll_back(turn, _plan(turn), rollback)
    return Decision(turn.run, turn.events(), turn.withdrawn, turn.timers)


def _note_changes(before: Run, run: Run, fact: Fact, memo: Memo) -> str:
    """Note in the memo which nodes an input concerns; where that isn't clear, all. Return the path it is about."""
    path = fact.path
    if fact.type == "timer.fired":
        timer = before.timers.get(str(fact.data.get("timer")))
        path = timer.path if timer else ""
    elif fact.type.startswith("delivery."):
        path = before.out.get(fact.cause, "")
    elif fact.type == "human.answered" and not path:
        memo.clear()
    if run.stop is not before.stop or fact.type == FORKED:
        memo.clear()
    if path:
        memo.touch(path)
    return path


def decline(run: Run, fact: Fact, error: str) -> Decision:
    """End a run because the decisions for an input can't be recorded; what is open is taken back, nothing undone."""
    turn = Turn(run, fact, Memo())
    for path in sorted(run.out.values(), key=tree_order):
        if run.tasks[path].phase != "stopping":
            turn.cancel(run.tasks[path], "undecidable")
    turn.cancel_all_timers()
    turn.decide("run.failed", reason="undecidable", error=error, **accounts(turn.run))
    return Decision(turn.run, turn.events(), turn.withdrawn, turn.timers)


def decider_versions() -> dict[str, int]:
    """Return the version of each pattern's decider."""
    return {"run": RUN_VERSION, **{decider.pattern: decider.version for decider in DECIDERS.values()}}


def _start(turn: Turn, versions: Mapping[str, Any]) -> None:
    run = turn.run
    problem = run.plan_problem or (_unknown_pattern(run.plan) if run.plan else "")
    if problem:
        turn.decide("run.failed", reason="plan", error=problem)
        return
    turn.decide("run.started", versions={**versions, "deciders": decider_versions()})
    if run.timeout_s is not None:
        turn.set_timer("run", "", run.requested_ns - run.carried_ns + int(run.timeout_s * NS))
    if run.budget.wall_s is not None:
        turn.set_timer("budget", "", run.requested_ns - run.carried_ns + int(run.budget.wall_s * NS))


def _pause_or_resume(turn: Turn) -> None:
    run = turn.run
    if run.pause_asked and not run.paused:
        turn.decide("run.paused")
    elif run.paused and not run.pause_asked:
        turn.decide("run.resumed")
        turn.memo.clear()


def _go_on(turn: Turn) -> bool:
    """Bring the plan forward, and end the run with the outcome of its plan; True where it has ended."""
    plan, admission = _plan(turn), Admission(turn)
    outcome = turn.advance(plan, ROOT)
    while outcome is None and admission.next():
        outcome = turn.advance(plan, ROOT)
    if turn.stopping:
        return False
    if outcome is None:
        rest_if_idle(turn)
        return False
    turn.cancel_all_timers()
    turn.decide(f"run.{outcome.kind}", **_end_of(outcome, turn.run))
    return True


def _stop(turn: Turn) -> None:
    """Take back what is open, undo what was done, and end the run for the reason for which it is stopped."""
    run, memo = turn.run, turn.memo
    stop = run.stop
    assert stop is not None  # the caller has looked
    memo.questions.pop(("", 0), None)
    settled = turn.advance(_plan(turn), ROOT)
    if not memo.swept:
        memo.swept = True
        sweep(turn, stop.kind)
    if is_letting_go(turn):
        return
    if not turn.undo(_plan(turn), ROOT):
        rest_if_idle(turn)
        return
    turn.cancel_all_timers()
    if stop.kind == "cancelled":
        turn.decide("run.cancelled", reason=stop.reason or "cancelled", **accounts(turn.run))
    elif settled is not None and settled.kind == "failed" and not _was_swept(settled, turn.run, stop.kind):
        turn.decide("run.failed", **_end_of(settled, turn.run))
    elif stop.kind == "budget":
        turn.decide("run.failed", reason="budget", error=_overspent(turn.run, stop.reason), **accounts(turn.run))
    else:
        turn.decide("run.failed", reason="timeout", **accounts(turn.run))


def _was_swept(outcome: Outcome, run: Run, reason: str) -> bool:
    """Tell whether a failure is none of the plan's own, but what the end of the run has made of an open task."""
    task = run.tasks.get(outcome.path)
    return task is not None and task.report is not None and task.report.reason == reason


def _overspent(run: Run, what: str) -> str:
    if what == "memory":
        return f"the values of this run come to {run.held} bytes, and one run may hold {HELD_SIZE_MAX}"
    spent = {"tasks": ", and one more was needed", "wall_s": ""}.get(what)
    if spent is None:
        spent = f", and {getattr(run.spent, what):g} were used"
    return f"the run's budget of {what} is {getattr(run.budget, what, None):g}{spent}"


def _end_of(outcome: Outcome, run: Run) -> dict[str, Any]:
    if outcome.kind == "succeeded":
        return {"value": outcome.value, "evidence": list(outcome.evidence), "message": outcome.message}
    if outcome.kind == "nothing_to_do":
        return {"reason": outcome.reason}
    return {
        "reason": outcome.reason or "failed",
        "at": outcome.path,
        "error": outcome.error,
        "evidence": list(outcome.evidence),
        **accounts(run),
    }


def _plan(turn: Turn) -> PatternFields:
    plan = turn.run.plan
    assert plan is not None  # a run without a plan has failed at its start
    return plan


def _unknown_pattern(plan: PatternFields) -> str:
    for node in nodes_of(plan):
        if type(node) not in DECIDERS:
            return f"there is no decider for the pattern {pattern_of(node)!r} here"
    return ""
