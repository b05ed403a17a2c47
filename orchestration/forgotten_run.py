"""What headers still tell of a run that was forgotten: its tasks, who did them, how often, and how they ended.

The path of a task stands in the name of its stream, its agent in the request that its events were caused by, its
outcome in a type. Reasons, values and plans are gone; what the one who asked to forget the run noted of it stays. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from immutables import Map
from msgspec.structs import replace

from ..eventstore.event import Event
from ..eventstore.forgotten import Forgotten
from .run_state import Phase, Report, Run, TaskState

#: The types that say how a task ended, or that its outcome is that of its plan.
_OUTCOMES = {f"task.{word}": word for word in ("succeeded", "nothing_to_do", "failed", "needs_human", "planned")}


class _Left(msgspec.Struct):
    """What is known of one task: its requests, by id, and the outcome of the last one that has one."""

    agent: str = ""
    requests: dict[bytes, str] = {}


def remains(run: Run, events: Sequence[Event], found: Forgotten) -> Run:
    """Return a run that was folded from headers only, with the tasks that these tell of."""
    agents = {event.id: event.to for event in events if event.type == "task.requested"}
    left: dict[str, _Left] = {}
    for event in events:
        if not event.stream.startswith("task."):
            continue
        task = left.setdefault(event.stream.split(".", 2)[-1], _Left())
        if event.cause in agents:
            task.agent = agents[event.cause]
            outcome = task.requests.get(event.cause, "")
            task.requests[event.cause] = _OUTCOMES.get(event.type, outcome)
    tasks = {path: _state(path, task) for path, task in left.items()}
    undone = {
        path.removesuffix(".undo"): None for path, task in tasks.items() if path.endswith(".undo") and _good(task)
    }
    reason = found.facts.get("reason")
    return replace(
        run,
        tasks=Map(tasks),
        open=Map(),
        out=Map(),
        undone=Map(undone),
        end={"reason": reason} if isinstance(reason, str) else {},
    )


def _state(path: str, task: _Left) -> TaskState:
    outcome = next((one for one in reversed(task.requests.values()) if one), "")
    phase: Phase = "planned" if outcome == "planned" else "reported" if outcome else "stopping"
    report = Report(outcome) if outcome not in ("", "planned") else None  # type: ignore[arg-type]
    undo = path.endswith(".undo")
    return TaskState(path, task.agent, phase, attempt=len(task.requests), report=report, undo=undo)


def _good(task: TaskState) -> bool:
    return task.report is not None and task.report.outcome in ("succeeded", "nothing_to_do")
