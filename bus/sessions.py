"""Who is connected: one session for each client incarnation that has said hello.

Owns what the bus knows of a peer and the sending to it. A peer whose queue is full (it doesn't read) loses the message
and its session: it is asked to say hello again when it next speaks, and then resends what was not answered. So a
stopped peer costs bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import zmq

from .membership import Hand
from .wire import Ack, Acks, BusMessage, Deliver, Delivery, Fence, Present, encode

#: As plain numbers: combining the named ones costs as much as sending a message.
NOBLOCK = int(zmq.NOBLOCK)
MORE = NOBLOCK | int(zmq.SNDMORE)
#: Characters of payload after which deliveries go on in another message.
PART_BYTES_MAX = 1024 * 1024
#: How long an ack for which nobody waits may wait for something else to go along with: each message wakes its receiver.
PATIENCE_S = 0.05


@dataclass(slots=True, eq=False)
class Session:
    """One client incarnation. `identity` is its ZeroMQ identity, new for each incarnation."""

    identity: bytes
    instance: str
    role: str
    pid: int
    supervised: bool
    heard: float
    #: Deliveries in its hands by (group key, position): the task's stream that each opens, or None.
    holds: dict[tuple[str, int], str | None] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    #: It is or was in some group, so that a mark names its instance as one to wait for.
    member: bool = False
    #: What it holds of the groups in which it takes part with one credit.
    hand: Hand | None = None
    #: Withdrawn deliveries whose handler has not returned yet, with the time until which it may, and their fence.
    stopping: dict[tuple[str, int], tuple[float, Fence]] = field(default_factory=dict)
    #: When the supervisor was last asked to kill it; 0 where it wasn't.
    kill_asked: float = 0.0
    #: Messages to it may have been lost: it must say hello again before anything else.
    lapsed: bool = False
    #: The transaction that its latest settle belongs to, and the tasks' streams that its settles in that one close.
    settled_in: int = 0
    closing: set[str | None] = field(default_factory=set)
    #: Pages that it has asked for and not got yet.
    reading: int = 0
    deliveries: list[Delivery] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    #: Supervisor: who has said hello since the last `flush`.
    present: list[str] = field(default_factory=list)


class Sessions:
    """All sessions, by identity, and what is to be sent to them."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self.by_identity: dict[bytes, Session] = {}
        #: Sessions that have lapsed and must leave their groups until they say hello again.
        self.lapsed: list[Session] = []
        self.unsent = 0
        self._with_output: dict[bytes, Session] = {}
        #: Sessions for which only acks are kept that can wait, and until when, the first ones first.
        self._patient: dict[bytes, float] = {}

    def of_instance(self, instance: str, pid: int = 0) -> list[Session]:
        """Return the sessions of an instance (of one process of it where `pid` is given)."""
        return [s for s in self.by_identity.values() if s.instance == instance and pid in (0, s.pid)]

    def supervisor(self) -> Session | None:
        """Return the supervisor's session."""
        return next((s for s in self.by_identity.values() if s.role == "supervisor"), None)

    def send(self, identity: bytes, message: BusMessage) -> None:
        """Send one message, or note that its receiver doesn't take it."""
        try:
            frame = encode(message)
            self._socket.send(identity, MORE)
            self._socket.send(frame, NOBLOCK)
        except (zmq.Again, zmq.ZMQError):
            # EAGAIN: its queue is full. EHOSTUNREACH (ROUTER_MANDATORY): it is gone.
            self.unsent += 1
            session = self.by_identity.get(identity)
            if session is not None:
                self.lapse(session)

    def lapse(self, session: Session) -> None:
        """Note that messages to a peer may have been lost; it is not sent any until it says hello again."""
        session.lapsed = True
        session.acks.clear()
        session.deliveries.clear()
        session.present.clear()
        self.lapsed.append(session)

    def ack(self, session: Session, ack: Ack, *, patient: bool = False) -> None:
        """Have a request acknowledged with the next `flush`, where it is `patient` with the next message or soon."""
        session.acks.append(ack)
        if not patient:
            self._with_output[session.identity] = session
        elif session.identity not in self._patient:
            self._patient[session.identity] = session.heard + PATIENCE_S

    def deliver(self, session: Session, delivery: Delivery) -> None:
        """Have an event delivered with the next `flush`."""
        session.deliveries.append(delivery)
        self._with_output[session.identity] = session

    def introduce(self, supervisor: Session, instances: Iterable[str]) -> None:
        """Have the supervisor told with the next `flush` who has said hello."""
        supervisor.present.extend(instances)
        self._with_output[supervisor.identity] = supervisor

    @property
    def patient_until(self) -> float | None:
        """When the first of the acks that can wait has waited long enough (monotonic seconds)."""
        return next(iter(self._patient.values()), None)

    def hurry(self, now: float) -> None:
        """Have acks that have waited long enough sent with the next `flush`."""
        first = self.patient_until
        if first is None or first > now:
            return
        due = [identity for identity, until in self._patient.items() if until <= now]
        for identity in due:
            del self._patient[identity]
            if session := self.by_identity.get(identity):
                self._with_output[identity] = session

    def flush(self) -> None:
        """Send what was gathered: for each peer one message, more only where payloads are large."""
        if not self._with_output:
            return
        waiting, self._with_output = self._with_output, {}
        for identity, session in waiting.items():
            if session.lapsed:
                continue
            self._patient.pop(identity, None)
            acks, session.acks = session.acks, []
            deliveries, session.deliveries = session.deliveries, []
            parts = _parts(deliveries) if deliveries else []
            if acks:
                self.send(identity, Acks(acks, parts.pop(0) if parts and _is_brief(acks) else []))
            if session.present and not session.lapsed:
                present, session.present = session.present, []
                self.send(identity, Present(present))
            for part in parts:
                if not session.lapsed:
                    self.send(identity, Deliver(part))


def _is_brief(acks: list[Ack]) -> bool:
    """Tell whether acks carry no events, so that deliveries may travel with them."""
    return not any(ack.events for ack in acks)


def _parts(deliveries: list[Delivery]) -> list[list[Delivery]]:
    """Cut a list of deliveries so that no message is longer than a frame may be: a payload has at most 1 MiB."""
    parts, start, size = [], 0, 0
    for index, delivery in enumerate(deliveries, 1):
        size += len(delivery.event.payload or "")
        if size >= PART_BYTES_MAX or index == len(deliveries):
            parts.append(deliveries[start:index])
            start, size = index, 0
    return parts
