"""A model that says what its script says: for tests, demonstrations and trying an agent without paying.

A script is a list of lines, or a file with one (a JSON array, or an object a line). Each line is a text, or an object
with `text`, `tool_calls` (`name`, `arguments`), `usage`, `finish`, and `when`: a regular expression that must be found
in what is asked, for this line to count; `error` (`status`, `said`) makes the call fail. Keeps: which line answers
depends on the task alone, on its messages and how many calls came before, so that a task delivered again goes on where
it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..agent_settings import AgentSettings
from .call_place import PLACE
from .errors import ModelNotUsable, ModelRefused, NoSuchReply
from .model import Finish, Message, Reply, ToolCall, ToolSpec, Usage, priced


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call as a script writes it."""

    name: str
    arguments: dict[str, Any] = {}
    id: str = ""


class ScriptedError(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A failure as a script writes it."""

    status: int = 500
    said: str = "scripted"


class ScriptLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reply of a script."""

    text: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    usage: Usage = Usage()
    finish: Finish | None = None
    when: str = ""
    error: ScriptedError | None = None


class ScriptedModel:
    """Replies with the lines of its script, in their order; those with a `when` only where that is found.

    Of the lines that count for a call, the one is taken whose number is that of the model calls which the task made
    before; outside of a task, which this object has answered. A script that is at its end raises NoSuchReply.
    """

    def __init__(
        self,
        lines: Sequence[str | dict[str, Any] | ScriptLine],
        name: str = "scripted",
        *,
        price_in: float | None = None,
        price_out: float | None = None,
    ) -> None:
        self.name = name
        self.prices = price_in, price_out
        self.lines = [_line(one) for one in lines]
        self._answered = 0

    def complete(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), schema: dict[str, Any] | None = None
    ) -> Reply:
        """Return the script's next reply; raises NoSuchReply, and ModelRefused where it says so."""
        place = PLACE.get()
        number = self._answered if place is None else place.number
        self._answered += 1
        asked = "\n".join(message.content for message in messages)
        lines = [line for line in self.lines if not line.when or re.search(line.when, asked)]
        if number >= len(lines):
            problem = f"{len(lines)} of its {len(self.lines)} lines count here, and this is call {number + 1}"
            raise NoSuchReply(self.name, problem)
        line = lines[number]
        if line.error is not None:
            raise ModelRefused(self.name, "script", line.error.status, line.error.said)
        calls = tuple(
            ToolCall(call.id or f"call_{number}_{nth}", call.name, call.arguments)
            for nth, call in enumerate(line.tool_calls)
        )
        usage = priced(line.usage, *self.prices)
        return Reply(line.text, calls, usage, line.finish or ("tool_calls" if calls else "stop"), self.name)


def _line(given: str | dict[str, Any] | ScriptLine) -> ScriptLine:
    if isinstance(given, str):
        return ScriptLine(given)
    line = given if isinstance(given, ScriptLine) else msgspec.convert(given, ScriptLine)
    re.compile(line.when)
    return line


def backend(settings: AgentSettings, rest: str) -> ScriptedModel:
    """Make the model of a script's file, `scripted:FILE`; raises ModelNotUsable."""
    path = Path(rest).expanduser()
    try:
        raw = path.read_bytes()
        try:
            lines = msgspec.json.decode(raw, type=list[str | dict[str, Any]])
        except msgspec.DecodeError:
            lines = [msgspec.json.decode(line, type=str | dict[str, Any]) for line in raw.splitlines() if line.strip()]
        return ScriptedModel(lines, f"scripted:{path.name}", price_in=settings.price_in, price_out=settings.price_out)
    except OSError as error:
        raise ModelNotUsable(f"scripted:{rest}", error.strerror or str(error), "name a file with a script") from error
    except (msgspec.DecodeError, re.error, TypeError) as error:
        raise ModelNotUsable(f"scripted:{rest}", f"its script can't be read: {error}") from error
