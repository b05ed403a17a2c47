"""What is checked before a run is asked to be taken back: that there is such a position in it, and nothing under way.

Whoever orders a rollback asks here, with or without a preview, so that all are refused alike; a request that reaches
the log unchecked is taken to the nearest position in the run. Reads a few events, however long the run is.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import Event
from ..eventstore.run import FORKED, Readable
from .errors import RunNotFound
from .run_state import ENDS, fact_of

#: Asks for one page of the log by the arguments of `read`, and is handed its events.
Steps = Generator[dict[str, Any], list[Event], None]


@dataclass(eq=False)
class RollbackOutside(TwelvefoldError):
    """A run can't be taken back to a position at which there is nothing of it.

    It is taken back to how it was after the event at a position of the log: from the run's first event on, up to the
    log's last. A fork's first event is the one that began it: the past that it shares is its parent's, which can be
    rolled back, or forked there. `twelvefold log --run RUN` shows the positions.
    """

    code = "E530"
    exit_code = 2
    run: str
    to: int
    first: int
    head: int
    parent: str = ""

    def message(self) -> str:
        """Say where the run lies, or the log ends."""
        if self.to > self.head:
            return f"position {self.to} is not in the log yet, whose last one is {self.head}"
        if self.parent:
            before = f"what was before, {self.to} too, was done by run {self.parent}"
            return f"run {self.run} is a fork that begins at position {self.first}; {before}"
        return f"run {self.run} begins at position {self.first}, after {self.to}"

    def help(self) -> str:
        """Show the positions of the run, or name what can be done with what a fork shares."""
        if self.parent and self.to <= self.head:
            return f"from there: twelvefold fork {self.parent} --at {self.to}; or leave --to out, for its beginning"
        return f"see what there is: twelvefold log --run {self.run} --oneline"


@dataclass(eq=False)
class RollbackUnderWay(TwelvefoldError):
    """A run is being taken back to another position already; one rollback is brought to its end before the next."""

    code = "E531"
    exit_code = 4
    run: str
    to: int
    under_way: int

    def message(self) -> str:
        """Name both positions."""
        return f"run {self.run} is being taken back to position {self.under_way}, so it can't be to {self.to} now"

    def help(self) -> str:
        """Follow the one that goes on, or answer what it asks."""
        return f"follow it: twelvefold tree {self.run} -f; answer what it asks: twelvefold inbox; then ask again"


def check_request(log: Readable, run: str, to: int | None) -> None:
    """Raise RunNotFound, RollbackOutside or RollbackUnderWay where a run can't be taken to `to`, None its start."""
    steps = checking_steps(run, to)
    try:
        asked = next(steps)
        while True:
            asked = steps.send(list(log.read(**asked)))
    except StopIteration:
        return


def checking_steps(run: str, to: int | None) -> Steps:
    """Check as `check_request` does, for whoever reads the log in its own way."""
    own = f"run.{run}"
    head = max([event.position for event in (yield {"limit": 1, "reverse": True})], default=0)
    found = yield {"stream": own, "limit": 1}
    if not found:
        raise RunNotFound(run)
    first = found[0].position
    wanted = first if to is None else to
    if not first <= wanted <= head:
        parent = str(fact_of(found[0]).data.get("parent")) if found[0].type == FORKED else ""
        shared = (yield {"run": parent, "until": wanted, "limit": 1}) if parent else ()
        raise RollbackOutside(run, wanted, first, head, parent if shared else "")
    (last,) = yield {"stream": own, "limit": 1, "reverse": True}
    if last.type.removeprefix("run.") not in ENDS:
        for event in (yield {"stream": own, "type": "run.rolling_back", "limit": 1, "reverse": True}):
            under_way = fact_of(event).data.get("to")
            if isinstance(under_way, int) and under_way != wanted:
                raise RollbackUnderWay(run, wanted, under_way)
