"""A hierarchy at work, as people look at it: who runs, waits and has ended on each level, and the tree of its tasks.

Folds a run's events; nothing is recorded. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..eventstore.event import Event
from ..eventstore.large_values import Load
from .levels import LEVELS, level_name, row_of
from .node_outcomes import NodeOutcomes
from .run_fold import RunFold, follow
from .run_state import Run, TaskState, fact_of, is_waiting, tree_order


class SubtaskResult(msgspec.Struct, frozen=True):
    """How one part of a task stands: `outcome` is None while it is open; `instance` is who did it last."""

    id: str
    title: str
    outcome: str | None
    value: Any = None
    reason: str = ""
    error: Any = None
    evidence: tuple[dict[str, Any], ...] = ()
    agent: str = ""
    instance: str = ""
    path: str = ""
    attempts: int = 0


class HierarchyNode(msgspec.Struct):
    """One task of a hierarchy: `level` is the one whose limit counts for it, `state` how it stands."""

    path: str
    level: str
    agent: str
    state: str
    instance: str = ""
    id: str = ""
    title: str = ""
    attempts: int = 0
    children: list[HierarchyNode] = []


class HierarchyView:
    """One run of a hierarchy; `load` puts in what is held as blobs."""

    def __init__(self, run: str, events: Iterable[Event], load: Load | None = None) -> None:
        fold = RunFold(Run(run))
        self._started: dict[str, tuple[bytes, str]] = {}
        self._told: dict[str, dict[str, Any]] = {}
        for event in events:
            fold = follow(fold, event, load)
            if event.type == "task.started":
                self._started[event.stream.split(".", 2)[-1]] = (event.cause, event.source)
            elif event.type == "task.requested":
                fact = fact_of(event, load)
                given = fact.data.get("input")
                self._told[fact.path] = given if isinstance(given, dict) else {}
        self.run = fold.at_head
        self._nodes = NodeOutcomes(self.run)

    def status(self) -> dict[str, Any]:
        """Return what the run as a whole and each of its levels are at, as JSON-like data."""
        run = self.run
        parts = self.subtasks()
        return {
            "run": run.id,
            "status": run.status,
            "paused": run.paused,
            "outcome": run.outcome or None,
            "reason": run.end.get("reason") or None,
            "depth_max": run.depth_max,
            "levels": self._levels(),
            "subtasks": {"known": len(parts), "ended": sum(part.outcome is not None for part in parts)},
            "tasks": len(run.tasks),
            "elapsed_s": (run.last_ns - run.requested_ns) / 1e9 if run.first else 0.0,
        }

    def _levels(self) -> dict[str, dict[str, int | None]]:
        """Count on each level who runs, who is requested and not begun, who waits for a slot, and who has ended."""
        run = self.run
        limits: tuple[int | None, ...] = run.levels or (None,) * len(LEVELS)
        rows = {
            name: {"running": 0, "requested": 0, "waiting": 0, "planned": 0, "ended": 0, "limit": limit}
            for name, limit in zip(LEVELS, limits, strict=True)
        }
        for task in run.tasks.values():
            state = self._state(task)
            word = {"stopping": "running"}.get(
                state, state if state in ("running", "requested", "planned") else "ended"
            )
            if state not in ("backoff", "needs_human", "waiting"):
                rows[level_name(task.level)][word] = (rows[level_name(task.level)][word] or 0) + 1
        for row, paths in enumerate(self._nodes.waiting):
            rows[level_name(row)]["waiting"] = len(paths)
        return rows

    def tree(self) -> HierarchyNode | None:
        """Return the tree of tasks, each below the one that answered with the plan it is part of; None before any."""
        found: dict[str, HierarchyNode] = {}
        for path in sorted(self.run.tasks, key=tree_order):
            task = self.run.tasks[path]
            told = self._told.get(path, {})
            node = HierarchyNode(
                path,
                level_name(task.level if not self.run.levels else row_of(self.run, task.level)),
                task.agent,
                self._state(task),
                self._started.get(path, (b"", ""))[1],
                *_named(told),
                attempts=task.attempt,
            )
            above = path
            while "." in above:
                above = above.rpartition(".")[0]
                if above in found and self.run.tasks[above].plan is not None:
                    found[above].children.append(node)
                    break
            found[path] = node
        return found.get("0")

    def subtasks(self) -> list[SubtaskResult]:
        """Return the parts of the task that workers have been given, in the order of the tree."""
        found = []
        for path in sorted(self._told, key=tree_order):
            task, told = self.run.tasks.get(path), self._told[path]
            if task is None or task.undo or "do" in told or not {"task", "id", "checks"} <= told.keys():
                continue
            outcome = self._nodes.of(path)
            ended = outcome if outcome is not None else task.report if task.phase == "reported" else None
            kind = (
                None if ended is None or is_waiting(task) else getattr(ended, "kind", getattr(ended, "outcome", None))
            )
            found.append(
                SubtaskResult(
                    id=str(told["id"]),
                    title=str(told["task"]),
                    outcome=kind,
                    value=ended.value if ended is not None else None,
                    reason=ended.reason if ended is not None else "",
                    error=ended.error if ended is not None else None,
                    evidence=ended.evidence if ended is not None else (),
                    agent=task.agent,
                    instance=self._started.get(path, (b"", ""))[1],
                    path=path,
                    attempts=task.attempt,
                )
            )
        return found

    def _state(self, task: TaskState) -> str:
        """Return how a task stands: running, requested, planned, stopping, backoff, waiting, needs_human or ended."""
        if is_waiting(task):
            return "needs_human"
        if task.phase == "requested":
            return "running" if self._started.get(task.path, (b"", ""))[0] == task.request else "requested"
        if task.phase == "planned":
            ended = self._nodes.of(task.path)
            return ended.kind if ended is not None else "planned"
        if task.phase == "expired":
            return "stopping"
        if task.phase == "ready":
            return "waiting"
        if task.phase != "reported":
            return task.phase
        return task.report.outcome if task.report is not None else "failed"


def _named(told: dict[str, Any]) -> tuple[str, str]:
    """Return id and title of what a task was told."""
    part = told.get("part") if told.get("do") == "coordinate" else None
    if isinstance(part, dict):
        return str(part.get("id", "")), str(part.get("title", ""))
    if "do" in told:
        return "", str(told["do"])
    return str(told.get("id", "")), str(told.get("task", ""))
