"""The supervisor's way to the bus, off its loop: two threads that may wait for the bus as long as it takes.

One sends, in order: who was started, who is gone, events of processes; while the bus is down they wait here. The other
listens: who has come to life, and whom to kill. Both tell the loop through the inbox only.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque

import msgspec

from ..bus.client import BusClient
from ..bus.endpoints import Endpoints
from ..bus.errors import BusNotRunning, BusTimeout, ClientClosed, RoleRefused
from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import Event, NewEvent, new_event
from ..eventstore.ids import uuid7
from .command_line import speaks_to_bus
from .process_commands import Record
from .process_table import ProcessSpec

_BATCH_MAX = 500
#: How long one try waits for the bus, and then rests.
_TRY_S, _REST_S = 2.0, 0.2


class Present(msgspec.Struct, frozen=True):
    """An instance has given its first sign of life."""

    instance: str


class KillWanted(msgspec.Struct, frozen=True):
    """The bus wants an instance's process group killed, and its `gone`."""

    instance: str
    reason: str


class Trouble(msgspec.Struct, frozen=True):
    """Something that a person should know."""

    text: str


class Usage(msgspec.Struct, frozen=True):
    """How many clients and open runs there are, as asked for by `ask_usage`."""

    count: int


class RunEnded(msgspec.Struct, frozen=True):
    """A run has ended that `watch_run` named."""

    run: str


class Told(msgspec.Struct, frozen=True):
    """The bus, whose place this is, has taken all that it was to be told when `tell_all` was called."""

    key: str


Note = Present | KillWanted | Trouble | Usage | RunEnded | Told
#: What a run's last event may be.
_ENDS = ("run.succeeded", "run.failed", "run.nothing_to_do", "run.cancelled", "run.rolled_back")


class Inbox:
    """Hands notes from other threads to the supervisor's loop, and wakes it."""

    def __init__(self) -> None:
        self._notes: deque[Note] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor that is readable while notes wait."""
        return self._wake

    def put(self, note: Note) -> None:
        """Leave a note; from any thread."""
        self._notes.append(note)
        os.eventfd_write(self._wake, 1)

    def take(self) -> list[Note]:
        """Return the notes that are there."""
        os.eventfd_read(self._wake)
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._wake)


class _Batch:
    """What waits to be sent, by kind; each kind in its order."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.gone: list[str] = []
        self.events: list[NewEvent] = []
        self.announce: list[str] = []
        self.usage = False
        #: Where to begin to look for ends of runs.
        self.watch_after: int | None = None

    def __bool__(self) -> bool:
        return bool(self.started or self.gone or self.events or self.announce or self.usage or self.watches)

    @property
    def watches(self) -> bool:
        """Whether a watch is to be begun."""
        return self.watch_after is not None

    def add(self, later: _Batch) -> None:
        """Put what came later behind."""
        self.started += later.started
        self.gone += later.gone
        self.events += later.events
        self.announce += later.announce
        self.usage = self.usage or later.usage
        positions = [after for after in (self.watch_after, later.watch_after) if after is not None]
        self.watch_after = min(positions, default=None)


