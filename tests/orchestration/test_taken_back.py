"""What becomes of work that is taken back while it is on its way: found by random schedules."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from twelvefold.eventstore.event import new_event
from twelvefold.orchestration.appending import together
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.orchestrator import Batch
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.saga import Saga


def test_a_question_of_what_is_taken_back_is_not_asked(story: Any) -> None:
    """An agent asks a human right when its task is withdrawn: it has let go, and the run comes to its end."""
    told = story(ForkJoin([Task("a"), Task("b")], join="any")).when("task.succeeded", "0.1", value=1)
    told.then("task.joined 0", "task.cancelled 0.0", "timer.set 0.0")
    told.when("task.needs_human", "0.0", reason="which").then("timer.cancelled 0.0", "run.succeeded")
    told = story(Task("a")).when("run.cancel_requested").when("task.needs_human", "0", reason="which")
    told.then("timer.cancelled 0", "run.cancelled")
    assert told.decided("run.cancelled")["not_undone"] == ["0"]


def test_a_request_that_is_withdrawn_at_once_is_never_handed_out(story: Any) -> None:
    """Where the turn that requests tasks also stops the run, they wait in no queue, and nothing is waited for."""
    told = story(ForkJoin([Task("a"), Task("b")]), budget={"tasks": 1})
    told.then("run.started", "task.requested 0.0", "run.stopping", "task.cancelled 0.0", "run.failed")
    assert [event.to for event in told.last.events] == [""] * 5
    assert told.last.withdrawn == []
    end = told.decided("run.failed")
    assert (end["reason"], end["not_undone"]) == ("budget", [])


def test_a_request_and_its_withdrawal_are_two_appends() -> None:
    """The bus can only take back what it has: a withdrawal doesn't go into the append that makes the request."""
    asked = new_event("task.requested", {}, stream="run.x", id=b"1" * 16, to="a")
    told = new_event("task.cancelled", {}, stream="run.x", id=b"2" * 16)
    batches = [Batch("x", [asked], {}, {}, []), Batch("x", [told], {}, {}, [asked.id]), Batch("y", [told], {}, {}, [])]
    decided = deque(batches)
    appends = []
    while decided:
        appends.append([batch.run for batch in together(decided, lambda batch: batch)])
    assert appends == [["x"], ["x", "y"]]


def test_a_step_that_answered_with_a_plan_is_undone_as_any(story: Any) -> None:
    """The compensation of such a step lies below its path, and means nothing to the plan that runs there."""
    plan = msgspec.to_builtins(Pipeline([Task("x"), Task("y")]))
    told = story(Saga([Task("a", undo=Task("undo")), Task("b")])).when("task.planned", "0.0", plan=plan)
    told.given(("task.succeeded", "0.0.0", {}), ("task.succeeded", "0.0.1", {}))
    told.when("task.failed", "0.1", reason="no").then("task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")


def test_items_that_ended_without_a_task_count_after_a_restart_too(story: Any) -> None:
    """What had nothing to do has left no event: it is known again when the run is stopped, whoever decides."""
    empty = MapReduce(Task("x"), items=[])
    plan = ForkJoin([ForkJoin([Task("a"), MapReduce(empty, items=[1, 2]), Task("c")]), Task("b")])
    told = story(plan).when("task.failed", "0.1", reason="no")
    told.given(("delivery.withdrawn", "0.0.0", {}))
    # A story decides each input with and without what was remembered, and compares.
    told.when("delivery.withdrawn", "0.0.2")
    assert told.run.outcome == "failed"


def test_what_is_taken_back_asks_on_while_it_is_taken_back_from_further_out(story: Any) -> None:
    """A pivot was stopped half-way when a fork took it back; now that fork is taken back as well: it still asks."""
    doubtful = Saga([Task("x", pivot=True)])
    inner = ForkJoin([doubtful, Task("y")])
    told = story(ForkJoin([inner, Task("z")])).given(("task.failed", "0.0.1", {}))
    told.when("delivery.withdrawn", "0.0.0.0").then(
        "timer.cancelled 0.0.0.0", "task.parked 0.0.0.0", "human.requested 0.0.0.0"
    )
    told.when("task.failed", "0.1").then("task.joined 0", "run.needs_human")
    told.when("human.answered", "0.0.0.0", answer="give_up").then("run.resumed", "run.failed")
