"""Which cores go to whom: the least used first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Cores:
    """The cores of a machine and how many have been given each."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._uses = dict.fromkeys(numbers, 0)

    def __len__(self) -> int:
        return len(self._uses)

    def take(self, count: int) -> tuple[int, ...]:
        """Return the least used cores, all of them where there are no more; `give_back` must follow."""
        chosen = sorted(sorted(self._uses, key=lambda core: (self._uses[core], core))[:count])
        for core in chosen:
            self._uses[core] += 1
        return tuple(chosen)

    def give_back(self, cores: Iterable[int]) -> None:
        """Take back what `take` gave."""
        for core in cores:
            self._uses[core] -= 1
