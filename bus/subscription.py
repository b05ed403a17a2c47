"""A watch as the blocking client's user holds it: an iterator of events, or a handler that the client's `run` calls."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from ..eventstore.errors import DuplicateConflict
from ..eventstore.event import Event
from .driver import Driver
from .retrying import Retry, parked_event
from .watch import WatchState

#: While a batch is being handled, the durable position is stored after so many events.
KEEP_EVERY = 64


class Watch:
    """Iterate over it, or give a handler. A durable watch's position moves on when the next event is asked for."""

    def __init__(
        self, driver: Driver, state: WatchState, instance: str, handler: Callable[[Event], Any] | None
    ) -> None:
        self.handler = handler
        self.pattern = state.pattern
        self.retry_at = 0.0
        self._driver = driver
        self._state = state
        self._instance = instance
        self._retry: Retry | None = None
        #: The batch in hand, and what of it comes next: it outlives an iteration that was broken off.
        self._events: list[Event] = []
        self._next = 0

    def __del__(self) -> None:
        # No lock here: this may run at any moment, in any thread.
        self._state.abandoned = True

    def __iter__(self) -> Iterator[Event]:
        state, driver = self._state, self._driver
        while True:
            events = self._events
            while self._next < len(events) and not state.closed:
                event = events[self._next]
                self._next += 1
                yield event
                state.handled = event.position
                if state.name and (self._next % KEEP_EVERY == 0 or self._next == len(events)):
                    with driver.state:
                        state.keep(event.position)
            if not self._await_events(None, None):
                return
            with driver.state:
                self._events, self._next = state.take(), 0

    def _await_events(self, deadline: float | None, or_when: Callable[[], bool] | None) -> bool:
        """Wait until events are ready; False after the deadline, after the end, or once `or_when()`."""
        state, machine = self._state, self._driver.machine

        def something() -> bool:
            return bool(
                state.ready
                or state.closed
                or state.failure is not None
                or machine.failure is not None
                or (or_when is not None and or_when())
            )

        self._driver.wait(something, deadline)
        failure = state.failure or machine.failure
        if failure is not None and not state.closed:
            raise failure
        return state.ready > 0 and not state.closed

    def take(self, timeout_s: float | None = None, or_when: Callable[[], bool] | None = None) -> list[Event]:
        """Return the next events, in order, as many as came together; none after the timeout or once `or_when()`.

        `or_when` is looked at whenever the client is woken (`BusClient.stop` does that from a signal handler). The
        position of a durable watch moves on as if they had been handled.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        events, self._events = self._events[self._next :], []
        if events or self._await_events(deadline, or_when):
            state = self._state
            with self._driver.state:
                events = events or state.take()
                state.keep(events[-1].position)
        return events

    # --- with a handler -----------------------------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Tell whether the handler has something to do now."""
        if self.handler is None:
            return False
        if self.retry_at:
            return time.monotonic() >= self.retry_at
        return self._next < len(self._events) or self._state.ready > 0 or self._state.fault is not None

    def serve(self) -> None:
        """Call the handler for what is ready, one batch at most; a failing event holds up this watch only.

        Raises what ended the watch, where the log can't be read.
        """
        state = self._state
        if not self.is_due or self.handler is None or state.closed:
            return
        if self._next >= len(self._events):
            with self._driver.state:
                self._events, self._next = state.take(), 0
        if not self._events and state.fault is not None:
            raise state.fault
        # A handler may end its own watch, and is then not called again.
        while self._next < len(self._events) and not state.closed:
            event = self._events[self._next]
            try:
                outcome = self.handler(event)
                if hasattr(outcome, "__await__"):
                    _complete(outcome)
            except Exception as error:  # noqa: BLE001  (whatever a user's handler raises: retried, then parked)
                if not self._failed(event, error):
                    return
            else:
                self._retry, self.retry_at = None, 0.0
            self._next += 1
            state.handled = event.position
            if self._next % KEEP_EVERY == 0 or self._next == len(self._events):
                with self._driver.state:
                    state.keep(event.position)

    def _failed(self, event: Event, error: Exception) -> bool:
        """Note a failure; True where the event was parked and the next ones pass."""
        retry = self._retry = self._retry or Retry(event)
        now = time.monotonic()
        if retry.failed(now):
            self.retry_at = retry.due
            return False
        with self._driver.state:
            parked = self._state.park(event.position, parked_event(self._state.name, self._instance, retry, error))
        machine = self._driver.machine
        self._driver.wait(lambda: parked.done or self._state.closed or machine.failure is not None, None)
        if isinstance(parked.error, DuplicateConflict):
            # It was parked before, by another process or for another reason: once is enough.
            with self._driver.state:
                self._state.keep(event.position)
        elif parked.error is not None or not parked.done:
            # It could not be written (a full disk, say): everything is tried again, and no event is passed over.
            self.retry_at = retry.due
            return False
        self._retry, self.retry_at = None, 0.0
        return True

    def close(self) -> None:
        """End the watch; the position of what was handled is stored first, if the bus answers soon."""
        state = self._state
        with self._driver.state:
            state.keep(state.handled)
        self._driver.wait(lambda: not state.is_keeping or state.failure is not None, time.monotonic() + 2.0)
        with self._driver.state:
            self._driver.machine.watching.unwatch(state)


def _complete(outcome: Awaitable[None]) -> None:
    """Run what an `async` handler has returned, in a loop of its own."""
    import asyncio  # costs memory that most processes need not spend

    async def complete() -> None:
        await outcome

    asyncio.run(complete())
