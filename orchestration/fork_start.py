"""The first decision of a fork: what runs here now, and the timers that were set at the cut, with what was left.

Leaves requesting and asking again to the deciders of the plan, which see work that isn't requested and questions that
aren't asked. Keeps: a bound of time counts what was spent before the cut, and not what passed between the cut and the
fork. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from .run_state import Timer
from .turn import NS, Turn


def start_fork(turn: Turn, versions: Mapping[str, Any]) -> None:
    """Decide what is decided once for a fork."""
    run = turn.run
    turn.decide("run.started", versions=versions)
    for kind, bound in {"run": run.timeout_s, "budget": run.budget.wall_s}.items():
        if bound is not None:
            turn.carry_timer(Timer(kind, kind, run.requested_ns - run.carried_ns + int(bound * NS)))
    for timer in sorted(run.left.values(), key=lambda timer: (timer.due, timer.name)):
        turn.carry_timer(replace(timer, due=run.requested_ns + timer.due))
    if run.paused:
        turn.decide("run.paused")
