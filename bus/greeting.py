"""The greeting: who may be a client in which role, and what a hello says about deliveries and lives.

A hello from a peer whose messages may have been lost (new, or lapsed) names everything that it holds: what the bus
thinks it holds and it does not name was never received, and goes to others.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from ..eventstore.errors import TwelvefoldError
from . import authority
from .errors import BadRequest, RoleRefused, WireMismatch
from .keys import SECRET_ROLES
from .sessions import Session
from .wire import WIRE_MAJOR, WIRE_MINOR, Held, Hello, Welcome, Withdrawn, refusal

if TYPE_CHECKING:
    from .broker import Broker

INSTANCE_LENGTH_MAX = 255


class Greeting:
    """Greets the clients of one broker; `keys` are the secrets by role."""

    def __init__(self, broker: Broker, keys: dict[str, str], nonce: bytes, incarnation: int, lease_s: float) -> None:
        self._broker = broker
        self._keys = keys
        self._nonce = nonce
        self._incarnation = incarnation
        self.lease_s = lease_s
        self.refused = 0

    def _fault(self, hello: Hello) -> TwelvefoldError | None:
        if hello.major != WIRE_MAJOR:
            return WireMismatch(f"{hello.major}.{hello.minor}", f"{WIRE_MAJOR}.{WIRE_MINOR}")
        instance = hello.instance
        if not 0 < len(instance) <= INSTANCE_LENGTH_MAX or not instance.isprintable() or "/" in instance:
            return BadRequest(f"{instance!r} can't be the name of an instance")
        if hello.role not in authority.ROLES:
            return RoleRefused(hello.role, "there is no such role")
        if hello.role in SECRET_ROLES:
            secret = self._keys[hello.role].encode()
            if not hmac.compare_digest(secret, hello.secret.encode()):
                return RoleRefused(hello.role, "the secret is not the one of this start of the bus")
        return None

    def hello(self, identity: bytes, session: Session | None, hello: Hello) -> Session | None:
        """Take in a hello; return the session that it opened or renewed, None where it was refused."""
        broker = self._broker
        broker.finish()
        fault = self._fault(hello)
        if fault is not None:
            self.refused += 1
            broker.sessions.send(identity, refusal(0, fault))
            return None
        first = session is None
        if session is None:
            session = Session(identity, hello.instance, hello.role, hello.pid, hello.supervised, broker.clock())
            broker.sessions.by_identity[identity] = session
        session.heard = broker.clock()
        missed, session.lapsed = first or session.lapsed, False
        if missed:
            # Where it can't be told what became of its claims, it lapses anew.
            self._claims(session, hello.holds)
        broker.liveness.hello(session, hello)
        welcome = Welcome(self._nonce, self._incarnation, broker.log.head, self.lease_s, WIRE_MINOR)
        broker.sessions.send(identity, welcome)
        self._introduce(session, first)
        return session

    def _introduce(self, session: Session, first: bool) -> None:
        """Tell the supervisor who has come to life: it takes a process for ready then."""
        sessions = self._broker.sessions
        if session.role == "supervisor":
            sessions.introduce(session, [other.instance for other in sessions.by_identity.values()])
        elif first and (supervisor := sessions.supervisor()) is not None:
            sessions.introduce(supervisor, [session.instance])

    def _claims(self, session: Session, holds: list[Held]) -> None:
        """Let a member keep what it names, and give to others what it does not name."""
        broker = self._broker
        claimed = {(held.key, held.position) for held in holds}
        for key, position in session.holds.keys() - claimed:
            broker.settling.give_back(session, key, position, "never received", counted=False)
        # Whether it was told of these, or its answer got lost, is not known: it says (again) that it has let go.
        for (key, position), (_, fence) in session.stopping.items():
            if (key, position) not in claimed:
                broker.sessions.send(session.identity, Withdrawn(Held(key, position, fence)))
        for held in holds:
            if not broker.settling.adopt(session, held):
                broker.withdrawing.claimed(session, held)
                broker.sessions.send(session.identity, Withdrawn(held))
