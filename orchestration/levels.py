"""Levels: how many tasks of a run may be out at once on each level of its hierarchy, and who is next.

A run's own tasks are primary, those of plans that they answer with secondary, all below that tertiary. Owns the names,
the limits and their check, and the order in which tasks that wait are admitted: that of the tree, one after the other,
each before anything else is asked for. Keeps: nobody is admitted beyond a limit, and no slot stays free while somebody
on its level waits. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .plan import NESTING_MAX
from .run_errors import LevelsInvalid

if TYPE_CHECKING:
    from .run_state import Run
    from .turn import Turn

#: The levels from the run's own tasks down, each with its limit where a run that has limits doesn't name it.
LEVELS = {"primary": 1, "secondary": 10, "tertiary": 30}
LIMIT_MAX = 100_000


def limits_from(given: Mapping[str, Any]) -> dict[str, int]:
    """Return the limit of each level, as given or by default; raises LevelsInvalid."""
    for name, limit in given.items():
        if name not in LEVELS:
            raise LevelsInvalid(str(name), f"there is no such level, only {', '.join(LEVELS)}")
        if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= LIMIT_MAX:
            raise LevelsInvalid(name, f"must be a whole number from 1 to {LIMIT_MAX}, is {limit!r}")
    return {name: given.get(name, limit) for name, limit in LEVELS.items()}


def depth_from(given: Any) -> int:
    """Return how deep tasks may answer with plans, as given; raises LevelsInvalid."""
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= NESTING_MAX:
        raise LevelsInvalid("depth_max", f"must be a whole number from 0 to {NESTING_MAX}, is {given!r}")
    return given


def level_name(level: int) -> str:
    """Return the name of a level, counted from 0: all below the third are tertiary."""
    return [*LEVELS][min(level, len(LEVELS) - 1)]


def row_of(run: Run, level: int) -> int:
    """Return which of the run's limits counts for a level."""
    return min(level, len(run.levels) - 1)


class Admission:
    """Admits waiting tasks in one turn: call `next`, and bring the plan forward, for as long as it says True."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def next(self) -> bool:
        """Admit the first task of the tree that waits and whose level has a free slot; False where there is none.

        One that turns out not to be wanted any more takes no slot.
        """
        turn, run, held = self._turn, self._turn.run, self._turn.memo.held
        turn.admitted = ""
        if turn.stopping or run.paused:
            return False
        used = run.used or (0,) * len(run.levels)
        free = [row for row in held if held[row] and used[row] < run.levels[row]]
        if not free:
            return False
        row = min(free, key=lambda row: held[row].first)
        turn.admitted = held[row].pop()
        turn.memo.touch(turn.admitted)
        return True
