"""The adapter of OpenAI-style services, against a local one that misbehaves in every way that is known."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

import twelvefold as tf
from twelvefold.agents.models.errors import (
    ModelNotUsable,
    ModelRefused,
    ModelReplyUnreadable,
    ModelTimeout,
    ModelUnreachable,
)
from twelvefold.agents.models.model import Message, ToolCall, ToolSpec, Usage
from twelvefold.agents.models.openai_style import OpenAIStyleModel, endpoints_of
from twelvefold.agents.models.retrying import asked_wait_s

KEY = "sk-very-secret-1234"
ASKED = [Message("system", "Be brief."), Message("user", "Hello?")]
TOOL = ToolSpec("read_file", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def model(service: Any, **more: Any) -> OpenAIStyleModel:
    """The service's model, which doesn't wait long between attempts."""
    return OpenAIStyleModel(service.url, "tiny", **{"key": KEY, "timeout_s": 120.0, "wait_first_s": 0.01, **more})


def test_a_whole_body_is_a_reply_with_its_usage(service: Any, behave: Any) -> None:
    """Text, usage and the service's own name for the model come back; the key goes into the header."""
    reply = model(service).complete(ASKED)
    assert (reply.text, reply.usage, reply.finish, reply.model) == ("hello", Usage(7, 3, None), "stop", "served")
    assert service.paths == ["/v1/chat/completions"]
    assert service.headers[0]["authorization"] == f"Bearer {KEY}"
    assert service.asked[0]["model"] == "tiny"
    assert service.asked[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello?"},
    ]


def test_a_stream_is_put_together(service: Any, behave: Any) -> None:
    """Parts of the text make one reply; usage comes in a part of its own; comments and blank data are no parts."""
    usage = {"model": "served", "choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}
    parts = [behave.part({"role": "assistant", "content": "hel"}), behave.part({"content": "lo"}, "stop"), usage]
    service.will(behave.stream(*parts))
    reply = model(service).complete(ASKED)
    assert (reply.text, reply.usage) == ("hello", Usage(2, 1, None))
    assert service.asked[0]["stream"] is True
    assert service.asked[0]["stream_options"] == {"include_usage": True}


def test_a_stream_may_end_without_its_mark(service: Any, behave: Any) -> None:
    """Where the reply said why it ended, it is whole, also without `[DONE]`."""
    service.will(behave.stream(behave.part({"content": "all"}, "stop"), done=False))
    assert model(service).complete(ASKED).text == "all"
    assert len(service.asked) == 1


def test_a_stream_that_is_not_marked_as_one_is_read(service: Any, behave: Any) -> None:
    """Some services send events without saying so in the content type."""
    data = f"data: {json.dumps(behave.part({'content': 'hi'}, 'stop'))}\n\ndata: [DONE]\n\n"
    service.will(behave.raw(200, data, "text/plain"))
    assert model(service).complete(ASKED).text == "hi"


def test_tool_calls_come_back_typed(service: Any, behave: Any) -> None:
    """A call's arguments are its object, whether a service sends them as text or as the object, with an id or none."""
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a"}'}},
        {"type": "function", "function": {"name": "read_file", "arguments": {"path": "b"}}},
        {"id": "c3", "type": "function", "function": {"name": "read_file", "arguments": '{"path": '}},
    ]
    service.will(behave.text(None, tool_calls=calls))
    reply = model(service).complete(ASKED, [TOOL])
    assert reply.finish == "tool_calls"
    assert reply.tool_calls[:2] == (
        ToolCall("c1", "read_file", {"path": "a"}),
        ToolCall("call_1", "read_file", {"path": "b"}),
    )
    assert reply.tool_calls[2].arguments == {}
    assert "not JSON" in reply.tool_calls[2].problem
    assert service.asked[0]["tools"][0]["function"]["parameters"] == TOOL.parameters


def test_streamed_tool_calls_are_put_together(service: Any, behave: Any) -> None:
    """A call's parts belong together by their index; whole calls under one index are calls of their own."""

    def call(index: int, **more: Any) -> dict[str, Any]:
        return behave.part({"tool_calls": [{"index": index, **more}]})

    service.will(
        behave.stream(
            call(0, id="a", function={"name": "read_file", "arguments": '{"pa'}),
            call(0, function={"arguments": 'th": "x"}'}),
            call(1, id="b", function={"name": "read_file", "arguments": '{"path": "y"}'}),
            call(1, id="c", function={"name": "read_file", "arguments": '{"path": "z"}'}),
            behave.part({}, "tool_calls"),
        )
    )
    reply = model(service).complete(ASKED, [TOOL])
    assert [(call.id, call.arguments) for call in reply.tool_calls] == [
        ("a", {"path": "x"}),
        ("b", {"path": "y"}),
        ("c", {"path": "z"}),
    ]


