"""The log in memory: the contract in its plainest form.

For tests, dry runs and as the model that the SQLite log is compared with. Keeps every promise of `log.EventLog` but
durability.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence

import msgspec

from . import chain
from .blob_names import blobs_named
from .check import append_fault, fault_of
from .errors import DuplicateConflict, InvalidEvent, TwelvefoldError, VersionConflict
from .event import Event, NewEvent
from .log import JOINT, Append, Appended
from .names import matches, prefixes


class MemoryLog:
    """A log that ends with its process. `clock` gives nanoseconds since the epoch."""

    def __init__(self, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._events: list[Event] = []
        self._by_id: dict[bytes, Event] = {}
        self._by_stream: dict[str, list[Event]] = {}
        self._type_heads: dict[str, int] = {}
        self._marks: dict[str, str] = {}

    @property
    def head(self) -> int:
        """The position of the last event, 0 for an empty log."""
        return len(self._events)

    def append(self, request: Append) -> Appended:
        """Append, or raise VersionConflict, DuplicateConflict, InvalidEvent or PayloadTooLarge."""
        (result,) = self.append_many([request])
        if isinstance(result, TwelvefoldError):
            raise result
        return result

    def append_many(self, requests: Sequence[Append]) -> list[Appended | TwelvefoldError]:
        """Judge each request in turn and keep all that stand; a refused one is returned as its error."""
        now = max(self._events[-1].time if self._events else 0, self._clock())
        joined: dict[str, list[str]] = {}
        results = [self._append(request, now, joined) for request in requests]
        self._marks.update((name, JOINT.join(texts)) for name, texts in joined.items())
        return results

    def _append(self, request: Append, now: int, joined: dict[str, list[str]]) -> Appended | TwelvefoldError:
        fault = append_fault(request.source, {**request.marks, **request.joined})
        ids = [event.id for event in request.events]
        if len(set(ids)) < len(ids):
            second = next(index for index, id in enumerate(ids) if id in ids[:index])
            fault = fault or InvalidEvent(second, "id", "occurs twice in one append")
        for index, event in enumerate(request.events):
            fault = fault or fault_of(event, index)
        if fault is not None:
            return fault
        known = [self._by_id.get(id) for id in ids]
        if ids and all(known):
            found = [event for event in known if event is not None]
            for new, old in zip(request.events, found, strict=True):
                if not same_content(new, old):
                    return DuplicateConflict(new.id.hex(), old.position)
            if request.keeps_marks:
                self._mark(request, joined)
            return Appended(found, fresh=False)
        for some in known:
            if some is not None:
                return DuplicateConflict(some.id.hex(), some.position)
        for stream, expected in request.expected_version.items():
            if self.version(stream) != expected:
                return VersionConflict(stream, expected, self.version(stream))
        self._mark(request, joined)
        return Appended([self._add(event, request.source, now) for event in request.events], fresh=True)

    def _mark(self, request: Append, joined: dict[str, list[str]]) -> None:
        for name, value in request.marks.items():
            if value is None:
                self._marks.pop(name, None)
            else:
                self._marks[name] = value
        for name, text in request.joined.items():
            joined.setdefault(name, []).append(text)
        for position in request.frees:
            self._free(position)

    def _free(self, position: int) -> None:
        if not 0 < position <= len(self._events) or (event := self._events[position - 1]).payload is None:
            return
        freed = msgspec.structs.replace(event, payload=None)
        self._events[position - 1] = self._by_id[event.id] = freed
        self._by_stream[event.stream][event.version - 1] = freed

    def _add(self, new: NewEvent, source: str, now: int) -> Event:
        stream = new.stream or new.type.partition(".")[0]
        event = Event(len(self._events) + 1, stream, self.version(stream) + 1, new.id, new.type, new.schema, new.to,
                      now, source, new.run, new.cause, new.trace, new.seen, new.payload,
                      chain.data_hash_of(new.payload), b"")  # fmt: skip
        previous = self._events[-1].hash if self._events else chain.GENESIS
        event = msgspec.structs.replace(event, hash=chain.hash_of(event, previous))
        self._events.append(event)
        self._by_id[event.id] = event
        self._by_stream.setdefault(stream, []).append(event)
        for pattern in prefixes(event.type):
            self._type_heads[pattern] = event.position
        return event

    def read(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int = 1000,
        stream: str | None = None,
        type: str | None = None,
        run: str | None = None,
        to: str | None = None,
        source: str | None = None,
        reverse: bool = False,
    ) -> list[Event]:
        """Read one page; see `log.EventLog.read`."""
        low = bisect_right(self._events, after, key=lambda event: event.position)
        high = self.head if until is None else max(0, min(until, self.head))
        found: list[Event] = []
        for index in range(high - 1, low - 1, -1) if reverse else range(low, high):
            event = self._events[index]
            if len(found) >= limit:
                break
            if (
                (stream is None or matches(stream, event.stream))
                and (type is None or matches(type, event.type))
                and (run is None or event.run == run)
                and (to is None or event.to == to)
                and (source is None or event.source == source)
            ):
                found.append(event)
        return found

    def version(self, stream: str) -> int:
        """Return the version of a stream, 0 where it does not exist."""
        return len(self._by_stream.get(stream, ()))

    def event_of(self, id: bytes) -> Event | None:
        """Return the event with this id, or None."""
        return self._by_id.get(id)

    def last_position(self, pattern: str) -> int:
        """Return the last position under a type pattern, 0 where there is none."""
        return self._type_heads.get(pattern, 0)

    def marks(self, prefix: str = "") -> dict[str, str]:
        """Return the marks whose name starts with prefix, in the order of their names."""
        return {name: self._marks[name] for name in sorted(self._marks) if name.startswith(prefix)}

    def is_blob_named(self, sha256: str) -> bool:
        """Look through all events."""
        return any(sha256 in blobs_named(event.payload) for event in self._events if event.payload)

    def wipe(self) -> bool:
        """Do nothing: a freed payload stands nowhere else."""
        return True

    def compact(self) -> None:
        """Do nothing: what is freed takes no space."""

    def stats(self) -> dict[str, int]:
        """Return the head; there is no file to tell of."""
        return {"head": self.head}

    def close(self) -> None:
        """Do nothing: memory is all there is to release."""


def same_content(new: NewEvent, old: Event) -> bool:
    """Tell whether an event is the one that stands in the log: time, source, trace and seen don't count.

    The payload is compared by its hash, which outlives the payload itself.
    """
    return (
        (new.stream or new.type.partition(".")[0]) == old.stream
        and new.type == old.type
        and new.schema == old.schema
        and new.to == old.to
        and new.run == old.run
        and new.cause == old.cause
        and chain.data_hash_of(new.payload) == old.data_hash
    )
