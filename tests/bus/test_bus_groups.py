"""The pure state of a group against a plain model: one holder at a time, every event ends once, crash included."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from twelvefold.bus.groups import Group
from twelvefold.bus.membership import Hand
from twelvefold.bus.progress import Progress, restore
from twelvefold.bus.wire import Fence
from twelvefold.eventstore.event import Event
from twelvefold.eventstore.log import JOINT


def event(position: int) -> Event:
    return Event(position, "s", position, b"", "work.wanted", 1, "work", 0, "", "", b"", "", 0, "null", b"", b"")


class GroupMachine(RuleBasedStateMachine):
    """Adds, hands out, settles, fails, withdraws and crashes at random; only the marks are durable."""

    @initialize(every=st.sampled_from([1, 3, 10_000]))
    def start(self, every: int) -> None:
        self.every = every
        self.settles = 0
        self.turn = 1
        self.slots: dict[str, str] = {}
        self.marks: dict[str, str] = {}
        self.log: list[Event] = []
        self.done: set[int] = set()
        self.holders: dict[int, tuple[bytes, Fence]] = {}
        self.counter = 0
        self.incarnation = 1
        progress = Progress("q/work", "", 0)
        self.marks.update([progress.baseline_mark([], 0)])
        self.group = Group("q/work", "work", progress)
        self.now = 0.0

    def _settle(self, position: int, fence: Fence) -> None:
        progress = self.group.progress
        self.settles += 1
        if progress.is_long or self.settles % self.every == 0:
            self.marks.update([progress.baseline_mark(self.group.unsettled(), self.group.loaded)])
        slot, text = progress.slot_text(self.turn, position, fence)
        self.slots[slot] = self.slots[slot] + JOINT + text if slot in self.slots else text
        self.marks.update(self.slots)
        progress.settled(position, fence)
        self.done.add(position)

    @rule()
    def commit(self) -> None:
        """What is settled from here on is in another transaction."""
        self.turn += 1
        self.slots.clear()

    @rule(gap=st.integers(1, 3))
    def append(self, gap: int) -> None:
        found = event((self.log[-1].position if self.log else 0) + gap)
        self.log.append(found)
        self.group.add(found)

    @rule(member=st.sampled_from([b"a", b"b", b"c"]), credit=st.integers(1, 3))
    def join(self, member: bytes, credit: int) -> None:
        self.group.join(member, credit)

    @rule()
    def hand_out(self) -> None:
        while True:
            self.counter += 1
            fence = (self.incarnation, self.counter)
            holding = self.group.hand_out(self.now, fence)
            if holding is None:
                return
            position = holding.event.position
            assert position not in self.holders, "two live holders"
            assert position not in self.done, "handed out after its end"
            self.holders[position] = (holding.member.session, fence)
            assert 1 <= holding.member.held <= 3, "beyond any credit"

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if self.holders:
            position = data.draw(st.sampled_from(sorted(self.holders)))
            session, fence = self.holders.pop(position)
            assert self.group.holding(position, fence, session) is not None
            assert self.group.holding(position, (fence[0], fence[1] + 1), session) is None
            assert self.group.holding(position, fence, b"stranger") is None
            self._settle(position, fence)
            self.group.settle(position)

    @rule(data=st.data(), delay=st.none() | st.floats(0.1, 5.0))
    def fail(self, data: st.DataObject, delay: float | None) -> None:
        if self.holders:
            position = data.draw(st.sampled_from(sorted(self.holders)))
            del self.holders[position]
            self.group.release(position, attempts=1, due=None if delay is None else self.now + delay)

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        alive = sorted({found.position for found in self.log} - self.done)
        if alive:
            position = data.draw(st.sampled_from(alive))
            self._settle(position, (0, 0))
            holder = self.holders.pop(position, None)
            holding = self.group.withdraw(position)
            assert (holding is None) == (holder is None)
            if holder is not None:
                self.group.freed(holder[0])

    @rule(seconds=st.floats(0.1, 10.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(answering=st.sets(st.sampled_from([b"a", b"b", b"c"])))
    def crash(self, answering: set[bytes]) -> None:
        """The bus dies and starts again from marks and log; some members name what they hold, others are gone."""
        head = self.log[-1].position if self.log else 0
        progress = restore("q/work", self.marks)
        self.incarnation += 1
        self.commit()
        self.group = Group("q/work", "work", progress, frozen_upto=head, loaded=0)
        for found in self.log:
            if found.position in progress.open or found.position > progress.upto:
                self.group.add(found)
        for position, (session, fence) in list(self.holders.items()):
            if session in answering:
                assert self.group.adopt(position, fence, session) is not None
                assert self.group.holding(position, fence, session) is not None
            else:
                del self.holders[position]
        for session in answering:
            self.group.join(session, 2)
        assert self.group.hand_out(self.now, (self.incarnation, 0)) is None, "older events must wait"
        self.group.thaw()

    @invariant()
    def everything_is_somewhere(self) -> None:
        if not hasattr(self, "group"):
            return
        alive = {found.position for found in self.log} - self.done
        assert set(self.group.unsettled()) == alive
        assert set(self.group.held) == set(self.holders)


TestGroup = GroupMachine.TestCase
TestGroup.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_members_get_work_in_turn_and_within_their_credit() -> None:
    """Waiting events go round the idle members, each up to its credit."""
    group = Group("q/work", "work", Progress("q/work", "", 0))
    group.join(b"a", 1)
    group.join(b"b", 2)
    for position in range(1, 6):
        group.add(event(position))
    got = [(found.member.session, found.event.position) for n in range(5) if (found := group.hand_out(0.0, (1, n)))]
    assert got == [(b"a", 1), (b"b", 2), (b"b", 3)]


def test_a_claim_with_a_lower_fence_loses() -> None:
    """After a restart the holder with the later fence keeps the delivery, whoever says hello first."""
    group = Group("q/work", "work", Progress("q/work", "", 0), frozen_upto=10)
    group.add(event(1))
    assert group.adopt(1, (1, 5), b"old") is not None
    assert group.adopt(1, (1, 9), b"new") is not None
    assert group.adopt(1, (1, 5), b"old") is None
    assert group.held[1].member.session == b"new"


def test_a_fence_that_was_given_up_durably_is_refused() -> None:
    """A claim from before the delivery was taken away is refused even after the bus has forgotten who took it."""
    group = Group("q/work", "work", Progress("q/work", "", 0), frozen_upto=10)
    group.remember(1, 2, (1, 7))
    group.add(event(1))
    assert group.adopt(1, (1, 6), b"old") is None
    holding = group.adopt(1, (1, 7), b"new")
    assert holding is not None
    assert holding.attempt == 3


def shared_groups() -> tuple[list[str], Group, Group, Hand]:
    """Return two queues, what has been stirred, and a hand that works for both with credit for one delivery."""
    stirred: list[str] = []
    first, second = (Group(f"q/{name}", name, Progress(f"q/{name}", "", 0)) for name in ("one", "two"))
    return stirred, first, second, Hand(stirred.append)


def test_a_hand_takes_one_of_all_its_groups_and_the_others_hear_when_it_is_free() -> None:
    """What a member holds of one group takes the credit that it has in the others, until it is settled or released."""
    stirred, first, second, hand = shared_groups()
    for group in (first, second):
        group.join(b"a", 1, hand=hand)
    for position in (1, 2):
        first.add(event(position))
    second.add(event(3))
    assert first.hand_out(0.0, (1, 1)) is not None
    assert (first.hand_out(0.0, (1, 2)), second.hand_out(0.0, (1, 2)), stirred) == (None, None, [])
    first.settle(1)
    assert sorted(stirred) == ["q/one", "q/two"]
    assert second.hand_out(0.0, (1, 3)) is not None
    assert first.hand_out(0.0, (1, 4)) is None
    second.release(3, attempts=1)
    assert first.hand_out(0.0, (1, 5)) is not None
    assert second.hand_out(0.0, (1, 6)) is None
    assert first.withdraw(2) is not None
    assert second.hand_out(0.0, (1, 7)) is None, "its handler may still be at work"
    first.freed(b"a")
    assert second.hand_out(0.0, (1, 8)) is not None


def test_nothing_waits_in_a_hand_beside_what_was_tried_before() -> None:
    """A member that looks ahead gets nothing more of any group while it holds what may have killed another."""
    _, first, second, hand = shared_groups()
    for group in (first, second):
        group.join(b"a", 1, 4, hand=hand)
        group.add(event(1))
        group.add(event(2))
    assert first.hand_out(0.0, (1, 1)) is not None
    assert second.hand_out(0.0, (1, 2)) is not None
    assert hand.held == 2
    first.release(1, attempts=1)
    second.release(1, attempts=0)
    assert first.hand_out(0.0, (1, 3)) is not None
    assert (first.hand_out(0.0, (1, 4)), second.hand_out(0.0, (1, 5))) == (None, None)


def test_what_is_held_when_a_hand_comes_to_share_it_counts_and_who_is_gone_does_not() -> None:
    """After a restart members name what they hold before they bind again; one that has ended gets nothing."""
    stirred, first, second, hand = shared_groups()
    first.add(event(1))
    assert first.adopt(1, (0, 5), b"a") is not None
    for group in (first, second):
        group.join(b"a", 1, hand=hand)
    second.add(event(2))
    assert second.hand_out(0.0, (1, 1)) is None
    second.expel(b"a")
    first.expel(b"a")
    first.release(1, attempts=1)
    assert (hand.held, hand.retrying, stirred) == (0, 0, [])
    assert (first.hand_out(0.0, (1, 2)), second.hand_out(0.0, (1, 3))) == (None, None)


class SharingMachine(RuleBasedStateMachine):
    """Two members that share three queues, and one that serves a single one: by age, and never beyond their credit."""

    QUEUES = ("one", "two", "three")

    @initialize()
    def start(self) -> None:
        self.stirred: set[str] = set()
        self.groups = {f"q/{name}": Group(f"q/{name}", name, Progress(f"q/{name}", "", 0)) for name in self.QUEUES}
        self.hands = {session: Hand(self.stirred.add) for session in (b"a", b"b")}
        for session, hand in self.hands.items():
            for group in self.groups.values():
                group.join(session, 1, hand=hand)
        self.groups["q/one"].join(b"c", 1)
        self.head = self.counter = 0
        self.held: dict[int, tuple[str, bytes]] = {}
        self.waiting: dict[int, str] = {}

    @rule(key=st.sampled_from(["q/one", "q/two", "q/three"]))
    def append(self, key: str) -> None:
        self.head += 1
        self.waiting[self.head] = key
        self.groups[key].add(event(self.head))
        self.stirred.add(key)
        self.hand_out()

    def hand_out(self) -> None:
        """Look only at what was stirred, as the desk does, at what is oldest first."""
        while self.stirred:
            due = {key: first for key in self.stirred if (first := self.groups[key].first_due(0.0)) is not None}
            key = min(due, key=lambda one: due[one], default="")
            self.stirred.intersection_update(due)
            if not key:
                return
            self.counter += 1
            holding = self.groups[key].hand_out(0.0, (1, self.counter))
            if holding is None:
                self.stirred.discard(key)
                continue
            position = holding.event.position
            assert self.waiting.pop(position) == key
            self.held[position] = (key, holding.member.session)

    @rule(data=st.data(), how=st.sampled_from(["settle", "release", "withdraw", "pause"]))
    def end(self, data: st.DataObject, how: str) -> None:
        if not self.held:
            return
        position = data.draw(st.sampled_from(sorted(self.held)))
        key, session = self.held.pop(position)
        group = self.groups[key]
        if how == "settle":
            group.settle(position)
        elif how == "withdraw":
            group.withdraw(position)
            group.freed(session)
        else:
            self.waiting[position] = key
            if how == "pause" and session in self.hands:
                for other in self.groups.values():
                    other.leave(session)
            group.release(position, attempts=0)
            if how == "pause" and session in self.hands:
                for other in self.groups.values():
                    other.join(session, 1, hand=self.hands[session])
                self.stirred.update(self.groups)
        self.stirred.add(key)
        self.hand_out()

    @invariant()
    def all_that_can_work_do_and_nobody_does_two(self) -> None:
        if not hasattr(self, "held"):
            return
        busy = sorted(session for _, session in self.held.values())
        assert len(busy) == len(set(busy)), "two at a time"
        for session, hand in self.hands.items():
            assert hand.held == busy.count(session)
            assert busy.count(session) or not self.waiting, "idle beside work"
        if "q/one" in self.waiting.values():
            assert b"c" in busy


TestSharing = SharingMachine.TestCase
TestSharing.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def handed_out(group: Group) -> list[tuple[int, bytes]]:
    """Everything that is handed out now, and to whom."""
    found = []
    while (holding := group.hand_out(0.0, (1, len(found)))) is not None:
        found.append((holding.event.position, holding.member.session))
    return found


def test_members_look_ahead_only_where_nobody_is_idle() -> None:
    """Who has nothing to do comes first; what is left waits in turn with those that look ahead, up to their bound."""
    group = Group("q/work", "work", Progress("q/work", "", 0))
    group.join(b"a", 1, ahead=2)
    group.join(b"b", 1)
    for position in range(1, 7):
        group.add(event(position))
    assert handed_out(group) == [(1, b"a"), (2, b"b"), (3, b"a"), (4, b"a")]
    group.settle(2)
    assert handed_out(group) == [(5, b"b")]
    group.settle(1)
    assert handed_out(group) == [(6, b"a")]


def test_what_was_tried_before_is_never_handed_out_ahead() -> None:
    """It may have killed its holder: it waits for an idle member, and beside it nothing waits in anybody's hands."""
    group = Group("q/work", "work", Progress("q/work", "", 0))
    group.join(b"a", 1, ahead=3)
    group.add(event(1))
    assert handed_out(group) == [(1, b"a")]
    group.add(event(2))
    assert handed_out(group) == [(2, b"a")]
    group.release(2, attempts=1)
    group.add(event(3))
    assert handed_out(group) == [], "what was tried waits for an idle member, and holds up what would go ahead"
    group.settle(1)
    assert handed_out(group) == [(2, b"a")], "alone, although there is room to look ahead"
    group.settle(2)
    group.add(event(4))
    assert handed_out(group) == [(3, b"a"), (4, b"a")]


