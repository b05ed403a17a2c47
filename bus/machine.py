"""The client's side of the protocol as a state machine: frames in, frames out, timers. Without I/O, clock or threads.

Owns the greeting, and the requests under way and their resending; `holding` has the deliveries, `watching` the
watches. The faces (`client`, `aio`) own sockets, waiting and callbacks. Invariant: a request that was not answered is
sent again, in its order, to each new incarnation of the bus, until it is answered or given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import msgspec

from ..eventstore.event import NewEvent
from .errors import BatchTooLarge, ClientClosed, StaleDelivery, rebuild
from .holding import Holding
from .ticket import Ticket
from .watching import Watching
from .wire import (
    FRAME_BYTES_MAX,
    WIRE_MAJOR,
    WIRE_MINOR,
    Acks,
    Answer,
    Bye,
    ClientMessage,
    Deliver,
    Delivery,
    Fail,
    Hello,
    Kill,
    Page,
    Ping,
    Pong,
    Post,
    Present,
    Refusal,
    Request,
    Welcome,
    Who,
    WireError,
    Withdrawn,
    decode_bus_message,
    encode,
)

#: Events and bytes that may be under way before `soft` is refused by `is_full`.
FLYING_EVENTS_MAX = 16_384
FLYING_BYTES_MAX = 16 * 1024 * 1024
#: One message holds about so much at most; a single larger append goes alone.
POST_EVENTS_MAX = 1024
POST_BYTES_MAX = 512 * 1024
SOFT_EVENTS_MAX = 512
_EVENT_BYTES = 200
HELLO_AGAIN_S = 2.0

_Waiting: TypeAlias = Request | ClientMessage


class Machine:
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
    ) -> None:
        self.instance = instance
        self._role, self._pid, self._supervised = role, pid, supervised
        self._fresh_ids = fresh_ids
        self.greeted = False
        self.incarnation = 0
        self.head = 0
        self.lease_s = 10.0
        self.failure: Exception | None = None
        #: Frames to send, oldest first; the face removes what it has sent.
        self.out: deque[bytes] = deque()
        self.kills: deque[Kill] = deque()
        self.present: deque[str] = deque()
        self.soft_errors: deque[Exception] = deque()
        self.garbage = 0
        self.hello_due = False
        self._hello_nonce = b""
        self._hello_at = now
        self._sent = now
        self._now = now
        self._seq = 0
        self._queue: deque[tuple[int, _Waiting]] = deque()
        self._flying: dict[int, _Waiting] = {}
        self._tickets: dict[int, Ticket] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._events_under_way = 0
        self._bytes_under_way = 0
        self._soft: list[NewEvent] = []
        self._soft_bytes = 0
        self._soft_batches = 0
        self._control: list[ClientMessage] = []
        self.holding = Holding(self)
        self.watching = Watching(self, nonce)
        self._handlers: dict[type, Callable[[Any], None]] = {
            Acks: self._acks,
            Answer: self._answer,
            Page: self._page,
            Refusal: self._refusal,
            Deliver: self.holding.receive,
            Withdrawn: self.holding.withdraw,
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
    ) -> Ticket:
        """Send one atomic append; the ticket's value is an Ack. Raises BatchTooLarge, StaleDelivery."""
        ticket = Ticket(what, on_done)
        held = None
        if settle is not None:
            held = settle.held
            self.holding.let_go(settle)
            ticket.on_done = partial(self.holding.settle_answered, settle, on_done)
        request = Request(0, self.with_ids(events), brief, expected or {}, marks or {}, list(withdraw), held)
        return self._send(request, ticket)

    def with_ids(self, events: Sequence[NewEvent]) -> list[NewEvent]:
        """Return the events, each with an id."""
        missing = [index for index, event in enumerate(events) if not event.id]
        if not missing:
            return list(events)
        replace = msgspec.structs.replace
        if len(missing) == len(events):
            return [replace(event, id=id) for event, id in zip(events, self._fresh_ids(len(events)), strict=True)]
        result = list(events)
        for index, id in zip(missing, self._fresh_ids(len(missing)), strict=True):
            result[index] = replace(result[index], id=id)
        return result

    def _send(self, request: Request, ticket: Ticket) -> Ticket:
        events = len(request.events)
        size = _EVENT_BYTES * (events + 1)
        for event in request.events:
            size += len(event.payload)
        if size > FRAME_BYTES_MAX // 8:
            actual = len(encode(request))
            if actual > FRAME_BYTES_MAX - 1024:
                raise BatchTooLarge(actual, FRAME_BYTES_MAX - 1024)
        self._seq = seq = self._seq + 1
        self._sizes[seq] = (events, size)
        self._events_under_way += events
        self._bytes_under_way += size
        self._tickets[seq] = ticket
        self._queue.append((seq, msgspec.structs.replace(request, seq=seq)))
        return ticket

    def soft(self, event: NewEvent) -> bool:
        """Queue one event, to be sent together with others; an error of it comes up in `soft_errors`.

        Returns True where a batch is now ready to be sent.
        """
        self._soft.append(event)
        self._soft_bytes += len(event.payload)
        if len(self._soft) < SOFT_EVENTS_MAX and self._soft_bytes < POST_BYTES_MAX:
            return False
        self._close_soft()
        return True

    def settle_soft(self, delivery: Delivery, events: Sequence[NewEvent]) -> None:
        """Settle without anyone waiting; an error comes up in `soft_errors`. Raises StaleDelivery if withdrawn."""

        def answered(ticket: Ticket) -> None:
            self._soft_batches -= 1
            if ticket.error is not None:
                self.soft_errors.append(ticket.error)

        self.post(events, what="settle", brief=True, settle=delivery, on_done=answered)
        self._soft_batches += 1

    def _close_soft(self) -> None:
        events, self._soft, self._soft_bytes = self._soft, [], 0
        self._send_soft(self.with_ids(events))

    def _send_soft(self, events: list[NewEvent]) -> None:
        self._soft_batches += 1

        def answered(ticket: Ticket) -> None:
            self._soft_batches -= 1
            if ticket.error is None:
                return
            if len(events) == 1 or isinstance(ticket.error, ClientClosed):
                self.soft_errors.append(ticket.error)
            else:
                # One bad event must not take the others with it: each is now judged on its own.
                for event in events:
                    self._send_soft([event])

        self._send(Request(0, events, True), Ticket("emit", answered))

    @property
    def soft_waiting(self) -> bool:
        """Tell whether events given to `soft` are not yet known to be durable or refused."""
        return bool(self._soft) or self._soft_batches > 0

    @property
    def is_full(self) -> bool:
        """Tell whether emitting should wait: as much as may be is under way."""
        return self._events_under_way >= FLYING_EVENTS_MAX or self._bytes_under_way >= FLYING_BYTES_MAX

    def call(self, make: Callable[[int], ClientMessage], on_done: Callable[[Ticket], None] | None = None) -> Ticket:
        """Send any other request; `make` gets its number. The ticket's value is the answer."""
        self._seq = seq = self._seq + 1
        message = make(seq)
        ticket = self._tickets[seq] = Ticket(type(message).__name__.lower(), on_done)
        self._queue.append((seq, message))
        return ticket

    def tell(self, message: ClientMessage) -> None:
        """Send something that gets no answer; it is lost with the connection."""
        self._control.append(message)

    @property
    def now(self) -> float:
        """When time last passed."""
        return self._now

    def hinted(self, frames: Sequence[bytes], now: float) -> None:
        """Take in one published message."""
        self._now = now
        self.watching.hinted(frames, now)

    def give_up(self, ticket: Ticket) -> None:
        """Stop waiting for a request: it isn't sent again, and its answer is ignored."""
        for seq, found in self._tickets.items():
            if found is ticket:
                self._drop(seq)
                self._queue = deque(item for item in self._queue if item[0] != seq)
                return

    def _drop(self, seq: int) -> Ticket | None:
        self._flying.pop(seq, None)
        events, size = self._sizes.pop(seq, (0, 0))
        self._events_under_way -= events
        self._bytes_under_way -= size
        return self._tickets.pop(seq, None)

    # --- frames out ---------------------------------------------------------------------------------------------------

    def hello(self, secret: str, living: list[str] | None) -> None:
        """Say hello, as `hello_due` asked for; `living` is the supervisor's list of instances."""
        self.hello_due = False
        self._hello_at = self._now
        holding = self.holding
        who = (self.instance, self._role, secret, self._pid, self._supervised, living)
        self.out.append(encode(Hello(WIRE_MAJOR, WIRE_MINOR, *who, holding.named, list(holding.binds.values()))))

    def fill(self) -> None:
        """Turn what waits into frames in `out`, coalescing appends; nothing is sent before the greeting."""
        if not self.greeted:
            return
        if self._control:
            self.out.extend(map(encode, self._control))
            self._control.clear()
            self._sent = self._now
        if self._soft and self._soft_batches == 0:
            self._close_soft()
        queue = self._queue
        if not queue:
            return
        self._sent = self._now
        while queue:
            seq, message = queue[0]
            if isinstance(message, Request):
                self._fill_post()
            else:
                queue.popleft()
                self._flying[seq] = message
                self.out.append(encode(message))

    def _fill_post(self) -> None:
        requests: list[Request] = []
        events = size = 0
        queue = self._queue
        while queue:
            seq, message = queue[0]
            if not isinstance(message, Request):
                break
            more_events, more_bytes = self._sizes.get(seq, (0, 0))
            if requests and (events + more_events > POST_EVENTS_MAX or size + more_bytes > POST_BYTES_MAX):
                break
            queue.popleft()
            events += more_events
            size += more_bytes
            self._flying[seq] = message
            requests.append(message)
            if len(requests) >= POST_EVENTS_MAX:
                break
        self.out.append(encode(Post(requests)))

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

    def _requeue(self) -> None:
        for seq in self._flying:
            self._tickets[seq].resent = True
        self._queue.extendleft(reversed(self._flying.items()))
        self._flying = {}

    def _welcome(self, welcome: Welcome) -> None:
        if self.greeted and welcome.nonce == self._hello_nonce:
            return
        self.greeted = True
        self.failure = None
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

    def _answer(self, answer: Answer) -> None:
        ticket = self._drop(answer.seq)
        if ticket is not None:
            ticket.resolve(answer.value)

    def _page(self, page: Page) -> None:
        ticket = self._drop(page.seq)
        if ticket is not None:
            ticket.resolve(page)

    def _refusal(self, refused: Refusal) -> None:
        error = rebuild(refused.code, refused.facts)
        if refused.seq == 0:
            self.failure = error
            # A secret may have been read just before the bus wrote its new one: greet again after a while.
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
            if now - self._sent >= self.lease_s / 3:
                self._control.append(Ping())
        elif self._hello_nonce and not self.hello_due and now - self._hello_at >= HELLO_AGAIN_S:
            self.hello_due = True
        self.watching.tick(now)

    def due(self) -> float:
        """Return when `tick` is next needed."""
        due = self._sent + self.lease_s / 3 if self.greeted else self._hello_at + HELLO_AGAIN_S
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
