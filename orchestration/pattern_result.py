"""What became of slices of work: the whole, and each slice in the caller's order. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from .arrangement import Arrangement
from .node_outcomes import NodeOutcomes
from .orchestration_pattern import OrchestrationPattern
from .result import RunResult
from .run_state import Run, is_waiting
from .task_slices import TaskSlice
from .undoing import done_work


class SliceResult(msgspec.Struct, frozen=True):
    """How one slice of work ended; `outcome` is None for one that never began, or rests.

    One that lost a race, or was open when another failed, is `failed` with the reason `not_needed`. For a slice that
    was asked of several agents, `answers` shows what each said. `undone` tells that what it had done was taken back,
    all of it; its outcome and value stay what they were.
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
    undone: bool = False

    @property
    def success(self) -> bool:
        """Whether it was done, or there was nothing to do; what was `undone` afterwards had succeeded, too."""
        return self.outcome in ("succeeded", "nothing_to_do")


class PatternResult(msgspec.Struct, frozen=True):
    """What became of slices of work that ran as one run. `results` has each slice, in the order in which they came.

    `success` is the promised flag; `outcome` says more: `succeeded`, `nothing_to_do`, `failed`, `needs_human` (the run
    rests, and goes on once a human has answered) or `cancelled`. `value` is the plan's own, `recommended` why the
    pattern was chosen where it was not asked for. `undone` and `not_undone` name the slices whose work was taken back,
    or stands, in whole or in part, although the run did not succeed.
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
    undone: tuple[str, ...] = ()
    not_undone: tuple[str, ...] = ()

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
    places = list(zip(slices, arrangement.paths, strict=True))
    all_places = set(arrangement.paths)
    undone = _undone(run, all_places)
    standing = {_place(path, all_places) for path in result.not_undone}
    return PatternResult(
        success=result.outcome in ("succeeded", "nothing_to_do"),
        outcome=result.outcome or "open",
        pattern=pattern,
        value=result.value,
        results=tuple(
            replace(_slice_result(one, path, arrangement, run, nodes), undone=undone.get(path, False))
            for one, path in places
        ),
        evidence=result.evidence,
        run=result.run,
        elapsed_s=result.elapsed_s,
        reason=result.reason,
        error=result.error,
        recommended=recommended,
        undone=tuple(one.id for one, path in places if undone.get(path)),
        not_undone=tuple(one.id for one, path in places if path in standing),
    )


def _undone(run: Run, places: Collection[str]) -> dict[str, bool]:
    """Tell for each place where something was done whether all of that is undone."""
    found: dict[str, bool] = {}
    for path, gone in done_work(run):
        place = _place(path, places)
        found[place] = found.get(place, True) and gone
    return found


def _place(path: str, places: Collection[str]) -> str:
    """Return the place that a path is at or below; an empty text where it is in none."""
    while path and path not in places:
        path = path.rpartition(".")[0]
    return path


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
