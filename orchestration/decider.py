"""Deciding a run: for one input, what happens next. Pure: the same state and input give the same decisions.

`decide` is called once for each input, in position order. It folds the input, brings the plan forward through the
patterns' deciders, and closes the run where its outcome stands. Its events are one append to `run.<id>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..eventstore.event import NewEvent

# The patterns register their deciders when they are imported.
from . import pipeline, saga, task  # noqa: F401
from .evolve import evolve
from .plan import PatternFields, pattern_of, steps_of
from .run_state import Fact, Run, is_waiting
from .turn import DECIDERS, NS, At, Outcome, Turn
from .undoing import accounts

ROOT = At("0")


class Decision(msgspec.Struct, frozen=True):
    """What was decided for one input: the state after it, the events that say so, and requests to take back.

    `withdrawn` has the ids of `task.requested` events whose deliveries end in the same commit.
    """

    run: Run
    events: list[NewEvent]
    withdrawn: list[bytes]


def decide(before: Run, fact: Fact, versions: Mapping[str, Any] | None = None) -> Decision:
    """Fold an input and decide what follows; `versions` (of what runs here) are pinned in the run's first decision."""
    run = evolve(before, fact)
    if run.status in ("unknown", "ended"):
        return Decision(run, [], [])
    turn = Turn(run, fact)
    if before.status == "resting" and run.status == "open":
        turn.decide("run.resumed", answered=fact.path)
    if run.status == "requested":
        _start(turn, versions or {})
    if turn.run.status != "ended":
        (_stop if run.stop else _go_on)(turn)
    return Decision(turn.run, turn.events(), turn.withdrawn)


def decline(run: Run, fact: Fact, error: str) -> Decision:
    """End a run because the decisions for an input can't be recorded; what is open is taken back, nothing undone."""
    turn = Turn(run, fact)
    for task_state in [*run.tasks.values()]:
        if task_state.phase in ("requested", "expired"):
            turn.cancel(task_state, "undecidable")
    turn.cancel_timers()
    turn.decide("run.failed", reason="undecidable", error=error, **accounts(turn.run))
    return Decision(turn.run, turn.events(), turn.withdrawn)


def decider_versions() -> dict[str, int]:
    """Return the version of each pattern's decider."""
    return {decider.pattern: decider.version for decider in DECIDERS.values()}


def _start(turn: Turn, versions: Mapping[str, Any]) -> None:
    run = turn.run
    problem = run.plan_problem or (_unknown_pattern(run.plan) if run.plan else "")
    if problem:
        turn.decide("run.failed", reason="plan", error=problem)
        return
    turn.decide("run.started", versions={**versions, "deciders": decider_versions()})
    if run.timeout_s is not None:
        turn.set_timer("run", "", run.requested_ns + int(run.timeout_s * NS))


def _go_on(turn: Turn) -> None:
    """Bring the plan forward, and end the run with the outcome of its plan."""
    outcome = turn.advance(_plan(turn), ROOT)
    if outcome is None:
        _rest_if_idle(turn)
        return
    turn.cancel_timers()
    turn.decide(f"run.{outcome.kind}", **_end_of(outcome, turn.run))


def _stop(turn: Turn) -> None:
    """Take back what is open, undo what was done, and end the run for the reason for which it is stopped."""
    stop = turn.run.stop
    assert stop is not None  # the caller has looked
    settled = turn.advance(_plan(turn), ROOT)
    for task_state in [*turn.run.tasks.values()]:
        open_ = task_state.phase in ("requested", "expired", "backoff", "ready") or is_waiting(task_state)
        if open_ and not task_state.undo and task_state.reason != "in_doubt":
            turn.cancel(task_state, stop.kind)
    for timer in [*turn.run.timers.values()]:
        if timer.kind != "release" and not timer.path.endswith(".undo"):
            turn.cancel_timers(timer.path, (timer.kind,))
    if any(task_state.phase == "stopping" for task_state in turn.run.tasks.values()):
        return
    if not turn.undo(_plan(turn), ROOT):
        _rest_if_idle(turn)
        return
    turn.cancel_timers()
    if stop.kind == "cancelled":
        turn.decide("run.cancelled", reason=stop.reason or "cancelled", **accounts(turn.run))
    elif settled is not None and settled.kind == "failed":
        turn.decide("run.failed", **_end_of(settled, turn.run))
    else:
        turn.decide("run.failed", reason="timeout", **accounts(turn.run))


def _rest_if_idle(turn: Turn) -> None:
    """Say that a human is needed, once, where nothing moves without one."""
    run = turn.run
    moving = any(task_state.phase in ("requested", "stopping", "backoff") for task_state in run.tasks.values())
    paths = tuple(question.path for question in turn.questions)
    if moving or not paths or paths == run.resting_on:
        return
    first = turn.questions[0]
    turn.decide(
        "run.needs_human",
        reason=first.reason,
        questions=msgspec.to_builtins(turn.questions),
        **accounts(run),
    )


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
    for node in _nodes(plan):
        if type(node) not in DECIDERS:
            return f"there is no decider for the pattern {pattern_of(node)!r} here"
    return ""


def _nodes(plan: PatternFields) -> Iterator[PatternFields]:
    yield plan
    for step in steps_of(plan):
        yield from _nodes(step)
