"""The light folds of read models agree with what orchestration knows, whatever happens to a run in which order."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest

from tests.orchestration.random_plans import Agents, Plans
from tests.orchestration.simulation import RUN, Simulation
from twelvefold.bus import run_marks
from twelvefold.eventstore.event import NewEvent
from twelvefold.eventstore.run import read_run
from twelvefold.orchestration.fork_errors import ForkEnded
from twelvefold.orchestration.forking import fork_request
from twelvefold.orchestration.inbox import waiting_in
from twelvefold.orchestration.result import result_of
from twelvefold.orchestration.run_fold import RunFold, follow
from twelvefold.orchestration.run_index import summary_of
from twelvefold.orchestration.run_state import Run, TaskState
from twelvefold.orchestration.task_tree import state_of
from twelvefold.projections.cost import CostRow
from twelvefold.projections.folding import Fold, fold_log
from twelvefold.projections.projection import Alias
from twelvefold.projections.registry import projection_named

REQUESTS = ("run.cancel_requested", "run.pause_requested", "run.rollback_requested")


def played(seed: int) -> Simulation:
    """Play a random plan on a random schedule, with what clients ask in between."""
    chance = random.Random(f"agreement {seed}")
    world = Simulation(Agents(seed), seed, managers=chance.choice((1, 1, 2)))
    world.request("run.requested", {"plan": Plans(seed).plan(), "labels": {"seed": seed}})
    for _ in range(chance.randrange(200)):
        world.step()
    if seed % 3 == 0:
        world.request(chance.choice(REQUESTS), {"reason": "enough"})
        for _ in range(chance.randrange(100)):
            world.step()
        world.request("run.resume_requested", {})
    return world.settle_down()


def word_of(task: TaskState) -> str:
    """How a task stands; one whose plan is carried out is open, whatever an earlier attempt came to."""
    return "open" if task.phase == "planned" else state_of(task)


def tasks_in(run: Run) -> dict[str, Any]:
    return {
        path: (word_of(task), task.agent, task.attempt, path in run.undone, task.undo)
        for path, task in run.tasks.items()
    }


def tasks_told(fold: Fold) -> dict[str, Any]:
    rows = ((key, row) for key, row in fold.rows() if not isinstance(row, Alias))
    return {key.partition("/")[2]: (row.state, row.agent, row.attempts, row.compensated, row.undo) for key, row in rows}


def asked_in(run: Run) -> dict[str, Any]:
    return {one.id: (one.kind, one.path, one.agent, one.reason, one.since) for one in waiting_in(run)}


def asked_told(fold: Fold) -> dict[str, Any]:
    waiting = fold.states.get(RUN)
    items = waiting.items if waiting is not None else {}
    return {one.id: (one.kind, path, one.agent, one.reason or "", one.since_ns) for path, one in items.items()}


def check_forks(seed: int) -> None:
    """Fork a run, and forks of it, at random positions; at the end all of them are told as orchestration knows them."""
    chance = random.Random(f"forks {seed}")
    world = Simulation(Agents(seed), seed, managers=chance.choice((1, 1, 2)))
    world.request("run.requested", {"plan": Plans(seed).plan(), "depth_max": 3})
    runs = [RUN]
    for number in range(3):
        for _ in range(chance.randint(0, 60)):
            world.step()
        parent = chance.choice(runs)
        at = chance.randint(next(read_run(world.log, parent)).position, world.log.head)
        try:
            event = fork_request(world.log, parent, at, new=f"{number + 5:032x}")
        except ForkEnded as error:
            event = fork_request(world.log, parent, error.before, new=f"{number + 5:032x}")
        world._tell(partial(NewEvent, **{name: getattr(event, name) for name in event.__struct_fields__}))
        runs.append(event.run)
    world.settle_down()
    folds = {name: Fold(projection_named(name), log=world.log) for name in ("tasks", "inbox", "runs")}
    for one in folds.values():
        one.take(world.log.read(limit=10**6))
    tasks: dict[str, Fold] = {}
    for run in runs:
        tasks[run] = Fold(projection_named("tasks"))
        tasks[run].states = {key: row for key, row in folds["tasks"].states.items() if key.startswith(run)}
        state = world.state(run)
        assert tasks_told(tasks[run]) == tasks_in(state), run
        alone = fold_log(projection_named("tasks"), world.log, run=run)
        assert alone == dict(tasks[run].rows())
        assert folds["inbox"].states.get(run) is None
        row, summary = folds["runs"].states[run], summary_of(world.log, run, world.log.marks(run_marks.PREFIX))
        assert summary is not None
        for field in ("state", "outcome", "reason", "requested_ns", "ended_ns", "first", "last", "parent"):
            assert getattr(row, field) == getattr(summary, field), field


@pytest.mark.parametrize("first", [0, 12])
def test_forks_are_told_as_orchestration_knows_them(first: int) -> None:
    """A fork's rows begin with its parent's at the cut, whatever was under way there."""
    for seed in range(first, first + 12):
        try:
            check_forks(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def check(seed: int) -> None:
    world = played(seed)
    events = list(read_run(world.log, RUN))
    fold, folds = RunFold(Run(RUN)), {name: Fold(projection_named(name)) for name in ("tasks", "inbox", "runs", "cost")}
    for event in events:
        fold = follow(fold, event)
        for one in folds.values():
            one.take([event])
        run = fold.at_head
        if any(task.phase == "expired" for task in run.tasks.values()) or fold.pending:
            # A report that came behind a timer which nobody has acted on yet counts here at once, there after that.
            continue
        assert tasks_told(folds["tasks"]) == tasks_in(run), event.position
        assert asked_told(folds["inbox"]) == asked_in(run), event.position
    summary = summary_of(world.log, RUN, world.log.marks(run_marks.PREFIX))
    row = folds["runs"].states[RUN]
    assert summary is not None
    for field in ("state", "outcome", "reason", "pattern", "labels", "requested_ns", "ended_ns", "first", "last"):
        assert getattr(row, field) == getattr(summary, field), field
    assert row.tasks == fold.at_head.spent.tasks
    cost, told = result_of(RUN, events).cost, folds["cost"].states.get(RUN, CostRow())
    assert (told.model_calls, told.tokens_in, told.usd) == (cost.model_calls, cost.tokens_in, cost.usd)


@pytest.mark.parametrize("first", [0, 50])
def test_read_models_agree_with_orchestration(first: int) -> None:
    """At each position at which all is decided: tasks and what waits for humans; at the end the run and its cost."""
    for seed in range(first, first + 50):
        try:
            check(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
