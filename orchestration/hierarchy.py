"""A hierarchy of agents: what its primary and secondary agents answer, worked out from a task and its subtasks.

The primary decomposes a task, validates the parts, and, as the last task of its plan, aggregates what came of them. A
secondary coordinates one part: its subtasks begin as soon as those that they need have ended. Tertiary agents, the
user's own, do the atomic work. Owns the shapes that pass between them. Keeps: each leaf of the tree is one task of a
tertiary agent; none begins before those that it depends on have ended, in whatever part of the tree they are. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from .decomposition import Decomposition, Subtask
from .graph import Graph
from .pipeline import Pipeline
from .plan import PatternFields, Plan, Retry, Task
from .slice_errors import SlicesCyclic, SlicesInvalid
from .task_slices import TaskSlice, order_of

#: So much of a task's text goes to each of its workers as the context of their part.
CONTEXT_CHARS = 4000

#: Where in the run the values of parts stand that came before, by id: they are handed on by reference, never copied.
Paths = Mapping[str, str]


class Work(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One part of a task, as it is given by hand or found by decomposition; one with `subtasks` is their sum.

    `id` is its place (1.2 unless given), `depends_on` the ids of parts anywhere in the tree that come before. `input`
    is handed to its worker as it is. `agent` is the queue that does it, the tertiary one unless given.
    """

    title: str
    id: str = ""
    kind: str = ""
    files: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    input: Any = None
    agent: str = ""
    subtasks: tuple[Work, ...] = ()


