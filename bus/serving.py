"""The life of a blocking client: connecting, waiting for answers, serving callbacks, closing."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..eventstore.blob_files import BlobFiles
from ..eventstore.event import Event, NewEvent
from ..eventstore.upcast import Upcasters
from .driver import Driver
from .endpoints import Endpoints
from .errors import BusNotRunning, BusTimeout, ClientClosed
from .fresh_ids import FreshIds
from .keys import read_key
from .machine import Machine
from .subscription import Watch
from .ticket import Ticket
from .wire import Ack, Bye, Delivery

#: How long a goodbye may take on its way to the kernel; without it, what was held waits for a lease.
GOODBYE_S = 1.0
#: Every client of this process, for the fork.
_clients: weakref.WeakSet[Serving] = weakref.WeakSet()


class Serving:
    """What BusClient is built on: a connection to the bus of one home.

    `instance` names this process (new for each incarnation of it). `secret` is a role's secret, or the file that
    holds it, read at each connect. `supervised` says that a supervisor answers for this process's end. `living`
    (supervisor only) lists the instances that live. `timeout_s` is how long calls wait where they are not told.
    `upcasters` lift old payloads in all that is read, watched or delivered; where one can't be: UpcastFailed.
    `keeper=False` spares the thread that drives between calls: for a program that is always in `run`, as agents are.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        instance: str = "",
        role: str = "client",
        secret: str | Path = "",
        timeout_s: float = 30.0,
        supervised: bool = False,
        living: Callable[[], list[str]] | None = None,
        keeper: bool = True,
        upcasters: Upcasters | None = None,
    ) -> None:
        identity = b"\1" + os.urandom(15)
        self.instance = instance or f"client-{os.getpid()}-{identity[1:5].hex()}"
        self.timeout_s = timeout_s
        #: Where values too large for an event are offered, before the event that names them is emitted, and read.
        self.blobs = BlobFiles(endpoints.blobs, self.instance)
        self._endpoints = endpoints
        self._machine = Machine(
            instance=self.instance, role=role, pid=os.getpid(), supervised=supervised, nonce=identity[1:9],
            fresh_ids=FreshIds(), now=time.monotonic(), upcasters=upcasters,
        )  # fmt: skip
        self._driver = Driver(
            endpoints,
            self._machine,
            identity,
            lambda: read_key(secret) if isinstance(secret, Path) else secret,
            lambda: living() if living is not None else ([] if role == "supervisor" else None),
        )
        self._state = self._driver.state
        #: Those with handlers, and those that are iterated over: these end when nobody holds them any more.
        self._watches: list[Watch] = []
        self._followed: weakref.WeakSet[Watch] = weakref.WeakSet()
        self._stopped = False
        self._closed = False
        self._keeps = keeper
        self._keeper: threading.Thread | None = None
        self._kick = threading.Event()
        _clients.add(self)

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _result(self, ticket: Ticket, timeout_s: float | None) -> Any:
        """Wait for an answer and return it, or raise what went wrong."""
        timeout = self.timeout_s if timeout_s is None else timeout_s
        machine = self._machine
        done = self._driver.wait(lambda: ticket.done or machine.failure is not None, time.monotonic() + timeout)
        if ticket.done:
            if ticket.error is not None:
                raise ticket.error
            return ticket.value
        with self._state:
            machine.give_up(ticket)
        if self._closed:
            raise ClientClosed
        if machine.failure is not None:
            raise machine.failure
        assert not done
        if not machine.greeted:
            raise BusNotRunning(self._endpoints.ingress, timeout)
        raise BusTimeout(ticket.what, timeout)

    def _post(self, events: Sequence[NewEvent], timeout_s: float | None = None, **options: Any) -> list[Event]:
        self._check_open()
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        self._wait_for_room(deadline)
        with self._state:
            ticket = self._machine.post(events, **options)
        ack: Ack = self._result(ticket, max(0.0, deadline - time.monotonic()))
        return ack.events

    def _wait_for_room(self, deadline: float) -> None:
        machine = self._machine
        if machine.is_full and not self._driver.wait(lambda: not machine.is_full, deadline):
            if not machine.greeted:
                raise BusNotRunning(self._endpoints.ingress, self.timeout_s)
            raise BusTimeout("emit", self.timeout_s)

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed

    def _call(self, make: Callable[[int], Any], timeout_s: float | None = None) -> Any:
        self._check_open()
        with self._state:
            ticket = self._machine.call(make)
        return self._result(ticket, timeout_s)

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until everything given to `emit_soon` and `settle_soon` is durable; raises the first refusal."""
        self._check_open()
        machine = self._machine
        timeout = self.timeout_s if timeout_s is None else timeout_s
        arrived = self._driver.wait(
            lambda: not machine.soft_waiting or machine.failure is not None, time.monotonic() + timeout
        )
        with self._state:
            error, machine.soft_error = machine.soft_error, None
        if error is not None:
            raise error
        if machine.failure is not None:
            raise machine.failure
        if not arrived:
            self._check_open()
            if not machine.greeted:
                raise BusNotRunning(self._endpoints.ingress, timeout)
            raise BusTimeout("flush", timeout)

    # --- serving ------------------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_withdrawn: Callable[[Delivery], None] | None = None,
        on_kill: Callable[[str, int, str], None] | None = None,
        on_present: Callable[[str], None] | None = None,
        until: Callable[[], bool] | None = None,
        deadline: float | None = None,
    ) -> None:
        """Serve callbacks in this thread until `stop`; they may call any method of the client.

        Returns too once `until()`, which is looked at whenever something comes or `wake` is called, and after the
        deadline (monotonic seconds). Supervisor only: `on_kill(instance, pid, reason)` wants a process group killed,
        `on_present(instance)` tells that one has said hello.
        """
        machine = self._machine

        def something() -> bool:
            return bool(
                self._stopped
                or machine.failure is not None
                or (on_delivery and machine.holding.deliveries)
                or machine.holding.withdrawn
                or machine.kills
                or (on_present and machine.present)
                or any(watch.is_due for watch in self._watches)
                or (until is not None and until())
            )

        while not self._stopped and not (until is not None and until()):
            times = [watch.retry_at for watch in self._watches if watch.retry_at]
            due = min(times if deadline is None else [*times, deadline], default=None)
            if not self._driver.wait(something, due) and due == deadline:
                return
            if machine.failure is not None:
                raise machine.failure
            while True:
                with self._state:
                    # As for deliveries, below.
                    delivery = machine.holding.withdrawn.popleft() if machine.holding.withdrawn else None
                if delivery is None:
                    break
                if on_withdrawn is not None:
                    on_withdrawn(delivery)
            while machine.kills:
                kill = machine.kills.popleft()
                if on_kill is not None:
                    on_kill(kill.instance, kill.pid, kill.reason)
            while on_present is not None and machine.present:
                on_present(machine.present.popleft())
            while on_delivery is not None and not self._stopped:
                with self._state:
                    # Another thread may be driving, and taking in that this very delivery is withdrawn.
                    if not machine.holding.deliveries:
                        break
                    delivery = machine.holding.deliveries.popleft()
                on_delivery(delivery)
            for watch in list(self._watches):
                watch.serve()

    @property
    def deliveries_count(self) -> int:
        """How many deliveries are there to be taken."""
        return len(self._machine.holding.deliveries)

    def send(self) -> None:
        """Send what waits to be sent, and take in what has come, unless another thread is serving the connection."""
        self._driver.turn()

    def wait_until(self, done: Callable[[], bool]) -> None:
        """Serve the connection until `done()`, which is looked at when something comes; raises as `take_delivery`."""
        machine = self._machine
        self._driver.wait(lambda: self._closed or machine.failure is not None or done(), None)
        if machine.failure is not None:
            raise machine.failure

    def take_delivery(self, unless: Callable[[], bool]) -> Delivery | None:
        """Wait for the next delivery of all that was joined; None once stopped, or `unless()` (looked at on `wake`).

        For a thread of its own beside the one in `run`: whichever of the two waits serves the connection. Raises what
        the bus refuses us with.
        """
        machine, holding = self._machine, self._machine.holding

        def something() -> bool:
            return bool(self._stopped or holding.deliveries or machine.failure is not None or unless())

        while True:
            if not holding.deliveries:
                # What has come already is taken before what waits is sent: it then goes along with what follows.
                self._driver.take_in()
                if not holding.deliveries:
                    self._driver.wait(something, None)
            if self._stopped or unless():
                return None
            if machine.failure is not None:
                raise machine.failure
            with self._state:
                if holding.deliveries:
                    return holding.deliveries.popleft()

    def is_withdrawn(self, delivery: Delivery) -> bool:
        """Tell whether a delivery that was taken, and is not settled yet, has been withdrawn."""
        return self._machine.holding.is_stopping(delivery)

    def wake(self) -> None:
        """Have whoever waits look again; safe in a signal handler."""
        self._driver.wake()

    def stop(self) -> None:
        """Have `run`, `take_delivery` and `consume` return; safe in a signal handler."""
        self._stopped = True
        self._driver.wake()

    def _start_keeper(self) -> None:
        """Start the thread that drives when nobody does: heartbeats while a script works, and what was queued."""
        if self._keeper is None and self._keeps:
            self._keeper = threading.Thread(target=self._keep, name="bus-keeper", daemon=True)
            self._keeper.start()

    def _send_soon(self) -> None:
        """Have what was queued sent soon, by whoever drives or by the keeper."""
        if self._kick.is_set():
            return
        self._check_open()
        if not self._driver.nudge():
            self._start_keeper()
            self._kick.set()

    def _keep(self) -> None:
        machine = self._machine
        while not self._closed:
            left = machine.due() - time.monotonic()
            if self._kick.wait(min(max(left, 0.02), 1.0)):
                # Let the caller queue some more: fewer, larger messages.
                time.sleep(0.005)
                self._kick.clear()
            self._driver.turn()
            if machine.soft_waiting:
                self._kick.set()

    def close(self) -> None:
        """Say goodbye and close, without a flush; what this client holds goes to others at once."""
        if self._closed:
            return
        self._closed = True
        self._stopped = True
        self._kick.set()
        if self._keeper is not None and self._keeper is not threading.current_thread():
            self._keeper.join()
        for watch in [*self._watches, *self._followed]:
            watch.close()
        with self._state:
            self._machine.say_goodbye(Bye())
        self._driver.close(GOODBYE_S)
        with self._state:
            self._machine.close()

    def abandon(self) -> None:
        """In a forked child: leave everything to the parent, whose sockets, threads and locks these are."""
        self._closed = self._stopped = self._driver.is_foreign = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close; where the block ended well, flush first, and raise what was refused of what nobody has waited for."""
        try:
            if kind is None and not self._closed and (self._machine.soft_waiting or self._machine.soft_error):
                self.flush()
        finally:
            self.close()


def _abandon_all() -> None:
    for client in list(_clients):
        client.abandon()


os.register_at_fork(after_in_child=_abandon_all)
