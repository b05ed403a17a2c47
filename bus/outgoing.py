"""The requests of one client that are on their way: numbered, coalesced, bounded, and sent again when asked to.

Without I/O. Invariant: a request is in `_queue` (to be sent) or in `_flying` (sent, not answered), and its ticket is
kept until it is answered or given up; both are in the order in which they were made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from ..eventstore.event import Event, NewEvent
from .errors import BatchTooLarge, ClientClosed
from .ticket import Ticket
from .wire import FRAME_BYTES_MAX, Ack, ClientMessage, Post, Read, Request, encode

#: Events and bytes that may be under way before `soft` is refused by `is_full`.
FLYING_EVENTS_MAX = 16_384
FLYING_BYTES_MAX = 16 * 1024 * 1024
#: One message holds about so much at most; a single larger append goes alone.
POST_EVENTS_MAX = 1024
POST_BYTES_MAX = 512 * 1024
SOFT_EVENTS_MAX = 512
#: Pages of the log that are asked for at once; the bus refuses a peer that asks for many more.
PAGES_MAX = 16
_EVENT_BYTES = 200

_Waiting: TypeAlias = Request | ClientMessage


class Outgoing:
    """The requests of one client. `fresh_ids(count)` gives new event ids."""

    def __init__(self, fresh_ids: Callable[[int], list[bytes]], now: float) -> None:
        self._fresh_ids = fresh_ids
        #: Frames to send, oldest first; the face removes what it has sent.
        self.out: deque[bytes] = deque()
        #: The first refusal of events and settles for which nobody waits.
        self.soft_error: Exception | None = None
        #: A request was answered without the bus, as it can't be sent: whoever waits is to look.
        self.answered_here = False
        self._sent = now
        self._now = now
        self._seq = 0
        self._queue: deque[tuple[int, _Waiting]] = deque()
        self._flying: dict[int, _Waiting] = {}
        self._pages_flying = 0
        self._pages_waiting: deque[tuple[int, _Waiting]] = deque()
        self._tickets: dict[int, Ticket] = {}
        #: The patient requests by the id of their last event, of which a watch may hear before the answer comes.
        self._echoes: dict[bytes, int] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._events_under_way = 0
        self._bytes_under_way = 0
        self._soft: list[NewEvent] = []
        self._soft_bytes = 0
        self._soft_batches = 0
        self._control: list[ClientMessage] = []

    @property
    def now(self) -> float:
        """When time last passed."""
        return self._now

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

    def next_seq(self) -> int:
        """Return the number of a new request."""
        self._seq = seq = self._seq + 1
        return seq

    def send(self, request: Request, ticket: Ticket) -> Ticket:
        """Send one append after all that was given to `soft`. Raises BatchTooLarge."""
        if self._soft:
            self._close_soft()
        events = len(request.events)
        size = _EVENT_BYTES * (events + 1)
        for event in request.events:
            size += len(event.payload)
        if size > FRAME_BYTES_MAX // 8:
            actual = len(encode(request))
            if actual > FRAME_BYTES_MAX - 1024:
                raise BatchTooLarge(actual, FRAME_BYTES_MAX - 1024)
        seq = request.seq
        self._sizes[seq] = (events, size)
        self._events_under_way += events
        self._bytes_under_way += size
        self._tickets[seq] = ticket
        if request.patient and request.events and request.settle is None:
            self._echoes[request.events[-1].id] = seq
        self._queue.append((seq, request))
        return ticket

    def soft(self, event: NewEvent) -> bool:
        """Queue one event, to be sent together with others; an error of it comes up in `soft_error`.

        Returns True where a batch is now ready to be sent.
        """
        self._soft.append(event)
        self._soft_bytes += len(event.payload)
        if len(self._soft) < SOFT_EVENTS_MAX and self._soft_bytes < POST_BYTES_MAX:
            return False
        self._close_soft()
        return True

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
                self.soft_error = self.soft_error or ticket.error
            else:
                # One bad event must not take the others with it: each is now judged on its own.
                for event in events:
                    self._send_soft([event])

        self.send(Request(self.next_seq(), events, True), Ticket("emit", answered))

    @property
    def soft_waiting(self) -> bool:
        """Tell whether events given to `soft` are not yet known to be durable or refused."""
        return bool(self._soft) or self._soft_batches > 0

    @property
    def has_unsent(self) -> bool:
        """Tell whether something waits to be turned into frames."""
        return bool(self._queue or self._soft or self._control)

    @property
    def is_full(self) -> bool:
        """Tell whether emitting should wait: as much as may be is under way."""
        return self._events_under_way >= FLYING_EVENTS_MAX or self._bytes_under_way >= FLYING_BYTES_MAX

    def call(self, make: Callable[[int], ClientMessage], on_done: Callable[[Ticket], None] | None = None) -> Ticket:
        """Send any other request; `make` gets its number. The ticket's value is the answer."""
        seq = self.next_seq()
        message = make(seq)
        ticket = self._tickets[seq] = Ticket(type(message).__name__.lower(), on_done)
        self._queue.append((seq, message))
        return ticket

    def tell(self, message: ClientMessage) -> None:
        """Send something that gets no answer; it is lost with the connection."""
        self._control.append(message)

    def give_up(self, ticket: Ticket) -> None:
        """Stop waiting for a request: it isn't sent (again). An answer that comes all the same is still taken in."""
        ticket.given_up = True
        for seq, found in self._tickets.items():
            if found is ticket:
                if seq not in self._flying:
                    self._drop(seq)
                    self._queue = deque(item for item in self._queue if item[0] != seq)
                    self._pages_waiting = deque(item for item in self._pages_waiting if item[0] != seq)
                return

    def heard(self, events: Sequence[Event]) -> None:
        """Take in events that a watch heard of: those of our own are durable."""
        for event in events if self._echoes else ():
            seq = self._echoes.get(event.id, 0)
            # What is about to be sent again gets its answer anew.
            if seq in self._flying and (ticket := self._drop(seq)) is not None:
                ticket.resolve(Ack(seq, event.position))

    def _drop(self, seq: int) -> Ticket | None:
        message = self._flying.pop(seq, None)
        if type(message) is Read:
            self._pages_flying -= 1
        elif type(message) is Request and message.patient and message.events:
            self._echoes.pop(message.events[-1].id, None)
        if self._pages_waiting and self._pages_flying < PAGES_MAX:
            self._queue.append(self._pages_waiting.popleft())
        events, size = self._sizes.pop(seq, (0, 0))
        self._events_under_way -= events
        self._bytes_under_way -= size
        return self._tickets.pop(seq, None)

    def fill_out(self) -> None:
        """Turn what waits into frames in `out`, coalescing appends."""
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
                if type(message) is Read:
                    if self._pages_flying >= PAGES_MAX:
                        self._pages_waiting.append((seq, message))
                        continue
                    self._pages_flying += 1
                self._flying[seq] = message
                self._put_out(message, [seq])

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
        self._put_out(Post(requests), [request.seq for request in requests])

    def _put_out(self, message: ClientMessage, seqs: list[int]) -> None:
        """Encode a message with the requests of these numbers; one that holds what can't be sent is answered with why.

        Its caller hears of it, and not whoever happens to send.
        """
        try:
            self.out.append(encode(message))
        except Exception as error:  # noqa: BLE001 - what a caller gave may fail in any way
            if isinstance(message, Post) and len(seqs) > 1:
                for request in message.requests:
                    self._put_out(Post([request]), [request.seq])
            elif (ticket := self._drop(seqs[0])) is not None:
                self.answered_here = True
                ticket.resolve(None, error)

    def _requeue(self) -> None:
        for seq in list(self._flying):
            if self._tickets[seq].given_up:
                self._drop(seq)
            else:
                self._tickets[seq].resent = True
        self._queue.extendleft(reversed(self._flying.items()))
        self._flying = {}
        self._pages_flying = 0
