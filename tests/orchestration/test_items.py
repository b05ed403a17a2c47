"""What patterns decide that run one plan for each item of a list: map and reduce, and pipelines with items."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.orchestration.decider import decide
from twelvefold.orchestration.errors import PlanInvalid
from twelvefold.orchestration.evolve import INPUT_TYPES
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Retry, Task, parse_plan, plan_data, plan_from
from twelvefold.orchestration.race import Race
from twelvefold.orchestration.run_state import Run, fact_of
from twelvefold.orchestration.saga import Saga

W = Task("w")


# --- map and reduce


def test_a_map_gives_every_item_to_a_task_and_lists_their_values(story: Any) -> None:
    """All items are requested in their order; the value lists theirs, null for one with nothing to do."""
    told = story(MapReduce(W, ["a", "b", "c"]))
    told.then("run.started", "task.requested 0.1.0", "task.requested 0.1.1", "task.requested 0.1.2")
    assert [msgspec.json.decode(event.payload)["input"] for event in told.last.events[1:]] == ["a", "b", "c"]
    told.given(("task.succeeded", "0.1.2", {"value": "C", "evidence": [{"kind": "file", "ref": "c"}]}))
    told.given(("task.nothing_to_do", "0.1.1", {}))
    told.when("task.succeeded", "0.1.0", value="A", evidence=[{"kind": "file", "ref": "a"}]).then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == ["A", None, "C"]
    assert [piece["ref"] for piece in told.decided("run.succeeded")["evidence"]] == ["a", "c"]


def test_the_width_bounds_how_many_items_are_at_work(story: Any) -> None:
    """With a width of two, one that ends lets the next one begin."""
    told = story(MapReduce(W, [1, 2, 3], width=2)).then("run.started", "task.requested 0.1.0", "task.requested 0.1.1")
    told.when("task.succeeded", "0.1.1").then("task.requested 0.1.2")
    told.when("task.succeeded", "0.1.2").then().when("task.succeeded", "0.1.0").then("run.succeeded")


def test_item_and_index_are_names_in_the_map(story: Any) -> None:
    """Every step of the map, however deep, may refer to its item and to the item's place."""
    steps = [
        Task("a", {"of": {"$from": "item", "key": "n"}}, name="a"),
        Task("b", [{"$from": "index"}, {"$from": "a"}]),
    ]
    told = story(MapReduce(Pipeline(steps), [{"n": 5}, {"n": 6}])).then(
        "run.started", "task.requested 0.1.0.0", "task.requested 0.1.1.0"
    )
    assert msgspec.json.decode(told.last.events[2].payload)["input"] == {"of": 6}
    told.when("task.succeeded", "0.1.1.0", value="v").then("task.requested 0.1.1.1")
    assert told.decided("task.requested")["input"] == [1, "v"]


def test_a_splitter_makes_the_items(story: Any) -> None:
    """The splitter's value is the list of the items, and nothing else is."""
    plan = MapReduce(W, split=Task("split", name="parts"), reduce=Task("sum", [{"$from": "items"}, {"$from": "parts"}]))
    told = story(plan).then("run.started", "task.requested 0.0")
    told.when("task.succeeded", "0.0", value=[7, 8]).then("task.requested 0.1.0", "task.requested 0.1.1")
    told.given(("task.succeeded", "0.1.1", {"value": 80}))
    told.when("task.succeeded", "0.1.0", value=70).then("task.requested 0.2.0.0")
    assert told.decided("task.requested")["input"] == [[70, 80], [7, 8]]
    told.when("task.succeeded", "0.2.0.0", value=150).then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == 150


@pytest.mark.parametrize(
    ("value", "outcome", "reason"),
    [([], "nothing_to_do", "there are no items"), ({"a": 1}, "failed", "items"), (None, "failed", "items")],
)
def test_what_is_no_list_of_items(story: Any, value: Any, outcome: str, reason: str) -> None:
    """Without items there is nothing to do; what is no list is a failure with words."""
    told = story(MapReduce(W, split=Task("split"))).when("task.succeeded", "0.0", value=value).then(f"run.{outcome}")
    assert told.decided(f"run.{outcome}")["reason"] == reason


