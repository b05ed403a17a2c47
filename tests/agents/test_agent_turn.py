"""One task from request to outcome, in process: outcomes, typed input, handlers of every shape."""

from __future__ import annotations

import asyncio
import functools
import random
import sys
from typing import Any

import msgspec
import pytest

from twelvefold.agents.base import BaseAgent, queue_name
from twelvefold.agents.context import TaskContext
from twelvefold.agents.errors import InvalidTask, InvalidTool, UnknownTool
from twelvefold.agents.response import Evidence, ToolResponse
from twelvefold.agents.tool import Tool, tool
from twelvefold.agents.trial import Trial, run_task


class Echo(BaseAgent):
    def register_tools(self) -> list[Tool]:
        return []

    async def execute_task(self, task: str, context: TaskContext) -> ToolResponse:
        return ToolResponse(success=True, data=task, evidence=[Evidence("value", task)])


class Answering(BaseAgent):
    """Answers whatever the test gives it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def execute_task(self, task: Any) -> ToolResponse:
        return self.answer() if callable(self.answer) else self.answer


def test_the_agent_of_the_documentation_succeeds_with_its_value_as_evidence() -> None:
    """The Echo of the public face works as printed: async, a context, a value proved by its hash."""
    trial = Trial()
    outcome = run_task(Echo(), "a", trial=trial)
    assert (outcome.outcome, outcome.value) == ("succeeded", "a")
    (settled,) = trial.events("task.succeeded")
    assert settled.data["evidence"][0]["kind"] == "value"
    assert settled.data["evidence"][0]["ref"].startswith("sha256:")
    assert settled.stream.startswith("task.")
    assert settled.cause == trial.events("task.requested")[0].id


@pytest.mark.parametrize(
    ("response", "type", "reason"),
    [
        (ToolResponse.nothing_to_do("already_so"), "task.nothing_to_do", "already_so"),
        (ToolResponse.failed("too_hot", "it melted"), "task.failed", "too_hot"),
        (ToolResponse(success=False, error="old style"), "task.failed", "agent"),
        (ToolResponse.needs_human("unsure", "Which one?"), "task.needs_human", "unsure"),
    ],
)
def test_every_outcome_is_settled_by_its_own_event(response: ToolResponse, type: str, reason: str) -> None:
    """An answer becomes exactly the event of its outcome, with its reason."""
    trial = Trial()
    run_task(Answering(response), trial=trial)
    (settled,) = trial.events("task.*")[1:]
    assert settled.type == type
    assert settled.data["reason"] == reason


def test_success_and_outcome_cannot_contradict_each_other() -> None:
    """A response that says both success and needs_human can't be made, nor one that says neither."""
    with pytest.raises(ValueError, match="contradicts"):
        ToolResponse(success=True, outcome="needs_human")
    with pytest.raises(TypeError, match="success"):
        ToolResponse()  # type: ignore[call-arg]


@pytest.mark.parametrize("answer", [None, {"success": True}, "done", object])
def test_what_is_no_response_is_a_failure(answer: Any) -> None:
    """An agent that returns anything but a ToolResponse failed; nothing counts as success by default."""
    outcome = run_task(Answering(answer))
    assert (outcome.outcome, outcome.reason) == ("failed", "invalid_response")


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("data", [object(), "\udcff", nested(250), nested(100_000)])
def test_data_that_cannot_be_recorded_is_a_failure(data: Any) -> None:
    """A result that can't be recorded isn't claimed as one: foreign objects, broken text, bottomless nesting."""
    for response in (ToolResponse(True, data=data), ToolResponse(True, evidence=[Evidence("value", data)])):
        outcome = run_task(Answering(response))
        assert (outcome.outcome, outcome.reason) == ("failed", "invalid_response")


def test_errors_about_unreadable_names_are_still_recorded() -> None:
    """A message with a file name that isn't UTF-8 is escaped, not lost."""

    def broken() -> None:
        raise FileNotFoundError("/tmp/\udcff")

    trial = Trial()
    run_task(Answering(broken), trial=trial)
    assert "udcff" in trial.events("task.failed")[0].data["error"]["message"]


def test_an_exception_becomes_a_failure_that_points_to_the_line(capfd: pytest.CaptureFixture[str]) -> None:
    """An unhandled exception is recorded with class, message and place; sys.exit is no way out either."""

    def broken() -> None:
        raise KeyError("missing thing")

    outcome = run_task(Answering(broken))
    assert (outcome.outcome, outcome.reason) == ("failed", "exception")
    assert outcome.error is not None
    assert outcome.error["class"] == "KeyError"
    assert "missing thing" in outcome.error["message"]
    assert "test_agent_turn.py" in outcome.error["at"]
    assert any("execute_task" in frame for frame in outcome.error["frames"])
    exited = run_task(Answering(lambda: sys.exit(0)))
    assert (exited.outcome, exited.error["class"] if exited.error else "") == ("failed", "SystemExit")


