"""The result of a run, folded from its events."""

from __future__ import annotations

from typing import Any

from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.result import Cost, RunView, result_of
from twelvefold.orchestration.saga import Saga

RUN = "0190a0b0c0d0e0f00000000000000001"
PLAN = Saga([Task("a", name="a", undo=Task("c")), Task("b")])


def events(here: Any) -> list[Any]:
    found: list[Any] = here.log.read(run=RUN, limit=10**6)
    return found


def test_an_ended_run_tells_everything(world: Any) -> None:
    """Outcome, value, evidence, every task, positions and time stand in the result."""
    proof = {"kind": "value", "ref": "r"}
    here = world(
        {name: lambda _: ("task.succeeded", {"value": 1, "evidence": [proof], "message": "m"}) for name in "ab"}
    )
    here.submit(PLAN)
    here.feed()
    here.flush()
    here.now += 2 * 10**9
    here.settle_down()
    told = result_of(RUN, events(here))
    assert (told.outcome, told.value, told.message, told.ended) == ("succeeded", 1, "m", True)
    assert told.evidence == (proof, proof)
    assert [(task.path, task.agent, task.outcome, task.attempts) for task in told.tasks] == [
        ("0.0", "a", "succeeded", 1), ("0.1", "b", "succeeded", 1),
    ]  # fmt: skip
    assert (told.first, told.last, told.elapsed_s) == (1, here.log.head, 2.0)


def test_a_failed_run_tells_what_was_undone(world: Any) -> None:
    """The reason, the failing task and what was undone stand in the result, compensations after their steps."""
    good = ("task.succeeded", {"value": 1})
    here = world(
        {"a": lambda _: good, "c": lambda _: good, "b": lambda _: ("task.failed", {"reason": "red", "error": 5})}
    )
    here.submit(PLAN)
    here.settle_down()
    told = result_of(RUN, events(here))
    assert (told.outcome, told.reason, told.error, told.undone, told.not_undone) == ("failed", "red", 5, ("0.0",), ())
    assert [task.path for task in told.tasks] == ["0.0", "0.0.undo", "0.1"]


def test_an_open_run_has_no_outcome(world: Any) -> None:
    """While a run is open its outcome is None; while it rests it is needs_human, with the questions."""
    here = world({"a": lambda _: ("task.needs_human", {"reason": "which", "question": "A?"})})
    here.submit(PLAN)
    here.feed()
    here.flush()
    assert result_of(RUN, events(here)).outcome is None
    here.settle_down()
    told = result_of(RUN, events(here))
    assert (told.outcome, told.ended, told.tasks[0].outcome) == ("needs_human", False, "needs_human")
    assert told.questions == ({"path": "0.0", "reason": "which", "question": "A?"},)


def test_cost_is_summed_over_model_effects(world: Any) -> None:
    """Recorded model calls are counted and their usage summed; malformed usage counts as none."""
    here = world({})
    here.submit(PLAN)
    here.settle_down()
    for usage in ({"tokens_in": 10, "tokens_out": 5, "usd": 0.5}, {"tokens_in": 1}, "rubbish", {"tokens_in": "x"}):
        data = {"kind": "model", "usage": usage}
        here.append("effect.completed", data, stream=f"task.{RUN}.0.0")
    here.append("effect.completed", {"kind": "tool"}, stream=f"task.{RUN}.0.0")
    assert result_of(RUN, events(here)).cost == Cost(4, 11, 5, 0.5)


def test_what_no_call_says_is_not_known(world: Any) -> None:
    """Calls that tell tokens and no price cost nobody knows how much; a run without calls cost nothing."""
    here = world({})
    here.submit(PLAN)
    here.settle_down()
    assert result_of(RUN, events(here)).cost == Cost(0, 0, 0, 0.0)
    for usage in ({"tokens_in": 10, "tokens_out": None, "usd": None}, {"tokens_in": 1}):
        here.append("effect.completed", {"kind": "model", "usage": usage}, stream=f"task.{RUN}.0.0")
    assert result_of(RUN, events(here)).cost == Cost(2, 11, None, None)


def test_an_event_given_twice_counts_once(world: Any) -> None:
    """A view may be fed overlapping reads and watches."""
    here = world({"a": lambda _: ("task.succeeded", {}), "b": lambda _: ("task.succeeded", {})})
    here.submit(PLAN)
    here.settle_down()
    view = RunView(RUN)
    for event in [*events(here), *events(here)]:
        view.take(event)
    assert view.result() == result_of(RUN, events(here))
    assert view.status == "ended"
