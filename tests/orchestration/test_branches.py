"""What patterns decide whose parts run beside each other: fork and join, race, scatter and gather; and critique."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.orchestration.critique import Critique
from twelvefold.orchestration.errors import PlanInvalid
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Retry, Task, plan_data, plan_from
from twelvefold.orchestration.race import Race
from twelvefold.orchestration.redecide import redecide
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.scatter_gather import ScatterGather

ABC = [Task("a"), Task("b"), Task("c")]
STEP = Saga([Task("do", undo=Task("undo")), Task("more")])


def test_a_fork_asks_all_at_once_and_joins_their_values_in_order(story: Any) -> None:
    """All branches are requested in one turn; the value lists theirs in their order, whoever was first."""
    told = story(ForkJoin(ABC))
    told.then("run.started", "task.requested 0.0", "task.requested 0.1", "task.requested 0.2")
    told.given(("task.succeeded", "0.2", {"value": 3}), ("task.nothing_to_do", "0.1", {}))
    told.when("task.succeeded", "0.0", value=1).then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == [1, None, 3]


def test_a_failed_branch_ends_a_fork_of_all(story: Any) -> None:
    """What is open is taken back, and the fork ends once it has let go: with the failure that came first."""
    told = story(ForkJoin(ABC)).when("task.failed", "0.1", reason="no")
    told.then("task.joined 0", "task.cancelled 0.0", "timer.set 0.0", "task.cancelled 0.2", "timer.set 0.2")
    told.given(("delivery.withdrawn", "0.0", {}))
    told.when("delivery.withdrawn", "0.2").then("timer.cancelled 0.2", "run.failed")
    assert (told.decided("run.failed")["reason"], told.decided("run.failed")["at"]) == ("no", "0.1")


def test_any_takes_the_first_success_and_takes_the_others_back(story: Any) -> None:
    """Failures don't matter as long as one succeeds; a success that comes later changes nothing."""
    told = story(ForkJoin(ABC, join="any")).when("task.failed", "0.0").then()
    told.when("task.succeeded", "0.2", value="c").then("task.joined 0", "task.cancelled 0.1", "timer.set 0.1")
    told.when("task.succeeded", "0.1", value="b").then("timer.cancelled 0.1", "run.succeeded")
    assert told.decided("run.succeeded")["value"] == "c"


def test_any_fails_only_when_all_have(story: Any) -> None:
    """The reasons of all are told."""
    told = story(ForkJoin(ABC, join="any")).given(("task.failed", "0.0", {"reason": "x"}), ("task.failed", "0.1", {}))
    told.when("task.failed", "0.2", reason="z").then("run.failed")
    assert [one["reason"] for one in told.decided("run.failed")["error"]] == ["x", "", "z"]


def test_a_quorum_can_wait_for_the_rest(story: Any) -> None:
    """With `rest = await` nothing is cancelled, and what succeeds meanwhile is part of the value."""
    told = story(ForkJoin(ABC, join="quorum(2)", rest="await"))
    told.given(("task.succeeded", "0.0", {"value": 1}), ("task.succeeded", "0.1", {"value": 2}))
    told.then().when("task.failed", "0.2").then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == [1, 2, None]


def test_a_quorum_that_cannot_be_reached_fails_at_once(story: Any) -> None:
    """Two failures of three leave no quorum of two: the third is taken back."""
    told = story(ForkJoin(ABC, join="quorum(2)")).given(("task.failed", "0.0", {"reason": "x"}))
    told.when("task.failed", "0.1", reason="y").then("task.joined 0", "task.cancelled 0.2", "timer.set 0.2")
    told.when("delivery.withdrawn", "0.2").then("timer.cancelled 0.2", "run.failed")
    assert told.decided("run.failed")["reason"] == "quorum"


def test_a_branch_that_lost_is_undone(story: Any) -> None:
    """What a losing saga has completed is compensated before the race is over."""
    told = story(Race([STEP, Task("quick")])).given(("task.succeeded", "0.0.0", {}))
    told.when("task.succeeded", "0.1", value="q").then("task.joined 0", "task.cancelled 0.0.1", "timer.set 0.0.1")
    told.when("delivery.withdrawn", "0.0.1", delivered=False).then("timer.cancelled 0.0.1", "task.requested 0.0.0.undo")
    told.when("task.succeeded", "0.0.0.undo").then("task.compensated 0.0.0", "run.succeeded")
    assert told.decided("run.succeeded")["value"] == "q"


def test_a_cancelled_branch_is_not_tried_again(story: Any) -> None:
    """A branch that is not needed any more gets no further attempt, whatever its plan says."""
    told = story(ForkJoin([Task("a", retry=Retry(attempts_max=9)), Task("b")], join="any"))
    told.when("task.succeeded", "0.1").then("task.joined 0", "task.cancelled 0.0", "timer.set 0.0")
    told.when("task.failed", "0.0").then("timer.cancelled 0.0", "run.succeeded")


