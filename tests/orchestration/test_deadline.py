"""The deadline of a task bounds the plan that it answers with, too: what is open of it is taken back, and undone."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.orchestration.checking import check_ended
from tests.orchestration.random_plans import Agents
from tests.orchestration.simulation import RUN as SIMULATED
from tests.orchestration.simulation import Simulation
from twelvefold.eventstore.run import read_run
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Retry, Task
from twelvefold.orchestration.saga import Saga

BOUNDED = Task("planner", deadline_s=60, timeout_s=5, retry=Retry(attempts_max=3))


def planned(plan: Plan) -> dict[str, Any]:
    return {"plan": msgspec.to_builtins(plan)}


def test_a_plan_that_a_task_answers_with_is_bounded_by_its_deadline(story: Any) -> None:
    """The attempt's timeout ends with the answer, the deadline doesn't: it takes back what is open; the task fails."""
    told = story(Pipeline([BOUNDED, Task("after")])).when(
        "task.planned", "0.0", **planned(ForkJoin([Task("a"), Task("b")]))
    )
    told.then("timer.cancelled 0.0", "task.requested 0.0.0", "task.requested 0.0.1")
    assert [timer.kind for timer in told.run.timers.values()] == ["deadline"]
    told.when("task.succeeded", "0.0.0", value=1).then()
    open_request = told.run.tasks["0.0.1"].request
    told.when("timer.fired", "0.0", kind="deadline").then("task.cancelled 0.0.1", "timer.set 0.0.1")
    assert told.last.withdrawn == [open_request]
    assert told.decided("task.cancelled")["reason"] == "deadline"
    told.when("delivery.withdrawn", "0.0.1").then("timer.cancelled 0.0.1", "task.failed 0.0", "run.failed")
    end = told.decided("run.failed")
    assert (end["reason"], end["at"]) == ("deadline", "0.0")
    assert "60 s" in end["error"]
    assert end["not_undone"] == ["0.0.0", "0.0.1"]


def test_what_a_saga_below_has_done_is_undone_before_the_task_fails(story: Any) -> None:
    """Nothing of the subtree is half undone when its task has ended, so that the saga around it goes on from there."""
    below = Saga([Task("a", undo=Task("un-a")), Task("b", undo=Task("un-b"))])
    told = story(Saga([Task("first", undo=Task("un-first")), BOUNDED]))
    told.given(("task.succeeded", "0.0", {}), ("task.planned", "0.1", planned(below)), ("task.succeeded", "0.1.0", {}))
    told.when("timer.fired", "0.1", kind="deadline").then("task.cancelled 0.1.1", "timer.set 0.1.1")
    told.when("delivery.withdrawn", "0.1.1").then("timer.cancelled 0.1.1", "task.requested 0.1.1.undo")
    told.when("task.succeeded", "0.1.1.undo").then("task.compensated 0.1.1", "task.requested 0.1.0.undo")
    told.when("task.succeeded", "0.1.0.undo")
    told.then("task.compensated 0.1.0", "task.failed 0.1", "task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")
    assert told.decided("run.failed")["reason"] == "deadline"
    assert told.decided("run.failed")["not_undone"] == []


def test_a_subtree_that_is_done_in_time_has_no_deadline_any_more(story: Any) -> None:
    """With its outcome the timer goes, however long the rest of the run takes."""
    told = story(Pipeline([BOUNDED, Task("after")])).when("task.planned", "0.0", **planned(Task("a")))
    told.when("task.succeeded", "0.0.0", value=7).then("timer.cancelled 0.0", "task.requested 0.1")
    assert not told.run.timers
    told = story(Task("planner", deadline_s=60, requires=["commit"])).when("task.planned", "0", **planned(Task("a")))
    told.when("task.succeeded", "0.0", value=7).then("timer.cancelled 0", "task.failed 0", "run.failed")
    assert told.decided("run.failed")["reason"] == "evidence"


def test_an_inner_deadline_fails_its_own_part_only(story: Any) -> None:
    """Deadlines nest: the inner one ends what is below it, and the outer one still bounds the rest."""
    inner = ForkJoin([Task("slow", deadline_s=10), Task("other")], join="any")
    told = story(Task("planner", deadline_s=60)).when("task.planned", "0", **planned(inner))
    told.when("task.planned", "0.0", **planned(Pipeline([Task("x"), Task("y")]))).then("task.requested 0.0.0")
    told.when("timer.fired", "0.0", kind="deadline").then("task.cancelled 0.0.0", "timer.set 0.0.0")
    told.when("delivery.withdrawn", "0.0.0").then("timer.cancelled 0.0.0", "task.failed 0.0")
    told.when("task.succeeded", "0.1", value=2).then("task.joined 0", "timer.cancelled 0", "run.succeeded")


def test_a_plan_that_comes_with_the_deadline_begins_nothing(story: Any) -> None:
    """An answer that beat the withdrawal of its task is heard, but it is too late to begin with it."""
    told = story(BOUNDED).when("timer.fired", "0", kind="deadline")
    told.then("task.cancelled 0", "timer.cancelled 0", "timer.set 0")
    told.when("task.planned", "0", **planned(Task("a"))).then("timer.cancelled 0", "task.failed 0", "run.failed")
    assert told.decided("run.failed")["reason"] == "deadline"


def test_a_question_below_is_not_asked_past_the_deadline(story: Any) -> None:
    """Who is asked by a subtree needs to answer no more, and the run that rested goes on to its end."""
    told = story(BOUNDED).given(("task.planned", "0", planned(Pipeline([Task("a"), Task("b")]))))
    told.when("task.needs_human", "0.0", reason="which", question="A or B?")
    assert told.run.status == "resting"
    told.when("timer.fired", "0", kind="deadline").then("task.cancelled 0.0", "task.failed 0", "run.failed")
    assert told.decided("run.failed")["reason"] == "deadline"


def test_a_run_that_is_cancelled_meanwhile_ends_as_cancelled(story: Any) -> None:
    """Taking back for the deadline and for the run's end are one: nothing is withdrawn or undone twice."""
    below = Saga([Task("a", undo=Task("un-a")), Task("b")])
    told = story(BOUNDED).given(("task.planned", "0", planned(below)), ("task.succeeded", "0.0", {}))
    told.when("timer.fired", "0", kind="deadline").then("task.cancelled 0.1", "timer.set 0.1")
    told.when("run.cancel_requested").then()
    told.when("delivery.withdrawn", "0.1").then("timer.cancelled 0.1", "task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo")
    assert told.decided("run.cancelled")["undone"] == ["0.0"]


