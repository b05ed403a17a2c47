"""What humans and budgets do to a run: pause and resume, approvals, questions with a time, bounds of what is spent."""

from __future__ import annotations

from typing import Any

import pytest

from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Retry, Task
from twelvefold.orchestration.race import Race
from twelvefold.orchestration.saga import Saga

OK = {"value": 1}
NEEDS = {"reason": "which", "question": "A or B?"}


# --- pause and resume


def test_a_paused_run_starts_nothing_new(story: Any) -> None:
    """What is out goes on and its outcome counts; the next step starts with the resume."""
    told = story(Pipeline([Task("a"), Task("b")])).when("run.pause_requested").then("run.paused")
    told.when("run.pause_requested").then()
    told.when("task.succeeded", "0.0", **OK).then()
    told.when("run.resume_requested").then("run.resumed", "task.requested 0.1")
    told.when("run.resume_requested").then()
    told.when("task.succeeded", "0.1", value=2).then("run.succeeded")


def test_a_run_ends_although_it_is_paused(story: Any) -> None:
    """Where nothing more is to be started, a pause keeps no outcome back."""
    story(Task("a")).given(("run.pause_requested", "")).when("task.succeeded", "0", **OK).then("run.succeeded")


def test_a_pause_before_the_start_holds_everything(story: Any, world: Any) -> None:
    """A run that is paused before any orchestrator has seen it starts no task until it is resumed."""
    here = world({"a": lambda _: ("task.succeeded", OK)})
    here.submit(Task("a"))
    here.append("run.pause_requested", {}, stream=f"request.{here.log.read()[0].run}")
    here.settle_down()
    # The task was requested for the request itself, before the pause: inputs count in their order.
    assert here.end()["outcome"] == "succeeded"


def test_a_retry_waits_for_the_resume(story: Any) -> None:
    """A try that falls due during a pause is made when the run is resumed."""
    told = story(Task("a", retry=Retry(attempts_max=2))).given(("task.failed", "0"), ("run.pause_requested", ""))
    told.when("timer.fired", "0", kind="retry").then()
    told.when("run.resume_requested").then("run.resumed", "task.requested 0")


def test_a_pause_reaches_every_level(story: Any) -> None:
    """Tasks of plans that tasks answered with, and branches, are held like all others."""
    plan = {"pattern": "fork_join", "branches": [{"agent": "c"}, {"agent": "boss"}]}
    told = story(ForkJoin([Task("boss"), Task("a")])).given(("run.pause_requested", ""))
    told.when("task.planned", "0.0", plan=plan).then()
    told.when("run.resume_requested").then("run.resumed", "task.requested 0.0.0", "task.requested 0.0.1")
    told.given(("run.pause_requested", ""))
    told.when("task.planned", "0.0.1", plan={"pattern": "pipeline", "steps": [{"agent": "d"}]}).then()
    told.when("task.succeeded", "0.1", **OK).then()
    told.when("run.resume_requested").then("run.resumed", "task.requested 0.0.1.0")


def test_what_must_be_undone_is_undone_in_a_pause(story: Any) -> None:
    """A pause holds new work only: a saga that fails meanwhile takes back what it did, and the run ends."""
    told = story(Saga([Task("a", undo=Task("u")), Task("b")])).given(("task.succeeded", "0.0", OK))
    told.given(("run.pause_requested", ""))
    told.when("task.failed", "0.1", reason="no").then("task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")


def test_a_paused_run_can_be_cancelled(story: Any) -> None:
    """Cancelling needs no resume, and takes back what is still out."""
    told = story(Pipeline([Task("a"), Task("b")])).given(("run.pause_requested", ""))
    told.when("run.cancel_requested", reason="enough").then("task.cancelled 0.0", "timer.set 0.0")
    told.when("delivery.withdrawn", "0.0").then("timer.cancelled 0.0", "run.cancelled")
    assert told.decided("run.cancelled")["reason"] == "enough"


