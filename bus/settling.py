"""How a delivery ends: settled with its results, failed and delivered again, parked, or given back.

Each end is one append whose marks make it durable together with its events. Nothing moves from one holder to another
here unless the caller knows that the first one has let go or is dead (`liveness`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import NewEvent
from ..eventstore.ids import derived_id
from ..eventstore.log import Append, Appended, EventLog
from .authority import task_stream
from .commit import Commit, Done
from .desk import Desk, history_mark
from .errors import StaleDelivery
from .groups import Group, Holding
from .sessions import Session, Sessions
from .wire import Fence, Held, Withdrawn

BACKOFF_MAX_S = 3600.0
_encode_json = msgspec.json.Encoder().encode


class Settling:
    """Ends deliveries. After `attempts_max` attempts one is parked; until then it comes again after a backoff."""

    def __init__(
        self,
        desk: Desk,
        log: EventLog,
        commit: Commit,
        sessions: Sessions,
        *,
        attempts_max: int,
        backoff_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._desk = desk
        self._log = log
        self._commit = commit
        self._sessions = sessions
        self._attempts_max = attempts_max
        self._backoff_s = backoff_s
        self._clock = clock
        self.settled = self.redelivered = self.parked = self.refused = 0

    def settle(self, session: Session, held: Held, append: Append, done: Done) -> bool:
        """Append results and settle in one transaction; False where this must wait for the commit under way."""
        group = self._desk.groups.get(held.key)
        holding = group.holding(held.position, held.fence, session.identity) if group else None
        if group is None or holding is None:
            if group is not None and group.progress.settled_under(held.position) == held.fence:
                self._settled_before(held, append, done)
            else:
                self.refused += 1
                done(StaleDelivery(held.key[2:], held.position))
            return True
        if holding.settling:
            return False
        holding.settling = True
        if session.settled_in != self._commit.turn:
            session.settled_in = self._commit.turn
            session.closing.clear()
        session.closing.add(session.holds.get((held.key, held.position)))
        marks = dict(append.marks)
        slot, text = self.slot_text(group, held.position, held.fence, marks)
        settling = Append(
            events=append.events, expected_version=append.expected_version, source=append.source, marks=marks,
            joined={slot: text}, keeps_marks=True,
        )  # fmt: skip
        self._commit.propose(settling, partial(self._settled, group, holding, done))
        return True

    def _settled(self, group: Group, holding: Holding, done: Done, result: Appended | TwelvefoldError) -> None:
        holding.settling = False
        if not isinstance(result, TwelvefoldError):
            self._end(group, holding.event.position, holding.fence)
            self.settled += 1
        done(result)

    def _settled_before(self, held: Held, append: Append, done: Done) -> None:
        """Answer a settle that was resent because its ack got lost: its results are in the log."""
        known = [self._log.event_of(event.id) for event in append.events]
        found = [event for event in known if event is not None]
        if len(found) == len(known):
            done(Appended(found, fresh=False))
        else:
            done(StaleDelivery(held.key[2:], held.position))

    def slot_text(self, group: Group, position: int, fence: Fence, marks: dict[str, str | None]) -> tuple[str, str]:
        """Return what settles a position in the transaction that is being gathered; `marks` gets what else changes."""
        progress = group.progress
        if progress.is_long:
            mark = progress.baseline_mark(group.unsettled(), group.loaded)
            self._commit.propose(Append(marks=dict([mark])), _in_slots_still)
        if position in group.history:
            marks[history_mark(group.key, position)] = None
        return progress.slot_text(self._commit.turn, position, fence)

    def _end(self, group: Group, position: int, fence: Fence) -> None:
        holding = group.held.get(position)
        if holding is not None:
            self._let_go(group, holding)
        group.progress.settled(position, fence)
        group.settle(position)
        self._desk.stir(group)

    def fail(self, session: Session, held: Held, error: str, retry_in_s: float | None, done: Done) -> None:
        """Deliver again after a while, or park after too many attempts."""
        group = self._desk.groups.get(held.key)
        holding = group.holding(held.position, held.fence, session.identity) if group else None
        if group is None or holding is None or holding.settling:
            done(StaleDelivery(held.key[2:], held.position))
            return
        pause = self._backoff(holding.attempt) if retry_in_s is None else min(max(0.0, retry_in_s), BACKOFF_MAX_S)
        self._return(group, holding, error, self._clock() + pause, done)

    def _backoff(self, failures: int) -> float:
        return float(min(self._backoff_s * 2 ** (failures - 1), BACKOFF_MAX_S))

    def give_back(self, session: Session, key: str, position: int, error: str, *, counted: bool = True) -> None:
        """Take a delivery from a holder that is dead or has said goodbye, and let it wait for another."""
        group = self._desk.groups[key]
        holding = group.held.get(position)
        session.holds.pop((key, position), None)
        if holding is None or holding.member.session != session.identity:
            return
        if counted:
            # The first death moves it at once. More of them may be one stroke that hits each holder in turn (a pool
            # killed, memory run out), and what is handed on faster than they end would be taken for what kills them.
            due = self._clock() + self._backoff(holding.attempt - 1) if holding.attempt > 1 else None
            self._return(group, holding, error, due, lambda _: None)
        else:
            group.release(position, attempts=holding.attempt - 1)
            self._desk.stir(group)

    def _return(self, group: Group, holding: Holding, error: str, due: float | None, done: Done) -> None:
        """Commit that an attempt is over, then let the event wait again; park it after the last attempt."""
        position = holding.event.position
        holding.settling = True
        if holding.attempt >= self._attempts_max:
            self._park(group, holding, error, done)
            return
        fence_min = self._desk.next_fence
        text = f"{holding.attempt} {fence_min[0]} {fence_min[1]}"

        def returned(result: Appended | TwelvefoldError) -> None:
            if group.held.get(position) is not holding:
                done(StaleDelivery(group.name, position))
                return
            # Where the mark could not be written the delivery still moves on; only its count is forgotten by a crash.
            group.remember(position, holding.attempt, fence_min)
            self._let_go(group, holding)
            group.release(position, attempts=holding.attempt, due=due)
            self.redelivered += 1
            self._desk.stir(group)
            done(result)

        self._commit.propose(Append(marks={history_mark(group.key, position): text}), returned)

    def _park(self, group: Group, holding: Holding, error: str, done: Done) -> None:
        event = holding.event
        facts = {"event": event.id.hex(), "position": event.position, "type": event.type, "group": group.name,
                 "queue": group.is_queue, "attempts": holding.attempt, "error": error[:4000]}  # fmt: skip
        parked = NewEvent(
            type="delivery.parked",
            payload=_encode_json(facts).decode(),
            stream=f"group.{group.name}",
            id=derived_id(group.key, str(event.position), "delivery.parked"),
            run=event.run,
            cause=event.id,
            trace=event.trace,
        )

        def done_parking(result: Appended | TwelvefoldError) -> None:
            holding.settling = False
            if isinstance(result, TwelvefoldError):
                # Its holder has let go or is dead: it comes again, and is parked when that can be written.
                self._let_go(group, holding)
                due = self._clock() + self._backoff_s
                group.release(event.position, attempts=holding.attempt - 1, due=due)
                self._desk.stir(group)
                done(result)
                return
            self._end(group, event.position, holding.fence)
            self.parked += 1
            done(result)

        marks: dict[str, str | None] = {}
        slot, text = self.slot_text(group, event.position, holding.fence, marks)
        parking = Append(events=[parked], marks=marks, joined={slot: text}, source="bus", keeps_marks=True)
        self._commit.propose(parking, done_parking)

    def _let_go(self, group: Group, holding: Holding) -> None:
        session = self._sessions.by_identity.get(holding.member.session)
        if session is not None:
            session.holds.pop((group.key, holding.event.position), None)

    def returned(self, session: Session, held: Held) -> None:
        """Take back a delivery that its holder never began: it waits for another member, and no attempt is counted."""
        group = self._desk.groups.get(held.key)
        if group is not None and group.holding(held.position, held.fence, session.identity) is not None:
            self.give_back(session, held.key, held.position, "never begun", counted=False)

    def adopt(self, session: Session, held: Held) -> bool:
        """Let a member keep what it says it holds; False where it has been settled, withdrawn or handed to another."""
        group = self._desk.groups.get(held.key)
        if group is None:
            return False
        known = group.holding(held.position, held.fence, session.identity)
        if known is not None:
            # It may have been asked for in a message that got lost.
            known.asked = False
            return True
        rival = group.held.get(held.position)
        holding = group.adopt(held.position, held.fence, session.identity)
        if holding is None:
            return False
        if rival is not None:
            loser = self._sessions.by_identity.get(rival.member.session)
            if loser is not None:
                loser.holds.pop((held.key, held.position), None)
                self._sessions.send(loser.identity, Withdrawn(Held(held.key, held.position, rival.fence)))
        session.holds[held.key, held.position] = task_stream(holding.event) if group.is_queue else None
        session.groups.add(held.key)
        session.member = True
        return True


def _in_slots_still(_: Appended | TwelvefoldError) -> None:
    """Take the result of a baseline: where it failed the whole commit did, and the slots that it covers still stand."""
