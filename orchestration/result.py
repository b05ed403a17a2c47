"""What became of a run, folded from its events: outcome, reason, value, evidence, tasks, cost, positions.

One fold for a run that is open, resting or ended: absent things are None, never invented. Pure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..eventstore.event import Event
from ..eventstore.forgotten import Forgotten
from ..eventstore.large_values import Load
from .forgotten_run import remains
from .run_fold import RunFold, follow
from .run_state import Run, TaskState, fact_of, is_waiting, run_of


class TaskResult(msgspec.Struct, frozen=True):
    """How one task stands: its outcome (None while it is open) is that of its last attempt."""

    path: str
    agent: str
    outcome: str | None
    reason: str = ""
    value: Any = None
    evidence: tuple[dict[str, Any], ...] = ()
    message: str = ""
    error: Any = None
    attempts: int = 0
    undo: bool = False


class Cost(msgspec.Struct, frozen=True):
    """What the model calls of a run used, summed over the recorded effects; None where no call said that."""

    model_calls: int = 0
    tokens_in: int | None = 0
    tokens_out: int | None = 0
    usd: float | None = 0.0

    def plus(self, usage: Any) -> Cost:
        """Return the cost with one more call, which says that it used this."""
        given = usage if isinstance(usage, dict) else {}
        said = {name: _amount(given.get(name)) for name in ("tokens_in", "tokens_out", "usd")}
        # What one call leaves out is not known; what others said of it still counts.
        before = {name: getattr(self, name) if self.model_calls else None for name in said}
        summed = {name: _added(before[name], value) for name, value in said.items()}
        return Cost(self.model_calls + 1, **summed)


class RunResult(msgspec.Struct, frozen=True):
    """What became of a run. `outcome` is None while it is open; `needs_human` is a rest, with its `questions`.

    `undone` and `not_undone` name the tasks whose work was taken back, or stands although the run did not succeed.
    `first` and `last` are positions in the log. Of a fork `parent` is the run that it was forked from, after the
    position `at`; `cost` and `elapsed_s` are its own.
    """

    run: str
    outcome: str | None
    reason: str | None = None
    value: Any = None
    evidence: tuple[dict[str, Any], ...] = ()
    message: str | None = None
    error: Any = None
    tasks: tuple[TaskResult, ...] = ()
    questions: tuple[dict[str, Any], ...] = ()
    undone: tuple[str, ...] = ()
    not_undone: tuple[str, ...] = ()
    cost: Cost = Cost()
    first: int = 0
    last: int = 0
    elapsed_s: float = 0.0
    parent: str | None = None
    at: int | None = None

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will follow."""
        return self.outcome not in (None, "needs_human")


class RunView:
    """A run while its events arrive: give it each event in position order, ask it for the result at any time.

    `load` puts in values that are held as blobs; without it, and where they can't be loaded, references stand for them.
    """

    def __init__(self, run: str, load: Load | None = None) -> None:
        self._fold = RunFold(Run(run))
        self._load = load
        self._cost = Cost()
        #: What is known of its having been forgotten; its tasks are then those that headers tell of.
        self.forgotten: Forgotten | None = None

    @property
    def status(self) -> str:
        """Where the run stands: unknown, requested, open, resting, ended."""
        return self._fold.at_head.status

    @property
    def state(self) -> Run:
        """The run's whole state, with every event taken so far."""
        return self._fold.at_head

    @property
    def last(self) -> int:
        """The position of the last event taken."""
        return self._fold.run.last

    def take(self, event: Event) -> None:
        """Take the next event of the run; one that was taken before is ignored."""
        if event.position <= self._fold.run.last:
            return
        self._fold = follow(self._fold, event, self._load)
        # What was spent before a fork is its parent's cost.
        if event.type == "effect.completed" and run_of(event) == self._fold.run.id:
            self._add_usage(fact_of(event).data)

    def forget(self, found: Forgotten, events: Sequence[Event]) -> None:
        """Take note that the run, of which these events were taken, has been forgotten."""
        self.forgotten = found
        self._fold = RunFold(remains(self._fold.at_head, events, found))
        with contextlib.suppress(msgspec.ValidationError):
            self._cost = msgspec.convert(found.facts.get("cost"), Cost)

    def result(self) -> RunResult:
        """Return what is known by now."""
        run = self._fold.at_head
        end = run.end
        return RunResult(
            run=run.id,
            outcome=run.outcome or None,
            reason=end.get("reason") or None,
            value=end.get("value"),
            evidence=tuple(end.get("evidence") or ()),
            message=end.get("message") or None,
            error=end.get("error"),
            tasks=tuple(_task_result(task) for task in sorted(run.tasks.values(), key=_tree_order)),
            questions=tuple(end.get("questions") or ()),
            undone=tuple(end.get("undone") or ()),
            not_undone=tuple(end.get("not_undone") or ()),
            cost=self._cost,
            first=run.first,
            last=run.last,
            elapsed_s=(run.last_ns - run.requested_ns) / 1e9 if run.first else 0.0,
            parent=run.lineage[0].run if run.lineage else None,
            at=run.lineage[0].until if run.lineage else None,
        )

    def _add_usage(self, data: dict[str, Any]) -> None:
        if data.get("kind") != "model":
            return
        self._cost = self._cost.plus(data.get("usage"))


def result_of(run: str, events: Iterable[Event], load: Load | None = None) -> RunResult:
    """Fold the events of a run, in position order, into its result; `load` as for RunView."""
    view = RunView(run, load)
    for event in events:
        view.take(event)
    return view.result()


def _task_result(task: TaskState) -> TaskResult:
    report = task.report
    if report is None or task.phase not in ("reported", "parked"):
        return TaskResult(task.path, task.agent, None, attempts=task.attempt, undo=task.undo)
    return TaskResult(
        task.path,
        task.agent,
        "needs_human" if is_waiting(task) else report.outcome,
        report.reason,
        report.value,
        report.evidence,
        report.message,
        report.error,
        task.attempt,
        task.undo,
    )


def _tree_order(task: TaskState) -> tuple[tuple[int, str], ...]:
    """Order paths as a tree is read: by number, a compensation after the steps."""
    return tuple((int(part), "") if part.isdigit() else (1 << 30, part) for part in task.path.split("."))


def _amount(value: Any) -> Any:
    """Return a number as it is, None for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _added(one: Any, other: Any) -> Any:
    """Return the sum of what is known, None where neither is."""
    return one if other is None else (one or 0) + other
