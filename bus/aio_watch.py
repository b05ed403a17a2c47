"""A watch as the asyncio client's user holds it: an asynchronous iterator, or a handler called by a task of its own."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from ..eventstore.errors import DuplicateConflict
from ..eventstore.event import Event
from .aio_driver import AioDriver
from .errors import BusNotRunning, BusTimeout
from .retrying import Retry, parked_event
from .watch import WatchState

KEEP_EVERY = 64


class AioWatch:
    """Iterate over it, or give a handler. A durable watch's position moves on when the next event is asked for."""

    def __init__(
        self,
        driver: AioDriver,
        state: WatchState,
        instance: str,
        handler: Callable[[Event], Awaitable[None] | None] | None,
        timeout_s: float,
    ) -> None:
        self.handler = handler
        self.pattern = state.pattern
        self._driver = driver
        self._state = state
        self._instance = instance
        self._timeout_s = timeout_s
        #: The batch in hand, and what of it comes next: it outlives an iteration that was broken off.
        self._events: list[Event] = []
        self._next = 0
        #: Ends with an error where the watch does, which the loop's exception handler is told; it may be awaited too.
        self.task = asyncio.create_task(self._serve(handler)) if handler is not None else None
        if self.task is not None:
            self.task.add_done_callback(_tell_of_failure)

    def __del__(self) -> None:
        self._state.abandoned = True

    async def opened(self) -> None:
        """Wait until the watch has begun. Raises WatchConflict, BusNotRunning or BusTimeout."""
        state, driver = self._state, self._driver
        machine, timeout_s = driver.machine, self._timeout_s
        await driver.wait(
            lambda: state.position is not None or state.failure is not None or machine.failure is not None, timeout_s
        )
        failure = state.failure or machine.failure
        if failure is not None:
            raise failure
        if state.position is None:
            raise BusTimeout("watch", timeout_s) if machine.greeted else BusNotRunning(driver.endpoint, timeout_s)

    async def _has_next(self) -> bool:
        """Wait for the next event; False where the watch has ended."""
        state, machine = self._state, self._driver.machine
        if self._next >= len(self._events):
            await self._driver.wait(lambda: bool(state.ready or state.closed or state.failure or machine.failure), None)
            failure = state.failure or machine.failure
            if failure is not None and not state.closed:
                raise failure
            self._events, self._next = state.take(), 0
            self._driver.schedule()
        return self._next < len(self._events) and not state.closed

    def _handled(self, event: Event) -> None:
        self._state.handled = event.position
        if self._state.name and (self._next % KEEP_EVERY == 0 or self._next == len(self._events)):
            self._state.keep(event.position)
            self._driver.schedule()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while await self._has_next():
            event = self._events[self._next]
            self._next += 1
            yield event
            self._handled(event)

    async def _serve(self, handler: Callable[[Event], Awaitable[None] | None]) -> None:
        while await self._has_next():
            event = self._events[self._next]
            self._next += 1
            if await self._handle(handler, event):
                self._handled(event)

    async def _handle(self, handler: Callable[[Event], Awaitable[None] | None], event: Event) -> bool:
        """Call the handler until it takes the event, or park the event; False where the watch ended before."""
        retry = Retry(event)
        while not self._state.closed:
            try:
                outcome = handler(event)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception as error:  # noqa: BLE001  (whatever a user's handler raises: retried, then parked)
                if not retry.failed(time.monotonic()) and await self._park(retry, error):
                    return True
                await asyncio.sleep(max(0.0, retry.due - time.monotonic()))
            else:
                return True
        return False

    async def _park(self, retry: Retry, error: Exception) -> bool:
        """Store that the event is given up; False where that could not be written (a full disk, say)."""
        state, event = self._state, retry.event
        parked = state.park(event.position, parked_event(state.name, self._instance, retry, error))
        machine = self._driver.machine
        await self._driver.wait(lambda: parked.done or state.closed or machine.failure is not None, None)
        if isinstance(parked.error, DuplicateConflict):
            # It was parked before, by another process or for another reason: once is enough.
            state.keep(event.position)
            return True
        return parked.done and parked.error is None

    async def close(self) -> None:
        """End the watch; the position of what was handled is stored first, if the bus answers soon."""
        state = self._state
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
        state.keep(state.handled)
        try:
            await self._driver.wait(lambda: not state.is_keeping or state.failure is not None, 2.0)
        finally:
            self._driver.machine.watching.unwatch(state)
            self._driver.schedule()


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    """Have an end of a handler's watch noticed where nobody awaits its task."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": "a watch has ended", "exception": error, "task": task})
