"""Items: what the patterns have in common that run one plan for each item of a list. Pure.

Owns which items are looked at, begun and counted. Items begin in their order; those that have begun are looked at again
only where something in them has changed. Leaves to the patterns what is done for an item and what comes of it all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from ..eventstore.large_values import is_reference
from .joined_evidence import join_evidence
from .plan import PatternFields, Plan, Task, nodes_of
from .turn import At, Outcome, Turn
from .values import Absent, resolve, unread

#: How many items a node may have, and how many of them are open at once where no width is given: what is open may
#: have to be taken back in one append.
ITEMS_MAX = 100_000
OPEN_MAX = 10_000

Look = Callable[[int], Outcome | None]
Started = Callable[[], Iterable[int]]


class Items:
    """The items of one node: how many have begun, how many of those are open, and how the others ended.

    Follows from the run's state, so it may be lost at any time. `left` counts those that have not ended; `any_failed`
    tells whether no other one begins, as something has failed. `plans` are run for each item.
    """

    def __init__(self, values: Sequence[Any], plans: Iterable[Plan]) -> None:
        self.values = values
        self._plans = plans
        self.ended: list[Outcome | None] = [None] * len(values)
        self.begun = 0
        self.open = 0
        self.left = len(values)
        self.any_failed = False
        self._fresh: list[int] = []
        self._started: frozenset[int] | None = None

    @property
    def failed(self) -> dict[int, Outcome]:
        """The items that have failed."""
        return {n: one for n, one in enumerate(self.ended) if one is not None and one.kind == "failed"}

    def take_fresh(self) -> list[int]:
        """Return the items that have ended since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def forward(self, turn: Turn, changed: Iterable[int], width: int, look: Look, started: Started) -> None:
        """Look at the items that have changed, then begin others while fewer than `width` are open (0: no bound).

        Once one has failed, or the run is being stopped, only those are looked at of which tasks have `started`.
        """
        if turn.stopping:
            self._only_started(changed, look, started)
            return
        known, again = self.begun, sorted(changed)
        for index in again:
            if index < known and not self.any_failed:
                self._look(index, look)
        bound = width or OPEN_MAX
        later = False
        while self.begun < len(self.values) and self.open < bound and not self.any_failed:
            if later := bool(self.open and turn.is_long):
                break  # the others begin with the next event
            self._look(self.begun, look)
        if self.any_failed or later:
            for index in sorted(started()):
                if self.ended[index] is None and (index >= self.begun or index in again):
                    self._look(index, look)

    def _only_started(self, changed: Iterable[int], look: Look, started: Started) -> None:
        if self._started is None:
            # Nothing is begun any more while a run is being stopped.
            self._started = frozenset(started())
            # What ended without a task has left no trace of that: it is found by looking, whenever that is.
            traceless = any(map(ends_without_tasks, self._plans))
            for index in range(len(self.values)) if traceless else sorted(self._started):
                self._look(index, look)
            self.open = sum(self.ended[index] is None for index in self._started)
            return
        for index in sorted(self._started.intersection(changed)):
            self._look(index, look)

    def _look(self, index: int, look: Look) -> None:
        outcome = look(index)
        if index >= self.begun:
            self.begun = index + 1
            self.open += 1
        if outcome is None or self.ended[index] is not None:
            return
        self.ended[index] = outcome
        self.open -= 1
        self.left -= 1
        self.any_failed = self.any_failed or outcome.kind == "failed"
        self._fresh.append(index)


def values_of(ended: Sequence[Outcome]) -> list[Any]:
    """Return the values of what has ended, null where there was nothing to do."""
    return [outcome.value if outcome.kind == "succeeded" else None for outcome in ended]


def joined(ended: Sequence[Outcome], value: Any, last: Outcome) -> Outcome:
    """Return the outcome of a node of which all has ended well: its value, with the evidence of all."""
    evidence = join_evidence(outcome.evidence for outcome in ended)
    return Outcome("succeeded", last.path, value, evidence, message=last.message, position=last.position)


def items_of(wanted: Any, at: At, turn: Turn) -> list[Any] | Outcome:
    """Return the items that a node is to run for, of its field or of what it is given; else how it ends without."""
    if wanted is not None:
        value = resolve(wanted, lambda one: turn.look_up(one, at))
    else:
        value = Absent("no items are given") if at.given is msgspec.UNSET else at.given
    return checked(value, at)


def checked(value: Any, at: At) -> list[Any] | Outcome:
    """Return a value that is to be a list of items, or how the node ends because it isn't one, or is empty."""
    if isinstance(value, Absent):
        kind, reason = ("nothing_to_do", value.problem) if value.idle else ("failed", "reference")
        return Outcome(kind, at.path, reason=reason, error=None if value.idle else value.problem)  # type: ignore[arg-type]
    if is_reference(value):
        return Outcome("failed", at.path, reason="items", error=f"the list of items {unread(value)}")
    if not isinstance(value, list | tuple):
        return Outcome("failed", at.path, reason="items", error=f"the items are no list: {str(value)[:80]}")
    if len(value) > ITEMS_MAX:
        return Outcome("failed", at.path, reason="items", error=f"{len(value)} items are more than {ITEMS_MAX}")
    return list(value) if value else Outcome("nothing_to_do", at.path, reason="there are no items")


def items_problems(items: Any) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the field `items` of a plan."""
    if items is None or isinstance(items, list | tuple) or (isinstance(items, dict) and "$from" in items):
        return
    yield "items", "must be a list, or a `$from` that stands for one"


def open_problems(field: str, count: int) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a bound of how many items may be open at once, 0 where there is none."""
    if not 0 <= count <= OPEN_MAX:
        yield field, f"must be from 1 to {OPEN_MAX}, or 0 for no bound of its own, is {count}"


def ends_without_tasks(plan: Plan) -> bool:
    """Tell whether a plan may end although no task of it was ever requested: where its items turn out to be none."""
    for node in nodes_of(cast("PatternFields", plan)):
        items = getattr(node, "items", None)
        given = items is None and getattr(node, "split", plan) is None
        if given or (items is not None and not (isinstance(items, list | tuple) and items)):
            return True
    return False


def runs_once(plan: PatternFields) -> bool:
    """Tell whether a plan has a task, itself included, that must not be done twice."""
    return any(isinstance(node, Task) and node.effect == "once" for node in nodes_of(plan))
