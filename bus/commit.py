"""Group commit: gathers the appends of one turn of the bus, commits them together, then tells each proposer.

Nothing is answered, published or delivered before `flush` has returned from the log. A refused append hurts no other;
when the commit itself fails, every proposer gets that error and nothing of the turn is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import Event
from ..eventstore.log import Append, Appended, EventLog
from .histogram import BATCH_EVENTS, COMMIT_S, Histogram

Done: TypeAlias = Callable[["Appended | TwelvefoldError"], None]


class Commit:
    """The appends that wait for the next transaction, in order, each with whom to tell.

    `learn` is called with the types of each transaction's events before it is committed.
    """

    def __init__(self, log: EventLog, learn: Callable[[set[str]], None]) -> None:
        self._log = log
        self._learn = learn
        self._types: set[str] = set()
        self._appends: list[Append] = []
        self._dones: list[Done] = []
        #: The transaction that is being gathered, counted from 1.
        self.turn = 1
        self.commits = 0
        self.events = 0
        self.batch_max = 0
        self.failures = 0
        #: How long transactions took, in seconds, and how many events they held: those that held any.
        self.seconds = Histogram(COMMIT_S)
        self.sizes = Histogram(BATCH_EVENTS)

    def __len__(self) -> int:
        return len(self._appends)

    def propose(self, append: Append, done: Done) -> None:
        """Have an append judged and committed in this turn; `done` gets what became of it."""
        self._types.update([event.type for event in append.events])
        self._appends.append(append)
        self._dones.append(done)

    def flush(self) -> list[Event]:
        """Commit what was proposed, and what `done`s propose in turn; return the new events in the log's order."""
        fresh: list[Event] = []
        while self._appends:
            appends, dones = self._appends, self._dones
            self._appends, self._dones = [], []
            self.turn += 1
            self._learn(self._types)
            self._types.clear()
            begun = time.perf_counter()
            try:
                results = self._log.append_many(appends)
            except TwelvefoldError as error:
                self.failures += 1
                results = [error] * len(appends)
            else:
                self.commits += 1
            took = time.perf_counter() - begun
            count = len(fresh)
            for result in results:
                if isinstance(result, Appended) and result.fresh:
                    fresh.extend(result.events)
            written = len(fresh) - count
            if written:
                self.events += written
                self.batch_max = max(self.batch_max, written)
                self.seconds.observe(took)
                self.sizes.observe(written)
            for done, result in zip(dones, results, strict=True):
                done(result)
        return fresh
