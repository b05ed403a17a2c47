"""How agents call a model: each call a recorded effect, structured answers checked and repaired.

Owns what the record of a call holds: model, prompt and its hash, the hash of everything that was asked, the messages
that are new in it, the reply and its usage, which budgets count. Leaves speaking to a model to its backend. Keeps: a
call whose reply is recorded is never paid for twice; an answer that doesn't fit is an error, never a guess.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import TaskWithdrawn
from ..prompt import Prompt, load_prompt
from .call_place import PLACE, CallPlace
from .errors import ModelAnswerInvalid
from .json_text import json_in
from .model import Message, Model, Reply, ToolSpec

if TYPE_CHECKING:
    from ..context import TaskContext

_encode = msgspec.json.Encoder(order="sorted").encode
#: How much of an answer that doesn't fit stands in the error.
_ANSWER_LENGTH_MAX = 500
#: How much of what is wrong is shown to the model.
_PROBLEM_LENGTH_MAX = 1000


class Answer(msgspec.Struct, frozen=True):
    """What `ask` returns: the checked `value` (the text where no structure was asked for), the last reply, and how many
    calls it took.
    """

    value: Any
    reply: Reply
    calls: int

    @property
    def text(self) -> str:
        """The last reply's text."""
        return self.reply.text


def ask(
    context: TaskContext,
    model: Model,
    messages: Sequence[Message],
    *,
    tools: Sequence[ToolSpec] = (),
    schema: dict[str, Any] | None = None,
    result: Any = Any,
    prompt: Prompt | Sequence[Prompt] | None = None,
    repairs_max: int = 2,
    since: int = 0,
) -> Answer:
    """Ask a model within a task and return its answer; recorded, and served from the record when delivered again.

    With `result` (a type that msgspec can check) or a JSON `schema` the answer is read as JSON and checked; one that
    doesn't fit goes back to the model with what is wrong, at most `repairs_max` times, then ModelAnswerInvalid is
    raised. A reply that calls tools instead is returned as it is, value None. `prompt` is the one, or those, that the
    messages were rendered from. The first `since` messages stand in the record of an earlier call of this task, so that
    this one's records only the rest. Raises the errors of `models.errors`, TaskWithdrawn; ValueError for no schema.
    """
    wanted = schema_of(result) if schema is None and result is not Any else schema
    if wanted is not None:
        _check_schema(wanted)
    conversation = list(messages)
    recorded_from, repairs = since, 0
    prompts = [] if prompt is None else [prompt] if isinstance(prompt, Prompt) else list(prompt)
    repair: Prompt | None = None
    while True:
        used = prompts if repair is None else [*prompts, repair]
        reply = _call(context, model, conversation, tools, wanted, used, recorded_from)
        if wanted is None:
            return Answer(reply.text, reply, repairs + 1)
        if reply.tool_calls and tools:
            return Answer(None, reply, repairs + 1)
        value, problem = checked(reply, wanted, result)
        if not problem:
            return Answer(value, reply, repairs + 1)
        if repairs == repairs_max:
            raise ModelAnswerInvalid(model.name, problem, reply.text[:_ANSWER_LENGTH_MAX], repairs)
        repairs += 1
        if repair is None:
            repair = load_prompt("repair", context.settings.prompts)
        recorded_from = len(conversation)
        told = repair.render(problem=problem[:_PROBLEM_LENGTH_MAX])
        conversation += [Message("assistant", reply.text or "(nothing)"), Message("user", told)]


def _call(
    context: TaskContext,
    model: Model,
    messages: list[Message],
    tools: Sequence[ToolSpec],
    schema: dict[str, Any] | None,
    prompts: Sequence[Prompt],
    since: int,
) -> Reply:
    digest = request_hash(messages, tools, schema)
    parameters = {
        "model": model.name,
        "prompts": [{"name": prompt.name, "hash": prompt.hash} for prompt in prompts],
        "request": digest,
        "since": since,
        "messages": msgspec.to_builtins(messages[since:]),
        "tools": [tool.name for tool in tools],
    }
    if schema is not None:
        parameters["schema"] = schema
    place = _place(context, digest)

    def complete() -> Reply:
        token = PLACE.set(place)
        try:
            return model.complete(messages, tools, schema)
        except Exception:
            if context.cancelled:
                # The call was given up because nobody wants its reply any more.
                raise TaskWithdrawn(context.run, context.path) from None
            raise
        finally:
            PLACE.reset(token)

    # Doing it again costs money, yet changes nothing: where a reply was lost with its process, it is asked for anew.
    reply = context.effect("model", model.name or "model", parameters, complete, effect="idempotent", result=Reply)
    assert isinstance(reply, Reply)
    return reply


def _place(context: TaskContext, digest: str) -> CallPlace:
    """Count the task's model calls before this one; served calls count as they did when they were made."""
    asked: list[str] = context.ledger.asked_models
    place = CallPlace(len(asked), asked.count(digest), context.ledger.withdrawn)
    asked.append(digest)
    return place


def request_hash(messages: Sequence[Message], tools: Sequence[ToolSpec], schema: dict[str, Any] | None) -> str:
    """Return the SHA-256 of everything that a model is asked, by which a recorded reply is found again."""
    return hashlib.sha256(_encode([messages, tools, schema])).hexdigest()


def schema_of(type: Any) -> dict[str, Any]:
    """Return the JSON schema of a type, its outermost object in place."""
    (schema,), parts = msgspec.json.schema_components([type], ref_template="#/$defs/{name}")
    name = schema.get("$ref", "").rpartition("/")[2]
    if name:
        # Kept among the parts too where the type refers to itself.
        schema = dict(parts[name])
        if f'"#/$defs/{name}"'.encode() not in _encode(parts):
            del parts[name]
    return {**schema, "$defs": parts} if parts else schema


def checked(reply: Reply, schema: dict[str, Any], result: Any) -> tuple[Any, str]:
    """Return a reply's value, or what is wrong with it in words that a model can act on."""
    try:
        value = json_in(reply.text)
    except ValueError as error:
        cut = ": it was cut off at the length limit" if reply.finish == "length" else ""
        return None, f"{error}{cut}"
    problem = _misfit(value, schema)
    if problem or result is Any:
        return value, problem
    try:
        return msgspec.convert(value, result), ""
    except msgspec.ValidationError as error:
        return None, str(error)


def _check_schema(schema: dict[str, Any]) -> None:
    """Raise ValueError for a schema that is none, before anything is paid."""
    from jsonschema import SchemaError, validators

    try:
        validators.validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"the schema that was asked for is none: {error.message}") from error


def _misfit(value: Any, schema: dict[str, Any]) -> str:
    """Say where a value doesn't fit a schema, its worst place first."""
    from jsonschema import validators
    from jsonschema.exceptions import best_match

    cls = validators.validator_for(schema)
    found = best_match(cls(schema).iter_errors(value))
    return "" if found is None else f"{found.message} - at `{found.json_path}`"