def test_what_is_given_back_unbegun_is_not_counted_as_tried() -> None:
    """It goes to the next idle member as if nobody had had it."""
    group = Group("q/work", "work", Progress("q/work", "", 0))
    group.join(b"a", 1, ahead=1)
    for position in (1, 2):
        group.add(event(position))
    assert handed_out(group) == [(1, b"a"), (2, b"a")]
    group.join(b"a", 1)
    group.release(2, attempts=0)
    group.join(b"b", 1)
    assert handed_out(group) == [(2, b"b")]
    assert group.held[2].attempt == 1


def test_what_waits_behind_other_work_is_asked_back_for_an_idle_member() -> None:
    """Once, the last first, and only from who lets itself be asked; what is being worked on stays where it is."""
    group = Group("q/work", "work", Progress("q/work", "", 0))
    group.join(b"a", 1, ahead=1, recall=True)
    group.join(b"b", 1, ahead=1, recall=True)
    for position in range(1, 5):
        group.add(event(position))
    assert handed_out(group) == [(1, b"a"), (2, b"b"), (3, b"a"), (4, b"b")]
    assert group.in_hands == 2
    assert group.recall() is None, "nobody is idle"
    group.settle(1)
    assert group.in_hands == 1, "a works on its second now"
    group.join(b"c", 1)
    asked = group.recall()
    assert asked is not None and asked.event.position == 4
    assert group.recall() is None, "asked once"
    group.release(4, attempts=0)
    assert handed_out(group) == [(4, b"c")]
    assert group.in_hands == 0


