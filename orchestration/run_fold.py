"""The order in which the events of a run count, and the fold over it that everybody shares.

Inputs (what clients, agents, the bus and the clock said) count in position order. A decision names in `seen` the
input that it answers, and counts directly after that input, wherever it landed in the log; inputs that lie between
the two come after it. So a run's state is: inputs up to `seen`, then the batch that names it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from ..eventstore.event import Event
from ..eventstore.forgotten import DONE, REQUESTED
from ..eventstore.large_values import Load
from ..eventstore.run import FORKED
from .evolve import INPUT_TYPES, evolve
from .run_state import Fact, Run, fact_of


class RunFold(msgspec.Struct, frozen=True):
    """A run folded up to its last decision, and the inputs after it that no decision has named yet."""

    run: Run
    pending: tuple[Fact, ...] = ()

    @property
    def at_head(self) -> Run:
        """The state with every input known so far."""
        run = self.run
        for fact in self.pending:
            run = evolve(run, fact)
        return run


def follow(fold: RunFold, event: Event, load: Load | None = None) -> RunFold:
    """Fold the next event, in position order; events of the run that orchestration doesn't read only move `last`.

    `load` puts in values that are held as blobs (see `run_state.fact_of`).
    """
    if event.type in (REQUESTED, DONE):
        # What is done with the record of a run is no part of it.
        return fold
    run, pending = fold.run, fold.pending
    if event.stream == f"run.{run.id}" and event.version > run.version:
        run = replace(run, version=event.version)
    if event.seen and event.stream.startswith("run."):
        while pending and pending[0].position <= event.seen:
            run, pending = evolve(run, pending[0]), pending[1:]
        run = replace(run, seen=max(run.seen, event.seen))
        if event.payload is not None or event.type.startswith("run."):
            # Of a task that was forgotten not even the path is known here.
            run = evolve(run, fact_of(event, load))
    elif event.type in INPUT_TYPES:
        pending = (*pending, fact_of(event, load))
    if event.position > run.last:
        run = replace(run, last=event.position, last_ns=max(event.time, run.last_ns))
    return RunFold(run, pending)


def fold_run(run: str, events: Iterable[Event], load: Load | None = None) -> RunFold:
    """Fold the events of one run, in position order, from its first; `load` as for `follow`."""
    fold = RunFold(Run(run))
    for event in events:
        fold = follow(fold, event, load)
    return fold


def since_fork(fold: RunFold) -> RunFold:
    """Return the fold with all that counts before a fork folded: what its parent had not decided yet at the cut.

    The fork's own first decision answers that, too; any other run comes back as it is.
    """
    run, pending = fold.run, fold.pending
    cut = max((n for n, fact in enumerate(pending) if fact.type == FORKED), default=0)
    for fact in pending[:cut]:
        run = evolve(run, fact)
    return RunFold(run, pending[cut:])