class Panic(BaseException):
    """As an extension in Rust raises it: no Exception."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, Panic])
def test_what_is_no_exception_of_the_usual_kind_fails_the_task_too(error: type[BaseException]) -> None:
    """Cancelling, a panic, a message that cannot be made: the task has failed, and the process takes the next one."""

    def broken() -> None:
        raise error

    class Waiting(BaseAgent):
        async def execute_task(self, task: Any) -> ToolResponse:
            raise error

    for agent in (Answering(broken), Waiting()):
        outcome = run_task(agent)
        assert (outcome.outcome, outcome.reason) == ("failed", "exception")
        assert (outcome.error or {})["class"] == error.__name__


class Order(msgspec.Struct):
    item: str
    count: int


class Shop(BaseAgent):
    def execute_task(self, task: Order, context: TaskContext) -> ToolResponse:
        return ToolResponse.succeeded(f"{task.count} {task.item}")


def test_a_typed_task_is_checked_and_converted() -> None:
    """A handler that declares a type gets it, and input that doesn't fit fails with the place that is wrong."""
    assert run_task(Shop(), {"item": "nut", "count": 3}).value == "3 nut"
    outcome = run_task(Shop(), {"item": "nut", "count": "many"})
    assert outcome.reason == "invalid_task"
    assert "$.count" in (outcome.message or "")
    assert outcome.error is not None
    assert outcome.error["code"] == InvalidTask.code


class Unknown:
    pass


class Legacy(BaseAgent):
    def execute_task(self, task: Unknown) -> ToolResponse:
        return ToolResponse(True, data=str(task))


def test_a_type_that_cannot_be_checked_is_passed_as_it_is() -> None:
    """Older agents that annotate their own classes run unchanged."""
    assert run_task(Legacy(), "x").value == "x"


class Optional(BaseAgent):
    def execute_task(self, task: str, style: str = "plain") -> ToolResponse:
        return ToolResponse.succeeded([task, style])


class KeywordOnly(BaseAgent):
    def execute_task(self, task: str, *, context: TaskContext) -> ToolResponse:
        return ToolResponse.succeeded([task, context.path])


class OtherName(BaseAgent):
    def execute_task(self, task, ctx):  # type: ignore[no-untyped-def]
        return ToolResponse.succeeded([task, ctx.path])


def logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Decorated(BaseAgent):
    @logged
    def execute_task(self, task: str, context: TaskContext) -> ToolResponse:
        return ToolResponse.succeeded([task, context.path])


@pytest.mark.parametrize(
    ("agent", "value"),
    [(Optional, ["a", "plain"]), (KeywordOnly, ["a", "0"]), (OtherName, ["a", "0"]), (Decorated, ["a", "0"])],
)
def test_the_context_is_passed_to_handlers_that_take_it(agent: type[BaseAgent], value: list[str]) -> None:
    """By keyword, by position or through a decorator; never into an optional parameter that means something else."""
    assert run_task(agent(), "a").value == value


class Dice(BaseAgent):
    def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        roll = context.record("roll", lambda: random.randrange(10**12))
        if task == "die":
            raise KeyboardInterrupt
        return ToolResponse.succeeded(roll)


def test_recorded_values_come_out_the_same_on_redelivery() -> None:
    """A random choice that was recorded is the same for the instance that takes over."""
    trial = Trial()
    request = trial.request(Dice(), "die")
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(Dice(), request)
    (recorded,) = trial.events("effect.completed")
    again = msgspec.structs.replace(request, input="live")
    assert trial.deliver(Dice(), again, delivery=2).value == recorded.data["result"]


class Staged(BaseAgent):
    workflow_stages = ("read", "write")

    def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        assert self.progress == 0.0
        self.current_stage = "read"
        self.progress = 0.5
        self.current_stage = "write"
        self.progress = 2
        self.telemetry.increment_counter("tasks")
        with pytest.raises(ValueError, match="publish"):
            self.current_stage = "publish"
        return ToolResponse.succeeded(self.progress)


def test_progress_and_stage_are_reported_and_start_anew() -> None:
    """Setting progress and current_stage is enough to report them; each task starts at nothing."""
    agent, trial = Staged(), Trial()
    assert run_task(agent, trial=trial).value == 1.0
    assert run_task(agent).value == 1.0
    reports = [event.data for event in trial.events("task.progressed")]
    assert reports[-1] == {"progress": 1.0, "stage": "write"}
    assert {"progress": 0.0, "stage": "read"} in reports
    assert agent.telemetry.snapshot()["counters"] == {"tasks": 2}


def test_a_handler_that_swallows_withdrawal_still_fails() -> None:
    """Once withdrawn a task can't succeed, and its effects raise."""

    class Stubborn(BaseAgent):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
            context.ledger.withdrawn.set()
            assert context.cancelled
            try:
                context.record("x", 1)
            except Exception as error:  # noqa: BLE001 - the swallowing is what is tested
                context.log.info("swallowed %s", error)
            return ToolResponse.succeeded("ha")

    outcome = run_task(Stubborn())
    assert (outcome.outcome, outcome.reason) == ("failed", "task_withdrawn")