def test_a_conversation_with_tool_results_is_sent_back_as_services_take_it(service: Any) -> None:
    """The assistant's calls carry their ids, and each result names the call that it answers."""
    said = [
        *ASKED,
        Message("assistant", "", (ToolCall("c1", "read_file", {"path": "a"}),)),
        Message("tool", "text of a", tool_call_id="c1"),
    ]
    model(service).complete(said, [TOOL])
    sent = service.asked[0]["messages"]
    assert sent[2]["content"] is None
    assert sent[2]["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": "read_file", "arguments": '{"path":"a"}'},
    }
    assert sent[3] == {"role": "tool", "content": "text of a", "tool_call_id": "c1"}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
def test_passing_refusals_are_tried_again(service: Any, behave: Any, status: int) -> None:
    """A busy or broken service gets another chance."""
    service.will(behave.refusing(status, "try later"), behave.refusing(status, "try later"), behave.text("at last"))
    assert model(service).complete(ASKED).text == "at last"
    assert len(service.asked) == 3


def test_a_service_that_stays_broken_ends_in_an_error(service: Any, behave: Any) -> None:
    """After the last attempt the error says what the service said, and how often it was asked."""
    service.will(behave.refusing(500, "out of\nmemory"))
    with pytest.raises(ModelRefused) as caught:
        model(service).complete(ASKED)
    assert (caught.value.status, caught.value.said, caught.value.attempts) == (500, "out of memory", 5)
    assert len(service.asked) == 5


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_lasting_refusals_are_not_tried_again(service: Any, behave: Any, status: int) -> None:
    """A wrong key or model name doesn't come right by asking again, beyond leaving out what may be unknown."""
    service.will(behave.refusing(status, "no"))
    with pytest.raises(ModelRefused) as caught:
        model(service).complete(ASKED)
    assert caught.value.status == status
    assert len(service.asked) <= 2


def test_a_used_up_quota_is_not_waited_for(service: Any, behave: Any) -> None:
    """429 with `insufficient_quota` means money, not time."""
    service.will(behave.raw(429, json.dumps({"error": {"code": "insufficient_quota"}})))
    with pytest.raises(ModelRefused):
        model(service).complete(ASKED)
    assert len(service.asked) == 1


def test_what_the_service_asks_to_wait_for_is_waited_for(service: Any, behave: Any) -> None:
    """Retry-After counts, not our own idea: it is longer here than the first wait would be."""
    service.will(behave.refusing(429, "slow down", Retry_After="1"), behave.text("now"))
    begun = time.monotonic()
    assert model(service).complete(ASKED).text == "now"
    assert time.monotonic() - begun >= 1


def test_a_wait_beyond_the_calls_time_is_not_begun(service: Any, behave: Any) -> None:
    """An hour's Retry-After in a call of a few seconds ends it at once, with the refusal as the reason."""
    service.will(behave.refusing(429, "quota per hour", Retry_After="3600"))
    with pytest.raises(ModelRefused) as caught:
        model(service, timeout_s=5).complete(ASKED)
    assert caught.value.status == 429
    assert len(service.asked) == 1


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    """A date counts by the service's own clock where it tells it; what can't be read isn't an answer."""
    now = 1_700_000_000.0
    later = formatdate(now + 90, usegmt=True)
    assert asked_wait_s({"retry-after": "7"}, now) == 7
    assert asked_wait_s({"retry-after": later}, now) == 90
    assert asked_wait_s({"retry-after": later, "date": formatdate(now + 60, usegmt=True)}, now) == 30
    assert asked_wait_s({"retry-after": formatdate(now - 90, usegmt=True)}, now) == 0
    assert asked_wait_s({"retry-after-ms": "1500"}, now) == 1.5
    assert [asked_wait_s({"retry-after": text}, now) for text in ("soon", "-5", "nan", "")] == [None] * 4