def test_a_staggered_race_starts_the_next_when_time_is_up_or_all_have_failed(story: Any) -> None:
    """The second branch starts by the clock, the third at once as the first two have failed."""
    told = story(Race(ABC, stagger_s=5)).then("run.started", "task.requested 0.0", "timer.set 0")
    told.when("timer.fired", "0", kind="stagger").then("task.requested 0.1", "timer.set 0")
    told.given(("task.failed", "0.0", {})).when("task.failed", "0.1").then("task.requested 0.2")
    told.when("task.succeeded", "0.2", value=3).then("task.joined 0", "timer.cancelled 0", "run.succeeded")


@pytest.mark.parametrize(
    ("gather", "answers", "value", "agreeing"),
    [
        ("all", ["x", "y", "x"], ["x", "y", "x"], 2),
        ("first", ["y"], "y", 1),
        ("majority", ["x", "y", "x"], "x", 2),
        ("quorum(2)", [{"a": 1, "b": 2}, {"b": 2, "a": 1}], {"a": 1, "b": 2}, 2),
        ("best(score)", [{"score": 1}, {"score": 3}, {"score": 2}], {"score": 3}, 1),
    ],
)
def test_gathering(story: Any, gather: str, answers: list[Any], value: Any, agreeing: int) -> None:
    """Each way to gather takes what it says, and shows every answer beside it."""
    told = story(ScatterGather(["a", "b", "c"], "?", gather=gather))
    for n, answer in enumerate(answers):
        told.when("task.succeeded", f"0.{n}", value=answer)
    for n in range(len(answers), 3):
        told.when("delivery.withdrawn", f"0.{n}")
    found = told.decided("run.succeeded")["value"]
    assert (found["value"], found["agreeing"], found["asked"]) == (value, agreeing, 3)
    assert [answer.get("value") for answer in found["answers"]][: len(answers)] == answers


def test_disagreement_is_a_failure_that_shows_all_answers(story: Any) -> None:
    """Three different answers are no majority, and none is made of them."""
    told = story(ScatterGather(["a", "b", "c"], gather="majority")).given(("task.succeeded", "0.0", {"value": 1}))
    told.given(("task.succeeded", "0.1", {"value": 2})).when("task.succeeded", "0.2", value=3).then("run.failed")
    end = told.decided("run.failed")
    assert end["reason"] == "disagreement"
    assert [answer["value"] for answer in end["error"]["answers"]] == [1, 2, 3]


def test_at_the_deadline_those_count_that_have_answered(story: Any) -> None:
    """The best of two answers is taken when the third is late; all three are not to be had then."""
    for gather, end in (("best(n)", "run.succeeded"), ("all", "run.failed")):
        told = story(ScatterGather(["a", "b", "c"], gather=gather, deadline_s=9))
        told.given(("task.succeeded", "0.0", {"value": {"n": 1}}), ("task.succeeded", "0.1", {"value": {"n": 2}}))
        told.when("timer.fired", "0", kind="gather").then("task.joined 0", "task.cancelled 0.2", "timer.set 0.2")
        told.when("delivery.withdrawn", "0.2").then("timer.cancelled 0.2", end)
    assert told.decided("run.failed")["reason"] == "deadline"


def test_a_critic_sends_work_back_until_it_is_good(story: Any) -> None:
    """The worker hears the feedback, the critic sees the work; the accepted work is the value."""
    worker = Task("write", {"topic": "t", "feedback": {"$from": "feedback"}})
    told = story(Critique(worker, Task("judge", {"$from": "item"})))
    told.then("run.started", "task.requested 0.0").when("task.succeeded", "0.0", value="v1")
    assert told.decided("task.requested")["input"] == "v1"
    told.when("task.succeeded", "0.1", value={"accepted": False, "feedback": "longer"})
    assert told.decided("task.requested")["input"] == {"topic": "t", "feedback": "longer"}
    told.given(("task.succeeded", "0.2", {"value": "v2"})).when("task.succeeded", "0.3", value={"accepted": True})
    assert told.then("run.succeeded").decided("run.succeeded")["value"] == "v2"


def test_work_that_is_never_accepted_fails_with_the_last_of_it(story: Any) -> None:
    """After the last round the run fails and shows work and feedback; a critic that says nothing fails it at once."""
    told = story(Critique(Task("w"), Task("c"), rounds_max=1)).given(("task.succeeded", "0.0", {"value": "v"}))
    told.when("task.succeeded", "0.1", value={"accepted": False, "feedback": "no"}).then("run.failed")
    end = told.decided("run.failed")
    assert (end["reason"], end["error"]) == ("not_accepted", {"work": "v", "feedback": "no"})
    told = story(Critique(Task("w"), Task("c"))).given(("task.succeeded", "0.0", {"value": "v"}))
    told.when("task.succeeded", "0.1", value="fine!").then("run.failed")
    assert told.decided("run.failed")["reason"] == "critic"