@pytest.mark.parametrize("outcome", ["failed", "nothing_to_do"])
def test_a_splitter_that_gives_no_items_ends_it(story: Any, outcome: str) -> None:
    """How the splitter ends without a list is how all of it ends."""
    told = story(MapReduce(W, split=Task("split"))).when(f"task.{outcome}", "0.0", reason="r").then(f"run.{outcome}")
    assert told.decided(f"run.{outcome}")["reason"] == "r"


def test_the_items_may_come_from_what_was_before(story: Any) -> None:
    """A map without items takes the value before it, or what it refers to."""
    told = story(Pipeline([Task("list", name="l"), MapReduce(W), MapReduce(W, {"$from": "l"})]))
    told.when("task.succeeded", "0.0", value=[4]).then("task.requested 0.1.1.0")
    assert told.decided("task.requested")["input"] == 4
    told.when("task.succeeded", "0.1.1.0").then("task.requested 0.2.1.0")
    told = story(MapReduce(W, {"$from": "input"}), input=[1, 2]).then(
        "run.started", "task.requested 0.1.0", "task.requested 0.1.1"
    )
    story(MapReduce(W)).then("run.started", "run.failed")


def test_reducers_are_a_tree_over_neighbours(story: Any) -> None:
    """With a fan-in of two, five values are reduced as soon as neighbours are there; what is alone is passed on."""
    told = story(MapReduce(W, [0, 1, 2, 3, 4], reduce=Task("sum"), fan_in=2))
    for n in (1, 2, 0):
        told.given(("task.succeeded", f"0.1.{n}", {"value": n}))
    told.then("task.requested 0.2.0.0").when("task.succeeded", "0.1.4", value=4).then("task.requested 0.2.0.2")
    assert told.decided("task.requested")["input"] == [4]
    told.given(("task.succeeded", "0.2.0.2", {"value": "4"}), ("task.succeeded", "0.2.0.0", {"value": "0+1"}))
    told.when("task.succeeded", "0.1.3", value=3).then("task.requested 0.2.0.1")
    assert told.decided("task.requested")["input"] == [2, 3]
    told.when("task.succeeded", "0.2.0.1", value="2+3").then("task.requested 0.2.1.0")
    assert told.decided("task.requested")["input"] == ["0+1", "2+3"]
    told.when("task.succeeded", "0.2.1.0", value="0+1+2+3").then("task.requested 0.2.2.0")
    assert told.decided("task.requested")["input"] == ["0+1+2+3", "4"]
    told.when("task.succeeded", "0.2.2.0", value="all").then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == "all"


def test_evidence_is_told_once_however_often_a_value_is_passed_on(story: Any) -> None:
    """The evidence of items comes first, then that of the reducers, each piece once."""
    told = story(MapReduce(W, [0, 1, 2], reduce=Task("sum"), fan_in=2))
    for path in ("0.1.0", "0.1.1", "0.1.2", "0.2.0.1", "0.2.0.0"):
        told.given(("task.succeeded", path, {"value": 1, "evidence": [{"kind": "value", "ref": path}]}))
    told.when("task.succeeded", "0.2.1.0", value=3, evidence=[{"kind": "value", "ref": "end"}]).then("run.succeeded")
    found = [piece["ref"] for piece in told.decided("run.succeeded")["evidence"]]
    assert found == ["0.1.0", "0.1.1", "0.1.2", "0.2.0.0", "0.2.0.1", "end"]


