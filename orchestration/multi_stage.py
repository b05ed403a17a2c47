"""`MultiStagePipeline`: items that go through stages one after the other, each stage an agent or a function.

A thin form over the pattern Pipeline: stages that are agents and follow each other are one run, durable as any;
functions are called in this process (`stage_calls`), and nothing of them survives it. Owns the order of stages, early
exits, and telemetry.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import msgspec

from ..eventstore.event import Event
from .pipeline import Pipeline
from .pipeline_telemetry import PipelineTelemetry
from .plan import Plan, Retry, Task, plan_data
from .result import RunResult
from .slice_errors import StageInvalid
from .stage_calls import call, check_call

#: Ends of a stage after which the item goes on.
_GOOD = ("succeeded", "nothing_to_do")


class Runs(Protocol):
    """What agent stages need of a connection to the bus; `connect()` gives one."""

    async def submit(self, plan: Plan, *, run: str = "", **request: Any) -> str:
        """Start a run."""

    async def wait(self, run: str, timeout_s: float | None = None) -> RunResult:
        """Wait for its end."""

    def read(self, *, run: str) -> AsyncIterator[Event]:
        """Yield its events."""


class PipelineStage(msgspec.Struct, frozen=True):
    """One stage: `do`, a function (`async` or not) of the item, or of item and context, or `agent`, a queue.

    `retry` is how often it is tried, `timeout_s` bounds one try (of an async function, or an agent). Where `exit_when`
    is true for its value the item leaves the pipeline there, well. `effect` and `requires` are those of an agent's
    task.
    """

    name: str
    do: Callable[..., Any] | None = None
    agent: str = ""
    retry: Retry | None = None
    timeout_s: float | None = None
    exit_when: Callable[[Any], bool] | None = None
    effect: Literal["read", "idempotent", "once"] = "idempotent"
    requires: Sequence[str] = ()


class StageResult(msgspec.Struct, frozen=True):
    """What became of one item in one stage; `run` is the durable run, for an agent's."""

    name: str
    outcome: str
    value: Any = None
    attempts: int = 1
    latency_s: float = 0.0
    reason: str = ""
    error: Any = None
    run: str = ""


class PipelineResult(msgspec.Struct, frozen=True):
    """What became of one item. `stages` has those that it reached; `stopped_at` names the one that failed or asks.

    `exited_at` names the stage after which it left early, which is a success.
    """

    success: bool
    outcome: str
    value: Any
    stages: tuple[StageResult, ...]
    elapsed_s: float
    exited_at: str | None = None
    stopped_at: str | None = None
    reason: str = ""
    error: Any = None


