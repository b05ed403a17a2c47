"""The pipeline: steps one after the other, once or for every item of a list, until one fails. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .item_work import ItemWork, Place
from .items import Items, items_of, items_problems, joined, open_problems, values_of
from .plan import Part, register_pattern
from .steps import Stepping, advance_steps
from .turn import At, Outcome, Turn, register_decider
from .undoing import undo_parts

VERSION = 3


@register_pattern
class Pipeline(Stepping, frozen=True, tag_field="pattern", tag="pipeline"):
    """Steps one after the other; the first that fails ends it. Its value is its last step's.

    A step without an input gets the value of the step before it. With `items` (a list, or a `$from`) every item goes
    through all steps, and does not wait for others between two of them; the names `item` and `index` (from 0) stand for
    it, and the first step without an input gets it. At most `in_flight_max` items are on their way at once (0: no
    bound). The value is the list of the items' last values, in their order, or where it need not be `ordered` in that
    in which they were done. The first item that fails fails it; the others are taken back.
    """

    items: Any = None
    in_flight_max: int = 0
    ordered: bool = True

    def parts(self) -> Iterator[Part]:
        """Yield the steps."""
        for part in super().parts():
            # With items each is run many times, at <item>.<step>.
            yield part if self.items is None else part._replace(number="", sees=("item", "index"))

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Yield the items."""
        yield "items", self.items

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with it."""
        yield from super().problems()
        yield from items_problems(self.items)
        yield from open_problems("in_flight_max", self.in_flight_max)
        for field, default in (("in_flight_max", 0), ("ordered", True)):
            if self.items is None and getattr(self, field) != default:
                yield field, "belongs to a pipeline with `items`"


class _Flow(ItemWork):
    """What the decider keeps of a pipeline with items from turn to turn."""

    def __init__(self, plan: Pipeline, at: At) -> None:
        super().__init__(at)
        self._plan = plan
        self._each = Pipeline(plan.steps)

    def number(self, below: str) -> str:
        """Return the item in whose steps a path below the pipeline's own lies."""
        return below.partition(".")[0]

    def place(self, number: str) -> Place:
        """Return an item's steps and its place."""
        assert self.items is not None  # items have places only once they are known
        index = int(number)
        item = self.items.values[index]
        return self._each, self.at.part(self._plan, number, item, {"item": item, "index": index})

    def forward(self, items: Items, turn: Turn) -> None:
        """Bring the items forward that have changed, and begin others."""
        changed = {int(self.number(path)) for path in turn.changed or ()}
        bound = self._plan.in_flight_max
        items.forward(
            turn, changed, bound, lambda n: turn.advance(*self.place(str(n))), lambda: map(int, self.started(turn))
        )

    def value(self, items: Items) -> Outcome | None:
        """Return the list of the items' last values."""
        if items.left:
            return None
        ended = [outcome for outcome in items.ended if outcome is not None]
        if all(outcome.kind == "nothing_to_do" for outcome in ended):
            return ended[0]
        in_time = sorted(ended, key=lambda outcome: outcome.position)
        return joined(ended, values_of(ended if self._plan.ordered else in_time), in_time[-1])

    @property
    def failed(self) -> dict[str, Outcome]:
        """The items that have failed."""
        return {str(n): outcome for n, outcome in self.items.failed.items()} if self.items is not None else {}

    def open(self, items: Items, turn: Turn) -> list[str]:
        """Return the items that have started and not ended."""
        return [number for number in self.started(turn) if items.ended[int(number)] is None]


def advance(plan: Pipeline, at: At, turn: Turn) -> Outcome | None:
    """Bring the first open step forward, of every item where there are items; the first failure is the pipeline's."""
    if plan.items is None:
        return advance_steps(plan, at, turn, hand_on=True)[0]
    flow = turn.notes(at, lambda: _Flow(plan, at))
    if flow.items is None:
        found = items_of(plan.items, at, turn)
        if not isinstance(found, list):
            return found
        flow.items = Items(found, plan.steps)
    return flow.advance(turn)


def undo(plan: Pipeline, at: At, turn: Turn) -> bool:
    """Undo what the steps have done, the last one first; of items the last one first."""
    if plan.items is None:
        return undo_parts(plan, at, turn)
    return turn.notes(at, lambda: _Flow(plan, at)).undo(turn)


register_decider(Pipeline, VERSION, advance, undo)
