"""What became of slices of work: the whole, and each slice in the caller's order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from .arrangement import Arrangement
from .node_outcomes import NodeOutcomes
from .orchestration_pattern import OrchestrationPattern
from .result import RunResult
from .run_state import Run, is_waiting
from .task_slices import TaskSlice


class SliceResult(msgspec.Struct, frozen=True):
    """How one slice of work ended; `outcome` is None for one that never began, or rests.

    One that lost a race, or was open when another failed, is `failed` with the reason `not_needed`. For a slice that
    was asked of several agents, `answers` shows what each said.
    """

    id: str
    outcome: str | None
    value: Any = None
    reason: str = ""
    error: Any = None
    evidence: tuple[dict[str, Any], ...] = ()
    agent: str = ""
    path: str = ""
    attempts: int = 0
    answers: tuple[dict[str, Any], ...] = ()

    @property
    def success(self) -> bool:
        """Whether it was done, or there was nothing to do."""
        return self.outcome in ("succeeded", "nothing_to_do")


class PatternResult(msgspec.Struct, frozen=True):
    """What became of slices of work that ran as one run. `results` has each slice, in the order in which they came.

    `success` is the promised flag; `outcome` says more: `succeeded`, `nothing_to_do`, `failed`, `needs_human` (the run
    rests, and goes on once a human has answered) or `cancelled`. `value` is the plan's own, `recommended` why the
    pattern was chosen where it was not asked for.
    """

    success: bool
    outcome: str
    pattern: OrchestrationPattern
    value: Any
    results: tuple[SliceResult, ...]
    evidence: tuple[dict[str, Any], ...]
    run: str
    elapsed_s: float
    reason: str | None = None
    error: Any = None
    recommended: str = ""

    def __getitem__(self, id: str) -> SliceResult:
        """Return the result of the slice with this id; raises KeyError."""
        for one in self.results:
            if one.id == id:
                return one
        raise KeyError(id)


def pattern_result(
    pattern: OrchestrationPattern,
    slices: Sequence[TaskSlice],
    arrangement: Arrangement,
    run: Run,
    result: RunResult,
    recommended: str = "",
) -> PatternResult:
    """Tell what became of slices, from the run's state and its result."""
    nodes = NodeOutcomes(run)
    places = zip(slices, arrangement.paths, strict=True)
    return PatternResult(
        success=result.outcome in ("succeeded", "nothing_to_do"),
        outcome=result.outcome or "open",
        pattern=pattern,
        value=result.value,
        results=tuple(_slice_result(one, path, arrangement, run, nodes) for one, path in places),
        evidence=result.evidence,
        run=result.run,
        elapsed_s=result.elapsed_s,
        reason=result.reason,
        error=result.error,
        recommended=recommended,
    )


def _slice_result(one: TaskSlice, path: str, arrangement: Arrangement, run: Run, nodes: NodeOutcomes) -> SliceResult:
    task, outcome = run.tasks.get(path), nodes.of(path)
    agent = task.agent if task is not None else one.agent
    attempts = task.attempt if task is not None else 0
    if outcome is None:
        report = task.report if task is not None else None
        if report is None or (task is not None and is_waiting(task)):
            rests = task is not None and is_waiting(task)
            return SliceResult(one.id, "needs_human" if rests else None, agent=agent, path=path, attempts=attempts)
        return SliceResult(
            one.id, report.outcome, report.value, report.reason, report.error, report.evidence, agent, path, attempts
        )
    value: Any = outcome.value
    answers: tuple[dict[str, Any], ...] = ()
    if arrangement.chosen and outcome.kind == "succeeded" and isinstance(value, dict):
        value, answers = value.get("value"), tuple(value.get("answers", ()))
    return SliceResult(
        one.id, outcome.kind, value, outcome.reason, outcome.error, outcome.evidence, agent, path, attempts, answers
    )
