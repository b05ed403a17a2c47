"""New event ids for emitters: UUIDv7 with a counter after a random start (RFC 9562, section 6.2)."""

from __future__ import annotations

import os
import struct
import time

_pack = struct.Struct(">Q").pack
_VARIANT = 1 << 63
NOISES = 64


class FreshIds:
    """Gives new ids; made anew for each client, and called by one thread at a time."""

    def __init__(self) -> None:
        self._millisecond = -1
        self._head = b""
        self._next = 0
        self._noises: list[bytes] = []

    def _noise(self) -> bytes:
        """Return ten random bytes; asking for many at once costs little more than for a few."""
        if not self._noises:
            many = os.urandom(10 * NOISES)
            self._noises = [many[start : start + 10] for start in range(0, len(many), 10)]
        return self._noises.pop()

    def __call__(self, count: int) -> list[bytes]:
        """Return so many new ids, in ascending order; within a millisecond they go on counting."""
        millisecond = time.time_ns() // 1_000_000
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            noise = int.from_bytes(self._noise(), "big")
            self._head = (millisecond << 16 | 0x7000 | noise >> 68).to_bytes(8, "big")
            # 61 random bits: with room above them, counting never reaches the variant's bits.
            self._next = _VARIANT | noise & (1 << 61) - 1
        start = self._next
        self._next = end = start + count
        head = self._head
        return [head + _pack(value) for value in range(start, end)]
