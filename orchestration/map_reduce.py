"""Map and reduce: one plan for each item of a list, and a task that makes one value of all of theirs.

Owns the shape of the pattern and how its phases meet: the splitter's list becomes the items, an item that has ended
feeds its reducer while others still run, and the first failure ends all. Numbers: splitter 0, item 1.<i>, reducer
2.<level>.<k>, the speculative copy of an item 3.<i>, the verdict on item and copy 4.<i>. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from .item_work import ItemWork, Place
from .items import Items, checked, items_of, items_problems, joined, open_problems, runs_once, values_of
from .plan import Part, PatternFields, Plan, Task, out_of_range, register_pattern
from .reducing import Group, Reducing
from .speculation import Pair
from .turn import At, Outcome, Turn, register_decider

VERSION = 1
_SPLIT, _ITEM, _REDUCE, _COPY, _VERDICT = "0", "1", "2", "3", "4"


@register_pattern
class MapReduce(PatternFields, frozen=True, tag_field="pattern", tag="map_reduce"):
    """The plan `map` for each of the `items` (a list, or a `$from`; the value before it where there are none).

    `split` is a task whose value is the list instead. In `map`, the names `item` and `index` stand for the item and its
    place, from 0; a task without an input gets the item. At most `width` items are at work at once (0: no bound).
    Without `reduce` the value is the list of the items' values, in their order, null where there was nothing to do;
    with it, that of the task that gets the list (the name `items`) of what was found. With `fan_in`, reducers get that
    many values each, and further ones their results, until one is left. The first item that fails fails it; the others
    are taken back. With `speculate_after_s` an item that has not ended that long after its request is given out
    once more: the first success counts, the other is taken back.
    """

    map: Plan
    items: Any = None
    split: Plan | None = None
    reduce: Plan | None = None
    width: int = 0
    fan_in: int = 0
    speculate_after_s: float | None = None

    def parts(self) -> Iterator[Part]:
        """Yield splitter, map and reducer."""
        names: tuple[str, ...] = ()
        if self.split is not None:
            split = cast("PatternFields", self.split)
            names = (split.name,) if split.name else ()
            yield Part("split", split, _SPLIT)
        yield Part("map", cast("PatternFields", self.map), sees=("item", "index"))
        if self.reduce is not None:
            yield Part("reduce", cast("PatternFields", self.reduce), sees=("items", *names), after=False)

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Yield the items."""
        yield "items", self.items

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with it."""
        yield from items_problems(self.items)
        if self.items is not None and self.split is not None:
            yield "split", "the items are either given or split off, not both"
        for field in ("split", "reduce"):
            if not isinstance(getattr(self, field), Task | None):
                yield field, "is one task"
        yield from open_problems("width", self.width)
        yield from out_of_range("fan_in", self.fan_in)
        if self.fan_in == 1:
            yield "fan_in", "must be 0 (one reducer for all) or at least 2"
        if self.fan_in and self.reduce is None:
            yield "fan_in", "belongs to a reducer, and there is none"
        if self.speculate_after_s is not None:
            yield from out_of_range("speculate_after_s", self.speculate_after_s, above=0)
            if runs_once(cast("PatternFields", self.map)):
                yield "speculate_after_s", 'a task with `effect = "once"` is not given out twice'


class _Work(ItemWork):
    """What the decider keeps of one node from turn to turn."""

    def __init__(self, plan: MapReduce, at: At) -> None:
        super().__init__(at)
        self.plan = plan
        self.reducing: Reducing | None = None
        #: Items whose losing half has not let go yet.
        self.leaving: set[int] = set()

    def begin(self, values: list[Any]) -> None:
        """Take the items, once they are known."""
        self.items = Items(values, [self.plan.map])
        self.reducing = Reducing(self.items.ended, self.plan.fan_in) if self.plan.reduce is not None else None

    def number(self, below: str) -> str:
        """Return the number of the part in which a path below the node's own lies."""
        phase, _, rest = below.partition(".")
        parts = rest.split(".")
        return phase if phase == _SPLIT else ".".join((phase, *parts[: 2 if phase == _REDUCE else 1]))

    def place(self, number: str, values: Any = None) -> Place:
        """Return the plan and the place of a part; `values` are a reducer's."""
        plan, at = self.plan, self.at
        phase, _, rest = number.partition(".")
        if phase == _SPLIT:
            return cast("PatternFields", plan.split), at.part(plan, number)
        if phase == _REDUCE:
            return cast("PatternFields", plan.reduce), at.part(plan, number, values, {"items": values})
        assert self.items is not None  # items have places only once they are known
        index = int(rest)
        item = self.items.values[index]
        return cast("PatternFields", plan.map), at.part(plan, number, item, {"item": item, "index": index})

    def forward(self, items: Items, turn: Turn) -> None:
        """Bring items forward, then the reducers that they feed."""
        changed: set[int] = set()
        groups: set[Group] = set()
        for path in turn.changed or ():
            phase, _, rest = path.partition(".")
            numbers = rest.split(".")
            if phase == _REDUCE:
                groups.add((int(numbers[0]), int(numbers[1])))
            elif phase != _SPLIT:
                changed.add(int(numbers[0]))
        items.forward(turn, changed, self.plan.width, lambda n: self._look(n, turn), lambda: self._started_items(turn))
        if self.reducing is not None:
            self.reducing.below_ended(items.take_fresh())
            self.reducing.forward(groups, lambda group, values: self._look_at_group(group, values, items, turn))
            items.any_failed = items.any_failed or bool(self.reducing.failed)

    def value(self, items: Items) -> Outcome | None:
        """Return the list of the items' values, or what the last reducer made of it."""
        reduced = None if self.reducing is None else self.reducing.outcome
        if items.left or self.leaving or (self.reducing is not None and reduced is None):
            return None
        ended = [outcome for outcome in items.ended if outcome is not None]
        if all(outcome.kind == "nothing_to_do" for outcome in ended):
            return ended[0]
        if self.reducing is None or reduced is None:
            return joined(ended, values_of(ended), max(ended, key=lambda outcome: outcome.position))
        if reduced.kind != "succeeded":
            return reduced
        return joined([*ended, *self.reducing.ended], reduced.value, reduced)

    @property
    def failed(self) -> dict[str, Outcome]:
        """The items and reducers that have failed, by number."""
        items = self.items.failed if self.items is not None else {}
        groups = self.reducing.failed if self.reducing is not None else {}
        failed = {f"{_ITEM}.{n}": outcome for n, outcome in items.items()}
        return failed | {f"{_REDUCE}.{level}.{n}": outcome for (level, n), outcome in groups.items()}

    def open(self, items: Items, turn: Turn) -> list[str]:
        """Return the numbers of the parts that have started and not ended."""
        open = []
        for index in self._started_items(turn):
            if index in self.leaving:
                open.append(f"{self._loser(index, turn)}.{index}")
            elif items.ended[index] is None:
                open.append(f"{_ITEM}.{index}")
                if self.plan.speculate_after_s is not None:
                    open.append(f"{_COPY}.{index}")
        return [*open, *self._open_reducers(turn)]

    def is_busy(self, items: Items, turn: Turn) -> bool:
        """Tell, while nothing new begins, whether a part that has started has not ended."""
        return bool(items.open or self.leaving or any(self._open_reducers(turn)))

    def _open_reducers(self, turn: Turn) -> Iterator[str]:
        for level, n in self.reducing.open if self.reducing is not None else ():
            reducer = f"{_REDUCE}.{level}.{n}"
            if f"{self.at.path}.{reducer}" in turn.run.tasks:
                yield reducer

    def _look(self, index: int, turn: Turn) -> Outcome | None:
        """Bring an item forward."""
        after_s = self.plan.speculate_after_s
        map, main = self.place(f"{_ITEM}.{index}")
        if after_s is None:
            return turn.advance(map, main)
        pair = Pair(map, main, self.place(f"{_COPY}.{index}")[1], self.at.part(self.plan, f"{_VERDICT}.{index}"))
        outcome, leaving = pair.advance(turn, after_s)
        (self.leaving.add if leaving else self.leaving.discard)(index)
        return outcome

    def _look_at_group(self, group: Group, values: list[Any], items: Items, turn: Turn) -> Outcome | None:
        """Bring a reducer forward; once something has failed, only one that has started."""
        reduce, place = self.place(f"{_REDUCE}.{group[0]}.{group[1]}", values)
        if items.any_failed and place.path not in turn.run.tasks:
            return None
        return turn.advance(reduce, place)

    def _started_items(self, turn: Turn) -> set[int]:
        numbers = (number.split(".") for number in self.started(turn))
        return {int(rest[0]) for phase, *rest in numbers if phase in (_ITEM, _COPY)}

    def _loser(self, index: int, turn: Turn) -> str:
        """Return the phase of the one of item and copy that does not count."""
        verdict = turn.run.joined[f"{self.at.path}.{_VERDICT}.{index}"]
        return _COPY if verdict.counted[0] == 0 else _ITEM


def advance(plan: MapReduce, at: At, turn: Turn) -> Outcome | None:
    """Split, map and reduce, as far as it goes; after a failure take the rest back."""
    work = turn.notes(at, lambda: _Work(plan, at))
    if work.items is None:
        found = _split(plan, at, turn)
        if not isinstance(found, list):
            return found
        work.begin(found)
    return work.advance(turn)


def undo(plan: MapReduce, at: At, turn: Turn) -> bool:
    """Undo what the parts have done, the last one first."""
    return turn.notes(at, lambda: _Work(plan, at)).undo(turn)


def _split(plan: MapReduce, at: At, turn: Turn) -> list[Any] | Outcome | None:
    """Return the items, None while they are not known, or how it ends without any."""
    if plan.split is None:
        return items_of(plan.items, at, turn)
    outcome = turn.advance(cast("PatternFields", plan.split), at.part(plan, _SPLIT))
    return checked(outcome.value, at) if outcome is not None and outcome.kind == "succeeded" else outcome


register_decider(MapReduce, VERSION, advance, undo)
