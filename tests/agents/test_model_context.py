"""What a model is shown of its work: within its room, in the right shape, the same each time."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.agents.model_context import (
    Fact,
    Observed,
    Step,
    build_context,
    cut,
    steps_of,
    tokens_of,
    tokens_of_text,
)
from twelvefold.agents.models.model import Message, Reply, ToolCall

OPENING = [Message("system", "You fix."), Message("user", "Fix it.")]


def step(n: int, data: Any = "x", *, success: bool = True, **arguments: Any) -> Step:
    """A step with one action."""
    call = ToolCall(f"c{n}", "read_file", {"path": f"{n}.py", **arguments})
    response = {"success": True, "data": data} if success else {"success": False, "error": data, "reason": "r"}
    return Step(Reply("", (call,)), (Observed(call, response, n),))


def test_what_fits_is_kept_whole() -> None:
    """Opening, replies and results stand in their order, each result behind its call."""
    found = build_context(OPENING, [step(1, "one"), step(2, "two")], 10_000)
    assert [message.role for message in found.messages] == ["system", "user", *["assistant", "tool"] * 2]
    assert [message.tool_call_id for message in found.messages[2:]] == ["", "c1", "", "c2"]
    assert '"data":"one"' in found.messages[3].content
    assert (found.compacted, found.dropped) == (0, 0)


def test_the_oldest_results_are_compacted_first() -> None:
    """Beyond the room old results become a line, and the newest stay whole."""
    found = build_context(OPENING, [step(n, "y" * 3000) for n in range(1, 8)], 6000)
    assert found.tokens <= 6000
    assert found.compacted > 0
    assert found.dropped == 0
    assert "left_out" in found.messages[3].content
    assert "y" * 3000 in found.messages[-1].content


def test_what_is_dropped_is_told() -> None:
    """Where lines are too much too, the oldest steps go, with a note of what succeeded in them."""
    found = build_context(OPENING, [step(n, "y" * 900) for n in range(1, 200)], 4000)
    assert found.tokens <= 4000
    assert found.dropped > 100
    assert found.messages[2].role == "user"
    assert f"{found.dropped} earlier steps" in found.messages[2].content
    assert f"read_file {found.dropped} times" in found.messages[2].content


def test_errors_are_short_with_a_pointer_to_the_whole() -> None:
    """A long error keeps its class, beginning and end, and says which action's it is."""
    found = build_context(OPENING, [step(7, "begin " + "z" * 5000 + " end", success=False)], 20_000)
    told = found.messages[3].content
    assert len(told) < 1200
    assert '"reason":"r"' in told
    assert "begin" in told
    assert "end" in told
    assert '"whole":"action 7"' in told


def test_what_was_said_changes_rarely() -> None:
    """Step after step most of what was said before stays as it is, so that it need neither be sent nor paid anew."""
    steps = [step(n, "y" * 600) for n in range(1, 60)]
    shown = [build_context(OPENING, steps[:n], 5000).messages for n in range(1, 60)]
    changed = sum(later[: len(earlier)] != earlier for earlier, later in itertools.pairwise(shown))
    assert changed < 20


def test_an_opening_that_is_too_large_is_cut_in_its_longest_message() -> None:
    """Five megabytes of issue don't keep the work from fitting, and the cut is told."""
    opening = [Message("system", "You fix."), Message("user", "a" * 5_000_000 + "THE END")]
    found = build_context(opening, [step(1)], 4000)
    assert found.tokens <= 4000
    assert found.messages[0].content == "You fix."
    assert "characters left out" in found.messages[1].content
    assert found.messages[1].content.endswith("THE END")


def test_a_reply_without_actions_is_answered_in_words() -> None:
    """Actions written as text are answered by the user, as there is no call to answer; so is what held none."""
    call = ToolCall("text_0", "read_file", {})
    in_text = Step(Reply('{"tool": "read_file"}'), (Observed(call, {"success": True, "data": 1}, 1),))
    silent = Step(Reply("Hm."), told="Call a tool.")
    found = build_context(OPENING, [in_text, silent], 10_000)
    assert [message.role for message in found.messages[2:]] == ["assistant", "user", "assistant", "user"]
    assert "Result of read_file" in found.messages[3].content
    assert found.messages[5].content == "Call a tool."


def test_a_step_that_is_too_large_by_itself_is_compacted() -> None:
    """A file that a model wrote, larger than its room, doesn't keep it from going on."""
    found = build_context(OPENING, [step(1, "ok", text="z" * 50_000, many=["k"] * 5000)], 2000)
    assert found.tokens <= 2000
    assert found.messages[2].tool_calls[0].arguments["path"] == "1.py"


def test_each_call_is_answered() -> None:
    """Where an action ended a reply's work, the calls behind it are answered, as services ask for."""
    calls = tuple(ToolCall(f"c{n}", "read_file", {}) for n in range(3))
    found = build_context(OPENING, [Step(Reply("", calls), (Observed(calls[0], {"success": True}, 1),))], 10_000)
    assert [message.tool_call_id for message in found.messages[3:]] == ["c0", "c1", "c2"]
    assert "not done" in found.messages[5].content


def test_steps_are_read_from_facts() -> None:
    """Replies, chosen actions and what came of them are put together; what stands before the first reply isn't."""
    call = {"id": "c", "name": "read_file", "arguments": {"path": "a"}}
    reply = {"text": "", "tool_calls": [call], "usage": {"tokens_in": 1, "tokens_out": 1, "usd": None}}
    facts = [
        Fact("tool", "list_files", {"success": True}),
        Fact("model", "m", reply),
        Fact("value", "action", call),
        Fact("tool", "read_file", {"success": True, "data": {"text": "t", "elapsed_s": 1.5}, "timestamp": "now"}),
        Fact("model", "m", reply),
        Fact("value", "action", call),
        Fact("tool", "read_file", error={"class": "Oh", "message": "no"}),
        Fact("model", "m", {**reply, "tool_calls": []}),
        Fact("value", "told", "Call a tool."),
        Fact("value", "time_s", 5),
    ]
    first, second, third = steps_of(facts)
    assert first.observed[0].response == {"success": True, "data": {"text": "t"}}
    assert second.observed[0].response == {"success": False, "reason": "Oh", "error": "no"}
    assert (third.observed, third.told) == ((), "Call a tool.")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=3000), st.booleans(), st.text(max_size=9000)), max_size=40),
    st.integers(min_value=2000, max_value=20_000),
)
def test_the_room_is_kept_and_the_newest_step_is_there(given_steps: list[tuple[str, bool, str]], room: int) -> None:
    """Whatever the steps hold, the context fits, is the same each time, and ends with the newest step."""
    steps = [step(n, data, success=success, text=text) for n, (data, success, text) in enumerate(given_steps, 1)]
    found = build_context(OPENING, steps, room)
    assert found == build_context(OPENING, steps, room)
    assert found.tokens == tokens_of(found.messages)
    assert found.tokens <= room
    if steps:
        assert found.messages[-1].tool_call_id == f"c{len(steps)}"
    answered = [message.tool_call_id for message in found.messages if message.role == "tool"]
    called = [call.id for message in found.messages for call in message.tool_calls]
    assert answered == called


@pytest.mark.parametrize("text", ["", "a" * 50, "ä" * 5000, "a" * 5000, "🙂" * 3000])
@pytest.mark.parametrize("most", [100, 1000])
def test_a_cut_text_fits(text: str, most: int) -> None:
    """A text that is too long is cut in its middle; one that isn't stays."""
    found = cut(text, most)
    assert tokens_of_text(found) <= most
    assert found == text or "left out" in found
