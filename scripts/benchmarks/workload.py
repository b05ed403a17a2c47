"""The common work: 256-byte payloads, 100 events a stream, and the sizes of each measurement."""

from __future__ import annotations

import json

EVENTS = 1_000_000
EVENTS_PER_STREAM = 100
BATCH = 500
#: Events that a pipelining producer may have unacknowledged.
WINDOW = 8_000
ROUNDS_LATENCY = 2_000
ROUNDS_WARM = 100
PAYLOAD_BYTES = 256
_FILL = "x" * (PAYLOAD_BYTES - len(json.dumps({"n": 10**18, "text": ""}, separators=(",", ":"))))


def data(n: int, stamp_ns: int | None = None) -> dict[str, object]:
    """The n-th payload, of PAYLOAD_BYTES bytes; with the time of sending in it where that is to be measured."""
    return {"n": stamp_ns or 10**18 + n, "text": _FILL}


def stream_of(n: int) -> str:
    """The stream of the n-th event."""
    return f"bench.{n // EVENTS_PER_STREAM}"
