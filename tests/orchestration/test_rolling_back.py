"""Rolling runs back: what is undone, in which order, what stays, and that no kill changes how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.orchestration.checking import check_decisions
from tests.orchestration.plans_to_kill import ALL, BAD, GOOD, SEED, UNDO
from tests.orchestration.random_plans import Agents
from tests.orchestration.simulation import RUN, Simulation
from twelvefold.agents.journal import fresh_id
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.run import read_run
from twelvefold.orchestration.errors import RunNotFound
from twelvefold.orchestration.redecide import redecide
from twelvefold.orchestration.rollback_preview import preview
from twelvefold.orchestration.rollback_request import RollbackOutside, RollbackUnderWay, check_request
from twelvefold.orchestration.run_state import tree_order

STEPS = 10
TEN: dict[str, Any] = {"pattern": "saga", "steps": [{**GOOD, "name": f"s{n}", "undo": UNDO} for n in range(STEPS)]}
PIVOTAL: dict[str, Any] = {
    "pattern": "saga",
    "steps": [{**GOOD, "undo": UNDO}, {**GOOD, "pivot": True, "undo": UNDO}, {**GOOD, "undo": UNDO}, GOOD],
}
MOVED = {"repo": "/r", "ref": "refs/heads/twelvefold/x", "path": "0.0", "state": "moved", "problem": "x was moved"}


def ran(plan: dict[str, Any], seed: object = SEED) -> Simulation:
    """Play a plan to its end, with nothing in its way."""
    world = Simulation(Agents(SEED), seed, lossy=False)
    world.request("run.requested", {"plan": plan})
    return world.settle_down()


def rolled_back(world: Simulation, to: int | None = None, **more: Any) -> list[str]:
    """Ask for a rollback, play it to its end, check the record, and return what was undone, in that order."""
    head, state = world.log.head, world.state()
    told = preview(state, read_run(world.log, RUN), to) if type(to) is int and state.plan is not None else None
    world.request("run.rollback_requested", {"to": to, "reason": "wrong", **more})
    world.settle_down()
    check_decisions(RUN, [*read_run(world.log, RUN)])
    compensated = world.log.read(after=head, type="task.compensated", limit=10**6)
    undone = [event.data["path"] for event in compensated]
    if told is not None and world.log.then is None and world.state().outcome == "rolled_back":
        assert [one.path for one in told.compensations] == undone
        assert [one.path for one in told.not_undone] == sorted(end(world)["not_undone"], key=tree_order)
    return undone


def outcomes(world: Simulation) -> dict[str, int]:
    """Where each task's success stands in the log."""
    found = world.log.read(type="task.succeeded", limit=10**6)
    return {event.stream.split(".", 2)[-1]: event.position for event in found if not event.stream.endswith("undo")}


def end(world: Simulation) -> dict[str, Any]:
    """What the run's last event says."""
    (last,) = world.log.read(stream=f"run.{RUN}", reverse=True, limit=1)
    assert last.type == "run.rolled_back"
    return dict(last.data)


def test_a_run_that_has_succeeded_is_undone_in_reverse() -> None:
    """An ended run is taken up again; every step is compensated, the last one first."""
    world = ran(TEN)
    assert world.end()[0] == "succeeded"
    assert rolled_back(world) == [f"0.{n}" for n in reversed(range(STEPS))]
    assert world.end()[0] == "rolled_back"
    found = end(world)
    assert (found["to"], found["reason"], found["not_undone"]) == (1, "wrong", [])
    assert not world.log.marks("run/").keys() - {"run/seen"}


def test_each_position_keeps_what_was_done_by_then() -> None:
    """What is undone is what was done after the position, whichever that is, and nothing else."""
    positions = outcomes(ran(TEN))
    head = ran(TEN).log.head
    for to in range(1, head + 1):
        later = [path for path, position in positions.items() if position > to]
        assert rolled_back(ran(TEN), to) == sorted(later, reverse=True), to


def test_an_open_run_is_withdrawn_and_rolled_back() -> None:
    """What runs is taken back first; a step of which nobody knows how far it came is compensated too."""
    plan = {"pattern": "saga", "steps": [{**GOOD, "undo": UNDO}, {"agent": "nobody", "undo": UNDO}]}
    world = ran(plan)
    assert world.state().status == "open"
    assert rolled_back(world) == ["0.0"]  # nobody had begun the other
    assert world.end()[0] == "rolled_back"
    assert not world.bus.queued


