"""Who lives: sessions that have fallen silent, the supervisor's word, and what is waited for after a restart.

Invariant: a delivery leaves its holder only when the holder has let go or is known dead. Silence is no death: a
supervised holder is killed by its supervisor at our request, and its `gone` is waited for; only a holder without a
supervisor loses its deliveries by lease alone.
"""

from __future__ import annotations

from collections.abc import Callable

from ..eventstore.errors import TwelvefoldError
from ..eventstore.log import Append, Appended, EventLog
from .commit import Commit
from .desk import Desk, member_mark
from .sessions import Session, Sessions
from .settling import Settling
from .wire import Hello, Kill
from .withdrawing import Withdrawing


class Liveness:
    """Judges sessions by the monotonic clock. `lease_s` is the silence after which a holder is suspected."""

    def __init__(
        self,
        desk: Desk,
        settling: Settling,
        withdrawing: Withdrawing,
        sessions: Sessions,
        log: EventLog,
        commit: Commit,
        *,
        lease_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._desk = desk
        self._settling = settling
        self._withdrawing = withdrawing
        self._sessions = sessions
        self._commit = commit
        self._lease_s = lease_s
        self._clock = clock
        self._started = clock()
        #: Instances whose supervisor has vouched for them: only its word ends them.
        self._living: set[str] = set()
        members = log.marks(member_mark(""))
        #: Members from before the restart that have not answered yet; True where they had a supervisor.
        self._awaited = {name.partition("/")[2]: how == "supervised" for name, how in members.items()}
        self._supervised_once = False
        #: When the supervisor was last asked to kill those; 0 where it wasn't.
        self._awaited_asked = 0.0
        self.kills = 0
        self.lost = 0

    @property
    def awaited(self) -> list[str]:
        """The instances for whose word older events wait."""
        return sorted(self._awaited)

    def hello(self, session: Session, hello: Hello) -> None:
        """Take in what a hello says about who lives; its claims have been judged before."""
        if hello.role == "supervisor" and hello.living is not None:
            self._supervised_once = True
            for older in [
                s for s in self._sessions.by_identity.values() if s.role == "supervisor" and s is not session
            ]:
                self.end(older, "another supervisor has come")
            dead = self._living - set(hello.living)
            self._living = set(hello.living)
            for instance in dead | {name for name, supervised in self._awaited.items() if supervised} - self._living:
                self.gone(instance)
            for other in self._sessions.by_identity.values():
                other.supervised = other.supervised or other.instance in self._living
                other.kill_asked = 0.0
        elif session.instance in self._living:
            session.supervised = True
        session.member = session.member or session.instance in self._awaited
        self._answered(session.instance)

    def started(self, instance: str) -> None:
        """Note that the supervisor has started an instance."""
        self._living.add(instance)
        for session in self._sessions.of_instance(instance):
            session.supervised = True

    def gone(self, instance: str, pid: int = 0) -> None:
        """Take in that an instance's process has ended: what it held goes to others."""
        self._living.discard(instance)
        for session in self._sessions.of_instance(instance, pid):
            self.end(session, "its process ended")
        if instance in self._awaited:
            self._forget(instance)
        self._answered(instance)

    def end(self, session: Session, why: str, *, counted: bool = True) -> None:
        """Forget a session whose client has ended, and give back what it held."""
        self._sessions.by_identity.pop(session.identity, None)
        for key, position in list(session.holds):
            self._settling.give_back(session, key, position, why, counted=counted)
        for key, position in session.stopping:
            self._withdrawing.released(key, position)
        for key in session.groups:
            self._desk.groups[key].expel(session.identity)
        if session.member:
            self._forget(session.instance)

    def _forget(self, instance: str) -> None:
        """Have no later start wait for an instance, unless another incarnation of it has bound already."""
        if not any(other.member for other in self._sessions.of_instance(instance)):
            self._commit.propose(Append(marks={member_mark(instance): None}), _forgotten)

    def _answered(self, instance: str) -> None:
        if self._awaited.pop(instance, None) is not None or not self._awaited:
            self._thaw()

    def _thaw(self) -> None:
        if not self._awaited and self._desk.frozen_upto:
            self._desk.thaw()
            self._withdrawing.release_owed()

    def tick(self) -> None:
        """Look for silent sessions and handlers that don't return; ends the wait after a restart."""
        now = self._clock()
        if self._desk.frozen_upto and now - self._started > self._lease_s:
            # By now every member without a supervisor has lost its lease, and a supervisor would have spoken: it is
            # the one that restarts the bus.
            for instance, supervised in list(self._awaited.items()):
                if not supervised or not self._supervised_once:
                    del self._awaited[instance]
                    self._forget(instance)
            self._thaw()
            self._ask_for_awaited(now)
        for session in list(self._sessions.by_identity.values()):
            silent = now - session.heard > self._lease_s
            overdue = any(deadline < now for deadline, _ in session.stopping.values())
            if silent and not session.supervised:
                self.lost += bool(session.holds)
                self.end(session, f"silent for {self._lease_s:g} s")
            elif silent and not session.holds and not session.stopping:
                self.end(session, "silent")
            elif (silent or overdue) and session.supervised:
                self._ask_kill(session, now, "silent" if silent else "did not stop")

    def _ask_for_awaited(self, now: float) -> None:
        """Have those killed that live but have not said hello since the restart: they hold up all older work."""
        supervisor = self._sessions.supervisor()
        if supervisor is None or (self._awaited_asked and now - self._awaited_asked < self._lease_s):
            return
        self._awaited_asked = now
        for instance in self._awaited:
            self.kills += 1
            self._sessions.send(supervisor.identity, Kill(instance, 0, "silent since the bus was restarted"))

    def _ask_kill(self, session: Session, now: float, reason: str) -> None:
        supervisor = self._sessions.supervisor()
        if supervisor is None or (session.kill_asked and now - session.kill_asked < self._lease_s):
            return
        session.kill_asked = now
        self.kills += 1
        self._sessions.send(supervisor.identity, Kill(session.instance, session.pid, reason))


def _forgotten(_: Appended | TwelvefoldError) -> None:
    """Take the result of removing a member's mark: where that failed, the next start waits one lease in vain."""
