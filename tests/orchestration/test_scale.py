"""Many runs, many tasks, many levels: what is to hold of small ones holds of these, and costs no more than it must."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.orchestration.checking import check_decisions, check_ended
from tests.orchestration.random_plans import Agents, Data, slices_in
from tests.orchestration.simulation import REPORTS, RUN, Simulation
from twelvefold.eventstore.event import Event, new_event
from twelvefold.eventstore.log import Append, Appended
from twelvefold.eventstore.run import read_run
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.orchestration.orchestrator import Orchestrator
from twelvefold.orchestration.process import Process
from twelvefold.orchestration.redecide import redecide_all
from twelvefold.orchestration.restoring import Restorer

RUNS, OPEN = 10_000, 7
SAGA: Data = {"pattern": "saga", "steps": [{"agent": "good", "undo": {"agent": "undo"}}, {"agent": "bad"}]}


class Counting(Orchestrator):
    """An orchestrator that knows what it was given to read."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.read = 0

    def load(self, id: str, events: Iterable[Event], **how: Any) -> None:
        def counted() -> Iterable[Event]:
            for event in events:
                self.read += 1
                yield event

        self.loaded.append(id)
        super().load(id, counted(), **how)


def fill(log: SqliteLog, runs: int, *, open: int) -> None:
    """Have an orchestrator and its agents bring so many runs to their end, but for the last ones."""
    core, agents, fed = Orchestrator(), Agents(1), 0
    plans = [{"pattern": "saga", "steps": [{"agent": "nobody"}]} if n >= runs - open else SAGA for n in range(runs)]
    requested = [
        new_event("run.requested", {"plan": plan}, stream=f"run.{n:032x}", id=n.to_bytes(16, "big"), run=f"{n:032x}")
        for n, plan in enumerate(plans)
    ]
    for n in range(0, runs, 1000):
        log.append(Append(events=requested[n : n + 1000]))
    while events := log.read(after=fed, limit=1000):
        appends = []
        for event in events:
            core.receive(event)
            answer = agents(event.data, event.to) if event.to else None
            if answer is not None:
                stream = f"task.{event.run}.{event.data['path']}"
                id = bytes(reversed(event.id))
                told = new_event(answer[0], answer[1], stream=stream, run=event.run, cause=event.id, id=id)
                appends.append(Append(events=[told]))
        fed = events[-1].position
        for batch in core.take():
            appends.append(Append(events=batch.events, expected_version=batch.expected_version, marks=batch.marks))
        assert all(isinstance(result, Appended) for result in log.append_many(appends))


@pytest.mark.long
def test_a_start_reads_only_what_is_open_of_ten_thousand_runs(bus_home_stopped: Any) -> None:
    """With ten thousand runs in the log an orchestrator reads the few open ones at its start, and goes on with them."""
    path = Path(bus_home_stopped.home) / "log.db"
    log = SqliteLog(path, durability="relaxed")
    fill(log, RUNS, open=OPEN)
    left = [f"{n:032x}" for n in range(RUNS - OPEN, RUNS)]
    head = log.head
    log.close()
    bus_home_stopped.start()
    core = Counting()
    client = bus_home_stopped.client(role="orchestrator", instance="orchestrator")
    process = Process(client, core, Restorer(bus_home_stopped.home, client.wake))
    process.start(bus_home_stopped.home)
    assert core.loaded == left
    assert core.read == 3 * OPEN  # requested, started, and the task's request
    assert core.open_runs == OPEN
    assert head > 9 * (RUNS - OPEN)


def test_every_decision_of_many_runs_comes_out_again(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """All runs of a large log are decided again, one at a time; with `--long` ten thousand of them."""
    runs = RUNS if pytestconfig.getoption("--long") else 1_000
    log = SqliteLog(tmp_path / "log.db", durability="relaxed")
    fill(log, runs, open=OPEN)
    count = decisions = 0
    for found in redecide_all(log):
        assert found.agrees, found
        count += 1
        decisions += found.decisions
    assert count == runs
    reported = sum(event.type in REPORTS and not event.seen for event in _all(log))
    assert decisions == log.head - runs - reported
    log.close()


def _all(log: SqliteLog) -> Iterable[Event]:
    after = 0
    while page := log.read(after=after, limit=1000):
        yield from page
        after = page[-1].position


@pytest.mark.parametrize("width", [0, 50])
def test_a_plan_of_ten_thousand_tasks(width: int) -> None:
    """Each of ten thousand items exactly once in the result, in their order, with an orchestrator killed on the way."""
    items = [*range(10_000)]
    world = Simulation(Agents(1), lossy=False, workers=200)
    world.kill_after(12_345, "orchestrator")
    world.request(
        "run.requested", {"plan": {"pattern": "map_reduce", "items": items, "map": {"agent": "good"}, "width": width}}
    )
    world.settle_down(rounds=100_000)
    outcome, value = world.end()
    assert outcome == "succeeded"
    assert slices_in(value) == items
    assert world.log.then is None
    events = [*read_run(world.log, RUN)]
    assert sum(event.type == "task.requested" for event in events) == len(items)
    check_decisions(RUN, events, plainly=False)


def deep(levels: int, inner: Data) -> Data:
    """A plan in plans, of all patterns in turn."""
    plan = inner
    for n in range(levels):
        plan = [
            {"pattern": "pipeline", "steps": [{"agent": "good"}, plan]},
            {"pattern": "saga", "steps": [{"agent": "good", "undo": {"agent": "undo"}}, plan]},
            {"pattern": "fork_join", "branches": [plan, {"agent": "good"}]},
            {"pattern": "map_reduce", "items": [n], "map": plan},
            {"pattern": "race", "branches": [plan, {"agent": "nobody", "timeout_s": 5}]},
            {"pattern": "graph", "steps": [{"agent": "idle"}, plan]},
            {"pattern": "pipeline", "items": [n], "steps": [plan]},
        ][n % 7]
    return plan


@pytest.mark.parametrize("victim", ["orchestrator", "bus", "agent"])
@pytest.mark.parametrize(("last", "outcome"), [("good", "succeeded"), ("bad", "failed")])
def test_a_plan_twenty_levels_deep(last: str, outcome: str, victim: str) -> None:
    """Twenty patterns in each other come to the end of the innermost, and are undone from there, whoever is killed."""
    plan = deep(20, {"agent": last})

    def played(after: int) -> Simulation:
        world = Simulation(Agents(1), lossy=False)
        if after:
            world.kill_after(after, victim)
        world.request("run.requested", {"plan": plan})
        return world.settle_down()

    calm = played(0)
    assert calm.end()[0] == outcome
    for after in range(2, calm.log.head, 7):
        world = played(after)
        assert world.end() == calm.end()
        state = check_ended(RUN, [*read_run(world.log, RUN)], plainly=after % 5 == 0)
        assert max(path.count(".") for path in state.tasks) >= 20


def test_tasks_that_answer_with_plans_twenty_deep() -> None:
    """Each task answers with a plan whose task does, as deep as the run allows and no deeper."""

    def answering(request: Data, to: str) -> tuple[str, Data]:
        plan = {"pattern": "pipeline", "steps": [{"agent": "again"}]}
        return ("task.planned", {"plan": plan}) if request["path"].count(".") < 20 else ("task.succeeded", {"value": 1})

    for depth_max, outcome in ((20, "succeeded"), (19, "failed")):
        world = Simulation(answering, lossy=False)
        world.request("run.requested", {"plan": {"agent": "again"}, "depth_max": depth_max})
        world.settle_down()
        assert world.end()[0] == outcome
        check_ended(RUN, [*read_run(world.log, RUN)])