def test_the_runs_time_goes_on_in_a_pause(story: Any) -> None:
    """A pause doesn't stop the clock: the run's own deadline still ends it."""
    told = story(Pipeline([Task("a"), Task("b")]), timeout_s=60)
    told.given(("run.pause_requested", ""), ("task.succeeded", "0.0", OK))
    told.when("timer.fired", kind="run").then("run.failed")
    assert told.decided("run.failed")["reason"] == "timeout"


def test_a_resting_run_that_is_resumed_works_again(story: Any) -> None:
    """A pause can be all that held the other branch: after the resume the run is open, and rests anew later."""
    told = story(ForkJoin([Task("a"), Pipeline([Task("b"), Task("c")])])).given(("run.pause_requested", ""))
    told.given(("task.succeeded", "0.1.0", OK)).when("task.needs_human", "0.0", **NEEDS)
    told.then("human.requested 0.0", "run.needs_human")
    told.when("run.resume_requested").then("run.resumed", "task.requested 0.1.1")
    assert told.run.status == "open"
    told.when("task.succeeded", "0.1.1", **OK).then("run.needs_human")
    assert told.run.status == "resting"
    told.when("human.answered", "0.0", answer="A").then("run.resumed", "task.requested 0.0")


def test_an_answer_in_a_pause_waits_for_the_resume(story: Any) -> None:
    """An answer counts at once, but the task's next attempt starts only with the resume."""
    told = story(Task("a")).given(("task.needs_human", "0", NEEDS), ("run.pause_requested", ""))
    told.when("human.answered", "0", answer="A").then("run.resumed")
    assert told.run.paused
    told.when("run.resume_requested").then("run.resumed", "task.requested 0")
    assert told.decided("task.requested")["answers"] == [{"question": "A or B?", "answer": "A"}]


def test_work_that_a_timer_starts_ends_the_rest(story: Any) -> None:
    """A run that rests on one branch's question is open again when another branch's time has come."""
    told = story(Race([Task("a"), Task("b")], stagger_s=5)).given(("task.needs_human", "0.0", NEEDS))
    told.when("timer.fired", "0", kind="stagger").then("task.requested 0.1")
    assert (told.run.status, told.run.outcome) == ("open", "")


def test_cancelling_a_rest_undoes_in_the_open(story: Any) -> None:
    """A run that rests and is cancelled is at work again as long as it undoes."""
    told = story(Saga([Task("a", undo=Task("u")), Task("b")])).given(("task.succeeded", "0.0", OK))
    told.given(("task.needs_human", "0.1", NEEDS))
    assert told.run.status == "resting"
    told.when("run.cancel_requested").then("task.cancelled 0.1", "task.requested 0.0.undo")
    assert told.run.status == "open"
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.cancelled")


# --- approval


def test_an_approval_comes_before_the_first_request(story: Any) -> None:
    """A task that must be approved is asked about with its own words, and requested after the approval only."""
    told = story(Pipeline([Task("a"), Task("b", approval="Deploy?")])).when("task.succeeded", "0.0", **OK)
    told.then("task.parked 0.1", "human.requested 0.1", "run.needs_human")
    asked = told.decided("human.requested")
    assert (asked["reason"], asked["question"], asked["takes"]) == ("approval", "Deploy?", ["approve", "reject"])
    told.when("human.answered", "0.1", answer="approve").then("run.resumed", "task.requested 0.1")
    assert told.run.spent.tasks == 2


def test_a_rejection_fails_the_task_with_its_note(story: Any) -> None:
    """A rejected step has failed for the reason rejected, its saga undoes what came before."""
    told = story(Saga([Task("a", undo=Task("u")), Task("b", approval="Deploy?")])).given(("task.succeeded", "0.0", OK))
    told.when("human.answered", "0.1", answer="reject", note="not on a Friday")
    told.then("run.resumed", "task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")
    assert (told.decided("run.failed")["reason"], told.decided("run.failed")["error"]) == (
        "rejected",
        "not on a Friday",
    )