class Telling(BaseAgent):
    def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        context.emit("workspace.created", {"folder": "x"})
        context.emit("diary.written", 5)
        for type in ("task.succeeded", "effect.completed"):
            with pytest.raises(ValueError, match="runtime"):
                context.emit(type)
        return ToolResponse.succeeded(context.places.workspaces.name)


def test_facts_about_a_task_go_where_they_belong() -> None:
    """Workspace facts stand in the task's stream, an agent's own in theirs, and an outcome can't be forged."""
    trial = Trial()
    outcome = run_task(Telling(), trial=trial)
    assert outcome.value == "workspaces"
    (created,), (written,) = trial.events("workspace.*"), trial.events("diary.*")
    request = trial.events("task.requested")[0]
    assert (created.stream, written.stream) == (f"task.{request.run}.0", "diary")
    assert created.cause == written.cause == request.id
    assert created.run == written.run == request.run
    assert len(trial.events("task.succeeded")) == 1


class Maths(BaseAgent):
    @tool(effect="read")
    def add(self, a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b

    @tool(name="slow_add", effect="idempotent")
    async def later(self, a: int, b: int) -> ToolResponse:
        """Add two numbers, later."""
        await asyncio.sleep(0)
        return ToolResponse.succeeded(a + b)

    def execute_task(self, task: dict[str, Any]) -> ToolResponse:
        response = self._apply_action(task)
        assert isinstance(response, ToolResponse)
        return response


def test_decorated_methods_are_tools_with_schema_and_checked_parameters() -> None:
    """A method with types is a tool: schema for a model, parameters checked, still callable plainly."""
    agent = Maths()
    assert [one.name for one in agent.tools] == ["add", "slow_add"]
    add = agent.tool("add")
    assert add.description == "Add two numbers."
    assert add.schema()["properties"] == {"a": {"type": "integer"}, "b": {"type": "integer", "default": 1}}
    assert add.schema()["required"] == ["a"]
    assert agent.add(1, 2) == 3
    assert add.validate_parameters({"a": 1})
    assert not add.validate_parameters({"a": "1"})
    assert not add.validate_parameters({"a": 1, "c": 2})
    with pytest.raises(UnknownTool):
        agent.tool("subtract")


@pytest.mark.parametrize(
    ("action", "value", "error"),
    [
        ({"tool": "add", "parameters": {"a": 1, "b": 2}}, 3, None),
        ({"action": "slow_add", "parameters": {"a": 1, "b": 2}}, 3, None),
        ({"tool": "add", "parameters": {"a": "x"}}, None, "Expected `int`"),
        ({"tool": "add", "parameters": [1]}, None, "object"),
        ({"tool": "nope"}, None, "add, slow_add"),
        ({}, None, "no tool named"),
    ],
)
def test_an_action_runs_the_tool_it_names_or_says_why_not(
    action: dict[str, Any], value: Any, error: str | None
) -> None:
    """A model's action is executed, or comes back as a failure it can learn from; never as an exception."""
    outcome = run_task(Maths(), action)
    assert outcome.value == value
    if error is None:
        assert outcome.outcome == "succeeded"
    else:
        assert outcome.outcome == "failed"
        assert error in (outcome.message or "")


def test_tools_without_types_or_with_equal_names_are_refused() -> None:
    """A tool that can't be checked, or can't be told from another, is an error before any task runs."""

    class Untyped(Maths):
        @tool
        def guess(self, what) -> int:  # type: ignore[no-untyped-def]
            return 1

    class Twice(Maths):
        def register_tools(self) -> list[Tool]:
            return [Maths().tool("add")]

    for cls in (Untyped, Twice):
        with pytest.raises(InvalidTool):
            _ = cls().tools


class Legacies(Tool):
    """An older tool: untyped, with a check of its own."""

    def validate_parameters(self, parameters: dict[str, Any]) -> bool:
        return "path" in parameters

    def execute(self, parameters: dict[str, Any]) -> ToolResponse:
        return ToolResponse(success=True, data=parameters["path"])


def test_a_tool_subclass_keeps_its_own_check() -> None:
    """`validate_parameters` of an older tool is asked before it is executed, and `once` is assumed."""

    class Agent(BaseAgent):
        def register_tools(self) -> list[Tool]:
            return [Legacies("look", "Looks.")]

        def execute_task(self, task: Any) -> ToolResponse:
            response = self._apply_action({"tool": "look", "parameters": task})
            assert isinstance(response, ToolResponse)
            return response

    assert Agent().tool("look").effect == "once"
    assert run_task(Agent(), {"path": "x"}).value == "x"
    assert "refused" in (run_task(Agent(), {}).message or "")


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        ("IssueFixerAgent", "issue_fixer"),
        ("TestingAgent", "testing"),
        ("PRReviewAgent", "pr_review"),
        ("Echo", "echo"),
        ("Agent", "agent"),
    ],
)
def test_queue_names_follow_the_class(name: str, queue: str) -> None:
    """The queue of a class is its name in snake case, without Agent."""
    assert queue_name(type(name, (), {})) == queue