@pytest.mark.parametrize(
    ("plan", "place"),
    [
        ({"pattern": "fork_join", "branches": []}, "branches"),
        ({"pattern": "fork_join", "branches": [{"agent": "a"}], "join": "most"}, "join"),
        ({"pattern": "fork_join", "branches": [{"agent": "a"}], "join": "quorum(2)"}, "join"),
        ({"pattern": "race", "branches": [{"agent": "A!"}]}, "branches[0].agent"),
        ({"pattern": "race", "branches": [{"agent": "a"}], "stagger_s": -1}, "stagger_s"),
        ({"pattern": "scatter_gather", "agents": ["a", "B?"]}, "agents[1]"),
        ({"pattern": "scatter_gather", "agents": ["a"], "gather": "best()"}, "gather"),
        ({"pattern": "critique", "worker": {"agent": "a"}, "critic": {"agent": "c"}, "rounds_max": 0}, "rounds_max"),
        (
            {
                "pattern": "fork_join",
                "branches": [{"agent": "a", "name": "x"}, {"agent": "b", "input": {"$from": "x"}}],
            },
            "branches[1].input",
        ),
    ],
)
def test_wrong_plans_point_at_the_place(plan: dict[str, Any], place: str) -> None:
    """What can't work is refused before it starts, with the place in the plan."""
    with pytest.raises(PlanInvalid) as caught:
        plan_from(plan)
    assert caught.value.place == place


def plans() -> st.SearchStrategy[Any]:
    tasks = st.builds(Task, st.sampled_from(["w", "x"]))
    retried = st.builds(Task, st.just("w"), retry=st.just(Retry(attempts_max=2, backoff_s=1)))
    undone = st.lists(st.builds(Task, st.just("w"), undo=st.just(Task("undo"))), min_size=1, max_size=3)

    def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        branches = st.lists(inner, min_size=1, max_size=3)
        return st.one_of(
            branches.flatmap(
                lambda parts: st.builds(
                    ForkJoin,
                    st.just(parts),
                    join=st.sampled_from(["all", "any", f"quorum({len(parts)})", "quorum(1)"]),
                    rest=st.sampled_from(["cancel", "await"]),
                )
            ),
            st.builds(Race, branches, stagger_s=st.sampled_from([0.0, 2.0])),
            st.builds(Pipeline, branches),
            st.builds(Critique, tasks, st.just(Task("critic")), rounds_max=st.integers(1, 2)),
            st.builds(
                ScatterGather,
                st.lists(st.sampled_from(["w", "x"]), min_size=1, max_size=3),
                gather=st.sampled_from(["all", "first", "majority", "best(n)"]),
                deadline_s=st.sampled_from([None, 3.0]),
            ),
        )

    return st.recursive(st.one_of(tasks, retried, st.builds(Saga, undone)), composed, max_leaves=8)


@settings(max_examples=150, deadline=None)
@given(plan=plans(), seed=st.integers(0, 2**32), cancelled=st.booleans())
def test_every_run_ends_and_is_decided_the_same_again(world: Any, plan: Plan, seed: int, cancelled: bool) -> None:
    """Whatever the plan, the order, the failures and the kills: the run ends, and nothing is left at work."""
    assert plan_from(plan_data(plan)) == plan_from(plan_data(plan_from(plan_data(plan))))
    stage = world(seed=seed)

    def agent(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        choice = stage.random.random()
        if data["undo"]:
            return "task.succeeded", {}
        if data["agent"] == "critic":
            return "task.succeeded", {"value": {"accepted": choice < 0.5, "feedback": "more"}}
        if choice < 0.2:
            return "task.failed", {"reason": "bad"}
        return ("task.nothing_to_do", {}) if choice < 0.3 else ("task.succeeded", {"value": {"n": data["attempt"]}})

    stage.agents = dict.fromkeys(("w", "x", "critic", "undo"), agent)
    stage.submit(plan)
    stage.storm(60)
    if cancelled:
        stage.cancel()
    stage.storm(60)
    run = stage.fold().at_head
    assert run.status == "ended", stage.told()
    assert not run.out
    assert not stage.out, stage.told()
    completed = [path for path, task in run.tasks.items() if _undoable(run, path, task)]
    if run.outcome == "cancelled":
        assert {*completed} <= {*run.undone}
    redecided(stage)


def _undoable(run: Any, path: str, task: Any) -> bool:
    return f"{path}.undo" in run.tasks and task.report is not None and task.report.outcome == "succeeded"


def redecided(stage: Any) -> None:
    """Deciding every input of the log again, with nothing remembered, gives what was recorded."""
    run = "0190a0b0c0d0e0f00000000000000001"
    events = stage.log.read(run=run, limit=10**6)
    found = redecide(run, events, remember=False)
    assert found.agrees, found
    assert (found.older, found.decisions) == (0, sum(event.seen > 0 for event in events))
