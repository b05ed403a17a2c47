"""What single tasks and pipelines decide, told as given-when-then."""

from __future__ import annotations

from typing import Any

import pytest

from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Retry, Task

OK = {"value": {"n": 1}, "evidence": [{"kind": "value", "ref": "x"}]}


def test_a_run_starts_with_its_first_task(story: Any) -> None:
    """A request is answered with the pinned versions and the first task's request, addressed to its queue."""
    told = story(Task("echo", {"a": 1}, requires=["commit"]))
    told.then("run.started", "task.requested 0")
    request = told.last.events[1]
    assert (request.to, request.seen, request.stream) == ("echo", 1, f"run.{told.run.id}")
    data = told.decided("task.requested")
    assert {key: data[key] for key in ("agent", "input", "requires", "attempt", "undo")} == {
        "agent": "echo", "input": {"a": 1}, "requires": ["commit"], "attempt": 1, "undo": False,
    }  # fmt: skip
    assert data["decider"] == {"run": 2, "task": 4}
    assert told.decided("run.started")["decider"] == {"run": 2}
    assert told.decided("run.started")["versions"]["deciders"]["saga"] == 4


def test_a_success_is_the_runs_success(story: Any) -> None:
    """The value and the evidence of the only task are the run's."""
    told = story(Task("echo")).when("task.succeeded", "0", **OK)
    told.then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == {"n": 1}
    assert told.decided("run.succeeded")["evidence"] == OK["evidence"]


@pytest.mark.parametrize("outcome", ["failed", "nothing_to_do"])
def test_other_ends_keep_their_reason(story: Any, outcome: str) -> None:
    """A failure or nothing to do ends the run so, with the agent's reason."""
    told = story(Task("echo")).when(f"task.{outcome}", "0", reason="because").then(f"run.{outcome}")
    assert told.decided(f"run.{outcome}")["reason"] == "because"


def test_success_without_demanded_evidence_is_a_failure(story: Any) -> None:
    """A success that lacks a demanded kind of evidence is judged failed, and says what is missing."""
    told = story(Task("fix", requires=["commit", "tests"]))
    told.when("task.succeeded", "0", evidence=[{"kind": "commit", "ref": "c"}]).then("task.failed 0", "run.failed")
    assert told.decided("run.failed")["reason"] == "evidence"
    assert "tests" in told.decided("run.failed")["error"]


def test_evidence_of_any_shape_is_judged(story: Any) -> None:
    """Evidence that is no list, or holds no objects, proves nothing and breaks nothing."""
    for evidence in (None, "commit", {"kind": "commit"}, ["commit"], [{"kind": ["commit"]}]):
        told = story(Task("fix", requires=["commit"])).when("task.succeeded", "0", evidence=evidence)
        told.then("task.failed 0", "run.failed")


def test_a_pipeline_hands_values_on(story: Any) -> None:
    """A later step's input holds what it refers to, taken from the earlier step's value or the run's input."""
    later = Task("b", {"got": {"$from": "one", "key": "n"}, "all": [{"$from": "0.0"}], "in": {"$from": "input"}})
    told = story(Pipeline([Task("a", name="one"), later]), input="given").when("task.succeeded", "0.0", **OK)
    told.then("task.requested 0.1")
    assert told.decided("task.requested")["input"] == {"got": 1, "all": [{"n": 1}], "in": "given"}
    told.when("task.succeeded", "0.1", value="end", evidence=[{"kind": "value", "ref": "y"}]).then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == "end"
    assert [item["ref"] for item in told.decided("run.succeeded")["evidence"]] == ["x", "y"]


def test_a_value_that_is_not_there_fails_the_step(story: Any) -> None:
    """A reference to a field that the value lacks fails the step with words, before any agent is asked."""
    told = story(Pipeline([Task("a", name="one"), Task("b", {"$from": "one", "key": "m"})]))
    told.when("task.succeeded", "0.0", **OK).then("task.failed 0.1", "run.failed")
    assert told.decided("run.failed")["reason"] == "reference"
    assert "'m'" in told.decided("run.failed")["error"]


def test_a_default_stands_in(story: Any) -> None:
    """A reference with a default never fails."""
    told = story(Pipeline([Task("a", name="one"), Task("b", {"$from": "one", "key": "m", "default": 0})]))
    assert told.when("task.succeeded", "0.0", **OK).decided("task.requested")["input"] == 0


def test_nothing_to_do_spreads_to_what_depends_on_it(story: Any) -> None:
    """Steps that need the value of a step with nothing to do have nothing to do either; others run."""
    steps = [Task("a", name="one"), Task("b", {"$from": "one"}), Task("c")]
    told = story(Pipeline(steps)).when("task.nothing_to_do", "0.0", reason="clean")
    told.then("task.nothing_to_do 0.1", "task.requested 0.2")
    told.when("task.nothing_to_do", "0.2").then("run.nothing_to_do")
    assert told.decided("run.nothing_to_do")["reason"] == "clean"