def test_a_pivot_holds_no_rollback_back() -> None:
    """Steps behind and before the point of no return are compensated; what has no compensation is told."""
    world = ran(PIVOTAL)
    assert rolled_back(world) == ["0.2", "0.1", "0.0"]
    assert end(world)["not_undone"] == ["0.3"]


def test_a_step_that_was_half_done_is_undone_in_its_parts() -> None:
    """A step of steps that stands in parts keeps those, as its own compensation would undo all of it."""
    inner = {"pattern": "saga", "steps": [{**GOOD, "undo": UNDO}, {**GOOD, "undo": UNDO}], "undo": UNDO}
    plan = {"pattern": "saga", "steps": [GOOD, inner]}
    first, second = (outcomes(ran(plan))[path] for path in ("0.1.0", "0.1.1"))
    assert rolled_back(ran(plan), first) == ["0.1.1"]
    assert rolled_back(ran(plan), first - 1) == ["0.1"]
    assert rolled_back(ran(plan), second) == []


def test_rolling_back_twice_ends_the_same() -> None:
    """Asking again for the same decides nothing; also while the first one is under way."""
    world = ran(TEN)
    world.request("run.rollback_requested", {"to": 1, "reason": "a"})
    rolled_back(world, 1)
    head, state = world.log.head, world.state()
    assert rolled_back(world, 1) == []
    assert world.log.head == head + 1
    assert world.state().end == state.end


def test_rolling_back_further_undoes_only_the_rest() -> None:
    """A second, deeper rollback goes on from the first; nothing is undone twice."""
    world = ran(TEN)
    positions = outcomes(world)
    assert rolled_back(world, positions["0.6"]) == ["0.9", "0.8", "0.7"]
    assert rolled_back(world, positions["0.3"]) == ["0.6", "0.5", "0.4"]
    assert end(world)["to"] == positions["0.3"]
    assert rolled_back(world, positions["0.3"], again=True) == []
    assert world.end()[0] == "rolled_back"


def test_a_run_that_failed_and_was_undone_is_not_undone_again() -> None:
    """What a saga has taken back by itself is over."""
    world = ran(ALL["saga"])
    assert world.end()[0] == "failed"
    assert rolled_back(world) == []
    assert world.end()[0] == "rolled_back"


def test_a_request_for_what_is_no_position_of_the_run_is_refused() -> None:
    """Nobody who asks without having looked at a preview is taken somewhere else than asked; the run's ends are in."""
    world = Simulation(Agents(SEED), SEED, lossy=False)
    world.log.append(Append(events=[new_event("demo.happened", {}, stream="demo.1", id=fresh_id())]))
    world.request("run.requested", {"plan": TEN})
    world.settle_down()
    for wrong in (-1, 0, 1, world.log.head + 1):
        with pytest.raises(RollbackOutside) as refused:
            check_request(world.log, RUN, wrong)
        assert (refused.value.first, refused.value.head) == (2, world.log.head)
    for right in (None, 2, world.log.head):
        check_request(world.log, RUN, right)
    with pytest.raises(RunNotFound):
        check_request(world.log, "f" * 32, None)


def test_another_rollback_is_refused_while_one_is_under_way() -> None:
    """It would be ignored; the same one may be asked for, and another one once that is over."""
    world = ran(TEN)
    world._human = lambda: False  # type: ignore[method-assign]
    world.branches = [MOVED]
    world.request("run.rollback_requested", {"to": 2, "reason": "wrong"})
    world.settle_down()
    with pytest.raises(RollbackUnderWay) as refused:
        check_request(world.log, RUN, None)
    assert (refused.value.to, refused.value.under_way) == (1, 2)
    check_request(world.log, RUN, 2)
    world.request("human.answered", {"path": "0.undo", "answer": "give_up"})
    world.settle_down()
    assert world.end()[0] == "rolled_back"
    check_request(world.log, RUN, None)


