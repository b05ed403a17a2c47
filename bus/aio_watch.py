"""A watch as the asyncio client's user holds it: an asynchronous iterator, or a handler called by a task of its own."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from ..eventstore.event import Event
from .aio_driver import AioDriver
from .errors import BusTimeout
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
        #: Ends with an error where the watch does; a caller may await it.
        self.task = asyncio.create_task(self._serve(handler)) if handler is not None else None

    async def opened(self) -> None:
        """Wait until the watch has begun. Raises WatchConflict or BusTimeout."""
        state = self._state
        if not await self._driver.wait(
            lambda: state.position is not None or state.failure is not None, self._timeout_s
        ):
            raise BusTimeout("watch", self._timeout_s)
        if state.failure is not None:
            raise state.failure

    async def _batch(self) -> list[Event]:
        """Wait for the next events; empty where the watch has ended."""
        state = self._state
        await self._driver.wait(lambda: state.ready > 0 or state.closed or state.failure is not None, None)
        if state.failure is not None:
            raise state.failure
        events = [] if state.closed else state.take()
        self._driver.schedule()
        return events

    def _handled(self, event: Event, index: int, count: int) -> None:
        if self._state.name and (index % KEEP_EVERY == 0 or index == count):
            self._state.keep(event.position)
            self._driver.schedule()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while events := await self._batch():
            for index, event in enumerate(events, 1):
                yield event
                self._handled(event, index, len(events))

    async def _serve(self, handler: Callable[[Event], Awaitable[None] | None]) -> None:
        while events := await self._batch():
            for index, event in enumerate(events, 1):
                await self._handle(handler, event)
                self._handled(event, index, len(events))

    async def _handle(self, handler: Callable[[Event], Awaitable[None] | None], event: Event) -> None:
        """Call the handler until it takes the event, or park the event."""
        retry = Retry(event)
        while True:
            try:
                outcome = handler(event)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception as error:  # noqa: BLE001  (whatever a user's handler raises: retried, then parked)
                if not retry.failed(time.monotonic()):
                    await self._park(retry, error)
                    return
                await asyncio.sleep(max(0.0, retry.due - time.monotonic()))
            else:
                return

    async def _park(self, retry: Retry, error: Exception) -> None:
        state, event = self._state, retry.event
        parked = state.park(event.position, parked_event(state.name, self._instance, retry, error))
        await self._driver.wait(lambda: parked.done or state.closed, None)
        if parked.error is not None:
            raise parked.error from error

    async def close(self) -> None:
        """End the watch; a position on its way is stored first, if the bus answers soon."""
        state = self._state
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
        await self._driver.wait(lambda: not state.is_keeping or state.failure is not None, 2.0)
        self._driver.machine.watching.unwatch(state)
        self._driver.schedule()
