"""The projector: a process that keeps the rows of all projections up to date with the log.

Owns the loop. It reads the log's file, in short reads, so that it costs the bus nothing; the bus is spoken to only to
tell of a projection that is parked, or goes on. It may be killed at any instruction, and its file deleted at any time.
Nothing waits for it: whoever asks for state folds what is missing.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from ..bus.client import BusClient
from ..bus.endpoints import Endpoints
from ..eventstore import witness
from ..eventstore.errors import DuplicateConflict, TwelvefoldError
from ..eventstore.event import Event, NewEvent, new_event
from ..eventstore.ids import derived_id
from ..eventstore.reader import LogReader
from ..eventstore.storage_errors import LogNotFound
from ..projections.errors import ProjectionFailed
from ..projections.registry import all_projections
from ..projections.runner import PAGE, Runner
from ..projections.store import Store

PARKED, RESUMED = "projection.parked", "projection.resumed"
#: How often it is looked whether the log has grown. A row that many events have changed meanwhile is written once, so
#: looking more often costs more. The log itself, and our own file, are looked at now and then in any case.
_LOOK_S, _LOOK_ANYWAY_S = 0.1, 1.0
#: How long a fault of the file or the log is left alone.
_FAULT_S = 1.0
#: How long the bus may take to take an alert, and after how long it is told again.
_TELL_S, _TELL_AGAIN_S = 2.0, 10.0


def main(
    endpoints: Endpoints,
    home: Path,
    *,
    instance: str = "projector",
    ready: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """Keep the rows of a home up to date until SIGTERM or SIGINT, and return the exit status (0).

    `ready` is called once it follows the log; `say` hears in words of what is parked and what can't be done now. Call
    it from the main thread.
    """
    stopped = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _Projector(endpoints, home, instance, say, stopped).serve(ready)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


class _Projector:
    """One projector of one home."""

    def __init__(
        self, endpoints: Endpoints, home: Path, instance: str, say: Callable[[str], None], stopped: threading.Event
    ) -> None:
        self._endpoints = endpoints
        self._home = home
        self._witness = witness.beside(home / "log.db")
        self._instance = instance
        self._say = say
        self._stopped = stopped
        self._said = ""
        self._alerts: list[NewEvent] = []
        self._tell_at = 0.0

    def serve(self, ready: Callable[[], None]) -> None:
        """Follow the log until stopped; a fault of the file or the log is said, and tried again."""
        projections, broken = all_projections()
        while not self._stopped.is_set():
            try:
                with LogReader(self._home / "log.db") as log, Store(self._home) as store:
                    self._alerts.clear()
                    for one in broken:
                        self._alert(log, PARKED, one.name, 0, one.reason)
                    runner = Runner(store, log, projections, parked=partial(self._parked, log))
                    ready()
                    self._said = ""
                    self._follow(runner, log)
            except LogNotFound:
                # The bus makes it.
                self._stopped.wait(_LOOK_S)
            except TwelvefoldError as error:
                self._complain(error.message())
                self._stopped.wait(_FAULT_S)

    def _follow(self, runner: Runner, log: LogReader) -> None:
        told = [(one, _last_word(log, one.projection.name)) for one in runner.followed]
        waiting = [
            (one, word.data.get("position", 0)) for one, word in told if word is not None and word.type == PARKED
        ]
        while not self._stopped.is_set():
            seen = witness.glance(self._witness)
            taken = runner.advance()
            for one, position in [*waiting]:
                if one.failure is None and one.position >= position:
                    waiting.remove((one, position))
                    self._alert(log, RESUMED, one.projection.name, position, "")
            if self._alerts and time.monotonic() >= self._tell_at:
                self._tell()
            if taken < PAGE:
                self._rest(seen)

    def _rest(self, seen: bytes) -> None:
        """Sleep until the log may have something new: its witness is no more as it was `seen` before the last look."""
        until = time.monotonic() + _LOOK_ANYWAY_S
        while not self._stopped.wait(_LOOK_S) and time.monotonic() < until:
            if not seen or witness.glance(self._witness) != seen:
                return

    def _parked(self, log: LogReader, failure: ProjectionFailed) -> None:
        self._alert(log, PARKED, failure.name, failure.position, failure.reason)

    def _alert(self, log: LogReader, type: str, name: str, position: int, error: str) -> None:
        """Say, and have it appended, that a projection is parked or goes on; what was told before isn't told again."""
        if type == PARKED:
            self._say(f"the projection {name!r} is parked before position {position}: {error}")
        facts = {"projection": name, "position": position, "error": error[:4000]}
        last = _last_word(log, name)
        if last is not None and last.type == type and last.data == facts:
            return
        id = derived_id(name, type, "alert", last.position if last is not None else 0)
        self._alerts.append(new_event(type, facts, stream=f"projection.{name}", id=id))

    def _complain(self, text: str) -> None:
        """Say what is wrong, once for as long as it is."""
        if text != self._said:
            self._said = text
            self._say(text)

    def _tell(self) -> None:
        """Have the alerts appended; where no bus answers they wait."""
        try:
            with BusClient(self._endpoints, instance=self._instance, timeout_s=_TELL_S) as client:
                while self._alerts:
                    with contextlib.suppress(DuplicateConflict):
                        client.emit_many([self._alerts[0]])
                    self._alerts.pop(0)
        except TwelvefoldError as error:
            self._complain(f"an alert can't be appended yet: {error.message()}")
            self._tell_at = time.monotonic() + _TELL_AGAIN_S


def _last_word(log: LogReader, name: str) -> Event | None:
    """Return the last alert about a projection."""
    return next(iter(log.read(stream=f"projection.{name}", limit=1, reverse=True)), None)
