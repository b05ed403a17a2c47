"""Drives the state machine from an asyncio loop: reads the sockets' descriptors and drains them in batches.

No wrapper per message: one callback takes in all that has arrived, lets the machine answer, and wakes who waited.
Everything happens in the loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import zmq

from .driver import DRAIN_MAX, PAUSE_S, READABLE, dealer_socket, sub_socket
from .endpoints import Endpoints
from .machine import Machine
from .ticket import Ticket


class AioDriver:
    """Owns the sockets of one asyncio client, on the loop that is running. `secret` and `living` are for the hello."""

    def __init__(
        self,
        endpoints: Endpoints,
        machine: Machine,
        identity: bytes,
        secret: Callable[[], str],
        living: Callable[[], list[str] | None],
    ) -> None:
        self.machine = machine
        self._loop = asyncio.get_running_loop()
        self._secret = secret
        self._living = living
        self.endpoint = endpoints.ingress
        self._endpoints = endpoints
        self._context = zmq.Context(io_threads=1)
        self._dealer = dealer_socket(self._context, endpoints.ingress, identity)
        self._sub: zmq.Socket[bytes] | None = None
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[bool]]] = []
        self._scheduled: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._full_since = 0.0
        self._closed = False
        self._loop.add_reader(_descriptor(self._dealer), self._turn)
        self.schedule()

    def schedule(self) -> None:
        """Have everything that is asked for in this round of the loop sent together at its end."""
        if self._scheduled is None and not self._closed:
            self._scheduled = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if self._closed:
            return
        machine = self.machine
        machine.tick(time.monotonic())
        # The descriptors are edge-triggered, and sending may swallow an edge: repeat until nothing is left to take in.
        self._pump()
        while self._drain():
            self._pump()
        self._wake()
        if self._timer is not None:
            self._timer.cancel()
        # What couldn't be sent (no connection yet) is tried again soon; nothing else tells when that is possible.
        delay = 0.01 if machine.out or self._full_since else max(0.001, machine.due() - time.monotonic())
        self._timer = self._loop.call_later(delay, self._turn)

    def _drain(self) -> bool:
        """Take in what has arrived; return whether anything had."""
        machine, now, count = self.machine, time.monotonic(), 0
        dealer, sub = self._dealer, self._sub
        while count < DRAIN_MAX and int(dealer.get(zmq.EVENTS)) & READABLE:
            machine.received(dealer.recv(zmq.NOBLOCK), now)
            count += 1
        if sub is not None:
            for index in range(DRAIN_MAX):
                if index % 8 == 0 and self._waits_for_room(now):
                    break
                if not int(sub.get(zmq.EVENTS)) & READABLE:
                    break
                machine.hinted(sub.recv_multipart(zmq.NOBLOCK), now)
                count += 1
        return count > 0

    def _waits_for_room(self, now: float) -> bool:
        """Tell whether hints are left in the socket, as a watch is full and has been so only for a moment."""
        if not self.machine.watching.is_full:
            self._full_since = 0.0
            return False
        self._full_since = self._full_since or now
        return now - self._full_since < PAUSE_S

    def _pump(self) -> None:
        machine = self.machine
        if machine.hello_due:
            machine.hello(self._secret(), self._living())
        machine.fill()
        while machine.watching.subscriptions:
            if self._sub is None:
                self._sub = sub_socket(self._context, self._endpoints.egress)
                self._loop.add_reader(_descriptor(self._sub), self._turn)
            wanted, prefix = machine.watching.subscriptions.popleft()
            self._sub.set(zmq.SUBSCRIBE if wanted else zmq.UNSUBSCRIBE, prefix)
        out = machine.out
        while out:
            try:
                self._dealer.send(out[0], zmq.NOBLOCK)
            except zmq.Again:
                return
            out.popleft()

    def _wake(self) -> None:
        if not self._waiting:
            return
        still = []
        for done, future in self._waiting:
            if future.done():
                continue
            if done():
                future.set_result(True)
            else:
                still.append((done, future))
        self._waiting = still

    async def wait(self, done: Callable[[], bool], timeout_s: float | None) -> bool:
        """Return True once `done()`, False after the time is over."""
        if done():
            return True
        future: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.append((done, future))
        self.schedule()
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return done()

    async def answer(self, ticket: Ticket, timeout_s: float) -> bool:
        """Return True once a ticket is done or the bus has refused us, False after the time is over."""
        if ticket.done:
            return True
        future: asyncio.Future[bool] = self._loop.create_future()
        before = ticket.on_done

        def answered(found: Ticket) -> None:
            if before is not None:
                before(found)
            if not future.done():
                future.set_result(True)

        ticket.on_done = answered
        self._waiting.append((lambda: self.machine.failure is not None, future))
        self.schedule()
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return False

    def close(self, linger_s: float) -> None:
        """Send what is ready and close the sockets; whoever waits is woken."""
        if self._closed:
            return
        self._pump()
        self._closed = True
        for handle in (self._scheduled, self._timer):
            if handle is not None:
                handle.cancel()
        for socket in (self._dealer, self._sub):
            if socket is not None:
                self._loop.remove_reader(_descriptor(socket))
                socket.close(linger=int(linger_s * 1000))
        self._context.term()
        self.machine.close()
        for _, future in self._waiting:
            if not future.done():
                future.set_result(False)


def _descriptor(socket: zmq.Socket[bytes]) -> int:
    return int(socket.get(zmq.FD))
