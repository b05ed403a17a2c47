"""What a model was told and has answered, as spans hold it: the messages of OpenTelemetry's conventions, in JSON. Pure.

Owns their shape (a role and parts). Keeps: the JSON stays whole where the bound is passed; then long texts are cut.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: How a model came to its end, in the convention's words where they aren't ours.
_FINISH = {"tool_calls": "tool_call", "filtered": "content_filter"}
#: How long a text may be, tried one after the other; and how many messages stay where that was of no use.
_TEXT_MAX, _KEPT = (50_000, 10_000, 1_000, 100), 100


class _Message(msgspec.Struct):
    role: str = ""
    content: Any = ""
    tool_calls: list[Any] = []
    tool_call_id: str = ""


def messages_json(recorded: msgspec.Raw, length_max: int) -> str:
    """Return the messages of a recorded call; what can't be read is left out."""
    found: list[dict[str, Any]] = []
    for one in _each(recorded):
        if one.role == "tool":
            answer = {"type": "tool_call_response", "id": one.tool_call_id or None, "response": one.content}
            found.append({"role": "tool", "parts": [answer]})
        else:
            found.append({"role": one.role, "parts": _parts(one.content, one.tool_calls)})
    return _bounded(found, length_max)


def reply_json(text: Any, calls: list[Any], finish: str, length_max: int) -> str:
    """Return a model's reply as the one message that it is."""
    message = {"role": "assistant", "parts": _parts(text, calls), "finish_reason": _FINISH.get(finish, finish)}
    return _bounded([message], length_max)


def _each(recorded: msgspec.Raw) -> list[_Message]:
    found = []
    try:
        for raw in msgspec.json.decode(recorded, type=list[msgspec.Raw]):
            found.append(msgspec.json.decode(raw, type=_Message))
    except (msgspec.DecodeError, RecursionError):
        # Nobody can say how the talk went on.
        return found
    return found


def _parts(text: Any, calls: list[Any]) -> list[dict[str, Any]]:
    spoken = [{"type": "text", "content": text}] if text else []
    return [*spoken, *({"type": "tool_call", **one} for one in calls if isinstance(one, dict))]


def _bounded(messages: list[dict[str, Any]], length_max: int) -> str:
    text = msgspec.json.encode(messages).decode()
    for most in _TEXT_MAX:
        if len(text) <= length_max:
            return text
        text = msgspec.json.encode([_cut(one, most) for one in messages]).decode()
    if len(text) <= length_max:
        return text
    return msgspec.json.encode([_cut(one, _TEXT_MAX[-1]) for one in messages[-_KEPT:]]).decode()


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= most else value[: most - 1] + "…"
    if isinstance(value, dict):
        return {name: _cut(one, most) for name, one in value.items()}
    return [_cut(one, most) for one in value] if isinstance(value, list) else value
