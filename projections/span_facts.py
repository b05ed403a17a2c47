"""What events say that belongs on a span, by OpenTelemetry's conventions for messaging, gen_ai, process, vcs and test.

Owns the reading of payloads and the names of attributes. Payloads may be of any shape, or forgotten: what can't be read
is left out, never guessed. Pure.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from ..eventstore.event import Event
from .span import Attributes, Kind
from .span_messages import messages_json, reply_json

SYSTEM = "twelvefold"
#: How long a text on a span may be; the log has the whole.
_TEXT_MAX = 1_000
_CONTENT_MAX = 100_000

T = TypeVar("T", bound=msgspec.Struct)
#: The outcome of a suite of tests, in the convention's words.
_SUITE = {"passed": "success", "failed": "failure", "timeout": "timed_out", "none": "skipped", "unusable": "aborted"}


class Plan(msgspec.Struct):
    """The words of a plan: what stands for which path in it."""

    pattern: str = "task"
    agent: str = ""
    name: str = ""
    steps: list[Any] = []


class Requested(msgspec.Struct):
    """What a run was asked for."""

    plan: Any = None
    labels: dict[str, Any] = {}


class Task(msgspec.Struct):
    """What a task was requested for. `input` is not decoded unless it is asked for."""

    path: str = ""
    agent: str = ""
    attempt: int = 1
    undo: bool = False
    reason: Any = None
    input: msgspec.Raw = msgspec.Raw(b"null")


class Work(msgspec.Struct):
    """What a task worked on, where it is a job of a repository."""

    repo: str | None = None
    base: str | None = None
    commit: str | None = None
    ref: str | None = None


class Effect(msgspec.Struct):
    """One effect. `result` and `parameters` are not decoded unless they are asked for."""

    key: str
    kind: str = ""
    name: str = ""
    effect: str = ""
    elapsed_s: float = 0.0
    commit: str | None = None
    error: Any = None
    usage: Any = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    parameters: msgspec.Raw = msgspec.Raw(b"null")


class Outcome(msgspec.Struct):
    """How a task or run ended."""

    reason: Any = None
    message: Any = None
    error: Any = None
    question: Any = None
    plan: Any = None


class Place(msgspec.Struct):
    """What a decision or request of a human is about."""

    path: str = ""
    reason: Any = None
    parent: str = ""
    at: int = 0
    instance: str = ""
    exit: int | None = None
    signal: int | None = None
    pid: int | None = None
    expected: bool = False


class _Reply(msgspec.Struct):
    model: str = ""
    finish: str = ""
    text: Any = ""
    tool_calls: list[Any] = []


class _Asked(msgspec.Struct):
    model: str = ""
    messages: msgspec.Raw = msgspec.Raw(b"")
    prompts: list[Any] = []


class _Execution(msgspec.Struct):
    exit_code: int | None = None
    stopped: str = ""


class _Ran(msgspec.Struct):
    command: Any = None
    commit: str = ""
    kind: str = ""
    status: str = ""
    execution: _Execution | None = None


_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def read(payload: str | bytes | msgspec.Raw | None, shape: type[T]) -> T | None:
    """Return what of a payload has a shape, None where it has another or was forgotten."""
    if payload is None:
        return None
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape)
    try:
        found: T = decoder.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found


def short(value: Any) -> str:
    """Return a text as a span may hold it; "" for anything that isn't one."""
    if not isinstance(value, str):
        return ""
    return value if len(value) <= _TEXT_MAX else value[: _TEXT_MAX - 1] + "…"


def message_of(error: Any) -> str:
    """Return the sentence of a recorded error."""
    return short(error.get("message")) if isinstance(error, dict) else short(error)


def error_type(error: Any, reason: Any = None) -> str:
    """Return what tells errors apart: the reason, our code, or the class."""
    found = error if isinstance(error, dict) else {}
    return short(reason) or short(found.get("code")) or short(found.get("class")) or "_OTHER"


def message_attributes(event: Event, operation: str, queue: str) -> Attributes:
    """Return what is said of an event that is sent to, or taken from, a queue."""
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
        "messaging.message.id": event.id.hex(),
        "messaging.message.conversation_id": event.run,
    }


def work_attributes(raw: msgspec.Raw) -> Attributes:
    """Return what the input of a task says of the repository that it is about."""
    # Most tasks are about none: that is told without decoding them.
    if b'"repo"' not in bytes(raw):
        return {}
    work = read(raw, Work)
    if work is None or not work.repo:
        return {}
    found: Attributes = {"vcs.repository.name": work.repo.rstrip("/").rpartition("/")[2], "twelvefold.repo": work.repo}
    if work.base:
        found["vcs.ref.base.revision"] = work.base
    if work.commit:
        found["vcs.ref.head.revision"] = work.commit
    if work.ref:
        found["vcs.ref.head.name"] = work.ref
    return found


def effect_name(effect: Effect) -> tuple[str, Kind]:
    """Return what the span of an effect is called, and its kind."""
    if effect.kind == "tool":
        return f"execute_tool {effect.name}", "internal"
    if effect.kind == "model":
        return f"chat {effect.name}", "client"
    return f"{effect.kind} {effect.name}".strip() or "effect", "internal"


