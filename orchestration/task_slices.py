"""Slices of work: what is to be done, in which order, by whom, and what doing it means.

Owns their shape, their order and its check; leaves to `arrangement` how they become a plan, and to `recommendation`
which pattern suits them. Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from .plan import Plan, Retry
from .slice_errors import SlicesCyclic, SlicesInvalid
from .values import ReferenceInvalid, references

Agents = Sequence[str] | Mapping[str, str]


class TaskSlice(msgspec.Struct, frozen=True):
    """One slice of work. `id` is any text; `input` any data, in which `{"$from": "<id>"}` stands for another's value.

    A slice begins when those in `depends_on`, and those to whose values it refers, have ended. Without an `input` it
    gets the value of the one it depends on, or, of several, an object of their values by id. `agent` is the queue that
    does it, one of the call's where it names none. `undo`, `pivot`, `effect`, `retry`, `timeout_s` and `requires` are
    those of a task (see `plan`).
    """

    id: str
    input: Any = None
    agent: str = ""
    depends_on: Sequence[str] = ()
    effect: Literal["read", "idempotent", "once"] = "idempotent"
    undo: Plan | None = None
    pivot: bool = False
    retry: Retry | None = None
    timeout_s: float | None = None
    requires: Sequence[str] = ()


class Order(msgspec.Struct, frozen=True):
    """Slices in an order in which each stands after those that it needs; otherwise as they were given.

    `given` has the place of each in the caller's list, `needs` the numbers (in this order) of those that it needs,
    `agents` who does each, `queues` all that may be asked.
    """

    slices: tuple[TaskSlice, ...]
    given: tuple[int, ...]
    needs: tuple[frozenset[int], ...]
    agents: tuple[str, ...]
    queues: tuple[str, ...]

    @property
    def independent(self) -> bool:
        """Whether no slice needs another."""
        return not any(self.needs)

    @property
    def is_chain(self) -> bool:
        """Whether each slice needs the one before it, and no other that this doesn't imply."""
        return all(n - 1 in needed for n, needed in enumerate(self.needs) if n)

    @property
    def gathers(self) -> bool:
        """Whether the last slice needs all others, and those need nobody."""
        return len(self.slices) > 1 and not any(self.needs[:-1]) and len(self.needs[-1]) == len(self.slices) - 1

    @property
    def layers(self) -> list[int]:
        """How many slices could run at once, layer by layer."""
        depth: list[int] = []
        for needed in self.needs:
            depth.append(1 + max((depth[n] for n in needed), default=-1))
        return [depth.count(n) for n in range(max(depth) + 1)]


def order_of(slices: Sequence[TaskSlice], agents: Agents = ()) -> Order:
    """Put slices in order and give each its agent; raises SlicesInvalid and SlicesCyclic, which names the circle."""
    if not slices:
        raise SlicesInvalid("", "there are no slices of work")
    places = {one.id: n for n, one in enumerate(slices)}
    for n, one in enumerate(slices):
        if places[one.id] != n:
            raise SlicesInvalid(one.id, "two slices have this id")
    needed = [{places[other] for other in _needed(one, places)} for one in slices]
    sequence = _sequence(slices, needed)
    number = {place: n for n, place in enumerate(sequence)}
    queues = tuple(dict.fromkeys(agents.values() if isinstance(agents, Mapping) else agents))
    return Order(
        slices=tuple(slices[place] for place in sequence),
        given=tuple(sequence),
        needs=tuple(frozenset(number[other] for other in needed[place]) for place in sequence),
        agents=tuple(_agent_of(slices[place], place, agents) for place in sequence),
        queues=queues or tuple(dict.fromkeys(one.agent for one in slices)),
    )


def _needed(one: TaskSlice, places: Mapping[str, int]) -> list[str]:
    found = list(one.depends_on)
    try:
        found += [ref.name for _, ref in references(one.input) if ref.name in places]
    except ReferenceInvalid as error:
        raise SlicesInvalid(one.id, f"input{error.place}: {error.problem}") from None
    for other in found:
        if other not in places:
            raise SlicesInvalid(one.id, f"it depends on {other!r}, and there is no such slice")
    return found


def _sequence(slices: Sequence[TaskSlice], needed: Sequence[set[int]]) -> list[int]:
    """Return the places in an order that keeps what is needed, and the caller's otherwise."""
    missing = [len(others) for others in needed]
    ready = [n for n, count in enumerate(missing) if not count]
    found: list[int] = []
    while ready:
        done = heapq.heappop(ready)
        found.append(done)
        for n, others in enumerate(needed):
            if done in others:
                missing[n] -= 1
                if not missing[n]:
                    heapq.heappush(ready, n)
    if len(found) < len(slices):
        raise SlicesCyclic(tuple(slices[n].id for n in _circle(needed, set(range(len(slices))) - set(found))))
    return found


def _circle(needed: Sequence[set[int]], left: set[int]) -> list[int]:
    """Return a circle among slices of which each needs one that is left, its first one at both ends."""
    way = [min(left)]
    while True:
        after = min(needed[way[-1]] & left)
        if after in way:
            return [*way[way.index(after) :], after]
        way.append(after)


def _agent_of(one: TaskSlice, place: int, agents: Agents) -> str:
    if one.agent:
        return one.agent
    found = agents.get(one.id, "") if isinstance(agents, Mapping) else agents[place % len(agents)] if agents else ""
    if not found:
        raise SlicesInvalid(one.id, "it has no agent, and none is given for it")
    return found