class BusLink:
    """The link of one supervisor, named `instance` on the bus, which knows it by `secret`."""

    def __init__(self, where: Endpoints, secret: str, instance: str, inbox: Inbox) -> None:
        self._inbox = inbox
        self._living: dict[str, None] = {}
        self._changed = threading.Condition()
        self._waiting = _Batch()
        self._to_be_told = ""
        self._closing = False
        self._last_trouble = ""
        self._runs: set[str] = set()
        self._watched_from: int | None = None
        self._client = BusClient(
            where,
            instance=instance,
            role="supervisor",
            secret=secret,
            living=self._alive,
            timeout_s=_TRY_S,
        )
        self._threads = [
            threading.Thread(target=target, name=f"bus-{target.__name__.strip('_')}", daemon=True)
            for target in (self._send, self._listen)
        ]
        for thread in self._threads:
            thread.start()

    def started(self, instance: str) -> None:
        """Tell that an instance is a child of this supervisor from now on."""
        with self._changed:
            self._living[instance] = None
            self._waiting.started.append(instance)
            self._changed.notify_all()

    def gone(self, instance: str) -> None:
        """Tell that no process of an instance is left."""
        with self._changed:
            self._living.pop(instance, None)
            self._waiting.gone.append(instance)
            self._changed.notify_all()

    def record(self, record: Record, announce: str = "") -> None:
        """Append an event, as soon as there is a bus; `announce` is noted as present once a bus has answered."""
        now_ms = time.time_ns() // 1_000_000
        event = new_event(record.type, record.data, stream=record.stream, id=uuid7(now_ms, os.urandom(10)))
        with self._changed:
            self._waiting.events.append(event)
            if announce:
                self._waiting.announce.append(announce)
            self._changed.notify_all()

    def ask_usage(self) -> None:
        """Have the inbox told how many clients and open runs there are."""
        with self._changed:
            self._waiting.usage = True
            self._changed.notify_all()

    def watch_run(self, run: str, after: int) -> None:
        """Have the inbox told when a run ends whose first event comes after this position."""
        with self._changed:
            self._runs.add(run)
            # One watch for all runs: those that come later are after where it is.
            if self._watched_from is None or after < self._watched_from:
                self._watched_from = self._waiting.watch_after = after
            self._changed.notify_all()

    def tell_all(self, key: str, *, in_vain: bool) -> None:
        """Have the inbox told once the bus has taken everything until now; `key` is the bus's place.

        At once where it is told `in_vain`, as its log was removed.
        """
        if in_vain:
            self._inbox.put(Told(key))
            return
        with self._changed:
            self._to_be_told = key
            self._changed.notify_all()

    def close(self) -> None:
        """Stop both threads; what was not sent is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        # First of all: whoever waits for a bus that has ended waits in vain.
        self._client.close()
        for thread in self._threads:
            thread.join(2 * _TRY_S)

    def _alive(self) -> list[str]:
        """Return who lives; asked at each hello, as a bus that was away must learn who went meanwhile."""
        with self._changed:
            return list(self._living)

    def _send(self) -> None:
        batch = _Batch()
        while True:
            with self._changed:
                while not (self._waiting or batch or self._closing):
                    if self._to_be_told:
                        self._inbox.put(Told(self._to_be_told))
                        self._to_be_told = ""
                    self._changed.wait()
                if self._closing:
                    return
                batch.add(self._waiting)
                self._waiting = _Batch()
            try:
                self._send_batch(batch)
            except TwelvefoldError as error:
                self._told(error)
                self._rest()

    def _send_batch(self, batch: _Batch) -> None:
        """Send it part by part, and take out what was taken; raises where the bus isn't there or refuses."""
        client = self._client
        if batch.announce:
            client.last_position("*")
            for instance in batch.announce:
                self._inbox.put(Present(instance))
            batch.announce.clear()
        if batch.started:
            client.started(*batch.started)
            batch.started.clear()
        for instance in list(batch.gone):
            client.gone(instance)
            batch.gone.remove(instance)
        while batch.events:
            # Known ids are recognised, so what was sent but never answered is not doubled.
            client.emit_many(batch.events[:_BATCH_MAX])
            del batch.events[:_BATCH_MAX]
        if batch.watch_after is not None:
            self._client.unwatch("run.*")
            self._client.watch("run.*", self._on_run, after=batch.watch_after)
            batch.watch_after = None
        if batch.usage:
            batch.usage = False
            stats = client.stats()
            self._inbox.put(Usage(stats["roles"].get("client", 0) + stats["open_runs"]))

    def _on_run(self, event: Event) -> None:
        if event.type in _ENDS and event.run in self._runs:
            with self._changed:
                self._runs.discard(event.run)
            self._inbox.put(RunEnded(event.run))

    def _listen(self) -> None:
        while not self._closing:
            try:
                self._client.run(
                    on_kill=lambda instance, pid, reason: self._inbox.put(KillWanted(instance, reason)),
                    on_present=lambda instance: self._inbox.put(Present(instance)),
                )
            except TwelvefoldError as error:
                self._told(error)
                self._rest()

    def _told(self, error: TwelvefoldError) -> None:
        """Tell a person of what keeps the bus from taking what we send, but not that it is down: that is known."""
        if isinstance(error, BusNotRunning | BusTimeout | RoleRefused | ClientClosed):
            return
        text = f"the bus refuses events of processes, which are kept and sent again: {error.message()}"
        if text != self._last_trouble:
            self._last_trouble = text
            self._inbox.put(Trouble(text))

    def _rest(self) -> None:
        with self._changed:
            if not self._closing:
                self._changed.wait(_REST_S)


def announces_itself(spec: ProcessSpec) -> bool:
    """Tell whether a place's process will say hello to the bus; any other is taken for ready once it has started."""
    return speaks_to_bus(spec.command)
