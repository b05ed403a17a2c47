"""The client's side of the protocol as a state machine: frames in, frames out, timers. Without I/O, clock or threads.

Owns the greeting, and the requests under way and their resending; `holding` has the deliveries, `watching` the
watches. The faces (`client`, `aio`) own sockets, waiting and callbacks. Invariant: a request that was not answered is
sent again, in its order, to each new incarnation of the bus, until it is answered or given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..eventstore.errors import UpcastFailed
from ..eventstore.event import Event, NewEvent
from ..eventstore.upcast import Upcasters
from .errors import ClientClosed, RoleRefused, StaleDelivery, rebuild
from .holding import Holding
from .outgoing import Outgoing
from .ticket import Ticket
from .watching import Watching
from .wire import (
    WIRE_MAJOR,
    WIRE_MINOR,
    Acks,
    Answer,
    Bye,
    Deliver,
    Delivery,
    Fail,
    Hello,
    Kill,
    Page,
    Ping,
    Pong,
    Present,
    Recall,
    Refusal,
    Request,
    Welcome,
    Who,
    WireError,
    Withdrawn,
    decode_bus_message,
    encode,
)

HELLO_AGAIN_S = 2.0
#: A sign of life goes out after this part of the lease: one may get lost, or be late, without harm.
BEAT = 0.4


class Machine(Outgoing):
    """The state of one client incarnation. `fresh_ids(count)` gives new event ids; `nonce` is unique to this client."""

    def __init__(
        self,
        *,
        instance: str,
        role: str,
        pid: int,
        supervised: bool,
        nonce: bytes,
        fresh_ids: Callable[[int], list[bytes]],
        now: float,
        upcasters: Upcasters | None = None,
    ) -> None:
        super().__init__(fresh_ids, now)
        self._upcasters = upcasters
        self.instance = instance
        self._role, self._pid, self._supervised = role, pid, supervised
        self.greeted = False
        self.incarnation = 0
        self.head = 0
        self.lease_s = 10.0
        self.failure: Exception | None = None
        self.kills: deque[Kill] = deque()
        self.present: deque[str] = deque()
        self.garbage = 0
        self.hello_due = False
        self._hello_nonce = b""
        self._hello_at = now
        self._doubted = False
        self.holding = Holding(self)
        self.watching = Watching(self, nonce)
        self._handlers: dict[type, Callable[[Any], None]] = {
            Acks: self._acks,
            Answer: self._answer,
            Page: self._page,
            Refusal: self._refusal,
            Deliver: self.holding.receive,
            Withdrawn: self.holding.withdraw,
            Recall: self.holding.recall,
            Who: self._who,
            Welcome: self._welcome,
            Pong: lambda pong: self.see_head(pong.head),
            Kill: self.kills.append,
            Present: lambda present: self.present.extend(present.instances),
        }

    # --- requests -----------------------------------------------------------------------------------------------------

    def post(
        self,
        events: Sequence[NewEvent],
        *,
        what: str = "emit",
        brief: bool = False,
        expected: dict[str, int] | None = None,
        marks: dict[str, str | None] | None = None,
        withdraw: Sequence[bytes] = (),
        settle: Delivery | None = None,
        on_done: Callable[[Ticket], None] | None = None,
        patient: bool = False,
    ) -> Ticket:
        """Send one atomic append; the ticket's value is an Ack. Raises BatchTooLarge, StaleDelivery.

        Where it is `patient`, the answer may come late; a watch that hears of the last of the events is one too, and
        without a watch no append is patient.
        """
        patient = patient and (settle is not None or bool(self.watching))
        ticket = Ticket(what, on_done)
        held = None
        if settle is not None:
            held = settle.held
            self.holding.let_go(settle)
            ticket.on_done = partial(self.holding.settle_answered, settle, on_done)
        request = Request(
            self.next_seq(), self.with_ids(events), brief, expected or {}, marks or {}, list(withdraw), held, patient
        )
        return self.send(request, ticket)

    def hinted(self, frames: Sequence[bytes], now: float) -> None:
        """Take in one published message."""
        self._now = now
        self.watching.hinted(frames, now)

    def settle_soft(self, delivery: Delivery, events: Sequence[NewEvent]) -> None:
        """Settle without anyone waiting; an error comes up in `soft_error`. Raises StaleDelivery if withdrawn."""
        self.holding.let_go(delivery)
        request = Request(self.next_seq(), self.with_ids(events), True, {}, {}, [], delivery.held)
        self.send(request, Ticket("settle", partial(self._soft_settled, delivery)))
        self._soft_batches += 1

    def _soft_settled(self, delivery: Delivery, ticket: Ticket) -> None:
        self._soft_batches -= 1
        if ticket.error is not None:
            self.soft_error = self.soft_error or ticket.error
        if ticket.error is None or isinstance(ticket.error, StaleDelivery):
            self.holding.forget(delivery)

    def fill(self) -> None:
        """Turn what waits into frames in `out`; nothing is sent before the greeting."""
        if self.greeted:
            self.fill_out()

    # --- frames out ---------------------------------------------------------------------------------------------------

    def hello(self, secret: str, living: list[str] | None) -> None:
        """Say hello, as `hello_due` asked for; `living` is the supervisor's list of instances."""
        self.hello_due = False
        self._hello_at = self._now
        holding = self.holding
        who = (self.instance, self._role, secret, self._pid, self._supervised, living)
        self.out.append(encode(Hello(WIRE_MAJOR, WIRE_MINOR, *who, holding.named, list(holding.binds.values()))))

    # --- frames in ----------------------------------------------------------------------------------------------------

    def received(self, frame: bytes, now: float) -> None:
        """Take in one frame from the bus."""
        self._now = now
        try:
            message = decode_bus_message(frame)
        except WireError:
            self.garbage += 1
            return
        self._handlers[type(message)](message)

    def _who(self, who: Who) -> None:
        if who.nonce == self._hello_nonce and not self.greeted:
            return
        # Everything after this hello is sent anew: the bus that asks has dropped it, or is another one.
        self.greeted = False
        self._hello_nonce = who.nonce
        self.out.clear()
        self.hello_due = True
        self._requeue()

    def _welcome(self, welcome: Welcome) -> None:
        if self.greeted and welcome.nonce == self._hello_nonce:
            return
        self.greeted = True
        self.failure = None
        self._doubted = False
        self.incarnation = welcome.incarnation
        self.lease_s = welcome.lease_s
        self.see_head(welcome.head)
        self.watching.check()

    def _acks(self, acks: Acks) -> None:
        for ack in acks.acks:
            ticket = self._drop(ack.seq)
            if ticket is not None:
                self.see_head(ack.last)
                ticket.resolve(ack)
        if acks.deliveries:
            self.holding.receive(acks)

    def _answer(self, answer: Answer) -> None:
        ticket = self._drop(answer.seq)
        if ticket is not None:
            ticket.resolve(answer.value)

    def _page(self, page: Page) -> None:
        ticket = self._drop(page.seq)
        if ticket is None:
            return
        try:
            page = Page(page.seq, self.lifted(page.events), page.more)
        except UpcastFailed as error:
            ticket.resolve(None, error)
        else:
            ticket.resolve(page)

    def lifted(self, events: list[Event]) -> list[Event]:
        """Return events as their readers see them, old payloads lifted by the upcasters; raises UpcastFailed."""
        return events if self._upcasters is None else [self._upcasters.lift(event) for event in events]

    def _refusal(self, refused: Refusal) -> None:
        error = rebuild(refused.code, refused.facts)
        if refused.seq == 0:
            self.greeted = False
            if isinstance(error, RoleRefused) and not self._doubted:
                # The hello may be one that was meant for the bus before, with its secret: the answer to one that is
                # written now counts.
                self.hello_due = self._doubted = True
            else:
                # Greet again after a while: a membership may not have been recorded on a full disk.
                self.failure = error
            return
        message = self._flying.get(refused.seq)
        ticket = self._drop(refused.seq)
        if ticket is None:
            return
        if isinstance(message, Fail) and ticket.resent and isinstance(error, StaleDelivery):
            ticket.resolve(None)
        else:
            ticket.resolve(None, error)

    def see_head(self, position: int) -> None:
        """Note that the log has reached a position."""
        if position > self.head:
            self.head = position

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Let time pass: heartbeats, a hello that got no answer, quiet watches."""
        self._now = now
        if self.greeted:
            if now - self._sent >= self.lease_s * BEAT:
                self._control.append(Ping(answered=bool(self.watching)))
        elif self._hello_nonce and not self.hello_due and now - self._hello_at >= HELLO_AGAIN_S:
            self.hello_due = True
        self.watching.tick(now)

    def due(self) -> float:
        """Return when `tick` is next needed."""
        if self.greeted:
            due = self._sent + self.lease_s * BEAT
        else:
            # Before a bus has asked who we are, there is nothing to do again: a moment in the past would be a spin.
            due = (self._hello_at if self._hello_nonce else self._now) + HELLO_AGAIN_S
        return min(due, self._now + 1.0) if self.watching else due

    def say_goodbye(self, bye: Bye) -> None:
        """Send nothing more but a goodbye."""
        self._queue.clear()
        self._soft.clear()
        self._control.append(bye)

    def close(self) -> None:
        """Refuse everything that still waits."""
        for ticket in list(self._tickets.values()):
            ticket.resolve(None, ClientClosed())
        self._tickets.clear()
