"""The agent process: takes tasks from its queue one at a time, and settles each.

Owns the two threads: the main thread is the bus loop (it signs life, hears of withdrawals and signals), one worker
thread runs the handler. What a task means is `turn`'s. Keeps: a task is settled exactly once, by the process that holds
it; a process that is asked to stop finishes what it has begun; a handler that doesn't return after its task was
withdrawn ends with its process.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import FrameType

import msgspec

from ..bus.client import BusClient
from ..bus.endpoints import Endpoints, endpoints
from ..bus.errors import StaleDelivery
from ..bus.wire import Delivery
from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import NewEvent, new_event
from .base import BaseAgent, queue_name
from .bus_journal import BusJournal
from .context import TaskContext
from .errors import AgentUsage, NotATask, RehearsalFailed
from .faults import whole
from .journal import AgentPlaces, TaskRequest, request_of
from .loading import load_agent
from .telemetry import SAMPLE_INTERVAL_S
from .turn import perform

log = logging.getLogger("twelvefold.agent")

#: How long a task's write waits for a bus that is away: the task is held meanwhile, so there is nothing better to do.
PATIENCE_S = 24 * 3600.0
#: How long a process that ends waits for its last telemetry to be recorded.
FAREWELL_S = 1.0
#: Exit status of a process that can't go on by itself.
BROKEN = 70


class AgentProcess:
    """One agent instance at work on a queue. Made and run on the main thread."""

    def __init__(
        self, agent: BaseAgent, client: BusClient, queue_of: str, places: AgentPlaces, stop_timeout_s: float
    ) -> None:
        self.agent = agent
        self.client = client
        self.queue = queue_of
        self.places = places
        self.stop_timeout_s = stop_timeout_s
        self.journal = BusJournal(client, places.blobs, client.instance)
        self.stopping = False
        self._member = False
        self._given = 0
        self._ended = 0
        self._status = 0
        self._work: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._current: Delivery | None = None
        self._context: TaskContext | None = None
        self._withdrawn = False
        self._deadline: threading.Timer | None = None
        self._sampled_at = float("-inf")

    @property
    def busy(self) -> bool:
        """Whether a task is in hand. The main thread counts those given, the worker those ended."""
        return self._given != self._ended

    def run(self) -> int:
        """Work until SIGTERM or SIGINT, and return the exit status; raises what the bus refuses the agent with."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.client.join(self.queue)
        self._member = True
        self.client.timeout_s = PATIENCE_S
        # Not by `logging`, whose first line alone costs an idle agent 0.2 MB of memory of its own.
        os.write(2, f"{self.client.instance} takes tasks of queue {self.queue}\n".encode())
        self.client.run(on_delivery=self._on_delivery, on_withdrawn=self._on_withdrawn)
        if self._worker is not None and self._status == 0:
            self._work.put(None)
            self._worker.join()
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
        if not self.busy:
            self.client.stop()

    def _on_delivery(self, delivery: Delivery) -> None:
        # One that arrives while the process is ending goes back to the bus, untouched, with the goodbye.
        if not self.stopping:
            self._given += 1
            if self._worker is None:
                self._worker = threading.Thread(target=self._work_off, name="task", daemon=True)
                self._worker.start()
            with self._lock:
                self._current = delivery
            self._work.put(delivery)

    def _on_withdrawn(self, delivery: Delivery) -> None:
        with self._lock:
            if self._current is not delivery:
                return  # its handler has returned meanwhile
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

    def _work_off(self) -> None:
        while (delivery := self._work.get()) is not None:
            try:
                self._handle(delivery)
            except BaseException as error:  # noqa: BLE001 - whatever it is, a process that can't work must end
                log.critical("this agent can't go on: %s", whole(error))
                self._status = BROKEN
                self.client.stop()
                return
            self._ended += 1
            if self.stopping:
                self.client.stop()

    def _handle(self, delivery: Delivery) -> None:
        position = delivery.event.position
        try:
            settlement = self._done(delivery, self._request(delivery))
            self._returned(delivery)
            self.journal.settle(delivery, settlement)
        except StaleDelivery:
            # Withdrawn, or moved on as this process was taken for dead: the result isn't wanted.
            log.info("the task of event %d was withdrawn: its result is dropped", position)
        except TwelvefoldError as error:
            log.error("the task of event %d can't be settled: %s", position, error.message())
            self._refuse(delivery, error)
        finally:
            self.journal.drop()
            self._returned(delivery)
        self._sample()

    def _request(self, delivery: Delivery) -> TaskRequest:
        event = delivery.event
        if event.type != "task.requested" or not event.run:
            raise NotATask(event.type, event.position, "it is not a task.requested of a run")
        try:
            return request_of(event, self.journal, delivery.attempt)
        except msgspec.ValidationError as error:
            raise NotATask(event.type, event.position, str(error)) from error

    def _refuse(self, delivery: Delivery, error: TwelvefoldError) -> None:
        try:
            self.client.fail(delivery, error.message())
        except StaleDelivery:
            log.info("event %d was withdrawn", delivery.event.position)

    def _done(self, delivery: Delivery, request: TaskRequest) -> NewEvent:
        """Do a task and return the event that settles it."""
        facts = {"instance": self.client.instance, "attempt": request.attempt, "delivery": delivery.attempt}
        started = new_event("task.started", facts, stream=request.stream, run=request.run, cause=request.id)
        # Goes out with the request for the task's history: no wait, no message of its own.
        self.client.emit_soon(msgspec.structs.replace(started, trace=request.trace))
        context = TaskContext(self.agent, request, self.journal, self.places)
        with self._lock:
            self._context = context
            if self._withdrawn:
                context.ledger.withdrawn.set()
        return perform(self.agent, context).event(request, self.journal)

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


