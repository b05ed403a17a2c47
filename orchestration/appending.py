"""Appending what was decided: one append is under way while the next inputs are decided.

Owns the order of appends, and what becomes of one that is refused. Invariant: the batches of a run are sent in the
order in which they were decided, and once one is refused none after it, until the run was loaded anew.
"""

from __future__ import annotations

import errno
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from ..bus import run_marks
from ..bus.client import BusClient
from ..bus.errors import BusNotRunning, BusTimeout, ClientClosed, RoleRefused, WireMismatch
from ..bus.ticket import Ticket
from ..eventstore.errors import DuplicateConflict, TwelvefoldError, VersionConflict
from ..eventstore.event import NewEvent
from ..eventstore.run import Readable, read_run
from ..eventstore.storage_errors import CorruptLog, StorageFailed, StorageFull
from .large_decisions import shrunk
from .orchestrator import Batch, Orchestrator

#: Events in one append.
APPEND_EVENTS_MAX = 1000
#: An append of about so many bytes is closed; a run's own batch is never divided.
APPEND_BYTES_MAX = 1024 * 1024
#: Between two tries to write to a disk that is full, or that the bus does not write to for now.
STORAGE_PAUSE_S = 0.5
#: What goes wrong between us and the bus, and says nothing of what was to be appended.
_TRANSPORT = (BusNotRunning, BusTimeout, ClientClosed, RoleRefused, WireMismatch)
#: What the log says of its disk, whatever was to be appended.
_STORAGE = (StorageFull, StorageFailed, CorruptLog)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Appender:
    """Appends the batches of an orchestrator, in their order; `is_stopped` tells that the process is to end."""

    def __init__(self, client: BusClient, orchestrator: Orchestrator, is_stopped: Callable[[], bool]) -> None:
        self._client = client
        self._orchestrator = orchestrator
        self._is_stopped = is_stopped
        #: What is decided and not sent yet, and what is sent and not answered.
        self._decided: deque[Batch] = deque()
        self._under_way: tuple[list[Batch], Ticket] | None = None
        #: Whether something is tried again and again because of the disk.
        self._waiting = False
        #: Runs whose decisions were refused for what they say, with the reason.
        self._unable: dict[str, str] = {}

    @property
    def is_due(self) -> bool:
        """Whether the append under way was answered: the next one can go out."""
        return self._under_way is not None and self._under_way[1].done

    def go_on(self, *, to_the_end: bool = False) -> None:
        """Send what was decided, unless something is under way; `to_the_end` waits until all of it is durable.

        Runs that were written to by somebody else are loaded again and decided anew.
        """
        orchestrator = self._orchestrator
        while True:
            self._decided.extend(orchestrator.take())
            if self._under_way is not None:
                if not to_the_end and not self.is_due:
                    return
                self._finish(*self._under_way)
            elif orchestrator.stale:
                self._decided = deque(batch for batch in self._decided if batch.run not in orchestrator.stale)
                for run in sorted(orchestrator.stale):
                    self.load(run)
                self._decided = in_order(self._decided, orchestrator.take())
            elif batches := together(self._decided, self._shrunk):
                self._send(batches)
            elif not orchestrator.stale:
                return

    def load(self, run: str, source: Readable | None = None) -> None:
        """Read a run from the log, and decide what its undecided inputs ask for."""
        self._orchestrator.load(run, read_run(source or self._client, run), unable=self._unable.pop(run, ""))

    def _shrunk(self, batch: Batch) -> Batch | None:
        """Return a batch that the log takes; None where its values can't be held: its run is loaded again, to be ended.

        None too where the process is to end.
        """
        while True:
            try:
                events = shrunk(batch.events, self._client.blobs.put)
            except OSError as error:
                if error.errno not in _FULL:
                    self._unable[batch.run] = f"a value too large for an event can't be held as a blob: {error}"
                    self._orchestrator.refused(batch.run)
                    return None
                if not self._paused(str(error)):
                    self._decided.clear()
                    return None
            else:
                return batch if events is batch.events else replace(batch, events=[*events])

    def _send(self, batches: list[Batch]) -> None:
        """Send the batches of several runs in one append."""
        events: list[NewEvent] = []
        expected: dict[str, int] = {}
        marks: dict[str, str | None] = {}
        withdraw: list[bytes] = []
        for batch in batches:
            events += batch.events
            expected = {**batch.expected_version, **expected}
            marks.update(batch.marks)
            withdraw += batch.withdrawn
        try:
            # All that is appended is heard of by the watch that inputs come from.
            ticket = self._client.begin(
                events, expected_version=expected, marks=marks, withdraw=withdraw, patient=bool(events)
            )
        except _TRANSPORT:
            raise
        except TwelvefoldError as error:
            self._refused(batches, error)
        else:
            self._under_way = batches, ticket

    def _finish(self, batches: list[Batch], ticket: Ticket) -> None:
        """Wait for the answer to the append under way; where that is no, each of its batches is appended on its own."""
        self._under_way = None
        try:
            self._client.finish(ticket)
            self._waiting = False
        except _TRANSPORT:
            raise
        except _STORAGE as error:
            # That says nothing of the runs: they wait, as everybody else who writes.
            if self._paused(error.message()):
                self._send(batches)
            else:
                self._decided.clear()
        except TwelvefoldError as error:
            self._refused(batches, error)

    def _refused(self, batches: list[Batch], error: TwelvefoldError) -> None:
        """Append the batches of several runs each on its own; a single one is decided anew, or can't be appended."""
        if len(batches) > 1:
            for batch in batches:
                if batch.run not in self._orchestrator.stale:
                    self._send([batch])
                while self._under_way is not None:
                    self._finish(*self._under_way)
            return
        run = batches[0].run
        if not isinstance(error, VersionConflict | DuplicateConflict):
            self._unable[run] = error.message()
        self._orchestrator.refused(run)

    def _paused(self, why: str) -> bool:
        """Let a moment pass before something is tried again, and say why, once; False where the process is to end."""
        if not self._waiting:
            self._waiting = True
            sys.stderr.write(f"trying again until it can be written: {why}\n")
        time.sleep(STORAGE_PAUSE_S)
        return not self._is_stopped()


