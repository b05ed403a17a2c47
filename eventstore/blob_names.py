"""How a payload names a blob: an object `{"blob": "<sha256 in hex>", "size": <bytes>}` anywhere in it. Pure."""

from __future__ import annotations

import re

_NAMED = re.compile(r'"blob"\s*:\s*"([0-9a-f]{64})"')


def blobs_named(payload: str) -> set[str]:
    """Return the SHA-256 of every blob that a payload names."""
    return set(_NAMED.findall(payload))


def blob_reference(sha256: str, size: int) -> dict[str, str | int]:
    """Return what a payload holds in place of a blob's content."""
    return {"blob": sha256, "size": size}
