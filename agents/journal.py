"""The task as it is asked for, and where its facts go.

Owns the shape of a request, the `Journal` contract that a bus client and an in-memory log both keep, and how payloads
beyond the size of an event are held as blobs (see `eventstore/large_values.py`).
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ..eventstore import large_values
from ..eventstore.check import is_too_deep
from ..eventstore.event import Event, NewEvent
from ..eventstore.ids import uuid7
from ..eventstore.large_values import may_hold, shrink
from ..eventstore.log import Append, EventLog
from .faults import printable

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Journal(Protocol):
    """Where a task reads and writes its own stream."""

    def append(self, events: Sequence[NewEvent], expected_version: Mapping[str, int] | None = None) -> Sequence[Event]:
        """Append atomically, where streams have the versions expected; durable on return."""

    def append_soon(self, event: NewEvent) -> None:
        """Queue an event, which becomes durable before any event appended later."""

    def history(self, stream: str) -> Sequence[Event]:
        """Return all events of a stream, oldest first."""

    def newest(self, stream: str, limit: int) -> Sequence[Event]:
        """Return the last events of a stream, the newest first."""

    def first(self, stream: str) -> Event | None:
        """Return the first event of a stream, None where it has none."""

    def put_blob(self, data: bytes) -> str:
        """Hold bytes until an event names them; return their SHA-256 in hex."""

    def get_blob(self, digest: str) -> bytes:
        """Return the bytes with this SHA-256."""


class AgentPlaces(msgspec.Struct, frozen=True):
    """The folders under the home that agents work in."""

    home: Path

    @property
    def stores(self) -> Path:
        """Bare stores, one for each repository, and beside it one for each run."""
        return self.home / "stores"

    @property
    def workspaces(self) -> Path:
        """Workspaces, as `<run>/<path>`."""
        return self.home / "workspaces"

    @property
    def patches(self) -> Path:
        """Patch files that runs leave for their users."""
        return self.home / "patches"

    @property
    def cache(self) -> Path:
        """What can be worked out again: results of tests at a base commit, indexes of repositories."""
        return self.home / "cache"

    @property
    def blobs(self) -> Path:
        """Payloads too large for an event, named by their hash."""
        return self.home / "blobs"


class HumanAnswer(msgspec.Struct, frozen=True):
    """What a human has answered to a question of an earlier attempt; `expired`: nobody has, so it is the default."""

    question: Any = None
    answer: Any = None
    note: str = ""
    expired: bool = False


class Resolved(msgspec.Struct, frozen=True):
    """What a human knows of an effect in doubt, by its key: it is `done` with this value, or to `retry`.

    It speaks of what stands in the log up to position `until`.
    """

    effect: str
    answer: str
    until: int
    value: Any = None


class Ancestor(msgspec.Struct, frozen=True):
    """A run that a fork comes from: what it recorded up to `until` is the fork's own past, and recorded layers are
    answered from what it recorded up to `record`.
    """

    run: str
    until: int
    record: int


class ForkOrigin(msgspec.Struct, frozen=True):
    """What a task of a fork is told of where that comes from: the runs, the nearest first, and the layers of effects
    (`model`, `tools`) that are done for real.

    `carries` are the ids, in hex, of the ancestors' requests with which this attempt was begun before the cut;
    `inherited` tells whether the task was known there at all.
    """

    lineage: tuple[Ancestor, ...]
    live: tuple[str, ...] = ()
    carries: tuple[str, ...] = ()
    inherited: bool = False


class TaskRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One task to do, as `task.requested` says it; `id` is that event's, `delivery` counts how often it was handed out.

    `attempt` counts the plan's retries from 1; `undo` marks a compensation; `trace` is the W3C traceparent to carry on.
    `fresh`: nothing has been recorded in its stream, by no attempt and no delivery. `answers` and `resolved` are what
    humans have said since the first attempt, oldest first. `fork` is set in a run that was forked from another one.
    """

    run: str
    path: str
    agent: str
    input: Any
    id: bytes
    attempt: int = 1
    delivery: int = 1
    requires: tuple[str, ...] = ()
    timeout_s: float | None = None
    effect: str | None = None
    undo: bool = False
    trace: str = ""
    fresh: bool = False
    answers: tuple[HumanAnswer, ...] = ()
    resolved: tuple[Resolved, ...] = ()
    fork: ForkOrigin | None = None

    @property
    def stream(self) -> str:
        """The stream into which the task's holder reports."""
        return f"task.{self.run}.{self.path}"