def test_a_splitter_that_answers_with_a_plan_is_undone_too(story: Any) -> None:
    """Splitting may take steps of its own, and what they have done is undone with the rest."""
    answer = {"pattern": "saga", "steps": [{"agent": "clone", "undo": {"agent": "remove"}}, {"agent": "list"}]}
    told = story(Saga([MapReduce(W, split=Task("split")), Task("last")]))
    told.given(("task.planned", "0.0.0", {"plan": answer}), ("task.succeeded", "0.0.0.0"))
    told.when("task.succeeded", "0.0.0.1", value=[5]).then("task.requested 0.0.1.0")
    told.given(("task.succeeded", "0.0.1.0")).when("task.failed", "0.1").then("task.requested 0.0.0.0.undo")
    told.when("task.succeeded", "0.0.0.0.undo").then("task.compensated 0.0.0.0", "run.failed")


def test_reducers_do_not_see_what_had_nothing_to_do(story: Any) -> None:
    """An item without a value is left out; where no item had anything to do, the map had nothing to do either."""
    told = story(MapReduce(W, [1, 2], reduce=Task("sum"))).given(("task.nothing_to_do", "0.1.0", {"reason": "clean"}))
    told.when("task.succeeded", "0.1.1", value=9).then("task.requested 0.2.0.0")
    assert told.decided("task.requested")["input"] == [9]
    told = story(MapReduce(W, [1, 2], reduce=Task("sum"))).given(("task.nothing_to_do", "0.1.1", {"reason": "late"}))
    told.when("task.nothing_to_do", "0.1.0", reason="clean").then("run.nothing_to_do")
    assert told.decided("run.nothing_to_do")["reason"] == "clean"


def test_the_first_item_that_fails_takes_the_others_back(story: Any) -> None:
    """What counts is recorded, the open items are cancelled, and the run ends once their holders have let go."""
    told = story(MapReduce(W, [1, 2, 3, 4], width=3)).given(("task.succeeded", "0.1.0", {}))
    told.when("task.failed", "0.1.2", reason="no").then(
        "task.joined 0", "task.cancelled 0.1.1", "timer.set 0.1.1", "task.cancelled 0.1.3", "timer.set 0.1.3"
    )
    told.when("task.failed", "0.1.1", reason="late").then("timer.cancelled 0.1.1")
    told.when("delivery.withdrawn", "0.1.3").then("timer.cancelled 0.1.3", "run.failed")
    assert (told.decided("run.failed")["reason"], told.decided("run.failed")["at"]) == ("no", "0.1.2")


def test_a_failing_reducer_takes_the_items_back(story: Any) -> None:
    """A reducer that fails while items are open ends the map."""
    told = story(MapReduce(W, [1, 2, 3], reduce=Task("sum"), fan_in=2))
    told.given(("task.succeeded", "0.1.0", {"value": 1}), ("task.succeeded", "0.1.1", {"value": 1}))
    told.when("task.failed", "0.2.0.0", reason="sum").then("task.joined 0", "task.cancelled 0.1.2", "timer.set 0.1.2")
    told.when("delivery.withdrawn", "0.1.2").then("timer.cancelled 0.1.2", "run.failed")
    assert told.decided("run.failed")["at"] == "0.2.0.0"


def test_an_item_that_is_taken_back_is_undone(story: Any) -> None:
    """A saga that was half-way through an item undoes what it has done, with the values of its steps."""
    book = Task("book", name="b", undo=Task("unbook", [{"$from": "b"}, {"$from": "item"}]))
    told = story(MapReduce(Saga([book, Task("pay")]), ["x", "y"])).given(("task.succeeded", "0.1.0.0", {"value": 7}))
    told.when("task.failed", "0.1.1.0", reason="full").then(
        "task.joined 0", "task.cancelled 0.1.0.1", "timer.set 0.1.0.1"
    )
    told.when("delivery.withdrawn", "0.1.0.1", delivered=False)
    told.then("timer.cancelled 0.1.0.1", "task.requested 0.1.0.0.undo")
    assert told.decided("task.requested")["input"] == [7, "x"]
    told.when("task.succeeded", "0.1.0.0.undo").then("task.compensated 0.1.0.0", "run.failed")


