"""How many tasks are out on each level of a run: the limits hold, nobody waits in vain, and memory changes nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.orchestration.decider import decide
from twelvefold.orchestration.evolve import INPUT_TYPES
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.levels import level_name, limits_from
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.memo import Memo
from twelvefold.orchestration.node_outcomes import NodeOutcomes
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Retry, Task, plan_data
from twelvefold.orchestration.race import Race
from twelvefold.orchestration.run_errors import LevelsInvalid
from twelvefold.orchestration.run_state import Run, fact_of
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.submit import run_request

ONE = {"primary": 1, "secondary": 1, "tertiary": 1}


def fork(count: int, agent: str = "w") -> dict[str, Any]:
    return plan_data(ForkJoin([Task(agent)] * count))


def test_a_slot_goes_to_the_first_of_the_tree_that_waits(story: Any) -> None:
    """What waits is requested in the order of the tree, whoever began to wait first."""
    plan = ForkJoin([Pipeline([Task("a"), Task("b")]), Task("c"), Task("d")])
    told = story(plan, levels={"primary": 1}).then("run.started", "task.requested 0.0.0")
    told.when("task.succeeded", "0.0.0").then("task.requested 0.0.1")
    told.when("task.succeeded", "0.0.1").then("task.requested 0.1")
    told.when("task.succeeded", "0.1").then("task.requested 0.2")
    told.when("task.succeeded", "0.2").then("run.succeeded")


def test_what_is_not_needed_any_more_takes_no_slot(story: Any) -> None:
    """A branch that waited when its race was decided doesn't keep those behind it from their turn."""
    plan = ForkJoin([Race([Task("a"), Task("b"), Task("c")]), Task("d"), Task("e")])
    told = story(plan, levels={"primary": 1}).then("run.started", "task.requested 0.0.0")
    told.when("task.succeeded", "0.0.0").then("task.joined 0.0", "task.requested 0.1")
    told.when("task.succeeded", "0.1").then("task.requested 0.2")
    told.when("task.succeeded", "0.2").then("run.succeeded")


def test_a_task_that_has_answered_with_a_plan_is_not_out(story: Any) -> None:
    """One primary slot is enough for coordinators one after the other; their plans count on the next level."""
    told = story(ForkJoin([Task("boss")] * 2), levels=ONE).then("run.started", "task.requested 0.0")
    told.when("task.planned", "0.0", plan=fork(2)).then("task.requested 0.0.0", "task.requested 0.1")
    told.when("task.planned", "0.1", plan=fork(2)).then()
    told.when("task.succeeded", "0.0.0").then("task.requested 0.0.1")
    told.when("task.succeeded", "0.0.1").then("task.requested 0.1.0")
    told.when("task.succeeded", "0.1.0").then("task.requested 0.1.1")
    told.when("task.succeeded", "0.1.1").then("run.succeeded")


def test_below_the_third_level_the_tertiary_limit_counts(story: Any) -> None:
    """The third limit is one for everything below: a deeper task waits for a tertiary one, and the other way round."""
    told = story(Task("boss"), levels={"primary": 1, "secondary": 9, "tertiary": 2})
    told.given(("task.planned", "0", {"plan": fork(1)}), ("task.planned", "0.0", {"plan": fork(3)}))
    told.when("task.planned", "0.0.0", plan=fork(2)).then("task.requested 0.0.0.0")
    told.when("task.succeeded", "0.0.1").then("task.requested 0.0.0.1")
    assert [told.run.tasks[path].level for path in ("0.0.1", "0.0.0.1")] == [2, 3]
    told.when("task.succeeded", "0.0.0.0").then("task.requested 0.0.2")


def test_a_retry_waits_for_a_slot_like_any_other(story: Any) -> None:
    """A task in backoff holds no slot, and takes its turn again when its time has come."""
    plan = ForkJoin([Task("a", retry=Retry(backoff_s=1)), Task("b")])
    told = story(plan, levels={"primary": 1})
    told.when("task.failed", "0.0").then("timer.set 0.0", "task.requested 0.1")
    told.when("timer.fired", "0.0", kind="retry").then()
    told.when("task.succeeded", "0.1").then("task.requested 0.0")


