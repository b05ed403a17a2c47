"""The asyncio client of the bus: the same calls as the blocking one, awaited. All in one event loop's thread.

Concurrent emits of one round of the loop travel in one message. Make it and use it while a loop is running.
"""

from __future__ import annotations

import os
import secrets
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..eventstore.blob_files import BlobFiles
from ..eventstore.event import Event, NewEvent, new_event
from ..eventstore.upcast import Upcasters
from .aio_driver import AioDriver
from .aio_watch import AioWatch
from .endpoints import Endpoints
from .errors import BusNotRunning, BusTimeout, ClientClosed
from .fresh_ids import FreshIds
from .keys import read_key
from .machine import Machine
from .serving import GOODBYE_S
from .ticket import Ticket
from .wire import Ack, Bye, Delivery, Last, Page, Read, Stats, group_key, queue_key

READ_PAGE = 2000


class AsyncBusClient:
    """A client of the bus of one home, for asyncio; the arguments are BusClient's."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        instance: str = "",
        role: str = "client",
        secret: str | Path = "",
        timeout_s: float = 30.0,
        supervised: bool = False,
        upcasters: Upcasters | None = None,
    ) -> None:
        identity = b"\1" + secrets.token_bytes(15)
        self.instance = instance or f"client-{os.getpid()}-{identity[1:5].hex()}"
        self.timeout_s = timeout_s
        #: Where values too large for an event are offered, before the event that names them is emitted, and read.
        self.blobs = BlobFiles(endpoints.blobs, self.instance)
        self._endpoints = endpoints
        self._machine = Machine(
            instance=self.instance, role=role, pid=os.getpid(), supervised=supervised, nonce=identity[1:9],
            fresh_ids=FreshIds(), now=time.monotonic(), upcasters=upcasters,
        )  # fmt: skip
        self._driver = AioDriver(
            endpoints,
            self._machine,
            identity,
            lambda: read_key(secret) if isinstance(secret, Path) else secret,
            lambda: [] if role == "supervisor" else None,
        )
        #: Those with handlers, and those that are iterated over: these end when nobody holds them any more.
        self._watches: list[AioWatch] = []
        self._followed: weakref.WeakSet[AioWatch] = weakref.WeakSet()
        self._closed = False

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def _result(self, ticket: Ticket, timeout_s: float | None) -> Any:
        timeout = self.timeout_s if timeout_s is None else timeout_s
        machine = self._machine
        try:
            await self._driver.answer(ticket, timeout)
        finally:
            if not ticket.done:
                machine.give_up(ticket)
        if ticket.done:
            if ticket.error is not None:
                raise ticket.error
            return ticket.value
        raise self._why(ticket.what, timeout)

    def _why(self, what: str, waited_s: float) -> Exception:
        """Return why a wait has ended without an answer."""
        if self._closed:
            return ClientClosed()
        if self._machine.failure is not None:
            return self._machine.failure
        if not self._machine.greeted:
            return BusNotRunning(self._endpoints.ingress, waited_s)
        return BusTimeout(what, waited_s)

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed

    async def _post(self, events: Sequence[NewEvent], timeout_s: float | None = None, **options: Any) -> list[Event]:
        self._check_open()
        machine, timeout = self._machine, self.timeout_s if timeout_s is None else timeout_s
        if machine.is_full and not await self._driver.wait(lambda: not machine.is_full, timeout):
            raise self._why("emit", timeout)
        ack: Ack = await self._result(machine.post(events, **options), timeout)
        return ack.events

    async def _call(self, make: Callable[[int], Any]) -> Any:
        self._check_open()
        return await self._result(self._machine.call(make), None)

    # --- emitting -----------------------------------------------------------------------------------------------------

    async def emit(
        self,
        type: str,
        data: Any = None,
        *,
        expected_version: Mapping[str, int] | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> Event:
        """Append one event and return it once it is durable; see BusClient.emit."""
        event = new_event(type, data, **fields)
        return (await self._post([event], timeout_s, expected=dict(expected_version or {})))[0]

    async def emit_many(
        self,
        events: Sequence[NewEvent],
        *,
        expected_version: Mapping[str, int] | None = None,
        marks: Mapping[str, str | None] | None = None,
        withdraw: Sequence[bytes] = (),
        timeout_s: float | None = None,
    ) -> list[Event]:
        """Append events atomically and return them once they are durable; see BusClient.emit_many."""
        return await self._post(
            events, timeout_s, expected=dict(expected_version or {}), marks=dict(marks or {}), withdraw=withdraw
        )

    async def withdraw(self, ids: Sequence[bytes], events: Sequence[NewEvent] = ()) -> list[Event]:
        """End the deliveries of the events with these ids, in one append with `events` (orchestrator only)."""
        return await self.emit_many(events, withdraw=ids)

    async def emit_soon(self, event: NewEvent) -> None:
        """Queue an event to be appended soon; waits while too much is under way. See BusClient.emit_soon."""
        self._check_open()
        machine = self._machine
        if machine.is_full and not await self._driver.wait(lambda: not machine.is_full, self.timeout_s):
            raise self._why("emit", self.timeout_s)
        machine.soft(event)
        self._driver.schedule()

    async def flush(self, timeout_s: float | None = None) -> None:
        """Wait until everything given to `emit_soon` and `settle_soon` is durable; raises the first refusal."""
        self._check_open()
        machine = self._machine
        timeout = self.timeout_s if timeout_s is None else timeout_s
        arrived = await self._driver.wait(lambda: not machine.soft_waiting or machine.failure is not None, timeout)
        error, machine.soft_error = machine.soft_error, None
        if error is not None:
            raise error
        if not arrived or machine.failure is not None:
            raise self._why("flush", timeout)

    # --- reading and watching -----------------------------------------------------------------------------------------

    async def read(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        stream: str | None = None,
        type: str | None = None,
        run: str | None = None,
        to: str | None = None,
        source: str | None = None,
        reverse: bool = False,
    ) -> AsyncIterator[Event]:
        """Read the log page by page; see BusClient.read."""
        while limit is None or limit > 0:
            wanted = READ_PAGE if limit is None else min(limit, READ_PAGE)
            low, high = after, until
            page: Page = await self._call(
                lambda seq, low=low, high=high, wanted=wanted: Read(  # type: ignore[misc]
                    seq, low, high, wanted, stream, type, run, to, source, reverse
                )
            )
            for event in page.events:
                yield event
            if not page.more:
                return
            if limit is not None:
                limit -= len(page.events)
            if reverse:
                until = page.events[-1].position - 1
            else:
                after = page.events[-1].position

    async def head(self) -> int:
        """Return the position of the last event."""
        return int(await self._call(lambda seq: Last(seq, "*")))

    async def last_position(self, pattern: str) -> int:
        """Return the last position under a pattern, 0 where there is none."""
        return int(await self._call(lambda seq: Last(seq, pattern)))

    async def stats(self) -> dict[str, Any]:
        """Return the bus's counters."""
        found: dict[str, Any] = await self._call(Stats)
        return found

    def watch(
        self,
        pattern: str,
        handler: Callable[[Event], Awaitable[None] | None] | None = None,
        *,
        name: str | None = None,
        after: int | None = None,
    ) -> AioWatch:
        """Follow every event under a pattern; iterate over the result, or give a handler. See BusClient.watch.

        The watch has begun once `await watch.opened()` has returned (or the first event came).
        """
        self._check_open()
        state = self._machine.watching.watch(pattern, name or "", after)
        self._driver.schedule()
        watch = AioWatch(self._driver, state, self.instance, handler, self.timeout_s)
        if handler is None:
            self._followed.add(watch)
        else:
            self._watches.append(watch)
        return watch

    async def unwatch(self, pattern: str, handler: Callable[[Event], Any] | None = None) -> None:
        """End the watches of a pattern (with this handler, where one is given)."""
        for watch in [*self._watches, *self._followed]:
            if watch.pattern == pattern and (handler is None or watch.handler == handler):
                if watch in self._watches:
                    self._watches.remove(watch)
                self._followed.discard(watch)
                await watch.close()

    # --- groups -------------------------------------------------------------------------------------------------------

    async def consume(
        self, group_or_queue: str, pattern: str | None = None, *, after: int = 0, credit: int = 1
    ) -> AsyncIterator[Delivery]:
        """Yield deliveries of a queue, or of a group bound to a pattern; settle or fail each. Raises GroupConflict.

        Once the iteration has ended, what came and was not yielded goes to other members.
        """
        self._check_open()
        machine, holding = self._machine, self._machine.holding
        key = group_key(group_or_queue) if pattern else queue_key(group_or_queue)
        holding.begin_consuming(key)
        try:
            await self._result(holding.bind(group_or_queue, pattern or "", after, credit), None)
            while await self._driver.wait(
                lambda: self._closed or machine.failure is not None or holding.has_delivery(key), None
            ):
                delivery = holding.next_delivery(key)
                if delivery is not None:
                    yield delivery
                elif self._closed:
                    return
                elif machine.failure is not None:
                    raise machine.failure
        finally:
            if not self._closed:
                # Not waited for: a task that is being cancelled must not hang on a bus that is away.
                holding.end_consuming(key)
                self._driver.schedule()

    async def leave(self, group_or_queue: str, pattern: str | None = None) -> None:
        """Take no more deliveries of a group; what was taken stays held until settled, the rest goes to others."""
        self._check_open()
        key = group_key(group_or_queue) if pattern else queue_key(group_or_queue)
        await self._result(self._machine.holding.leave(key), None)

    async def settle(self, delivery: Delivery, events: Sequence[NewEvent] = ()) -> list[Event]:
        """Append results and settle, in one transaction. Raises StaleDelivery, and as `emit`."""
        return await self._post(events, None, what="settle", settle=delivery)

    def settle_soon(self, delivery: Delivery, events: Sequence[NewEvent] = ()) -> None:
        """Settle without waiting; a refusal comes up at `flush`. Raises StaleDelivery where it is already withdrawn."""
        self._check_open()
        self._machine.settle_soft(delivery, events)
        self._driver.schedule()

    async def fail(self, delivery: Delivery, error: str, retry_in_s: float | None = None) -> None:
        """Say that handling failed: the event is delivered again later, or parked after too many attempts."""
        self._check_open()
        await self._result(self._machine.holding.fail(delivery, error, retry_in_s), None)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Say goodbye and close; what this client holds goes to others at once."""
        if self._closed:
            return
        try:
            for watch in [*self._watches, *self._followed]:
                await watch.close()
        finally:
            self._closed = True
            self._machine.say_goodbye(Bye())
            self._driver.close(GOODBYE_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close; where the block ended well, flush first, as the blocking client does."""
        try:
            if kind is None and not self._closed and (self._machine.soft_waiting or self._machine.soft_error):
                await self.flush()
        finally:
            await self.close()
