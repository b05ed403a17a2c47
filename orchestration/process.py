"""The orchestrator as a process: follows the log over the bus, has appended what is decided, fires timers.

Owns the loop and what touches the world: the bus client, the clock, signals. Everything that is decided comes from
`orchestrator`; how it gets into the log is `appending`'s. It may be killed at any instruction: all it knows is in the
log and its marks, so a new one reads the open runs and goes on. A second one beside it does no harm, as its appends are
refused or known.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from ..bus import run_marks
from ..bus.client import BusClient
from ..bus.endpoints import Endpoints
from ..bus.keys import key_path
from ..bus.subscription import Watch
from ..eventstore.reader import LogReader
from .appending import Appender
from .orchestrator import ASKED, Orchestrator
from .restoring import Restorer
from .run_state import run_of

#: Events taken in before what was decided on them is appended.
TAKE_EVENTS_MAX = 1000
#: Runs that are loaded at a start between two appends.
LOAD_RUNS = 100
LOG_FILE = "log.db"


def main(
    endpoints: Endpoints,
    home: Path,
    *,
    instance: str = "orchestrator",
    versions: Mapping[str, Any] | None = None,
    ready: Callable[[], None] | None = None,
    timeout_s: float = 30.0,
    keys: Mapping[str, str] | None = None,
) -> int:
    """Orchestrate the runs of a home until SIGTERM or SIGINT, and return the exit status (0).

    `versions` (of program, config, prompts) are pinned in each run's first decision. `ready` is called once all open
    runs are loaded. `keys` are the secrets of roles, where a supervisor has told them. Call it from the main thread.
    Raises BusNotRunning where no bus answers for `timeout_s`.
    """
    secret = key_path(home, "orchestrator") if keys is None else keys["orchestrator"]
    with BusClient(endpoints, instance=instance, role="orchestrator", secret=secret, timeout_s=timeout_s) as client:
        restorer = Restorer(home, client.wake)
        process = Process(client, Orchestrator(versions, client.blobs.load), restorer)

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

    def __init__(
        self,
        client: BusClient,
        orchestrator: Orchestrator,
        restorer: Restorer,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.stopped = False
        self._client = client
        self._orchestrator = orchestrator
        self._restorer = restorer
        self._appender = Appender(client, orchestrator, lambda: self.stopped)
        self._clock = clock

    def start(self, home: Path) -> Watch:
        """Load every open run, and every requested one that was never begun; return the watch that continues there."""
        head = self._client.head()
        # Straight from the file: many open runs would cost as many round trips over the bus.
        reader = LogReader(home / LOG_FILE)
        try:
            marks = reader.marks(run_marks.PREFIX)
            seen = int(marks.pop(run_marks.SEEN, "0"))
            runs = {name.removeprefix(run_marks.PREFIX): run_marks.first_of(mark) for name, mark in marks.items()}
            for type in ASKED:
                for event in self._client.read(after=seen, until=head, type=type):
                    runs.setdefault(run_of(event), event.position)
            for count, run in enumerate(sorted(runs, key=lambda run: runs[run]), 1):
                self._appender.load(run, reader)
                if count % LOAD_RUNS == 0:
                    self._appender.go_on(to_the_end=True)
        finally:
            reader.close()
        self._appender.go_on(to_the_end=True)
        return self._client.watch("*", after=head)

    def serve(self, watch: Watch) -> None:
        """Decide and append until stopped: all inputs that are there, then the timers that are due."""
        orchestrator, appender, restorer = self._orchestrator, self._appender, self._restorer
        restorer.order(orchestrator.restores)
        while not self.stopped:
            events = watch.take(self._idle_s(), lambda: self.stopped or appender.is_due or restorer.is_due)
            taken = 0
            while events:
                for event in events:
                    orchestrator.receive(event)
                taken += len(events)
                events = watch.take(0) if taken < TAKE_EVENTS_MAX else []
            if taken < TAKE_EVENTS_MAX:
                # Whatever happened before now has been heard: what is due by now really is overdue.
                orchestrator.fire_due(self._clock())
            for restore, facts in restorer.take():
                orchestrator.restored(restore, facts)
            appender.go_on()
            restorer.order(orchestrator.restores)
        appender.go_on(to_the_end=True)

    def _idle_s(self) -> float | None:
        due = self._orchestrator.next_due
        return None if due is None else max(0.0, (due - self._clock()) / 1e9)
