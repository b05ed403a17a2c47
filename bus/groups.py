"""The state of one group (or queue): which events wait, who holds which, and what comes next. Pure.

Time is an argument (monotonic seconds), durability is the caller's: it commits what `progress` says and then calls
`settle`. Invariant: a loaded, unsettled position waits in exactly one of `waiting`, `again`, `older` and `delayed`, or
is in `held`.

What was handed out before may have killed its holder. It goes to a member with credit of its own for it only, never
ahead of what that is working on, and while it waits nobody gets anything ahead: so those beside it are not counted as
having been tried again and again.

The memberships of a session that share a `Hand` go by one credit, as one pair of hands does the work of all of them.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import partial

from ..eventstore.event import Event
from .membership import Hand, Member
from .progress import Progress
from .wire import Fence, queue_key

#: How many unsettled events a group keeps in memory; the rest waits in the log.
LOADED_MAX = 4096


@dataclass(slots=True)
class Holding:
    """One delivery in somebody's hands."""

    event: Event
    member: Member
    fence: Fence
    attempt: int
    #: A settle for it is in the commit that is being gathered.
    settling: bool = False
    #: Its holder was asked to give it back.
    asked: bool = False


@dataclass(slots=True)
class Waiting:
    """One event that waits: how often it was delivered, and the lowest fence that a claim to it may still have."""

    event: Event
    attempts: int = 0


