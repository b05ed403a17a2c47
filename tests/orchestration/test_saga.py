"""What sagas decide: compensation in reverse, retries, parking for a human, the pivot, cancelling."""

from __future__ import annotations

from typing import Any

from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Retry, Task
from twelvefold.orchestration.saga import Saga

ONE_TRY = Retry(attempts_max=1)
STEPS = [
    Task("book", name="hotel", undo=Task("unbook", {"ref": {"$from": "hotel", "key": "ref"}})),
    Task("check", effect="read"),
    Task("pay", name="pay", undo=Task("refund", {"$from": "pay"}, retry=ONE_TRY)),
    Task("mail"),
]
DONE = [("task.succeeded", "0.0", {"value": {"ref": 7}}), ("task.succeeded", "0.1"), ("task.succeeded", "0.2")]


def test_a_compensation_is_recorded_before_its_step_starts(story: Any) -> None:
    """The request of a step says how it will be undone."""
    told = story(Saga(STEPS)).then("run.started", "task.requested 0.0")
    compensation = told.decided("task.requested")["compensation"]
    assert compensation["agent"] == "unbook"


def test_a_saga_that_goes_well_undoes_nothing(story: Any) -> None:
    """All steps in order, and then the run's success."""
    told = story(Saga(STEPS)).given(*DONE).then("task.requested 0.3")
    told.when("task.succeeded", "0.3", value="sent").then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == "sent"


def test_completed_steps_are_undone_in_reverse(story: Any) -> None:
    """After a failure each completed step is compensated, the last one first, with the values of its step."""
    told = story(Saga(STEPS)).given(*DONE).when("task.failed", "0.3", reason="no mail").then("task.requested 0.2.undo")
    assert told.decided("task.requested")["undo"] is True
    assert told.last.events[0].to == "refund"
    told.when("task.succeeded", "0.2.undo").then("task.compensated 0.2", "task.requested 0.0.undo")
    assert told.decided("task.requested")["input"] == {"ref": 7}
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")
    end = told.decided("run.failed")
    assert (end["reason"], end["at"], end["undone"], end["not_undone"]) == ("no mail", "0.3", ["0.0", "0.2"], [])


def test_a_step_that_failed_truthfully_is_not_undone(story: Any) -> None:
    """A step that says it failed has done nothing; only those before it are undone."""
    told = story(Saga(STEPS)).given(*DONE[:2]).when("task.failed", "0.2", reason="poor").then("task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")
    assert told.decided("run.failed")["not_undone"] == []


def test_a_step_that_was_stopped_half_way_is_undone(story: Any) -> None:
    """A step that ran out of time may have done anything: it is compensated too, without its value."""
    steps = [Task("a", name="a", timeout_s=5, undo=Task("b", {"was": {"$from": "a"}}))]
    told = story(Saga(steps)).given(("timer.fired", "0.0", {"kind": "timeout"}))
    told.when("delivery.withdrawn", "0.0").then("timer.cancelled 0.0", "task.requested 0.0.undo")
    assert told.decided("task.requested")["input"] == {"was": None}
    told.when("task.nothing_to_do", "0.0.undo").then("task.compensated 0.0", "run.failed")
    assert told.decided("run.failed")["reason"] == "timeout"


def test_a_step_whose_holders_died_is_undone(story: Any) -> None:
    """A step whose delivery was parked is in doubt and is compensated."""
    told = story(Saga(STEPS)).when("delivery.parked", "0.0", queue=True, error="died").then("task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")


def test_a_success_without_its_evidence_is_undone(story: Any) -> None:
    """A step that did its work but can't prove it is compensated, with the value that it gave."""
    step = Task("a", name="a", requires=["commit"], undo=Task("b", {"$from": "a"}))
    told = story(Saga([step])).when("task.succeeded", "0.0", value={"ref": 1})
    told.then("task.failed 0.0", "task.requested 0.0.undo")


def test_compensations_are_retried(story: Any) -> None:
    """A compensation that fails is tried five times by itself."""
    told = story(Saga([Task("a", undo=Task("b")), Task("c")])).given(("task.succeeded", "0.0"))
    told.when("task.failed", "0.1").then("task.requested 0.0.undo")
    for _ in range(4):
        told.when("task.failed", "0.0.undo", reason="busy").then("timer.set 0.0.undo")
        told.when("timer.fired", "0.0.undo", kind="retry").then("task.requested 0.0.undo")
    told.when("task.failed", "0.0.undo", reason="busy").then(
        "task.parked 0.0.undo", "human.requested 0.0.undo", "run.needs_human"
    )


def parked(story: Any) -> Any:
    told = story(Saga(STEPS)).given(*DONE, ("task.failed", "0.3", {"reason": "no mail"}))
    return told.when("task.failed", "0.2.undo", reason="bank closed").then(
        "task.parked 0.2.undo", "human.requested 0.2.undo", "run.needs_human"
    )


