"""What each event of a run does to its state: `evolve`.

Owns the one fold of orchestration; what an input means stands in `evolve_inputs`, what a decision means in
`evolve_decisions`. `run_fold` brings events into the order in which they count; deciders only read the state. The
orchestrator, `state --at`, replay and results share this fold, so it reads what every version of a decider has
written. Pure.
"""

from __future__ import annotations

from msgspec.structs import replace

from .evolve_decisions import DECIDED
from .evolve_inputs import INPUTS
from .run_state import Fact, Run

#: The types of events that a decider is called for; all else passes it by.
INPUT_TYPES = frozenset(INPUTS)


def evolve(run: Run, fact: Fact) -> Run:
    """Return the state after a fact; facts that mean nothing here only move `last` on."""
    if fact.position > run.last:
        run = replace(run, last=fact.position, last_ns=max(fact.time, run.last_ns))
    if fact.size:
        run = replace(run, held=run.held + fact.size)
    step = (DECIDED if fact.decided else INPUTS).get(fact.type)
    return run if step is None else step(run, fact)
