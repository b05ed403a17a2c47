"""Slices of work: which pattern suits them and why, and that each pattern does them all, in their order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.orchestration.arrangement import Arrangement, arrange, placed, tasks_of
from twelvefold.orchestration.errors import PatternUnknown
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.graph import Graph
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.node_outcomes import NodeOutcomes
from twelvefold.orchestration.orchestration_pattern import (
    BUILDERS,
    OrchestrationPattern,
    register_orchestration_pattern,
)
from twelvefold.orchestration.pattern_result import PatternResult, pattern_result
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Task, plan_data
from twelvefold.orchestration.recommendation import recommend
from twelvefold.orchestration.result import result_of
from twelvefold.orchestration.slice_errors import PatternUnsuitable, SlicesCyclic, SlicesInvalid
from twelvefold.orchestration.task_slices import TaskSlice, order_of

UNDO = Task("undo")
P = OrchestrationPattern


def slices(*ids: str, **more: Any) -> list[TaskSlice]:
    return [TaskSlice(id, n, **more) for n, id in enumerate(ids)]


@pytest.mark.parametrize(
    ("given", "agents", "pattern", "why"),
    [
        (slices("a", "b", "c"), ["w"], P.MAP_REDUCE, "equal"),
        ([*slices("a", "b"), TaskSlice("sum", depends_on=["a", "b"])], ["w"], P.MAP_REDUCE, "'sum'"),
        ([TaskSlice("a", 1, "x"), TaskSlice("b", 2, "y")], [], P.FORK_JOIN, "different kinds"),
        (
            [TaskSlice("a", 1), TaskSlice("b", depends_on=["a"]), TaskSlice("c", depends_on=["b"])], ["w"], P.PIPELINE,
            "chain",
        ),
        ([TaskSlice("a", 1), TaskSlice("b", {"x": {"$from": "a"}})], ["w"], P.PIPELINE, "chain"),
        (slices("a"), ["w"], P.PIPELINE, "single"),
        ([TaskSlice("a", "?", effect="read")], ["x", "y"], P.SCATTER_GATHER, "one question"),
        ([TaskSlice("a", "do")], ["x", "y"], P.PIPELINE, "single"),
        ([TaskSlice("a", "?", "x"), TaskSlice("b", "?", "y")], [], P.SCATTER_GATHER, "same question"),
        ([TaskSlice("a", "?"), TaskSlice("b", "?")], ["w"], P.MAP_REDUCE, "equal"),
        ([TaskSlice("a", 1, undo=UNDO), TaskSlice("b", 2)], ["w"], P.SAGA, "'a' can be undone"),
        ([TaskSlice("a", 1), TaskSlice("b", 2, pivot=True)], ["w"], P.SAGA, "'b' is the point"),
        (slices("a", "b", effect="once"), ["w"], P.PIPELINE, "twice"),
        (
            [TaskSlice("a", 1), TaskSlice("b", depends_on=["a"]), TaskSlice("c", depends_on=["a"]),
             TaskSlice("d", depends_on=["b", "c"])], ["w"], P.FORK_JOIN, "3 layers, of which the widest has 2",
        ),
    ],
)  # fmt: skip
def test_what_suits_is_recommended_with_its_reason(
    given: list[TaskSlice], agents: list[str], pattern: OrchestrationPattern, why: str
) -> None:
    """The order, the effects and the compensations decide, whatever the order in which the slices come."""
    found = recommend(given, agents)
    assert found.pattern is pattern
    assert why in found.reason
    again = recommend(given[::-1], agents)
    assert again.pattern is pattern


@pytest.mark.parametrize(
    ("given", "agents", "problem"),
    [
        ([], ["w"], "no slices"),
        (slices("a", "a"), ["w"], "two slices"),
        ([TaskSlice("a", depends_on=["x"])], ["w"], "no such slice"),
        (slices("a"), [], "no agent"),
        (slices("a", "b"), {"a": "w"}, "'b'"),
        ([TaskSlice("a", {"x": {"$from": 5}})], ["w"], r"input\.x"),
    ],
)
def test_slices_that_cannot_work_are_refused(given: list[TaskSlice], agents: Any, problem: str) -> None:
    """What is wrong with a slice is told in words, with its id, before anything runs."""
    with pytest.raises(SlicesInvalid, match=problem):
        order_of(given, agents)


def test_a_circle_is_named() -> None:
    """Slices that need each other are refused, and the circle is told, without those that only hang on it."""
    given = [
        TaskSlice("start"),
        TaskSlice("hanging", depends_on=["a"]),
        TaskSlice("a", depends_on=["start", "c"]),
        TaskSlice("b", {"of": {"$from": "a"}}),
        TaskSlice("c", depends_on=["b"]),
    ]
    with pytest.raises(SlicesCyclic) as caught:
        recommend(given, ["w"])
    assert caught.value.cycle == ("a", "c", "b", "a")
    assert "'a' needs 'c' needs 'b' needs 'a'" in caught.value.message()
    with pytest.raises(SlicesCyclic) as caught:
        arrange(P.SAGA, [TaskSlice("self", depends_on=["self"])], ["w"])
    assert caught.value.cycle == ("self", "self")


def test_the_shapes_of_the_plans() -> None:
    """Each pattern makes the plan of its name, from slices with any ids."""
    given = [TaskSlice("1", {"n": 1}), TaskSlice("Two words", {"n": 2}), TaskSlice("3", depends_on=["1", "Two words"])]
    assert isinstance(arrange("map_reduce", given, ["w"]).plan, MapReduce)
    assert isinstance(arrange("pipeline", given, ["w"]).plan, Pipeline)
    assert isinstance(arrange("fork_join", given, ["w"]).plan, Graph)
    assert isinstance(arrange("fork_join", given[:2], ["w"]).plan, ForkJoin)
    assert plan_data(arrange("saga", given, ["w"]).plan)["steps"][2]["input"] == {
        "1": {"$from": "s0"}, "Two words": {"$from": "s1"},
    }  # fmt: skip


def test_a_pattern_that_cannot_keep_what_slices_say_is_refused() -> None:
    """An order, an effect or an undoing is never silently dropped."""
    chain = [TaskSlice("a", 1), TaskSlice("b", depends_on=["a"]), TaskSlice("c", depends_on=["b"])]
    once = [TaskSlice("a", "?", effect="once"), TaskSlice("b", "?")]
    pivot = [TaskSlice("a", 1, pivot=True), TaskSlice("b", 2)]
    for pattern, wrong in (
        ("map_reduce", chain), ("scatter_gather", chain), ("race", chain), ("scatter_gather", once),
        ("fork_join", pivot), ("pipeline", pivot), ("map_reduce", pivot), ("race", pivot),
    ):  # fmt: skip
        with pytest.raises(PatternUnsuitable):
            arrange(pattern, wrong, ["w"])


def test_a_pattern_of_ones_own_is_registered() -> None:
    """A registered word is a member of the patterns from then on, and an unknown one is an error."""
    with pytest.raises(ValueError, match="last_of_all"):
        OrchestrationPattern("last_of_all")

    def build(order: Any) -> Arrangement:
        return Arrangement(
            Pipeline(tasks_of(order)[::-1]), placed(order, [f"0.{n}" for n in range(len(order.slices))][::-1])
        )

    try:
        member = register_orchestration_pattern("last_of_all", build)
        assert OrchestrationPattern("last_of_all") is member
        assert (member.value, member.name) == ("last_of_all", "LAST_OF_ALL")
        assert arrange(member, slices("a", "b"), ["w"]).paths == ("0.1", "0.0")
    finally:
        BUILDERS.pop("last_of_all")
        OrchestrationPattern._value2member_map_.pop("last_of_all")
    with pytest.raises(PatternUnknown, match="saga, scatter_gather"):
        arrange("last_of_all", slices("a"), ["w"])
    with pytest.raises(ValueError, match="cannot name"):
        register_orchestration_pattern("No!", build)


# --- what becomes of them


def executed(world: Any, pattern: Any, given: list[TaskSlice], agents: Any, act: Any, seed: int = 1) -> PatternResult:
    """Run slices in a world of functions, kills among them, and tell what became of each."""
    stage = world(seed=seed)
    arrangement = arrange(pattern, given, agents)
    stage.agents = dict.fromkeys(("w", "x", "y", "undo"), lambda data: act(stage, data))
    run = stage.submit(arrangement.plan)
    stage.storm(150)
    events = stage.log.read(run=run, limit=10**6)
    found = pattern_result(
        OrchestrationPattern(pattern), given, arrangement, stage.fold().at_head, result_of(run, events)
    )
    assert found.outcome in ("succeeded", "failed"), stage.told()
    return found


def echo(stage: Any, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "task.succeeded", {"value": {"got": data["input"]}, "evidence": [{"kind": "value", "ref": data["path"]}]}


@pytest.mark.parametrize(
    ("last", "needs", "handed"),
    [
        ({"x": {"$from": "a"}}, ["b"], {"x": {"got": 1}}),
        ([{"$from": "b"}, {"$from": "a"}], [], [{"got": 2}, {"got": 1}]),
        ("all of it", ["a", "b"], "all of it"),
    ],
)
def test_a_last_slice_with_an_input_of_its_own_is_no_reducer(
    world: Any, last: Any, needs: list[str], handed: Any
) -> None:
    """What refers to single slices, or to none, is handed just that, and the reason says so."""
    given = [TaskSlice("a", 1), TaskSlice("b", 2), TaskSlice("c", last, depends_on=needs)]
    why = recommend(given, ["w"])
    assert (why.pattern, "'c' has an input of its own" in why.reason) == (P.FORK_JOIN, True)
    found = executed(world, why.pattern, given, ["w"], echo)
    assert found["c"].value == {"got": handed}


@pytest.mark.parametrize("pattern", ["map_reduce", "fork_join", "pipeline", "saga"])
def test_results_come_in_the_order_of_the_slices(world: Any, pattern: str) -> None:
    """Whatever the pattern and the order in which they ran, each slice finds its own value."""
    given = [TaskSlice("sum", depends_on=["a", "b"]), TaskSlice("a", 1), TaskSlice("b", 2)]
    found = executed(world, pattern, given, ["w"], echo)
    assert found.success
    assert [one.id for one in found.results] == ["sum", "a", "b"]
    assert found["a"].value == {"got": 1}
    assert found["b"].value == {"got": 2}
    assert found["b"].evidence
    values = [{"got": 1}, {"got": 2}]
    assert found["sum"].value in ({"got": values}, {"got": {"a": values[0], "b": values[1]}})
    assert [one.attempts for one in found.results] == [1, 1, 1]


def test_a_question_shows_all_answers(world: Any) -> None:
    """One question to two agents, and the same question in two slices: every answer is there."""

    def answer(stage: Any, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "task.succeeded", {"value": data["agent"]}

    found = executed(world, "scatter_gather", [TaskSlice("q", "?")], ["x", "y"], answer)
    assert found["q"].value == ["x", "y"]
    assert [one["agent"] for one in found["q"].answers] == ["x", "y"]
    same = [TaskSlice("q1", "?", "x"), TaskSlice("q2", "?", "y")]
    found = executed(world, "scatter_gather", same, [], answer)
    assert [one.value for one in found.results] == ["x", "y"]
    several = [TaskSlice("q1", "?"), TaskSlice("q2", "??")]
    found = executed(world, "scatter_gather", several, ["x", "y"], answer)
    assert [one.value for one in found.results] == [["x", "y"], ["x", "y"]]


@pytest.mark.parametrize("pattern", ["fork_join", "pipeline", "saga", "race"])
def test_a_failure_is_told_and_what_can_be_undone_is(world: Any, pattern: str) -> None:
    """The slice that failed says why, and what declares an undo is undone under every pattern."""
    undone = []

    def act(stage: Any, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if data["undo"]:
            undone.append(data["path"])
            return "task.succeeded", {}
        if data["input"] == "bad":
            return "task.failed", {"reason": "bad"}
        return "task.succeeded", {"value": 1}

    given = [
        TaskSlice("good", "good", undo=UNDO),
        TaskSlice("bad", "bad", depends_on=() if pattern == "race" else ["good"]),
    ]
    found = executed(world, pattern, given, ["w"], act)
    assert found["bad"].outcome in ("failed", None)
    if pattern == "race":
        assert found.success
        assert not undone
        assert (found["good"].undone, found.undone, found.not_undone) == (False, (), ())
    else:
        assert (found.success, found.reason, found["bad"].reason) == (False, "bad", "bad")
        assert len(undone) == 1
        assert (found["good"].undone, found["bad"].undone, found.undone, found.not_undone) == (
            True, False, ("good",), (),
        )  # fmt: skip


def test_what_is_undone_and_what_stands_is_told_by_slice(world: Any) -> None:
    """After a failed saga each slice tells whether its work was taken back, and the whole names what still stands."""

    def act(stage: Any, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if data["undo"] or data["input"] != "bad":
            return "task.succeeded", {"value": data["input"]}
        return "task.failed", {"reason": "bad"}

    given = [
        TaskSlice("late", "bad", depends_on=["kept", "paid", "seen"]),
        TaskSlice("paid", "paid", undo=UNDO),
        TaskSlice("kept", "kept"),
        TaskSlice("seen", "seen", effect="read"),
    ]
    found = executed(world, "saga", given, ["w"], act)
    assert [(one.id, one.outcome, one.undone) for one in found.results] == [
        ("late", "failed", False), ("paid", "succeeded", True), ("kept", "succeeded", False),
        ("seen", "succeeded", False),
    ]  # fmt: skip
    assert (found.undone, found.not_undone) == (("paid",), ("kept",))
    assert found["paid"].value == "paid"


@st.composite
def dags(draw: st.DrawFn) -> list[TaskSlice]:
    count = draw(st.integers(1, 7))
    found = []
    for n in range(count):
        needed = [f"slice {m}" for m in draw(st.sets(st.integers(0, n - 1)))] if n else []
        undo = draw(st.sampled_from([None, None, UNDO]))
        found.append(TaskSlice(f"slice {n}", {"n": n}, depends_on=needed, undo=undo))
    return draw(st.permutations(found))


@settings(max_examples=120, deadline=None)
@given(given=dags(), seed=st.integers(0, 2**32), chance=st.sampled_from([0.0, 0.2]))
def test_every_order_is_kept_by_what_is_recommended_and_by_others(
    world: Any, given: list[TaskSlice], seed: int, chance: float
) -> None:
    """Any graph of slices runs right under the recommended pattern, fork and join, pipeline and saga: each slice once,
    after those that it needs, and its own value in its own place.
    """
    needs = {one.id: set(one.depends_on) for one in given}
    recommended = recommend(given, ["w"]).pattern
    for pattern in dict.fromkeys((recommended, P.FORK_JOIN, P.PIPELINE, P.SAGA)):
        done: set[str] = set()

        def act(stage: Any, data: dict[str, Any], done: set[str] = done) -> tuple[str, dict[str, Any]]:
            if data["undo"]:
                return "task.succeeded", {}
            id = f"slice {data['input']['n']}"
            assert needs[id] <= done, (id, done)
            if stage.random.random() < chance:
                return "task.failed", {"reason": "bad"}
            done.add(id)
            return "task.succeeded", {"value": id}

        found = executed(world, pattern, given, ["w"], act, seed)
        assert [one.id for one in found.results] == [one.id for one in given]
        for one in found.results:
            assert one.outcome != "succeeded" or one.value == one.id
        if found.success:
            assert all(one.success for one in found.results)
            assert done == needs.keys()
        else:
            assert [one for one in found.results if one.outcome == "failed"]


def test_who_waits_for_a_slot_is_seen(story: Any) -> None:
    """Who would run but for a limit is told, by level and in the order of the tree; looking changes nothing."""
    told = story(ForkJoin([Task("a"), Task("b"), Task("c")]), levels={"primary": 1})
    seen = NodeOutcomes(told.run)
    assert seen.waiting == [["0.1", "0.2"]]
    assert seen.of("0") is None
    told.when("task.succeeded", "0.0", value=1)
    assert NodeOutcomes(told.run).of("0.0").value == 1  # type: ignore[union-attr]
