"""The saga: steps one after the other; on a failure what was done is undone, in reverse order.

A step's compensation is known, and recorded with the step's request, before the step starts. From the success of a
pivot step on nothing is undone: what fails then waits for a human (`retry`, `done` or `give_up`).
"""

from __future__ import annotations

from typing import ClassVar

from .plan import register_pattern
from .steps import Stepping, advance_steps, steps_of
from .turn import STUCK, At, Outcome, Turn, register_decider
from .undoing import is_under, undo_parts

VERSION = 4


@register_pattern
class Saga(Stepping, frozen=True, tag_field="pattern", tag="saga"):
    """Steps one after the other; when one fails, those before it are undone in reverse order.

    From the success of a step marked `pivot` on nothing is undone any more: what fails then waits for a human.
    """

    compensates: ClassVar[bool] = True


def advance(plan: Saga, at: At, turn: Turn) -> Outcome | None:
    """Bring the first open step forward, or after a failure the undoing, whose end is the saga's."""
    outcome, place = advance_steps(plan, at, turn, hand_on=False)
    if outcome is None or outcome.kind != "failed" or turn.stopping:
        return outcome
    if passed_pivot(plan, at, turn):
        return None if _parked(outcome, place, turn) else outcome
    return outcome if undo(plan, at, turn) else None


def undo(plan: Saga, at: At, turn: Turn) -> bool:
    """Undo the steps in reverse order, unless a pivot has succeeded; one that may have waits for a human's word."""
    if turn.run.rollback is not None:
        return undo_parts(plan, at, turn)  # whoever orders that has been told what can't be undone
    if passed_pivot(plan, at, turn):
        return True
    steps = steps_of(plan)
    for n in turn.memo.of_plan(plan, _pivots):
        task = turn.run.tasks.get(f"{at.path}.{n}")
        if task is not None and task.doubt and steps[n].undo is None:
            if task.phase != "parked":
                turn.decide("task.parked", task.path, what=f"parked/{task.attempt}", reason="in_doubt")
            question = "it was stopped half-way and can't be undone: did it happen?"
            turn.ask(task.path, "in_doubt", question, ("done", "give_up"))
            return False
    return undo_parts(plan, at, turn)


def passed_pivot(plan: Saga, at: At, turn: Turn) -> bool:
    """Tell whether the point of no return has been passed: a pivot step has succeeded."""
    for n in turn.memo.of_plan(plan, _pivots):
        outcome = turn.memo.outcome(f"{at.path}.{n}")
        if outcome is not None and outcome.kind == "succeeded":
            return True
    return False


def _pivots(plan: Saga) -> list[int]:
    return [n for n, step in enumerate(steps_of(plan)) if step.pivot]


def _parked(outcome: Outcome, step: At, turn: Turn) -> bool:
    """Park what failed beyond the pivot for a human; False where nobody can bring it on any more."""
    task = turn.run.tasks.get(outcome.path)
    started_undoing = any(is_under(path, step.path) for path in turn.run.undone)
    given_up = any(is_under(outcome.path, path) for path in turn.run.joined)
    if task is None or task.final or started_undoing or given_up:
        return False
    turn.decide("task.parked", task.path, what=f"parked/{task.attempt}", reason="beyond_pivot", error=outcome.error)
    # What a task has planned has ended with it: it can't be tried again, only be judged.
    takes = STUCK if task.plan is None else ("done", "give_up")
    turn.ask(task.path, "beyond_pivot", f"failed beyond the point of no return: {outcome.reason}", takes)
    return True


register_decider(Saga, VERSION, advance, undo)
