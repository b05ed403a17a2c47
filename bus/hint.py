"""What the bus publishes after a commit: a hint of what has happened, by which a watcher sees what it missed. Pure."""

from __future__ import annotations

import msgspec

from ..eventstore.event import Event
from .wire import Message


class Hint(Message, frozen=True):
    """Published after commit: a run of events of one type (of any, under ALL_TOPIC).

    `previous` has the position before it under each prefix of the type, in the order of `names.prefixes` (under `*`
    only, for ALL_TOPIC). Events too large to publish are left out and must be read.
    """

    previous: list[int]
    first: int
    last: int
    events: list[Event]


decode_hint = msgspec.msgpack.Decoder(Hint).decode