def test_an_approval_holds_for_all_attempts(story: Any) -> None:
    """Trying again after a failure asks nobody again."""
    told = story(Task("b", approval="Deploy?", retry=Retry(attempts_max=2, backoff_s=1)))
    told.then("run.started", "task.parked 0", "human.requested 0", "run.needs_human")
    told.given(("human.answered", "0", {"answer": "approve"}), ("task.failed", "0"))
    told.when("timer.fired", "0", kind="retry").then("task.requested 0")


def test_other_words_are_no_approval(story: Any) -> None:
    """A word that means nothing for an approval leaves the question open."""
    told = story(Task("b", approval="Deploy?"))
    for word in ("yes", None, {"approve": True}, ["approve"]):
        told.when("human.answered", "0", answer=word).then()
    assert told.run.status == "resting"


def test_approvals_of_branches_are_asked_at_once(story: Any) -> None:
    """Each branch asks for itself, an answer with a path reaches just that one, and one without none of the two."""
    told = story(ForkJoin([Task("a", approval="A?"), Task("b", approval="B?"), Task("c")]))
    told.then(
        "run.started", "task.parked 0.0", "human.requested 0.0", "task.parked 0.1", "human.requested 0.1",
        "task.requested 0.2",
    )  # fmt: skip
    told.when("human.answered", answer="approve").then()
    told.when("human.answered", "0.1", answer="approve").then("task.requested 0.1")
    told.when("human.answered", answer="approve").then("task.requested 0.0")


def test_an_approval_is_cancelled_with_its_run(story: Any) -> None:
    """A run that waits for an approval ends when it is cancelled, and nothing has to be undone."""
    told = story(Task("a", approval="A?")).when("run.cancel_requested").then("task.cancelled 0", "run.cancelled")
    assert told.decided("run.cancelled")["not_undone"] == []


# --- questions


def test_each_question_is_asked_once(story: Any) -> None:
    """Whatever else moves meanwhile, one question is one `human.requested`; the next attempt's is another."""
    told = story(ForkJoin([Task("a"), Task("b"), Task("c")])).when("task.needs_human", "0.0", **NEEDS)
    told.then("human.requested 0.0")
    first = told.run.tasks["0.0"].asking
    assert (first.reason, first.question, first.since, first.expires) == ("which", "A or B?", told.now, 0)
    told.when("task.succeeded", "0.1", **OK).then()
    told.when("human.answered", "0.0", answer="A").then("task.requested 0.0")
    assert told.run.tasks["0.0"].asking is None
    told.when("task.needs_human", "0.0", **NEEDS).then("human.requested 0.0")
    assert told.run.tasks["0.0"].asking.id != first.id


def test_answers_reach_the_next_attempt_with_their_questions(story: Any) -> None:
    """All questions and answers so far go with the next request, notes too, over retries as well."""
    told = story(Task("a", retry=Retry(attempts_max=2, backoff_s=1)))
    told.given(("task.needs_human", "0", NEEDS), ("human.answered", "0", {"answer": "A", "note": "as always"}))
    told.given(("task.needs_human", "0", {"question": "Sure?"}), ("human.answered", "0", {"answer": False}))
    expected = [
        {"question": "A or B?", "answer": "A", "note": "as always"},
        {"question": "Sure?", "answer": False},
    ]
    assert told.decided("task.requested")["answers"] == expected
    told.given(("task.failed", "0"), ("timer.fired", "0", {"kind": "retry"}))
    assert told.decided("task.requested")["answers"] == expected


def test_a_question_may_list_what_it_takes(story: Any) -> None:
    """The choices of a question are told to those who answer."""
    told = story(Task("a")).when("task.needs_human", "0", choices=["A", "B"], **NEEDS)
    assert told.decided("human.requested")["takes"] == ["A", "B"]
    told.when("human.answered", "0", answer="C").then()
    told.when("human.answered", "0", answer="B").then("run.resumed", "task.requested 0")