class RequestData(msgspec.Struct):
    """The payload of `task.requested`, checked when it is received."""

    path: str
    agent: str
    input: Any = None
    attempt: int = 1
    requires: tuple[str, ...] = ()
    timeout_s: float | None = None
    effect: str | None = None
    undo: bool = False
    answers: tuple[HumanAnswer, ...] = ()
    resolved: tuple[Resolved, ...] = ()
    fork: ForkOrigin | None = None


_decode_request = msgspec.json.Decoder(RequestData).decode


def request_of(event: Event, journal: Journal, delivery: int = 1, *, fresh: bool = False) -> TaskRequest:
    """Read a `task.requested`; values held as blobs are loaded. Raises msgspec.ValidationError for a wrong payload."""
    payload = event.payload or "null"
    # Any part of it may be held: its input, what humans have answered.
    held = may_hold(payload)
    data = msgspec.convert(load(event.data, journal), RequestData) if held else _decode_request(payload)
    return TaskRequest(
        run=event.run, path=data.path, agent=data.agent, input=data.input, id=event.id,
        attempt=data.attempt, delivery=delivery, requires=data.requires, timeout_s=data.timeout_s, effect=data.effect,
        undo=data.undo, trace=event.trace, fresh=fresh and data.fork is None, answers=data.answers,
        resolved=data.resolved, fork=data.fork,
    )  # fmt: skip


def pack(data: dict[str, Any], journal: Journal) -> str:
    """Encode a payload; while it is too large for an event, its largest values go into blobs.

    Text without a UTF-8 form (file names in messages of errors) is escaped.
    """
    try:
        payload = _encode(data)
    except UnicodeEncodeError:
        data = _printable(data)
        payload = _encode(data)
    return shrink(payload, journal.put_blob).decode()


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_printable(name): _printable(item) for name, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list | tuple) else value


def as_json(value: Any) -> Any:
    """Return a value as it will come out of the log; raises TypeError or ValueError where it isn't JSON-like."""
    text = _encode(value)
    # A payload wraps a value into a few levels of its own.
    if is_too_deep(f"[[[[{text.decode()}]]]]"):
        raise ValueError("it is nested too deeply")
    return _decode(text)


def hold(value: Any, journal: Journal) -> dict[str, Any]:
    """Put a value into a blob and return the reference to it."""
    return large_values.hold(value, journal.put_blob)


def load(value: Any, journal: Journal) -> Any:
    """Return JSON-like data with every blob reference in it replaced by what it holds, however large."""
    return large_values.inflate(value, journal.get_blob, None)


def fresh_id() -> bytes:
    """Return a new UUIDv7 for a fact that happens once."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


class LogJournal:
    """A journal straight over a log, without a bus: what trial runs and unit tests use."""

    def __init__(self, log: EventLog, source: str) -> None:
        self.log = log
        self.source = source
        self._blobs: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def append(self, events: Sequence[NewEvent], expected_version: Mapping[str, int] | None = None) -> Sequence[Event]:
        """Append atomically; raises the log's errors."""
        named = [one if one.id else msgspec.structs.replace(one, id=fresh_id()) for one in events]
        with self._lock:
            request = Append(events=named, source=self.source, expected_version=expected_version or {})
            return self.log.append(request).events

    def append_soon(self, event: NewEvent) -> None:
        """Append at once: nothing is saved by waiting here."""
        self.append([event])

    def history(self, stream: str) -> Sequence[Event]:
        """Read the stream page by page."""
        found: list[Event] = []
        while page := self.log.read(stream=stream, after=found[-1].position if found else 0, limit=1000):
            found += page
        return found

    def newest(self, stream: str, limit: int) -> Sequence[Event]:
        """Read the stream from its end."""
        return self.log.read(stream=stream, limit=limit, reverse=True)

    def first(self, stream: str) -> Event | None:
        """Read the first event of a stream."""
        return next(iter(self.log.read(stream=stream, limit=1)), None)

    def put_blob(self, data: bytes) -> str:
        """Hold bytes in memory."""
        digest = hashlib.sha256(data).hexdigest()
        self._blobs[digest] = data
        return digest

    def get_blob(self, digest: str) -> bytes:
        """Return bytes held before; raises KeyError for unknown ones."""
        return self._blobs[digest]