def together(decided: deque[Batch], fitting: Callable[[Batch], Batch | None]) -> list[Batch]:
    """Take the first batches that can go into one append of bounded size; `fitting` says how each goes, None: not now.

    The bus takes back what waits in its queues, so a request and its withdrawal never go into one append.
    """
    gathered: list[Batch] = []
    requested: set[bytes] = set()
    events = size = 0
    while decided:
        if (batch := fitting(decided[0])) is None:
            break
        decided[0] = batch
        more = sum(len(event.payload) for event in batch.events)
        too_large = events + len(batch.events) > APPEND_EVENTS_MAX or size + more > APPEND_BYTES_MAX
        if gathered and (too_large or not requested.isdisjoint(batch.withdrawn)):
            break
        gathered.append(decided.popleft())
        requested.update(event.id for event in batch.events if event.to)
        events += len(batch.events)
        size += more
    return gathered


def in_order(waiting: Iterable[Batch], loaded: Sequence[Batch]) -> deque[Batch]:
    """Return what waits to be appended with what was decided for runs that were loaded, each in its place.

    Those that were begun before come first. Of the others the mark of beginnings tells only the last one: whoever was
    asked for earlier must stand before it, or would be forgotten by a death between the two.
    """
    begun = {batch.run: _begun_at(batch) for batch in loaded if _begun_at(batch)}
    decided = list(waiting)
    for run in sorted(begun, key=begun.__getitem__):
        later = (n for n, batch in enumerate(decided) if _begun_at(batch) > begun[run])
        place = next(later, len(decided))
        decided[place:place] = [batch for batch in loaded if batch.run == run]
    return deque([*(batch for batch in loaded if batch.run not in begun), *decided])


def _begun_at(batch: Batch) -> int:
    """Return the position at which the run was asked for that a batch begins, 0 for any other batch."""
    return int(batch.marks.get(run_marks.SEEN) or 0)