def test_a_branch_that_was_moved_is_left_to_a_human() -> None:
    """What can't be taken back waits in the inbox; once a human has looked, the run ends and says so."""
    world = ran(TEN)
    world.branches = [MOVED]
    world.request("run.rollback_requested", {"to": 1, "reason": "wrong"})
    world._human = lambda: False  # type: ignore[method-assign]
    world.settle_down()
    state = world.state()
    assert (state.status, state.outcome) == ("resting", "needs_human")
    (question,) = state.end["questions"]
    assert (question["path"], question["question"]) == ("0.undo", "x was moved")
    world.request("human.answered", {"path": "0.undo", "answer": "retry"})
    world.settle_down()
    assert world.state().status == "resting"
    assert len(world.log.read(type="run.restoring")) == 2
    world.request("human.answered", {"path": "0.undo", "answer": "give_up"})
    world.settle_down()
    assert end(world)["branches"] == [MOVED]
    world.request("run.rollback_requested", {"to": 1, "reason": "wrong", "again": True})
    world.settle_down()
    assert world.state().status == "resting"  # what was said of the first time is not said of this one
    world.branches = []
    world.request("human.answered", {"path": "0.undo", "answer": "retry"})
    world.settle_down()
    assert end(world)["branches"] == []
    assert world.state().tasks["0.undo"].phase == "reported"
    check_decisions(RUN, [*read_run(world.log, RUN)])


def test_a_branch_whose_compensation_a_human_has_judged_is_not_asked_about_again() -> None:
    """What undoes the publishing has asked already."""
    world = ran({"pattern": "saga", "steps": [{**GOOD, "undo": {**BAD, "retry": {"attempts_max": 1}}}]})
    world.branches = [MOVED]
    world._human = lambda: False  # type: ignore[method-assign]
    rolled_back(world)
    assert world.state().status == "resting"
    world.request("human.answered", {"path": "0.0.undo", "answer": "give_up"})
    world.settle_down()
    assert end(world)["not_undone"] == ["0.0"]


def test_requests_of_any_shape_never_stop_an_orchestrator() -> None:
    """A position outside of the run counts as the nearest in it; an unknown run, and one without a plan, are let be."""
    for to in (-5, 0, True, "x", None, 1.5, {}):
        world = ran(TEN)
        assert len(rolled_back(world, to)) == STEPS  # type: ignore[arg-type]
        assert end(world)["to"] == 1
    world = ran(TEN)
    assert rolled_back(world, 10**12) == []
    unknown = "f" * 32
    world.request("run.rollback_requested", {"to": 1}, unknown)
    world.settle_down()
    assert not world.log.read(stream=f"run.{unknown}")
    world = ran({"pattern": "no such"})
    world.request("run.rollback_requested", {"to": 1})
    world.settle_down()
    assert world.end()[0] == "failed"


@pytest.mark.parametrize("victim", ["orchestrator", "bus", "agent"])
@pytest.mark.parametrize("name", ["saga", "pivot", "nested", "map_reduce"])
def test_a_kill_after_any_event_of_a_rollback_changes_nothing(name: str, victim: str) -> None:
    """Who dies right after an event is started again, and the rollback ends as without that."""

    def played(after: int) -> tuple[Simulation, list[str]]:
        world = ran(ALL[name])
        if after:
            world.kill_after(world.log.head + after, victim)
        return world, rolled_back(world, 4)

    calm, expected = played(0)
    for after in range(1, calm.log.head - ran(ALL[name]).log.head + 1):
        world, undone = played(after)
        assert (undone, end(world)["not_undone"]) == (expected, end(calm)["not_undone"]), after
        assert not world.bus.queued
        assert not any(worker.held for worker in world.workers)


@pytest.mark.parametrize("seed", range(12))
def test_a_rollback_at_any_moment_ends_every_run(seed: int) -> None:
    """Whatever is under way, with lost hints, deaths and jumping clocks: it ends as rolled back, and re-decides."""
    world = Simulation(Agents(seed), seed, managers=2)
    world.request("run.requested", {"plan": ALL["nested"]})
    for _ in range(world.chance.randrange(400)):
        world.step()
    world.request("run.rollback_requested", {"to": world.chance.randrange(1, 40), "reason": "now"})
    for _ in range(world.chance.randrange(200)):
        world.step()
    world.settle_down()
    assert world.end()[0] == "rolled_back", world.told()[-30:]
    check_decisions(RUN, [*read_run(world.log, RUN)])
    assert not world.bus.queued


