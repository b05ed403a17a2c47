"""The tree of reducers of a map: which values each gets, and when it is due. Pure.

A reducer of level 0 gets the values of `fan_in` items that stand beside each other, one of a higher level those of as
many reducers below it, until one value is left; without a bound a single reducer gets all. Who had nothing to do is
left out, and what is alone on a higher level is passed on as it is. Keeps: what a reducer gets depends on the items'
order, never on who was done first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .turn import Outcome

Group = tuple[int, int]
LookAtGroup = Callable[[Group, list[Any]], Outcome | None]


class Reducing:
    """The groups of one node by level. `bottom` has the items' outcomes, and is filled by whoever looks at items."""

    def __init__(self, bottom: Sequence[Outcome | None], fan_in: int) -> None:
        self._fan_in = fan_in or len(bottom)
        self._levels: list[Sequence[Outcome | None]] = [bottom]
        self._missing: list[list[int]] = []
        self._due: list[set[int]] = []
        #: Groups that are due and have not ended.
        self.open: set[Group] = set()
        self.failed: dict[Group, Outcome] = {}
        self._reduced: dict[Group, Outcome] = {}
        while len(self._levels) == 1 or len(self._levels[-1]) > 1:
            below = len(self._levels[-1])
            sizes = [min(self._fan_in, below - start) for start in range(0, below, self._fan_in)]
            self._levels.append([None] * len(sizes))
            self._missing.append(sizes)
            self._due.append(set())

    @property
    def outcome(self) -> Outcome | None:
        """How the last reducer ended, None while it is open."""
        return self._levels[-1][0]

    @property
    def ended(self) -> list[Outcome]:
        """How the reducers ended, level by level."""
        return [self._reduced[group] for group in sorted(self._reduced)]

    def below_ended(self, indexes: Iterable[int], level: int = 0) -> None:
        """Note that items (or reducers of the level below) have ended."""
        for index in indexes:
            group = index // self._fan_in
            self._missing[level][group] -= 1
            if not self._missing[level][group]:
                self._due[level].add(group)

    def forward(self, changed: Iterable[Group], look: LookAtGroup) -> None:
        """Look at the reducers that are due, and at those that have changed."""
        for level, number in changed:
            if (level, number) in self.open:
                self._due[level].add(number)
        for level, due in enumerate(self._due):
            for number in sorted(due):
                outcome = self._outcome((level, number), look)
                if outcome is None:
                    self.open.add((level, number))
                    continue
                self.open.discard((level, number))
                self._levels[level + 1][number] = outcome  # type: ignore[index]
                if outcome.kind == "failed":
                    self.failed[level, number] = outcome
                elif level + 1 < len(self._due):
                    self.below_ended([number], level + 1)
            due.clear()

    def _outcome(self, group: Group, look: LookAtGroup) -> Outcome | None:
        level, number = group
        members = [one for one in self._members(level, number) if one is not None]
        good = [one for one in members if one.kind == "succeeded"]
        if not good:
            return members[0]
        if level > 0 and len(members) == 1:
            return members[0]
        outcome = look(group, [one.value for one in good])
        if outcome is not None:
            self._reduced[group] = outcome
        return outcome

    def _members(self, level: int, number: int) -> Sequence[Outcome | None]:
        start = number * self._fan_in
        return self._levels[level][start : start + self._fan_in]
