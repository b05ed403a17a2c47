"""The orchestrator as a process: follows the log over the bus, appends what is decided, fires timers.

Owns the loop and what touches the world: the bus client, the clock, signals. Everything that is decided comes from
`orchestrator`. It may be killed at any instruction: all it knows is in the log and its marks, so a new one reads the
open runs and goes on. A second one beside it does no harm, as its appends are refused or known.
"""

from __future__ import annotations

import errno
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from msgspec.structs import replace

from ..bus import run_marks
from ..bus.client import BusClient
from ..bus.endpoints import Endpoints
from ..bus.errors import BusNotRunning, BusTimeout, ClientClosed, RoleRefused, WireMismatch
from ..bus.keys import key_path
from ..bus.subscription import Watch
from ..eventstore.errors import DuplicateConflict, TwelvefoldError, VersionConflict
from ..eventstore.event import NewEvent
from ..eventstore.reader import LogReader
from ..eventstore.run import Readable, read_run
from ..eventstore.storage_errors import CorruptLog, StorageFailed, StorageFull
from .large_decisions import shrunk
from .orchestrator import Batch, Orchestrator
from .run_state import run_of

#: Events taken in before what was decided on them is appended, and events in one append.
TAKE_EVENTS_MAX = 1000
APPEND_EVENTS_MAX = 1000
#: An append of about so many bytes is closed; a run's own batch is never divided.
APPEND_BYTES_MAX = 1024 * 1024
#: Runs that are loaded at a start between two appends.
LOAD_RUNS = 100
LOG_FILE = "log.db"
#: Between two tries to write to a disk that is full, or that the bus does not write to for now.
STORAGE_PAUSE_S = 0.5
#: What goes wrong between us and the bus, and says nothing of what was to be appended.
_TRANSPORT = (BusNotRunning, BusTimeout, ClientClosed, RoleRefused, WireMismatch)
#: What the log says of its disk, whatever was to be appended.
_STORAGE = (StorageFull, StorageFailed, CorruptLog)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(
    endpoints: Endpoints,
    home: Path,
    *,
    instance: str = "orchestrator",
    versions: Mapping[str, Any] | None = None,
    ready: Callable[[], None] | None = None,
    timeout_s: float = 30.0,
) -> int:
    """Orchestrate the runs of a home until SIGTERM or SIGINT, and return the exit status (0).

    `versions` (of program, config, prompts) are pinned in each run's first decision. `ready` is called once all open
    runs are loaded. Call it from the main thread. Raises BusNotRunning where no bus answers for `timeout_s`.
    """
    with BusClient(
        endpoints, instance=instance, role="orchestrator", secret=key_path(home, "orchestrator"), timeout_s=timeout_s
    ) as client:
        process = Process(client, Orchestrator(versions, client.blobs.load))

        def stop(signum: int, frame: FrameType | None) -> None:
            process.stopped = True
            client.stop()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            watch = process.start(home)
            if ready is not None:
                ready()
            process.serve(watch)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return 0


