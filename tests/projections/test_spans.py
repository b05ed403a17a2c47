"""Spans from events: what opens and closes them, whose they are, and that they come out the same each time."""

from __future__ import annotations

import importlib
import json
import pkgutil
from typing import Any

import pytest
from opentelemetry.semconv import attributes
from opentelemetry.semconv._incubating import attributes as incubating

from tests.projections.told import BEGIN, MS, Told
from twelvefold.projections.otlp_json import SpanLimits, document, span_json
from twelvefold.projections.span import EVENTS_MAX, Span
from twelvefold.projections.spans import Spans
from twelvefold.projections.traceparent import parse_traceparent, root_of, span_id

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def folded(told: Told, **options: Any) -> tuple[list[Span], list[Span]]:
    """The closed and the open spans of what was told."""
    fold = Spans(**options)
    return fold.take(told.events), fold.open()


def named(spans: list[Span], name: str) -> Span:
    """The one span of this name."""
    (found,) = (span for span in spans if span.name == name)
    return found


def pipeline(told: Told) -> Told:
    """A run of two steps, the first of which uses a tool, and is done."""
    told.requested({"pattern": "pipeline", "steps": [{"pattern": "task", "agent": "echo", "name": "look"}] * 2})
    first = told.task("0.0", "echo")
    told.reported(first, "task.started", {"instance": "echo.1.a", "attempt": 1, "delivery": 1}, at_ms=10)
    told.effect(first, "intended", at_ms=11)
    told.effect(first, "completed", result=1, elapsed_s=0.004, at_ms=15)
    done = told.reported(first, "task.succeeded", {"value": 1}, at_ms=20)
    second = told.task("0.1", "echo", done)
    told.reported(second, "task.started", {}, at_ms=30)
    told.effect(second, "completed", "value:time:1:0", effect="read", elapsed_s=0.002, at_ms=35)
    told.reported(second, "task.succeeded", {"value": 2}, at_ms=40)
    told.add("run.succeeded", {"value": 2}, at_ms=50)
    return told


def test_a_run_is_a_tree_of_spans_with_the_times_of_its_events() -> None:
    """The root lasts as long as the run; deliveries lie below it, effects below deliveries."""
    closed, still = folded(pipeline(Told()))
    assert still == []
    root = closed[-1]
    assert (root.name, root.status, root.parent_id) == ("invoke_workflow pipeline", "ok", "")
    assert root.end == BEGIN + 50 * MS
    first, second = (span for span in closed if span.name == "invoke_agent echo")
    assert {span.parent_id for span in (first, second)} == {root.span_id}
    assert (first.start, first.end, first.status) == (BEGIN + 10 * MS, BEGIN + 20 * MS, "ok")
    tool, value = named(closed, "execute_tool look"), named(closed, "value time")
    assert (tool.parent_id, tool.start, tool.end) == (first.span_id, BEGIN + 11 * MS, BEGIN + 15 * MS)
    # Only its result is recorded of a `read` effect: it began as long before as it took.
    assert (value.parent_id, value.start, value.end) == (second.span_id, BEGIN + 33 * MS, BEGIN + 35 * MS)
    assert first.attributes["twelvefold.step"] == "look"


def test_a_delivery_links_to_what_was_sent_and_that_to_what_has_led_to_it() -> None:
    """From a step's delivery the links lead back, over its request, to the delivery whose outcome caused it."""
    closed, _ = folded(pipeline(Told()))
    by_id = {span.span_id: span for span in closed}
    first, second = (span for span in closed if span.name == "invoke_agent echo")
    sent = by_id[second.links[0].span_id]
    assert (sent.name, sent.kind, second.kind) == ("send echo", "producer", "consumer")
    assert by_id[sent.links[0].span_id] is first
    assert sent.attributes["messaging.message.id"] == second.attributes["messaging.message.id"]
    assert sent.attributes["messaging.operation.type"] == "send"
    assert second.attributes["messaging.operation.type"] == "process"


