"""The process that exports live: one follower for each place, until a signal.

Owns threads and signals. Keeps: places don't wait for each other; at the end what has closed is sent once more, without
waiting for a receiver that isn't there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..eventstore.reader import LogReader
from ..stopping import Stop
from .following import Follower
from .progress import Progress, only_exporter, progress_path, read_progress
from .settings import TraceSettings
from .sinks import LinesSink, Sink

#: How long the last spans may take to be sent once the process is asked to end.
_LAST_S = 2.0


def export_live(home: Path, settings: TraceSettings, places: Sequence[str | Path], tell: Callable[[str], None]) -> int:
    """Export a home's log to `otlp`, `console` or files until SIGTERM or SIGINT; return the exit status.

    `tell` gets lines for people. Another process that exports to the same place is waited for. Raises
    ExporterMissing, NotAccessible, LogNotFound.
    """
    stop = Stop()
    workers = [_Worker(home, settings, place, stop, tell) for place in places]
    for worker in workers:
        worker.start()
    while not stop.wait(0.5) and any(worker.is_alive() for worker in workers):
        pass
    stop.set()
    deadline = time.monotonic() + _LAST_S
    for worker in workers:
        while worker.is_alive() and not worker.is_failing and time.monotonic() < deadline:
            worker.join(0.05)
        worker.sink.close()
        worker.join(1)
    failed = next((worker.error for worker in workers if worker.error is not None), None)
    if failed is not None:
        raise failed
    return stop.status


class _Worker(threading.Thread):
    """The thread of one place; what it raises stands in `error`."""

    def __init__(
        self, home: Path, settings: TraceSettings, place: str | Path, stop: threading.Event, tell: Callable[[str], None]
    ) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self.sink: Sink = _sink(settings, place)
        self._place = place
        self._home, self._settings, self._stop_asked, self._tell = home, settings, stop, tell
        name = settings.endpoint if place == "otlp" else str(place.absolute() if isinstance(place, Path) else place)
        self._path = progress_path(home, name)

    @property
    def is_failing(self) -> bool:
        """Whether the place is known not to take spans now, so that there is nothing to wait for."""
        return bool(getattr(self.sink, "is_failing", False))

    def run(self) -> None:
        """Follow the log until it is asked to stop."""
        try:
            waits = False
            while not self._stop_asked.is_set():
                with only_exporter(self._path) as alone:
                    if alone:
                        with LogReader(self._home / "log.db") as log:
                            self._follow(log)
                        return
                if not waits:
                    self._tell(f"another process exports to {self.sink.target}: waiting for its end")
                waits = True
                self._stop_asked.wait(1.0)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for this one
            self.error = error

    def _follow(self, log: LogReader) -> None:
        progress = read_progress(self._path)
        if progress is None or (isinstance(self._place, Path) and not self._place.exists()):
            # A file that was taken away is written anew.
            progress = Progress(target=self.sink.target)
        follower = Follower(log, self.sink, self._settings, self._path, progress, self._tell)
        self._tell(f"exporting traces to {self.sink.target}, from position {follower.progress.position}")
        while not self._stop_asked.is_set():
            wait_s = follower.step(time.monotonic())
            if wait_s:
                self._stop_asked.wait(wait_s)
        deadline = time.monotonic() + _LAST_S
        while follower.is_behind and not follower.progress.failing_since and time.monotonic() < deadline:
            follower.step(time.monotonic())


def _sink(settings: TraceSettings, place: str | Path) -> Sink:
    if isinstance(place, Path):
        return LinesSink(place, settings)
    if place == "console":
        return LinesSink(None, settings)
    from .otlp import OtlpSink

    return OtlpSink(settings)
