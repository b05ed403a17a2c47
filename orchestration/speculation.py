"""Speculation: an item that takes long is given out once more, and whoever succeeds first counts. Pure.

Owns the verdict on the two, which is recorded before the other one is taken back, so that what still comes of that one
changes nothing.
"""

from __future__ import annotations

from .items import runs_once
from .plan import PatternFields, Task
from .turn import At, Outcome, Turn
from .undoing import take_back

KIND = "speculate"


class Pair:
    """An item's own place and that of its copy; `verdict` is the place under which is recorded which of them counts."""

    __slots__ = ("copy", "main", "plan", "verdict")

    def __init__(self, plan: PatternFields, main: At, copy: At, verdict: At) -> None:
        self.plan = plan
        self.main = main
        self.copy = copy
        self.verdict = verdict

    def advance(self, turn: Turn, after_s: float) -> tuple[Outcome | None, bool]:
        """Bring the two forward: how the item ended, None while it is open; and whether the other one is still leaving.

        The copy begins when the item hasn't ended so long after its request.
        """
        plan, main, copy = self.plan, self.main, self.copy
        verdict = turn.run.joined.get(self.verdict.path)
        if verdict is not None:
            winner, loser = (main, copy) if verdict.counted == (0,) else (copy, main)
            return turn.advance(plan, winner), not take_back([(plan, loser)], self.verdict, turn, "not_needed")
        outcome = turn.advance(plan, main)
        if not self.copied(turn):
            if outcome is not None:
                turn.cancel_timers(main.path, 0, (KIND,))
            elif _is_requested(plan, main, turn):
                turn.rang(main, KIND, after_s)
            return outcome, False
        if not _may_copy(main, copy, turn):
            return outcome, False
        if outcome is not None and outcome.kind != "failed":
            return self._judged(0, turn, after_s)
        other = turn.advance(plan, copy)
        if other is not None and other.kind != "failed":
            return self._judged(1, turn, after_s) if outcome is None else (other, False)
        return (None if other is None else outcome), False

    def _judged(self, counts: int, turn: Turn, after_s: float) -> tuple[Outcome | None, bool]:
        turn.decide("task.joined", self.verdict.path, counted=(counts,), unneeded=(1 - counts,))
        return self.advance(turn, after_s)

    def copied(self, turn: Turn) -> bool:
        """Tell whether the time after which there is a copy is over."""
        return bool(turn.run.alarms.get(f"{KIND}/{self.main.path}/0"))


def _is_requested(plan: PatternFields, main: At, turn: Turn) -> bool:
    """Tell whether the item has been given out, rather than waiting for its turn or for an approval."""
    task = turn.run.tasks.get(main.path)
    return not isinstance(plan, Task) or (task is not None and task.attempt > 0)


def _may_copy(main: At, copy: At, turn: Turn) -> bool:
    """Tell whether the item may be given out twice: what it answered with has nothing that must be done once only."""
    task = turn.run.tasks.get(main.path)
    return copy.path in turn.run.tasks or task is None or task.plan is None or not runs_once(task.plan)
