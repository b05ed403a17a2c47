"""`twelvefold emit`: one event from the command line into the log, durable when the command ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ..connection import connect_sync
from ..errors import DataInvalid, DataUnreadable, NameInvalid
from ..eventstore.event import NewEvent
from ..eventstore.names import is_name
from ..tracing.caller import caller_traceparent
from .event_lines import envelope
from .output import write, write_json


def emit(
    type: Annotated[str, typer.Argument(metavar="TYPE", help="What happened, in the past tense: demo.happened.")],
    data: Annotated[str, typer.Option("--data", metavar="JSON|@FILE|-", help="The data; `-` reads stdin.")] = "null",
    stream: Annotated[str, typer.Option("--stream", metavar="S", help="The stream; else the type's first word.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the event as it stands in the log.")] = False,
) -> None:
    """Append one event and print its position.

    The event is durable when the command ends with status 0. It needs a running bus.
    The keys with --json are those of `twelvefold log`.
    """
    for what, name in (("event type", type), ("stream", stream or "x")):
        if not is_name(name):
            raise NameInvalid(what, name)
    payload = _payload(data)
    with connect_sync() as bus:
        (event,) = bus.emit_many([NewEvent(type=type, payload=payload, stream=stream, trace=caller_traceparent())])
    if as_json:
        write_json(envelope(event))
    else:
        write(str(event.position))


def _payload(given: str) -> str:
    """Return the JSON text that `--data` stands for, as it was written; raises DataInvalid and DataUnreadable."""
    source, text = "--data", given
    try:
        if given == "-":
            source, text = "<stdin>", sys.stdin.buffer.read().decode()
        elif given.startswith("@"):
            source = given[1:]
            text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataUnreadable(source, getattr(error, "strerror", None) or str(error)) from error
    text = text.removeprefix("\ufeff").strip()
    try:
        json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise _invalid(source, text, error.pos, error.msg.lower()) from None
    except _NotJson as error:
        raise _invalid(source, text, max(text.find(error.word), 0), f"{error.word} is no JSON") from None
    except RecursionError:
        raise _invalid(source, text, 0, "nested too deep") from None
    return text


def _invalid(source: str, text: str, index: int, problem: str) -> DataInvalid:
    """Return the error for what is wrong at an index of the text."""
    start = text.rfind("\n", 0, index) + 1
    shown = text[start:].split("\n", 1)[0]
    return DataInvalid(source, text.count("\n", 0, index) + 1, index - start + 1, shown, problem)


class _NotJson(Exception):
    """A word that Python's parser takes and JSON doesn't have (NaN, Infinity)."""

    def __init__(self, word: str) -> None:
        self.word = word


def _refuse(word: str) -> NoReturn:
    raise _NotJson(word)
