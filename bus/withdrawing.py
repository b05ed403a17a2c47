"""How work is taken back: an append ends deliveries, held or not, and a fact says when nobody works on them any more.

Two steps, each durable by itself: the withdrawal goes with the append that asks for it; `delivery.withdrawn` follows
once the handler has returned or its process has ended, as whoever undoes or repeats the work waits for that. In
between a mark keeps what is owed, so that no start of the bus forgets it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import NewEvent
from ..eventstore.ids import derived_id
from ..eventstore.log import JOINT, Append, Appended, EventLog
from .commit import Commit, Done
from .desk import Desk
from .groups import Group
from .sessions import Session, Sessions
from .wire import Fence, Held, Withdrawn

if TYPE_CHECKING:
    from .settling import Settling

#: The slot of a withdrawn delivery names no holder, so that no settle can be taken for a repetition.
NOBODY: Fence = (0, 0)
_MARKS = "withdrawn/"
_encode_json = msgspec.json.Encoder().encode


class Withdrawing:
    """Withdraws deliveries. A handler may go on for `stop_timeout_s` before its process is to be killed."""

    def __init__(
        self,
        desk: Desk,
        settling: Settling,
        log: EventLog,
        commit: Commit,
        sessions: Sessions,
        *,
        stop_timeout_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._desk = desk
        self._settling = settling
        self._log = log
        self._commit = commit
        self._sessions = sessions
        self._stop_timeout_s = stop_timeout_s
        self._clock = clock
        self.withdrawn = 0
        #: Whether what stands up to here was ever handed out is not known: marks tell of attempts that are over only.
        self._doubtful_upto = log.head
        #: Withdrawn, and nobody has said yet that its handler has returned.
        self._owed: set[tuple[str, int]] = set()
        for name in log.marks(_MARKS):
            key, _, position = name.removeprefix(_MARKS).rpartition("/")
            self._owed.add((key, int(position)))

    def append(self, append: Append, ids: list[bytes], done: Done) -> None:
        """Append, and with the same commit end the deliveries of the events with these ids, held or not."""
        marks = dict(append.marks)
        joined: dict[str, str] = {}
        targets: list[tuple[Group, int]] = []
        for id in ids:
            event = self._log.event_of(id)
            if event is None or not event.to:
                continue
            group = self._desk.queue(event.to)
            position = event.position
            if position in group.held or position in group.pending or position > group.loaded:
                slot, text = self._settling.slot_text(group, position, NOBODY, marks)
                joined[slot] = f"{joined[slot]}{JOINT}{text}" if slot in joined else text
                marks[_mark(group.key, position)] = ""
                targets.append((group, position))

        def withdrawn(result: Appended | TwelvefoldError) -> None:
            if not isinstance(result, TwelvefoldError):
                for group, position in targets:
                    entry = group.pending.get(position)
                    attempts = entry.attempts if entry else group.history.get(position, (0, NOBODY))[0]
                    self._owed.add((group.key, position))
                    if not self._withdraw(group, position) and position > self._desk.frozen_upto:
                        self.released(group.key, position, attempts if position > self._doubtful_upto else None)
            done(result)

        whole = msgspec.structs.replace(append, marks=marks, joined=joined, keeps_marks=True)
        self._commit.propose(whole, withdrawn)

    def _withdraw(self, group: Group, position: int) -> bool:
        """Drop a delivery whose withdrawal has been committed, and tell its holder; False where it has none."""
        self.withdrawn += 1
        group.progress.settled(position, NOBODY)
        if position > group.loaded:
            group.progress.skip.add(position)
        holding = group.withdraw(position)
        session = self._sessions.by_identity.get(holding.member.session) if holding is not None else None
        if holding is None or session is None:
            return False
        session.holds.pop((group.key, position), None)
        self._await_stop(session, Held(group.key, position, holding.fence))
        self._sessions.send(session.identity, Withdrawn(Held(group.key, position, holding.fence)))
        return True

    def _await_stop(self, session: Session, held: Held) -> None:
        session.stopping[held.key, held.position] = (self._clock() + self._stop_timeout_s, held.fence)

    def claimed(self, session: Session, held: Held) -> None:
        """Take in that a session still has in its hands what was withdrawn, it may be under an earlier bus."""
        name = (held.key, held.position)
        if name in self._owed and name not in session.stopping:
            self._await_stop(session, held)
            self._desk.groups[held.key].occupy(session.identity)

    def freed(self, session: Session, held: Held) -> None:
        """Note that the handler of a withdrawn delivery has returned: its holder may take another."""
        name = (held.key, held.position)
        if session.stopping.pop(name, None) is not None:
            group = self._desk.groups[held.key]
            group.freed(session.identity)
            self._desk.stir(group)
            self.released(held.key, held.position)
        elif name in self._owed:
            # It was withdrawn under an earlier start of the bus.
            self.released(held.key, held.position)

    def release_owed(self) -> None:
        """Release what nobody has in their hands, after a restart: the last word about it, or its holder, is lost."""
        for key, position in sorted(self._owed):
            self.released(key, position)

    def released(self, key: str, position: int, attempts: int | None = None) -> None:
        """Record that nobody works on a withdrawn delivery any more: whoever undoes or repeats it may begin.

        `attempts` is how often it had been handed out, None where that was once or more, or isn't known. Nothing is
        recorded while somebody else still has it in their hands: a holder that was taken for dead, say.
        """
        if any((key, position) in session.stopping for session in self._sessions.by_identity.values()):
            return
        for event in self._log.read(after=position - 1, until=position, limit=1):
            facts = {"event": event.id.hex(), "position": position, "type": event.type, "group": key[2:],
                     "queue": key.startswith("q/"), "delivered": attempts != 0}  # fmt: skip
            withdrawn = NewEvent(
                type="delivery.withdrawn",
                payload=_encode_json(facts).decode(),
                stream=f"group.{key[2:]}",
                id=derived_id(key, str(position), "delivery.withdrawn"),
                run=event.run,
                cause=event.id,
                trace=event.trace,
            )

            def recorded(result: Appended | TwelvefoldError) -> None:
                # Where it failed it stays owed: the next start says it, and the orchestrator's own timer stands in.
                if not isinstance(result, TwelvefoldError):
                    self._owed.discard((key, position))

            marks: dict[str, str | None] = {_mark(key, position): None}
            self._commit.propose(Append(events=[withdrawn], source="bus", marks=marks, keeps_marks=True), recorded)


def _mark(key: str, position: int) -> str:
    """Name the mark of a withdrawn delivery that may still be worked on."""
    return f"{_MARKS}{key}/{position}"
