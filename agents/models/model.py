"""What a model is to an agent: messages and tools in, one reply with its usage out.

Owns the protocol and its types. Backends keep it (`openai`, `llm_package`, `scripted`, `recorded`, and those of other
distributions); `calls` is how agents call one, recorded. Keeps: what a service didn't say is None, never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

Role = Literal["system", "user", "assistant", "tool"]
#: Why a reply ended: said all, called tools, was cut at a length, or was withheld by the service.
Finish = Literal["stop", "tool_calls", "length", "filtered"]


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool that a model wants called. `problem` says why `arguments` could not be read; they are empty then."""

    id: str
    name: str
    arguments: dict[str, Any] = {}
    problem: str = ""


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message. `tool_calls` are the assistant's; `tool_call_id` says which call a `tool` message answers."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as a model sees it; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class Usage(msgspec.Struct, frozen=True):
    """What a call has used; None where nobody said. `usd` is worked out from prices that the user gave."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None


class Reply(msgspec.Struct, frozen=True):
    """A model's answer; `model` is the name that the service gave itself."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    finish: Finish = "stop"
    model: str = ""

    def message(self) -> Message:
        """Return the reply as the message that stands for it in what follows."""
        return Message("assistant", self.text, self.tool_calls)


class Model(Protocol):
    """Something that completes messages. Tools may be offered, and the answer may be asked to fit a JSON schema."""

    name: str

    def complete(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), schema: dict[str, Any] | None = None
    ) -> Reply:
        """Return the reply; raises the errors of `models.errors` only.

        Whether a reply fits the schema is its caller's to check (see `calls.ask`): services differ in that.
        """


def priced(usage: Usage, price_in: float | None, price_out: float | None) -> Usage:
    """Return usage with what it costs at prices in US dollars per million tokens; as it is where one isn't known."""
    if price_in is None or price_out is None or usage.tokens_in is None or usage.tokens_out is None:
        return usage
    usd = (usage.tokens_in * price_in + usage.tokens_out * price_out) / 1e6
    return msgspec.structs.replace(usage, usd=round(usd, 9))
