"""The loop of the bus: takes messages in, commits, and only then answers, publishes and delivers.

Owns the sockets and the order of one turn: drain what has arrived, one group commit, acks, hints, deliveries. What a
message means is `requests`'s and its parts'. Whatever is no message is dropped and counted.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import zmq

from ..eventstore.blobs import BlobStore
from ..eventstore.log import Append, EventLog
from .commit import Commit
from .desk import Desk
from .endpoints import Endpoints
from .errors import EndpointUnsafe
from .liveness import Liveness
from .publish import Publisher
from .requests import Requests
from .sessions import Sessions
from .settling import Settling
from .stats import Throughput
from .unreadable import what_was_asked
from .wire import FRAME_BYTES_MAX, Who, WireError, decode_client_message
from .withdrawing import Withdrawing

#: Bounds of one turn; what is beyond them waits in the sockets, and its senders with it.
TURN_MESSAGES_MAX = 512
#: Small against what a client may have under way, so that it fills the next turn while this one is committed.
TURN_BYTES_MAX = 1024 * 1024
TURN_READ_EVENTS_MAX = 10_000
#: Messages queued for or from one peer, in libzmq's memory.
PEER_MESSAGES_MAX = 256
TICK_S = 1.0
READABLE = int(zmq.POLLIN)
INCARNATION_MARK = "bus/incarnation"


@dataclass(frozen=True)
class Options:
    """What may be set of a bus: lease and timeouts in seconds, and how often a delivery is tried."""

    lease_s: float = 10.0
    stop_timeout_s: float = 5.0
    attempts_max: int = 5
    backoff_s: float = 0.5


class Signal(Protocol):
    """Something that can be polled and tells that the bus is to stop."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""


