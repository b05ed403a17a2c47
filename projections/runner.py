"""Keeping the rows of projections up to date with the log: the checkpointed runner.

Owns one `Following` for each projection and how they move through the log together; each `Following` owns the rows of
one. Rows and checkpoint commit in one transaction. Code or version changed: the rows are folded anew beside those that
are there, and take their place once they have come as far and what is stored hashes to what was folded. A projection
that fails parks before the event, visibly, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..eventstore.event import Event
from ..eventstore.forgotten import DONE as FORGOTTEN
from ..eventstore.reader import LogReader
from .errors import ProjectionFailed
from .following import Following
from .projection import Projection
from .store import Store

#: Events that are folded in one transaction at most.
PAGE = 5_000


class Runner:
    """Follows the log with projections. `parked` is told of each that can't go on, once.

    Raises StoreFailed and what reading the log raises; it may then be thrown away, and another one goes on from what
    was committed. Used by the thread that made it.
    """

    def __init__(
        self,
        store: Store,
        log: LogReader,
        projections: Sequence[Projection[Any]],
        *,
        parked: Callable[[ProjectionFailed], None] = lambda failure: None,
    ) -> None:
        self._store = store
        self._log = log
        self._projections = projections
        self._parked = parked
        self.followed: list[Following] = []
        self._begin()

    def _begin(self) -> None:
        """Take up each projection where it was left; what belongs to another log, or another code, begins anew."""
        known = self._store.checkpoints()
        self.followed = [
            Following(self._store, self._log, projection, [one for one in known if one.name == projection.name])
            for projection in self._projections
        ]

    @property
    def position(self) -> int | None:
        """How far all projections that aren't parked have come; None where there is none."""
        return min((one.position for one in self.followed if one.failure is None), default=None)

    def lag(self, head: int) -> int:
        """Return how many events the slowest projection that isn't parked has yet to fold."""
        position = self.position
        return 0 if position is None else max(0, head - position)

    def advance(self, limit: int = PAGE) -> int:
        """Fold the next page of events into all projections that stand before it; return how many events it had."""
        if not self._store.is_there:
            self._store.reopen()
            self._begin()
        position = self.position
        if position is None:
            return 0
        events = self._log.read(after=position, limit=limit)
        if not events:
            return 0
        self._fold(events, position)
        return len(events)

    def catch_up(self, until: int, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Fold until every projection that isn't parked has come to a position; `progress` hears of both."""
        while (position := self.position) is not None and position < until:
            if not self.advance(min(PAGE, until - position)):
                return
            if progress is not None:
                progress(self.position or until, until)

    def _fold(self, events: Sequence[Event], after: int) -> None:
        last = events[-1]
        moved: list[Following] = []
        for one in self.followed:
            # Positions have no gaps, so that what one has folded already can be counted off.
            if one.failure is None and after <= one.position < last.position:
                one.take(events[one.position - after :])
                moved.append(one)
        with self._store.transaction():
            for one in moved:
                one.commit()
        forgotten = self._log.last_position(FORGOTTEN)
        for one in moved:
            one.committed()
            one.take_place()
            one.start_over(forgotten)
        for one in moved:
            if one.failure is not None:
                self._parked(one.failure)