@dataclass
class Group:
    """One group's deliveries. `frozen_upto`: positions up to there wait for what members say after a restart."""

    key: str
    name: str
    progress: Progress
    frozen_upto: int = 0
    #: Every matching event up to here is loaded or settled.
    loaded: int = 0
    #: The log may hold matching events beyond `loaded`.
    behind: bool = False
    waiting: list[int] = field(default_factory=list)
    #: Those that wait and were handed out before.
    again: list[int] = field(default_factory=list)
    older: list[int] = field(default_factory=list)
    delayed: list[tuple[float, int]] = field(default_factory=list)
    pending: dict[int, Waiting] = field(default_factory=dict)
    held: dict[int, Holding] = field(default_factory=dict)
    members: dict[bytes, Member] = field(default_factory=dict)
    #: From before a restart: position -> (attempts, lowest fence still valid).
    history: dict[int, tuple[int, Fence]] = field(default_factory=dict)
    #: Members with credit left, and members with room to look ahead.
    _idle: deque[Member] = field(default_factory=deque)
    _looking: deque[Member] = field(default_factory=deque)
    #: What was handed out, or kept through a restart, beside something else: it may still wait in its holder's hands.
    _beside: dict[int, Holding] = field(default_factory=dict)

    @property
    def is_queue(self) -> bool:
        """Tell a queue (events with `to`) from a group bound to a pattern."""
        return self.key == queue_key(self.name)

    @property
    def room(self) -> int:
        """How many more events may be loaded."""
        return LOADED_MAX - len(self.pending) - len(self.held)

    def add(self, event: Event) -> None:
        """Take in the next matching event, in the order of positions."""
        position = event.position
        self.loaded = max(self.loaded, position)
        if self.progress.skip and position in self.progress.skip:
            self.progress.skip.discard(position)
            return
        self._wait(Waiting(event, self.history.get(position, (0, (0, 0)))[0]))

    def _wait(self, entry: Waiting) -> None:
        position = entry.event.position
        self.pending[position] = entry
        heapq.heappush(self.older if position <= self.frozen_upto else self._queue_of(entry), position)

    def _queue_of(self, entry: Waiting) -> list[int]:
        return self.again if entry.attempts else self.waiting

    def thaw(self) -> None:
        """Let the positions from before a restart be delivered again: everybody has answered or is gone."""
        self.frozen_upto = 0
        for position in self.older:
            if position in self.pending:
                heapq.heappush(self._queue_of(self.pending[position]), position)
        self.older.clear()

    # --- members --------------------------------------------------------------------------------------------------

    def join(
        self, session: bytes, credit: int, ahead: int = 0, hand: Hand | None = None, *, recall: bool = False
    ) -> Member:
        """Make a session a member, or change its credit and how far it looks ahead; from now on it shares a hand."""
        member = self.members.get(session)
        if member is None:
            member = self.members[session] = Member(session, credit)
        if hand is not None and member.hand is None:
            member.hand = hand
            hand.held += member.held
            hand.retrying += member.retrying
            hand.places[member] = partial(self._hand_freed, member, hand)
        member.credit, member.ahead, member.recall = credit, ahead, recall
        member.leaving = False
        self._offer(member)
        return member

    def leave(self, session: bytes) -> None:
        """Hand out nothing more to a session; what it holds stays held."""
        if (member := self.members.get(session)) is not None:
            member.leaving = True
            if member.held == 0:
                self._remove(member)

    def expel(self, session: bytes) -> None:
        """Forget a member that has ended; what it still holds is given back separately."""
        if (member := self.members.get(session)) is not None:
            member.leaving = True
            self._remove(member)

    def _remove(self, member: Member) -> None:
        del self.members[member.session]
        if member.hand is not None:
            member.hand.places.pop(member, None)

    def _offer(self, member: Member) -> None:
        if member.leaving:
            return
        if not member.queued and member.is_idle:
            member.queued = True
            self._idle.append(member)
        if member.ahead and not member.queued_ahead:
            member.queued_ahead = True
            self._looking.append(member)

    def _idle_member(self) -> Member | None:
        idle = self._idle
        while idle:
            member = idle[0]
            if not member.leaving and member.is_idle and self.members.get(member.session) is member:
                return member
            member.queued = False
            idle.popleft()
        return None

    def _looking_member(self) -> Member | None:
        looking = self._looking
        while looking:
            member = looking[0]
            if not member.leaving and member.has_room_ahead and self.members.get(member.session) is member:
                return member
            member.queued_ahead = False
            looking.popleft()
        return None

    # --- deliveries -----------------------------------------------------------------------------------------------

    def first_due(self, now: float) -> int | None:
        """Return the position of what would be handed out next; None where nothing waits that is due."""
        self._wake_due(now)
        new, again = self._first(self.waiting), self._first(self.again)
        return again if new is None else new if again is None else min(new, again)

    def hand_out(self, now: float, fence: Fence) -> Holding | None:
        """Give the next event that is due to an idle member; None where one of the two is missing."""
        if self.delayed:
            self._wake_due(now)
        new, again = self._first(self.waiting), self._first(self.again)
        if new is None and again is None:
            return None
        members, member = self._idle, self._idle_member()
        if member is not None:
            queue = self.waiting if again is None or (new is not None and new < again) else self.again
        else:
            members, queue = self._looking, self.waiting
            member = self._looking_member() if again is None else None
        if member is None:
            return None
        entry = self.pending.pop(heapq.heappop(queue))
        member.take(tried=entry.attempts > 0)
        members.rotate(-1)
        holding = Holding(entry.event, member, fence, entry.attempts + 1)
        self.held[entry.event.position] = holding
        if members is self._looking:
            self._beside[entry.event.position] = holding
        return holding

    def recall(self) -> Holding | None:
        """Return what is to be asked back, once, as it waits in somebody's hands while another member is idle."""
        if not self._beside or self._first(self.waiting) is not None or self._idle_member() is None:
            return None
        # Deliveries are begun in the order in which they were handed out: of a member's, the last ones wait.
        later: Counter[bytes] = Counter()
        for holding in reversed(self._beside.values()):
            member = holding.member
            waits = later[member.session] < member.waiting
            later[member.session] += 1
            if waits and member.recall and not holding.asked and not holding.settling:
                holding.asked = True
                return holding
        return None

    @property
    def in_hands(self) -> int:
        """How many deliveries wait in the hands of members that work on another."""
        beside = Counter(holding.member.session for holding in self._beside.values())
        members = self.members
        return sum(min(count, members[session].waiting) for session, count in beside.items() if session in members)

    def _wake_due(self, now: float) -> None:
        while self.delayed and self.delayed[0][0] <= now:
            position = heapq.heappop(self.delayed)[1]
            if position in self.pending:
                heapq.heappush(self._queue_of(self.pending[position]), position)

    def _first(self, queue: list[int]) -> int | None:
        """Return the first position of a queue that still waits there."""
        while queue:
            entry = self.pending.get(queue[0])
            if entry is not None and self._queue_of(entry) is queue:
                return queue[0]
            heapq.heappop(queue)
        return None

    def holding(self, position: int, fence: Fence, session: bytes) -> Holding | None:
        """Return the delivery if exactly this session holds it under exactly this fence."""
        found = self.held.get(position)
        if found is None or found.fence != fence or found.member.session != session:
            return None
        return found

    def adopt(self, position: int, fence: Fence, session: bytes) -> Holding | None:
        """Let a member keep, after a restart, what it says it holds; None where that is not (or no longer) so."""
        rival = self.held.get(position)
        attempts, fence_min = self.history.get(position, (0, (0, 0)))
        if fence < fence_min or (rival is not None and rival.fence >= fence):
            return None
        if rival is not None:
            self.release(position, attempts=rival.attempt - 1)
        entry = self.pending.pop(position, None)
        if entry is None:
            return None
        member = self.occupy(session, tried=attempts > 0)
        holding = self.held[position] = Holding(entry.event, member, fence, attempts + 1)
        if member.held > 1:
            self._beside[position] = holding
        return holding

    def settle(self, position: int) -> None:
        """Forget a delivery (held or waiting) whose settling has been committed."""
        holding = self._taken(position)
        if holding is not None:
            holding.member.end(tried=holding.attempt > 1)
            self._one_less(holding.member)
        self.pending.pop(position, None)
        self.history.pop(position, None)

    def withdraw(self, position: int) -> Holding | None:
        """Forget a delivery whose withdrawal has been committed; its holder's credit stays used until `freed`."""
        self.pending.pop(position, None)
        self.history.pop(position, None)
        holding = self._taken(position)
        if holding is not None:
            holding.member.end(tried=holding.attempt > 1)
        return holding

    def _taken(self, position: int) -> Holding | None:
        """Take a delivery out of its holder's hands, if somebody holds it."""
        self._beside.pop(position, None)
        return self.held.pop(position, None)

    def occupy(self, session: bytes, *, tried: bool = False) -> Member:
        """Use a member's credit for what it had in its hands before a restart; of withdrawn work until `freed`."""
        member = self.members.get(session) or self.join(session, 0)
        member.take(tried=tried)
        return member

    def freed(self, session: bytes) -> None:
        """Give a member its credit back for a withdrawn delivery whose handler has returned."""
        if (member := self.members.get(session)) is not None:
            self._one_less(member)

    def release(self, position: int, *, attempts: int, due: float | None = None) -> None:
        """Take a delivery from its holder; it waits again, until `due` where that is given."""
        holding = self.held.pop(position)
        self._beside.pop(position, None)
        holding.member.end(tried=holding.attempt > 1)
        self._one_less(holding.member)
        entry = Waiting(holding.event, attempts)
        if due is None:
            self._wait(entry)
        else:
            self.pending[position] = entry
            heapq.heappush(self.delayed, (due, position))

    def _one_less(self, member: Member) -> None:
        member.held -= 1
        if member.leaving and member.held == 0 and self.members.get(member.session) is member:
            self._remove(member)
        self._offer(member)
        if member.hand is not None:
            member.hand.held -= 1
            for freed in member.hand.places.values():
                freed()

    def _hand_freed(self, member: Member, hand: Hand) -> None:
        self._offer(member)
        hand.stir(self.key)

    def remember(self, position: int, attempts: int, fence_min: Fence) -> None:
        """Note what is durable of a delivery's past: its attempts, and that older fences are void."""
        self.history[position] = (attempts, fence_min)

    def next_due(self) -> float | None:
        """Return when the next delayed delivery falls due."""
        return self.delayed[0][0] if self.delayed else None

    def unsettled(self) -> list[int]:
        """List every loaded position that is not settled."""
        return [*self.pending, *self.held]

    def oldest(self) -> Event | None:
        """Return the oldest event that waits."""
        return self.pending[min(self.pending)].event if self.pending else None
