"""What the table of processes wants done; the supervisor does it."""

from __future__ import annotations

from typing import Any

import msgspec


class Spawn(msgspec.Struct, frozen=True):
    """Start the process of a place; `spawned` or `exited` must follow."""

    key: str


class Signal(msgspec.Struct, frozen=True):
    """Send a signal (by name) to a place's process group."""

    key: str
    signal: str


class Record(msgspec.Struct, frozen=True):
    """Append an event of a place's process to its stream."""

    key: str
    stream: str
    type: str
    data: dict[str, Any]


class TellAll(msgspec.Struct, frozen=True):
    """Let the bus have all that it is still to be told, as it is to go; `told` may follow."""

    key: str


Command = Spawn | Signal | Record | TellAll
