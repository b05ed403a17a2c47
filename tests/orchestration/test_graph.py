"""What a graph decides: each step begins when those that it needs have ended, whatever else goes on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.orchestration.decider import decide
from twelvefold.orchestration.errors import PlanInvalid
from twelvefold.orchestration.evolve import INPUT_TYPES
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.graph import Graph, needs_of
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Task, parse_plan, plan_data, plan_from
from twelvefold.orchestration.run_state import Run, fact_of
from twelvefold.orchestration.saga import Saga

#: a and b begin; c needs a, d needs both, e needs c's value.
STEPS = [
    Task("w", name="a"),
    Task("w", name="b"),
    Task("w", name="c"),
    Task("w", name="d"),
    Task("w", {"of": {"$from": "c"}}, name="e"),
]
DIAMOND = Graph(STEPS, {"c": ["a"], "d": ["a", "b"]})


def test_a_step_begins_when_what_it_needs_has_ended(story: Any) -> None:
    """Nobody waits for a layer: c begins with a's end although b runs, and e with c's, with its value."""
    told = story(DIAMOND).then("run.started", "task.requested 0.0", "task.requested 0.1")
    told.when("task.succeeded", "0.0", value="A").then("task.requested 0.2")
    told.when("task.succeeded", "0.2", value="C").then("task.requested 0.4")
    assert told.decided("task.requested")["input"] == {"of": "C"}
    told.when("task.succeeded", "0.4", value="E").then()
    told.when("task.succeeded", "0.1", value="B").then("task.requested 0.3")
    told.when("task.succeeded", "0.3", value="D").then("run.succeeded")
    assert told.decided("run.succeeded")["value"] == ["A", "B", "C", "D", "E"]


def test_a_failure_takes_back_what_runs_and_begins_nothing(story: Any) -> None:
    """The first failure is the graph's; what is open lets go first, and what had not begun never does."""
    told = story(DIAMOND).given(("task.succeeded", "0.0", {}))
    told.when("task.failed", "0.1", reason="no").then("task.joined 0", "task.cancelled 0.2", "timer.set 0.2")
    told.when("delivery.withdrawn", "0.2").then("timer.cancelled 0.2", "run.failed")
    assert (told.decided("run.failed")["reason"], told.decided("run.failed")["at"]) == ("no", "0.1")


def test_nothing_to_do_opens_the_way_but_has_no_value(story: Any) -> None:
    """Steps after one that had nothing to do run; those that need its value have nothing to do either."""
    told = story(DIAMOND).given(("task.succeeded", "0.0", {}), ("task.succeeded", "0.1", {}))
    told.given(("task.succeeded", "0.3", {"value": 4}))
    told.when("task.nothing_to_do", "0.2", reason="done").then("task.nothing_to_do 0.4", "run.succeeded")
    assert told.decided("run.succeeded")["value"] == [None, None, None, 4, None]


def test_what_a_graph_has_done_is_undone_in_reverse(story: Any) -> None:
    """In a saga, the steps of a failed graph are compensated last first."""
    undone = [Saga([Task("w", undo=Task("u"))], name=name) for name in ("a", "b")]
    told = story(Saga([Graph([*undone, Task("w", name="c")], {"b": ["a"], "c": ["b"]})]))
    told.given(("task.succeeded", "0.0.0.0", {}), ("task.succeeded", "0.0.1.0", {}))
    told.when("task.failed", "0.0.2").then("task.requested 0.0.1.0.undo")
    told.when("task.succeeded", "0.0.1.0.undo").then("task.compensated 0.0.1.0", "task.requested 0.0.0.0.undo")
    told.when("task.succeeded", "0.0.0.0.undo").then("task.compensated 0.0.0.0", "run.failed")


def test_its_textual_form_is_the_same_thing() -> None:
    """TOML and Python mean the same graph, references inside a step's own parts included."""
    text = """
    pattern = "graph"
    after = {tidy = ["load"]}
    [[steps]]
    agent = "w"
    name = "load"
    [[steps]]
    agent = "w"
    name = "tidy"
    [[steps]]
    pattern = "fork_join"
    branches = [{agent = "w", input = {"$from" = "tidy"}}]
    """
    plan = Graph(
        [Task("w", name="load"), Task("w", name="tidy"), ForkJoin([Task("w", {"$from": "tidy"})])], {"tidy": ["load"]}
    )
    assert parse_plan(text, "toml") == plan_from(plan_data(plan))
    assert needs_of(plan) == [frozenset(), {0}, {1}]


@pytest.mark.parametrize(
    ("after", "place"),
    [
        ({"x": ["a"]}, "after.x"),
        ({"c": ["b", "x"]}, "after.c[1]"),
        ({"a": ["c"]}, "after.a[0]"),
        ({"a": ["a"]}, "after.a[0]"),
    ],
)
def test_an_order_that_cannot_be_is_refused(after: dict[str, list[str]], place: str) -> None:
    """A step can need only steps before it: unknown names, itself and later ones are errors with their place."""
    with pytest.raises(PlanInvalid) as caught:
        plan_from(plan_data(Graph(STEPS, after)))
    assert caught.value.place == place


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 7))
    inner = st.sampled_from([Task("w"), Pipeline([Task("w"), Task("w")]), Saga([Task("w", undo=Task("u"))])])
    steps = [msgspec.structs.replace(draw(inner), name=f"s{n}") for n in range(count)]
    after = {f"s{n}": [f"s{m}" for m in draw(st.sets(st.integers(0, n - 1)))] for n in range(1, count)}
    return Graph(steps, after)


@settings(max_examples=150, deadline=None)
@given(
    plan=graphs(), seed=st.integers(0, 2**32), chance=st.sampled_from([0.0, 0.15]), limit=st.sampled_from([None, 1, 2])
)
def test_no_step_begins_before_what_it_needs_and_every_run_ends(
    world: Any, plan: Graph, seed: int, chance: float, limit: int | None
) -> None:
    """Whatever the graph, the failures, the kills and the limits: the order is kept, and the same is decided again."""
    stage = world(seed=seed)

    def work(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if data["undo"] or stage.random.random() >= chance:
            return "task.succeeded", {"value": data["path"]}
        return "task.failed", {"reason": "bad"}

    stage.agents = {"w": work, "u": work}
    stage.submit(Saga([plan]), **({"levels": {"primary": limit}} if limit else {}))
    stage.storm(150)
    events = stage.log.read(limit=10**6)
    run, needed = Run(events[0].run), needs_of(plan)
    for event in events:
        if event.seen or event.type not in INPUT_TYPES:
            continue
        decision = decide(run, fact_of(event))
        recorded = [(one.type, one.data) for one in events if one.seen == event.position]
        assert recorded == [(one.type, msgspec.json.decode(one.payload)) for one in decision.events]
        for path in {path for path in decision.run.tasks if not path.endswith("undo")} - {*run.tasks}:
            for other in needed[int(path.split(".")[2])]:
                last = [task for task in decision.run.tasks.values() if task.path.startswith(f"0.0.{other}")]
                assert last, path
                assert not [task for task in last if task.phase != "reported"], path
        run = decision.run
    assert run.outcome == ("failed" if any(e.type == "task.failed" for e in events) else "succeeded"), stage.told()
    assert not run.out
