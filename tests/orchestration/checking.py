"""What must hold of every run that has ended, whatever its plan and whatever happened to it on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from twelvefold.eventstore.event import Event
from twelvefold.orchestration.plan import PatternFields, Task
from twelvefold.orchestration.redecide import redecide
from twelvefold.orchestration.run_fold import fold_run
from twelvefold.orchestration.run_state import Run
from twelvefold.orchestration.saga import Saga

REPORTS = frozenset({"task.succeeded", "task.nothing_to_do", "task.failed", "task.needs_human", "task.planned"})


def check_ended(run: str, events: Sequence[Event], *, plainly: bool = True) -> Run:
    """Check what the log says of one run, and return its state. `plainly` decides it with nothing remembered, too."""
    state = fold_run(run, events).at_head
    assert state.status == "ended", [f"{event.type} {event.stream}" for event in events][-30:]
    assert not state.out
    assert not state.timers
    ends = [event.type for event in events if event.seen and event.type == f"run.{state.outcome}"]
    assert len(ends) == 1
    reports = Counter(event.cause for event in events if event.type in REPORTS and not event.seen)
    assert all(count == 1 for count in reports.values()), "a request was answered twice"
    requested = Counter(
        (event.data["path"], event.data["attempt"]) for event in events if event.type == "task.requested"
    )
    assert all(count == 1 for count in requested.values()), "an attempt was requested twice"
    check_decisions(run, events, plainly=plainly)
    check_sagas(state, [event.data["path"] for event in events if event.type == "task.compensated"])
    return state


def check_decisions(run: str, events: Sequence[Event], *, plainly: bool = True) -> None:
    """Check that deciding again gives what was recorded, also with nothing remembered from input to input."""
    for remember in (True, False) if plainly else (True,):
        found = redecide(run, events, remember=remember)
        assert found.difference is None, found
        assert (found.older, found.problem) == (0, ""), found
        assert found.decisions == sum(event.seen > 0 for event in events)


def check_sagas(state: Run, compensated: Sequence[str]) -> None:
    """Check that completed steps were compensated once, in exact reverse, and all of them where a saga had to be."""
    assert len({*compensated}) == len(compensated), "something was compensated twice"
    assert state.plan is not None
    for path, saga in nodes_of_run(state, state.plan, "0"):
        if not isinstance(saga, Saga):
            continue
        order = [int(one.rpartition(".")[2]) for one in compensated if one.rpartition(".")[0] == path]
        assert order == sorted(order, reverse=True), (path, compensated)
        if any(step.pivot for step in _steps(saga)):
            continue
        completed = [n for n, step in enumerate(_steps(saga)) if step.undo and _outcome(state, f"{path}.{n}", step)]
        given_up = [n for n in completed if (undo := state.tasks.get(f"{path}.{n}.undo")) and undo.final]
        failed = any(_outcome(state, f"{path}.{n}", step) is False for n, step in enumerate(_steps(saga)))
        if failed or (state.outcome == "cancelled" and not _has_pivot(state)):
            around = any(path == one or path.startswith(f"{one}.") for one in compensated)
            assert around or {*completed} <= {*order, *given_up}, (path, completed, compensated)


def nodes_of_run(state: Run, plan: PatternFields, path: str) -> Iterator[tuple[str, PatternFields]]:
    """Yield each node of a run's tree that tasks stand in, with its path; plans that tasks answered with as well."""
    yield path, plan
    task = state.tasks.get(path)
    if isinstance(plan, Task):
        if task is not None and task.plan is not None:
            yield from nodes_of_run(state, task.plan, f"{path}.0" if isinstance(task.plan, Task) else path)
        return
    for part in plan.parts():
        for number in [part.number] if part.number else _numbers(state, plan, part.place, path):
            yield from nodes_of_run(state, part.plan, f"{path}.{number}")


def _numbers(state: Run, plan: PatternFields, place: str, path: str) -> list[str]:
    """The numbers at which tasks stand of a part that is run many times."""
    below = {one.removeprefix(f"{path}.") for one in state.tasks if one.startswith(f"{path}.")}
    heads = {tuple(one.split(".")[:2]) for one in below}
    pattern = type(plan).__name__
    if pattern == "MapReduce":
        return [".".join(head) for head in heads if place == "map" and head[0] in ("1", "3") and len(head) == 2]
    if pattern == "Pipeline":
        step = place.removeprefix("steps[").rstrip("]")
        return [".".join(head) for head in heads if head[-1] == step and len(head) == 2]
    return []  # worker and critic are tasks


def _steps(saga: Saga) -> list[PatternFields]:
    return [part.plan for part in saga.parts()]


def _outcome(state: Run, path: str, step: PatternFields) -> bool | None:
    """Tell whether a step that is one task succeeded, or failed for good; None for any other, or an open one."""
    task = state.tasks.get(path)
    if not isinstance(step, Task) or task is None or task.plan is not None or task.report is None:
        return None
    if task.phase != "reported" or task.final or task.report.outcome in ("needs_human", "nothing_to_do"):
        return None
    return task.report.outcome == "succeeded"


def _has_pivot(state: Run) -> bool:
    assert state.plan is not None
    return any(node.pivot for _, node in nodes_of_run(state, state.plan, "0"))


def slices_once(value: Any, items: list[int], found: list[int], *, ordered: bool) -> None:
    """Check that a value holds each item exactly once, in the order of the items where that was asked."""
    assert sorted(found) == sorted(items), value
    if ordered:
        assert found == items, value
