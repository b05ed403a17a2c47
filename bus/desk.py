"""The groups of the bus: binds members, takes in committed events, loads backlog, and hands out what is due.

Joins the pure group state with the log (backlog, marks) and the sessions. How deliveries end is `settling`'s.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import Event
from ..eventstore.log import Append, Appended, EventLog
from ..eventstore.names import is_name, is_pattern, matches
from .authority import task_stream
from .commit import Commit
from .errors import BadRequest, GroupConflict
from .groups import LOADED_MAX, Group
from .histogram import DISPATCH_S, Histogram
from .membership import Hand
from .progress import Progress, restore
from .sessions import Session, Sessions
from .wire import Bind, Delivery, Fence, Held, Recall, group_key, queue_key

CREDIT_MAX = 1024
#: Of fewer attempts, none may be lost on a delivery that only waited beside another.
LOOK_AHEAD_ATTEMPTS_MIN = 3
_MARKS = "deliver/"


def history_mark(key: str, position: int) -> str:
    """Name the mark that keeps a delivery's attempts and the lowest fence that is still valid."""
    return f"{_MARKS}{key}/tried/{position}"


def member_mark(instance: str) -> str:
    """Name the mark of an instance that may hold deliveries, so that a restarted bus waits for its word."""
    return f"member/{instance}"


