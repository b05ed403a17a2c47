"""The work on the items of one node, from the first one to the outcome: what patterns with items have in common.

Owns what a failure does: that it counts is recorded, then all that is open is taken back, and only then has the node
ended. Leaves to each pattern where its parts stand and what it makes of the items' values. Pure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from .items import Items
from .plan import PatternFields
from .run_state import tree_order
from .turn import At, Outcome, Turn
from .undoing import started_below, take_back, undo_in_reverse

Place = tuple[PatternFields, At]


class ItemWork(ABC):
    """What a decider keeps of one node from turn to turn; `items` are None until they are known."""

    def __init__(self, at: At) -> None:
        self.at = at
        self.items: Items | None = None
        self._outcome: Outcome | None = None
        self._unneeded: list[Place] | None = None
        self._to_undo: list[Place] | None = None

    @abstractmethod
    def number(self, below: str) -> str:
        """Return the number of the part in which a path below the node's own lies."""

    @abstractmethod
    def place(self, number: str) -> Place:
        """Return the plan and the place of the part with a number."""

    @abstractmethod
    def forward(self, items: Items, turn: Turn) -> None:
        """Bring what has changed forward, and begin what may begin."""

    @abstractmethod
    def value(self, items: Items) -> Outcome | None:
        """Return the outcome where everything has ended well, None while something is open."""

    @property
    @abstractmethod
    def failed(self) -> dict[str, Outcome]:
        """The parts that have failed, by number."""

    @abstractmethod
    def open(self, items: Items, turn: Turn) -> list[str]:
        """Return the numbers of the parts that have started and not ended."""

    def is_busy(self, items: Items, turn: Turn) -> bool:
        """Tell, while nothing new begins, whether a part that has started has not ended."""
        return items.open > 0

    def advance(self, turn: Turn) -> Outcome | None:
        """Bring the node forward, once its items are known."""
        if self._outcome is None:
            assert self.items is not None  # the caller has looked
            self._outcome = self._advance(self.items, self.at.path, turn)
        return self._outcome

    def _advance(self, items: Items, path: str, turn: Turn) -> Outcome | None:
        joined = turn.run.joined.get(path)
        if joined is None:
            self.forward(items, turn)
            if not items.any_failed:
                return self.value(items)
            if turn.stopping and self.is_busy(items, turn):
                return None
            failed = self.failed
            first = min(failed, key=lambda number: (failed[number].position, tree_order(number)))
            open = [] if turn.stopping else self.open(items, turn)
            if turn.stopping or not (open or items.left):
                return failed[first]
            turn.decide("task.joined", path, counted=[first], unneeded=sorted(open, key=tree_order))
            joined = turn.run.joined[path]
        if self._unneeded is None:
            self._unneeded = [self.place(number) for number in joined.unneeded]
        if not take_back(self._unneeded, self.at, turn, "not_needed"):
            return None
        return turn.advance(*self.place(joined.counted[0]))

    def undo(self, turn: Turn) -> bool:
        """Undo what the parts have done, the last one first; True once that is over."""
        if self._to_undo is None:
            self._to_undo = [self.place(number) for number in self.started(turn)]
        return undo_in_reverse(self._to_undo, self.at, turn)

    def started(self, turn: Turn) -> list[str]:
        """Return the numbers of the parts of which tasks are known, in the order of the tree."""
        return started_below(turn.run, self.at.path, self.number)
