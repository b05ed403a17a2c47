"""The hash chain: what an event's hash covers, byte for byte.

`hash` is SHA-256 of the MessagePack array (hash of the previous event, position, stream, version, id, type, schema,
to, time, source, run, cause, trace, seen, data_hash), every integer in its shortest form; the event before the first
one has the hash GENESIS. `data_hash` is SHA-256 of the payload's UTF-8. A payload can so be freed and the chain still
verifies. Pure; the log appends with it, `integrity` checks with it.
"""

from __future__ import annotations

import hashlib

import msgspec

from .event import Event

GENESIS = bytes(32)
#: Packs one link; shared with the log's hot loop, which has the fields at hand as a tuple.
pack = msgspec.msgpack.Encoder().encode


def data_hash_of(payload: str) -> bytes:
    """Return the hash of a payload as it stands in the log."""
    return hashlib.sha256(payload.encode()).digest()


def hash_of(event: Event, previous: bytes) -> bytes:
    """Return the hash that an event must have after an event with the hash `previous`."""
    link = (previous, event.position, event.stream, event.version, event.id, event.type, event.schema, event.to,
            event.time, event.source, event.run, event.cause, event.trace, event.seen, event.data_hash)  # fmt: skip
    return hashlib.sha256(pack(link)).digest()