def test_a_withdrawn_task_keeps_its_slot_until_its_holder_lets_go(story: Any) -> None:
    """Nobody takes the place of work that may still be going on."""
    told = story(ForkJoin([Task("a", timeout_s=5, retry=Retry(backoff_s=9)), Task("b")]), levels={"primary": 1})
    told.when("timer.fired", "0.0", kind="timeout").then("task.cancelled 0.0", "timer.set 0.0")
    told.when("delivery.withdrawn", "0.0").then("timer.cancelled 0.0", "timer.set 0.0", "task.requested 0.1")


def test_compensations_do_not_wait(story: Any) -> None:
    """What was done is undone whatever the limits say."""
    saga = Saga([Task("a", undo=Task("u")), Task("b")])
    told = story(ForkJoin([saga, Task("c")], rest="await"), levels={"primary": 1})
    told.when("task.succeeded", "0.0.0").then("task.requested 0.0.1")
    told.when("task.failed", "0.0.1").then("task.requested 0.0.0.undo", "task.requested 0.1")


def test_a_pause_keeps_free_slots_free(story: Any) -> None:
    """While a run is paused nobody gets a slot; afterwards the first of the tree does."""
    told = story(ForkJoin([Task("a"), Task("b"), Task("c")]), levels={"primary": 1})
    told.given(("run.pause_requested", ""))
    told.when("task.succeeded", "0.0").then()
    told.when("run.resume_requested").then("run.resumed", "task.requested 0.1")


def test_what_waits_costs_no_more_for_many(story: Any) -> None:
    """Thousands that wait are looked at only when it is their turn: a turn touches a slot, not the queue."""
    told = story(MapReduce(Task("w"), list(range(3000))), levels={"primary": 2})
    told.then("run.started", "task.requested 0.1.0", "task.requested 0.1.1")
    held = told.memo.held[0]
    for n in range(5):
        told.when("task.succeeded", f"0.1.{n}").then(f"task.requested 0.1.{n + 2}")
        assert len(held) == 3000 - 2 - (n + 1)
        assert told.memo.node("0.1.2000", 0).dirty is False


@pytest.mark.parametrize(
    ("given", "level"),
    [({"quaternary": 1}, "quaternary"), ({"primary": 0}, "primary"), ({"tertiary": True}, "tertiary"),
     ({"secondary": 1.5}, "secondary"), ({"secondary": "9"}, "secondary")],
)  # fmt: skip
def test_wrong_limits_are_refused_where_they_are_said(given: dict[str, Any], level: str) -> None:
    """A limit that can't be kept is an error at once, which names the level; nothing is silently unlimited."""
    with pytest.raises(LevelsInvalid) as caught:
        run_request("r" * 32, Task("a"), levels=given)
    assert caught.value.level == level
    with pytest.raises(LevelsInvalid):
        run_request("r" * 32, Task("a"), depth_max=-1)


def test_limits_that_are_not_named_have_their_defaults(story: Any) -> None:
    """Naming one level leaves the others at 1, 10 and 30, in the request and for one written by hand."""
    assert limits_from({"secondary": 2}) == {"primary": 1, "secondary": 2, "tertiary": 30}
    assert story(Task("a"), levels={"tertiary": 5, "primary": "many"}).run.levels == (1, 10, 5)
    assert story(Task("a"), levels={}).run.levels == ()
    assert [level_name(n) for n in range(5)] == ["primary", "secondary", "tertiary", "tertiary", "tertiary"]


# --- whatever happens