class Roles(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who does what, by queue, and how: `room` is how deep tasks may still answer with plans.

    `aggregation` is who puts the values together; the primary agent, unless given.
    """

    primary: str = "primary"
    secondary: str = "secondary"
    tertiary: str = "tertiary"
    aggregation: str = ""
    room: int = 3
    retry: Retry | None = None
    timeout_s: float | None = None


class Brief(msgspec.Struct, frozen=True, omit_defaults=True):
    """What all who work on a task are told of it."""

    text: str
    repo: str | None = None
    base: str | None = None
    constraints: tuple[str, ...] = ()


def work_of(found: Decomposition) -> tuple[Work, ...]:
    """Return the subtasks of a decomposition as parts of a task."""
    return tuple(map(_of_subtask, found.subtasks))


def _of_subtask(found: Subtask) -> Work:
    return Work(
        title=found.title,
        id=found.id,
        kind=found.kind,
        files=found.files,
        checks=found.checks,
        depends_on=found.depends_on,
        subtasks=tuple(map(_of_subtask, found.subtasks)),
    )


def numbered(parts: Sequence[Work], above: str = "") -> tuple[Work, ...]:
    """Give each part that has no id its place in the tree, from 1."""
    found = []
    for n, part in enumerate(parts, 1):
        id = part.id or f"{above}{n}"
        found.append(msgspec.structs.replace(part, id=id, subtasks=numbered(part.subtasks, f"{id}.")))
    return tuple(found)


def check_work(parts: Sequence[Work]) -> None:
    """Raise SlicesInvalid for parts that can't be carried out, and SlicesCyclic, which names the circle."""
    known: dict[str, list[str]] = {}
    for part in walk(parts):
        if part.id in known:
            raise SlicesInvalid(part.id, "two subtasks have this id", "subtask")
        known[part.id] = [leaf.id for leaf in leaves((part,))]
    slices = []
    for leaf, needed in _leaf_needs(parts, ()):
        for other in needed:
            if other not in known:
                raise SlicesInvalid(leaf.id, f"it depends on {other!r}, and there is no such subtask", "subtask")
        before = [one for other in needed for one in known[other]]
        slices.append(TaskSlice(leaf.id, agent="worker", depends_on=before))
    if slices:
        order_of(slices)


def walk(parts: Iterable[Work]) -> Iterator[Work]:
    """Yield all parts, each before those below it."""
    for part in parts:
        yield part
        yield from walk(part.subtasks)


def leaves(parts: Iterable[Work]) -> Iterator[Work]:
    """Yield the parts that are done by a worker."""
    return (part for part in walk(parts) if not part.subtasks)


def primary_plan(brief: Brief, parts: Sequence[Work], roles: Roles, about: dict[str, Any], path: str = "0") -> Plan:
    """Return the plan with which the primary agent at a path answers: its parts, coordinated, then the aggregation.

    `about` is handed to the aggregation.
    """
    below = msgspec.structs.replace(roles, room=roles.room - 1)

    def each(part: Work, results: Paths, place: str) -> Plan:
        return _coordinated(part, results, brief, below, place)

    work = msgspec.structs.replace(_graph(parts, each, f"{path}.0"), name="parts")
    tree = msgspec.to_builtins(parts)
    aggregate = {"do": "aggregate", **about, "parts": tree, "values": {"$from": "parts"}}
    return Pipeline([work, Task(roles.aggregation or roles.primary, aggregate, name="aggregate")])


def secondary_plan(brief: Brief, part: Work, roles: Roles, results: Paths, path: str) -> Plan:
    """Return the plan with which the secondary agent at a path answers for a part; `results` says what came before."""
    if not part.subtasks:
        return _done(part, brief, roles, results)
    inside = {one.id for one in walk(part.subtasks)}
    below = msgspec.structs.replace(roles, room=roles.room - 1)

    def each(one: Work, before: Paths, place: str) -> Plan:
        outside = any(other not in inside for inner in walk((one,)) for other in inner.depends_on)
        known = {**(results if outside or part.depends_on else {}), **before}
        if not one.subtasks:
            return _done(one, brief, roles, known)
        return _coordinated(one, known, brief, below, place)

    return _graph(part.subtasks, each, path)


def arranged(parts: Sequence[Work]) -> tuple[Work, ...]:
    """Return parts in the order in which a plan has them: each after those that it, or anything in it, depends on.

    Parts that depend on each other crosswise, by what is in them, become one part of all that is in them.
    """
    while True:
        needs = _sibling_needs(parts)
        slices = [
            TaskSlice(part.id, agent="worker", depends_on=needed) for part, needed in zip(parts, needs, strict=True)
        ]
        try:
            order = order_of(slices).given if slices else ()
        except SlicesCyclic as problem:
            parts = _merged(parts, set(problem.cycle))
            continue
        return tuple(parts[place] for place in order)


def values_of(parts: Sequence[Work], values: Any) -> dict[str, Any]:
    """Return the value of each leaf by its id, from what the plan of these parts came to."""
    found: dict[str, Any] = {}
    order = arranged(parts)
    if values is None:
        return dict.fromkeys((leaf.id for leaf in leaves(order)), None)
    if not isinstance(values, list) or len(values) != len(order):
        raise SlicesInvalid("", f"{len(order)} parts were to be aggregated, and their values are {str(values)[:80]}")
    for part, value in zip(order, values, strict=True):
        found.update(values_of(part.subtasks, value) if part.subtasks else {part.id: value})
    return found


def _graph(parts: Sequence[Work], each: Callable[[Work, Paths, str], Plan], path: str) -> Graph:
    """Return the graph of parts that will stand at a path; `each` gets a part, what came before it, and its place."""
    order = arranged(parts)
    number = {part.id: n for n, part in enumerate(order)}
    steps: list[PatternFields] = []
    after: dict[str, list[str]] = {}
    for n, (part, needed) in enumerate(zip(order, _sibling_needs(order), strict=True)):
        before = {other: f"{path}.{number[other]}" for other in needed}
        step = cast("PatternFields", each(part, before, f"{path}.{n}"))
        steps.append(msgspec.structs.replace(step, name=f"p{n}"))
        if needed:
            after[f"p{n}"] = [f"p{number[other]}" for other in needed]
    return Graph(steps, after)


def _coordinated(part: Work, results: Paths, brief: Brief, roles: Roles, place: str) -> Plan:
    """Return what coordinates a part: a secondary agent, or where no further answers are allowed its plan itself."""
    if roles.room < 1:
        return secondary_plan(brief, part, roles, results, place)
    data = {"do": "coordinate", "brief": brief, "part": part, "roles": roles, "results": results}
    return Task(roles.secondary, msgspec.to_builtins(data))


def _done(part: Work, brief: Brief, roles: Roles, results: Paths) -> Plan:
    """Return the task of the worker that does a part."""
    told = {
        "task": part.title,
        "id": part.id,
        "kind": part.kind,
        "files": list(part.files),
        "checks": list(part.checks),
        "text": brief.text[:CONTEXT_CHARS],
        "repo": brief.repo,
        "base": brief.base,
        "constraints": list(brief.constraints),
        "results": {id: {"$from": path, "default": None} for id, path in results.items()},
        "input": part.input,
    }
    return Task(part.agent or roles.tertiary, told, retry=roles.retry, timeout_s=roles.timeout_s)


def _sibling_needs(parts: Sequence[Work]) -> list[list[str]]:
    """Return, for each part, the ids of those beside it that it, or anything in it, depends on."""
    place = {inner.id: part.id for part in parts for inner in walk((part,))}
    found = []
    for part in parts:
        needed = [place[other] for inner in walk((part,)) for other in inner.depends_on if other in place]
        found.append(list(dict.fromkeys(other for other in needed if other != part.id)))
    return found


def _merged(parts: Sequence[Work], ids: set[str]) -> list[Work]:
    """Put all that is in some parts into one part, in the place of the first."""
    members = [part for part in parts if part.id in ids]
    inside = [one for part in members for one in (part.subtasks or (part,))]
    # What depended on a part as a whole depends on all that was in it.
    whole = {part.id: tuple(leaf.id for leaf in leaves((part,))) for part in members if part.subtasks}
    whole_needs = {one.id: part.depends_on for part in members if part.subtasks for one in part.subtasks}
    one = Work(
        title="; ".join(part.title for part in members),
        id="+".join(part.id for part in members),
        subtasks=tuple(_rewired(inner, whole, whole_needs.get(inner.id, ())) for inner in inside),
    )
    found: list[Work] = []
    for part in parts:
        if part is members[0]:
            found.append(one)
        elif part.id not in ids:
            found.append(_rewired(part, dict.fromkeys(whole, (one.id,)), ()))
    return found


def _rewired(part: Work, whole: Mapping[str, Sequence[str]], more: Sequence[str]) -> Work:
    needed = [other for id in (*part.depends_on, *more) for other in whole.get(id, (id,))]
    return msgspec.structs.replace(
        part,
        depends_on=tuple(dict.fromkeys(needed)),
        subtasks=tuple(_rewired(inner, whole, ()) for inner in part.subtasks),
    )


def _leaf_needs(parts: Iterable[Work], above: tuple[str, ...]) -> Iterator[tuple[Work, tuple[str, ...]]]:
    """Yield each leaf with the ids that it, or a part around it, depends on."""
    for part in parts:
        needed = (*above, *part.depends_on)
        if part.subtasks:
            yield from _leaf_needs(part.subtasks, needed)
        else:
            yield part, needed