def test_what_is_beyond_its_pivot_stands_when_it_is_taken_back(story: Any) -> None:
    """A saga that has passed its point of no return is not undone, also where nothing is remembered of it."""
    steps = [Task("book", undo=Task("unbook")), Task("pay", pivot=True), Task("mail")]
    told = story(MapReduce(Saga(steps), ["x", "y"]))
    told.given(("task.succeeded", "0.1.0.0"), ("task.succeeded", "0.1.0.1"), ("task.failed", "0.1.1.0"))
    told.when("delivery.withdrawn", "0.1.0.2").then("timer.cancelled 0.1.0.2", "run.failed")
    assert told.decided("run.failed")["not_undone"] == ["0.1.0.0", "0.1.0.1", "0.1.0.2"]


def test_a_map_in_a_saga_is_undone_item_by_item(story: Any) -> None:
    """What the items' sagas have done is undone when a later step fails, the last item first."""
    each = Saga([Task("do", undo=Task("un-do", {"$from": "item"}))])
    told = story(Saga([MapReduce(each, ["x", "y"]), Task("last")]))
    told.given(("task.succeeded", "0.0.1.0.0"), ("task.succeeded", "0.0.1.1.0"))
    told.when("task.failed", "0.1").then("task.requested 0.0.1.1.0.undo")
    assert told.decided("task.requested")["input"] == "y"
    told.when("task.succeeded", "0.0.1.1.0.undo").then("task.compensated 0.0.1.1.0", "task.requested 0.0.1.0.0.undo")
    told.when("task.succeeded", "0.0.1.0.0.undo").then("task.compensated 0.0.1.0.0", "run.failed")


def test_a_map_that_was_never_reached_is_not_begun_by_undoing(story: Any) -> None:
    """Undoing a saga asks nothing of the steps that never began."""
    told = story(Saga([Task("a", undo=Task("b")), Task("c"), MapReduce(W, split=Task("split"))]))
    told.given(("task.succeeded", "0.0")).when("task.failed", "0.1").then("task.requested 0.0.undo")
    told.when("task.succeeded", "0.0.undo").then("task.compensated 0.0", "run.failed")


def test_retries_are_an_items_own(story: Any) -> None:
    """An item that fails once and is tried again fails nothing."""
    told = story(MapReduce(Task("w", retry=Retry(attempts_max=2, backoff_s=1)), [1, 2]))
    told.when("task.failed", "0.1.0").then("timer.set 0.1.0").when("task.succeeded", "0.1.1").then()
    told.when("timer.fired", "0.1.0", kind="retry").then("task.requested 0.1.0")
    assert told.decided("task.requested")["input"] == 1
    told.when("task.succeeded", "0.1.0").then("run.succeeded")


def test_a_straggler_is_given_out_once_more(story: Any) -> None:
    """After the time the item gets a second task; the first success counts, and the other is taken back."""
    told = story(MapReduce(W, ["a", "b"], speculate_after_s=5))
    told.then("run.started", "task.requested 0.1.0", "timer.set 0.1.0", "task.requested 0.1.1", "timer.set 0.1.1")
    told.when("task.succeeded", "0.1.0", value=1).then("timer.cancelled 0.1.0")
    told.when("timer.fired", "0.1.1", kind="speculate").then("task.requested 0.3.1")
    assert told.decided("task.requested")["input"] == "b"
    told.when("task.succeeded", "0.3.1", value=2).then("task.joined 0.4.1", "task.cancelled 0.1.1", "timer.set 0.1.1")
    told.when("task.succeeded", "0.1.1", value=3).then("timer.cancelled 0.1.1", "run.succeeded")
    assert told.decided("run.succeeded")["value"] == [1, 2]


