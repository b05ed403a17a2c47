"""Forks: a run goes on from any position of another, whose own course nothing of that changes."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import msgspec
import pytest

from tests.orchestration.random_plans import Agents, Plans, is_timed
from tests.orchestration.simulation import RUN as SIMULATED
from tests.orchestration.simulation import Simulation
from twelvefold.bus import run_marks
from twelvefold.eventstore.event import NewEvent
from twelvefold.eventstore.forgotten import RunForgotten
from twelvefold.eventstore.run import read_run
from twelvefold.orchestration.appending import in_order
from twelvefold.orchestration.errors import RunNotFound
from twelvefold.orchestration.fork_changes import untaken
from twelvefold.orchestration.fork_errors import ForkChangeInvalid, ForkEnded, ForkOutside, LayerUnknown
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.forking import fork_request
from twelvefold.orchestration.inbox import waiting_in
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.orchestrator import Batch
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Retry, Task
from twelvefold.orchestration.redecide import redecide, redecide_all
from twelvefold.orchestration.result import result_of
from twelvefold.orchestration.run_state import Run
from twelvefold.orchestration.saga import Saga

SECOND = 1_000_000_000


def agents(log: list[str] | None = None) -> dict[str, Any]:
    """Agents that answer with their input and an own word; `asker` needs a human, `broken` fails."""

    def does(name: str) -> Any:
        def work(data: dict[str, Any]) -> Any:
            if log is not None:
                log.append(f"{name} {data['path']}")
            return "task.succeeded", {"value": {"by": name, "of": data["input"]}, "evidence": []}

        return work

    def asks(data: dict[str, Any]) -> Any:
        if data.get("answers"):
            return "task.succeeded", {"value": data["answers"][-1]["answer"]}
        return "task.needs_human", {"reason": "question", "question": "Which?", "expires_s": 100.0, "default": "none"}

    def breaks(data: dict[str, Any]) -> Any:
        return "task.failed", {"reason": "broken", "error": "it broke"}

    return {**{name: does(name) for name in ("a", "b", "c", "undo")}, "asker": asks, "broken": breaks}


def plans() -> dict[str, Any]:
    undone = Task("a", input=1, undo=Task("undo", input=1))
    timed = Task("b", timeout_s=50.0, deadline_s=500.0)
    steps = [Task("a", input=1, name="first"), Task("b", input={"$from": "first"}), Task("c")]
    return {
        "pipeline": Pipeline(steps),
        "saga": Saga([undone, Task("broken", input=2, retry=Retry(attempts_max=2, backoff_s=1.0)), Task("c")]),
        "beside": ForkJoin([Task("a", input=1), Task("b"), Pipeline([Task("c"), Task("a", input=4)])]),
        "mapped": MapReduce(items=[1, 2, 3], map=Task("a", input={"$from": "item"}), reduce=Task("b")),
        "asking": Pipeline([Task("asker", input=1), Task("b")]),
        "approved": Pipeline([Task("a", input=1, approval="go on?"), timed]),
    }


def decide(world: Any) -> None:
    """Let the orchestrator decide on what is new, and nobody work."""
    for _ in range(3):
        world.feed()
        world.flush()


def ended(world: Any, run: str, outcome: str = "") -> dict[str, Any]:
    for _ in range(5):
        world.settle_down()
        state = world.fold(run).at_head
        for one in waiting_in(state):
            world.answer(one.takes[0] if one.takes else "an answer", one.path, run=run)
    assert world.fold(run).at_head.status == "ended"
    return world.end(run)


@pytest.mark.parametrize("name", plans())
def test_a_fork_at_each_position_comes_to_the_parents_end(world: Any, name: str) -> None:
    """Wherever it is cut, in the middle of a decision too: with the same agents it ends alike, as often as decided."""
    played = world(agents())
    run = played.submit(plans()[name], timeout_s=10_000.0, budget={"tasks": 30})
    played.settle_down()
    expected = ended(played, run)
    whole = [*read_run(played.log, run)]
    last = max(event.position for event in whole if event.type.startswith("run."))
    for at in range(whole[0].position, last):
        fork = played.fork(run, at=at)
        assert ended(played, fork)["outcome"] == expected["outcome"], at
        assert played.end(fork).get("value") == expected.get("value"), at
        shared = [event for event in read_run(played.log, fork) if event.run == run]
        assert shared == [event for event in whole if event.position <= at]
        own = [*played.log.read(run=fork, limit=10**6)]
        assert [event.type for event in own[:2]] == ["run.forked", "run.started"]
        requested = {event.id for event in own if event.type == "task.requested"}
        assert all(event.cause in requested for event in own if event.stream.startswith("task."))
        assert redecide(fork, read_run(played.log, fork)).agrees, at
    assert [*read_run(played.log, run)] == whole
    assert all(one.agrees for one in redecide_all(played.log))


@pytest.mark.parametrize("seed", range(12))
def test_a_fork_survives_kills_and_running_parents(world: Any, seed: int) -> None:
    """The orchestrator is killed at random while a running run is forked, and forks are forked: each ends by itself."""
    played = world(agents(), seed=seed)
    runs = [played.submit(plans()["pipeline"])]
    for _ in range(3):
        played.storm(6, settle=False)
        parent = played.random.choice(runs)
        first = next(read_run(played.log, parent)).position
        at = played.random.randrange(first, played.log.head + 1)
        try:
            runs.append(played.fork(parent, at=at))
        except ForkEnded as error:
            assert error.before < at
            runs.append(played.fork(parent, at=error.before))
    played.storm(60)
    for run in runs:
        assert ended(played, run) == {**ended(played, runs[0])}
        assert redecide(run, read_run(played.log, run)).agrees


def test_a_fork_of_a_fork_has_all_of_its_lineage(world: Any) -> None:
    """Also where it is cut before its parent was forked; each request names whose records it goes on from."""
    played = world(agents())
    run = played.submit(plans()["pipeline"])
    played.settle_down()
    asked = [event.position for event in played.log.read(run=run, type="task.requested", limit=100)]
    one = played.fork(run, at=asked[2])
    played.settle_down()
    two = played.fork(one, at=asked[1])
    three = played.fork(one, at=played.log.read(run=one, type="task.requested", limit=1)[0].position)
    played.settle_down()
    positions = [event.position for event in read_run(played.log, two)]
    assert positions[:3] == [event.position for event in read_run(played.log, run)][:3]
    assert [event.position for event in read_run(played.log, two) if event.run == run][-1] == asked[1]
    (first, *_) = played.log.read(run=two, type="task.requested", limit=10)
    begun = {one.run: one.position for one in played.log.read(type="run.forked", limit=10)}
    assert first.data["fork"]["lineage"] == [
        {"run": one, "until": asked[1], "record": begun[two]},
        {"run": run, "until": asked[1], "record": asked[2]},
    ]
    assert first.data["path"] == "0.1"
    assert first.data["attempt"] == 1
    carried = [played.log.read(after=asked[1] - 1, limit=1)[0].id.hex()]
    assert first.data["fork"]["carries"] == carried
    (again, *_) = played.log.read(run=three, type="task.requested", limit=10)
    known = [event for event in read_run(played.log, three) if event.type == "task.requested" and event.run != three]
    assert again.data["fork"]["carries"] == [event.id.hex() for event in known if event.data["path"] == "0.2"]
    assert len(again.data["fork"]["carries"]) == 2
    assert again.data["path"] == "0.2"
    assert {played.end(fork)["outcome"] for fork in (one, two, three)} == {"succeeded"}


def test_timers_go_on_with_what_was_left(world: Any) -> None:
    """Run, retry and human timers end as long after the fork as they would have after the cut; attempts begin anew."""
    played = world({**agents(), "slow": lambda data: None})
    plan = ForkJoin([Task("asker", input=1), Task("slow", input=1, timeout_s=50.0, deadline_s=400.0)])
    run = played.submit(plan, timeout_s=1000.0, budget={"wall_s": 2000.0})
    played.feed()
    played.flush()
    played.now += 10 * SECOND
    while played.work():
        played.feed()
        played.flush()
    played.now += 20 * SECOND
    at = played.append("demo.happened", {}, stream="demo", run="").position
    cut = played.now
    assert at > played.fold(run).at_head.last
    before = {name: timer.due - cut for name, timer in played.fold(run).at_head.timers.items()}
    assert {"run", "budget", "human/0.0/1", "deadline/0.1/0", "timeout/0.1/1"} == set(before)
    played.now += 5000 * SECOND
    fork = played.fork(run, at=at)
    begun = played.log.read(run=fork, limit=1)[0]
    assert begun.cause == [*read_run(played.log, run, until=at)][-1].id, "not somebody else's event"
    decide(played)
    after = {name: timer.due - played.now for name, timer in played.fold(fork).at_head.timers.items()}
    assert after == {**before, "timeout/0.1/1": 50 * SECOND}
    (question,) = waiting_in(played.fold(fork).at_head)
    assert question.expires == played.now + before["human/0.0/1"]
    assert question.id != waiting_in(played.fold(run).at_head)[0].id


def test_a_fork_takes_nothing_of_its_parent(world: Any) -> None:
    """Cancelling a fork withdraws no request of its parent, and undoes nothing that the parent did."""
    done: list[str] = []
    played = world({**agents(done), "slow": lambda data: None})
    undone = [Task(name, input=name, undo=Task("undo", input=name)) for name in ("a", "b")]
    run = played.submit(Saga([*undone, Task("slow")]))
    played.settle_down()
    at = played.log.read(run=run, type="task.succeeded", limit=1)[0].position
    fork = played.fork(run, at=at)
    played.settle_down()
    asked = {event.run for event in played.out.values()}
    assert asked == {run, fork}
    played.cancel(fork)
    played.settle_down()
    assert played.end(fork)["outcome"] == "cancelled"
    assert played.end(fork)["undone"] == ["0.1"]
    assert "0.0" in played.end(fork)["not_undone"]
    assert [one for one in done if one.startswith("undo")] == ["undo 0.1.undo"]
    assert {event.run for event in played.out.values()} == {run}
    assert played.fold(run).at_head.status == "open"


def test_budgets_carry_over_and_cost_stays(world: Any) -> None:
    """What was spent before the cut counts against the fork's budget; its cost is what its own stream holds."""
    played = world(agents())
    run = played.submit(Pipeline([Task("a", input=1), Task("b", input=2), Task("c", input=3)]), budget={"tokens": 100})
    played.feed()
    played.flush()
    usage = {"tokens_in": 60, "tokens_out": 0}
    spent = played.append("effect.completed", {"kind": "model", "usage": usage}, stream=f"task.{run}.0.0")
    played.settle_down()
    fork = played.fork(run, at=spent.position)
    richer = played.fork(run, at=spent.position, set={"budget.tokens": 1000})
    decide(played)
    for one in (fork, richer):
        played.append("effect.completed", {"kind": "model", "usage": usage}, stream=f"task.{one}.0.0", run=one)
    played.settle_down()
    assert played.end(fork)["outcome"] == "failed"
    assert played.end(fork)["reason"] == "budget"
    assert played.end(richer)["outcome"] == "succeeded"
    assert result_of(fork, read_run(played.log, fork)).cost.tokens_in == 60
    assert played.fold(fork).at_head.spent.tokens == 120
    assert played.end(run)["outcome"] == "succeeded"


