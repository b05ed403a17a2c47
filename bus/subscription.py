"""A watch as the blocking client's user holds it: an iterator of events, or a handler that the client's `run` calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ..eventstore.event import Event
from .driver import Driver
from .retrying import Retry, parked_event
from .watch import WatchState

#: While a batch is being handled, the durable position is stored after so many events.
KEEP_EVERY = 64


class Watch:
    """Iterate over it, or give a handler. A durable watch's position moves on when the next event is asked for."""

    def __init__(
        self, driver: Driver, state: WatchState, instance: str, handler: Callable[[Event], None] | None
    ) -> None:
        self.handler = handler
        self.pattern = state.pattern
        self.retry_at = 0.0
        self._driver = driver
        self._state = state
        self._instance = instance
        self._retry: Retry | None = None
        self._events: list[Event] = []
        self._next = 0

    def __iter__(self) -> Iterator[Event]:
        state, driver = self._state, self._driver
        while True:
            driver.wait(lambda: state.ready > 0 or state.closed or state.failure is not None, None)
            if state.failure is not None:
                raise state.failure
            if state.closed:
                return
            with driver.state:
                events = state.take()
            for index, event in enumerate(events, 1):
                yield event
                if state.name and (index % KEEP_EVERY == 0 or index == len(events)):
                    with driver.state:
                        state.keep(event.position)

    def take(self, timeout_s: float | None = None, or_when: Callable[[], bool] | None = None) -> list[Event]:
        """Return the next events, in order, as many as came together; none after the timeout or once `or_when()`.

        `or_when` is looked at whenever the client is woken (`BusClient.stop` does that from a signal handler). The
        position of a durable watch moves on as if they had been handled.
        """
        state, driver = self._state, self._driver
        deadline = None if timeout_s is None else time.monotonic() + timeout_s

        def something() -> bool:
            return state.ready > 0 or state.closed or state.failure is not None or (or_when is not None and or_when())

        driver.wait(something, deadline)
        if state.failure is not None:
            raise state.failure
        with driver.state:
            events = state.take()
            if events and state.name:
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
        return self._next < len(self._events) or self._state.ready > 0

    def serve(self) -> None:
        """Call the handler for what is ready, one batch at most; a failing event holds up this watch only."""
        if not self.is_due or self.handler is None:
            return
        if self._next >= len(self._events):
            with self._driver.state:
                self._events, self._next = self._state.take(), 0
        while self._next < len(self._events):
            event = self._events[self._next]
            try:
                self.handler(event)
            except Exception as error:  # noqa: BLE001  (whatever a user's handler raises: retried, then parked)
                if not self._failed(event, error):
                    return
            else:
                self._retry, self.retry_at = None, 0.0
            self._next += 1
            if self._next % KEEP_EVERY == 0 or self._next == len(self._events):
                with self._driver.state:
                    self._state.keep(event.position)

    def _failed(self, event: Event, error: Exception) -> bool:
        """Note a failure; True where the event was parked and the next ones pass."""
        retry = self._retry = self._retry or Retry(event)
        now = time.monotonic()
        if retry.failed(now):
            self.retry_at = retry.due
            return False
        with self._driver.state:
            parked = self._state.park(event.position, parked_event(self._state.name, self._instance, retry, error))
        self._driver.wait(lambda: parked.done or self._state.closed, None)
        if parked.error is not None:
            raise parked.error
        self._retry, self.retry_at = None, 0.0
        return True

    def close(self) -> None:
        """End the watch; a position on its way is stored first, if the bus answers soon."""
        state = self._state
        self._driver.wait(lambda: not state.is_keeping or state.failure is not None, time.monotonic() + 2.0)
        with self._driver.state:
            self._driver.machine.watching.unwatch(state)
