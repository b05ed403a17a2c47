"""The hash chain: what an event's hash covers, byte for byte.

`hash` is SHA-256 of the MessagePack array [hash of the previous event, data_hash, [position, stream, version, id,
type, schema, to, time, source, run, cause, trace, seen]], every integer and length in its shortest form; the event
before the first one has the hash GENESIS. `data_hash` is SHA-256 of the payload's UTF-8. A payload can so be freed and
the chain still verifies. Pure; the log appends with it, `integrity` checks with it.
"""

from __future__ import annotations

import hashlib

import msgspec

from .event import Event

GENESIS = bytes(32)
#: The first fields of an event are its header; payload, data_hash and hash follow.
HEADER_LENGTH = 13
#: Packs one link; shared with the log's hot loop, which has the fields at hand as a tuple.
pack = msgspec.msgpack.Encoder().encode


def data_hash_of(payload: str) -> bytes:
    """Return the hash of a payload as it stands in the log."""
    return hashlib.sha256(payload.encode()).digest()


def hash_of(event: Event, previous: bytes) -> bytes:
    """Return the hash that an event must have after an event with the hash `previous`."""
    header = msgspec.structs.astuple(event)[:HEADER_LENGTH]
    return hashlib.sha256(pack((previous, event.data_hash, header))).digest()