def test_beyond_a_pivot_a_human_says_what_becomes_of_a_subtree_that_was_taken_back(story: Any) -> None:
    """It can't be tried again, as its parts have ended: it counts as done, or is given up."""
    told = story(Saga([Task("pivot", pivot=True), BOUNDED])).given(("task.succeeded", "0.0", {}))
    told.given(("task.planned", "0.1", planned(Pipeline([Task("a"), Task("b")]))))
    told.when("timer.fired", "0.1", kind="deadline").when("delivery.withdrawn", "0.1.0")
    assert told.decided("run.needs_human")["reason"] == "beyond_pivot"
    assert told.decided("human.requested")["takes"] == ["done", "give_up"]
    told.when("human.answered", "0.1", answer="retry").then()
    told.when("human.answered", "0.1", answer="done", value=3)
    assert told.decided("run.succeeded")["value"] == 3


def test_bounded_subtrees_come_to_a_sound_end_whatever_happens() -> None:
    """Random plans as answers, deaths, lost hints and a clock that jumps: nothing is left at work or half undone."""
    ends = set()
    for seed in range(60):
        world = Simulation(Agents(seed), seed)
        bounded = [{"agent": "planner", "deadline_s": seconds} for seconds in (0.5, 2.0, 5.0)]
        pattern = {"pattern": "fork_join", "branches": bounded, "join": "quorum(1)", "rest": "await"}
        world.request("run.requested", {"plan": pattern})
        events = [*read_run(world.settle_down().log, SIMULATED)]
        check_ended(SIMULATED, events)
        assert not world.bus.queued
        failed = [event for event in events if event.type == "task.failed" and event.data["reason"] == "deadline"]
        ends |= {event.data["path"] for event in failed}
    assert ends, "no deadline was ever passed"