class MultiStagePipeline:
    """Stages that items go through; many items may be on the way at once. `bus` runs the stages that are agents.

    Raises StageInvalid for a stage that can't be run as it is told.
    """

    def __init__(self, stages: Sequence[PipelineStage] = (), *, bus: Runs | None = None) -> None:
        self.telemetry = PipelineTelemetry()
        self._bus = bus
        self._stages: list[PipelineStage] = []
        self._with_context: dict[str, bool] = {}
        for stage in stages:
            self.add_stage(stage)

    @property
    def stages(self) -> tuple[PipelineStage, ...]:
        """The stages, in their order."""
        return tuple(self._stages)

    def add_stage(self, stage: PipelineStage, position: int | None = None) -> None:
        """Put a stage at a position, the end where none is given; items on their way keep the stages they began with.

        Raises StageInvalid.
        """
        if not stage.name or any(one.name == stage.name for one in self._stages):
            raise StageInvalid(stage.name, "each stage needs a name of its own")
        where = len(self._stages) if position is None else position
        if not 0 <= where <= len(self._stages):
            raise StageInvalid(stage.name, f"there is no position {position} in {len(self._stages)} stages")
        if (stage.do is None) == (not stage.agent):
            raise StageInvalid(stage.name, "it is either a function (`do`) or an agent's (`agent`)")
        if stage.do is not None:
            self._with_context[stage.name] = check_call(stage.name, stage.do, stage.timeout_s)
        elif self._bus is None:
            raise StageInvalid(stage.name, "an agent does it, and the pipeline has no `bus`")
        else:
            plan_data(Pipeline([_task(stage)]))
        self._stages.insert(where, stage)

    async def process_item_async(self, item: Any, context: Any = None) -> PipelineResult:
        """Take an item through all stages and return what became of it; a stage's failure is told, not raised.

        Functions get `context` as it is, where they take one; agents' runs have it as `input.context`, which must then
        be JSON-like, as what an agent is handed must be.
        """
        begun = time.monotonic()
        value, results, exited = item, list[StageResult](), False
        for segment in _segments(self.stages):
            if segment[0].do is not None:
                found, exited = await self._called(segment[0], value, context)
            else:
                found = await self._run(segment, value, context)
            value = next((one.value for one in reversed(found) if one.outcome == "succeeded"), value)
            if not exited:
                found, exited = _judged(segment[-1], found, value)
            results += found
            for one in found:
                failed, last = one.outcome not in _GOOD, one is found[-1]
                self.telemetry.stage(one.name).note(one.latency_s, one.attempts, failed=failed, exited=last and exited)
            if exited or results[-1].outcome not in _GOOD:
                break
        self.telemetry.items += 1
        return _result(value, results, exited=exited, elapsed_s=time.monotonic() - begun)

    async def _called(self, stage: PipelineStage, value: Any, context: Any) -> tuple[list[StageResult], bool]:
        """Take an item through a function."""
        assert stage.do is not None  # the caller has looked
        begun = time.monotonic()
        arguments = (value, context) if self._with_context[stage.name] else (value,)
        told = await call(stage.do, arguments, stage.retry, stage.timeout_s)
        found = StageResult(
            stage.name,
            told.outcome,
            told.value,
            told.attempts,
            time.monotonic() - begun,
            told.reason,
            told.error or None,
        )
        return [found], told.exits

    async def _run(self, stages: Sequence[PipelineStage], value: Any, context: Any) -> list[StageResult]:
        """Take an item through agents that follow each other, as one run; return the stages that it reached."""
        bus = self._bus
        assert bus is not None  # no stage of an agent is taken in without
        tasks = [_task(stage) for stage in stages]
        tasks[0] = msgspec.structs.replace(tasks[0], input={"$from": "input", "key": "item"})
        run = await bus.submit(Pipeline(tasks), input={"item": value, "context": context})
        result = await bus.wait(run)
        moments = await _moments(bus, run, len(stages))
        tasks_told = {task.path: task for task in result.tasks}
        found: list[StageResult] = []
        for n, stage in enumerate(stages):
            task = tasks_told.get(f"0.{n}")
            if task is None:
                break
            # A task that answered with a plan has ended as its plan did: well, if another one came after it.
            later = f"0.{n + 1}" in tasks_told
            outcome = task.outcome or ("succeeded" if later else result.outcome or "open")
            value = result.value if task.outcome is None and not later else task.value
            reason, error = task.reason, task.error
            if outcome not in _GOOD and not reason:
                reason, error = result.reason or "", result.error
            found.append(StageResult(stage.name, outcome, value, task.attempts, moments[n], reason, error, run))
        if not found or (result.outcome not in _GOOD and found[-1].outcome in _GOOD):
            # Stopped from outside: cancelled, out of budget, before a stage or between two.
            name = stages[len(found)].name if len(found) < len(stages) else stages[-1].name
            outcome = result.outcome or "open"
            found.append(StageResult(name, outcome, None, 0, 0.0, result.reason or "", result.error, run))
        return found


def _segments(stages: Sequence[PipelineStage]) -> Iterator[list[PipelineStage]]:
    """Yield what is done in one go: one function, or agents up to one after which an item may leave."""
    open: list[PipelineStage] = []
    for stage in stages:
        if stage.do is not None:
            if open:
                yield open
            yield [stage]
            open = []
            continue
        open.append(stage)
        if stage.exit_when is not None:
            yield open
            open = []
    if open:
        yield open


def _task(stage: PipelineStage) -> Task:
    return Task(
        stage.agent, retry=stage.retry, timeout_s=stage.timeout_s, effect=stage.effect, requires=list(stage.requires)
    )


def _judged(stage: PipelineStage, found: list[StageResult], value: Any) -> tuple[list[StageResult], bool]:
    """Ask whether the item leaves after a stage; a question that raises makes the stage failed."""
    if stage.exit_when is None or found[-1].outcome != "succeeded":
        return found, False
    try:
        return found, bool(stage.exit_when(value))
    except Exception as error:  # noqa: BLE001  the boundary where a stage's exceptions become facts
        told = f"exit_when raised {type(error).__name__}: {error}"
        failed = msgspec.structs.replace(found[-1], outcome="failed", reason=type(error).__name__, error=told)
        return [*found[:-1], failed], False


async def _moments(bus: Runs, run: str, count: int) -> list[float]:
    """Return how long each stage of a run took, from its first request to the next one's, or to the end."""
    begun: dict[int, int] = {}
    last = 0
    async for event in bus.read(run=run):
        last = event.time
        if event.type == "task.requested" and isinstance(event.data, dict):
            root, _, number = str(event.data.get("path")).partition(".")
            if root == "0" and number.isdigit():
                begun.setdefault(int(number), event.time)
    ends = [begun.get(n + 1, last) for n in range(count)]
    return [(ends[n] - begun[n]) / 1e9 if n in begun else 0.0 for n in range(count)]


def _result(value: Any, results: Sequence[StageResult], *, exited: bool, elapsed_s: float) -> PipelineResult:
    last = results[-1] if results else None
    if last is not None and last.outcome not in _GOOD:
        stopped, reason, error = last.name, last.reason, last.error
        return PipelineResult(
            False, last.outcome, None, tuple(results), elapsed_s, stopped_at=stopped, reason=reason, error=error
        )
    idle = bool(results) and all(one.outcome == "nothing_to_do" for one in results)
    left = last.name if exited and last is not None else None
    return PipelineResult(True, "nothing_to_do" if idle else "succeeded", value, tuple(results), elapsed_s, left)
