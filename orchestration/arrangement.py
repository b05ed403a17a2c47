"""From slices of work to a plan: how each pattern arranges them, and where each slice stands in the plan.

Owns the builders of the built-in patterns. Keeps: whatever the pattern, no slice begins before those that it needs have
ended, and what declares an `undo` is undone when the whole fails; a pattern that can't keep this is refused. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from .fork_join import ForkJoin
from .graph import Graph
from .map_reduce import MapReduce
from .orchestration_pattern import BUILDERS, OrchestrationPattern, pattern_named, register_orchestration_pattern
from .pipeline import Pipeline
from .plan import PatternFields, Plan, Task
from .race import Race
from .recommendation import equal
from .saga import Saga
from .scatter_gather import ScatterGather
from .slice_errors import PatternUnsuitable
from .task_slices import Agents, Order, TaskSlice, order_of


class Arrangement(msgspec.Struct, frozen=True):
    """A plan for slices of work; `paths` has where each slice stands in its run, in the order of the caller's list.

    `chosen` tells that a slice's value is the one that was chosen of several answers, under `value` of its node's.
    """

    plan: Plan
    paths: tuple[str, ...]
    chosen: bool = False


def arrange(pattern: OrchestrationPattern | str, slices: Sequence[TaskSlice], agents: Agents = ()) -> Arrangement:
    """Return the plan of slices of work in a pattern; raises SlicesInvalid, SlicesCyclic, PatternUnsuitable.

    PatternUnknown for one that isn't registered.
    """
    return BUILDERS[pattern_named(pattern).value](order_of(slices, agents))


def placed(order: Order, paths: Sequence[str]) -> tuple[str, ...]:
    """Return paths, which are in the order of the plan, in that of the caller's list."""
    found = [""] * len(paths)
    for path, place in zip(paths, order.given, strict=True):
        found[place] = path
    return tuple(found)


def tasks_of(order: Order) -> list[Task]:
    """Return the slices as tasks with names, their inputs made to refer to these names."""
    names = {one.id: f"s{n}" for n, one in enumerate(order.slices)}
    found = []
    for n, one in enumerate(order.slices):
        found.append(
            Task(
                agent=order.agents[n],
                input=_input(order, n, names),
                name=names[one.id],
                requires=one.requires,
                retry=one.retry,
                timeout_s=one.timeout_s,
                effect=one.effect,
                undo=_renamed_undo(one.undo, names),
                pivot=one.pivot,
            )
        )
    return found


def _input(order: Order, n: int, names: dict[str, str]) -> Any:
    one = order.slices[n]
    if one.input is not None or not order.needs[n]:
        return _renamed(one.input, names)
    needed = sorted(order.needs[n])
    if len(needed) == 1:
        return {"$from": f"s{needed[0]}"}
    return {order.slices[other].id: {"$from": f"s{other}"} for other in needed}


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        if "$from" in value:
            return {**value, "$from": names.get(value["$from"], value["$from"])}
        return {key: _renamed(inner, names) for key, inner in value.items()}
    return [_renamed(inner, names) for inner in value] if isinstance(value, list | tuple) else value


def _renamed_undo(undo: Plan | None, names: dict[str, str]) -> Plan | None:
    return msgspec.structs.replace(undo, input=_renamed(undo.input, names)) if isinstance(undo, Task) else undo


def _pipeline(order: Order) -> Arrangement:
    return _undoable("pipeline", order, lambda steps: Pipeline(steps))


def _fork_join(order: Order) -> Arrangement:
    """Independent slices fork; with dependencies each begins as soon as those that it needs have ended."""
    if order.independent:
        return _undoable("fork_join", order, lambda branches: ForkJoin(branches))
    after = {f"s{n}": [f"s{other}" for other in sorted(needed)] for n, needed in enumerate(order.needs) if needed}
    return _undoable("fork_join", order, lambda steps: Graph(steps, after))