def test_a_failing_step_ends_a_pipeline(story: Any) -> None:
    """After a failure no later step is requested."""
    story(Pipeline([Task("a"), Task("b")])).when("task.failed", "0.0", reason="no").then("run.failed")


def test_retries_wait_longer_each_time_and_end(story: Any) -> None:
    """Each failure sets a timer, twice as far away as the one before, until the attempts are used up."""
    told = story(Task("a", retry=Retry(attempts_max=3, backoff_s=2)))
    waits = []
    for attempt in (1, 2):
        told.when("task.failed", "0", reason="flaky").then("timer.set 0")
        waits.append((told.decided("timer.set")["due"] - told.now) / 1e9)
        told.when("timer.fired", "0", kind="retry").then("task.requested 0")
        assert told.decided("task.requested")["attempt"] == attempt + 1
    assert waits == [2, 4]
    told.when("task.failed", "0", reason="flaky").then("run.failed")


def test_some_reasons_are_not_retried(story: Any) -> None:
    """A failure for a reason that the plan names as final is final at once."""
    told = story(Task("a", retry=Retry(unless=["empty"])))
    told.when("task.failed", "0", reason="empty").then("run.failed")


def test_a_timeout_takes_the_task_back_first(story: Any) -> None:
    """After a timeout the request is withdrawn, and tried again only once the holder has let go."""
    told = story(Task("a", timeout_s=5, retry=Retry(attempts_max=2, backoff_s=1)))
    told.then("run.started", "task.requested 0", "timer.set 0")
    first = told.run.tasks["0"].request
    told.when("timer.fired", "0", kind="timeout").then("task.cancelled 0", "timer.set 0")
    assert told.last.withdrawn == [first]
    told.when("delivery.withdrawn", "0").then("timer.cancelled 0", "timer.set 0")
    told.when("timer.fired", "0", kind="retry").then("task.requested 0", "timer.set 0")
    told.when("task.succeeded", "0", **OK).then("timer.cancelled 0", "run.succeeded")


def test_a_success_that_beat_the_withdrawal_counts(story: Any) -> None:
    """An outcome that was settled just before the withdrawal committed is taken, not thrown away."""
    told = story(Task("a", timeout_s=5)).given(("timer.fired", "0", {"kind": "timeout"}))
    told.when("task.succeeded", "0", **OK).then("timer.cancelled 0", "run.succeeded")


def test_a_silent_bus_does_not_hold_a_run_for_ever(story: Any) -> None:
    """If nobody says that the holder has let go, a timer ends the wait."""
    told = story(Task("a", timeout_s=5)).given(("timer.fired", "0", {"kind": "timeout"}))
    told.when("timer.fired", "0", kind="release").then("run.failed")
    assert told.decided("run.failed")["reason"] == "timeout"
    assert told.decided("run.failed")["not_undone"] == ["0"]


def test_a_deadline_spans_all_attempts(story: Any) -> None:
    """Past the deadline there is no further attempt."""
    told = story(Task("a", deadline_s=5, retry=Retry(attempts_max=9, backoff_s=60)))
    told.when("task.failed", "0", reason="flaky").then("timer.set 0")
    told.when("timer.fired", "0", kind="deadline").then("timer.cancelled 0", "run.failed")
    assert told.decided("run.failed")["reason"] == "flaky"
    told = story(Task("a", deadline_s=5, retry=Retry(attempts_max=9)))
    told.given(("timer.fired", "0", {"kind": "deadline"}))
    told.when("delivery.withdrawn", "0").then("timer.cancelled 0", "run.failed")
    assert told.decided("run.failed")["reason"] == "deadline"


def test_a_parked_delivery_is_a_failed_attempt(story: Any) -> None:
    """When the bus gives up on a task, as every holder died, the attempt has failed and is in doubt."""
    told = story(Task("a")).when("delivery.parked", "0", error="exit 137", queue=True).then("run.failed")
    assert told.decided("run.failed")["reason"] == "parked"
    assert told.decided("run.failed")["not_undone"] == ["0"]


def test_a_parked_observer_is_nothing_to_the_run(story: Any) -> None:
    """A group that merely follows requests may park one without touching the task."""
    story(Task("a")).when("delivery.parked", "0", error="x", queue=False).then()


def test_asking_a_human_is_a_rest(story: Any) -> None:
    """A task that needs a human lets the run rest; the answer requests it again with all answers so far."""
    told = story(Task("a")).when("task.needs_human", "0", reason="which", question="A or B?")
    told.then("human.requested 0", "run.needs_human")
    assert told.run.status == "resting"
    assert told.decided("run.needs_human")["questions"] == [{"path": "0", "reason": "which", "question": "A or B?"}]
    told.when("human.answered", "0", answer="A").then("run.resumed", "task.requested 0")
    data = told.decided("task.requested")
    assert (data["answers"], data["attempt"]) == ([{"question": "A or B?", "answer": "A"}], 2)
    told.when("task.succeeded", "0", **OK).then("run.succeeded")