def effect_attributes(effect: Effect, *, content: bool) -> Attributes:
    """Return what is known of an effect when it begins; with `content` also what a model or tool was given."""
    found: Attributes = {"twelvefold.effect.kind": effect.kind, "twelvefold.effect.key": effect.key}
    if effect.effect:
        found["twelvefold.effect.repeat"] = effect.effect
    if effect.kind == "tool":
        found["gen_ai.operation.name"] = "execute_tool"
        found["gen_ai.tool.name"] = effect.name
        found["gen_ai.tool.type"] = "function"
        if content:
            found["gen_ai.tool.call.arguments"] = _content(effect.parameters)
    elif effect.kind == "model":
        found["gen_ai.operation.name"] = "chat"
        found["gen_ai.provider.name"] = _provider(effect.name)
        found["gen_ai.request.model"] = effect.name
        asked = read(effect.parameters, _Asked) or _Asked()
        names = [short(one.get("name")) for one in asked.prompts if isinstance(one, dict)]
        if any(names):
            found["gen_ai.prompt.name"] = names[0]
        if content and bytes(asked.messages):
            found["gen_ai.input.messages"] = messages_json(asked.messages, _CONTENT_MAX)
    return found


def result_attributes(effect: Effect, *, content: bool) -> Attributes:
    """Return what is known of an effect once it has ended."""
    found: Attributes = {"vcs.ref.head.revision": effect.commit} if effect.commit else {}
    if effect.kind == "model":
        found |= _reply_attributes(effect, content)
    elif effect.kind == "tool" and content:
        found["gen_ai.tool.call.result"] = _content(effect.result)
    elif effect.kind == "process":
        ran = read(effect.result, _Ran)
        if ran is not None:
            if isinstance(ran.command, str) and ran.command:
                found["process.command_line"] = short(ran.command)
                found["process.executable.name"] = ran.command.split(" ", 1)[0].rpartition("/")[2]
            if ran.execution is not None and ran.execution.exit_code is not None:
                found["process.exit.code"] = ran.execution.exit_code
            if effect.name == "tests":
                found |= _suite_attributes(ran)
    return found


def _suite_attributes(ran: _Ran) -> Attributes:
    execution = ran.execution or _Execution()
    stopped = {"timeout": "timed_out", "cancelled": "aborted", "lost": "aborted"}.get(execution.stopped)
    status = _SUITE.get(ran.status) or stopped
    if status is None and execution.exit_code is not None:
        status = "success" if execution.exit_code == 0 else "failure"
    found: Attributes = {"test.suite.name": ran.kind or "tests"}
    if status:
        found["test.suite.run.status"] = status
    if ran.commit:
        found["vcs.ref.head.revision"] = ran.commit
    return found


def _reply_attributes(effect: Effect, content: bool) -> Attributes:
    found: Attributes = {}
    reply = read(effect.result, _Reply)
    if reply is not None and reply.model:
        found["gen_ai.response.model"] = reply.model
    if reply is not None and reply.finish:
        found["gen_ai.response.finish_reasons"] = [reply.finish]
    usage = effect.usage if isinstance(effect.usage, dict) else {}
    for name, said in (("tokens_in", "gen_ai.usage.input_tokens"), ("tokens_out", "gen_ai.usage.output_tokens")):
        if isinstance(usage.get(name), int):
            found[said] = usage[name]
    if isinstance(usage.get("usd"), int | float):
        found["twelvefold.usage.usd"] = float(usage["usd"])
    if content and reply is not None:
        found["gen_ai.output.messages"] = reply_json(reply.text, reply.tool_calls, reply.finish, _CONTENT_MAX)
    return found


def _provider(model: str) -> str:
    """Return who answers: the log knows a model by its name, and by the prefix of one that is no service's."""
    prefix = model.partition(":")[0]
    return prefix if prefix in ("scripted", "recorded", "llm") else "openai_compatible"


def _content(value: Any) -> str:
    text = bytes(value).decode("utf-8", "replace") if isinstance(value, msgspec.Raw) else ""
    return (text or msgspec.json.encode(value).decode())[:_CONTENT_MAX]


def plan_of(data: Any, depth: int = 0) -> Plan:
    """Return the words of a plan, however deep, without what its tasks are given; an empty one for what is none."""
    if not isinstance(data, dict) or depth > 50:
        return Plan()
    nested: list[Any] = next(
        (value for value in data.values() if isinstance(value, list) and value and all(map(_is_plan, value))), []
    )
    steps: list[Any] = [plan_of(one, depth + 1) for one in nested]
    return Plan(short(data.get("pattern")) or "task", short(data.get("agent")), short(data.get("name")), steps)


def _is_plan(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("pattern"), str)


def in_plan(plan: Plan | None, steps: list[str]) -> Plan | None:
    """Return the plan at a place in another, by the numbers that lead there; None where that isn't told."""
    for step in steps:
        if plan is None or not step.isdigit() or int(step) >= len(plan.steps):
            return None
        plan = plan.steps[int(step)]
    return plan