def test_a_preview_names_what_an_open_run_is_at() -> None:
    """What runs is told as withdrawn, and as undone where nobody could tell how far it had come."""
    plan = {"pattern": "saga", "steps": [{**GOOD, "undo": UNDO}, {"agent": "nobody", "undo": UNDO}]}
    world = ran(plan)
    found = preview(world.state(), read_run(world.log, RUN), 1)
    assert [(one.path, one.agent) for one in found.withdrawn] == [("0.1", "nobody")]
    assert [one.path for one in found.compensations] == ["0.1", "0.0"]
    assert found.withdrawn[0].position is None
    assert found.compensations[1].position == outcomes(world)["0.0"]


def test_a_preview_names_what_was_undone_since_and_what_lasts() -> None:
    """A saga that has taken a step back can't give it again; what was done to the world without undo is told."""
    world = ran(ALL["saga"])
    first = outcomes(world)["0.0"]
    found = preview(world.state(), read_run(world.log, RUN), first)
    assert [one.path for one in found.undone_before] == ["0.0"]
    world = ran({"pattern": "pipeline", "steps": [GOOD, GOOD]})
    stream = f"task.{RUN}.0.1"
    for key, more in (
        ("sent", {}),
        ("file", {"commit": "c" * 40}),
        ("asked", {"kind": "model"}),
        ("x", {"effect": "read"}),
    ):
        facts = {"kind": "tool", "name": key, "effect": "once", "key": key, **more}
        world._tell(lambda facts=facts: new_event("effect.completed", facts, stream=stream, run=RUN, id=fresh_id()))
    found = preview(world.state(), read_run(world.log, RUN), 1)
    assert [(one.path, one.name, one.effect) for one in found.effects] == [("0.1", "sent", "once")]
    assert [one.path for one in found.not_undone] == ["0.0", "0.1"]


def test_a_fork_is_rolled_back_to_its_cut_and_no_further(world: Any) -> None:
    """What its parent did is the parent's to undo; a fork's beginning is where it was cut, however early is asked."""

    def good(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "task.succeeded", {"value": 1, "evidence": []}

    played = world({"good": good, "undo": good})
    run = played.submit({"pattern": "saga", "steps": [{**GOOD, "undo": UNDO} for _ in range(4)]})
    played.settle_down()
    done = [event.position for event in played.log.read(type="task.succeeded")]
    fork = played.fork(run, at=done[1])
    played.settle_down()
    played.roll_back(fork, to=1)
    played.settle_down()
    end = played.end(fork)
    assert (end["outcome"], end["undone"], end["not_undone"]) == ("rolled_back", ["0.2", "0.3"], [])
    assert end["to"] == next(event.position for event in played.log.read(run=fork))
    assert played.end(run)["outcome"] == "succeeded"
    played.roll_back(run)
    played.settle_down()
    assert played.end(run)["undone"] == ["0.0", "0.1", "0.2", "0.3"]
    again = played.fork(run, at=done[2])
    played.settle_down()
    assert played.end(again)["outcome"] == "succeeded"  # to go on from there
    assert all(redecide(one, read_run(played.log, one)).agrees for one in (run, fork, again))


@pytest.mark.parametrize("seed", range(8))
def test_kills_of_the_orchestrator_lose_no_rollback(world: Any, seed: int) -> None:
    """Ended and open runs, asked for in one breath with new ones, while the orchestrator dies again and again."""

    def good(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "task.succeeded", {"value": 1, "evidence": []}

    played = world({"good": good, "undo": good}, seed=seed)
    plan = {"pattern": "saga", "steps": [{**GOOD, "undo": UNDO} for _ in range(3)]}
    runs = [played.submit(plan, run=f"{n:032x}") for n in range(1, 4)]
    played.storm(played.random.randrange(80), settle=False)
    for n, run in enumerate(runs):
        played.submit(plan, run=f"{n + 10:032x}")
        played.roll_back(run)
        played.submit(plan, run=f"{n + 20:032x}")
        played.storm(4, settle=False)
    played.storm(60)
    for run in runs:
        assert played.end(run)["outcome"] == "rolled_back"
        check_decisions(run, [*read_run(played.log, run)])
    assert not played.log.marks("run/").keys() - {"run/seen"}
