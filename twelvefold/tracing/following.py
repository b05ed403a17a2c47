"""Exporting live: what closes in the log is sent, for as long as the process lives, from where it had come to.

Owns the loop of one place. Keeps: work is never held up by it, as it only reads the log's file; a span is sent until it
is taken or refused for good, so again after a crash at the wrong moment (with the same ids); while a receiver is gone,
what waits for it is counted and not held, as the log has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..eventstore.reader import LogReader
from ..projections.span import Span
from .exporting import sampled
from .progress import Progress, write_progress
from .settings import TraceSettings
from .sinks import Sink
from .span_source import PAGE, restored

#: How long to wait before a receiver that doesn't take spans is asked again: at first, and at most.
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 30.0


class Follower:
    """Exports one home's log to one place. `tell` is called with a line for people when it begins to fail, and when it
    goes on.
    """

    def __init__(
        self,
        log: LogReader,
        sink: Sink,
        settings: TraceSettings,
        path: Path,
        progress: Progress,
        tell: Callable[[str], None],
    ) -> None:
        if not _is_of(progress, log):
            tell("another log lies here than the one that was exported: it is exported from its beginning")
            progress = Progress(target=progress.target)
        self.progress = progress
        self._log, self._sink, self._settings, self._path, self._tell = log, sink, settings, path, tell
        self._fold = restored(log, progress.open_runs, progress.position, content=settings.content)
        #: Up to where the fold has come: further than the progress while nothing is taken.
        self._folded = progress.position
        self._waiting: list[Span] = []
        self._mark = (progress.position, progress.log_hash, dict(progress.open_runs))
        self._retry_s = 0.0
        self._retry_at = 0.0
        #: How many of those that are counted as undelivered are held.
        self._held = 0
        self._saved = progress.position
        #: Whether it could be written when it was tried at last.
        self._is_saved = True
        progress.target, progress.undelivered = sink.target, 0

    @property
    def is_behind(self) -> bool:
        """Whether there is more to be sent than was taken."""
        return bool(self._waiting) or self.progress.position < self._log.head

    def step(self, now: float) -> float:
        """Send what there is; return after how many seconds to come again, 0 for at once. `now` is monotonic time."""
        if not self._waiting:
            self._read()
        elif now < self._retry_at:
            self._count()
            return min(self._retry_at - now, self._settings.delay_s or 0.1)
        if self._waiting and not self._send(now):
            return min(self._retry_s, self._settings.delay_s or 0.1)
        position = self._mark[0]
        if position > self._saved:
            self.progress.position, self.progress.log_hash, self.progress.open_runs = self._mark
            self._save()
        return 0.0 if self._folded < self._log.head else self._settings.delay_s or 0.1

    def _read(self) -> None:
        """Fold one page; what closes in it waits to be sent."""
        page = self._log.read(after=self._folded, limit=PAGE)
        if not page:
            return
        self._waiting = self._sampled(self._fold.take(page))
        self._folded = page[-1].position
        self._mark = (self._folded, page[-1].hash.hex(), self._fold.open_runs)

    def _send(self, now: float) -> bool:
        """Send what waits, batch by batch; tell whether all of it was taken, or refused for good."""
        most = self._settings.batch_max
        while self._waiting:
            batch = self._waiting[:most]
            sent = self._sink.send(batch)
            self.progress.delivered += sent.delivered
            self.progress.rejected += sent.rejected
            if sent.rejected:
                self._tell(f"{sent.rejected} spans were refused by {self._sink.target}: {sent.reason}")
            if sent.delivered + sent.rejected < len(batch):
                self._fail(sent.reason, now, batch[sent.delivered + sent.rejected :])
                return False
            del self._waiting[:most]
        if self.progress.failing_since:
            self._recover()
        return True

    def _fail(self, reason: str, now: float, left: list[Span]) -> None:
        self._waiting[: self._settings.batch_max] = left
        self._retry_s = min(self._retry_s * 2 or RETRY_FIRST_S, RETRY_MOST_S)
        self._retry_at = now + self._retry_s
        if not self.progress.failing_since:
            self.progress.failing_since = time.time_ns()
            self._tell(f"spans wait, as {self._sink.target} doesn't take them: {reason}")
            self.progress.undelivered = 0
        self.progress.reason = reason
        self._count()

    def _count(self) -> None:
        """Count what closes meanwhile: it is not held, but read again once somebody takes it."""
        before = self.progress.undelivered
        ahead = max(before - self._held, 0)
        while page := self._log.read(after=self._folded, limit=PAGE):
            ahead += len(self._sampled(self._fold.take(page)))
            self._folded = page[-1].position
        self._held = len(self._waiting)
        self.progress.undelivered = ahead + self._held
        if self.progress.undelivered != before:
            self._save()

    def _recover(self) -> None:
        """Go on from where it had come to."""
        position, _, open_runs = self._mark
        self._fold = restored(self._log, open_runs, position, content=self._settings.content)
        self._folded = position
        self._retry_s = self._retry_at = 0.0
        self._held = 0
        progress = self.progress
        self._tell(f"{self._sink.target} takes spans again; {progress.undelivered} had waited")
        progress.failing_since, progress.reason, progress.undelivered = 0, "", 0

    def _sampled(self, spans: list[Span]) -> list[Span]:
        return [span for span in spans if sampled(span, self._settings)]

    def _save(self) -> None:
        self.progress.updated = time.time_ns()
        self._saved = self.progress.position
        try:
            write_progress(self._path, self.progress)
        except OSError as error:
            # What was sent is sent again after the next start: that costs time, and nothing else.
            if self._is_saved:
                self._tell(f"how far this is can't be written to {self._path}: {error.strerror}")
            self._is_saved = False
        else:
            self._is_saved = True


def _is_of(progress: Progress, log: LogReader) -> bool:
    """Tell whether it is this log that was exported so far."""
    if not progress.position:
        return True
    found = log.read(after=progress.position - 1, limit=1)
    return bool(found) and (not progress.log_hash or found[0].hash.hex() == progress.log_hash)
