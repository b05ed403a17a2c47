"""An agent process at work: takes tasks from its queues one at a time, and settles each.

Owns the two threads. The worker thread runs the handlers, and serves the bus itself while it waits for a task or for
the log: a task that ends at once costs no hand-over between threads. The main thread sleeps meanwhile, hears signals,
and is the bus loop once a handler takes longer than SHORT_HANDLER_S: it signs life, hears of withdrawals, sends what
is queued. What a task means is `turn`'s. Keeps: a task is settled exactly once, by the process that holds it; a process
that is asked to stop finishes what it has begun; a handler that doesn't return after its task was withdrawn ends with
its process, and so does a tool that doesn't when its time is up.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from functools import partial
from types import FrameType

from ..bus.client import BusClient
from ..bus.errors import StaleDelivery
from ..bus.ticket import Ticket
from ..bus.wire import Delivery
from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import NewEvent, new_event
from ..orchestration.pausing import mark_of
from ..orchestration.renewal import RENEWAL
from .agent_settings import NO_SETTINGS
from .alarm import Alarm
from .base import BaseAgent
from .bus_journal import BusJournal
from .context import TaskContext
from .faults import whole
from .journal import AgentPlaces, TaskRequest, fresh_id
from .look_ahead import AHEAD_MIN, SHORT_HANDLER_S, LookAhead
from .membership import Membership
from .sandbox.hints import outdated_by
from .telemetry import SAMPLE_INTERVAL_S
from .turn import perform

log = logging.getLogger("twelvefold.agent")

#: Outcomes travel together for so long, while there are quick tasks to go on with.
GATHER_S = 0.002
#: A task's beginning is told with its outcome where that comes before; else after so long.
STARTED_S = 0.02
#: How long a task's write waits for a bus that is away: the task is held meanwhile, so there is nothing better to do.
PATIENCE_S = 24 * 3600.0
#: How long a process that ends waits for its last telemetry to be recorded.
FAREWELL_S = 1.0
#: Exit status of a process that can't go on by itself.
BROKEN = 70


class AgentProcess:
    """One agent instance at work on queues, of which the first is its own. Made and run on the main thread."""

    def __init__(
        self, agent: BaseAgent, client: BusClient, queues: tuple[str, ...], places: AgentPlaces, stop_timeout_s: float
    ) -> None:
        self.agent = agent
        self.client = client
        self.queue = queues[0]
        self.queues = queues
        self.places = places
        #: `renewable`: a supervisor starts another process where this one ends; `code`: see `code_version`.
        self.settings, self.contained, self.renewable, self.code = NO_SETTINGS, False, False, ""
        self.stop_timeout_s = stop_timeout_s
        self.journal = BusJournal(client, places.blobs, client.instance, self._on_queued)
        self.stopping = False
        self._membership = Membership(client, queues, mark_of(places.home, client.instance))
        self._member = False
        self._given = self._ended = 0
        self._status = 0
        self._refusal: TwelvefoldError | None = None
        self._worker: threading.Thread | None = None
        self._lock = threading.Lock()
        #: The delivery whose handler is at work.
        self._current: Delivery | None = None
        self._context: TaskContext | None = None
        self._withdrawn = False
        self._deadline: threading.Timer | None = None
        self._sampled_at = float("-inf")
        self._serving = False
        self._over = False
        #: Settles that are not answered yet, and those that were refused.
        self._settling = 0
        self._refused: deque[tuple[Delivery, Exception]] = deque()
        self._ahead = AHEAD_MIN
        self._pace = LookAhead()
        self._gathered_since: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a task is in hand."""
        return self._given != self._ended or self._settling > 0

    def run(self) -> int:
        """Work until SIGTERM or SIGINT, and return the exit status; raises what the bus refuses the agent with."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._membership.begin()
        self._member = True
        self.client.timeout_s = PATIENCE_S
        # Not by `logging`, whose first line alone costs an idle agent 0.2 MB of memory of its own.
        os.write(2, f"{self.client.instance} takes tasks of queue {', '.join(self.queues)}\n".encode())
        # Alone until there is something to do: many agents wait for ever, and a thread costs memory.
        self.client.run(until=lambda: self.client.deliveries_count > 0)
        if not self.stopping:
            alarm = Alarm(SHORT_HANDLER_S)
            self._worker = threading.Thread(target=self._work_off, args=[alarm], name="task", daemon=True)
            self._worker.start()
            self._stand_by(alarm)
            self._worker.join()
            alarm.close()
            if self._refusal is not None:
                raise self._refusal
            if self._status == 0:
                self._sample(final=True)
        return self._status

    # --- on the main thread -------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Finish the task at hand, then end; asked twice, end at once and leave the task to another instance."""
        if self.stopping:
            os._exit(128 + number)
        if not self._member:
            sys.exit(128 + number)
        self.stopping = True
        os.write(2, b"finishing the task at hand\n" if self.busy else b"ending\n")
        if self._worker is None:
            self.client.stop()
        else:
            self.client.wake()

    def _stand_by(self, alarm: Alarm) -> None:
        """Sleep while the worker serves the bus between short handlers; serve it where a handler takes longer."""
        while not self._over:
            alarm.wait()
            delivery = self._current
            if delivery is not None and not alarm.is_early():
                self._serve(delivery)

    def _serve(self, delivery: Delivery) -> None:
        """Be the bus loop while the handler of a delivery is at work; in the end its outcome goes out from here."""
        journal = self.journal
        self._pace.is_long()
        self._look_ahead(AHEAD_MIN)
        self._serving = True
        while self._current is delivery:
            # Nothing else is to wait behind a task that takes long.
            self.client.give_back(0 if self.stopping else AHEAD_MIN)
            due = journal.due
            if due is not None and due <= time.monotonic():
                journal.send_queued()
                continue
            until = partial(self._is_to_look, delivery, due)
            self.client.run(on_withdrawn=self._on_withdrawn, until=until, deadline=due)
        self._serving = False
        # The next handler may have begun already: what the bus answers with is to be here when it returns.
        self.client.send()

    def _is_to_look(self, delivery: Delivery, due: float | None) -> bool:
        too_many = self.client.deliveries_count > (0 if self.stopping else AHEAD_MIN)
        return too_many or self._current is not delivery or self.journal.due != due

    def _on_queued(self) -> None:
        """Have the main thread see when the first queued event is due, where it wouldn't look."""
        if self._serving:
            self.client.wake()

    def _on_withdrawn(self, delivery: Delivery) -> None:
        with self._lock:
            if self._current is not delivery or self._withdrawn:
                return  # its handler has returned meanwhile, or knows
            self._withdrawn = True
            if self._context is not None:
                self._context.ledger.withdrawn.set()
            self._deadline = threading.Timer(self.stop_timeout_s, self._give_up, [delivery])
            self._deadline.daemon = True
            self._deadline.start()

    def _give_up(self, delivery: Delivery) -> None:
        """End the process, and what it started, as its handler doesn't return though its task was withdrawn."""
        log.error("the handler of withdrawn event %d did not return: the process ends", delivery.event.position)
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(BROKEN)

    # --- on the worker thread -----------------------------------------------------------------------------------------

    def _work_off(self, alarm: Alarm) -> None:
        try:
            while not self.stopping:
                if not self.client.deliveries_count:
                    alarm.rest()
                delivery = self.client.take_delivery(unless=lambda: self.stopping or bool(self._refused))
                if delivery is not None and self.renewable and outdated_by(delivery.event.payload or ""):
                    # It goes to others with the goodbye: to the process that takes this one's place.
                    self.stopping, self._status = True, RENEWAL
                elif delivery is not None:
                    self._given += 1
                    self._handle(delivery, alarm)
                    self._ended += 1
                self._refuse_all()
            # What came and was not begun goes to others with the goodbye.
            self.client.wait_until(lambda: self._settling == 0)
            self._refuse_all()
        except TwelvefoldError as error:
            self._refusal = error
        except BaseException as error:  # noqa: BLE001 - whatever it is, a process that can't work must end
            log.critical("this agent can't go on: %s", whole(error))
            self._status = BROKEN
        finally:
            self._over = True
            alarm.ring()

    def _begin(self, delivery: Delivery, alarm: Alarm, now: float) -> None:
        """Note that the handler of a delivery is at work, and have the main thread look after it."""
        with self._lock:
            self._current = delivery
        alarm.begin(now)
        if self.client.is_withdrawn(delivery):
            # While nobody knew that it was in hand.
            self._on_withdrawn(delivery)

    def _handle(self, delivery: Delivery, alarm: Alarm) -> None:
        begun = time.monotonic()
        self._begin(delivery, alarm, begun)
        try:
            settlement = self._done(delivery, self.journal.request(delivery))
            self._returned(delivery)
            self._settling += 1
            try:
                self.journal.settle(delivery, settlement, partial(self._answered, delivery))
            except BaseException:
                self._settling -= 1
                raise
        except TwelvefoldError as error:
            self._refuse(delivery, error)
        finally:
            self.journal.drop()
            self._returned(delivery)
        self._go_on(begun, time.monotonic())
        self._sample()

    def _answered(self, delivery: Delivery, ticket: Ticket) -> None:
        """Take in what became of a settle."""
        if ticket.error is not None:
            self._refused.append((delivery, ticket.error))
        self._settling -= 1

    def _go_on(self, begun: float, now: float) -> None:
        """Judge how long a task took: whether more may wait for this agent, and whether outcomes may."""
        self._look_ahead(self._pace.took(now - begun, self._ahead))
        if self._gathered_since is None:
            self._gathered_since = now
        elif now - self._gathered_since > GATHER_S:
            self._gathered_since = None
            self.client.send()

    def _look_ahead(self, ahead: int) -> None:
        """Let so many tasks wait here while another is worked on; those that are too many go to others."""
        with self._lock:
            if ahead == self._ahead:
                return
            self._ahead = ahead
        for name in self.queues:
            self.client.look_ahead(name, ahead, recall=ahead == AHEAD_MIN)
        if ahead == AHEAD_MIN:
            self.client.give_back(keep=AHEAD_MIN)

    def _refuse_all(self) -> None:
        """Deal with the settles that were refused."""
        while self._refused:
            self._refuse(*self._refused.popleft())

    def _refuse(self, delivery: Delivery, error: Exception) -> None:
        """Give a delivery up that can't be settled, and say why."""
        position = delivery.event.position
        if isinstance(error, StaleDelivery):
            # Withdrawn, or moved on as this process was taken for dead: the result isn't wanted.
            log.info("the task of event %d was withdrawn: its result is dropped", position)
            return
        if not isinstance(error, TwelvefoldError):
            raise error
        log.error("the task of event %d can't be settled: %s", position, error.message())
        try:
            self.client.fail(delivery, error.message())
        except StaleDelivery:
            log.info("event %d was withdrawn", position)

    def _done(self, delivery: Delivery, request: TaskRequest) -> NewEvent:
        """Do a task and return the event that settles it."""
        facts = {"instance": self.client.instance, "attempt": request.attempt, "delivery": delivery.attempt}
        facts |= {"code": self.code} if self.code else {}
        started = new_event(
            "task.started", facts, id=fresh_id(), stream=request.stream, run=request.run, cause=request.id,
            trace=request.trace,
        )  # fmt: skip
        # Goes out with what the task writes first, its outcome if that comes at once: no wait, no message of its own.
        self.journal.append_soon(started, STARTED_S)
        context = TaskContext(self.agent, request, self.journal, self.places, self.settings, contained=self.contained)
        context.ledger.began = started.id
        with self._lock:
            self._context = context
            if self._withdrawn:
                context.ledger.withdrawn.set()
        settlement = perform(self.agent, context).event(request, self.journal)
        if any(thread.is_alive() for thread in context.strays):
            log.error("a tool is still at work when its time is up: the process ends once its task is settled")
            self.stopping, self._status = True, BROKEN
        return settlement

    def _returned(self, delivery: Delivery) -> None:
        """Note that the handler of a delivery has returned; the next one may be here already."""
        with self._lock:
            if self._current is not delivery:
                return
            self._current = self._context = None
            self._withdrawn = False
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    def _sample(self, *, final: bool = False) -> None:
        """Record a sample of the agent's telemetry, if it changed and the last one is long enough ago."""
        now = time.monotonic()
        if not final and now - self._sampled_at < SAMPLE_INTERVAL_S:
            return
        sample = self.agent.telemetry.sample()
        if sample is None:
            return
        self._sampled_at = now
        data = {**sample, "instance": self.client.instance}
        try:
            timeout_s = FAREWELL_S if final else None
            self.client.emit("telemetry.sampled", data, stream=f"telemetry.{self.queue}", timeout_s=timeout_s)
        except TwelvefoldError as error:
            log.warning("a telemetry sample is lost: %s", error.message())