class Desk:
    """All groups, by key. `clock` is monotonic seconds; fences count from 1 in each incarnation."""

    def __init__(
        self,
        log: EventLog,
        commit: Commit,
        sessions: Sessions,
        *,
        incarnation: int,
        attempts_max: int,
        clock: Callable[[], float],
    ) -> None:
        self._log = log
        self._commit = commit
        self._sessions = sessions
        self._incarnation = incarnation
        #: What dies in a member's hands beside the task that killed it counts as tried: it needs another chance.
        self._may_look_ahead = attempts_max >= LOOK_AHEAD_ATTEMPTS_MIN
        self._clock = clock
        self._counter = 0
        self.groups: dict[str, Group] = {}
        self._of_type: dict[str, list[Group]] = {}
        self._binding: set[str] = set()
        self._busy: dict[str, Group] = {}
        #: Whether there are members that take part in several groups with one credit.
        self._sharing = False
        self.frozen_upto = 0
        #: By group, how long events waited from their append until they were first handed out, in seconds.
        self.waits: dict[str, Histogram] = {}
        self._handing_at_ns = 0

    @property
    def next_fence(self) -> Fence:
        """The fence that the next delivery will carry."""
        return (self._incarnation, self._counter + 1)

    def stir(self, group: Group) -> None:
        """Note that a group may have something to hand out."""
        self._busy[group.key] = group

    # --- groups -----------------------------------------------------------------------------------------------------

    def load(self, *, frozen_upto: int) -> None:
        """Load every group that the log knows; their events up to a position wait for `thaw`."""
        self.frozen_upto = frozen_upto
        found: dict[str, dict[str, str]] = {}
        history: dict[str, dict[int, tuple[int, tuple[int, int]]]] = {}
        for name, text in self._log.marks(_MARKS).items():
            parts = name.split("/")
            key = f"{parts[1]}/{parts[2]}"
            if len(parts) == 5:
                attempts, incarnation, counter = map(int, text.split(" "))
                history.setdefault(key, {})[int(parts[4])] = (attempts, (incarnation, counter))
            else:
                found.setdefault(key, {})[name] = text
        for key, marks in found.items():
            group = self._add_group(key, restore(_MARKS + key, marks))
            group.history = history.get(key, {})
            for position in group.progress.open:
                for event in self._log.read(after=position - 1, until=position, limit=1):
                    group.add(event)
            group.loaded = max(group.loaded, group.progress.upto)
            self.refill(group)

    def _add_group(self, key: str, progress: Progress) -> Group:
        group = Group(key, key[2:], progress, frozen_upto=self.frozen_upto, loaded=progress.after, behind=True)
        self.groups[key] = group
        self._of_type.clear()
        return group

    def thaw(self) -> None:
        """Deliver what waited since the restart."""
        self.frozen_upto = 0
        for key, group in self.groups.items():
            group.thaw()
            self._busy[key] = group

    def refill(self, group: Group) -> None:
        """Load the next events of a group's backlog, as many as there is room for."""
        while group.behind and group.room > 0:
            limit = min(group.room, 256)
            if group.is_queue:
                page = self._log.read(after=group.loaded, to=group.name, limit=limit)
            else:
                page = self._log.read(after=group.loaded, type=group.progress.pattern, limit=limit)
            for event in page:
                group.add(event)
            if len(page) < limit:
                group.behind = False
        self._busy[group.key] = group

    def bind(self, session: Session, wish: Bind, done: Callable[[Any], None]) -> bool:
        """Make a session a member; `done` gets the group's key, or the error, once the binding is durable.

        Returns False where the same group is being bound in the commit under way: ask again after it.
        """
        name, pattern, credit = wish.name, wish.pattern, wish.credit
        after = wish.after if pattern else 0
        if not is_name(name) or (pattern and not is_pattern(pattern)) or not 1 <= credit <= CREDIT_MAX or after < 0:
            done(BadRequest(f"no such binding: {name!r} to {pattern!r} after {after} with credit {credit}"))
            return True
        key = group_key(name) if pattern else queue_key(name)
        if key in self._binding:
            return False
        group = self.groups.get(key)
        marks: dict[str, str | None] = {member_mark(session.instance): "supervised" if session.supervised else "alone"}
        progress = group.progress if group else Progress(_MARKS + key, pattern, after)
        if (progress.pattern, progress.after) != (pattern, after):
            done(GroupConflict(name, f"{progress.pattern} after {progress.after}", f"{pattern} after {after}"))
            return True
        if group is None:
            self._binding.add(key)
            marks.update([progress.baseline_mark([], after)])

        def bound(result: Appended | TwelvefoldError) -> None:
            self._binding.discard(key)
            if isinstance(result, TwelvefoldError):
                done(result)
                return
            member_of = group or self.groups.get(key) or self._add_group(key, progress)
            if self._sessions.by_identity.get(session.identity) is session:
                if wish.shared and session.hand is None:
                    session.hand, self._sharing = Hand(lambda key: self.stir(self.groups[key])), True
                hand = session.hand if wish.shared else None
                ahead = min(wish.ahead, CREDIT_MAX) if self._may_look_ahead else 0
                member_of.join(session.identity, credit, ahead, hand, recall=wish.recall)
                session.groups.add(key)
                session.member = True
            self.refill(member_of)
            done(key)

        self._commit.propose(Append(marks=marks), bound)
        return True

    def unbind(self, session: Session, key: str) -> None:
        """End a membership; what is held stays held."""
        group = self.groups.get(key)
        if group is not None:
            group.leave(session.identity)
        session.groups.discard(key)

    # --- events in, deliveries out ------------------------------------------------------------------------------------

    def feed(self, events: Iterable[Event]) -> None:
        """Take in committed events, in the log's order."""
        of_type = self._of_type
        for event in events:
            if event.to:
                self._feed(self.queue(event.to), event)
            found = of_type.get(event.type)
            if found is None:
                found = self._groups_of(event.type)
            for group in found:
                self._feed(group, event)

    def queue(self, name: str) -> Group:
        """Return a queue, made known durably if it is new; its backlog is read from the log."""
        key = queue_key(name)
        group = self.groups.get(key)
        if group is None:
            group = self._add_group(key, Progress(_MARKS + key, "", 0))
            self._commit.propose(Append(marks=dict([group.progress.baseline_mark([], 0)])), _not_needed)
            self.refill(group)
        return group

    def _groups_of(self, type: str) -> list[Group]:
        if len(self._of_type) > 10_000:
            self._of_type.clear()
        found = [g for g in self.groups.values() if not g.is_queue and matches(g.progress.pattern, type)]
        self._of_type[type] = found
        return found

    def _feed(self, group: Group, event: Event) -> None:
        if group.behind or event.position <= group.loaded:
            return
        if group.room <= 0:
            group.behind = True
            return
        group.add(event)
        self._busy[group.key] = group

    def hand_out(self) -> None:
        """Give what waits to idle members, in the groups where something changed or fell due."""
        self.pause_lapsed()
        if not self._busy:
            return
        busy, self._busy = self._busy, {}
        now, self._handing_at_ns = self._clock(), time.time_ns()
        for group in busy.values():
            if group.behind and group.room > LOADED_MAX // 2:
                self.refill(group)
                self._busy.pop(group.key)
            if not self._sharing:
                while self._hand_out_of(group, now):
                    pass
        if self._sharing:
            self._hand_out_in_order(list(busy.values()), now)
        for group in busy.values():
            if (holding := group.recall()) is not None:
                held = Held(group.key, holding.event.position, holding.fence)
                self._sessions.send(holding.member.session, Recall(held))

    def _hand_out_in_order(self, groups: list[Group], now: float) -> None:
        """Hand out what has waited longest first, of all groups: none of those that a member serves is kept waiting."""
        due = [(first, n) for n, group in enumerate(groups) if (first := group.first_due(now)) is not None]
        heapq.heapify(due)
        while due:
            n = heapq.heappop(due)[1]
            if self._hand_out_of(groups[n], now) and (first := groups[n].first_due(now)) is not None:
                heapq.heappush(due, (first, n))

    def _hand_out_of(self, group: Group, now: float) -> bool:
        """Give the next event of a group to an idle member, if there are both."""
        fence = (self._incarnation, self._counter + 1)
        holding = group.hand_out(now, fence)
        if holding is None:
            return False
        self._counter += 1
        event, is_queue = holding.event, group.is_queue
        if holding.attempt == 1:
            waits = self.waits.get(group.key) or self.waits.setdefault(group.key, Histogram(DISPATCH_S))
            waits.observe(max(0, self._handing_at_ns - event.time) / 1e9)
        session = self._sessions.by_identity[holding.member.session]
        stream = task_stream(event) if is_queue else None
        session.holds[group.key, event.position] = stream
        fresh = stream is not None and self._log.version(stream) == 0
        self._sessions.deliver(session, Delivery(event, group.name, fence, holding.attempt, is_queue, fresh))
        return True

    def due(self) -> float | None:
        """Return when the next delayed delivery falls due (monotonic seconds)."""
        times = [time for group in self.groups.values() if (time := group.next_due()) is not None]
        return min(times, default=None)

    def wake(self, now: float) -> None:
        """Look again at the groups whose delayed deliveries have fallen due."""
        for key, group in self.groups.items():
            if group.delayed and group.delayed[0][0] <= now:
                self._busy[key] = group

    def pause_lapsed(self) -> None:
        """Hand out nothing to sessions that have lapsed; their next hello binds them again."""
        lapsed = self._sessions.lapsed
        while lapsed:
            session = lapsed.pop()
            for key in session.groups:
                self.groups[key].leave(session.identity)


def _not_needed(_: Appended | TwelvefoldError) -> None:
    """Take the result of an append on which nothing depends: without its mark, a restart only forgets an idle queue."""
