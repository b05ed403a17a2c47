"""New event ids for emitters, many at a time: UUIDv7 with a counter after a random start (RFC 9562, section 6.2)."""

from __future__ import annotations

import os
import struct
import time

_pack = struct.Struct(">Q").pack
_VARIANT = 1 << 63


def fresh_ids(count: int) -> list[bytes]:
    """Return so many new ids, in ascending order."""
    noise = int.from_bytes(os.urandom(10), "big")
    head = ((time.time_ns() // 1_000_000) << 16 | 0x7000 | noise >> 68).to_bytes(8, "big")
    # 61 random bits: with room above them, counting never reaches the variant's bits.
    start = _VARIANT | noise & (1 << 61) - 1
    return [head + _pack(value) for value in range(start, start + count)]
