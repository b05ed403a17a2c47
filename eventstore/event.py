"""The event: an immutable fact, and the same before it has a place in the log.

Owns the shape only. Ids and times come from outside (`ids`, the log); JSON text is kept as it was written, so that
payloads pass through the bus undecoded and hash the same for ever. Both travel as arrays (a third of the time and
bytes of maps), so fields are only ever added at the end; neither can be part of a reference cycle.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """An event that is to be appended.

    `payload` is JSON text of at most 1 MiB. `id` (16 bytes) is given by the emitter's client where it is empty;
    `stream` defaults to the first token of the type. `to` names a queue, `run` a run (32 hex digits), `cause` the
    id of the causing event, `trace` a W3C traceparent, `seen` the position up to which a decision had folded.
    """

    type: str
    payload: str = "null"
    stream: str = ""
    id: bytes = b""
    schema: int = 1
    to: str = ""
    run: str = ""
    cause: bytes = b""
    trace: str = ""
    seen: int = 0


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fact in the log. `to` names a queue; absent texts are "", an absent `cause` (the id of an event) is b"".

    `time` is nanoseconds since the epoch, stamped at append and never decreasing. `payload` is JSON text, or None
    once it has been freed by `forget`; `data_hash` is its SHA-256, `hash` the chain's.
    """

    position: int
    stream: str
    version: int
    id: bytes
    type: str
    schema: int
    to: str
    time: int
    source: str
    run: str
    cause: bytes
    trace: str
    seen: int
    payload: str | None
    data_hash: bytes
    hash: bytes

    @property
    def data(self) -> Any:
        """The payload as Python data, decoded anew at each access; None once it has been forgotten."""
        return None if self.payload is None else read_json(self.payload)


def read_json(text: str | bytes) -> Any:
    """Decode JSON text as the data of an event; raises msgspec.DecodeError, ValueError or RecursionError."""
    try:
        return _decode(text)
    except msgspec.ValidationError:
        # JSON has no largest number, a float has: the standard library reads such a number as infinite.
        return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int | float:
    """Read an integer of any length: beyond what Python converts to an int, as a float, like any too large number."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def new_event(type: str, data: Any = None, **fields: Any) -> NewEvent:
    """Make a NewEvent from JSON-like data; raises TypeError where data is not JSON-like."""
    return NewEvent(type=type, payload=_encode(data).decode(), **fields)
