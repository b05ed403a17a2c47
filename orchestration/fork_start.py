"""The first decision of a fork: what runs here now, and the timers that were set at the cut, with what was left.

Leaves requesting and asking again to the deciders of the plan, which see work that isn't requested and questions that
aren't asked. Keeps: a bound of time counts what was spent before the cut, and not what passed between the cut and the
fork. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .run_state import RUN_TIMERS, Run, Timer
from .turn import NS, Turn

#: Timers of an attempt that is requested anew, or of a request that the fork knows nothing of: they end with those.
_LEFT = frozenset({"timeout", "release"})


def start_fork(turn: Turn, before: Run, versions: Mapping[str, Any]) -> None:
    """Decide what is decided once for a fork; `before` is the state at the cut."""
    run = turn.run
    turn.decide("run.started", versions=versions)
    passed = run.requested_ns - run.cut_ns
    for kind, bound in {"run": run.timeout_s, "budget": run.budget.wall_s}.items():
        if bound is not None:
            turn.carry_timer(Timer(kind, kind, run.requested_ns - run.carried_ns + int(bound * NS)))
    for timer in sorted(before.timers.values(), key=lambda timer: (timer.due, timer.name)):
        if timer.kind not in _LEFT and timer.kind not in RUN_TIMERS:
            turn.carry_timer(Timer(timer.name, timer.kind, timer.due + passed, timer.path, timer.attempt))
    if run.paused:
        turn.decide("run.paused")
