"""Event ids: 16 bytes, made by the emitter, and the key of deduplication for ever.

`uuid7` is time-ordered (RFC 9562 section 5.7), for facts that happen once; `derived_id` is a UUIDv8 (section 5.8) of
a hash, for what must come out the same when it is made again after a crash. Pure: time and randomness are arguments.
"""

from __future__ import annotations

import hashlib


def uuid7(time_ms: int, random: bytes) -> bytes:
    """Return a UUIDv7 of a Unix time in milliseconds and 10 random bytes."""
    value = (time_ms & (1 << 48) - 1) << 80 | int.from_bytes(random[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return value.to_bytes(16, "big")


def derived_id(run: str, path: str, what: str, n: int = 0) -> bytes:
    """Return the UUIDv8 of (run, path, what, n); n counts retries and rounds."""
    digest = hashlib.sha256("\0".join((run, path, what, str(n))).encode()).digest()
    value = int.from_bytes(digest[:16], "big")
    value = value & ~(0xF << 76) | 0x8 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return value.to_bytes(16, "big")
