"""A task's journal over the bus: its events through the client, large values through the blob folder.

Used by the worker thread while the main thread runs the client. A blob is put where the bus takes it in before it
appends the event that names it (see `eventstore/blobs.py`, which agents don't import: it needs SQLite).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from ..bus.client import BusClient
from ..bus.wire import Delivery
from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import Event, NewEvent
from ..eventstore.storage_errors import BlobMissing

#: Queued events go out with the next append, or after so long, or when they are so many bytes.
QUEUED_S = 0.1
QUEUED_BYTES_MAX = 4 << 20


class BusJournal:
    """Writes as the holder of the task's delivery; the bus refuses what isn't its to write. For any thread.

    Queued events travel in front of the next append, in the same atomic batch: they cost no message of their own, and
    what comes later is never durable before them.
    """

    def __init__(self, client: BusClient, blobs: Path, instance: str) -> None:
        self.client = client
        self.blobs = blobs
        self.instance = instance
        self._order = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queued: list[NewEvent] = []
        self._queued_bytes = 0
        self._timer: threading.Timer | None = None
        self._refusal: TwelvefoldError | None = None

    def append(self, events: Sequence[NewEvent]) -> Sequence[Event]:
        """Append atomically; durable on return. Raises what the bus refuses with, queued events' refusals too."""
        with self._order:
            self._raise_refusal()
            queued = self._take_queued()
            return self.client.emit_many([*queued, *events])[len(queued) :]

    def append_soon(self, event: NewEvent) -> None:
        """Queue an event; a refusal of it is raised by the next append or by `settle`."""
        with self._queue_lock:
            self._queued.append(event)
            self._queued_bytes += len(event.payload)
            full = self._queued_bytes > QUEUED_BYTES_MAX
            if self._timer is None and not full:
                self._timer = threading.Timer(QUEUED_S, self._send_queued)
                self._timer.daemon = True
                self._timer.start()
        if full:
            self._send_queued()

    def settle(self, delivery: Delivery, event: NewEvent) -> None:
        """Settle the delivery with its outcome and everything still queued; raises StaleDelivery, and as `append`."""
        with self._order:
            self._raise_refusal()
            self.client.settle(delivery, [*self._take_queued(), event])

    def drop(self) -> None:
        """Forget what is queued and refused: the task is over."""
        with self._order:
            self._take_queued()
            self._refusal = None

    def _send_queued(self) -> None:
        with self._order:
            queued = self._take_queued()
            try:
                if queued:
                    self.client.emit_many(queued)
            except TwelvefoldError as error:
                self._refusal = error

    def _take_queued(self) -> list[NewEvent]:
        with self._queue_lock:
            queued, self._queued, self._queued_bytes = self._queued, [], 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return queued

    def _raise_refusal(self) -> None:
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal

    def history(self, stream: str) -> Sequence[Event]:
        """Read a stream through the bus."""
        return list(self.client.read(stream=stream))

    def put_blob(self, data: bytes) -> str:
        """Offer bytes to the bus, which syncs them before it appends the event that names them."""
        digest = hashlib.sha256(data).hexdigest()
        folder = self.blobs / "incoming" / self.instance
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / f"{digest}.{os.getpid()}"
        draft.write_bytes(data)
        draft.rename(folder / digest)
        return digest

    def get_blob(self, digest: str) -> bytes:
        """Return a stored blob, or one offered by this instance that no event has named yet; raises BlobMissing."""
        # In this order, as the bus moves a blob from the first place to the second.
        for place in (self.blobs / "incoming" / self.instance / digest, self.blobs / digest[:2] / digest):
            try:
                data = place.read_bytes()
            except FileNotFoundError:
                continue
            if hashlib.sha256(data).hexdigest() == digest:
                return data
        raise BlobMissing(digest, str(self.blobs))