def test_an_item_fails_only_when_its_copy_has_too(story: Any) -> None:
    """A failure of one of the two waits for the other."""
    told = story(MapReduce(W, ["a"], speculate_after_s=5)).given(("timer.fired", "0.1.0", {"kind": "speculate"}))
    told.when("task.failed", "0.1.0", reason="one").then().when("task.failed", "0.3.0", reason="two").then("run.failed")
    assert told.decided("run.failed")["reason"] == "one"
    told = story(MapReduce(W, ["a"], speculate_after_s=5)).given(("timer.fired", "0.1.0", {"kind": "speculate"}))
    told.when("task.failed", "0.1.0", reason="one").then().when("task.succeeded", "0.3.0", value=2).then(
        "run.succeeded"
    )
    assert told.decided("run.succeeded")["value"] == [2]


def test_what_must_be_done_once_is_not_given_out_twice(story: Any) -> None:
    """An item that has answered with a plan with such a task gets no copy."""
    plan = {"pattern": "pipeline", "steps": [{"agent": "pay", "effect": "once"}]}
    told = story(MapReduce(W, ["a"], speculate_after_s=5)).given(("task.planned", "0.1.0", {"plan": plan}))
    told.when("timer.fired", "0.1.0", kind="speculate").then()
    told.when("task.succeeded", "0.1.0.0", value=1).then("run.succeeded")


def test_thousands_begin_a_thousand_at_a_time(story: Any) -> None:
    """Items without a width begin in appends of bounded size, and all before the first one has to end."""
    told = story(MapReduce(W, list(range(2500))))
    assert len(told.last.events) == 1000
    told.when("task.succeeded", "0.1.7")
    assert len(told.last.events) == 1000
    told.when("task.succeeded", "0.1.0")
    assert len(told.run.tasks) == 2500


def test_thousands_with_nothing_to_do_are_over_at_once(story: Any) -> None:
    """Items that end without a task don't wait for an event that never comes."""
    plan = Pipeline([Task("x", name="x"), MapReduce(Task("w", {"$from": "x"}), list(range(1500)))])
    told = story(plan).when("task.nothing_to_do", "0.0", reason="clean")
    assert told.last.events[-1].type == "run.nothing_to_do"


# --- pipelines with items


def test_items_flow_through_the_steps_without_waiting_for_each_other(story: Any) -> None:
    """A step without an input gets the item, then the value before it; the value lists the last ones in order."""
    told = story(Pipeline([Task("a", name="a"), Task("b"), Task("c", {"$from": "a"})], items=["x", "y"]))
    told.then("run.started", "task.requested 0.0.0", "task.requested 0.1.0")
    assert msgspec.json.decode(told.last.events[2].payload)["input"] == "y"
    told.when("task.succeeded", "0.1.0", value="ya").then("task.requested 0.1.1")
    assert told.decided("task.requested")["input"] == "ya"
    told.when("task.succeeded", "0.1.1", value="yb").then("task.requested 0.1.2")
    assert told.decided("task.requested")["input"] == "ya"
    told.given(("task.succeeded", "0.1.2", {"value": "yc"}), ("task.succeeded", "0.0.0", {"value": "xa"}))
    told.given(("task.nothing_to_do", "0.0.1", {})).when("task.succeeded", "0.0.2", value="xc").then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == ["xc", "yc"]


def test_the_order_of_completion_where_order_is_not_asked_for(story: Any) -> None:
    """Without `ordered` who is done first stands first."""
    told = story(Pipeline([W], items=[0, 1, 2], ordered=False))
    told.given(*[("task.succeeded", f"0.{n}.0", {"value": n}) for n in (2, 0)])
    told.when("task.succeeded", "0.1.0", value=1).then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == [2, 0, 1]


