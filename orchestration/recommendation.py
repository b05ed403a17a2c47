"""Which pattern suits slices of work, and why: by their order, their effects and how they are undone. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .orchestration_pattern import OrchestrationPattern
from .task_slices import Agents, Order, TaskSlice, order_of

_canonical = msgspec.json.Encoder(order="deterministic").encode


class Recommendation(msgspec.Struct, frozen=True):
    """A pattern, and in words what speaks for it."""

    pattern: OrchestrationPattern
    reason: str


def recommend(slices: Sequence[TaskSlice], agents: Agents = ()) -> Recommendation:
    """Return the pattern that suits slices of work, with its reason; raises SlicesInvalid and SlicesCyclic."""
    order = order_of(slices, agents)
    return _by_effects(order) or _by_questions(order) or _by_dependencies(order)


def _by_effects(order: Order) -> Recommendation | None:
    """What has to be undone, or can't be repeated, decides before all else."""
    undone = [one.id for one in order.slices if one.undo is not None]
    if undone:
        why = f"{_named(undone)} can be undone, so a failure takes back what was done before, in reverse order"
        return Recommendation(OrchestrationPattern.SAGA, why)
    pivots = [one.id for one in order.slices if one.pivot]
    if pivots:
        return Recommendation(OrchestrationPattern.SAGA, f"{_named(pivots)} is the point of no return")
    once = [one.id for one in order.slices if one.effect == "once"]
    if len(once) > 1:
        why = f"{_named(once)} must not be done twice: one after the other, a failure leaves none of them half done"
        return Recommendation(OrchestrationPattern.PIPELINE, why)
    return None


def _by_questions(order: Order) -> Recommendation | None:
    """The same question to many."""
    if not order.independent or any(one.effect == "once" for one in order.slices):
        return None
    if len(order.slices) == 1:
        only = order.slices[0]
        if only.agent or only.effect != "read" or len(order.queues) < 2:
            return None
        why = f"one question, and {len(order.queues)} agents that can answer it"
        return Recommendation(OrchestrationPattern.SCATTER_GATHER, why)
    if len({_canonical(one.input) for one in order.slices}) > 1 or len(set(order.agents)) < 2:
        return None
    why = f"the same question to {len(set(order.agents))} agents: {_named(sorted(set(order.agents)))}"
    return Recommendation(OrchestrationPattern.SCATTER_GATHER, why)


def _by_dependencies(order: Order) -> Recommendation:
    count = len(order.slices)
    if count == 1:
        return Recommendation(OrchestrationPattern.PIPELINE, "a single slice of work")
    if order.independent:
        if equal(order.slices, order.agents):
            why = f"{count} slices that are equal but for their input, and need nobody"
            return Recommendation(OrchestrationPattern.MAP_REDUCE, why)
        why = f"{count} slices that need nobody, of different kinds"
        return Recommendation(OrchestrationPattern.FORK_JOIN, why)
    if order.is_chain:
        return Recommendation(OrchestrationPattern.PIPELINE, f"a chain: each of {count} slices needs the one before it")
    layers = order.layers
    why = f"a graph of {len(layers)} layers, of which the widest has {max(layers)} slices beside each other"
    if order.gathers and equal(order.slices[:-1], order.agents[:-1]):
        last = order.slices[-1]
        if last.input is None:
            why = f"{count - 1} equal slices that need nobody, and {last.id!r}, which needs all of them"
            return Recommendation(OrchestrationPattern.MAP_REDUCE, why)
        # A reducer is handed all values as a list, and nothing else.
        why = f"{last.id!r} has an input of its own, so it can't be a reducer, which is handed all values: {why}"
    return Recommendation(OrchestrationPattern.FORK_JOIN, why)


def equal(slices: Sequence[TaskSlice], agents: Sequence[str]) -> bool:
    """Tell whether slices differ in nothing but id and input, so that one task can stand for all of them."""
    pairs = zip(slices, agents, strict=True)
    alike = {(agent, one.effect, one.pivot, one.timeout_s, *one.requires) for one, agent in pairs}
    return len(alike) == 1 and all(one.retry == slices[0].retry and one.undo is None for one in slices)


def _named(ids: Sequence[str]) -> str:
    shown = [repr(one) for one in ids[:3]]
    return ", ".join(shown) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
