"""One watch: follows every event under a pattern, in order and once, from hints and pages. Without I/O.

A hint that continues where the watch stands is taken; one with a hole before it makes the watch read the log. What is
ready but not taken is bounded: beyond it hints are dropped and read again later. Invariant: every event under the
pattern up to `position` (and after the start) has been made ready, in order, exactly once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..eventstore.event import Event, NewEvent
from .hint import Hint
from .wire import Keep, Last, OpenWatch, Page, Read

if TYPE_CHECKING:
    from .machine import Machine
    from .ticket import Ticket

READY_EVENTS_MAX = 16_384
READY_BYTES_MAX = 8 * 1024 * 1024
PAGE_EVENTS = 8000
#: A watch that has heard nothing for so long, while the head moved, asks whether it missed something.
QUIET_S = 1.0


class WatchState:
    """A watch of `pattern`: ephemeral, or durable under `name`; from `after`, or from now (or the stored position)."""

    def __init__(self, machine: Machine, pattern: str, name: str, after: int | None) -> None:
        self.pattern = pattern
        self.name = name
        self.position: int | None = None
        self.failure: Exception | None = None
        #: What ended the watch, where it could not be opened or read on.
        self.fault: Exception | None = None
        self.closed = False
        #: Nobody can take from it any more; it ends with the next tick.
        self.abandoned = False
        #: The last event that was handled; its position is stored when the watch ends.
        self.handled = 0
        self._machine = machine
        self._ready: deque[tuple[list[Event], int]] = deque()
        self._ready_events = 0
        self._ready_bytes = 0
        self._reading = False
        #: The log has more for this watch than the last page held.
        self._more = False
        #: The newest position under the pattern that is known to exist.
        self._known = 0
        self._heard = machine.now
        self._checked_head = 0
        self._kept = 0
        self._keep_next = 0
        self._keeping: Ticket | None = None
        machine.call(lambda seq: OpenWatch(seq, name, pattern, after), self._opened)

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _opened(self, ticket: Ticket) -> None:
        if ticket.error is not None:
            self.failure = self.fault = ticket.error
            return
        self.position = self._kept = self._keep_next = int(ticket.value)
        self._look()

    def hint(self, previous: int, hint: Hint, size: int, now: float) -> None:
        """Take in a hint; `previous` is the position before it under this watch's prefix."""
        self._heard = now
        position = self.position
        if hint.last > self._known:
            self._known = hint.last
        if position is None or self._reading or hint.last <= position or self.is_full:
            return
        if previous > position or not hint.events:
            self._read()
        elif hint.first > position:
            self._add(hint.events, size)
            self.position = hint.last
        else:
            self._add([event for event in hint.events if event.position > position], size)
            self.position = hint.last

    def check(self) -> None:
        """Ask for the last position under the pattern, and read if that is beyond ours."""
        if self.position is not None and not self._reading and not self.closed:
            self._look()

    def _look(self) -> None:
        self._checked_head = self._machine.head
        self._machine.call(lambda seq: Last(seq, self.pattern), self._looked)

    def _looked(self, ticket: Ticket) -> None:
        if ticket.error is None:
            self._known = max(self._known, int(ticket.value))
            self._resume()

    def _resume(self) -> None:
        if self.position is None or self._reading or self.is_full:
            return
        if self._more or self._known > self.position:
            self._read()

    def _read(self) -> None:
        if self.closed:
            return
        self._reading = True
        after = self.position or 0
        self._machine.call(lambda seq: Read(seq, after, limit=PAGE_EVENTS, pattern=self.pattern), self._page)

    def _page(self, ticket: Ticket) -> None:
        self._reading = False
        if ticket.error is not None or self.closed:
            self.failure = self.fault = self.fault or ticket.error
            return
        page: Page = ticket.value
        self._more = page.more
        if page.events:
            self._add(page.events, sum(len(event.payload or "") for event in page.events))
            self.position = page.events[-1].position
        elif not page.more:
            # What was known to exist is not there (a log put back from a backup): follow what there is.
            self._known = self.position or 0
        self._resume()

    def tick(self, now: float) -> None:
        """Ask whether something was missed, once quiet, and only while the head moves."""
        if now - self._heard >= QUIET_S and self._machine.head > self._checked_head:
            self._heard = now
            self.check()

    def _add(self, events: list[Event], size: int) -> None:
        self._ready.append((events, size))
        self._ready_events += len(events)
        self._ready_bytes += size

    # --- what goes out ------------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Tell whether no more is taken in until some has been taken."""
        return self._ready_events >= READY_EVENTS_MAX or self._ready_bytes >= READY_BYTES_MAX

    @property
    def ready(self) -> int:
        """How many events are ready to be taken."""
        return self._ready_events

    def take(self) -> list[Event]:
        """Take the next ready events, in order; empty where there are none."""
        if not self._ready:
            return []
        events, size = self._ready.popleft()
        self._ready_events -= len(events)
        self._ready_bytes -= size
        self._resume()
        return events

    # --- the durable position ------------------------------------------------------------

    def keep(self, position: int) -> None:
        """Have a durable watch's position stored; several wishes become one while an earlier one is under way."""
        if self.name and position > self._keep_next:
            self._keep_next = position
            if self._keeping is None:
                self._keep()

    @property
    def is_keeping(self) -> bool:
        """Tell whether a position is still on its way to the log."""
        return self._keeping is not None

    def _keep(self) -> None:
        position = self._kept = self._keep_next
        self._keeping = self._machine.call(
            lambda seq: Keep(seq, self.name, self.pattern, position), self._position_kept
        )

    def _position_kept(self, ticket: Ticket) -> None:
        self._keeping = None
        self.failure = self.failure or ticket.error
        if self._keep_next > self._kept and ticket.error is None:
            self._keep()

    def park(self, position: int, event: NewEvent) -> Ticket:
        """Store a parking event, and with it the position, in one append."""

        def parked(ticket: Ticket) -> None:
            # Not before: a position kept meanwhile would pass over an event that could not be parked.
            if ticket.error is None:
                self._keep_next = max(self._keep_next, position)

        return self._machine.call(lambda seq: Keep(seq, self.name, self.pattern, position, [event]), parked)
