"""The words of OpenAI-style chat completions: a request's body from messages, a reply from a body or from a stream.

Pure. Leaves the connection to `http_exchange`, what a service turns out not to know to `openai_style`. Keeps: what
isn't of the expected shape raises ValueError, and is never taken for an empty reply; usage that isn't there is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .json_text import arguments_of
from .model import Finish, Message, Reply, ToolCall, ToolSpec, Usage

_FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "eos": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filtered",
}


class ServiceError(Exception):
    """The service put an error where a reply belongs; `status` is the one it names, else 502."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


def message_body(message: Message) -> dict[str, Any]:
    """Return a message as a service takes it."""
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["content"] = message.content or None
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": msgspec.json.encode(call.arguments).decode()},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        body["tool_call_id"] = message.tool_call_id
    return body


def tool_body(tool: ToolSpec) -> dict[str, Any]:
    """Return a tool as a service takes it."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what asks a service for an answer that fits a schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema)}}


def reply_of(body: Any) -> Reply:
    """Return the reply that a whole body is; raises ValueError and ServiceError."""
    _raise_error(body)
    choice = _choice(body)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise ValueError("its choice has no message")
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise ValueError("its tool_calls are no list of calls")
    return _reply(
        _text(message.get("content")),
        [_call(call, n) for n, call in enumerate(calls)],
        choice.get("finish_reason"),
        body,
    )


class StreamedReply:
    """A reply that comes in parts: `take` each one's data, then ask for `reply`."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._finish: Any = None
        self._last: dict[str, Any] = {}
        self._usage: Any = None
        self._begun = False
        self.ended = False

    def take(self, data: str) -> None:
        """Take one event's data in; raises ValueError where it is of no such shape, ServiceError where it is one."""
        if data.strip() == "[DONE]":
            self.ended = True
            return
        try:
            part = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise ValueError(f"a part of the stream is not JSON: {error}") from None
        _raise_error(part)
        if not isinstance(part, dict):
            raise ValueError("a part of the stream is no object")
        self._last = part
        self._usage = part.get("usage") or self._usage
        if not part.get("choices"):
            return  # its usage, or nothing
        choice = _choice(part)
        self._begun = True
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta") or choice.get("message") or {}
        if not isinstance(delta, dict):
            raise ValueError("a part's delta is no object")
        self._texts.append(_text(delta.get("content")))
        calls = delta.get("tool_calls") or []
        if not isinstance(calls, list):
            raise ValueError("a part's tool_calls are no list")
        for given in calls:
            self._add(given)

    def _add(self, given: Any) -> None:
        function = (given.get("function") or {}) if isinstance(given, dict) else None
        if not isinstance(function, dict):
            raise ValueError("a part of a tool call is no object")
        index, identity = given.get("index"), given.get("id") or ""
        name, more = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(identity, str) or not isinstance(name, str) or not isinstance(more, str | dict):
            raise ValueError("a part of a tool call has fields of other types")
        call = next((one for one in self._calls if one["index"] == index), None) if index is not None else None
        # Some services send each call whole, all under one index or none.
        if call is None or (identity and call["id"] and identity != call["id"]):
            call = {"index": index, "id": "", "function": {"name": "", "arguments": ""}}
            self._calls.append(call)
        call["id"] = call["id"] or identity
        into = call["function"]
        into["name"] += name
        whole = isinstance(more, dict) or isinstance(into["arguments"], dict)
        into["arguments"] = (more or into["arguments"]) if whole else into["arguments"] + more

    @property
    def whole(self) -> bool:
        """Whether the reply came to its end: the stream says so, or why the reply ended."""
        return self._begun and (self.ended or self._finish is not None)

    def reply(self) -> Reply:
        """Return the reply; raises ValueError where it didn't come to its end."""
        if not self.whole:
            raise ValueError("the stream was cut off before the reply's end")
        calls = [_call(call, n) for n, call in enumerate(self._calls)]
        return _reply("".join(self._texts), calls, self._finish, {**self._last, "usage": self._usage})


def _choice(body: Any) -> dict[str, Any]:
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError("it has no choices")
    return choices[0]


def _text(content: Any) -> str:
    """Return a content's text: a string, or parts of which those of type text count."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        raise ValueError("its content is no text")
    return content


def _call(given: dict[str, Any], number: int) -> ToolCall:
    function = given.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise ValueError("a tool call names no function")
    arguments, problem = arguments_of(function.get("arguments"))
    identity = given.get("id")
    return ToolCall(
        identity if isinstance(identity, str) and identity else f"call_{number}", function["name"], arguments, problem
    )


def _reply(text: str, calls: list[ToolCall], finish: Any, body: dict[str, Any]) -> Reply:
    ended = _FINISHES.get(str(finish), "stop")
    if calls and ended == "stop":
        ended = "tool_calls"
    model = body.get("model")
    return Reply(text, tuple(calls), _usage(body.get("usage")), ended, model if isinstance(model, str) else "")


def _usage(given: Any) -> Usage:
    """Return what a service says that it has used; `cost`, where it says that too, is in US dollars."""
    if not isinstance(given, dict):
        return Usage()
    cost = given.get("cost")
    return Usage(
        _count(given.get("prompt_tokens", given.get("input_tokens"))),
        _count(given.get("completion_tokens", given.get("output_tokens"))),
        float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) and cost >= 0 else None,
    )


def _count(given: Any) -> int | None:
    return given if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 1 << 53 else None


def _raise_error(body: Any) -> None:
    """Raise ServiceError for a body that is an error, though its status said otherwise."""
    given = body.get("error") if isinstance(body, dict) else None
    if not given:
        return
    code = given.get("code", given.get("status")) if isinstance(given, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 502
    raise ServiceError(status, said_in(body))


def said_in(body: Any) -> str:
    """Return what an error's body says, in one line."""
    given = body.get("error", body.get("message", body.get("detail"))) if isinstance(body, dict) else body
    if isinstance(given, dict):
        given = given.get("message") or msgspec.json.encode(given).decode()
    text = given if isinstance(given, str) else msgspec.json.encode(given).decode() if given is not None else ""
    return " ".join(text.split())[:500]
