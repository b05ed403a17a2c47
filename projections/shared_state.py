"""The read model of a namespace of shared state: for each key its last value and version. Pure.

Owns which events say what of a key. What is appended to change one is `orchestration/shared_state.py`'s. Keeps: an
entry's version is the version of its key's stream, whoever wrote there, so that comparing versions compares facts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import immutables
import msgspec

from ..eventstore.event import Event

PUT = "state.put"
DELETED = "state.deleted"


class Entry(msgspec.Struct, frozen=True):
    """A key and what it held from an event on. A key that isn't there has `exists` False, no value and version 0.

    `version` counts the changes of its key, deletions too, and never goes back; `position`, `time` (nanoseconds since
    the epoch) and `source` are the event's that made it so.
    """

    key: str
    value: Any = None
    version: int = 0
    exists: bool = False
    position: int = 0
    time: int = 0
    source: str = ""


#: What a namespace holds: entries by the stream of their key, those of deleted keys included.
Namespace = immutables.Map[str, Entry]


def initial() -> Namespace:
    """Return an empty namespace."""
    return immutables.Map()


def apply(namespace: Namespace, event: Event) -> Namespace:
    """Return a namespace after an event of it; what says nothing of a key only moves the key's version on."""
    entry = entry_of(event)
    if entry is None:
        before = namespace.get(event.stream)
        if before is None:
            return namespace
        entry = msgspec.structs.replace(before, version=event.version)
    return namespace.set(event.stream, entry)


def entry_of(event: Event) -> Entry | None:
    """Return what an event says of a key, None for one that says nothing of any."""
    if event.type not in (PUT, DELETED):
        return None
    data = event.data
    key = data.get("key") if isinstance(data, dict) else None
    if not isinstance(key, str) or (event.type == PUT and "value" not in data):
        return None
    put = event.type == PUT
    return Entry(
        key, data["value"] if put else None, event.version, put, event.position, event.time, event.source
    )  # fmt: skip


def newest(key: str, events: Iterable[Event]) -> Entry | None:
    """Return how a key stands by the events of its stream, the newest first; None where these don't tell.

    The same as folding them, without those that no longer matter.
    """
    version = 0
    for event in events:
        version = version or event.version
        entry = entry_of(event)
        if entry is not None:
            return msgspec.structs.replace(entry, version=version)
    return None