def test_a_default_answers_when_the_time_is_over(story: Any) -> None:
    """Past its time a question is answered by its default, which the next attempt can tell from a human's word."""
    told = story(Task("a")).when("task.needs_human", "0", expires_s=60, default="B", **NEEDS)
    told.then("human.requested 0", "timer.set 0", "run.needs_human")
    assert told.decided("human.requested")["expires"] == told.decided("timer.set")["due"] == told.now + 60 * 10**9
    told.when("timer.fired", "0", kind="human").then("run.resumed", "human.expired 0", "task.requested 0")
    assert told.decided("task.requested")["answers"] == [{"question": "A or B?", "answer": "B", "expired": True}]
    told.when("task.succeeded", "0", **OK).then("run.succeeded")


@pytest.mark.parametrize("default", [None, False, ""])
def test_a_default_may_be_nothing_much(story: Any, default: Any) -> None:
    """A default of null or false is one, too."""
    told = story(Task("a")).given(("task.needs_human", "0", {"expires_s": 60, "default": default}))
    told.when("timer.fired", "0", kind="human").then("run.resumed", "human.expired 0", "task.requested 0")
    assert told.decided("task.requested")["answers"][0]["answer"] == default


def test_without_a_default_the_task_has_failed(story: Any) -> None:
    """A question that nobody answers in time fails its task for good, whatever its retries; the saga undoes."""
    step = Task("b", retry=Retry(attempts_max=5))
    told = story(Saga([Task("a", undo=Task("u")), step])).given(("task.succeeded", "0.0", OK))
    told.given(("task.needs_human", "0.1", {"expires_s": 60, **NEEDS}))
    told.when("timer.fired", "0.1", kind="human").then("run.resumed", "human.expired 0.1", "task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")
    assert told.decided("run.failed")["reason"] == "human_expired"


def test_beyond_the_pivot_a_question_without_answer_is_stuck_work(story: Any) -> None:
    """Where nothing is undone any more, nobody's answer leaves the step to a human, who may have it asked again."""
    told = story(Saga([Task("a", pivot=True), Task("b")])).given(("task.succeeded", "0.0", OK))
    told.given(("task.needs_human", "0.1", {"expires_s": 60, **NEEDS}))
    told.when("timer.fired", "0.1", kind="human")
    told.then("run.resumed", "human.expired 0.1", "task.parked 0.1", "human.requested 0.1", "run.needs_human")
    assert told.decided("human.requested")["takes"] == ["retry", "done", "give_up"]
    told.when("human.answered", "0.1", answer="retry").then("run.resumed", "task.requested 0.1")


def test_a_compensation_without_an_answer_parks_the_saga(story: Any) -> None:
    """A compensation whose question nobody answers has failed, and isn't taken for undone or given up."""
    told = story(Saga([Task("a", undo=Task("u")), Task("b")])).given(("task.succeeded", "0.0"), ("task.failed", "0.1"))
    told.given(("task.needs_human", "0.0.undo", {"expires_s": 60, **NEEDS}))
    told.when("timer.fired", "0.0.undo", kind="human")
    told.then(
        "run.resumed", "human.expired 0.0.undo", "task.parked 0.0.undo", "human.requested 0.0.undo", "run.needs_human"
    )
    told.when("human.answered", "0.0.undo", answer="done").then("run.resumed", "task.compensated 0.0", "run.failed")


def test_an_answer_in_time_stops_the_clock(story: Any) -> None:
    """An answer cancels the question's timer, and what comes after it is no answer any more."""
    told = story(Task("a")).given(("task.needs_human", "0", {"expires_s": 60, "default": "B", **NEEDS}))
    told.when("human.answered", "0", answer="A").then("run.resumed", "timer.cancelled 0", "task.requested 0")
    assert not told.run.timers
    told.when("human.answered", "0", answer="B").then()


def test_an_answer_too_late_is_none(story: Any) -> None:
    """Once the default has counted an answer changes nothing."""
    told = story(Task("a")).given(("task.needs_human", "0", {"expires_s": 60, "default": "B"}))
    told.given(("timer.fired", "0", {"kind": "human"}))
    told.when("human.answered", "0", answer="A").then()


def test_a_cancelled_question_leaves_no_timer(story: Any) -> None:
    """A run that is cancelled while it waits for a human ends without a timer left."""
    told = story(Task("a")).given(("task.needs_human", "0", {"expires_s": 60}))
    told.when("run.cancel_requested").then("task.cancelled 0", "timer.cancelled 0", "run.cancelled")


