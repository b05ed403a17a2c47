"""What a model is shown of its own work: a pure function of what is recorded, within a number of tokens.

Owns what is kept whole, what is compacted to a line, and what is dropped. The facts come from a task's events or from
its ledger, and are the same either way, so that a task delivered again, a replay and a look from outside see the very
context that the model saw. Keeps: the opening stays; a tool's call and its result stay together; errors are short, with
a pointer to the whole. Tokens are estimated from bytes, on the safe side: no service's own count is needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from ..eventstore.event import Event
from .models.model import Message, Reply, ToolCall

#: Bytes that make a token at least: prose has 4 or more, code about 3.
BYTES_A_TOKEN = 3
#: What a message costs beside its text.
TOKENS_A_MESSAGE = 8
#: The newest steps, which are compacted only where nothing else is left to compact.
STEPS_WHOLE = 3
#: Once it is too much, so much of the room is freed, so that not every further step changes all that was said before.
FILL_AFTER = 0.6
#: The share of the room that one result may take.
RESULT_SHARE = 0.3
ERROR_LENGTH_MAX = 700
_ARGUMENT_LENGTH_MAX = 160
#: What the arguments of a compacted call may take together, and how many calls of one reply are shown.
_ARGUMENTS_TOKENS_MAX = 200
CALLS_SHOWN_MAX = 32

_encode = msgspec.json.Encoder(order="sorted").encode


class Fact(msgspec.Struct, frozen=True):
    """One recorded effect: its kind and name, and its result or what it failed with."""

    kind: str
    name: str
    result: Any = None
    error: dict[str, Any] | None = None


class Observed(msgspec.Struct, frozen=True):
    """One action that a model chose, and what came of it; `nth` counts the actions of the task from 1."""

    call: ToolCall
    response: dict[str, Any]
    nth: int


class Step(msgspec.Struct, frozen=True):
    """One reply of a model and what came of it; `told` is what was said to a reply that held no action."""

    reply: Reply
    observed: tuple[Observed, ...] = ()
    told: str = ""


class ModelContext(msgspec.Struct, frozen=True):
    """The messages for the next call, about how many tokens they are, and how many steps are not in them whole."""

    messages: tuple[Message, ...]
    tokens: int
    compacted: int = 0
    dropped: int = 0


def facts_of(events: Iterable[Event], load: Callable[[Any], Any] = lambda data: data) -> list[Fact]:
    """Return the effects that a task's events record, in their order; `load` puts in what is held as blobs."""
    facts = []
    for event in events:
        if event.type in ("effect.completed", "effect.failed"):
            data = load(event.data)
            facts.append(Fact(data["kind"], data["name"], data.get("result"), data.get("error")))
    return facts


def steps_of(facts: Iterable[Fact]) -> list[Step]:
    """Return the steps of a model's loop that facts tell of; what stands before its first reply is none of them."""
    steps: list[Step] = []
    action: ToolCall | None = None
    count = 0
    for fact in facts:
        if fact.kind == "model" and fact.error is None:
            steps.append(Step(msgspec.convert(fact.result, Reply)))
            action = None
        elif not steps:
            continue
        elif (fact.kind, fact.name) == ("value", "action"):
            action = msgspec.convert(fact.result, ToolCall)
            count += 1
        elif (fact.kind, fact.name) == ("value", "told"):
            steps[-1] = msgspec.structs.replace(steps[-1], told=fact.result)
        elif action is not None and (fact.kind == "tool" or (fact.kind, fact.name) == ("value", "observation")):
            observed = Observed(action, _response(fact), count)
            steps[-1] = msgspec.structs.replace(steps[-1], observed=(*steps[-1].observed, observed))
            action = None
    return steps