def test_ids_follow_from_events_alone() -> None:
    """Two folds, one event by event, give the same bytes; every id occurs once."""
    told = pipeline(Told())
    whole, _ = folded(told)
    fold = Spans()
    single = [span for event in told.events for span in fold.take([event])]
    assert document({}, whole) == document({}, single)
    assert len({span.span_id for span in whole}) == len(whole)
    assert {span.trace_id for span in whole} == {told.run}


def test_a_caller_s_trace_goes_on_in_the_run() -> None:
    """With a traceparent every span is of that trace, and the root is below the caller's span."""
    closed, _ = folded(pipeline(Told(trace=CALLER)))
    root = closed[-1]
    assert {span.trace_id for span in closed} == {CALLER.split("-")[1]}
    assert (root.parent_id, root.remote) == (CALLER.split("-")[2], True)
    assert not any(span.remote for span in closed[:-1])


def crashed(told: Told, *, known: bool) -> Any:
    """A task whose agent died in an effect; `known`: somebody saw the process end."""
    told.requested({"pattern": "task", "agent": "echo"})
    request = told.task("0", "echo")
    told.reported(request, "task.started", {}, at_ms=10)
    told.effect(request, "intended", at_ms=12)
    if known:
        told.add(
            "process.exited", {"instance": "echo.1.a", "pid": 9, "signal": 9, "exit": None},
            run="", stream="process.echo.1", at_ms=100,
        )  # fmt: skip
    return request


@pytest.mark.parametrize("known", [True, False])
def test_crashed_work_is_open_until_it_goes_on(known: bool) -> None:
    """Its spans are there and open; another delivery closes them, when the process ended or was last heard of."""
    told = Told()
    request = crashed(told, known=known)
    closed, still = folded(told)
    assert [span.name for span in closed] == ["send echo"]
    assert {span.name for span in still} == {"invoke_workflow echo", "invoke_agent echo", "execute_tool look"}
    told.reported(request, "task.started", {}, by="echo.1.b", at_ms=200)
    told.effect(request, "intended", by="echo.1.b", at_ms=201)
    told.effect(request, "completed", by="echo.1.b", result=1, at_ms=202)
    told.reported(request, "task.succeeded", {}, by="echo.1.b", at_ms=203)
    told.add("run.succeeded", {}, at_ms=204)
    closed, still = folded(told)
    assert still == []
    first, second = (span for span in closed if span.name == "invoke_agent echo")
    until = BEGIN + (100 if known else 12) * MS
    assert (first.status, first.end, first.attributes["twelvefold.interrupted"]) == ("error", until, True)
    assert second.status == "ok"
    lost, redone = (span for span in closed if span.name == "execute_tool look")
    assert (lost.parent_id, lost.status, lost.end) == (first.span_id, "error", until)
    assert (redone.parent_id, redone.status) == (second.span_id, "unset")
    exits = [one.attributes for one in first.events if one.name == "process.exited"]
    assert exits == (
        [{"service.instance.id": "echo.1.a", "process.pid": 9, "twelvefold.process.signal": 9}] if known else []
    )


def test_another_process_s_end_is_no_business_of_a_run() -> None:
    """Only the delivery of the process that has ended is interrupted by it."""
    told = Told()
    request = crashed(told, known=False)
    told.add("process.exited", {"instance": "echo.2.x", "signal": 9}, run="", stream="process.echo.2", at_ms=90)
    told.effect(request, "completed", result=1, at_ms=95)
    told.reported(request, "task.succeeded", {}, at_ms=96)
    told.add("run.succeeded", {}, at_ms=97)
    closed, _ = folded(told)
    assert named(closed, "invoke_agent echo").end == BEGIN + 96 * MS
    assert not named(closed, "invoke_agent echo").events


