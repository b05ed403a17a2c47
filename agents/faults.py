"""The compact form of an exception: its class, its message, where it was raised, and the way there.

The whole traceback goes to the process's log (standard error); what stands in an event is short enough to show to a
model or a person, and points to the lines of code. Pure but for reading frames.
"""

from __future__ import annotations

import traceback
from typing import Any

import msgspec

from ..eventstore.errors import TwelvefoldError

MESSAGE_LENGTH_MAX = 2000
FRAME_COUNT_MAX = 8


class Unwinding(BaseException):
    """Ends a handler from without, and is no failure of it: a replay that knows enough. No turn makes a fact of it."""


def compact(error: BaseException) -> dict[str, Any]:
    """Return JSON-like facts: `class`, `message`, `at`; for ours `code`, `help`, `facts`, else `frames`.

    Where the sandbox kept something from happening, `help` says how to allow it, and so does the message.
    """
    message = said(error)
    if len(message) > MESSAGE_LENGTH_MAX:
        message = message[:MESSAGE_LENGTH_MAX] + "…"
    facts: dict[str, Any] = {"class": type(error).__name__, "message": message}
    if isinstance(error, OSError) and (help := _way_to_allow(error)):
        facts |= {"message": f"{message}: {help}", "help": help}
    frames = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    if frames:
        frames = [printable(frame) for frame in frames]
        facts["at"] = frames[-1]
        if not isinstance(error, TwelvefoldError):
            facts["frames"] = frames[-FRAME_COUNT_MAX:]
    if isinstance(error, TwelvefoldError):
        facts |= {"code": error.code, "help": error.help(), "facts": msgspec.to_builtins(error.facts(), enc_hook=str)}
    return facts


def _way_to_allow(error: OSError) -> str:
    """Return how to allow what the sandbox kept from happening; asked for errors of the system only."""
    from .sandbox.hints import way_to_allow

    return printable(way_to_allow(error))


def said(error: BaseException) -> str:
    """Return an exception's message; one whose own `__str__` fails has none."""
    try:
        return printable(str(error))
    except Exception as second:  # noqa: BLE001 - foreign code, and nothing may keep a failure from being told
        return f"<its message cannot be made: {type(second).__name__}>"


def whole(error: BaseException) -> str:
    """Return the whole traceback as text, with causes."""
    return printable("".join(traceback.format_exception(error)))


def printable(text: str) -> str:
    """Return text with what has no UTF-8 form (file names in messages) escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
