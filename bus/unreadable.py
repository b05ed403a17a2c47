"""What can be told of a message that doesn't decode: who asked what, and what is wrong with it. Pure.

A client encodes what its caller gave it, so a wrong type (an event where its id was meant) is seen here first. Whoever
asked is told, instead of waiting for an answer that never comes; what travelled along is sound, and carried out.
Nothing is built of what doesn't come from a client of ours.
"""

from __future__ import annotations

import re
from typing import Annotated, get_args

import msgspec

from ..eventstore.errors import InvalidEvent, TwelvefoldError
from ..eventstore.event import NewEvent
from .errors import BadRequest
from .wire import ClientMessage, Post, Request, WireError

#: More than any client of ours puts into one message.
_PARTS_MAX = 4096
_parts = msgspec.msgpack.Decoder(Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=_PARTS_MAX)]).decode
_request = msgspec.msgpack.Decoder(Request).decode
_number = msgspec.msgpack.Decoder(Annotated[int, msgspec.Meta(ge=1)]).decode
_KINDS = {cls.__struct_config__.tag: cls for cls in get_args(ClientMessage)}
#: Where in a request an event's field stands, and where in a message its own.
_EVENT_FIELD = re.compile(r"(.*) - at `\$\[1\]\[(\d+)\]\[(\d+)\]`", re.DOTALL)
_FIELD = re.compile(r"(.*) - at `\$\[(\d+)\].*`", re.DOTALL)


class Unreadable(msgspec.Struct, frozen=True):
    """The appends of a message that can be read, and the numbers of its other requests with what is wrong."""

    sound: list[Request]
    faults: list[tuple[int, TwelvefoldError]]


def what_was_asked(frame: bytes) -> Unreadable | None:
    """Return what is known of a message that doesn't decode; None where nobody waits for an answer to it."""
    try:
        parts = _parts(frame)
        kind = _KINDS.get(_number(parts[0])) if len(parts) > 1 else None
        if kind is Post:
            return _appends(_parts(parts[1]))
        if kind is None or kind.__struct_fields__[0] != "seq":
            return None
        return Unreadable([], [(_number(parts[1]), BadRequest(_fault(frame, kind)))])
    except WireError:
        return None


def _appends(parts: list[msgspec.Raw]) -> Unreadable:
    asked = Unreadable([], [])
    for part in parts:
        try:
            asked.sound.append(_request(part))
        except WireError as error:
            asked.faults.append((_number(_parts(part)[0]), _append_fault(str(error))))
    return asked


def _append_fault(text: str) -> TwelvefoldError:
    if (found := _EVENT_FIELD.fullmatch(text)) is not None and int(found[3]) < len(NewEvent.__struct_fields__):
        return InvalidEvent(int(found[2]), NewEvent.__struct_fields__[int(found[3])], f"is of a wrong type: {found[1]}")
    return BadRequest(_named(text, Request.__struct_fields__))


def _fault(frame: bytes, kind: type[msgspec.Struct]) -> str:
    try:
        msgspec.msgpack.decode(frame, type=kind)
    except WireError as error:
        return f"{kind.__name__.lower()}: {_named(str(error), ('tag', *kind.__struct_fields__))}"
    return f"{kind.__name__.lower()}: it cannot be read"


def _named(text: str, fields: tuple[str, ...]) -> str:
    """Name the field that a fault found by its number."""
    found = _FIELD.fullmatch(text)
    return f"{fields[int(found[2])]}: {found[1]}" if found and int(found[2]) < len(fields) else text
