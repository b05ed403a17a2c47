"""What is worked out about the nodes of a run's plan, so that an input costs what it changes, not the plan's size.

A cache and nothing else: everything in it follows from the run's state, an empty one gives the same decisions, and it
is thrown away whenever in doubt. Owns which nodes must be looked at again: those above and at a task that has changed.
Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from .run_state import tree_order

if TYPE_CHECKING:
    from .place import Outcome, Question
    from .plan import PatternFields

P = TypeVar("P", bound="PatternFields")
T = TypeVar("T")


#: Shared by all the nodes in which nothing has changed.
NOTHING: frozenset[str] = frozenset()


class Node:
    """One node: its outcome, None while it is open, and what its pattern's decider keeps for the next time.

    `changed` has the paths, below its own, of the nodes that have changed since it was looked at; None for all.
    `undone` counts the parts whose undoing is over; `leaving` has the tasks of parts that are not needed any more and
    have not let go yet, `left` counts such parts that are done with.
    """

    __slots__ = ("changed", "dirty", "leaving", "left", "notes", "outcome", "undone")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.notes: Any = None
        self.changed: set[str] | frozenset[str] | None = None
        self.dirty = True
        self.undone = 0
        self.leaving: set[str] | None = None
        self.left = 0

    def note(self, path: str) -> None:
        """Note that something has changed at a path below the node's own."""
        if self.changed is NOTHING:
            self.changed = {path}
        elif isinstance(self.changed, set):
            self.changed.add(path)


class Held:
    """Tasks that wait until fewer of their level are out; the first one of the tree comes first."""

    __slots__ = ("_heap", "_paths")

    def __init__(self) -> None:
        self._heap: list[tuple[tuple[tuple[int, str], ...], str]] = []
        self._paths: set[str] = set()

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._paths, key=tree_order))

    @property
    def first(self) -> tuple[tuple[int, str], ...]:
        """Where in the tree the first of them stands."""
        return self._heap[0][0]

    def add(self, path: str) -> None:
        """Let a task wait, if it doesn't already."""
        if path not in self._paths:
            self._paths.add(path)
            heapq.heappush(self._heap, (tree_order(path), path))

    def pop(self) -> str:
        """Return the first task of the tree, which waits no longer."""
        path = heapq.heappop(self._heap)[1]
        self._paths.discard(path)
        return path


class Memo:
    """The nodes of one run, by path and by how many tasks above them are plans (a task and its plan share a path)."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, int], Node] = {}
        self._depth = 0
        self._of_plans: dict[tuple[int, Callable[..., Any]], tuple[PatternFields, Any]] = {}
        #: What humans are asked, by the node that asks.
        self.questions: dict[tuple[str, int], list[Question]] = {}
        #: Tasks that wait until fewer of their level are out, by level.
        self.held: dict[int, Held] = {}
        #: Whether everything that is open has been taken back, once a run is being stopped.
        self.swept = False

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def node(self, path: str, depth: int) -> Node:
        """Return a node, new if it wasn't known."""
        key = (path, depth)
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = Node()
            self._depth = max(self._depth, depth)
        return node

    def outcome(self, path: str) -> Outcome | None:
        """Return the outcome of the node at a path, None while it is open or unknown."""
        for depth in range(self._depth + 1):
            node = self._nodes.get((path, depth))
            if node is not None:
                return node.outcome
        return None

    def of_plan(self, plan: P, find: Callable[[P], T]) -> T:
        """Return what follows from a pattern alone, found once."""
        key = (id(plan), find)
        known = self._of_plans.get(key)
        if known is None:
            # The pattern is kept as well, so that its id stays its own.
            known = self._of_plans[key] = (plan, find(plan))
        found: T = known[1]
        return found

    def number_of(self, name: str, within: PatternFields) -> str | None:
        """Return the number of the part of a pattern that has a name, None where there is none."""
        return self.of_plan(within, _numbers).get(name)

    def touch(self, path: str) -> None:
        """Note that the task at a path has changed: it and all nodes above it are to be looked at again."""
        nodes, depths = self._nodes, range(self._depth + 1)
        here, below = path, path
        while True:
            found = False
            for depth in depths:
                node = nodes.get((here, depth))
                if node is not None:
                    found = node.dirty = True
                    # What undoes a step lies below its path, but not in the plan that it may have answered with.
                    if node.changed is not None and below != here and below != f"{here}.undo":
                        node.note(below[len(here) + 1 :])
            if found:
                below = here
            here, dot, _ = here.rpartition(".")
            if not dot:
                return

    def reopen(self, path: str, above: str) -> None:
        """Forget what the nodes at a path and over it, up to one that stays, keep of parts that have ended."""
        while path and path != above:
            for depth in range(self._depth + 1):
                node = self._nodes.get((path, depth))
                if node is not None:
                    node.notes, node.changed, node.dirty = None, None, True
            path = path.rpartition(".")[0]


def _numbers(plan: PatternFields) -> dict[str, str]:
    return {part.plan.name: part.number for part in plan.parts() if part.plan.name and part.number}