def test_a_failing_compensation_parks_the_saga(story: Any) -> None:
    """The saga rests, and says what is undone and what is not."""
    told = parked(story)
    rest = told.decided("run.needs_human")
    assert (rest["reason"], rest["undone"], rest["not_undone"]) == ("compensation", [], ["0.0", "0.2"])
    assert "bank closed" in rest["questions"][0]["question"]
    assert told.run.status == "resting"


def test_a_human_may_have_it_tried_again(story: Any) -> None:
    """`retry` requests the compensation anew, and the saga goes on from there."""
    told = parked(story).when("human.answered", "0.2.undo", answer="retry")
    told.then("run.resumed", "task.requested 0.2.undo")
    told.when("task.succeeded", "0.2.undo").then("task.compensated 0.2", "task.requested 0.0.undo")


def test_a_human_may_have_done_it(story: Any) -> None:
    """`done` counts as undone."""
    told = parked(story).when("human.answered", "0.2.undo", answer="done")
    told.then("run.resumed", "task.compensated 0.2", "task.requested 0.0.undo")


def test_a_human_may_give_up(story: Any) -> None:
    """`give_up` leaves that step as it is, undoes the rest, and the end says so."""
    told = (
        parked(story)
        .when("human.answered", "0.2.undo", answer="give_up")
        .then("run.resumed", "task.requested 0.0.undo")
    )
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")
    assert told.decided("run.failed")["undone"] == ["0.0"]
    assert told.decided("run.failed")["not_undone"] == ["0.2"]


def test_other_words_leave_it_parked(story: Any) -> None:
    """An answer that is none of the three changes nothing."""
    parked(story).when("human.answered", "0.2.undo", answer="maybe").then()


PIVOTED = Saga([Task("a", undo=Task("un-a")), Task("b", pivot=True), Task("c")])


def test_beyond_the_pivot_nothing_is_undone(story: Any) -> None:
    """What fails after the point of no return waits for a human, who has it tried again."""
    told = story(PIVOTED).given(("task.succeeded", "0.0"), ("task.succeeded", "0.1"))
    told.when("task.failed", "0.2", reason="down").then("task.parked 0.2", "human.requested 0.2", "run.needs_human")
    assert told.decided("run.needs_human")["reason"] == "beyond_pivot"
    told.when("human.answered", "0.2", answer="retry").then("run.resumed", "task.requested 0.2")
    told.when("task.succeeded", "0.2", value=3).then("run.succeeded")


def test_giving_up_beyond_the_pivot(story: Any) -> None:
    """Given up beyond the point of no return, the run fails and says what stands."""
    told = story(PIVOTED).given(("task.succeeded", "0.0"), ("task.succeeded", "0.1"), ("task.failed", "0.2"))
    told.when("human.answered", "0.2", answer="give_up").then("run.resumed", "run.failed")
    assert told.decided("run.failed")["not_undone"] == ["0.0", "0.1"]


def test_a_failing_pivot_is_undone(story: Any) -> None:
    """A pivot that fails has not passed the point of no return."""
    told = story(PIVOTED).given(("task.succeeded", "0.0")).when("task.failed", "0.1").then("task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")


def test_a_pivot_in_doubt_asks(story: Any) -> None:
    """Nobody knows whether a pivot that was stopped half-way happened: a human says, and it goes either way."""
    for answer, then in (("done", "task.requested 0.2"), ("give_up", "task.requested 0.0.undo")):
        told = story(PIVOTED).given(("task.succeeded", "0.0"))
        told.when("delivery.parked", "0.1", queue=True, error="died").then(
            "task.parked 0.1", "human.requested 0.1", "run.needs_human"
        )
        told.when("human.answered", "0.1", answer=answer).then("run.resumed", then)


def test_cancelling_undoes_what_was_done(story: Any) -> None:
    """A cancelled run takes back what is open, waits until nobody works on it, and undoes in reverse."""
    told = story(Saga(STEPS)).given(*DONE[:2])
    request = told.run.tasks["0.2"].request
    told.when("run.cancel_requested", reason="changed my mind").then("task.cancelled 0.2", "timer.set 0.2")
    assert told.last.withdrawn == [request]
    told.when("delivery.withdrawn", "0.2").then("timer.cancelled 0.2", "task.requested 0.2.undo")
    told.when("task.succeeded", "0.2.undo").then("task.compensated 0.2", "task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.cancelled")
    assert told.decided("run.cancelled")["reason"] == "changed my mind"
    assert told.decided("run.cancelled")["undone"] == ["0.0", "0.2"]


def test_cancelling_twice_is_cancelling_once(story: Any) -> None:
    """A second request to cancel changes nothing."""
    story(Saga(STEPS)).given(("run.cancel_requested", "")).when("run.cancel_requested").then()


def test_cancelling_before_anything_is_done(story: Any) -> None:
    """With nothing done there is nothing to undo once the open task has been let go."""
    told = story(Saga([Task("a"), Task("b")])).given(("run.cancel_requested", ""))
    told.when("delivery.withdrawn", "0.0").then("timer.cancelled 0.0", "run.cancelled")