def trees() -> st.SearchStrategy[Any]:
    work = st.builds(Task, st.sampled_from(["w", "boss"]))
    retried = st.builds(Task, st.sampled_from(["w", "boss"]), retry=st.just(Retry(attempts_max=2, backoff_s=1)))
    undone = st.lists(st.builds(Task, st.just("w"), undo=st.just(Task("undo"))), min_size=1, max_size=2)

    def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        parts = st.lists(inner, min_size=1, max_size=4)
        joins = st.builds(
            ForkJoin, parts, join=st.sampled_from(["all", "any"]), rest=st.sampled_from(["cancel", "await"])
        )
        maps = st.builds(lambda each, n: MapReduce(each, list(range(n))), inner, st.integers(1, 4))
        return st.one_of(joins, joins, st.builds(Race, parts), st.builds(Pipeline, parts), maps)

    return st.recursive(st.one_of(work, retried, st.builds(Saga, undone)), composed, max_leaves=7)


@settings(max_examples=200, deadline=None)
@given(
    plan=trees(),
    plans=st.lists(trees(), min_size=1, max_size=3),
    limits=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    chance=st.sampled_from([0.0, 0.1, 0.3]),
    paused=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_never_more_than_the_limit_and_all_run_in_the_end(
    world: Any, plan: Plan, plans: list[Plan], limits: tuple[int, int, int], chance: float, paused: bool, seed: int
) -> None:
    """Whatever the tree, the answers with plans, the failures, the kills and a pause: the limits hold after every
    decision, no free slot is left to nobody, the run ends, and without memory the same is decided.
    """
    stage = world(seed=seed)

    def work(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        choice = stage.random.random()
        if data["undo"] or choice >= chance:
            return "task.succeeded", {"value": data["path"]}
        return ("task.failed", {"reason": "bad"}) if choice < chance * 0.7 else ("task.nothing_to_do", {})

    def boss(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if data["level"] >= 3:
            return "task.succeeded", {}
        return "task.planned", {"plan": plan_data(stage.random.choice(plans))}

    stage.agents = {"w": work, "undo": work, "boss": boss}
    bounds = dict(zip(("primary", "secondary", "tertiary"), limits, strict=True))
    # Deep trees of trees are cut by a budget: it is a way to end as good as any other.
    stage.submit(plan, levels=bounds, budget={"tasks": 150})
    stage.storm(80)
    if paused:
        stage.append("run.pause_requested", {}, stream=f"request.{stage.fold().at_head.id}")
        stage.storm(40)
        assert not stage.fold().at_head.out
        stage.append("run.resume_requested", {}, stream=f"request.{stage.fold().at_head.id}")
    stage.storm(80)
    run = stage.fold().at_head
    assert run.status == "ended", stage.told()
    assert not run.out
    held_to_its_limits(stage, limits)


def held_to_its_limits(stage: Any, limits: tuple[int, ...]) -> None:
    """Decide every input of the log again, with nothing remembered: the same, and never beyond the limits."""
    events = stage.log.read(limit=10**6)
    run = Run(events[0].run)
    for event in events:
        if event.seen or event.type not in INPUT_TYPES:
            continue
        memo = Memo()
        decision = decide(run, fact_of(event), memo=memo)
        recorded = [(one.type, one.data) for one in events if one.seen == event.position]
        assert recorded == [(one.type, msgspec.json.decode(one.payload)) for one in decision.events]
        run = decision.run
        out = [run.tasks[path] for path in run.out.values() if not run.tasks[path].undo]
        used = [sum(min(task.level, 2) == row for task in out) for row in range(3)]
        assert used == [*(run.used or (0, 0, 0))]
        assert all(mine <= limit for mine, limit in zip(used, limits, strict=True)), (event, used)
        if run.status != "ended" and not run.stop and not run.paused:
            assert not [row for row, held in memo.held.items() if held and used[row] < limits[row]], event
            if event.position % 4 == 0:
                seen = {path for row in NodeOutcomes(run).waiting for path in row}
                # What wasn't needed any more in the end of the turn may have waited at its beginning.
                assert seen <= {path for held in memo.held.values() for path in held}
