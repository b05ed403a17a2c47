"""The loop in which a model works: it chooses a typed action, which is checked, recorded, done and observed, until it
is done, asks a human, or may not go on.

Owns the loop and nothing of the work: tools and opening are given, `_apply_action` of the agent carries actions out.
Replace it by a subclass: every step is a method. Keeps: what a model writes is an action, never an act; an unknown or
wrong one goes back to it and is counted; whatever was recorded is served when the task is delivered again, so that no
reply is paid for twice; it ends.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..eventstore.errors import TwelvefoldError
from .errors import EffectInDoubt, HumanNeeded, InvalidParameters, TaskWithdrawn, UnknownTool
from .model_context import Fact, Observed, Step, build_context, steps_of, tokens_of_text
from .models.calls import ask, schema_of
from .models.errors import ModelNotUsable
from .models.json_text import tool_calls_in
from .models.model import Message, Model, Reply, ToolCall, ToolSpec
from .prompt import Prompt, load_prompt
from .response import ToolResponse
from .tool import Tool
from .tool_calls import finished

if TYPE_CHECKING:
    from .context import TaskContext

How = Literal["done", "ask_human", "give_up", "errors", "steps"]
_Words = Annotated[str, Meta(min_length=1, max_length=4000)]
#: Fewer tokens than this are no room to work in.
_ROOM_MIN = 1000
_encode = msgspec.json.Encoder(order="sorted").encode


class Ended(msgspec.Struct, frozen=True):
    """How a loop ended: the model is `done`, asks (`ask_human`), gives up (`give_up`), made too many `errors` one after
    the other, or took all its `steps`; `message` is its summary, question or reason, or the last error.
    """

    how: How
    message: str
    steps: int


class Done(msgspec.Struct, forbid_unknown_fields=True):
    """Say that the task is done, once everything that was asked for is changed and checked."""

    summary: Annotated[_Words, Meta(description="What was changed and why, in a few sentences")]


class AskHuman(msgspec.Struct, forbid_unknown_fields=True):
    """Ask a person what only a person can decide. The work ends here and goes on with the answer."""

    question: Annotated[_Words, Meta(description="One question that can be answered without seeing this conversation")]


class GiveUp(msgspec.Struct, forbid_unknown_fields=True):
    """Say that the task can't or needn't be done."""

    reason: Annotated[_Words, Meta(description="Why, in a few sentences")]


#: The actions that end the work.
ENDS: dict[str, type[Done] | type[AskHuman] | type[GiveUp]] = {"done": Done, "ask_human": AskHuman, "give_up": GiveUp}


class ModelLoop:
    """Has a model work with tools on what the opening messages say.

    `steps_max`: how many replies are asked for at most. `errors_max`: how many actions may fail one after the other.
    `actions_max`: how many actions of one reply are done. `tokens_max` is the room for messages, the reply left out.
    """

    steps_max = 50
    errors_max = 6
    actions_max = 16

    def __init__(
        self,
        context: TaskContext,
        model: Model,
        tools: Sequence[Tool],
        opening: Sequence[Message],
        *,
        prompt: Prompt | Sequence[Prompt] | None = None,
        tokens_max: int | None = None,
    ) -> None:
        self.context = context
        self.model = model
        self.tools = {tool.name: tool for tool in tools}
        self.opening = tuple(opening)
        self.prompt = prompt
        self.specs = [ToolSpec(tool.name, tool.description, tool.schema()) for tool in tools]
        self.specs += [ToolSpec(name, inspect.getdoc(cls) or "", _schema(cls)) for name, cls in ENDS.items()]
        room = context.settings.model_context if tokens_max is None else tokens_max
        taken = tokens_of_text(_encode(self.specs).decode())
        # A quarter is for the reply.
        self.tokens_max = room * 3 // 4 - taken
        if self.tokens_max < _ROOM_MIN:
            problem = f"{room} tokens are too few beside its tools, which take about {taken}"
            remedy = f"export TWELVEFOLD_MODEL_CONTEXT={(taken + _ROOM_MIN) * 3 // 2}"
            raise ModelNotUsable(model.name, problem, remedy)
        self._errors = 0
        self._begun = len(context.ledger.done)
        self._said: tuple[Message, ...] = ()

    def run(self) -> Ended:
        """Work until the end; raises what ends the turn or the task (withdrawal, doubt, a model's failure)."""
        with _offered(self.context, list(self.tools.values())):
            for number in range(1, self.steps_max + 1):
                self.context.progress((number - 1) / self.steps_max, f"step {number}")
                reply = self.choose(self.shown())
                ended = self.act(reply, number)
                if ended is not None:
                    return ended
        return Ended("steps", f"the model took all {self.steps_max} steps", self.steps_max)

    def steps(self) -> list[Step]:
        """Return what the loop has recorded so far."""
        done = self.context.ledger.done[self._begun :]
        return steps_of(Fact(call.kind, call.name, recorded.result, recorded.error) for call, recorded in done)

    def shown(self) -> tuple[Message, ...]:
        """Return the messages for the next call."""
        return build_context(self.opening, self.steps(), self.tokens_max).messages

    def choose(self, messages: tuple[Message, ...]) -> Reply:
        """Ask the model for its next actions."""
        since = next((n for n, (a, b) in enumerate(zip(self._said, messages, strict=False)) if a != b), None)
        if since is None:
            since = min(len(self._said), len(messages))
        self._said = messages
        return ask(self.context, self.model, messages, tools=self.specs, prompt=self.prompt, since=since).reply

    def act(self, reply: Reply, number: int) -> Ended | None:
        """Do what a reply chose, in order; return how the work ended, or None to go on."""
        calls = reply.tool_calls or tool_calls_in(reply.text, [spec.name for spec in self.specs])
        if not calls:
            self._tell(reply)
            return self._counted(False, "the reply held no action", number)
        for nth, call in enumerate(calls):
            action = self.chosen(call)
            if nth == self.actions_max:
                self._observe(ToolResponse.failed("too_many_actions", f"at most {nth} actions of one reply are done"))
                break
            response = self.refusal(action)
            if response is None and action.name in ENDS:
                ended = self.ended(action, number)
                if isinstance(ended, Ended):
                    return ended
                response = ended
            if response is None:
                response = self.apply(action)
            else:
                self._observe(response)
            if ended_by := self._counted(response.success, response.error or response.message or "", number):
                return ended_by
        return None

    def chosen(self, call: ToolCall) -> ToolCall:
        """Record the action that a model chose, before anything is done about it."""
        recorded = self.context.record("action", msgspec.to_builtins(call))
        return msgspec.convert(recorded, ToolCall)

    def refusal(self, action: ToolCall) -> ToolResponse | None:
        """Say why an action isn't done: not readable, unknown, or with wrong parameters; None where it may be."""
        try:
            if action.problem:
                raise InvalidParameters(action.name, action.problem)
            if action.name in ENDS:
                try:
                    msgspec.convert(action.arguments, ENDS[action.name])
                except msgspec.ValidationError as error:
                    raise InvalidParameters(action.name, str(error)) from error
            elif action.name not in self.tools:
                raise UnknownTool(action.name, (*self.tools, *ENDS))
            else:
                self.tools[action.name].check(action.arguments)
        except (UnknownTool, InvalidParameters) as error:
            return ToolResponse.failed(type(error).__name__, error.message())
        return None

    def apply(self, action: ToolCall) -> ToolResponse:
        """Have the agent do an action (`_apply_action`), and see to it that what came of it is recorded."""
        done = self.context.ledger.done
        before = len(done)
        try:
            response = self.context.agent._apply_action({"tool": action.name, "parameters": action.arguments})
            if inspect.isawaitable(response):
                response = finished(response)
        except (TaskWithdrawn, EffectInDoubt, HumanNeeded):
            raise
        except TwelvefoldError as error:  # what a tool raised, which is recorded as its effect's failure
            response = ToolResponse.failed(type(error).__name__, error.message())
        if not any(call.kind == "tool" for call, _ in done[before:]):
            # Carried out by something else than a tool, or refused by the agent.
            self._observe(response)
        return response

    def ended(self, action: ToolCall, number: int) -> Ended | ToolResponse:
        """Take an action that ends the work: return the end, or a failed response to go on with."""
        said = next(iter(action.arguments.values()))
        return Ended(action.name, said, number)  # type: ignore[arg-type]

    def _observe(self, response: ToolResponse) -> None:
        facts = msgspec.to_builtins(response)
        facts.pop("timestamp", None)
        self.context.record("observation", facts)

    def _tell(self, reply: Reply) -> None:
        """Tell the model that its reply held no action."""
        why = " Your reply was cut off at the length limit: be shorter." if reply.finish == "length" else ""
        prompt = load_prompt("no_action", self.context.settings.prompts)
        self.context.record("told", prompt.render(names=", ".join(spec.name for spec in self.specs)).strip() + why)

    def _counted(self, success: bool, error: str, number: int) -> Ended | None:
        """Count failures one after the other; too many end the work."""
        self._errors = 0 if success else self._errors + 1
        if self._errors < self.errors_max:
            return None
        return Ended("errors", f"{self._errors} actions failed one after the other, the last one: {error}", number)


def _schema(cls: type) -> dict[str, Any]:
    return {name: value for name, value in schema_of(cls).items() if name not in ("title", "description")}


def observed_in(steps: Sequence[Step]) -> Iterator[Observed]:
    """Return all actions of steps that something came of, in order."""
    for step in steps:
        yield from step.observed


@contextmanager
def _offered(context: TaskContext, tools: list[Tool]) -> Iterator[None]:
    """Have the agent own tools for as long as the loop runs, in front of its own of the same names."""
    agent = context.agent
    own = agent.tools
    names = {tool.name for tool in tools}
    agent.tools = [*tools, *(tool for tool in own if tool.name not in names)]
    try:
        yield
    finally:
        agent.tools = own