def test_members_that_are_quick_are_not_asked_to_give_back() -> None:
    """What waits in their hands is done before the answer would come."""
    group = Group("q/work", "work", Progress("q/work", "", 0))
    group.join(b"a", 1, ahead=15)
    for position in (1, 2):
        group.add(event(position))
    assert handed_out(group) == [(1, b"a"), (2, b"a")]
    group.join(b"b", 1)
    assert group.recall() is None


def test_what_a_member_kept_through_a_restart_can_be_asked_back() -> None:
    """The bus does not know which of the two it had begun with: it asks for the one that it names last."""
    group = Group("q/work", "work", Progress("q/work", "", 0), frozen_upto=2)
    for position in (1, 2):
        group.add(event(position))
    for position in (1, 2):
        assert group.adopt(position, (0, position), b"a") is not None
    group.join(b"a", 1, ahead=1, recall=True)
    group.join(b"b", 1)
    group.thaw()
    asked = group.recall()
    assert asked is not None and asked.event.position == 2


def test_what_is_asked_back_is_what_was_not_begun() -> None:
    """A member that has gone on to its second task is asked for the third, which waits, and not for that one."""
    group = Group("q/work", "work", Progress("q/work", "", 0))
    group.join(b"a", 1, ahead=1, recall=True)
    group.join(b"b", 1, ahead=1, recall=True)
    for position in range(1, 7):
        group.add(event(position))
    assert handed_out(group) == [(1, b"a"), (2, b"b"), (3, b"a"), (4, b"b")]
    group.settle(1)
    group.settle(2)
    assert handed_out(group) == [(5, b"a"), (6, b"b")]
    for session in (b"c", b"d", b"e"):
        group.join(session, 1)
    asked = [group.recall(), group.recall(), group.recall()]
    assert [one.event.position if one else None for one in asked] == [6, 5, None]
