"""How events are shown: as the JSON envelope that scripts read, and as lines that people read."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import msgspec

from ..eventstore.event import Event
from .output import Style, harmless, on_terminal, rfc3339, write

_GOOD = frozenset({"succeeded", "completed", "ready", "published", "answered"})
_BAD = frozenset({"failed", "crashed", "parked", "in_doubt", "expired"})
_UNEASY = frozenset({"needs_human", "cancelled", "restarted", "nothing_to_do", "rolled_back"})


def envelope(event: Event) -> dict[str, Any]:
    """Return the JSON form of an event: stable keys, ids in hex, what is absent null. `data` is not decoded for it."""
    return {
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "id": event.id.hex(),
        "type": event.type,
        "schema": event.schema,
        "time": rfc3339(event.time),
        "source": event.source or None,
        "run": event.run or None,
        "cause": event.cause.hex() or None,
        "trace": event.trace or None,
        "data": None if event.payload is None else msgspec.Raw(_on_one_line(event.payload).encode()),
        "hash": event.hash.hex(),
    }


class EventLines:
    """Writes events for people: one line each, and below it the payload where that is wanted."""

    def __init__(self, *, data: bool = False, oneline: bool = False) -> None:
        self._style = Style(sys.stdout)
        self._data, self._oneline = data, oneline
        self._width = shutil.get_terminal_size().columns if on_terminal() else None
        #: Whether an event has been written.
        self.begun = False

    def write(self, event: Event) -> None:
        """Write one event."""
        begun, self.begun = self.begun, True
        if self._oneline:
            self._write_short(event)
            return
        if not begun:
            heading = f"{'POSITION':>8}  {'TIME':<27}  {'TYPE':<20}  STREAM@VERSION"
            write(self._style.bold(heading + "  SOURCE"))
        style = self._style
        time = style.dim(f"{rfc3339(event.time):<27}")
        kind = painted(style, event.type, f"{event.type:<20}")
        place = f"{event.stream}@{event.version}"
        write(f"{event.position:>8}  {time}  {kind}  {place}  {style.dim(event.source)}".rstrip())
        if self._data:
            text = "(forgotten)" if event.payload is None else _indented(event.payload)
            write("\n".join(" " * 10 + line for line in text.split("\n")))

    def _write_short(self, event: Event) -> None:
        """Write position, type, stream and payload in one line, cut at the terminal's edge."""
        payload = "(forgotten)" if event.payload is None else harmless(_on_one_line(event.payload))
        head = f"{event.position} {event.type} {event.stream}@{event.version}"
        if self._width is not None:
            room = max(self._width - len(head) - 1, 0)
            payload = payload if len(payload) <= room else payload[: max(room - 1, 0)] + "…"
        kind = painted(self._style, event.type, event.type)
        write(f"{event.position} {kind} {event.stream}@{event.version} {self._style.dim(payload)}".rstrip())


def _on_one_line(payload: str) -> str:
    """Return JSON text without line breaks, which can only stand between its tokens."""
    if "\n" not in payload and "\r" not in payload:
        return payload
    try:
        return msgspec.json.format(payload, indent=-1)
    except msgspec.DecodeError:
        # Somebody changed the file: what stands there now is shown, and `verify` tells.
        return " ".join(payload.split())


def _indented(payload: str) -> str:
    """Return JSON text laid out for reading, its order, numbers and letters as they were."""
    try:
        return harmless(msgspec.json.format(payload, indent=2))
    except msgspec.DecodeError:
        return harmless(_on_one_line(payload))


def painted(style: Style, type: str, text: str) -> str:
    """Return text coloured by what the last word of a type says."""
    word = type.rpartition(".")[2]
    if word in _BAD:
        return style.red(text)
    if word in _GOOD:
        return style.green(text)
    return style.yellow(text) if word in _UNEASY else style.cyan(text)
