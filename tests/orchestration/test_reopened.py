"""What had ended and goes on after a human's word: each pattern beyond a pivot, with and without what is remembered."""

from __future__ import annotations

from typing import Any

import pytest

from twelvefold.orchestration.critique import Critique
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.graph import Graph
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Task
from twelvefold.orchestration.race import Race
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.scatter_gather import ScatterGather

DONE = {"value": 1}
NO = {"value": {"accepted": False, "feedback": "no"}}
Told = tuple[str, str, dict[str, Any]]


def done(path: str) -> Told:
    return "task.succeeded", path, DONE


def failed(path: str) -> Told:
    return "task.failed", path, {"reason": "bad"}


#: A plan after a pivot, what is told of its tasks until all have ended, and the task at which it fails.
FAILING: list[tuple[Plan, list[Told], str]] = [
    (Task("a"), [failed("0.1")], "0.1"),
    (Pipeline([Task("a"), Task("b")]), [done("0.1.0"), failed("0.1.1")], "0.1.1"),
    (
        Pipeline([Task("a"), Task("b")], items=[1, 2]),
        [done("0.1.0.0"), done("0.1.1.0"), done("0.1.0.1"), failed("0.1.1.1")],
        "0.1.1.1",
    ),
    (ForkJoin([Task("a"), Task("b")]), [done("0.1.0"), failed("0.1.1")], "0.1.1"),
    (ForkJoin([Task("a"), Task("b")], join="quorum(2)"), [done("0.1.0"), failed("0.1.1")], "0.1.1"),
    (Graph([Task("a", name="a"), Task("b", {"$from": "a"})]), [done("0.1.0"), failed("0.1.1")], "0.1.1"),
    (MapReduce(Task("a"), items=[1, 2]), [done("0.1.1.0"), failed("0.1.1.1")], "0.1.1.1"),
    (
        MapReduce(Task("a"), items=[1, 2], reduce=Task("r")),
        [done("0.1.1.0"), done("0.1.1.1"), failed("0.1.2.0.0")],
        "0.1.2.0.0",
    ),
    (ScatterGather(["a", "b"], gather="majority"), [done("0.1.0"), ("task.succeeded", "0.1.1", NO)], "0.1.0"),
    (Race([Task("a"), Task("b")]), [failed("0.1.0"), failed("0.1.1")], "0.1.0"),
    (Race([Task("a"), Task("b")], stagger_s=5), [failed("0.1.0"), failed("0.1.1")], "0.1.0"),
    (Critique(Task("a"), Task("b"), rounds_max=1), [done("0.1.0"), ("task.succeeded", "0.1.1", NO)], "0.1.1"),
    (Critique(Task("a"), Task("b")), [done("0.1.0"), done("0.1.1")], "0.1.1"),
]
IDS = [f"{type(plan).__name__}-{n}" for n, (plan, _, _) in enumerate(FAILING)]


@pytest.mark.parametrize("answer", ["retry", "done"])
@pytest.mark.parametrize(("plan", "told", "at"), FAILING, ids=IDS)
def test_beyond_a_pivot_the_task_that_failed_goes_on(
    story: Any, plan: Plan, told: list[Told], at: str, answer: str
) -> None:
    """It is parked once, whatever else happens; a retry requests it again, and its success is that of all around it."""
    here = story(ForkJoin([Saga([Task("p", pivot=True), plan]), Task("x"), Task("y")]))

    def below(path: str) -> str:
        return f"0.0{path[1:]}"

    at = below(at)
    here.given(done("0.0.0"), *((type, below(path), data) for type, path, data in told))
    assert [event.type for event in here.last.events][-2:] == ["task.parked", "human.requested"]
    here.when("task.succeeded", "0.1", value=1).then()
    here.when("task.succeeded", "0.2", value=1).then("run.needs_human")
    value = {"accepted": True} if isinstance(plan, Critique) else NO["value"]
    if answer == "done":
        here.when("human.answered", at, answer="done", value=value)
    else:
        here.when("human.answered", at, answer="retry").then("run.resumed", f"task.requested {at}")
        again = at if not isinstance(plan, Race) else "0.0.1.1"  # in a race the first failure is the other one's now
        asks = (f"task.parked {again}", f"human.requested {again}", "run.needs_human")
        here.when("task.failed", at, reason="again").then(*asks)
        at = again
        here.when("human.answered", at, answer="retry").then("run.resumed", f"task.requested {at}")
        here.when("task.succeeded", at, value=value)
    assert here.last.events[-1].type == "run.succeeded"


def test_a_verdict_is_not_late_because_others_take_their_time(story: Any) -> None:
    """Answers that can't agree any more are a disagreement, whether or not the last one lets go before the deadline."""
    here = story(ScatterGather(["a", "b", "c"], gather="quorum(3)", deadline_s=5))
    here.given(("task.succeeded", "0.0", {"value": 1}))
    here.when("task.succeeded", "0.1", value=2)
    here.then("task.joined 0", "task.cancelled 0.2", "timer.set 0.2", "timer.cancelled 0")
    here.when("delivery.withdrawn", "0.2", queue=True)
    ended = here.decided("run.failed")
    assert ended["reason"] == "disagreement"
    assert [answer.get("value", answer.get("reason")) for answer in ended["error"]["answers"]] == [1, 2, "not_awaited"]