def test_items_in_flight_are_bounded(story: Any) -> None:
    """The next item enters when one has left the last step."""
    told = story(Pipeline([Task("a"), Task("b")], items=[1, 2], in_flight_max=1)).then(
        "run.started", "task.requested 0.0.0"
    )
    told.when("task.succeeded", "0.0.0").then("task.requested 0.0.1")
    told.when("task.succeeded", "0.0.1").then("task.requested 0.1.0")


def test_an_item_that_fails_ends_the_pipeline(story: Any) -> None:
    """The others are taken back, wherever they are."""
    told = story(Pipeline([Task("a"), Task("b")], items=[1, 2])).given(("task.succeeded", "0.0.0"))
    told.when("task.failed", "0.1.0", reason="no").then("task.joined 0", "task.cancelled 0.0.1", "timer.set 0.0.1")
    told.when("delivery.withdrawn", "0.0.1").then("timer.cancelled 0.0.1", "run.failed")
    assert told.decided("run.failed")["at"] == "0.1.0"


# --- what plans may say


@pytest.mark.parametrize(
    ("plan", "place"),
    [
        ({"pattern": "map_reduce"}, ""),
        ({"pattern": "map_reduce", "map": {"agent": "A!"}}, "map.agent"),
        ({"pattern": "map_reduce", "map": {"agent": "a"}, "items": 3}, "items"),
        ({"pattern": "map_reduce", "map": {"agent": "a"}, "items": {"$from": "x"}}, "items"),
        ({"pattern": "map_reduce", "map": {"agent": "a"}, "items": [], "split": {"agent": "s"}}, "split"),
        ({"pattern": "map_reduce", "map": {"agent": "a"}, "split": {"pattern": "saga", "steps": []}}, "split"),
        ({"pattern": "map_reduce", "map": {"agent": "a"}, "width": -1}, "width"),
        ({"pattern": "map_reduce", "map": {"agent": "a"}, "width": 10_001}, "width"),
        ({"pattern": "map_reduce", "map": {"agent": "a"}, "reduce": {"agent": "r"}, "fan_in": 1}, "fan_in"),
        ({"pattern": "map_reduce", "map": {"agent": "a"}, "fan_in": 2}, "fan_in"),
        ({"pattern": "map_reduce", "map": {"agent": "a", "undo": {"agent": "b"}}}, "map"),
        (
            {"pattern": "map_reduce", "map": {"agent": "a", "effect": "once"}, "speculate_after_s": 1},
            "speculate_after_s",
        ),
        (
            {
                "pattern": "map_reduce",
                "map": {"agent": "a", "name": "m"},
                "reduce": {"agent": "r", "input": {"$from": "m"}},
            },
            "reduce.input",
        ),
        ({"pattern": "map_reduce", "map": {"agent": "a", "input": {"$from": "items"}}}, "map.input"),
        ({"pattern": "pipeline", "steps": [{"agent": "a"}], "in_flight_max": 2}, "in_flight_max"),
        ({"pattern": "pipeline", "steps": [{"agent": "a"}], "ordered": False}, "ordered"),
        ({"pattern": "pipeline", "steps": [{"agent": "a", "input": {"$from": "item"}}]}, "steps[0].input"),
    ],
)
def test_wrong_plans_point_at_the_place(plan: dict[str, Any], place: str) -> None:
    """What can't work is refused before it starts, with the place in the plan."""
    with pytest.raises(PlanInvalid) as caught:
        plan_from(plan)
    assert caught.value.place == place


def test_both_read_the_same_from_python_and_toml() -> None:
    """The textual form is the Python form."""
    text = """
    pattern = "map_reduce"
    items = {"$from" = "input", key = "files"}
    width = 8
    fan_in = 10
    speculate_after_s = 30
    reduce = {agent = "summer"}
    [map]
    pattern = "pipeline"
    items = ["x", "y"]
    in_flight_max = 4
    ordered = false
    steps = [{agent = "a"}, {agent = "b", input = {of = {"$from" = "item"}}}]
    """
    each = Pipeline([Task("a"), Task("b", {"of": {"$from": "item"}})], items=["x", "y"], in_flight_max=4, ordered=False)
    files = {"$from": "input", "key": "files"}
    plan = MapReduce(each, files, width=8, fan_in=10, speculate_after_s=30, reduce=Task("summer"))
    assert parse_plan(text, "toml") == plan_from(plan_data(plan))


