"""Drives the state machine over real sockets for the blocking client, from whichever thread waits for something.

One thread at a time is the driver: it polls, sends and receives. Every other thread may change the machine (under
`state`), wakes the driver and waits; when the driver has what it came for, a waiting thread takes over. So a script
needs no thread of ours, and an agent's main thread drives while its task runs in another.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

import zmq

from .endpoints import Endpoints
from .errors import ClientClosed
from .machine import Machine
from .wire import FRAME_BYTES_MAX

#: Frames taken in at once before time and callbacks get their turn.
DRAIN_MAX = 1000
#: As plain numbers: combining the named ones costs as much as sending a message.
READABLE, EVENTS, NOBLOCK = int(zmq.POLLIN), int(zmq.EVENTS), int(zmq.NOBLOCK)
#: While a watch is full, hints stay in the socket for so long: what is taken soon needs no reading from the log.
PAUSE_S = 0.1
#: Hints queued in our own memory while nobody drives; with the size of a hint this bounds a slow watcher.
HINTS_MAX = 64


class Driver:
    """Owns the sockets of one client. `secret` and `living` are asked for at each hello."""

    def __init__(
        self,
        endpoints: Endpoints,
        machine: Machine,
        identity: bytes,
        secret: Callable[[], str],
        living: Callable[[], list[str] | None],
    ) -> None:
        self.machine = machine
        self.state = threading.Lock()
        self._changed = threading.Condition(self.state)
        self._waiters = 0
        self._driver = 0
        self._polling = False
        self._secret = secret
        self._living = living
        self._endpoints = endpoints
        self._context = zmq.Context(io_threads=1)
        self._dealer = dealer_socket(self._context, endpoints.ingress, identity)
        self._sub: zmq.Socket[bytes] | None = None
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # A socket's descriptor tells only that something has changed since the socket was asked last: it is polled once
        # there was nothing more to receive. A poller of ZeroMQ asks the kernel twice, and the socket twice.
        self._poller = select.poll()
        self._poller.register(int(self._dealer.get(zmq.FD)), select.POLLIN)
        self._poller.register(self._wake, select.POLLIN)
        self._closing = False
        #: This process is a fork of the one that made us: sockets and lock are of no use here.
        self.is_foreign = False
        self._paused_until = 0.0

    def wake(self) -> None:
        """Have the driver look again; safe in a signal handler, and after the end."""
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    def nudge(self) -> bool:
        """Have what waits sent soon by the thread that drives; False where none does."""
        with self.state:
            if self._polling:
                self.wake()
            return self._driver != 0

    def wait(self, done: Callable[[], bool], deadline: float | None) -> bool:
        """Return True once `done()` (called under `state`), False after the deadline (monotonic seconds)."""
        if self.is_foreign:
            raise ClientClosed
        me = threading.get_ident()
        with self.state:
            fresh = True
            while self._driver not in (0, me):
                if done():
                    return True
                if fresh and self._polling:
                    # Once is enough: it sends what we have queued. Doing so after each of its turns would be a spin.
                    self.wake()
                fresh = False
                left = None if deadline is None else deadline - time.monotonic()
                if self._closing or (left is not None and left <= 0):
                    return False
                self._waiters += 1
                self._changed.wait(left)
                self._waiters -= 1
            nested = self._driver == me
            self._driver = me
        try:
            return self._drive(done, deadline)
        finally:
            if not nested:
                with self.state:
                    self._driver = 0
                    if self._waiters:
                        self._changed.notify()

    def _drive(self, done: Callable[[], bool], deadline: float | None) -> bool:
        machine = self.machine
        while True:
            with self.state:
                if done():
                    return True
                now = time.monotonic()
                if self._closing or (deadline is not None and now >= deadline):
                    return False
                machine.tick(now)
                self._pump()
                if self._receive(now) or machine.answered_here:
                    machine.answered_here = False
                    # What this calls for goes out before anybody is told.
                    self._pump()
                    if self._waiters:
                        self._changed.notify_all()
                    continue
                until = machine.due()
                if self._paused_until:
                    until = min(until, self._paused_until)
                if deadline is not None and deadline < until:
                    until = deadline
                self._polling = True
            ready = self._poller.poll(max(0, int((until - now) * 1000) + 1))
            with self.state:
                self._polling = False
                for descriptor, _ in ready:
                    if descriptor == self._wake:
                        os.eventfd_read(descriptor)
                if self._waiters:
                    self._changed.notify_all()

    def take_in(self) -> None:
        """Receive what has come, sending nothing, unless another thread is driving."""
        with self.state:
            if not self._driver and not self._closing:
                self._receive(time.monotonic())

    def turn(self) -> None:
        """Send and receive what can be at once, without waiting, unless another thread is driving."""
        with self.state:
            if self._driver or self._closing:
                if self._polling and self.machine.has_unsent:
                    self.wake()
                return
            now = time.monotonic()
            self._pump()
            self._receive(now)
            self.machine.tick(now)
            self._pump()

    def _receive(self, now: float) -> bool:
        """Take in what has come; tell whether something has."""
        received = self._drain_dealer(now)
        if self._sub is not None:
            if self._paused_until:
                self._unpause(now)
            else:
                received = self._drain_sub(now) or received
        return received

    def _drain_dealer(self, now: float) -> bool:
        receive, received, events = self._dealer.recv, self.machine.received, self._dealer.get
        for count in range(DRAIN_MAX):
            # Asking costs a fifth of the exception that tells that there is nothing more.
            if not int(events(EVENTS)) & READABLE:
                return count > 0
            received(receive(NOBLOCK), now)
        return True

    def _unpause(self, now: float) -> None:
        """Take hints again once there is room for them, or when the others have waited long enough."""
        if self._paused_until and (now >= self._paused_until or not self.machine.watching.is_full):
            patient = now < self._paused_until
            self._paused_until = 0.0
            self._poll_sub()
            self._drain_sub(now, patient)

    def _poll_sub(self) -> None:
        assert self._sub is not None
        self._poller.register(int(self._sub.get(zmq.FD)), select.POLLIN)

    def _drain_sub(self, now: float, patient: bool = True) -> bool:
        assert self._sub is not None
        receive, hinted, watching = self._sub.recv_multipart, self.machine.hinted, self.machine.watching
        events = self._sub.get
        for count in range(DRAIN_MAX):
            if patient and count % 8 == 0 and watching.is_full:
                self._paused_until = now + PAUSE_S
                self._poller.unregister(int(self._sub.get(zmq.FD)))
                return count > 0
            if not int(events(EVENTS)) & READABLE:
                return count > 0
            hinted(receive(NOBLOCK), now)
        return True

    def _pump(self) -> None:
        machine = self.machine
        if machine.hello_due:
            machine.hello(self._secret(), self._living())
        machine.fill()
        if machine.watching.subscriptions:
            self._subscribe()
        out = machine.out
        while out:
            try:
                self._dealer.send(out[0], NOBLOCK)
            except zmq.Again:
                # Its descriptor tells when there is room again.
                return
            out.popleft()

    def _subscribe(self) -> None:
        if self._sub is None:
            self._sub = sub_socket(self._context, self._endpoints.egress)
            self._poll_sub()
        wishes = self.machine.watching.subscriptions
        while wishes:
            wanted, prefix = wishes.popleft()
            self._sub.set(zmq.SUBSCRIBE if wanted else zmq.UNSUBSCRIBE, prefix)

    def close(self, linger_s: float) -> None:
        """Send what is ready and close the sockets, once the thread that drives has left; whoever waits gets False."""
        with self.state:
            self._closing = True
            while self._driver not in (0, threading.get_ident()):
                self.wake()
                self._waiters += 1
                self._changed.wait(1.0)
                self._waiters -= 1
            self._pump()
            self._dealer.close(linger=int(linger_s * 1000))
            if self._sub is not None:
                self._sub.close(linger=0)
            self._context.term()
            # The number may soon be another file's: nothing is written to it any more.
            wake, self._wake = self._wake, -1
            os.close(wake)


def dealer_socket(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, identity: bytes) -> zmq.Socket[bytes]:
    """Return a DEALER that is being connected to the ingress and announces each connection that it makes."""
    socket = context.socket(zmq.DEALER)
    socket.set(zmq.IDENTITY, identity)
    socket.set(zmq.PROBE_ROUTER, 1)
    # Nothing is queued for a connection that doesn't exist: after a reconnect the machine resends by itself.
    socket.set(zmq.IMMEDIATE, 1)
    _common(socket)
    socket.set(zmq.SNDHWM, 256)
    socket.set(zmq.RCVHWM, 1000)
    socket.connect(endpoint)
    return socket


def sub_socket(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    """Return a SUB that is being connected to the egress."""
    socket = context.socket(zmq.SUB)
    _common(socket)
    socket.set(zmq.RCVHWM, HINTS_MAX)
    socket.connect(endpoint)
    return socket


def _common(socket: zmq.Socket[bytes]) -> None:
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
    socket.set(zmq.RECONNECT_IVL, 10)
    socket.set(zmq.RECONNECT_IVL_MAX, 200)
