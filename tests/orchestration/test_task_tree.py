"""The tree of a run's tasks: what is planned, what runs, what was asked, undone, answered with a plan."""

from __future__ import annotations

from typing import Any

from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Retry, Task
from twelvefold.orchestration.run_state import Run
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.task_tree import TreeNode, counts, task_tree, walk


def told(run: Run) -> list[str]:
    return [" ".join(filter(None, (node.path, node.pattern, node.state))) for node in walk(task_tree(run))]


def found(run: Run, path: str) -> TreeNode:
    return next(node for node in walk(task_tree(run)) if node.path == path and node.pattern in ("task", "undo", ""))


def test_a_plan_is_a_tree_before_anything_runs(story: Any) -> None:
    """What stands in the plan is shown as waiting, by name and agent."""
    plan = Saga([Task("a", name="first"), ForkJoin([Task("b"), Pipeline([Task("c")])])])
    run = Run("0" * 32, plan=plan)
    assert told(run) == [
        "0 saga waiting",
        "0.0 task waiting",
        "0.1 fork_join waiting",
        "0.1.0 task waiting",
        "0.1.1 pipeline waiting",
        "0.1.1.0 task waiting",
    ]
    assert (found(run, "0.0").name, found(run, "0.0").agent) == ("first", "a")


def test_nodes_say_how_they_stand(story: Any) -> None:
    """Requested, waiting for its next try, asking and done are told apart; patterns sum up what is in them."""
    plan = ForkJoin([Task("a"), Task("b", retry=Retry()), Task("c"), Task("d"), Task("e", approval="May I?")])
    run = story(plan)
    run.given(("task.failed", "0.1", {"reason": "flaky", "error": {"message": "no luck"}}))
    run.given(("task.needs_human", "0.2", {"reason": "which", "question": "A?"}), ("task.succeeded", "0.3"))
    assert told(run.run) == [
        "0 fork_join needs_human",
        "0.0 task requested",
        "0.1 task backoff",
        "0.2 task needs_human",
        "0.3 task succeeded",
        "0.4 task needs_human",
    ]
    assert (found(run.run, "0.1").reason, found(run.run, "0.1").message) == ("flaky", "no luck")
    assert found(run.run, "0.2").message == "A?"
    assert found(run.run, "0.4").message == "May I?"
    assert counts(task_tree(run.run)) == {"requested": 1, "backoff": 1, "needs_human": 2, "succeeded": 1}


def test_what_a_task_answered_with_is_below_it(story: Any) -> None:
    """The plan of a task is its subtree, whether a pattern or a single task."""
    run = story(Pipeline([Task("boss"), Task("last")]))
    run.given(
        ("task.planned", "0.0", {"plan": {"pattern": "fork_join", "branches": [{"agent": "x"}, {"agent": "boss"}]}})
    )
    run.given(("task.planned", "0.0.1", {"plan": {"agent": "y"}}), ("task.succeeded", "0.0.0"))
    assert told(run.run) == [
        "0 pipeline open",
        "0.0 task open",
        "0.0 fork_join open",
        "0.0.0 task succeeded",
        "0.0.1 task open",
        "0.0.1.0 task requested",
        "0.1 task waiting",
    ]


def test_compensations_stand_below_their_step(story: Any) -> None:
    """A compensation appears when it runs, and a step that was undone says so; the root has the run's outcome."""
    run = story(Saga([Task("a", undo=Task("u")), Task("b")])).given(("task.succeeded", "0.0"), ("task.failed", "0.1"))
    assert told(run.run) == ["0 saga open", "0.0 task succeeded", "0.0.undo undo requested", "0.1 task failed"]
    run.given(("task.succeeded", "0.0.undo"))
    assert found(run.run, "0.0").undone
    assert told(run.run)[0] == "0 saga failed"


def test_nothing_is_open_in_a_run_that_has_ended(story: Any) -> None:
    """A pattern whose last steps were never begun has ended with its run, and those steps were not."""
    run = story(Pipeline([Saga([Task("a"), Task("b")]), Task("last")])).given(("task.failed", "0.0.0"))
    assert told(run.run) == [
        "0 pipeline failed",
        "0.0 saga failed",
        "0.0.0 task failed",
        "0.0.1 task waiting",
        "0.1 task waiting",
    ]


def test_items_appear_once_they_run(story: Any) -> None:
    """Parts that are run for each item are found by their paths, under numbers that only group."""
    run = story(MapReduce(Pipeline([Task("m"), Task("n")]), items=[1, 2])).given(("task.succeeded", "0.1.0.0"))
    tree = told(run.run)
    assert tree[0] == "0 map_reduce open"
    assert {"0.1.0.0 task succeeded", "0.1.0.1 task requested", "0.1.1.0 task requested"} <= set(tree)
    assert len(tree) == len(set(tree))
    assert [found(run.run, path).name for path in ("0.1", "0.1.0", "0.1.1")] == ["items", "item 0", "item 1"]


def test_numbers_that_only_group_say_what_they_stand_for(story: Any) -> None:
    """Reducers stand below their level, second tasks below their item, a pipeline's steps below theirs."""
    reduced = story(MapReduce(Task("m"), items=[1], reduce=Task("r"))).given(("task.succeeded", "0.1.0"))
    assert [found(reduced.run, path).name for path in ("0.2", "0.2.0")] == ["reducers", "level 0"]
    flowing = story(Pipeline([Task("m")], items=[1]))
    assert found(flowing.run, "0.0").name == "item 0"


def test_a_plan_that_was_refused_is_not_in_the_tree(story: Any) -> None:
    """What a task answered with and may not is no part of the run; a root that is a task has the run's outcome."""
    run = story(Task("boss"), depth_max=1)
    run.given(("task.planned", "0", {"plan": {"pattern": "pipeline", "steps": [{"agent": "boss"}]}}))
    run.given(("task.planned", "0.0", {"plan": {"agent": "y"}}))
    assert told(run.run) == ["0 task failed", "0 pipeline failed", "0.0 task failed"]


def test_a_run_without_a_plan_is_one_node(story: Any) -> None:
    """A plan that can't be read has nothing to show but the end of its run."""
    assert told(Run("0" * 32, outcome="failed")) == ["0 failed"]