def test_a_plan_that_a_task_answers_with_is_a_span_around_what_follows() -> None:
    """It begins with the answer and ends with the last of its tasks, compensations included."""
    told = Told()
    told.requested({"pattern": "task", "agent": "lead"})
    lead = told.task("0", "lead")
    told.reported(lead, "task.started", {})
    steps = [{"pattern": "task", "agent": "echo", "name": "fix"}, {"pattern": "task", "agent": "echo"}]
    planned = told.reported(lead, "task.planned", {"plan": {"pattern": "saga", "steps": steps}})
    first = told.task("0.0", "echo", planned)
    told.reported(first, "task.started", {})
    done = told.reported(first, "task.succeeded", {})
    second = told.task("0.1", "echo", done)
    told.reported(second, "task.started", {})
    failed = told.reported(second, "task.failed", {"reason": "bad", "error": {"message": "no", "class": "Oops"}})
    undo = told.task("0.0.undo", "echo", failed, undo=True)
    told.reported(undo, "task.started", {})
    told.reported(undo, "task.succeeded", {}, at_ms=70)
    told.add("run.failed", {"reason": "bad", "error": {"message": "no"}}, at_ms=90)
    closed, still = folded(told)
    saga = named(closed, "saga")
    assert (still, saga.end, saga.attributes["twelvefold.pattern"]) == ([], BEGIN + 70 * MS, "saga")
    below = [span for span in closed if span.parent_id == saga.span_id and span.kind == "consumer"]
    assert [span.attributes["twelvefold.path"] for span in below] == ["0.0", "0.1", "0.0.undo"]
    bad = below[1]
    assert (bad.status, bad.message, bad.attributes["error.type"]) == ("error", "no", "bad")
    assert closed[-1].message == "no"


def test_waiting_for_a_human_is_a_span() -> None:
    """It lasts from the question to the answer; what goes on then is another attempt."""
    told = Told()
    told.requested({"pattern": "task", "agent": "echo"})
    request = told.task("0", "echo")
    told.reported(request, "task.started", {})
    asked = told.reported(request, "task.needs_human", {"reason": "question", "question": "Which?"})
    told.add("human.requested", {"path": "0", "reason": "question"}, cause=asked.id, at_ms=20)
    told.add("run.needs_human", {"questions": []}, at_ms=21)
    _, still = folded(told)
    assert [span.name for span in still] == ["invoke_workflow echo", "wait for human"]
    told.add("human.answered", {"path": "0", "answer": 1}, stream=f"request.{told.run}", at_ms=5000)
    again = told.task("0", "echo", attempt=2)
    told.reported(again, "task.started", {})
    told.reported(again, "task.succeeded", {})
    told.add("run.succeeded", {})
    closed, _ = folded(told)
    wait = named(closed, "wait for human")
    assert (wait.start, wait.end) == (BEGIN + 20 * MS, BEGIN + 5000 * MS)
    assert [span.attributes["twelvefold.attempt"] for span in closed if span.kind == "consumer"] == [1, 2]


@pytest.mark.parametrize("what", ["cancelled", "parked", "ended"])
def test_work_that_nobody_wants_any_more_ends(what: str) -> None:
    """A task that is taken back, parked or outlived by its run leaves no span open, and says why."""
    told = Told()
    told.requested({"pattern": "task", "agent": "echo"})
    request = told.task("0", "echo")
    told.reported(request, "task.started", {})
    told.effect(request, "intended")
    if what == "cancelled":
        told.add("task.cancelled", {"path": "0", "reason": "timeout"})
    elif what == "parked":
        told.add("delivery.parked", {"attempts": 5}, stream="group.echo", cause=request.id)
    told.add("run.cancelled", {})
    closed, still = folded(told)
    assert still == []
    delivery = named(closed, "invoke_agent echo")
    words = {"cancelled": "timeout", "parked": "parked", "ended": "the run has ended"}
    assert delivery.attributes["twelvefold.withdrawn"] == words[what]
    assert named(closed, "execute_tool look").status == "error"


