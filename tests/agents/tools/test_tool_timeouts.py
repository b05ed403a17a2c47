"""A tool has so long and no longer, whatever it is made of."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf
from twelvefold.agents import tool_calls
from twelvefold.agents.tool_calls import stopping
from twelvefold.agents.turn import TaskOutcome


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on a thread soon."""
    monkeypatch.setattr(tool_calls, "GRACE_S", 0.3)


@pytest.fixture
def go_on() -> Iterator[threading.Event]:
    """Lets tools that never return do so at the end."""
    event = threading.Event()
    yield event
    event.set()


class Slow(tf.BaseAgent):
    """Has tools of each kind that take longer than they may."""

    go: threading.Event

    @tf.tool(effect="read", timeout_s=0.2)
    def sleeps(self, kind: str) -> str:
        """Wait until told to stop, or for ever."""
        while not stopping():
            time.sleep(0.005)
        if kind == "raises":
            raise RuntimeError("told to stop")
        if kind == "stays":
            self.go.wait(60)
        return "late"

    @tf.tool(effect="once", timeout_s=0.2)
    def once(self) -> None:
        """Take for ever."""
        self.go.wait(60)

    @tf.tool(effect="idempotent", timeout_s=0.2)
    async def waits(self) -> None:
        """Wait without holding up anybody."""
        await asyncio.sleep(60)

    @tf.tool(timeout_s=30)
    def quick(self, fails: bool = False) -> str:
        """Answer at once."""
        if fails:
            raise ValueError("no")
        return threading.current_thread().name

    def execute_task(self, task: dict[str, Any], context: tf.TaskContext) -> tf.ToolResponse:
        """Call a tool by the way of a model."""
        answer = self._apply_action(task)
        assert isinstance(answer, tf.ToolResponse)
        return tf.ToolResponse.succeeded({"reason": answer.reason, "data": answer.data, "error": answer.error})


class SlowAsync(Slow):
    """The same, called from an `async` handler."""

    async def execute_task(self, task: dict[str, Any], context: tf.TaskContext) -> tf.ToolResponse:  # type: ignore[override]
        """Call a tool beside another one."""
        both = await asyncio.gather(
            context.call_async(task["tool"], task.get("parameters", {})),
            context.call_async("quick", {}),
            return_exceptions=True,
        )
        assert isinstance(both[1], tf.ToolResponse)
        if isinstance(both[0], tf.ToolResponse):
            return tf.ToolResponse.succeeded({"reason": None, "data": both[0].data})
        return tf.ToolResponse.succeeded({"reason": type(both[0]).__name__, "data": None})


@pytest.fixture(params=[Slow, SlowAsync])
def agent(request: pytest.FixtureRequest, go_on: threading.Event) -> Slow:
    """The agent with a plain handler, and with an `async` one."""
    made: Slow = request.param()
    made.go = go_on
    return made


def call(agent: Slow, tool: str, **parameters: Any) -> tuple[TaskOutcome, tf.Trial]:
    """Have an agent call one of its tools."""
    trial = tf.Trial()
    return tf.run_task(agent, {"tool": tool, "parameters": parameters}, trial=trial), trial


def test_a_tool_in_time_is_as_one_without_an_end(agent: Slow) -> None:
    """Its answer and its exception come through."""
    assert call(agent, "quick")[0].value["data"].startswith("tool quick")
    outcome, _ = call(agent, "quick", fails=True)
    assert outcome.value["reason"] == "EffectFailed"


def test_what_is_answered_late_is_the_answer(agent: Slow) -> None:
    """A tool that stops when it is told to has done what it says."""
    assert call(agent, "sleeps", kind="returns")[0].value["data"] == "late"


def test_a_tool_that_gives_up_has_timed_out(agent: Slow) -> None:
    """Its exception is told as the time being up."""
    outcome, trial = call(agent, "sleeps", kind="raises")
    assert outcome.value["reason"] == "ToolTimedOut"
    (failed,) = trial.events("effect.failed")
    assert (failed.data["error"]["code"], failed.data["error"]["facts"]["returned"]) == ("E460", True)


def test_a_thread_that_stays_is_given_up_and_told(agent: Slow) -> None:
    """The handler goes on, and the context knows of the thread."""
    outcome, trial = call(agent, "sleeps", kind="stays")
    assert outcome.value["reason"] == "ToolTimedOut"
    (failed,) = trial.events("effect.failed")
    assert failed.data["error"]["facts"]["returned"] is False and "still at work" in failed.data["error"]["message"]


def test_an_async_tool_is_cancelled(agent: Slow) -> None:
    """Wherever it waits."""
    outcome, trial = call(agent, "waits")
    assert outcome.value["reason"] == "ToolTimedOut"
    assert trial.events("effect.failed")[0].data["error"]["facts"]["returned"] is True


def test_what_must_not_happen_twice_is_in_doubt_when_its_time_is_up(agent: Slow) -> None:
    """Nobody can tell whether it happened, so a human is asked, now and in any later delivery."""
    trial = tf.Trial()
    request = trial.request(agent, {"tool": "once"})
    for delivery in (1, 2):
        outcome = trial.deliver(agent, request, delivery)
        assert (outcome.outcome, outcome.reason) == ("needs_human", "in_doubt")
    assert [event.type for event in trial.events("effect.*")].count("effect.in_doubt") == 1


def test_a_served_timeout_is_the_same_error(agent: Slow, go_on: threading.Event) -> None:
    """A delivery that finds it recorded meets the same class, at once."""
    trial = tf.Trial()
    request = trial.request(agent, {"tool": "sleeps", "parameters": {"kind": "raises"}})
    first = trial.deliver(agent, request)
    second = trial.deliver(agent, request, 2)
    assert first.value["reason"] == second.value["reason"] == "ToolTimedOut"
    assert len(trial.events("effect.failed")) == 1


def test_a_tool_class_has_a_time_too(tmp_path: Path) -> None:
    """By its attribute or its constructor; without, a call has no end."""

    class Wait(tf.Tool):
        effect = "read"

        def execute(self, parameters: dict[str, Any]) -> tf.ToolResponse:
            while not stopping():
                time.sleep(0.005)
            raise RuntimeError

    class Caller(tf.BaseAgent):
        def register_tools(self) -> list[tf.Tool]:
            return [Wait("wait", "Waits", timeout_s=0.1)]

        def execute_task(self, task: Any, context: tf.TaskContext) -> tf.ToolResponse:
            return context.call("wait")

    outcome = tf.run_task(Caller())
    assert (outcome.outcome, outcome.reason) == ("failed", "tool_timed_out")
    assert Wait("wait", "Waits").timeout_s is None