# --- whatever happens

AGENTS = ("w", "x", "undo", "sum", "boss", "split")
#: What the boss answers with.
PLANNED = plan_data(
    MapReduce(Saga([Task("w", undo=Task("undo", {"$from": "item"})), Task("x")]), [1, 2], width=1, reduce=Task("sum"))
)


def plans() -> st.SearchStrategy[Any]:
    tasks = st.builds(Task, st.sampled_from(["w", "x", "boss"]))
    retried = st.builds(Task, st.just("w"), retry=st.just(Retry(attempts_max=2, backoff_s=1)))
    slow = st.builds(Task, st.just("w"), timeout_s=st.just(3.0), deadline_s=st.sampled_from([None, 5.0]))
    undone = st.lists(
        st.builds(Task, st.just("w"), undo=st.just(Task("undo")), pivot=st.sampled_from([False, False, True])),
        min_size=1,
        max_size=3,
    )
    items = st.integers(0, 3).map(lambda n: list(range(n)))
    reducers = st.sampled_from([(None, 0), (Task("sum"), 0), (Task("sum"), 2), (Task("sum"), 3)])

    def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        parts = st.lists(inner, min_size=1, max_size=3)
        maps = st.builds(
            lambda each, items, width, reducer, after: MapReduce(
                each,
                items or None,
                split=None if items else Task("split"),
                width=width,
                reduce=reducer[0],
                fan_in=reducer[1],
                speculate_after_s=after,
            ),
            inner,
            items,
            st.integers(0, 3),
            reducers,
            st.sampled_from([None, None, 2.0]),
        )
        flows = st.builds(Pipeline, parts, items=items, in_flight_max=st.integers(0, 2), ordered=st.booleans())
        others = st.builds(ForkJoin, parts, join=st.sampled_from(["all", "any"])) | st.builds(Race, parts)
        return st.one_of(maps, maps, flows, st.builds(Pipeline, parts), st.builds(Saga, parts), others)

    return st.recursive(st.one_of(tasks, retried, slow, st.builds(Saga, undone)), composed, max_leaves=5)