def test_what_sets_an_ended_run_going_again_is_a_span_below_its_root() -> None:
    """A rollback after the end has a span of its own; the root, exported long since, stays as it was."""
    told = pipeline(Told())
    before, _ = folded(told)
    told.add("run.rollback_requested", {"reason": "no"}, stream=f"request.{told.run}", at_ms=100)
    undo = told.task("0.0.undo", "echo", undo=True)
    told.reported(undo, "task.started", {})
    told.reported(undo, "task.succeeded", {})
    told.add("run.rolled_back", {}, at_ms=150)
    after, still = folded(told)
    assert still == []
    assert after[: len(before)] == before
    back = after[-1]
    assert (back.name, back.parent_id) == ("invoke_workflow rollback", before[-1].span_id)
    assert after[-2].parent_id == back.span_id


def test_a_fork_links_to_the_run_that_it_comes_from() -> None:
    """It is a trace of its own, whose root goes back to the parent's root."""
    parent = "a" * 32
    told = Told()
    told.add("run.forked", {"parent": parent, "at": 7})
    told.add("run.succeeded", {})
    closed, _ = folded(told)
    (link,) = closed[0].links
    assert (link.trace_id, link.span_id) == (parent, root_of(parent, "").span_id)
    assert closed[0].trace_id == told.run
    assert closed[0].attributes["twelvefold.fork.at"] == 7


def test_conventions_say_what_models_tests_and_commits_were() -> None:
    """Tokens, exit codes, outcomes of tests and commits stand on spans under OpenTelemetry's names."""
    told = Told()
    told.requested({"pattern": "task", "agent": "echo"}, labels={"job": "issue"})
    request = told.task("0", "echo", input={"repo": "/home/ada/cite", "base": "b" * 40})
    told.reported(request, "task.started", {})
    asked = {"messages": [{"role": "user", "content": "hello"}], "prompts": [{"name": "fixer", "hash": "1"}]}
    told.effect(request, "intended", "model:llama:1:0", parameters=asked)
    reply = {"model": "llama-3", "finish": "stop", "text": "hi"}
    used = {"tokens_in": 3, "tokens_out": 4, "usd": 0.5}
    told.effect(request, "completed", "model:llama:1:0", result=reply, usage=used)
    told.effect(request, "intended", "process:tests:1:0")
    ran = {"command": "/usr/bin/python -m unittest", "kind": "unittest", "execution": {"exit_code": 1, "stopped": ""}}
    told.effect(request, "completed", "process:tests:1:0", result=ran)
    told.reported(request, "workspace.published", {"repo": "/home/ada/cite", "commit": "c" * 40, "ref": "refs/heads/x"})
    told.reported(request, "task.succeeded", {})
    told.add("run.succeeded", {})
    closed, _ = folded(told)
    chat = named(closed, "chat llama").attributes
    assert (chat["gen_ai.usage.input_tokens"], chat["gen_ai.usage.output_tokens"]) == (3, 4)
    assert (chat["gen_ai.response.model"], chat["gen_ai.prompt.name"]) == ("llama-3", "fixer")
    assert "gen_ai.input.messages" not in chat
    tests = named(closed, "process tests").attributes
    assert (tests["process.exit.code"], tests["process.executable.name"]) == (1, "python")
    assert (tests["test.suite.name"], tests["test.suite.run.status"]) == ("unittest", "failure")
    delivery = named(closed, "invoke_agent echo")
    assert delivery.attributes["vcs.repository.name"] == "cite"
    assert delivery.attributes["vcs.ref.base.revision"] == "b" * 40
    assert delivery.events[-1].attributes["vcs.ref.head.revision"] == "c" * 40
    assert named(closed, "invoke_workflow issue").attributes["twelvefold.label.job"] == "issue"
    told_all, _ = folded(told, content=True)
    chat = named(told_all, "chat llama").attributes
    assert json.loads(str(chat["gen_ai.input.messages"])) == [
        {"role": "user", "parts": [{"type": "text", "content": "hello"}]}
    ]
    assert json.loads(str(chat["gen_ai.output.messages"])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "stop"}
    ]