def _undoable(word: str, order: Order, within: Callable[[Sequence[PatternFields]], PatternFields]) -> Arrangement:
    """Put tasks into a pattern; those with an `undo` become sagas of one step, within a saga that undoes them all."""
    for one in order.slices:
        if one.pivot:
            raise PatternUnsuitable(word, f"{one.id!r} is a point of no return, which only a saga has")
    tasks = tasks_of(order)
    if not any(task.undo for task in tasks):
        return Arrangement(within(tasks), placed(order, [f"0.{n}" for n in range(len(tasks))]))
    parts = [Saga([task], name=task.name) if task.undo else task for task in tasks]
    return Arrangement(Saga([within(parts)]), placed(order, [f"0.0.{n}" for n in range(len(tasks))]))


def _saga(order: Order) -> Arrangement:
    return Arrangement(Saga(tasks_of(order)), placed(order, [f"0.{n}" for n in range(len(order.slices))]))


def _map_reduce(order: Order) -> Arrangement:
    """Equal slices become items of a map, the one that needs all of them its reducer."""
    reduces = order.gathers
    items = order.slices[:-1] if reduces else order.slices
    if not order.independent and not reduces:
        n = next(n for n, needed in enumerate(order.needs) if needed)
        other = order.slices[min(order.needs[n])].id
        problem = (
            f"{order.slices[n].id!r} needs {other!r}, and only the last slice of a map may need others, all of them"
        )
        raise PatternUnsuitable("map_reduce", problem)
    last = order.slices[-1]
    plain = equal(items, order.agents[: len(items)]) and not any(one.pivot or one.input is None for one in items)
    if not plain or (reduces and (last.input is not None or last.undo is not None or last.pivot)):
        return _fork_join(order)  # the same work, where a single task can't stand for all items
    tasks = tasks_of(order)
    each = msgspec.structs.replace(tasks[0], input=None, name="")
    reduce = msgspec.structs.replace(tasks[-1], input=None, name="") if reduces else None
    plan = MapReduce(each, [task.input for task in tasks[: len(items)]], reduce=reduce)
    return Arrangement(plan, placed(order, [f"0.1.{n}" for n in range(len(items))] + (["0.2.0.0"] if reduces else [])))


def _scatter_gather(order: Order) -> Arrangement:
    """One question to all agents, one to the agent of each slice, or each question to all agents."""
    if not order.independent:
        raise PatternUnsuitable("scatter_gather", "questions that are asked at once can't need each other's answers")
    for one in order.slices:
        if one.effect == "once" or one.undo is not None or one.pivot:
            raise PatternUnsuitable("scatter_gather", f"{one.id!r} changes something that asking several would repeat")
    first, count = order.slices[0], len(order.slices)
    if count > 1 and all(one.input == first.input for one in order.slices):
        return Arrangement(_question(first, order.agents), placed(order, [f"0.{n}" for n in range(count)]))
    asked = [_question(one, (one.agent,) if one.agent else order.queues) for one in order.slices]
    if count == 1:
        return Arrangement(asked[0], ("0",), chosen=True)
    return Arrangement(ForkJoin(asked), placed(order, [f"0.{n}" for n in range(count)]), chosen=True)


def _question(one: TaskSlice, agents: Sequence[str]) -> ScatterGather:
    return ScatterGather(agents, one.input, timeout_s=one.timeout_s, retry=one.retry, requires=one.requires)


def _race(order: Order) -> Arrangement:
    """Several ways to the same end, of which the first counts."""
    if not order.independent:
        raise PatternUnsuitable("race", "those who race can't need each other")
    return _undoable("race", order, lambda branches: Race(branches))


for _pattern, _build in (
    (OrchestrationPattern.MAP_REDUCE, _map_reduce),
    (OrchestrationPattern.PIPELINE, _pipeline),
    (OrchestrationPattern.FORK_JOIN, _fork_join),
    (OrchestrationPattern.SCATTER_GATHER, _scatter_gather),
    (OrchestrationPattern.SAGA, _saga),
):
    BUILDERS[_pattern.value] = _build
register_orchestration_pattern("race", _race)