def run_agent(
    target: str,
    *,
    home: Path,
    runtime_dir: Path | None = None,
    folder: Path = Path(),
    name: str = "",
    instance: str = "",
    stop_timeout_s: float = 5.0,
    timeout_s: float = 30.0,
) -> int:
    """Run one agent, MODULE:CLASS importable from `folder`, until it is asked to stop; return its exit status.

    `name` is the queue it takes tasks from (its class's own where empty). `instance` is what its supervisor calls this
    process; without a supervisor it is empty. Only for a process of its own, on its main thread: it takes SIGTERM and
    SIGINT, and sets up logging to standard error. Raises AgentNotLoadable, InvalidTool, BusNotRunning within
    `timeout_s`, and what the bus refuses the agent with.
    """
    _log_to_stderr()
    agent = load_agent(target, folder)
    own_queue = name or queue_name(type(agent))
    client = BusClient(
        _endpoints_of(str(home), None if runtime_dir is None else str(runtime_dir)),
        instance=instance or f"{own_queue}-{os.getpid()}-{os.urandom(4).hex()}",
        role="agent",
        timeout_s=timeout_s,
        supervised=bool(instance),
        keeper=False,
    )
    process = AgentProcess(agent, client, own_queue, AgentPlaces(home), stop_timeout_s)
    try:
        return process.run()
    finally:
        if process.busy:
            # No goodbye, which would hand the task to another instance while its handler still runs here.
            log.critical("ending in the middle of a task")
            sys.stderr.flush()
            os._exit(BROKEN)
        client.close()


def _log_to_stderr() -> None:
    if not logging.root.handlers:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


@cache
def _endpoints_of(home: str, runtime_dir: str | None) -> Endpoints:
    """Return the endpoints of a home; worked out once, before agents are forked, as that touches much memory."""
    return endpoints(Path(home), None if runtime_dir is None else Path(runtime_dir))


def main(arguments: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run `MODULE:CLASS [--name QUEUE]` with what the supervisor put into the environment; return the exit status."""
    try:
        target, name = _parsed(arguments)
        home = environ.get("TWELVEFOLD_HOME")
        if not home:
            raise AgentUsage("TWELVEFOLD_HOME isn't set")
        runtime_dir = environ.get("TWELVEFOLD_RUNTIME_DIR")
        return run_agent(
            target,
            home=Path(home),
            runtime_dir=Path(runtime_dir) if runtime_dir else None,
            name=name,
            instance=environ.get("TWELVEFOLD_INSTANCE", ""),
            stop_timeout_s=float(environ.get("TWELVEFOLD_STOP_TIMEOUT_S") or 5.0),
            timeout_s=float(environ.get("TWELVEFOLD_TIMEOUT_S") or 30.0),
        )
    except TwelvefoldError as error:
        sys.stderr.write(f"error[{error.code}]: {error.message()}\n")
        if error.help():
            sys.stderr.write(f"  help: {error.help()}\n")
        return error.exit_code


def _parsed(arguments: list[str]) -> tuple[str, str]:
    """Return target and name; by hand, as argparse would cost each agent memory."""
    words: list[str] = []
    name = ""
    rest = iter(arguments)
    for word in rest:
        if word == "--name" or word.startswith("--name="):
            name = word[7:] if "=" in word else next(rest, "")
            if not name:
                raise AgentUsage("--name needs a queue's name")
        elif word.startswith("-"):
            raise AgentUsage(f"there is no option {word}")
        else:
            words.append(word)
    if len(words) != 1:
        raise AgentUsage(f"one MODULE:CLASS is needed, {len(words)} were given")
    return words[0], name


def warm_up() -> None:
    """Go through whole lives of agents before any is forked, so that forks share the memory that this touches."""
    import asyncio  # noqa: F401

    from .rehearsal import rehearse

    _log_to_stderr()
    try:
        rehearse(main)
    except (RehearsalFailed, OSError) as error:
        log.warning("agents will need more memory than usual, as they could not be rehearsed: %s", whole(error))
    _endpoints_of.cache_clear()
    if home := os.environ.get("TWELVEFOLD_HOME"):
        _endpoints_of(home, os.environ.get("TWELVEFOLD_RUNTIME_DIR"))
