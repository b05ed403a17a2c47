"""Agents that answer with a plan: what is recorded of it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from twelvefold.agents.base import BaseAgent
from twelvefold.agents.response import ToolResponse
from twelvefold.agents.trial import Trial, run_task
from twelvefold.orchestration.errors import PlanInvalid
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Task

STEPS = Pipeline([Task("a", {"n": 1}), Task("b")])
DATA = {"pattern": "pipeline", "steps": [{"pattern": "task", "agent": "a", "input": {"n": 1}}, {"agent": "b"}]}


class Coordinator(BaseAgent):
    """Answers whatever the test gives it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def execute_task(self, task: Any) -> ToolResponse | Plan:
        found: ToolResponse | Plan = self.answer() if callable(self.answer) else self.answer
        return found


class AsyncCoordinator(BaseAgent):
    """Answers with a plan after a while."""

    async def execute_task(self, task: Any) -> ToolResponse | Plan:
        return STEPS


@pytest.mark.parametrize(
    "agent",
    [
        Coordinator(STEPS),
        Coordinator(ToolResponse.planned(STEPS)),
        Coordinator(ToolResponse.planned(DATA, "two steps")),
        AsyncCoordinator(),
    ],
)
def test_a_plan_is_an_answer(agent: BaseAgent) -> None:
    """A plan, returned as it is or in a response, settles the task as planned, in the plan's one textual form."""
    trial = Trial()
    outcome = run_task(agent, trial=trial)
    (settled,) = trial.events("task.*")[1:]
    assert (settled.type, outcome.outcome) == ("task.planned", "planned")
    steps = settled.data["plan"]["steps"]
    assert [(step["agent"], step.get("input")) for step in steps] == [("a", {"n": 1}), ("b", None)]


def test_a_plan_is_no_success() -> None:
    """Nothing is done yet when a task answers with a plan, and its response doesn't claim it."""
    assert ToolResponse.planned(STEPS).success is False
    with pytest.raises(ValueError, match="contradicts"):
        ToolResponse(True, outcome="planned")


def test_a_wrong_plan_fails_where_it_is_made() -> None:
    """A plan that can't work is refused in the agent, with the place, and makes its task failed."""
    with pytest.raises(PlanInvalid) as caught:
        ToolResponse.planned({"pattern": "pipeline", "steps": []})
    assert caught.value.place == "steps"
    for wrong in (lambda: ToolResponse.planned({"pattern": "nonsense"}), Pipeline([Task("no queue")])):
        outcome = run_task(Coordinator(wrong))
        assert (outcome.outcome, outcome.reason) == ("failed", "plan_invalid")


def test_a_plan_must_fit_into_its_event() -> None:
    """A plan with more data than an event may have is refused in words: deciders read no blobs."""
    outcome = run_task(Coordinator(Task("a", "x" * 2_000_000)))
    assert (outcome.outcome, outcome.reason) == ("failed", "invalid_response")
    assert "2000" in str(outcome.message)