def test_a_task_budget_is_not_spent_twice(world: Any) -> None:
    """What is only requested once more doesn't count again, or a run could be forked only with a larger budget."""
    played = world(agents())
    run = played.submit(Pipeline([Task("a", input=1), Task("b", input=2)]), budget={"tasks": 2})
    played.settle_down()
    for event in played.log.read(run=run, type="task.requested", limit=10):
        fork = played.fork(run, at=event.position)
        played.settle_down()
        assert played.end(fork)["outcome"] == "succeeded"
        assert played.fold(fork).at_head.spent.tasks == 2


def test_what_was_asked_for_can_be_changed(world: Any) -> None:
    """Input, plan, budget, labels and times of a fork are others where it is told so; forks of it inherit that."""
    played = world(agents())
    x = {"$from": "input", "key": "x"}
    plan = Pipeline([Task("a", input=x), Task("b", input=x), Task("c", input=1)])
    run = played.submit(plan, input={"x": 1, "y": {"z": [1, 2]}}, labels={"team": "red"})
    played.settle_down()
    asked = [event.position for event in played.log.read(run=run, type="task.requested", limit=10)]
    changes = {"x": 2, "input.y.z.1": 7, "plan.steps.2.input": "new", "labels.team": "blue", "timeout_s": 5}
    fork = played.fork(run, at=asked[1], set=changes)
    decide(played)
    state = played.fold(fork).at_head
    assert state.input == {"x": 2, "y": {"z": [1, 7]}}
    assert state.labels == {"team": "blue"}
    assert "run" in state.timers
    played.settle_down()
    inputs = [event.data["input"] for event in played.log.read(run=fork, type="task.requested", limit=10)]
    assert inputs == [2, "new"]
    again = played.fork(fork, at=asked[1])
    played.settle_down()
    assert [event.data["input"] for event in played.log.read(run=again, type="task.requested", limit=10)] == [1, 1]
    begun = played.log.read(run=fork, type="run.started", limit=1)[0].position
    later = played.fork(fork, at=begun, set={"x": 3})
    played.settle_down()
    assert [event.data["input"] for event in played.log.read(run=later, type="task.requested", limit=10)] == [3, "new"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"budget.coins": 1}, "coins"),
        ({"budget.tokens": "many"}, "expected"),
        ({"plan.steps.7.input": 1}, "no '7'"),
        ({"plan.steps.0.agent": ""}, "agent"),
        ({"input.x.y": 1}, "no parts"),
        ({"levels.top": 1}, "no such level"),
        ({"timeout_s": "soon"}, "seconds"),
        ({"settings.model.name": "x"}, "one name"),
        ({"a..b": 1}, "dots"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(world: Any, changes: dict[str, Any], problem: str) -> None:
    """Before anything is appended, and by name."""
    played = world(agents())
    run = played.submit(plans()["pipeline"], input={"x": 1})
    played.settle_down()
    head = played.log.head
    with pytest.raises(ForkChangeInvalid, match=problem):
        played.fork(run, at=2, set=changes)
    assert played.log.head == head


def test_what_no_task_takes_of_the_input_is_told() -> None:
    """A change of the run's input does something only where the plan says that a task takes it from there."""
    taking = Task("writer", {"word": {"$from": "input", "key": "word"}})
    assert untaken(Run("a", plan=taking), {"word": "leaf", "wrod": "laef", "input.size": 2}) == ("wrod", "input.size")
    assert untaken(Run("a", plan=Task("writer", {"$from": "input"})), {"size": 2}) == ()
    assert untaken(Run("a", plan=Task("writer", {"word": "tree"})), {"word": "leaf", "budget.tasks": 2}) == ("word",)
    assert untaken(Run("a", plan=taking), {"input.word": "leaf", "plan.input.word": "own"}) == ("input.word",)


def test_forks_where_there_is_nothing_are_refused(world: Any) -> None:
    """Unknown runs, positions outside of the run, its end, layers that there are not, and what was forgotten."""
    played = world(agents())
    played.append("demo.happened", {}, stream="demo", run="")
    run = played.submit(plans()["pipeline"])
    played.settle_down()
    end = played.log.head
    with pytest.raises(RunNotFound):
        played.fork("f" * 32, at=2)
    for at in (-1, 0, 1, end + 1):
        with pytest.raises(ForkOutside):
            played.fork(run, at=at)
    with pytest.raises(LayerUnknown):
        played.fork(run, at=2, live=["world"])
    with pytest.raises(ForkEnded) as refused:
        played.fork(run, at=end)
    assert "twelvefold fork" in refused.value.help()
    fork = played.fork(run, at=refused.value.before)
    played.settle_down()
    assert played.end(fork)["outcome"] == "succeeded"
    played.append("run.forget_requested", {}, stream=f"request.{run}")
    for forgotten in (run, fork):
        with pytest.raises(RunForgotten):
            played.fork(forgotten, at=2)


def test_pauses_and_stops_are_those_of_the_cut(world: Any) -> None:
    """A fork of a paused run is paused until it is resumed; one cut before a cancellation goes on."""
    played = world(agents())
    run = played.submit(plans()["pipeline"])
    played.feed()
    played.flush()
    asked = played.append("run.pause_requested", {}, stream=f"request.{run}")
    played.settle_down()
    fork = played.fork(run, at=played.log.head)
    played.settle_down()
    state = played.fold(fork).at_head
    assert state.paused
    assert state.status == "open"
    played.append("run.resume_requested", {}, stream=f"request.{fork}", run=fork)
    played.settle_down()
    assert played.end(fork)["outcome"] == "succeeded"
    played.cancel(run)
    played.settle_down()
    assert played.end(run)["outcome"] == "cancelled"
    before = played.fork(run, at=asked.position - 1)
    played.settle_down()
    assert played.end(before)["outcome"] == "succeeded"
    assert msgspec.json.encode(played.end(before)["value"])


def test_a_cut_by_hand_that_leads_nowhere_stops_nobody(world: Any) -> None:
    """Events of forks of unknown, of ended, and of each other's runs are read without an end and decided as nothing."""
    played = world(agents())
    run = played.submit(plans()["pipeline"])
    played.settle_down()
    for n, parent in enumerate(("c" * 32, run, f"{2:032x}", f"{1:032x}")):
        data = {"parent": parent, "at": played.log.head}
        played.append("run.forked", data, stream=f"run.{n:032x}", run=f"{n:032x}")
    played.kill()
    played.settle_down()
    later = played.submit(plans()["pipeline"], run="e" * 32)
    played.settle_down()
    assert played.end(later)["outcome"] == "succeeded"
    for n in range(4):
        assert [event.type for event in played.log.read(run=f"{n:032x}", limit=10)] == ["run.forked"]


def test_a_fork_is_begun_before_what_was_asked_for_later() -> None:
    """The mark of beginnings names one run: a death between two appends must not lose the one that was asked first."""

    def batch(run: str, seen: int | None) -> Batch:
        return Batch(run, [], {}, {} if seen is None else {run_marks.SEEN: str(seen)}, [])

    waiting = [batch("old", None), batch("at 5", 5), batch("at 5", None), batch("at 9", 9)]
    loaded = [batch("at 7", 7), batch("at 7", None), batch("ended", None), batch("at 11", 11), batch("at 6", 6)]
    placed = [one.run for one in in_order(waiting, loaded)]
    assert placed == ["ended", "old", "at 5", "at 5", "at 6", "at 7", "at 7", "at 9", "at 11"]


@pytest.mark.parametrize("seed", [*range(20), 88])
def test_forks_come_to_sound_ends_in_every_schedule(seed: int) -> None:
    """Runs are forked, and forks of them, at random positions, while messages get lost and anything may die."""
    chance = random.Random(f"fork {seed}")
    plans = Plans(seed, timed=chance.random() < 0.3)
    plan = plans.plan()
    world = Simulation(Agents(seed), seed, managers=chance.choice((1, 1, 2)))
    world.request("run.requested", {"plan": plan, "budget": {}, "depth_max": 3})
    runs = [SIMULATED]
    for number in range(4):
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
    for _ in range(chance.randint(0, 60)):
        world.step()
    world.settle_down()
    for run in runs:
        state = world.state(run)
        assert (state.status, dict(state.out), dict(state.timers)) == ("ended", {}, {}), world.told(run)
        assert redecide(run, read_run(world.log, run)).agrees
    if not is_timed(plan):
        assert len({world.end(run)[0] for run in runs}) == 1