@pytest.mark.parametrize(
    "content",
    [
        b"<html>Bad gateway</html>",
        b"",
        b"\xff\xfe\x00",
        b'{"choices": [{"message": {"content": "cut',
        b'{"choices": []}',
        b'{"other": "shape"}',
        b'{"choices": [{"message": {"content": {"no": "text"}}}]}',
        b'{"choices": [{"message": "no"}]}',
        b'{"choices": [{"message": {"content": null, "tool_calls": [{"function": {}}]}}]}',
        b"[1, 2]",
        b"[" * 100_000,
    ],
)
def test_garbage_is_no_reply(service: Any, behave: Any, content: bytes) -> None:
    """What isn't a reply is tried again, and then an error of its own; never an empty reply."""
    service.will(behave.raw(200, content), behave.text("fine"))
    assert model(service).complete(ASKED).text == "fine"
    service.will(behave.raw(200, content))
    with pytest.raises(ModelReplyUnreadable) as caught:
        model(service).complete(ASKED)
    assert caught.value.attempts == 5


def test_a_cut_stream_is_no_reply(service: Any, behave: Any) -> None:
    """A stream that breaks, or ends in its midst, is asked for again, and its part is not taken for the whole."""
    half = behave.part({"content": "half of"})
    service.will(behave.stream(half, cut=True), behave.stream(half, done=False), behave.text("the whole"))
    assert model(service).complete(ASKED).text == "the whole"
    assert len(service.asked) == 3
    service.will(behave.stream(half, cut=True))
    with pytest.raises((ModelUnreachable, ModelReplyUnreadable)):
        model(service).complete(ASKED)