# --- effects in doubt

DOUBT = {"reason": "in_doubt", "question": "Did it happen?", "effect": "tool:pay:1"}


@pytest.mark.parametrize("word", ["done", "retry"])
def test_what_a_human_knows_of_an_effect_goes_with_the_next_attempt(story: Any, word: str) -> None:
    """Told that an effect happened, or that it may be repeated, the next attempt knows, up to where in the log."""
    told = story(Task("a")).when("task.needs_human", "0", **DOUBT)
    assert told.decided("human.requested")["takes"] == ["retry", "done", "give_up"]
    at = told.position
    told.when("human.answered", "0", answer="yes").then()
    told.when("human.answered", "0", answer=word, value={"ref": 7}).then("run.resumed", "task.requested 0")
    known = {"effect": "tool:pay:1", "answer": word, "until": at}
    if word == "done":
        known["value"] = {"ref": 7}
    assert told.decided("task.requested")["resolved"] == [known]
    assert "answers" not in told.decided("task.requested")


def test_an_effect_that_is_given_up_fails_the_task(story: Any) -> None:
    """Nobody knows whether it happened, so the task has failed and is undone."""
    told = story(Saga([Task("a", undo=Task("u"), retry=Retry(attempts_max=5))])).given(
        ("task.needs_human", "0.0", DOUBT)
    )
    told.when("human.answered", "0.0", answer="give_up").then("run.resumed", "task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")
    assert told.decided("run.failed")["reason"] == "in_doubt"


# --- budgets


def test_a_budget_of_tasks_stops_the_run_before_the_next(story: Any) -> None:
    """An attempt too many isn't made: the run is failed for its budget, and says which bound."""
    told = story(Pipeline([Task("a"), Task("b"), Task("c")]), budget={"tasks": 2}).given(("task.succeeded", "0.0", OK))
    told.when("task.succeeded", "0.1", **OK).then("run.stopping", "run.failed")
    end = told.decided("run.failed")
    assert (end["reason"], end["not_undone"]) == ("budget", ["0.0", "0.1"])
    assert "tasks is 2" in end["error"]


def test_retries_are_spent_too(story: Any) -> None:
    """Each attempt counts, not each task."""
    told = story(Task("a", retry=Retry(attempts_max=9, backoff_s=1)), budget={"tasks": 2})
    told.given(("task.failed", "0"), ("timer.fired", "0", {"kind": "retry"}), ("task.failed", "0"))
    told.when("timer.fired", "0", kind="retry").then("run.stopping", "task.cancelled 0", "run.failed")
    assert told.decided("run.failed")["reason"] == "budget"


def test_a_budget_takes_open_work_back_and_undoes(story: Any) -> None:
    """Over budget, what is out is withdrawn and what was done is undone, beyond the bound if need be."""
    saga = Saga([Task("a", undo=Task("u")), ForkJoin([Task("b"), Pipeline([Task("c"), Task("d")])])])
    told = story(saga, budget={"tasks": 3}).given(("task.succeeded", "0.0", OK))
    told.when("task.succeeded", "0.1.1.0", **OK).then("run.stopping", "task.cancelled 0.1.0", "timer.set 0.1.0")
    told.when("delivery.withdrawn", "0.1.0").then("timer.cancelled 0.1.0", "task.joined 0.1", "task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")
    assert told.decided("run.failed")["reason"] == "budget"


@pytest.mark.parametrize(
    ("budget", "usage"),
    [({"tokens": 100}, {"tokens_in": 60, "tokens_out": 41}), ({"usd": 0.5}, {"usd": 0.51})],
)
def test_a_budget_of_a_models_use_stops_the_run(story: Any, budget: Any, usage: Any) -> None:
    """Tokens and money are summed over the model calls that are recorded, and stop what is going on."""
    told = story(Pipeline([Task("a"), Task("b")]), budget=budget)
    told.when("effect.completed", "0.0", kind="tool", usage=usage).then()
    told.when("effect.completed", "0.0", kind="model", usage={"tokens_in": "many", "usd": -1}).then()
    told.when("effect.completed", "0.0", kind="model", usage=usage)
    told.then("run.stopping", "task.cancelled 0.0", "timer.set 0.0")
    told.when("delivery.withdrawn", "0.0").then("timer.cancelled 0.0", "run.failed")
    (bound,) = budget
    assert told.decided("run.failed")["reason"] == "budget"
    assert f"budget of {bound} is {budget[bound]:g}, and " in told.decided("run.failed")["error"]