def build_context(opening: Sequence[Message], steps: Sequence[Step], tokens_max: int) -> ModelContext:
    """Return what a model is shown after these steps: all of it, or within `tokens_max` what matters most.

    Beyond that the oldest steps are compacted to a line for each action, then dropped, with a note of what was done in
    them. The newest step is always there, compacted at worst. An opening that alone is too large is cut in its longest
    message.
    """
    opening = _fitted(list(opening), tokens_max)
    room = tokens_max - tokens_of(opening)
    result_max = max(int(room * RESULT_SHARE), 100)
    whole = [_messages(step, result_max) for step in steps]
    short = [_messages(step, 0) for step in steps]
    # Step by step, as it was when each was new: what was compacted once stays so, and what was said changes rarely.
    sizes = [tokens_of(one) for one in whole], [tokens_of(one) for one in short]
    compacted = dropped = 0
    for count in range(1, len(steps) + 1):
        if _size(sizes, compacted, dropped, count) <= room:
            continue
        while compacted < count - STEPS_WHOLE and _size(sizes, compacted, dropped, count) > room * FILL_AFTER:
            compacted += 1
        while compacted < count and _size(sizes, compacted, dropped, count) > room:
            compacted += 1
        if _size(sizes, compacted, dropped, count) > room:
            while dropped < count - 1 and _size(sizes, compacted, dropped, count) > room * FILL_AFTER:
                dropped += 1
            compacted = max(compacted, dropped)
    messages = list(opening)
    if dropped:
        messages.append(Message("user", _note(steps[:dropped])))
    for n in range(dropped, len(steps)):
        messages += short[n] if n < compacted else whole[n]
    return ModelContext(tuple(messages), tokens_of(messages), compacted - dropped, dropped)


def tokens_of(messages: Iterable[Message]) -> int:
    """Return about how many tokens messages are."""
    return sum(_tokens(message) for message in messages)


def tokens_of_text(text: str) -> int:
    """Return about how many tokens a text is."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN)


def cut(text: str, tokens_max: int) -> str:
    """Return a text of at most about so many tokens: its beginning and end, with a note of how much is left out."""
    if tokens_of_text(text) <= tokens_max:
        return text
    length = tokens_max * BYTES_A_TOKEN
    # Characters may have several bytes.
    length = max(int(length * len(text) / len(text.encode("utf-8", "replace"))) - 60, 0)
    head, tail = length * 2 // 3, length - length * 2 // 3
    left_out = len(text) - head - tail
    return f"{text[:head]}\n[… {left_out} characters left out …]\n{text[len(text) - tail :]}"


def _tokens(message: Message) -> int:
    calls = sum(tokens_of_text(_encode(call).decode()) for call in message.tool_calls)
    return TOKENS_A_MESSAGE + tokens_of_text(message.content) + calls


def _size(sizes: tuple[list[int], list[int]], compacted: int, dropped: int, count: int) -> int:
    """Return how much so many steps take, of which the first ones are dropped or compacted."""
    whole, short = sizes
    kept = sum(short[dropped : min(compacted, count)]) + sum(whole[max(compacted, dropped) : count])
    return kept + (120 if dropped else 0)


def _fitted(opening: list[Message], tokens_max: int) -> list[Message]:
    """Cut the longest message of an opening that takes more than three quarters of the room."""
    over = tokens_of(opening) - tokens_max * 3 // 4
    if over <= 0:
        return opening
    longest = max(range(len(opening)), key=lambda n: len(opening[n].content))
    kept = max(tokens_of_text(opening[longest].content) - over, 100)
    opening[longest] = msgspec.structs.replace(opening[longest], content=cut(opening[longest].content, kept))
    return opening


def _messages(step: Step, result_max: int) -> list[Message]:
    """Return a step's messages; its results whole up to so many tokens, or with 0 a line for each."""
    reply = step.reply
    said = reply.text if result_max else cut(reply.text, 60)
    if not reply.tool_calls:
        # The actions, if there are any, stand in the text.
        results = [f"Result of {one.call.name}:\n{_result(one, result_max)}" for one in step.observed]
        told = "\n\n".join(filter(None, [*results, step.told]))
        return [Message("assistant", said or "(nothing)"), *([Message("user", told)] if told else [])]
    calls = reply.tool_calls[:CALLS_SHOWN_MAX]
    calls = calls if result_max else tuple(_shortened(call) for call in calls)
    messages = [Message("assistant", said, calls)]
    for number, call in enumerate(calls):
        # In the order of the calls; where one ended the work, the rest were not done.
        done = step.observed[number] if number < len(step.observed) else None
        text = '{"success":false,"error":"not done"}' if done is None else _result(done, result_max)
        messages.append(Message("tool", text, tool_call_id=call.id))
    if step.told:
        messages.append(Message("user", step.told))
    return messages