def test_a_cut_body_is_no_reply(service: Any, behave: Any) -> None:
    """A body shorter than was announced is asked for again."""

    def cut(handler: Any, asked: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"choices": [')
        handler.cut()

    service.will(cut, behave.text("whole"))
    assert model(service).complete(ASKED).text == "whole"


def test_garbage_in_a_stream_is_no_reply(service: Any, behave: Any) -> None:
    """A part that isn't JSON makes the whole stream unreadable."""
    service.will(behave.stream("{not json"), behave.stream("[1]"), behave.text("fine"))
    assert model(service).complete(ASKED).text == "fine"


def test_an_error_in_place_of_a_reply_is_one(service: Any, behave: Any) -> None:
    """An error that comes with status 200, in a body or a stream, counts as the status that it names."""
    service.will(behave.raw(200, json.dumps({"error": {"message": "overloaded", "code": 503}})), behave.text("ok"))
    assert model(service).complete(ASKED).text == "ok"
    service.will(behave.stream({"error": {"message": "bad key", "code": 401}}))
    with pytest.raises(ModelRefused) as caught:
        model(service).complete(ASKED)
    assert (caught.value.status, caught.value.said) == (401, "bad key")


@pytest.mark.parametrize("how", ["silent", "dripping headers", "dripping stream"])
def test_a_slow_service_has_its_time_and_no_more(service: Any, behave: Any, how: str) -> None:
    """A call ends when its time is over, however the service spends it."""

    def slow(handler: Any, asked: Any) -> None:
        if how == "dripping stream":
            handler.begin_stream()
        while not service.over.wait(0.02):
            if how == "dripping headers":
                handler.wfile.write(b"X")
                handler.wfile.flush()
            elif how == "dripping stream":
                handler.chunk(": still here\n\n")

    service.will(slow)
    begun = time.monotonic()
    with pytest.raises(ModelTimeout) as caught:
        model(service, timeout_s=0.5).complete(ASKED)
    # What it does would go on until the test's own end.
    assert time.monotonic() - begun >= 0.5
    assert "0.5 s" in caught.value.message()


def test_an_endless_body_is_given_up(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is longer than any reply isn't held in memory."""
    from twelvefold.agents.models import http_exchange

    monkeypatch.setattr(http_exchange, "BODY_BYTES_MAX", 1 << 16)

    def endless(handler: Any, asked: Any) -> None:
        handler.begin_stream()
        while True:
            handler.chunk("data: " + "x" * 10_000)

    service.will(endless)
    with pytest.raises(ModelReplyUnreadable):
        model(service).complete(ASKED)


def test_nobody_there_is_told_with_the_address() -> None:
    """A refused connection names the URL, without user and password."""
    silent = OpenAIStyleModel("http://me:pass-word@127.0.0.1:9/v1", "tiny", timeout_s=120, wait_first_s=0.01)
    with pytest.raises(ModelUnreachable) as caught:
        silent.complete(ASKED)
    assert "http://127.0.0.1:9/v1/chat/completions" in caught.value.message()
    assert "pass-word" not in caught.value.message()
    assert caught.value.attempts == 5


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_key_follows_no_redirect_to_another_host(service: Any, behave: Any, status: int) -> None:
    """A service that sends the request elsewhere gets an error in answer, and elsewhere hears nothing."""
    elsewhere = type(service)()
    try:
        target = elsewhere.url.replace("127.0.0.1", "localhost")
        service.will(behave.raw(status, "", Location=f"{target}/chat/completions"))
        with pytest.raises(ModelRefused) as caught:
            model(service).complete(ASKED)
        assert "TWELVEFOLD_MODEL_URL" in caught.value.said
        assert elsewhere.asked == []
    finally:
        elsewhere.close()


def test_a_redirect_within_the_service_is_followed(service: Any, behave: Any) -> None:
    """307 to another path of the same host and port is the same service."""
    service.will(behave.raw(307, "", Location="/v2/chat/completions"), behave.text("there"))
    assert model(service).complete(ASKED).text == "there"
    assert service.paths == ["/v1/chat/completions", "/v2/chat/completions"]


def test_no_proxy_sees_the_key_in_plain(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain HTTP goes straight to its host, whatever proxy the environment names."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert model(service).complete(ASKED).text == "hello"


def test_the_key_is_in_no_error_and_no_reply(service: Any, behave: Any) -> None:
    """A service that repeats the key, in an error or a reply, doesn't get it into our records."""
    service.will(behave.refusing(401, f"wrong key {KEY}"))
    with pytest.raises(ModelRefused) as caught:
        model(service).complete(ASKED)
    assert KEY not in caught.value.message() + repr(caught.value.facts())
    assert "********" in caught.value.said
    calls = [{"id": "1", "function": {"name": "read_file", "arguments": json.dumps({"path": KEY})}}]
    service.will(behave.text(f"your key is {KEY}", tool_calls=calls))
    assert KEY not in repr(model(service).complete(ASKED, [TOOL]))


def test_a_key_that_no_header_can_hold_is_refused(service: Any) -> None:
    """A key with a line break in its midst isn't sent, and not shown either."""
    with pytest.raises(ModelNotUsable) as caught:
        model(service, key="sk-1\nX-Other: 2")
    assert "sk-1" not in caught.value.message()


def test_a_schema_is_asked_for_in_steps(service: Any, behave: Any) -> None:
    """A service that knows no JSON schema is asked for JSON, then in words only; it is asked so from then on."""
    schemaless = behave.refusing(400, "response_format.type must be text")
    service.will(schemaless, schemaless, behave.text('{"a": 1}'))
    asking = model(service)
    assert asking.complete(ASKED, (), SCHEMA).text == '{"a": 1}'
    formats = [one.get("response_format", {}).get("type") for one in service.asked]
    assert formats == ["json_schema", "json_object", None]
    assert json.dumps(SCHEMA, separators=(",", ":")) in service.asked[2]["messages"][0]["content"]
    asking.complete(ASKED, (), SCHEMA)
    assert len(service.asked) == 4
    assert "response_format" not in service.asked[3]


def test_what_a_service_does_not_know_is_left_out(service: Any, behave: Any) -> None:
    """Stream options and streams are given up where a service refuses them by name."""
    service.will(
        behave.refusing(422, "stream_options: extra fields not permitted"),
        behave.refusing(400, "streaming is not supported"),
        behave.text("plain"),
    )
    assert model(service).complete(ASKED).text == "plain"
    assert [(one["stream"], "stream_options" in one) for one in service.asked] == [
        (True, True),
        (True, False),
        (False, False),
    ]


def test_tools_are_offered_in_words_where_a_service_knows_none(service: Any, behave: Any) -> None:
    """`does not support tools` isn't the end: the model is told of them, and calls them in its text."""
    service.will(
        behave.refusing(400, "registry.ollama.ai/tiny does not support tools"),
        behave.text('```json\n{"tool": "read_file", "parameters": {"path": "a.py"}}\n```'),
    )
    said = [
        *ASKED,
        Message("assistant", "", (ToolCall("c", "read_file", {"path": "b"}),)),
        Message("tool", "b!", (), "c"),
    ]
    reply = model(service).complete(said, [TOOL])
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("read_file", {"path": "a.py"})]
    assert reply.finish == "tool_calls"
    sent = service.asked[1]
    assert "tools" not in sent
    assert "read_file" in sent["messages"][0]["content"]
    assert {message["role"] for message in sent["messages"]} == {"system", "user", "assistant"}


def test_a_failure_is_not_taken_for_not_knowing(service: Any, behave: Any) -> None:
    """A service that breaks in its own functions still gets the tools in the next attempt; one that says so doesn't."""
    service.will(behave.refusing(500, "panic in function decode_stream"), behave.text("well"))
    assert model(service).complete(ASKED, [TOOL]).text == "well"
    assert ["tools" in one for one in service.asked] == [True, True]
    service.will(behave.refusing(500, "tools param requires --jinja flag"), behave.text("well"))
    assert model(service).complete(ASKED, [TOOL]).text == "well"
    assert ["tools" in one for one in service.asked[2:]] == [True, False]


def test_a_request_that_is_too_long_is_told_at_once(service: Any, behave: Any) -> None:
    """Leaving out what may be unknown makes no request shorter."""
    service.will(behave.refusing(400, "This model's maximum context length is 4096 tokens"))
    with pytest.raises(ModelRefused):
        model(service).complete(ASKED, (), SCHEMA)
    assert len(service.asked) == 1


def test_prices_make_money_of_usage(service: Any, behave: Any) -> None:
    """Dollars are worked out from the prices given; without prices the service's own word counts, else nobody knows."""
    assert model(service, price_in=2.0, price_out=10.0).complete(ASKED).usage.usd == pytest.approx(44e-6)
    service.will(behave.text("x", usage=False))
    assert model(service, price_in=2.0, price_out=10.0).complete(ASKED).usage == Usage(None, None, None)
    costing = {**behave.body("x"), "usage": {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.5}}
    service.will(behave.raw(200, json.dumps(costing)))
    assert model(service).complete(ASKED).usage.usd == 0.5


def test_where_completions_are_found() -> None:
    """A base URL with its path, the whole URL, or only the host all do."""
    assert endpoints_of("http://h:1/v1/") == ["http://h:1/v1/chat/completions"]
    assert endpoints_of("https://h/v1/chat/completions?v=2") == ["https://h/v1/chat/completions?v=2"]
    assert endpoints_of("http://h") == ["http://h/v1/chat/completions", "http://h/chat/completions"]


def test_only_a_host_is_looked_through(service: Any, behave: Any) -> None:
    """Given no path, the usual one is tried first, then the bare one."""
    service.will(behave.raw(404, "404 page not found", "text/plain"), behave.text("found"))
    bare = OpenAIStyleModel(service.url.removesuffix("/v1"), "tiny", timeout_s=120)
    assert bare.complete(ASKED).text == "found"
    assert service.paths == ["/v1/chat/completions", "/chat/completions"]


def test_half_characters_reach_no_record(service: Any, behave: Any) -> None:
    """A lone surrogate, which no log can hold, makes a reply unreadable instead of breaking the task."""
    service.will(behave.raw(200, b'{"choices": [{"message": {"content": "a \\ud83d b"}}]}'), behave.text("whole"))
    assert model(service).complete(ASKED).text == "whole"


class Asker(tf.BaseAgent):
    """Asks the service's model once."""

    def __init__(self, service: Any) -> None:
        self.service = service

    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        from twelvefold.agents.models.calls import ask

        return tf.ToolResponse.succeeded(ask(context, model(self.service, timeout_s=60), [Message("user", task)]).text)


def test_a_withdrawn_task_ends_its_call(service: Any) -> None:
    """Cancelling doesn't wait for a slow model."""
    trial = tf.Trial()
    agent = Asker(service)

    def slow(handler: Any, asked: Any) -> None:
        context = agent.context
        assert context is not None
        context.ledger.withdrawn.set()
        service.over.wait(60)

    service.will(slow)
    outcome = tf.run_task(agent, "hello", trial=trial)
    assert (outcome.outcome, outcome.reason) == ("failed", "task_withdrawn")


def test_the_key_is_in_no_event(service: Any, behave: Any) -> None:
    """Neither the record of a call nor that of a failed one holds the key."""
    trial = tf.Trial()
    service.will(behave.text(f"psst: {KEY}"))
    assert tf.run_task(Asker(service), "hello", trial=trial).outcome == "succeeded"
    service.will(behave.refusing(401, f"bad key {KEY}"))
    assert tf.run_task(Asker(service), "hello", trial=trial).reason == "model_refused"
    events = trial.events()
    assert {"effect.completed", "effect.failed"} <= {event.type for event in events}
    assert not [event for event in events if KEY in event.payload]


def test_calls_work_beside_a_running_loop(service: Any) -> None:
    """An `async` handler may call a model too; several at once are several connections."""
    import asyncio

    async def both() -> list[str]:
        asking = model(service)
        plain = asking.complete(ASKED).text
        return [plain, (await asyncio.to_thread(asking.complete, ASKED)).text]

    assert asyncio.run(both()) == ["hello", "hello"]
