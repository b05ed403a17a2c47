"""Values that are too large for an event: how a payload holds them as blobs, and how they come back.

A value that went into a blob stands in its payload as `{"blob": <SHA-256>, "size": <bytes>}`; the blob has the JSON
text of the value as the payload would have had it. Keeps: what a payload holds is found in it, also where a blob holds
a reference to another one (`holds` then names that one, so that nobody takes it for garbage). Pure: blobs are put and
got by functions that are passed in (`blob_files` has such for files).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from .blob_names import blob_reference, blobs_named
from .check import PAYLOAD_SIZE_MAX
from .event import read_json

#: Stores bytes and returns their SHA-256 in hex.
Put = Callable[[bytes], str]
#: Returns the bytes with a SHA-256; None, or an error of its own, where they can't be had.
Get = Callable[[str], bytes | None]
#: Returns JSON-like data with what is held as blobs in it.
Load = Callable[[Any], Any]

#: The bytes of blobs that are loaded for one event where nobody says otherwise; the others stay references.
LOADED_BYTES_MAX: Final = 64 << 20

#: A smaller value would not get smaller as a reference.
_WORTH = 256
_SHA256 = re.compile(r"[0-9a-f]{64}")
_encode = msgspec.json.Encoder().encode
_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def is_reference(value: Any) -> bool:
    """Tell whether a value stands for one that is held as a blob."""
    return (
        isinstance(value, dict)
        and len(value) in (2, 3)
        and isinstance(value.get("size"), int)
        and isinstance(value.get("blob"), str)
        and (len(value) == 2 or "holds" in value)
        and _SHA256.fullmatch(value["blob"]) is not None
    )


def may_hold(payload: str) -> bool:
    """Tell, as quick as can be, whether there may be a reference in a payload."""
    return '"blob"' in payload


def shrink(payload: bytes, put: Put, size_max: int = PAYLOAD_SIZE_MAX) -> bytes:
    """Return a payload, an object, with its largest values put into blobs until it has at most `size_max` bytes.

    Where that can't be reached it is as small as it can be made. The same payload always gives the same.
    """
    if len(payload) <= size_max:
        return payload
    fields = _split(payload)
    size = len(payload)
    for name in sorted(fields, key=lambda name: len(memoryview(fields[name])), reverse=True):
        text = bytes(fields[name])
        if size <= size_max or len(text) < _WORTH:
            break
        reference = _encode(hold_text(text, put))
        fields[name] = msgspec.Raw(reference)
        size += len(reference) - len(text)
    return _encode(fields)


def hold(value: Any, put: Put) -> dict[str, Any]:
    """Put a value into a blob and return the reference to it."""
    return hold_text(_encode(value), put)


def hold_text(text: bytes, put: Put) -> dict[str, Any]:
    """Put the JSON text of a value into a blob and return the reference to it."""
    reference: dict[str, Any] = {**blob_reference(put(text), len(text))}
    if b'"blob"' in text and (inner := sorted(blobs_named(text.decode()))):
        reference["holds"] = [{"blob": one} for one in inner]
    return reference


def inflate(value: Any, get: Get, bytes_max: int | None = LOADED_BYTES_MAX) -> Any:
    """Return JSON-like data with every reference in it replaced by what it stands for.

    A reference stays where its blob can't be had, isn't JSON of the size that it says, or would make more than
    `bytes_max` bytes of blobs.
    """
    return _Inflating(get, bytes_max).value(value)


def size_held(value: Any) -> int:
    """Return how many bytes of blobs are loaded where JSON-like data is inflated: those that are too large are not."""
    if is_reference(value):
        size: int = value["size"]
        return size if 0 < size <= LOADED_BYTES_MAX else 0
    if isinstance(value, dict):
        return sum(map(size_held, value.values()))
    return sum(map(size_held, value)) if isinstance(value, list) else 0


class _Inflating:
    """One value that is being inflated: how many bytes may still be loaded for it."""

    def __init__(self, get: Get, left: int | None) -> None:
        self._get = get
        self._left = left

    def value(self, value: Any) -> Any:
        if isinstance(value, dict):
            if is_reference(value):
                return self._loaded(value)
            return {name: self.value(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def _loaded(self, reference: dict[str, Any]) -> Any:
        if self._left is not None and reference["size"] > self._left:
            return reference
        text = self._get(reference["blob"])
        # What it says of its size is its writer's word only, and others count on it.
        if text is None or len(text) != reference["size"]:
            return reference
        try:
            found = read_json(text)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return reference
        if self._left is not None:
            self._left -= len(text)
        return self.value(found) if "holds" in reference else found
