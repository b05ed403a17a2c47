"""The blocking client of the bus: a thin face over the state machine, for agents, scripts and the command line.

Any thread may call any method. `run` serves callbacks in the thread that calls it; without it, callbacks of watches
with handlers don't happen, and everything else does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..eventstore.event import Event, NewEvent, new_event
from .errors import BusNotRunning
from .serving import Serving
from .subscription import Watch
from .ticket import Ticket
from .wire import Delivery, Gone, Last, Page, Read, Started, Stats, group_key, queue_key

READ_PAGE = 2000


class BusClient(Serving):
    """A client of the bus of one home. The arguments are those of Serving."""

    # --- emitting -----------------------------------------------------------------------------------------------------

    def emit(
        self,
        type: str,
        data: Any = None,
        *,
        expected_version: Mapping[str, int] | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> Event:
        """Append one event and return it once it is durable; `fields` are NewEvent's (stream, id, to, run, …).

        Raises VersionConflict, DuplicateConflict, InvalidEvent, ReservedFamily, BusNotRunning or BusTimeout.
        """
        event = new_event(type, data, **fields)
        return self._post([event], timeout_s, expected=dict(expected_version or {}))[0]

    def emit_many(
        self,
        events: Sequence[NewEvent],
        *,
        expected_version: Mapping[str, int] | None = None,
        marks: Mapping[str, str | None] | None = None,
        withdraw: Sequence[bytes] = (),
        brief: bool = False,
        timeout_s: float | None = None,
    ) -> list[Event]:
        """Append events atomically and return them once they are durable. Raises as `emit`, and BatchTooLarge.

        Orchestrator only: `marks` below `run/`; `withdraw` (ids of events whose deliveries end with this append).
        With `brief` nothing is returned, which spares the bus sending it.
        """
        options = {"expected": dict(expected_version or {}), "marks": dict(marks or {}), "withdraw": withdraw}
        return self._post(events, timeout_s, brief=brief, **options)

    def begin(
        self,
        events: Sequence[NewEvent],
        *,
        expected_version: Mapping[str, int] | None = None,
        marks: Mapping[str, str | None] | None = None,
        withdraw: Sequence[bytes] = (),
        patient: bool = False,
    ) -> Ticket:
        """Send an atomic append, after all that was sent before, and wait for nothing: `finish` does. As `emit_many`.

        `patient`: by somebody who watches those events, and takes hearing of them for the answer; without that it comes
        a moment later. Raises BatchTooLarge.
        """
        self._check_open()
        expected = dict(expected_version or {})
        with self._state:
            ticket = self._machine.post(
                events, brief=True, expected=expected, marks=dict(marks or {}), withdraw=withdraw, patient=patient
            )
        self._driver.turn()
        return ticket

    def finish(self, ticket: Ticket) -> None:
        """Wait until what was begun is durable; raises what it was refused with."""
        self._result(ticket, None)

    def withdraw(self, ids: Sequence[bytes], events: Sequence[NewEvent] = ()) -> list[Event]:
        """End the deliveries of the events with these ids, in one append with `events` (orchestrator only)."""
        return self.emit_many(events, withdraw=ids)

    def emit_soon(self, event: NewEvent) -> None:
        """Queue an event to be appended soon, after those queued before; waits while too much is under way.

        What is refused of it comes up at `flush` (the first refusal), and the others that were sent along with it may
        then come after later ones. Leaving a `with` block flushes; a crash of this process, and `close`, lose the rest.
        """
        self._check_open()
        machine = self._machine
        if machine.is_full:
            self._wait_for_room(time.monotonic() + self.timeout_s)
        with self._state:
            closed = machine.soft(event)
        if closed:
            self._driver.turn()
        else:
            self._send_soon()

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(
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
    ) -> Iterator[Event]:
        """Read the log page by page; the arguments are EventLog.read's, `limit` is of all events."""
        while limit is None or limit > 0:
            wanted = READ_PAGE if limit is None else min(limit, READ_PAGE)
            low, high = after, until
            page: Page = self._call(
                lambda seq, low=low, high=high, wanted=wanted: Read(  # type: ignore[misc]
                    seq, low, high, wanted, stream, type, run, to, source, reverse
                )
            )
            yield from page.events
            if not page.more:
                return
            if limit is not None:
                limit -= len(page.events)
            if reverse:
                until = page.events[-1].position - 1
            else:
                after = page.events[-1].position

    def head(self) -> int:
        """Return the position of the last event."""
        return int(self._call(lambda seq: Last(seq, "*")))

    def last_position(self, pattern: str) -> int:
        """Return the last position under a pattern, 0 where there is none."""
        return int(self._call(lambda seq: Last(seq, pattern)))

    def stats(self) -> dict[str, Any]:
        """Return the bus's counters."""
        found: dict[str, Any] = self._call(Stats)
        return found

    # --- watching -----------------------------------------------------------------------------------------------------

    def watch(
        self,
        pattern: str,
        handler: Callable[[Event], Any] | None = None,
        *,
        name: str | None = None,
        after: int | None = None,
    ) -> Watch:
        """Follow every event under a pattern, in order and once: from now, after a position, or durably by name.

        Iterate over the watch, or give a handler (it may be `async`) that `run` calls. A failing one is called again
        with backoff; in the end the event is parked (`watch.parked`) and the next ones pass. A watch that is iterated
        over ends when nobody holds it any more. Raises WatchConflict.
        """
        self._check_open()
        with self._state:
            state = self._machine.watching.watch(pattern, name or "", after)
        watch = Watch(self._driver, state, self.instance, handler)
        opened = self._driver.wait(
            lambda: state.position is not None or state.failure is not None or self._machine.failure is not None,
            time.monotonic() + self.timeout_s,
        )
        failure = state.failure or self._machine.failure
        if failure is not None or not opened:
            watch.close()
            raise failure or BusNotRunning(self._endpoints.ingress, self.timeout_s)
        if handler is None:
            self._followed.add(watch)
            self._start_keeper()
        else:
            self._watches.append(watch)
            # Whoever is in `run` did not know of it when its first events came.
            self._driver.wake()
        return watch

    def unwatch(self, pattern: str, handler: Callable[[Event], Any] | None = None) -> None:
        """End the watches of a pattern (with this handler, where one is given)."""
        for watch in [*self._watches, *self._followed]:
            if watch.pattern == pattern and (handler is None or watch.handler == handler):
                watch.close()
                if watch in self._watches:
                    self._watches.remove(watch)
                self._followed.discard(watch)

    # --- groups -------------------------------------------------------------------------------------------------------

    def join(
        self,
        group_or_queue: str,
        pattern: str | None = None,
        *,
        after: int = 0,
        credit: int = 1,
        shared: bool = False,
        ahead: int = 0,
    ) -> str:
        """Become a member of a group (of the queue where `pattern` is None); deliveries come to `run` or `consume`.

        All that is joined as `shared` goes by one credit together, and what has waited longest comes first. `ahead` is
        how many more may wait here, to be recalled where another member is idle.
        """
        self._check_open()
        with self._state:
            ticket = self._machine.holding.bind(
                group_or_queue, pattern or "", after, credit, ahead, shared=shared, recall=ahead > 0
            )
        key: str = self._result(ticket, None)
        return key

    def look_ahead(self, queue: str, ahead: int, *, recall: bool = False) -> None:
        """Have so many more deliveries of a queue wait here while others are worked on (one that was joined; see Bind).

        Not waited for. Who looks ahead calls `give_back` where they would wait long, unless with `recall` the bus asks
        for them where another member is idle: then somebody has to serve the connection all the time.
        """
        self._check_open()
        with self._state:
            self._machine.holding.look_ahead(queue_key(queue), ahead, recall=recall)

    def give_back(self, keep: int = 0) -> None:
        """Give what came and was not taken yet, but for the first `keep`, to other members. Not waited for."""
        self._check_open()
        with self._state:
            self._machine.holding.give_back(keep)
        self._driver.turn()

    def leave(self, group_or_queue: str, pattern: str | None = None) -> None:
        """Take no more deliveries of a group; what was taken stays held until settled, the rest goes to others."""
        self._check_open()
        with self._state:
            ticket = self._machine.holding.leave(group_key(group_or_queue) if pattern else queue_key(group_or_queue))
        self._result(ticket, None)

    def consume(
        self, group_or_queue: str, pattern: str | None = None, *, after: int = 0, credit: int = 1
    ) -> Iterator[Delivery]:
        """Yield deliveries of a queue, or of a group bound to a pattern; settle or fail each. Raises GroupConflict.

        Once the iteration has ended, what came and was not yielded goes to other members.
        """
        self._check_open()
        machine, holding = self._machine, self._machine.holding
        key = group_key(group_or_queue) if pattern else queue_key(group_or_queue)
        with self._state:
            holding.begin_consuming(key)
        try:
            self.join(group_or_queue, pattern, after=after, credit=credit)
            self._start_keeper()
            while not self._stopped:
                with self._state:
                    delivery = holding.next_delivery(key)
                if delivery is not None:
                    yield delivery
                elif not self._driver.wait(
                    lambda: self._stopped or machine.failure is not None or holding.has_delivery(key), None
                ):
                    return
                elif machine.failure is not None and not self._stopped:
                    raise machine.failure
        finally:
            if not self._closed:
                with self._state:
                    holding.end_consuming(key)
                # Not waited for: this may be the end of a generator that nobody looks at any more.
                self._driver.turn()

    def settle(self, delivery: Delivery, events: Sequence[NewEvent] = (), *, brief: bool = False) -> list[Event]:
        """Append results and settle, in one transaction. Raises StaleDelivery, and as `emit`.

        With `brief` nothing is returned, and the next delivery may come in the same message as the acknowledgement.
        """
        return self._post(events, None, what="settle", settle=delivery, brief=brief)

    def settle_next(self, delivery: Delivery, events: Sequence[NewEvent], on_answer: Callable[[Ticket], None]) -> None:
        """Settle with the next message that is sent; `on_answer` is called in the thread that serves the connection.

        It must do next to nothing, and call nothing of the client. Raises StaleDelivery where it is withdrawn already.
        """
        self._check_open()
        with self._state:
            self._machine.post(events, what="settle", brief=True, settle=delivery, on_done=on_answer, patient=True)

    def settle_soon(self, delivery: Delivery, events: Sequence[NewEvent] = ()) -> None:
        """Settle without waiting; a refusal comes up at `flush`. Raises StaleDelivery where it is already withdrawn."""
        self._check_open()
        with self._state:
            self._machine.settle_soft(delivery, events)
        self._send_soon()

    def fail(self, delivery: Delivery, error: str, retry_in_s: float | None = None) -> None:
        """Say that handling failed: the event is delivered again later, or parked after too many attempts."""
        self._check_open()
        with self._state:
            ticket = self._machine.holding.fail(delivery, error, retry_in_s)
        self._result(ticket, None)

    # --- supervisor ---------------------------------------------------------------------------------------------------

    def started(self, *instances: str) -> None:
        """Say that instances are now children of this supervisor."""
        self._check_open()
        with self._state:
            tickets = [
                self._machine.call(lambda seq, instance=instance: Started(seq, instance))  # type: ignore[misc]
                for instance in instances
            ]
        for ticket in tickets:
            self._result(ticket, None)

    def gone(self, instance: str, pid: int = 0) -> None:
        """Say that an instance's process has ended and been waited for; `pid` tells incarnations of a name apart."""
        self._call(lambda seq: Gone(seq, instance, pid))
