"""What agents call is told where in the run's trace it is: commands, models, threads, and what starts no run."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import twelvefold as tf
from twelvefold.agents.guarded import Limits, run_guarded
from twelvefold.agents.models.openai_style import OpenAIStyleModel
from twelvefold.agents.tracing import current_traceparent, traced
from twelvefold.projections.traceparent import delivery_span, effect_span

CALLER = f"00-{'a' * 32}-{'b' * 16}-01"


class Calling(tf.BaseAgent):
    """Calls a model, a command and a thread of its own in effects."""

    def __init__(self, do: Any) -> None:
        super().__init__()
        self.do = do

    def execute_task(self, task: Any, context: tf.TaskContext) -> tf.ToolResponse:
        """Tell where it is, and what was seen from within."""
        seen = context.effect("process", "do", None, self.do, effect="idempotent")
        read = context.effect("tool", "read", None, current_traceparent, effect="read")
        return tf.ToolResponse(success=True, data=[context.traceparent, seen, read])


def told(do: Any, tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """What the agent says, and by type the ids of spans that events have."""
    trial = tf.Trial(tmp_path)
    outcome = tf.run_task(Calling(do), None, trial=trial)
    assert outcome.outcome == "succeeded", outcome
    ids = {}
    for event in trial.journal.log.read():
        if event.type in ("effect.intended", "effect.completed") and event.data["name"] in ("do", "read"):
            ids.setdefault(event.data["name"], effect_span(event.id))
        elif event.type == "task.requested":
            ids["task"], ids["run"] = delivery_span(event.id), event.run
    return outcome.value, ids


def test_a_command_finds_the_place_of_its_effect_in_its_environment(tmp_path: Path) -> None:
    """It is the span that the log gives that effect; what this process itself was told is not passed on."""

    def do() -> str:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        env = {**os.environ, "TRACEPARENT": CALLER, "TRACESTATE": "x=1"}
        argv = ["sh", "-c", "echo $TRACEPARENT$TRACESTATE"]
        return run_guarded(argv, folder=tmp_path, env=env, scratch=scratch, limits=Limits(timeout_s=60)).tail.strip()

    (task, seen, read), ids = told(do, tmp_path)
    assert seen == f"00-{ids['run']}-{ids['do']}-01"
    assert task == f"00-{ids['run']}-{ids['task']}-01"
    # An effect that has no intent is known by its result.
    assert read == f"00-{ids['run']}-{ids['read']}-01"


def test_threads_and_event_loops_know_it_too(tmp_path: Path) -> None:
    """What a tool's thread or coroutine calls is in the same place."""

    def do() -> list[str]:
        async def within() -> str:
            return await asyncio.to_thread(current_traceparent)

        return [asyncio.run(within()), current_traceparent()]

    (_, seen, _), ids = told(do, tmp_path)
    assert seen == [f"00-{ids['run']}-{ids['do']}-01"] * 2


def test_a_model_is_told_by_a_header(service: Any, behave: Any, tmp_path: Path) -> None:
    """Its service gets `traceparent`, within a running event loop as well."""
    service.will(behave.text("hello"), behave.text("hello"))
    model = OpenAIStyleModel(service.url, "small")
    message = tf.Message("user", "hi")

    def do() -> str:
        async def within() -> str:
            return model.complete([message]).text

        return model.complete([message]).text + asyncio.run(within())

    (_, _, _), ids = told(do, tmp_path)
    assert [headers["traceparent"] for headers in service.headers] == [f"00-{ids['run']}-{ids['do']}-01"] * 2


def test_outside_of_tasks_there_is_no_place() -> None:
    """Nothing is told then, and what was told to this process goes no further."""
    assert current_traceparent() == ""
    assert traced({"TRACEPARENT": CALLER, "PATH": "/bin"}) == {"PATH": "/bin"}
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(current_traceparent()))
    thread.start()
    thread.join()
    assert found == [""]


class Starting(tf.BaseAgent):
    """Starts another run."""

    def execute_task(self, task: Any, context: tf.TaskContext) -> tf.ToolResponse:
        """Answer with its id."""
        return tf.ToolResponse(success=True, data=[context.submit(tf.Task("echo")), context.traceparent])


def test_a_run_that_a_task_starts_belongs_to_its_trace(tmp_path: Path) -> None:
    """Its first event carries the task's place."""
    trial = tf.Trial(tmp_path)
    run, here = tf.run_task(Starting(), None, trial=trial).value
    (requested,) = (event for event in trial.journal.log.read() if event.stream == f"run.{run}")
    assert (requested.type, requested.trace) == ("run.requested", here)