def _shortened(call: ToolCall) -> ToolCall:
    def short(value: Any) -> Any:
        if isinstance(value, str) and len(value) > _ARGUMENT_LENGTH_MAX:
            return f"{value[:60]}[… {len(value) - 60} characters left out …]"
        if isinstance(value, dict):
            return {name: short(item) for name, item in value.items()}
        return [short(item) for item in value] if isinstance(value, list) else value

    arguments = short(call.arguments)
    if tokens_of_text(_encode(arguments).decode()) > _ARGUMENTS_TOKENS_MAX:
        arguments = {"path": arguments["path"]} if isinstance(arguments.get("path"), str) else {}
    return msgspec.structs.replace(call, arguments=arguments)


def _response(fact: Fact) -> dict[str, Any]:
    """Return what a tool answered as the same few facts, also where it raised."""
    if fact.error is not None:
        return {"success": False, "reason": fact.error.get("class", "error"), "error": fact.error.get("message", "")}
    given = fact.result if isinstance(fact.result, dict) else {"success": True, "data": fact.result}
    data = given.get("data")
    if isinstance(data, dict) and "elapsed_s" in data:
        # Says nothing to a model, and would make each run's questions new ones.
        given = {**given, "data": {name: value for name, value in data.items() if name != "elapsed_s"}}
    return {
        name: given[name] for name in ("success", "data", "message", "reason", "error") if given.get(name) is not None
    }


def _result(observed: Observed, tokens_max: int) -> str:
    """Return what a model is told of an action: all of it, cut at so many tokens, or with 0 a line."""
    response = observed.response
    if not response.get("success"):
        shown: dict[str, Any] = {name: response[name] for name in ("success", "reason", "error") if name in response}
        error = str(shown.get("error", ""))
        if len(error) > ERROR_LENGTH_MAX:
            shown |= {"error": cut(error, ERROR_LENGTH_MAX // BYTES_A_TOKEN), "whole": f"action {observed.nth}"}
        if tokens_max and response.get("data") is not None:
            shown["data"] = response["data"]
        return cut(_encode(shown).decode(), max(tokens_max, ERROR_LENGTH_MAX))
    if not tokens_max:
        digest = hashlib.sha256(_encode(response)).hexdigest()[:8]
        return f'{{"success":true,"left_out":"the result of action {observed.nth} ({digest}); call again to see it"}}'
    return cut(_encode(response).decode(), tokens_max)


def _note(steps: Sequence[Step]) -> str:
    """Say what was done in steps that are left out."""
    done: dict[str, list[str]] = {}
    for step in steps:
        for one in step.observed:
            if one.response.get("success"):
                place = one.call.arguments.get("path")
                done.setdefault(one.call.name, []).append(place if isinstance(place, str) else "")
    told = []
    for name, places in sorted(done.items()):
        named = sorted({place[:80] for place in places if place})
        told.append(f"{name} {len(places)} times" + (f" ({', '.join(named[:8])})" if named else ""))
    what = "; ".join(told) or "no action succeeded in them"
    return cut(f"[{len(steps)} earlier steps are left out here. In them: {what}.]", 110)