@settings(max_examples=150, deadline=None)
@given(
    plan=plans(),
    seed=st.integers(0, 2**32),
    chance=st.sampled_from([0.0, 0.1, 0.3]),
    asked=st.sampled_from(["", "", "cancel", "pause"]),
    levels=st.sampled_from([None, 1, 3]),
)
def test_every_run_ends_and_is_decided_the_same_again(
    world: Any, plan: Plan, seed: int, chance: float, asked: str, levels: int | None
) -> None:
    """Whatever the plan, the order, the failures, the kills and a cancel: the run ends, and nothing is left at work."""
    stage = world(seed=seed)

    def agent(data: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        choice = stage.random.random()
        if data["undo"]:
            return "task.succeeded", {}
        if choice < chance:
            return "task.failed", {"reason": "bad"}
        if choice < chance + 0.1 and data["timeout_s"]:
            return None  # it takes too long
        if data["agent"] in ("boss", "split", "sum") and choice > 0.5:
            return "task.planned", {"plan": PLANNED}
        if choice > 0.95:
            return "task.nothing_to_do", {}
        return "task.succeeded", {"value": [1, 2, 3] if data["agent"] == "split" else data["path"]}

    stage.agents = dict.fromkeys(AGENTS, agent)
    bounds = {"levels": dict.fromkeys(("primary", "secondary", "tertiary"), levels)} if levels else {}
    run = stage.submit(plan, **bounds)
    stage.storm(60)
    if asked:
        stage.append(f"run.{asked}_requested", {}, stream=f"request.{run}")
    stage.storm(60)
    if asked == "pause":
        stage.append("run.resume_requested", {}, stream=f"request.{run}")
        stage.settle_down()
    for _ in range(50):
        # What failed beyond a pivot, or can't be undone, is for a human to say.
        for path in stage.fold().at_head.resting_on:
            stage.answer(stage.random.choice(("retry", "give_up", "done")), path)
        stage.settle_down()
    state = stage.fold().at_head
    assert state.status == "ended", stage.told()
    assert not state.out
    assert not stage.out, stage.told()
    assert not state.timers
    redecided(stage)


def redecided(stage: Any) -> None:
    """Deciding every input of the log again, with nothing remembered, gives what was recorded."""
    events = stage.log.read(limit=10**6)
    run = Run(events[0].run)
    for event in events:
        if event.seen or event.type not in INPUT_TYPES:
            continue
        decision = decide(run, fact_of(event))
        recorded = [(one.type, one.data) for one in events if one.seen == event.position]
        assert recorded == [(one.type, msgspec.json.decode(one.payload)) for one in decision.events]
        run = decision.run


#: Two runs in which much is open at once when it is taken back, with many timers: one fails, one is cancelled.
TWO_RUNS = """
import hashlib
from tests.orchestration.conftest import World
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.plan import Task
each = Task("w", timeout_s=50, deadline_s=70)
plan = MapReduce(each, list(range(40)), speculate_after_s=20)
digest = hashlib.sha256()
for failing in (True, False):
    world = World()
    world.submit(plan)
    world.feed()
    world.flush()
    for request in [*world.out.values()][7:8] if failing else []:
        world.report(request, "task.failed", {"reason": "bad"})
    if not failing:
        world.cancel()
    world.settle_down()
    assert world.end()["outcome"] == ("failed" if failing else "cancelled")
    for event in world.log.read(limit=10**6):
        digest.update(repr((event.type, event.stream, event.id, event.payload)).encode())
print(digest.hexdigest())
"""


def test_what_is_decided_is_the_same_in_every_process() -> None:
    """Nothing depends on how a process happens to hash texts: what is taken back is taken back in the same order."""
    root = Path(__file__).parents[2]
    told = set()
    for seed in ("1", "2", "3"):
        variables = {**os.environ, "PYTHONHASHSEED": seed}
        program = [sys.executable, "-c", TWO_RUNS]
        told.add(subprocess.run(program, cwd=root, env=variables, check=True, capture_output=True, text=True).stdout)
    assert len(told) == 1


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 40),
    width=st.integers(0, 9),
    fan_in=st.sampled_from([0, 2, 3, 7]),
    after=st.sampled_from([None, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_each_item_is_exactly_once_in_the_result(
    world: Any, count: int, width: int, fan_in: int, after: float | None, seed: int
) -> None:
    """Whatever the order of completion, what is said twice, the copies, the kills and the shape of the tree."""
    stage = world(seed=seed)

    def work(data: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        # A straggler is one that does not answer now: its copy may, or the next time it does.
        return ("task.succeeded", {"value": [data["input"]]}) if stage.random.random() < 0.8 else None

    def join(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return "task.succeeded", {"value": [one for part in data["input"] for one in part]}

    stage.agents = {"w": work, "sum": join}
    stage.submit(
        MapReduce(W, list(range(count)), reduce=Task("sum"), width=width, fan_in=fan_in, speculate_after_s=after)
    )
    stage.storm(150)
    for event in [one for one in stage.log.read(limit=10**6) if one.type == "task.succeeded"][::3]:
        # What was said before is said again, as by an agent whose report was settled twice.
        stage.append(event.type, event.data, stream=event.stream, cause=event.cause)
    stage.storm(150)
    while stage.end()["outcome"] != "succeeded":
        stage.settle_down()
    assert stage.end()["value"] == list(range(count))
    redecided(stage)