def test_cancelling_beyond_the_pivot(story: Any) -> None:
    """After the point of no return a cancelled run stops and says what stands."""
    told = story(PIVOTED).given(("task.succeeded", "0.0"), ("task.succeeded", "0.1"), ("run.cancel_requested", ""))
    told.when("delivery.withdrawn", "0.2").then("timer.cancelled 0.2", "run.cancelled")
    assert told.decided("run.cancelled")["not_undone"] == ["0.0", "0.1", "0.2"]


def test_cancelling_while_undoing(story: Any) -> None:
    """A cancel during the compensation lets it finish; the run then is cancelled."""
    told = story(Saga(STEPS)).given(*DONE[:1], ("task.failed", "0.1"))
    told.when("run.cancel_requested").then()
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.cancelled")


def test_time_over_while_undoing_keeps_the_reason(story: Any) -> None:
    """A run whose time is over during its compensation fails for what made it fail."""
    told = story(Saga(STEPS), timeout_s=60).given(*DONE[:1], ("task.failed", "0.1", {"reason": "red"}))
    told.when("timer.fired", kind="run").then()
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")
    assert told.decided("run.failed")["reason"] == "red"


def test_cancelling_a_resting_run(story: Any) -> None:
    """A run that rests for an answer can be cancelled; who asked may have done something, and is undone."""
    told = story(Saga([Task("a", undo=Task("b"))])).given(("task.needs_human", "0.0", {"reason": "which"}))
    told.when("run.cancel_requested").then("task.cancelled 0.0", "task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.cancelled")


def test_a_nested_saga_undoes_itself_then_the_outer_one(story: Any) -> None:
    """When a saga inside a saga fails, it undoes its own steps first, then the outer one undoes those before."""
    inner = Saga([Task("x", undo=Task("un-x")), Task("y")])
    told = story(Saga([Task("a", undo=Task("un-a")), inner]))
    told.given(("task.succeeded", "0.0"), ("task.succeeded", "0.1.0"))
    told.when("task.failed", "0.1.1", reason="r").then("task.requested 0.1.0.undo")
    told.when("task.succeeded", "0.1.0.undo").then("task.compensated 0.1.0", "task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")


def test_a_completed_inner_saga_is_undone_from_outside(story: Any) -> None:
    """A later failure of the outer saga undoes the completed inner one, step by step."""
    inner = Saga([Task("x", undo=Task("un-x")), Task("y", undo=Task("un-y"))])
    told = story(Saga([inner, Task("z")])).given(("task.succeeded", "0.0.0"), ("task.succeeded", "0.0.1"))
    told.when("task.failed", "0.1").then("task.requested 0.0.1.undo")
    told.when("task.succeeded", "0.0.1.undo").then("task.compensated 0.0.1", "task.requested 0.0.0.undo")


def test_a_compensation_of_a_whole_pipeline(story: Any) -> None:
    """A step that is a pipeline with one compensation is undone by it once, even when it failed half-way."""
    step = Pipeline([Task("x"), Task("y")], undo=Task("un-xy"))
    told = story(Saga([step])).given(("task.succeeded", "0.0.0")).when("task.failed", "0.0.1", reason="r")
    told.then("task.requested 0.0.undo").when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")
    assert told.decided("run.failed")["not_undone"] == []


def test_a_saga_in_an_answer(story: Any) -> None:
    """A saga that a task answered with undoes its steps like any other, also when a later step of the run fails."""
    answer = {"pattern": "saga", "steps": [{"agent": "x", "undo": {"agent": "un-x"}}]}
    told = story(Saga([Task("boss"), Task("z")])).when("task.planned", "0.0", plan=answer).then("task.requested 0.0.0")
    told.given(("task.succeeded", "0.0.0"), ("task.failed", "0.1"))
    assert told.last.events[0].to == "un-x"
    told.when("task.succeeded", "0.0.0.undo").then("task.compensated 0.0.0", "run.failed")


def test_a_compensation_may_ask(story: Any) -> None:
    """A compensation that needs a human lets the run rest, and goes on with the answer."""
    told = story(Saga([Task("a", undo=Task("b")), Task("c")])).given(("task.succeeded", "0.0"), ("task.failed", "0.1"))
    told.when("task.needs_human", "0.0.undo", reason="code?").then("human.requested 0.0.undo", "run.needs_human")
    told.when("human.answered", "0.0.undo", answer="42").then("run.resumed", "task.requested 0.0.undo")
    assert [said["answer"] for said in told.decided("task.requested")["answers"]] == ["42"]


def test_a_step_that_nobody_took_is_not_undone(story: Any) -> None:
    """A step that was withdrawn before any agent had it has done nothing."""
    told = story(Saga([Task("a", timeout_s=5, undo=Task("b"))])).given(("timer.fired", "0.0", {"kind": "timeout"}))
    told.when("delivery.withdrawn", "0.0", delivered=False).then("timer.cancelled 0.0", "run.failed")
    assert told.decided("run.failed")["not_undone"] == []
