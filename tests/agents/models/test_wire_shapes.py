"""Whatever a service or a model sends is a reply, or an error of ours: nothing else comes out of reading it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.agents.models.json_text import json_in, tool_calls_in
from twelvefold.agents.models.model import Reply
from twelvefold.agents.models.openai_wire import ServiceError, StreamedReply, reply_of, said_in

WORDS = st.sampled_from(
    (
        *("choices", "message", "content", "tool_calls", "function", "name", "arguments"),
        *("delta", "usage", "index", "id", "finish_reason", "error", "code"),
        *("prompt_tokens", "completion_tokens", "model", "text", "cost"),
    )
)
LEAVES = st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.floats() | st.text(max_size=20) | WORDS
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6), max_leaves=25
)


def shaped(message: Any, finish: Any, usage: Any) -> dict[str, Any]:
    """A body that looks like a reply as far as its choices."""
    return {"choices": [{"message": message, "delta": message, "finish_reason": finish}], "usage": usage}


@settings(max_examples=400, deadline=None)
@given(JSON | st.builds(shaped, JSON, JSON, JSON))
def test_any_body_is_a_reply_or_no_reply(body: Any) -> None:
    """A whole body is read, or refused by one of two errors; a reply that is read can be recorded."""
    try:
        reply = reply_of(body)
    except (ValueError, ServiceError):
        return
    assert msgspec.json.decode(msgspec.json.encode(reply), type=Reply) == reply


@settings(max_examples=300, deadline=None)
@given(st.lists(JSON | st.builds(shaped, JSON, JSON, JSON), max_size=5))
def test_any_stream_is_a_reply_or_no_reply(parts: list[Any]) -> None:
    """So is a stream, part by part."""
    found = StreamedReply()
    try:
        for part in parts:
            found.take(json.dumps(part))
        reply = found.reply()
    except (ValueError, ServiceError):
        return
    assert msgspec.json.decode(msgspec.json.encode(reply), type=Reply) == reply


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='{}[]",:`\n \\ajson0-9<think>/truefalsenull', max_size=120))
def test_any_text_holds_json_or_none(text: str) -> None:
    """A model's text holds a value that the log can hold, or a ValueError says why not; calls are known tools'."""
    with contextlib.suppress(ValueError):
        msgspec.json.encode(json_in(text))
    assert all(call.name == "think" for call in tool_calls_in(text, ["think"]))


@given(JSON)
def test_any_error_is_said_in_a_line(body: Any) -> None:
    """What an error's body says is one line of bounded length."""
    said = said_in(body)
    assert len(said) <= 500
    assert "\n" not in said