def test_names_that_are_not_ours_are_opentelemetry_s() -> None:
    """Whatever stands on spans and their events is named as OpenTelemetry's own package of conventions has it."""
    told = Told()
    told.requested({"pattern": "pipeline", "steps": []}, labels={"job": "issue"})
    request = told.task(
        "0.0", "echo", input={"repo": "/r", "base": "b" * 40, "commit": "c" * 40, "ref": "refs/heads/x"}
    )
    told.reported(request, "task.started", {})
    for kind in ("tool:saw", "model:llama", "process:tests"):
        asked = {"messages": [{"role": "user", "content": "hello"}], "prompts": [{"name": "fixer"}]}
        told.effect(request, "intended", f"{kind}:1:0", parameters=asked)
        result = {"model": "m", "finish": "stop", "text": "hi", "command": "/bin/ls -l", "execution": {"exit_code": 1}}
        told.effect(
            request, "completed", f"{kind}:1:0", result=result, usage={"tokens_in": 1, "tokens_out": 2, "usd": 1}
        )
    told.effect(request, "intended", "tool:saw:1:1")
    told.effect(request, "failed", "tool:saw:1:1", error={"class": "E", "message": "no"})
    told.reported(request, "workspace.published", {"repo": "/r", "commit": "c" * 40, "ref": "refs/heads/x"})
    facts = {"instance": "echo.1.a", "pid": 9, "exit": 3, "signal": 9}
    told.add("process.exited", facts, run="", stream="process.echo.1")
    told.reported(request, "task.failed", {"reason": "bad"})
    told.add("run.failed", {"reason": "bad"})
    told.add("shop.opened", {}, run="", stream="shop", trace=f"00-{'a' * 32}-{'b' * 16}-01")
    closed, _ = folded(told, content=True)
    names = {name for span in closed for part in (span, *span.events) for name in part.attributes}
    known = {
        text
        for folder in (attributes, incubating)
        for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}.")
        for text in vars(importlib.import_module(module.name)).values()
        if isinstance(text, str)
    }
    assert len(names) > 30
    assert {name for name in names if not name.startswith("twelvefold.")} - known == set()


def test_a_long_talk_with_tools_stands_on_spans_as_whole_json() -> None:
    """Calls and answers of tools are parts of messages, as the convention has them, and texts are cut, not the JSON."""
    told = Told()
    told.requested({"pattern": "task", "agent": "echo"})
    request = told.task("0", "echo")
    told.reported(request, "task.started", {})
    call = {"id": "c1", "name": "saw", "arguments": {"wood": "oak"}}
    messages = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "x" * 300_000, "tool_call_id": "c1"},
    ]
    told.effect(request, "intended", "model:llama:1:0", parameters={"messages": messages})
    reply = {"model": "llama-3", "finish": "tool_calls", "text": "", "tool_calls": [call]}
    told.effect(request, "completed", "model:llama:1:0", result=reply)
    closed, _ = folded(told, content=True)
    chat = named(closed, "chat llama").attributes
    asked, answered = json.loads(str(chat["gen_ai.input.messages"]))
    assert asked == {"role": "assistant", "parts": [{"type": "tool_call", **call}]}
    assert answered["parts"][0] | {"response": ""} == {"type": "tool_call_response", "id": "c1", "response": ""}
    assert answered["parts"][0]["response"].endswith("xx…")
    (said,) = json.loads(str(chat["gen_ai.output.messages"]))
    assert said == asked | {"finish_reason": "tool_call"}


def test_forgotten_payloads_leave_the_tree_with_its_times() -> None:
    """What an event's header says is still told: spans, times, queues, outcomes and paths."""
    told = pipeline(Told())
    before, _ = folded(told)
    for event in told.events:
        told.log._free(event.position)
    after, still = folded(told)
    assert still == []
    assert [(span.span_id, span.start, span.end) for span in after if span.kind == "consumer"] == [
        (span.span_id, span.start, span.end) for span in before if span.kind == "consumer"
    ]
    assert [span.attributes["twelvefold.path"] for span in after if span.kind == "consumer"] == ["0.0", "0.1"]


