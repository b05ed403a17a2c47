"""What a job's document notes of its parts: who did them and how, what was done of an issue that did not end well, and
what nobody did.

Pure. Keeps: a part counts as done only where its task has succeeded, and what was taken back is said to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..eventstore.event import Event
from ..eventstore.large_values import Load, is_reference
from ..orchestration.run_state import Run

#: The effect with which `smart_issue` records what it has decided.
DECISION = "decide"
_LISTED_MAX = 10


def decision_of(events: Iterable[Event], load: Load | None = None) -> Mapping[str, Any]:
    """Return what was decided last about how the issue is worked on; nothing for a run of another plan."""
    found: Mapping[str, Any] = {}
    for event in events:
        data = event.data if event.type == "effect.completed" else None
        if not isinstance(data, dict) or data.get("name") != DECISION:
            continue
        value = data.get("result")
        value = load(value) if load is not None and is_reference(value) else value
        found = value if isinstance(value, dict) else found
    return found


def decision_notes(events: Iterable[Event], outcome: str, load: Load | None = None) -> list[str]:
    """Say what an issue asks for beside its explicit edits, and nobody was there to do; `outcome` is the run's."""
    decided = decision_of(events, load)
    left, idle = ([one for one in decided.get(key) or () if isinstance(one, str)] for key in ("left", "idle"))
    return [*(f"the issue asks nothing of {name}" for name in idle), *wish_notes(left, outcome)]


def wish_notes(left: list[str], outcome: str) -> list[str]:
    """Say which wishes beside explicit edits nobody works on, where there are some; `outcome` is that of the edits."""
    if not left:
        return []
    lead = "only the explicit edits are made;" if outcome == "succeeded" else "asked for beside the explicit edits, and"
    return [f"{lead} not worked on: {_some(left)}"]


def part_notes(run: Run, steps: Mapping[str, str]) -> list[str]:
    """Say which parts of an issue were done where the run did not succeed as a whole, and whether they still stand."""
    path = steps.get("fix")
    parts = [task for task in run.tasks.values() if path is not None and _is_part(task.path, path)]
    if not parts or run.outcome in ("", "succeeded", "nothing_to_do"):
        return []
    done = [task for task in parts if task.report is not None and task.report.outcome == "succeeded"]
    told = [f"{task.path} ({_commit(task.report.value)})" for task in done if task.report is not None]
    if not told:
        return [f"none of {len(parts)} parts begun was done"]
    stands = "taken back" if path in run.undone else "not published"
    return [f"done, and {stands}: {_some(told)} of {len(parts)} parts begun"]


def undone_wishes(run: Run, paths: Sequence[str]) -> list[str]:
    """Say which work beside explicit edits could not be done, of the tasks at these paths, and why."""
    told = []
    for path in paths:
        task = run.tasks.get(path)
        report = task.report if task is not None else None
        value = report.value if report is not None and report.outcome == "nothing_to_do" else None
        if report is not None and isinstance(value, dict) and isinstance(value.get("not_done"), str):
            told.append(not_done_note(value, report.message))
    return told


def not_done_note(value: Mapping[str, Any], message: str | None) -> str:
    """Say of one task that its work could not be done, and why; `value` is the task's."""
    wishes = []
    for part in str(value["not_done"]).split("\n\n"):
        # A part's first line is what it is called; a list is one of wishes.
        lines = part.strip().split("\n")
        wishes += [line.removeprefix("- ") for line in lines] if lines[0].startswith("- ") else lines[:1]
    return f"not done: {_some([wish for wish in wishes if wish])[:600]} ({value.get('why')}: {message})"


def engine_notes(fix: Mapping[str, Any]) -> list[str]:
    """Say which engine made a change where it wasn't `patch`, and what that engine has to tell."""
    engine, notes = fix.get("engine"), fix.get("notes")
    told = [f"fix: {note}" for note in notes if isinstance(note, str)] if isinstance(notes, list) else []
    if fix.get("commit") and isinstance(engine, str) and engine != "patch":
        others = [f"`{one.get('engine')}`: {one.get('reason')}" for one in fix.get("tried") or ()]
        told.insert(0, f"fix: made by `{engine}`" + (f" ({', '.join(others)})" if others else ""))
    return told


def _is_part(path: str, fix: str) -> bool:
    return path.startswith(f"{fix}.") and path[len(fix) + 1 :].isdigit()


def _commit(value: Any) -> str:
    commit = value.get("commit") if isinstance(value, dict) else None
    return f"commit {commit[:12]}" if isinstance(commit, str) else "without a commit"


def _some(texts: list[str]) -> str:
    more = len(texts) - _LISTED_MAX
    return "; ".join(texts[:_LISTED_MAX]) + (f"; and {more} more" if more > 0 else "")
