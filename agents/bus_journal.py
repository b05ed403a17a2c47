"""A task's journal over the bus: its events through the client, large values through the blob folder.

A blob is put where the bus takes it in before it appends the event that names it (`eventstore/blob_files.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from ..bus.client import BusClient
from ..bus.ticket import Ticket
from ..bus.wire import Delivery
from ..eventstore.blob_files import BlobFiles
from ..eventstore.event import Event, NewEvent
from .errors import NotATask
from .journal import TaskRequest, request_of

#: Queued events go out with the next append, or after so long if nothing else is said, or when they are so many bytes.
QUEUED_S = 0.1
QUEUED_BYTES_MAX = 4 << 20


class BusJournal:
    """Writes as the holder of the task's delivery; the bus refuses what isn't its to write. For any thread.

    Queued events travel in front of the next append, in the same atomic batch: they cost no message of their own, and
    what comes later is never durable before them. Where no append follows soon, somebody has to call `send_queued`
    when `due`; `on_queued` is called where that has just been set.
    """

    def __init__(
        self, client: BusClient, blobs: Path, instance: str, on_queued: Callable[[], None] = lambda: None
    ) -> None:
        self.client = client
        self.blobs = BlobFiles(blobs, instance)
        self.instance = instance
        #: When what is queued is to be sent at the latest (monotonic seconds); None while nothing is.
        self.due: float | None = None
        self._on_queued = on_queued
        self._order = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queued: list[NewEvent] = []
        self._queued_bytes = 0
        self._sent: Ticket | None = None

    def request(self, delivery: Delivery) -> TaskRequest:
        """Read the task that was delivered; raises NotATask for an event that is none."""
        event = delivery.event
        if event.type != "task.requested" or not event.run:
            raise NotATask(event.type, event.position, "it is not a task.requested of a run")
        try:
            return request_of(event, self, delivery.attempt, fresh=delivery.fresh)
        except msgspec.ValidationError as error:
            raise NotATask(event.type, event.position, str(error)) from error

    def append(self, events: Sequence[NewEvent], expected_version: Mapping[str, int] | None = None) -> Sequence[Event]:
        """Append atomically; durable on return. Raises what the bus refuses with, queued events' refusals too."""
        with self._order:
            self._finish_sent()
            if expected_version:
                # A refusal must not take along what was queued before and depends on no version.
                queued = self._take_queued()
                if queued:
                    self.client.emit_many(queued)
                return self.client.emit_many(events, expected_version=expected_version)
            queued = self._take_queued()
            return self.client.emit_many([*queued, *events])[len(queued) :]

    def append_soon(self, event: NewEvent, within_s: float = QUEUED_S) -> None:
        """Queue an event for so long at most; a refusal of it is raised by the next append or by `settle`."""
        with self._queue_lock:
            self._queued.append(event)
            self._queued_bytes += len(event.payload)
            is_first, is_full = self.due is None, self._queued_bytes > QUEUED_BYTES_MAX
            if is_first:
                self.due = time.monotonic() + within_s
        if is_full:
            with self._order:
                self._finish_sent()
                self._send(self._take_queued())
        elif is_first:
            self._on_queued()

    def send_queued(self) -> None:
        """Send what is queued, without waiting for anything: what is sent already, or held up, sends more by itself."""
        if not self._order.acquire(blocking=False):
            return
        try:
            sent = self._sent
            if sent is None or (sent.done and sent.error is None):
                self._send(self._take_queued())
            elif self.due is not None:
                self.due = time.monotonic() + QUEUED_S
        finally:
            self._order.release()

    def settle(self, delivery: Delivery, event: NewEvent, on_answer: Callable[[Ticket], None]) -> None:
        """Settle the delivery with its outcome and everything still queued, without waiting: see `settle_next`.

        Raises StaleDelivery where it is withdrawn already, and what queued events were refused with.
        """
        with self._order:
            self._finish_sent()
            self.client.settle_next(delivery, [*self._take_queued(), event], on_answer)

    def drop(self) -> None:
        """Forget what is queued and refused: the task is over."""
        with self._order:
            self._take_queued()
            self._sent = None

    def _send(self, events: list[NewEvent]) -> None:
        if events:
            self._sent = self.client.begin(events)

    def _finish_sent(self) -> None:
        """Wait for what was sent without waiting; raises what it was refused with."""
        sent, self._sent = self._sent, None
        if sent is not None:
            self.client.finish(sent)

    def _take_queued(self) -> list[NewEvent]:
        with self._queue_lock:
            queued, self._queued, self._queued_bytes = self._queued, [], 0
            self.due = None
            return queued

    def history(self, stream: str) -> Sequence[Event]:
        """Read a stream through the bus."""
        return list(self.client.read(stream=stream))

    def newest(self, stream: str, limit: int) -> Sequence[Event]:
        """Read a stream's end through the bus."""
        return list(self.client.read(stream=stream, reverse=True, limit=limit))

    def first(self, stream: str) -> Event | None:
        """Read the first event of a stream through the bus."""
        return next(iter(self.client.read(stream=stream, limit=1)), None)

    def put_blob(self, data: bytes) -> str:
        """Offer bytes to the bus, which syncs them before it appends the event that names them."""
        return self.blobs.put(data)

    def get_blob(self, digest: str) -> bytes:
        """Return a stored blob, or one offered by this instance that no event has named yet.

        Raises BlobMissing or BlobDamaged.
        """
        return self.blobs.get(digest)