@pytest.mark.parametrize("data", [None, 5, "text", [], {"path": 7}, {"key": 1}, {"plan": [1]}, {"error": ["x"]}])
def test_any_payload_can_be_folded(data: Any) -> None:
    """Events of every type that holds something of any shape raise nothing and end with the run."""
    told = Told()
    told.requested({"pattern": "task", "agent": "echo"})
    request = told.task("0", "echo")
    for type in (
        "task.started", "task.progressed", "effect.intended", "effect.completed", "effect.failed", "effect.in_doubt",
        "workspace.committed", "human.requested", "human.answered", "task.planned", "demo.happened", "task.failed",
    ):  # fmt: skip
        told.reported(request, type, data)
    for type in ("task.requested", "task.cancelled", "task.parked", "run.started", "run.paused", "timer.set"):
        told.add(type, data)
    told.add("run.failed", data)
    closed, still = folded(told)
    assert still == []
    assert json.loads(document({}, closed))


def test_a_span_holds_no_more_events_than_it_may() -> None:
    """Beyond the bound they are counted."""
    told = Told()
    told.requested({"pattern": "task", "agent": "echo"})
    request = told.task("0", "echo")
    told.reported(request, "task.started", {})
    for _ in range(EVENTS_MAX + 5):
        told.reported(request, "task.progressed", {"progress": 0.5, "stage": "work"})
    _, still = folded(told)
    delivery = named(still, "invoke_agent echo")
    assert (len(delivery.events), delivery.events_dropped) == (EVENTS_MAX, 5)


def test_an_event_of_somebody_s_trace_outside_of_runs_is_a_span_of_it() -> None:
    """Whoever emits with a traceparent finds the event in the trace."""
    told = Told(trace=CALLER)
    event = told.add("shop.ordered", {"n": 1}, run="", stream="shop")
    ((span,), still) = folded(told)
    assert (span.name, span.kind, span.parent_id) == ("send shop.ordered", "producer", CALLER.split("-")[2])
    assert span.span_id == span_id("send", event.id)
    assert still == []


def test_open_spans_say_so_and_limits_cut() -> None:
    """An exported open span ends when it was last heard of, and is marked; texts, events and links can be bounded."""
    told = Told()
    crashed(told, known=True)
    _, still = folded(told)
    written = json.loads(span_json(named(still, "invoke_agent echo")))
    assert written["endTimeUnixNano"] == str(BEGIN + 100 * MS)
    assert {"key": "twelvefold.open", "value": {"boolValue": True}} in written["attributes"]
    small = json.loads(span_json(named(still, "invoke_agent echo"), SpanLimits(3, 2, 0, 0)))
    assert "links" not in small
    assert (len(small["attributes"]), small["droppedEventsCount"]) == (2, 1)
    assert small["attributes"][0]["value"]["stringValue"] == told.run[:3]


@pytest.mark.parametrize(
    "text",
    [
        "", "garbage", "00-0-0-01", f"ff-{'a' * 32}-{'b' * 16}-01", f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01", f"00-{'A' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-01-more",
    ],
)  # fmt: skip
def test_what_is_no_traceparent_is_none(text: str) -> None:
    """Only what the W3C allows counts."""
    assert parse_traceparent(text) is None


def test_a_traceparent_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """Its first fields are those of today's."""
    found = parse_traceparent(f"01-{'a' * 32}-{'b' * 16}-03-later")
    assert found is not None
    assert found.header() == f"00-{'a' * 32}-{'b' * 16}-03"


def test_a_document_is_what_collectors_read() -> None:
    """Ids are hex, times and integers texts, kinds and status numbers, and the resource stands once."""
    closed, _ = folded(pipeline(Told()))
    (resource,) = json.loads(document({"service.name": "shop"}, closed))["resourceSpans"]
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "shop"}}]
    spans = resource["scopeSpans"][0]["spans"]
    root = spans[-1]
    assert (root["kind"], root["status"], "parentSpanId" in root) == (1, {"code": 1}, False)
    assert {span["kind"] for span in spans} == {1, 4, 5}
    assert root["traceId"] == "0" * 31 + "7"
