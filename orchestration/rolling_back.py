"""Rolling a run back: to how it was after an event, as far as that can be had. Pure.

What is open is taken back, what was done since is compensated, the last first, files and branches are laid out as they
were recorded, and the run ends as `rolled_back`; from there nothing follows. What was done by then stays; so does what
has no compensation, and both are told. Unlike a cancelled run's, a saga's pivot holds nothing back: whoever orders this
was shown what it means. Files are restored by who hears `run.restoring` (see `restoring`); what came of it is the input
`run.restored`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .place import At
from .plan import PatternFields
from .run_state import ROOT_UNDO, Rollback, TaskState
from .turn import Turn
from .undoing import accounts
from .winding_up import is_letting_go, rest_if_idle, sweep

ROOT = At("0")


def roll_back(turn: Turn, plan: PatternFields, rollback: Rollback) -> None:
    """Bring a rollback forward: one step after the other, each once the one before is over."""
    memo = turn.memo
    memo.questions.pop(("", 0), None)
    if not rollback.begun:
        turn.decide("run.rolling_back", to=rollback.to, reason=rollback.reason)
        _forget_question(turn)
    turn.advance(plan, ROOT)
    if not memo.swept:
        memo.swept = True
        sweep(turn, "rolled_back", in_doubt=True)
    if is_letting_go(turn):
        return
    if not turn.undo(plan, ROOT):
        rest_if_idle(turn)
        return
    asked = turn.run.tasks.get(ROOT_UNDO)
    if not rollback.restoring or (asked is not None and asked.phase == "ready"):
        _forget_question(turn)
        turn.decide("run.restoring", to=rollback.to, order=turn.fact.position)
    elif rollback.files is not None:
        _end(turn, rollback, rollback.files)


def _end(turn: Turn, rollback: Rollback, files: Mapping[str, Any]) -> None:
    """End the run, once a human knows of all that stays as it is."""
    asked = turn.run.tasks.get(ROOT_UNDO)
    lacking = _lacking(turn, files)
    if lacking and (_is_unasked(asked) or (asked is not None and asked.phase == "parked")):
        reason = str(lacking[0]["state"])
        if _is_unasked(asked):
            turn.decide("task.parked", ROOT_UNDO, what=f"parked/{rollback.restoring}", reason=reason)
        turn.ask(ROOT_UNDO, reason, "; ".join(str(one["problem"]) for one in lacking))
        rest_if_idle(turn)
        return
    turn.cancel_all_timers()
    told: dict[str, Any] = {name: files.get(name) or [] for name in ("workspaces", "branches")}
    turn.decide("run.rolled_back", to=rollback.to, reason=rollback.reason, **accounts(turn.run), **told)


def _is_unasked(asked: TaskState | None) -> bool:
    """Tell whether nobody was asked about what could not be restored, or only about an earlier try."""
    if asked is None:
        return True
    return asked.phase == "reported" and asked.report is not None and asked.report.outcome == "nothing_to_do"


def _forget_question(turn: Turn) -> None:
    """End what a human was asked about an earlier try."""
    asked = turn.run.tasks.get(ROOT_UNDO)
    if not _is_unasked(asked):
        turn.decide("task.nothing_to_do", ROOT_UNDO, what=f"asked/{turn.fact.position}", reason="tried again")


def _lacking(turn: Turn, files: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what could not be restored, but for branches of which a human has ruled what undoes them."""
    found = []
    for one in (*_entries(files.get("workspaces")), *_entries(files.get("branches"))):
        by = turn.run.tasks.get(f"{one.get('path')}.undo")
        if one.get("state") != "restored" and ("ref" not in one or by is None or not by.final):
            found.append(one)
    return found


def _entries(given: Any) -> Iterable[dict[str, Any]]:
    return (one for one in given if isinstance(one, dict)) if isinstance(given, list) else ()