def test_a_budget_may_be_used_up(story: Any) -> None:
    """Spending all of a budget is fine, only more than it isn't."""
    told = story(Task("a"), budget={"tokens": 100, "tasks": 1})
    told.when("effect.completed", "0", kind="model", usage={"tokens_in": 60, "tokens_out": 40}).then()
    told.when("task.succeeded", "0", **OK).then("run.succeeded")


def test_a_budget_of_time_is_a_timer(story: Any) -> None:
    """`wall_s` counts from the request on; past it the run is failed for its budget."""
    told = story(Task("a"), budget={"wall_s": 30}).then("run.started", "timer.set", "task.requested 0")
    assert told.run.timers["budget"].due == told.now + 30 * 10**9
    told.when("timer.fired", kind="budget").then("task.cancelled 0", "timer.set 0")
    told.when("task.succeeded", "0", **OK).then("timer.cancelled 0", "run.failed")
    assert told.decided("run.failed")["error"] == "the run's budget of wall_s is 30"


@pytest.mark.parametrize(
    "budget", [{"task": 3}, {"tasks": "3"}, {"tasks": 1.5}, {"usd": -1}, {"tokens": True}, [3], "tasks=3"]
)
def test_a_budget_that_is_none_is_refused(story: Any, budget: Any) -> None:
    """A bound that nobody understands starts nothing: the run fails at once and says why."""
    told = story(Task("a"), budget=budget).then("run.failed")
    assert "the budget" in told.decided("run.failed")["error"]


def test_a_budget_survives_kills(world: Any) -> None:
    """What was spent is a fold of the log: after any kill the bound is the same."""
    for seed in range(30):
        here = world({"a": lambda _: ("task.failed", {"reason": "flaky"})}, seed=seed)
        here.submit(Task("a", retry=Retry(attempts_max=99, backoff_s=1)), budget={"tasks": 5})
        here.storm(120)
        assert here.end().get("reason") == "budget", (seed, here.told(), here.fold().at_head)
        assert here.told().count("task.requested 0") == 5


# --- levels


def test_a_level_bounds_what_is_out_at_once(story: Any) -> None:
    """No more tasks of a level are out than its bound says; each that ends lets the next one start, in tree order."""
    levels = {"primary": 1, "secondary": 2, "tertiary": 1}
    told = story(Task("boss"), levels=levels)
    workers = {"pattern": "fork_join", "branches": [{"agent": "w"}] * 4}
    told.when("task.planned", "0", plan=workers).then("task.requested 0.0", "task.requested 0.1")
    told.when("task.succeeded", "0.1", **OK).then("task.requested 0.2")
    told.when("task.planned", "0.0", plan=workers).then("task.requested 0.0.0", "task.requested 0.3")
    told.when("task.succeeded", "0.0.0", **OK).then("task.requested 0.0.1")
    assert [told.run.tasks[path].level for path in ("0", "0.0", "0.0.0")] == [0, 1, 2]


def test_a_run_may_allow_deeper_plans(story: Any) -> None:
    """`depth_max` bounds how deep tasks may answer with plans, in place of three."""
    told = story(Task("boss"), depth_max=1).given(("task.planned", "0", {"plan": {"agent": "boss"}}))
    told.when("task.planned", "0.0", plan={"agent": "boss"}).then("task.failed 0.0", "run.failed")
    told, path = story(Task("boss"), depth_max=5), "0"
    for _ in range(5):
        told.when("task.planned", path, plan={"agent": "boss"})
        path += ".0"
        told.then(f"task.requested {path}")
