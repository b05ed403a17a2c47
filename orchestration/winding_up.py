"""What every way of bringing a run to an early end has in common: taking back what is open, resting on a human's word.

Leaves why a run is ended, and with which event, to `decider` and `rolling_back`. Pure.
"""

from __future__ import annotations

import msgspec

from .run_state import tree_order
from .turn import Turn
from .undoing import accounts


def sweep(turn: Turn, reason: str, *, in_doubt: bool = False) -> None:
    """Cancel every task and timer that is open, but what undoes; with `in_doubt` also what is asked about as such."""
    for path in sorted(turn.run.open, key=tree_order):
        task = turn.run.tasks[path]
        if task.phase != "stopping" and not task.undo and (in_doubt or task.reason != "in_doubt"):
            turn.cancel(task, reason)
    for timer in turn.timers_in_order():
        if timer.kind != "release" and not timer.path.endswith(".undo"):
            turn.cancel_timer(timer)


def is_letting_go(turn: Turn) -> bool:
    """Tell whether somebody is still at work on what was taken back."""
    return any(turn.run.tasks[path].phase == "stopping" for path in turn.run.out.values())


def rest_if_idle(turn: Turn) -> None:
    """Say that a human is needed, once, where nothing moves without one."""
    run = turn.run
    if run.out or not turn.memo.questions:
        return
    asked = turn.questions
    paths = tuple(question.path for question in asked)
    if not paths or paths == run.resting_on:
        return
    if any(run.tasks[path].phase == "backoff" for path in run.open):
        return
    turn.decide(
        "run.needs_human",
        reason=asked[0].reason,
        questions=msgspec.to_builtins(asked),
        **accounts(run),
    )