class Broker:
    """One incarnation of the bus on an open log; `keys` are the secrets by role. Raises EndpointUnsafe."""

    def __init__(
        self,
        endpoints: Endpoints,
        log: EventLog,
        blobs: BlobStore | None,
        keys: dict[str, str],
        options: Options,
    ) -> None:
        clock = time.monotonic
        self.clock = clock
        self.started = clock()
        self.log = log
        self._context = zmq.Context(io_threads=1)
        self._context.set(zmq.MAX_SOCKETS, 64)
        self._ingress = self._socket(zmq.ROUTER, endpoints.ingress)
        self._egress = self._socket(zmq.XPUB, endpoints.egress)
        # An oversized or malformed frame costs its sender the connection, inside libzmq: only its end is seen.
        self._monitor = self._ingress.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.connections_closed = 0
        self._nonce = secrets.token_bytes(8)
        self._stopping = False
        incarnation = self.incarnation = self._next_incarnation()
        self.sessions = Sessions(self._ingress)
        self.publisher = Publisher(self._egress, log, incarnation)
        self.commit = Commit(log, self.publisher.learn)
        self.desk = Desk(
            log, self.commit, self.sessions, incarnation=incarnation, attempts_max=options.attempts_max, clock=clock
        )
        self.settling = Settling(
            self.desk, log, self.commit, self.sessions, attempts_max=options.attempts_max,
            backoff_s=options.backoff_s, clock=clock,
        )  # fmt: skip
        self.withdrawing = Withdrawing(
            self.desk, self.settling, log, self.commit, self.sessions, stop_timeout_s=options.stop_timeout_s,
            clock=clock,
        )  # fmt: skip
        self.desk.load(frozen_upto=log.head)
        self.liveness = Liveness(
            self.desk, self.settling, self.withdrawing, self.sessions, log, self.commit, lease_s=options.lease_s,
            clock=clock,
        )  # fmt: skip
        self.requests = Requests(self, blobs, keys, self._nonce, incarnation, options.lease_s)
        self.garbage = 0
        self.throughput = Throughput(clock())
        self._finish()

    def _socket(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        socket.set(zmq.RCVHWM, PEER_MESSAGES_MAX)
        socket.set(zmq.SNDHWM, PEER_MESSAGES_MAX)
        socket.set(zmq.BACKLOG, 4096)
        if kind == zmq.ROUTER:
            socket.set(zmq.ROUTER_MANDATORY, 1)
            socket.set(zmq.ROUTER_HANDOVER, 1)
        path = endpoint.removeprefix("ipc://")
        try:
            socket.bind(endpoint)
            Path(path).chmod(0o600)
        except (zmq.ZMQError, OSError) as error:
            raise EndpointUnsafe(path, f"no socket can be made there: {error.strerror}") from error
        return socket

    def _next_incarnation(self) -> int:
        incarnation = int(self.log.marks(INCARNATION_MARK).get(INCARNATION_MARK, "0")) + 1
        self.log.append(Append(marks={INCARNATION_MARK: str(incarnation)}))
        return incarnation

    # --- the loop ---------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Have `run` return after its turn; safe to call from a signal handler."""
        self._stopping = True

    def run(self, wake: Signal | None = None) -> None:
        """Serve until `stop`; `wake` is polled too, so that a signal is noticed at once."""
        poller = zmq.Poller()
        poller.register(self._ingress, zmq.POLLIN)
        poller.register(self._egress, zmq.POLLIN)
        if wake is not None:
            poller.register(wake.fileno(), zmq.POLLIN)
        next_tick = self.clock()
        while not self._stopping:
            now = self.clock()
            ready = dict(poller.poll(self._timeout_ms(now, next_tick)))
            if self._egress in ready:
                self.publisher.subscriptions()
            if self._ingress in ready:
                self._drain()
            now = self.clock()
            if now >= next_tick:
                next_tick = now + TICK_S
                # What is judged by the clock comes after what was said in this turn.
                self.finish()
                self.liveness.tick()
                self.requests.forgets.tick()
                self._count_closed()
                self.throughput.tick(now, self.commit.events, self.settling.settled)
            self.desk.wake(now)
            self.sessions.hurry(now)
            self._finish()
            self.publisher.beacon(now)

    def _timeout_ms(self, now: float, next_tick: float) -> int:
        if self.requests.reads or self.requests.forgets.pending:
            return 0
        times = [next_tick, self.desk.due(), self.publisher.beacon_due(now), self.sessions.patient_until]
        return max(0, int(1000 * (min(time for time in times if time is not None) - now)) + 1)

    def _count_closed(self) -> None:
        """Count connections that have ended."""
        try:
            while True:
                self._monitor.recv_multipart(zmq.NOBLOCK)
                self.connections_closed += 1
        except zmq.Again:
            return

    def _drain(self) -> None:
        """Take in what has arrived, up to the bounds of a turn."""
        size = 0
        receive, events = self._ingress.recv_multipart, self._ingress.get
        for _ in range(TURN_MESSAGES_MAX):
            try:
                frames = receive(zmq.NOBLOCK)
            except zmq.Again:
                return
            size += self._take(frames)
            # Asking costs a fifth of the exception that tells that there is nothing more.
            if not int(events(zmq.EVENTS)) & READABLE or size > TURN_BYTES_MAX or len(self.commit) > TURN_MESSAGES_MAX:
                return

    def _take(self, frames: list[bytes]) -> int:
        """Take in one message; return its size."""
        identity = frames[0]
        if len(frames) != 2:
            self.garbage += 1
            return 0
        frame = frames[1]
        session = self.sessions.by_identity.get(identity)
        if not frame:
            # A connection has been made (ZMQ_PROBE_ROUTER). Where we knew the peer, messages may have been lost.
            if session is not None:
                self.sessions.lapse(session)
            self.sessions.send(identity, Who(self._nonce))
            return 0
        try:
            message = decode_client_message(frame)
        except WireError:
            self.garbage += 1
            asked = what_was_asked(frame) if session is not None else None
            if asked is not None:
                self.requests.take(identity, session, asked)
            return len(frame)
        self.requests.take(identity, session, message)
        return len(frame)

    def finish(self) -> None:
        """Commit what has been proposed and send all that follows from it."""
        while True:
            events = self.commit.flush()
            if events:
                self.desk.feed(events)
            self.desk.hand_out()
            self.sessions.flush()
            if events:
                self.publisher.publish(events)
            if not len(self.commit):
                break

    def _finish(self) -> None:
        self.finish()
        self.requests.serve_reads(TURN_READ_EVENTS_MAX)
        self.requests.forgets.turn()

    def close(self) -> None:
        """Close the sockets; the log is the caller's."""
        self._ingress.disable_monitor()
        self._monitor.close()
        self._ingress.close()
        self._egress.close()
        self._context.term()
