"""How the nodes of a run's plan stand, as its deciders see them: their outcomes, and who waits for a slot.

Asks the deciders what they make of a state, and drops what they would decide: nothing is recorded. Pure.
"""

from __future__ import annotations

from msgspec.structs import replace

from . import patterns  # noqa: F401  they register their deciders when they are imported
from .memo import Memo
from .place import At, Outcome
from .run_state import Fact, Run
from .turn import Turn


class NodeOutcomes:
    """The nodes of one run at one moment."""

    def __init__(self, run: Run) -> None:
        self._memo = Memo()
        if run.plan is None:
            return
        # Who waits for a slot does so in a pause, too.
        turn = Turn(replace(run, paused=False), Fact("look", {}, position=run.last, time=run.last_ns), self._memo)
        turn.advance(run.plan, At("0"))

    def of(self, path: str) -> Outcome | None:
        """Return the outcome of the node at a path; None for one that is open, was not needed, or isn't there."""
        return self._memo.outcome(path)

    @property
    def waiting(self) -> list[list[str]]:
        """The paths of the tasks that wait for a slot, by the limit that keeps them, in the order of the tree."""
        held = self._memo.held
        return [list(held[row]) if row in held else [] for row in range(max(held, default=-1) + 1)]