class Process:
    """One orchestrator on one connection."""

    def __init__(self, client: BusClient, orchestrator: Orchestrator, clock: Callable[[], int] = time.time_ns) -> None:
        self.stopped = False
        self._client = client
        self._orchestrator = orchestrator
        self._clock = clock
        #: Whether something is tried again and again because of the disk.
        self._waiting = False
        #: Runs whose decisions were refused for what they say, with the reason.
        self._unable: dict[str, str] = {}

    def start(self, home: Path) -> Watch:
        """Load every open run, and every requested one that was never begun; return the watch that continues there."""
        head = self._client.head()
        # Straight from the file: many open runs would cost as many round trips over the bus.
        reader = LogReader(home / LOG_FILE)
        try:
            marks = reader.marks(run_marks.PREFIX)
            seen = int(marks.pop(run_marks.SEEN, "0"))
            runs = {name.removeprefix(run_marks.PREFIX): run_marks.first_of(mark) for name, mark in marks.items()}
            for event in self._client.read(after=seen, until=head, type="run.requested"):
                runs.setdefault(run_of(event), event.position)
            for count, run in enumerate(sorted(runs, key=lambda run: runs[run]), 1):
                self._load(run, reader)
                if count % LOAD_RUNS == 0:
                    self._append()
        finally:
            reader.close()
        self._append()
        return self._client.watch("*", after=head)

    def serve(self, watch: Watch) -> None:
        """Decide and append until stopped: all inputs that are there, then the timers that are due."""
        orchestrator = self._orchestrator
        while not self.stopped:
            events = watch.take(self._idle_s(), lambda: self.stopped)
            taken = 0
            while events:
                for event in events:
                    orchestrator.receive(event)
                taken += len(events)
                events = watch.take(0) if taken < TAKE_EVENTS_MAX else []
            if taken < TAKE_EVENTS_MAX:
                # Whatever happened before now has been heard: what is due by now really is overdue.
                orchestrator.fire_due(self._clock())
            self._append()

    def _idle_s(self) -> float | None:
        due = self._orchestrator.next_due
        return None if due is None else max(0.0, (due - self._clock()) / 1e9)

    def _append(self) -> None:
        """Append what was decided; runs that were written to by somebody else are loaded again and decided anew."""
        orchestrator = self._orchestrator
        while True:
            for batches in _together(self._shrunk(orchestrator.take())):
                self._append_together(batches)
            if not orchestrator.stale:
                return
            for run in sorted(orchestrator.stale):
                self._load(run)

    def _shrunk(self, batches: list[Batch]) -> Iterator[Batch]:
        """Yield batches that the log takes; a run whose values can't be held is loaded again, to be ended."""
        for batch in batches:
            while batch.run not in self._orchestrator.stale:
                try:
                    events = shrunk(batch.events, self._client.blobs.put)
                except OSError as error:
                    if error.errno in _FULL:
                        if not self._paused(str(error)):
                            return
                        continue
                    self._unable[batch.run] = f"a value too large for an event can't be held as a blob: {error}"
                    self._orchestrator.refused(batch.run)
                else:
                    yield batch if events is batch.events else replace(batch, events=[*events])
                    break

    def _append_together(self, batches: list[Batch]) -> None:
        """Append the batches of several runs in one; where that is refused, each on its own."""
        events: list[NewEvent] = []
        expected: dict[str, int] = {}
        marks: dict[str, str | None] = {}
        withdraw: list[bytes] = []
        for batch in batches:
            events += batch.events
            expected = {**batch.expected_version, **expected}
            marks.update(batch.marks)
            withdraw += batch.withdrawn
        while True:
            try:
                self._client.emit_many(events, expected_version=expected, marks=marks, withdraw=withdraw, brief=True)
                self._waiting = False
                return
            except _TRANSPORT:
                raise
            except _STORAGE as error:
                # That says nothing of the runs: they wait, as everybody else who writes.
                if not self._paused(error.message()):
                    return
            except TwelvefoldError as error:
                self._refused(batches, error)
                return

    def _refused(self, batches: list[Batch], error: TwelvefoldError) -> None:
        """Append the batches of several runs each on its own; a single one is decided anew, or can't be appended."""
        if len(batches) > 1:
            for batch in batches:
                if batch.run not in self._orchestrator.stale:
                    self._append_together([batch])
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
        return not self.stopped

    def _load(self, run: str, source: Readable | None = None) -> None:
        self._orchestrator.load(run, read_run(source or self._client, run), unable=self._unable.pop(run, ""))


def _together(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    """Gather batches, in their order, into appends of bounded size.

    The bus takes back what waits in its queues, so a request and its withdrawal never go into one append.
    """
    gathered: list[Batch] = []
    requested: set[bytes] = set()
    events = size = 0
    for batch in batches:
        more = sum(len(event.payload) for event in batch.events)
        too_large = events + len(batch.events) > APPEND_EVENTS_MAX or size + more > APPEND_BYTES_MAX
        if gathered and (too_large or not requested.isdisjoint(batch.withdrawn)):
            yield gathered
            gathered, events, size = [], 0, 0
            requested.clear()
        gathered.append(batch)
        requested.update(event.id for event in batch.events if event.to)
        events += len(batch.events)
        size += more
    if gathered:
        yield gathered
