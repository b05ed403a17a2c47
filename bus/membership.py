"""One session's membership in a group, and what its memberships in several share. Pure.

A client that does the work of several queues has one pair of hands: its credit is for all of them together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Hand:
    """What one session holds of all the groups in which it takes part with one credit.

    `places` has its memberships, each with what is called once the hand has become freer; `stir` is told the keys of
    the groups that may have something for it then.
    """

    stir: Callable[[str], None]
    held: int = 0
    retrying: int = 0
    places: dict[Member, Callable[[], None]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Member:
    """One session's membership: how many deliveries it wants at once and how many it has.

    With a `hand`, credit and look-ahead bound what is in that hand, whichever groups it came from.
    """

    session: bytes
    credit: int
    #: How many more may wait in its hands, while it holds nothing that was tried before.
    ahead: int = 0
    held: int = 0
    retrying: int = 0
    #: What waits in its hands is given back when it is asked for.
    recall: bool = False
    queued: bool = False
    queued_ahead: bool = False
    leaving: bool = False
    hand: Hand | None = None

    @property
    def is_idle(self) -> bool:
        """Whether it has credit left."""
        return (self.held if self.hand is None else self.hand.held) < self.credit

    @property
    def has_room_ahead(self) -> bool:
        """Whether another delivery may wait in its hands."""
        load = self if self.hand is None else self.hand
        return load.held < self.credit + self.ahead and not load.retrying

    @property
    def waiting(self) -> int:
        """How many deliveries at most wait in its hands."""
        return max(0, (self.held if self.hand is None else self.hand.held) - self.credit)

    def take(self, *, tried: bool) -> None:
        """Count a delivery that it gets."""
        self.held += 1
        self.retrying += tried
        if self.hand is not None:
            self.hand.held += 1
            self.hand.retrying += tried

    def end(self, *, tried: bool) -> None:
        """Count that a delivery is not being worked on any more; the credit for it is given back separately."""
        self.retrying -= tried
        if self.hand is not None:
            self.hand.retrying -= tried
