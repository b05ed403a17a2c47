"""The read model of sagas: how far each has come, what of it is undone, what stands, and what waits for a human. Pure.

Where a plan's sagas are is read from the plan as it was written: steps and branches by their numbers, items of a map or
of a pipeline as they come. What a pattern of your own holds inside is not looked into.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from ..eventstore.event import Event
from .projection import Projection, data_of, task_of, text
from .runs import ENDS

_GOOD = ("done", "nothing_to_do")
_GOING = ("open", "failed")


class Step(msgspec.Struct, frozen=True, gc=False):
    """One step of a saga. `state` is waiting, open, done, nothing_to_do, failed, compensating, compensated, stuck (it
    waits for a human, `reason` says why), or standing: what it did was not undone, though the saga failed.
    """

    state: str = "waiting"
    name: str | None = None
    compensation: bool = False
    pivot: bool = False
    reason: str | None = None
    request: str = ""


class SagaRow(msgspec.Struct, frozen=True):
    """One saga. `state` is waiting, running, done, compensating, compensated, failed (nothing to undo), stuck, or
    irreversible: it failed, and something that it did stands. `past_pivot`: the point of no return is passed.
    """

    state: str
    steps: tuple[Step, ...]
    past_pivot: bool = False
    begun_ns: int | None = None
    ended_ns: int | None = None


class SagasOfRun(msgspec.Struct, frozen=True):
    """The sagas of a run by path, and those of which only the pattern of their paths is known (`*`: any number)."""

    sagas: dict[str, SagaRow] = {}
    expected: dict[str, tuple[Step, ...]] = {}


class Sagas(Projection[SagasOfRun | None]):
    """The sagas of all runs."""

    name = "sagas"
    types = ("run.*", "task.*", "human.answered")
    key_names = ("run", "path")
    columns = ("run", "path", "state", "past_pivot", "begun", "ended")
    by_run = True
    inherits = True

    def keys(self, event: Event) -> Iterable[str]:
        """Return the run of what is decided or reported of it."""
        run, _ = task_of(event) if event.stream.startswith(("run.", "task.", "request.")) else ("", "")
        return (run,) if run else ()

    def initial(self, key: str) -> SagasOfRun | None:
        """Return nothing: most runs have no saga."""
        return None

    def apply(self, state: SagasOfRun | None, event: Event) -> SagasOfRun | None:
        """Return the sagas of a run after an event of it."""
        kind = event.type
        if kind in ("run.requested", "task.planned"):
            return _planned(state, event)
        if state is None:
            return None
        if kind in ENDS:
            ended = {path: _ended(path, saga, event) for path, saga in state.sagas.items()}
            return replace(state, sagas=ended)
        path = task_of(event)[1]
        if not path or kind in ("task.progressed", "task.joined"):
            return state
        changed = {}
        for place, known in _around(state, path):
            after = _moved(place, known, path, event)
            if after is not known:
                changed[place] = after
        return replace(state, sagas={**state.sagas, **changed}) if changed else state

    def shown(self, key: str, state: SagasOfRun | None) -> Iterable[dict[str, Any]]:
        """Return each saga of the run."""
        for path, saga in (state.sagas if state is not None else {}).items():
            row: dict[str, Any] = msgspec.to_builtins(saga)
            steps = [{"path": f"{path}.{n}", **step} for n, step in enumerate(row["steps"])]
            row["steps"] = [{name: value for name, value in step.items() if name != "request"} for step in steps]
            yield {"run": key, "path": path, **row}


# --- where sagas are


def _planned(state: SagasOfRun | None, event: Event) -> SagasOfRun | None:
    """Take in the sagas of a plan: a run's at its root, a task's where the task is."""
    plan = data_of(event).get("plan")
    if not isinstance(plan, dict):
        return state
    path = "0" if event.type == "run.requested" else task_of(event)[1]
    if event.type == "task.planned" and "pattern" not in plan:
        path += ".0"
    found = dict(_sagas_in(plan, path))
    if not found:
        return state
    known = state or SagasOfRun()
    plain = {path: SagaRow("waiting", steps) for path, steps in found.items() if "*" not in path}
    expected = {path: steps for path, steps in found.items() if "*" in path}
    return SagasOfRun({**known.sagas, **plain}, {**known.expected, **expected})


def _sagas_in(plan: dict[str, Any], path: str) -> Iterator[tuple[str, tuple[Step, ...]]]:
    if plan.get("pattern") == "saga":
        steps = [step for step in _list(plan, "steps") if isinstance(step, dict)]
        yield (
            path,
            tuple(
                Step(
                    name=text(step.get("name")) or text(step.get("agent")) or None,
                    compensation=step.get("undo") is not None,
                    pivot=step.get("pivot") is True,
                )
                for step in steps
            ),
        )
    for number, part in _parts(plan):
        if isinstance(part, dict):
            yield from _sagas_in(part, f"{path}.{number}")


def _parts(plan: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    before = "*." if plan.get("items") is not None and "steps" in plan else ""
    for n, step in enumerate(_list(plan, "steps")):
        yield f"{before}{n}", step
    for n, branch in enumerate(_list(plan, "branches")):
        yield f"{n}", branch
    if plan.get("pattern") == "map_reduce":
        yield "1.*", plan.get("map")


def _list(plan: dict[str, Any], field: str) -> list[Any]:
    found = plan.get(field)
    return found if isinstance(found, list) else []


def _around(state: SagasOfRun, path: str) -> Iterator[tuple[str, SagaRow]]:
    """Yield the sagas that a path lies in, and those expected there that begin with it."""
    tokens = path.split(".")
    for count in range(1, len(tokens)):
        place = ".".join(tokens[:count])
        saga = state.sagas.get(place)
        if saga is None:
            steps = next((steps for one, steps in state.expected.items() if _fits(one, tokens[:count])), None)
            saga = None if steps is None else SagaRow("waiting", steps)
        if saga is not None:
            yield place, saga


def _fits(pattern: str, tokens: list[str]) -> bool:
    wanted = pattern.split(".")
    return len(wanted) == len(tokens) and all(one in ("*", token) for one, token in zip(wanted, tokens, strict=True))


# --- what becomes of them


def _moved(place: str, saga: SagaRow, path: str, event: Event) -> SagaRow:
    """Return a saga after an event of a task inside it."""
    number, _, inside = path[len(place) + 1 :].partition(".")
    if not number.isdigit() or int(number) >= len(saga.steps):
        return saga
    n = int(number)
    step = _step(saga.steps[n], inside, event)
    if step is saga.steps[n]:
        return saga
    steps = [*saga.steps[:n], step, *saga.steps[n + 1 :]]
    if step.state == "open":
        # What lies before a step that begins is done, however many tasks it was.
        steps[:n] = [replace(one, state="done") if one.state in _GOING else one for one in steps[:n]]
    return _judged(replace(saga, steps=tuple(steps), begun_ns=saga.begun_ns or event.time), event)


def _step(step: Step, inside: str, event: Event) -> Step:
    """Return a step after an event of its own task (`inside` is ""), its compensation, or a task inside it."""
    kind, data = event.type, data_of(event)
    undoing = inside == "undo"
    if kind == "task.compensated":
        return replace(step, state="compensated", reason=None) if inside in ("", "undo") else step
    if kind == "task.requested":
        if undoing:
            return replace(step, state="compensating", reason=None, request=event.id.hex())
        going = step.state in ("waiting", "open", "failed", "stuck")
        request = event.id.hex() if not inside else step.request
        return replace(step, state="open", reason=None, request=request) if going else step
    if kind == "task.parked":
        return replace(step, state="stuck", reason=text(data.get("reason")) or None)
    if kind == "human.answered":
        return _answered(step, data.get("answer"), undoing)
    if inside:
        return step
    if kind == "task.cancelled":
        return replace(step, state="failed") if step.state in ("open", "stuck") else step
    outcome = {"task.succeeded": "done", "task.nothing_to_do": "nothing_to_do", "task.failed": "failed"}.get(kind)
    if outcome is None or step.state != "open":
        return step
    if event.stream.startswith("task.") and event.cause and event.cause.hex() != step.request:
        return step
    return replace(step, state=outcome)


def _answered(step: Step, answer: Any, undoing: bool) -> Step:
    if step.state != "stuck":
        return step
    if answer == "done":
        return replace(step, state="compensated" if undoing else "done", reason=None)
    if answer in ("give_up", "reject"):
        return replace(step, state="standing" if undoing else "failed")
    return step


def _judged(saga: SagaRow, event: Event) -> SagaRow:
    """Say how a saga stands by its steps."""
    states = [step.state for step in saga.steps]
    past = any(step.pivot and step.state in ("done", "standing") for step in saga.steps)
    if "stuck" in states:
        state = "stuck"
    elif "compensating" in states or ("compensated" in states and "done" in states):
        state = "compensating"
    elif "compensated" in states:
        state = "irreversible" if "standing" in states else "compensated"
    elif all(one in _GOOD for one in states):
        state = "done"
    else:
        state = "running"
    ended = event.time if state in ("done", "compensated", "irreversible") else None
    return replace(saga, state=state, past_pivot=past, ended_ns=saga.ended_ns if ended and saga.ended_ns else ended)


def _ended(path: str, saga: SagaRow, event: Event) -> SagaRow:
    """Say how a saga has ended with its run, which knows what stands."""
    if saga.state in ("done", "waiting"):
        return (
            saga if event.type != "run.rolled_back" or saga.state == "waiting" else _ended_otherwise(path, saga, event)
        )
    if event.type in ("run.succeeded", "run.nothing_to_do") and saga.state in ("running", "stuck"):
        failed = any(step.state == "failed" for step in saga.steps)
        steps = tuple(replace(one, state="done") if one.state == "open" else one for one in saga.steps)
        if not failed:
            return replace(saga, state="done", steps=steps, ended_ns=event.time)
    return _ended_otherwise(path, saga, event)


def _ended_otherwise(path: str, saga: SagaRow, event: Event) -> SagaRow:
    data = data_of(event)
    standing = [text(one) for one in _list(data, "not_undone")]
    steps = []
    for n, step in enumerate(saga.steps):
        here = f"{path}.{n}"
        if any(one == here or one.startswith(f"{here}.") for one in standing):
            step = replace(step, state="standing")
        elif step.state in ("open", "stuck", "compensating"):
            step = replace(step, state="failed")
        steps.append(step)
    states = {step.state for step in steps}
    state = "irreversible" if "standing" in states else "compensated" if "compensated" in states else "failed"
    if states <= {*_GOOD}:
        state = "done"
    return replace(saga, state=state, steps=tuple(steps), ended_ns=event.time)