def test_an_answer_to_nothing_changes_nothing(story: Any) -> None:
    """Answers that no task waits for are kept in the log and ignored."""
    story(Task("a")).when("human.answered", "0", answer="A").then()
    told = story(Task("a")).given(("task.needs_human", "0", {"reason": "r"}))
    told.when("human.answered", "0.7", answer="A").then()


def test_the_runs_own_deadline(story: Any) -> None:
    """`timeout_s` of a run ends it as failed for the reason timeout, once its task has been taken back."""
    told = story(Task("a"), timeout_s=30).then("run.started", "timer.set", "task.requested 0")
    told.when("timer.fired", kind="run").then("task.cancelled 0", "timer.set 0")
    told.when("delivery.withdrawn", "0").then("timer.cancelled 0", "run.failed")
    assert told.decided("run.failed")["reason"] == "timeout"


def test_a_run_in_time_cancels_its_deadline(story: Any) -> None:
    """A run that ends leaves no timer behind."""
    told = story(Task("a"), timeout_s=30).when("task.succeeded", "0", **OK).then("timer.cancelled", "run.succeeded")
    assert not told.run.timers


def test_an_invalid_plan_fails_with_words(world: Any) -> None:
    """A request with a plan that is none ends at once, saying what is wrong with it."""
    for plan in ({"pattern": "loop"}, None, 3, {"agent": 3}):
        here = world()
        here.submit({} if plan is None else plan) if isinstance(plan, dict) else here.append(
            "run.requested", {"plan": plan}, stream=f"run.{'0' * 32}", run="0" * 32
        )
        run = here.log.read()[0].run
        here.settle_down()
        assert here.end(run)["outcome"] == "failed"
        assert here.end(run)["reason"] == "plan"
        assert here.log.marks("run/") == {"run/seen": "1"}


def test_late_and_foreign_reports_are_ignored(story: Any) -> None:
    """After its end a run decides nothing more, whatever arrives."""
    told = story(Task("a")).given(("task.succeeded", "0", OK))
    for type in ("task.failed", "task.succeeded", "run.cancel_requested", "human.answered", "task.planned"):
        told.when(type, "0").then()


def test_a_task_may_answer_with_a_plan(story: Any) -> None:
    """The plan that a task answers with is run under the task's path, and its outcome is the task's."""
    told = story(Pipeline([Task("boss", name="all"), Task("last", {"$from": "all"})]))
    answer = {"pattern": "pipeline", "steps": [{"agent": "a", "name": "x"}, {"agent": "b", "input": {"$from": "x"}}]}
    told.when("task.planned", "0.0", plan=answer).then("task.requested 0.0.0")
    told.when("task.succeeded", "0.0.0", value=1).then("task.requested 0.0.1")
    assert told.decided("task.requested")["input"] == 1
    told.when("task.succeeded", "0.0.1", value=2).then("task.requested 0.1")
    assert told.decided("task.requested")["input"] == 2


def test_a_single_task_as_answer(story: Any) -> None:
    """A plan that is one task gets a path of its own below the task that answered with it."""
    told = story(Task("boss")).when("task.planned", "0", plan={"agent": "a"}).then("task.requested 0.0")
    told.when("task.succeeded", "0.0", value=1).then("run.succeeded")


def test_answers_nest_three_deep(story: Any) -> None:
    """A fourth task that answers with a plan below three others fails for the reason plan."""
    told, path = story(Task("boss")), "0"
    for _ in range(3):
        told.when("task.planned", path, plan={"agent": "boss"})
        path += ".0"
        told.then(f"task.requested {path}")
    told.when("task.planned", path, plan={"agent": "boss"}).then(f"task.failed {path}", "run.failed")
    assert told.decided("run.failed")["reason"] == "plan"


def test_an_invalid_answer_is_a_failure(story: Any) -> None:
    """A task that answers with something that is no plan has failed, with the place of the mistake."""
    told = story(Task("boss")).when("task.planned", "0", plan={"pattern": "pipeline", "steps": [{}]}).then("run.failed")
    assert "steps[0]" in told.decided("run.failed")["error"]


def test_demanded_evidence_of_a_plan(story: Any) -> None:
    """What a task demands as evidence must come from the plan that it answered with."""
    told = story(Task("boss", requires=["commit"])).when("task.planned", "0", plan={"agent": "a"})
    told.when("task.succeeded", "0.0", value=1).then("task.failed 0", "run.failed")
    assert told.decided("run.failed")["reason"] == "evidence"


def test_a_report_on_an_earlier_attempt_is_ignored(story: Any) -> None:
    """Only the attempt that is open can be answered: what a holder of an earlier one says counts for nothing."""
    told = story(Task("a", retry=Retry(attempts_max=2, backoff_s=0)))
    first = told.run.tasks["0"].request
    told.given(("task.failed", "0"), ("timer.fired", "0", {"kind": "retry"}))
    told.when("task.succeeded", "0", cause=first, **OK).then()
    told.when("task.succeeded", "0", cause=told.run.tasks["0"].request, **OK).then("run.succeeded")
