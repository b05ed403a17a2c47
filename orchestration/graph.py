"""The graph: steps that each begin as soon as those that they need have ended, and no later."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from .branches import Ended, first_failure, in_order_of_success
from .joined_evidence import join_evidence
from .plan import PatternFields, nodes_of, register_pattern
from .run_state import Joined
from .steps import Stepping
from .turn import At, Outcome, Turn, register_decider
from .undoing import is_under, take_back, undo_parts
from .values import references

VERSION = 1


@register_pattern
class Graph(Stepping, frozen=True, tag_field="pattern", tag="graph"):
    """Steps that begin when those that they need have ended; all others run beside each other.

    A step needs those to whose values it refers, and those that `after` lists for its name. It can need only steps
    before it, so there is no circle. The first failure ends it, and what is open is taken back. Its value is the list
    of the steps' values, in their order, null for those that had nothing to do.
    """

    after: Mapping[str, Sequence[str]] = {}

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the steps and their order."""
        yield from super().problems()
        numbers = _numbers(self)
        for name, needed in self.after.items():
            if name not in numbers:
                yield f"after.{name}", f"no step is named {name!r}"
                continue
            for n, other in enumerate(needed):
                if other not in numbers:
                    yield f"after.{name}[{n}]", f"no step is named {other!r}"
                elif numbers[other] >= numbers[name]:
                    yield f"after.{name}[{n}]", f"{other!r} does not stand before {name!r}"


class _Work:
    """What the decider keeps of one node: which steps have ended, and how many of those that each needs have not."""

    def __init__(self, plan: Graph) -> None:
        needed = needs_of(plan)
        self.ended = Ended()
        self.missing = [len(numbers) for numbers in needed]
        self.dependents: list[list[int]] = [[] for _ in needed]
        for n, numbers in enumerate(needed):
            for other in numbers:
                self.dependents[other].append(n)

    def end(self, n: int, outcome: Outcome | None) -> Iterator[int]:
        """Note how a step stands; yield the steps that can begin now."""
        fresh = outcome is not None and n not in self.ended
        self.ended.note(n, outcome)
        if fresh and outcome is not None and outcome.kind != "failed":
            for other in self.dependents[n]:
                self.missing[other] -= 1
                if not self.missing[other]:
                    yield other


def needs_of(plan: Graph) -> list[frozenset[int]]:
    """Return, for each step, the numbers of the steps that have to end before it."""
    numbers, found = _numbers(plan), []
    for n, step in enumerate(cast("Sequence[PatternFields]", plan.steps)):
        names = {*plan.after.get(step.name, ())} if step.name else set()
        for node in nodes_of(step):
            for _, value in node.inputs():
                names |= {reference.name for _, reference in references(value)}
        found.append(frozenset(numbers[name] for name in names if numbers.get(name, n) < n))
    return found


def advance(plan: Graph, at: At, turn: Turn) -> Outcome | None:
    """Bring all steps forward whose turn it is; after a failure take the rest back."""
    steps = cast("Sequence[PatternFields]", plan.steps)
    joined = turn.run.joined.get(at.path)
    if joined is None:
        ended = _forward(plan, at, turn)
        if not ended.count["failed"]:
            return _value(ended) if len(ended) == len(steps) else None
        joined = Joined((), tuple(n for n in range(len(steps)) if n not in ended))
        if joined.unneeded:
            turn.decide("task.joined", at.path, counted=joined.counted, unneeded=joined.unneeded)
    if not take_back([(steps[n], at.part(plan, n)) for n in joined.unneeded], at, turn, "not_needed"):
        return None
    unneeded, ended = {*joined.unneeded}, Ended()
    for n, step in enumerate(steps):
        if n not in unneeded:
            ended.note(n, turn.advance(step, at.part(plan, n)))
    return first_failure(ended)


def _forward(plan: Graph, at: At, turn: Turn) -> Ended:
    """Bring forward, in their order, the steps that have changed and those that can begin because of it."""
    work = turn.notes(at, lambda: _Work(plan))
    steps = cast("Sequence[PatternFields]", plan.steps)
    if turn.changed is None:
        due = [n for n, missing in enumerate(work.missing) if not missing]
    else:
        due = sorted({int(path.partition(".")[0]) for path in turn.changed})
    while due:
        n = heapq.heappop(due)
        place = at.part(plan, n)
        if work.ended.count["failed"] and not _has_started(place.path, turn):
            # Something has failed: what runs goes on for now, what doesn't is not begun any more.
            turn.wind_up(steps[n], place)
            outcome = turn.outcome(place)
        else:
            outcome = turn.advance(steps[n], place)
        for other in work.end(n, outcome):
            heapq.heappush(due, other)
    return work.ended


def _has_started(path: str, turn: Turn) -> bool:
    return any(is_under(task, path) for task in turn.run.tasks)


def _value(ended: Ended) -> Outcome:
    done = in_order_of_success(ended)
    if not done:
        return ended[0]
    last = ended[done[-1]]
    values = [ended[n].value if ended[n].kind == "succeeded" else None for n in range(len(ended))]
    evidence = join_evidence(ended[n].evidence for n in sorted(done))
    return Outcome("succeeded", last.path, values, evidence, message=last.message, position=last.position)


def _numbers(plan: Graph) -> dict[str, int]:
    steps = cast("Sequence[PatternFields]", plan.steps)
    return {step.name: n for n, step in enumerate(steps) if step.name}


register_decider(Graph, VERSION, advance, undo_parts)
