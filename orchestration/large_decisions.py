"""Decisions that are too large for an event, or for one append: their largest values become blobs. Pure.

Deciders see and say whole values. Whoever appends what they said calls this first, and appends what comes out: the
blobs become durable with the very append that names them. The same decisions always give the same events.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ..eventstore.check import PAYLOAD_SIZE_MAX, is_too_deep
from ..eventstore.event import NewEvent
from ..eventstore.large_values import Put, shrink

#: What the payloads of one append may come to: one message on the bus takes 16 MiB.
APPEND_SIZE_MAX = 12 << 20
#: Values below this size stay where they are even then.
_KEPT_SIZE = 4096


def shrunk(events: Sequence[NewEvent], put: Put) -> Sequence[NewEvent]:
    """Return events that the log takes, with values in blobs where they are too large; raises what `put` raises.

    What can't be made to fit is returned as it is, so that the log says what is wrong with it.
    """
    sizes = [len(event.payload) for event in events]
    if sum(sizes) * 4 <= PAYLOAD_SIZE_MAX:
        return events  # not even if each character took four bytes
    small = [_shrunk(event, PAYLOAD_SIZE_MAX, put) for event in events]
    sizes = [len(event.payload.encode()) for event in small]
    size = sum(sizes)
    for n in sorted(range(len(small)), key=lambda n: sizes[n], reverse=True):
        if size <= APPEND_SIZE_MAX or sizes[n] <= _KEPT_SIZE:
            break
        small[n] = _shrunk(small[n], _KEPT_SIZE, put)
        size += len(small[n].payload) - sizes[n]
    return small


def _shrunk(event: NewEvent, size_max: int, put: Put) -> NewEvent:
    if len(event.payload) * 4 <= size_max:
        return event
    payload = event.payload.encode()
    # A blob's depth is never looked at: a value that nests too deep must not get in as one.
    if len(payload) <= size_max or is_too_deep(event.payload):
        return event
    return replace(event, payload=shrink(payload, put, size_max).decode())
