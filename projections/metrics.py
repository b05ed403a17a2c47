"""The read model behind metrics: what the log's events add up to, in rows that stay few however long the log is. Pure.

Owns which events count for what; under which names they are told is `metric_families`'s. Rows, by the first part of
their keys:

- `type/<event type>`: how many events there are, a number.
- `tasks/<shard>`, `runs/<shard>`: what is open, so that durations are known at its end, and what has ended. What one
  shard says of an agent or an outcome is its part of a sum over all: so rows stay small where much is open.
- `effect/<kind>/<name>`, `process/<place>`, `parked/<kind>/<name>`: sums.
- `telemetry/<agent>/<instance>`: what an agent's process has counted itself, by its last sample.
- `forgotten/`: what the runs had used whose payloads tell it no more, once these are folded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from ..eventstore.event import Event
from ..eventstore.forgotten import REQUESTED as FORGET_REQUESTED
from .metric_facts import attempt_of, effect_facts, telemetry_of, was_expected, with_forgotten
from .metric_sums import AgentSum, EffectSum, ForgottenSum, ParkedSum, ProcessSum, Spread, TelemetrySum, added
from .projection import Projection
from .runs import ENDS

#: Open tasks and runs are spread over so many rows each.
SHARDS = 64


class OpenTask(msgspec.Struct, frozen=True, gc=False):
    """A request of a task that has no outcome yet. Times are wall-clock nanoseconds, `started` 0 before its start."""

    agent: str
    requested: int
    started: int = 0


class TasksShard(msgspec.Struct, frozen=True, tag="tasks"):
    """Some of the requests that are open, by the hex of their events' ids, and sums by agent."""

    open: dict[str, OpenTask] = {}
    agents: dict[str, AgentSum] = {}


class RunsShard(msgspec.Struct, frozen=True, tag="runs"):
    """When some of the open runs were requested, and those that have ended, by outcome."""

    open: dict[str, int] = {}
    ended: dict[str, int] = {}
    seconds: Spread = Spread()


Tally: TypeAlias = int | TasksShard | RunsShard | EffectSum | ProcessSum | ParkedSum | TelemetrySum | ForgottenSum


class Metrics(Projection[Tally]):
    """What events add up to; see the module."""

    name = "metrics"
    types = ("*",)
    key_names = ("kind", "name")
    columns = ("kind", "name", "value")

    def keys(self, event: Event) -> Iterable[str]:
        """Return the row of the event's type, and those to which it adds something else."""
        kind = event.type
        more = _ROWS.get(kind)
        if more is not None:
            return (f"type/{kind}", *more(event))
        if kind.startswith("process."):
            return (f"type/{kind}", f"process/{event.stream.removeprefix('process.')}")
        return (f"type/{kind}",)

    def initial(self, key: str) -> Tally:
        """Return nothing counted."""
        made: Tally = _INITIAL[key.partition("/")[0]]
        return made

    def apply(self, state: Tally, event: Event) -> Tally:
        """Count an event in one of its rows."""
        if isinstance(state, int):
            return state + 1
        if isinstance(state, TasksShard):
            return _task_counted(state, event)
        if isinstance(state, RunsShard):
            return _run_counted(state, event)
        if isinstance(state, EffectSum):
            return _effect_counted(state, event)
        if isinstance(state, ProcessSum):
            return _process_counted(state, event)
        if isinstance(state, TelemetrySum):
            return telemetry_of(event)
        if isinstance(state, ForgottenSum):
            return with_forgotten(state, event)
        return ParkedSum(state.count + 1, event.position)


_INITIAL: dict[str, Any] = {
    "type": 0,
    "tasks": TasksShard(),
    "runs": RunsShard(),
    "effect": EffectSum(),
    "process": ProcessSum(),
    "parked": ParkedSum(),
    "telemetry": TelemetrySum(),
    "forgotten": ForgottenSum(),
}
_BEGINNINGS = frozenset({"run.requested", "run.forked"})
_OUTCOMES = ("succeeded", "nothing_to_do", "failed", "needs_human", "planned")


# --- which rows -----------------------------------------------------------------------------------------------------


def _tasks_row(request: bytes) -> str:
    # Of derived ids and of fresh ones the last byte is as good as random.
    return f"tasks/{request[-1] % SHARDS:02}" if request else "tasks/00"


def _request_rows(event: Event) -> tuple[str, ...]:
    return (_tasks_row(event.id),) if event.to else ()


def _report_rows(event: Event) -> tuple[str, ...]:
    # What the orchestrator decides about a task isn't caused by its request.
    return (_tasks_row(event.cause),) if event.stream.startswith("task.") else ()


def _effect_rows(event: Event) -> tuple[str, ...]:
    said = effect_facts(event.payload)
    row = f"effect/{said.kind}/{said.name}"
    if said.kind == "model" and event.type == "effect.completed":
        return (row, _tasks_row(event.cause))
    return (row,)


def _run_rows(event: Event) -> tuple[str, ...]:
    if not event.stream.startswith("run."):
        return ()
    try:
        shard = int(event.stream[-2:], 16) % SHARDS
    except ValueError:
        shard = 0
    return (f"runs/{shard:02}",)


def _parked_rows(event: Event) -> tuple[str, ...]:
    row = f"parked/{event.type.partition('.')[0]}/{event.stream.partition('.')[2]}"
    return (_tasks_row(event.cause), row) if event.type == "delivery.parked" else (row,)


def _telemetry_rows(event: Event) -> tuple[str, ...]:
    return (f"telemetry/{event.stream.partition('.')[2]}/{event.source}",)


_ROWS: dict[str, Callable[[Event], tuple[str, ...]]] = {
    "task.requested": _request_rows,
    "task.started": _report_rows,
    **dict.fromkeys((f"task.{outcome}" for outcome in _OUTCOMES), _report_rows),
    **dict.fromkeys(("effect.completed", "effect.failed", "effect.in_doubt"), _effect_rows),
    **dict.fromkeys((*_BEGINNINGS, *ENDS), _run_rows),
    **dict.fromkeys(("delivery.parked", "watch.parked", "projection.parked"), _parked_rows),
    "delivery.withdrawn": lambda event: (_tasks_row(event.cause),),
    "telemetry.sampled": _telemetry_rows,
    FORGET_REQUESTED: lambda event: ("forgotten/",),
}


# --- what it adds ---------------------------------------------------------------------------------------------------


def _task_counted(shard: TasksShard, event: Event) -> TasksShard:
    if event.type == "task.requested":
        return _task_requested(shard, event)
    key = event.cause.hex()
    task = shard.open.get(key)
    if task is None:
        return shard
    before = shard.agents.get(task.agent) or AgentSum()
    family, _, what = event.type.partition(".")
    if family == "effect":
        return TasksShard(shard.open, {**shard.agents, task.agent: _model_called(before, event)})
    if what == "started":
        if task.started:
            after = replace(before, redelivered=before.redelivered + 1)
        else:
            after = replace(before, waits=before.waits.with_value((event.time - task.requested) / 1e9))
        opened = {**shard.open, key: OpenTask(task.agent, task.requested, event.time)}
        return TasksShard(opened, {**shard.agents, task.agent: after})
    if family == "delivery":
        # Parked, or withdrawn: nobody works on it any more.
        after = replace(before, outcomes=added(before.outcomes, what))
    else:
        since = task.started or task.requested
        after = replace(
            before,
            outcomes=added(before.outcomes, what),
            seconds=before.seconds.with_value((event.time - since) / 1e9),
        )
    left = {id: one for id, one in shard.open.items() if id != key}
    return TasksShard(left, {**shard.agents, task.agent: after})


def _task_requested(shard: TasksShard, event: Event) -> TasksShard:
    agent = event.to
    before = shard.agents.get(agent) or AgentSum()
    again = attempt_of(event.payload) > 1
    after = replace(before, requested=before.requested + 1, retried=before.retried + again)
    opened = {**shard.open, event.id.hex(): OpenTask(agent, event.time)}
    return TasksShard(opened, {**shard.agents, agent: after})


def _model_called(before: AgentSum, event: Event) -> AgentSum:
    said = effect_facts(event.payload)
    return replace(
        before,
        model_calls=before.model_calls + 1,
        tokens_in=before.tokens_in + said.tokens_in,
        tokens_out=before.tokens_out + said.tokens_out,
        usd=before.usd + said.usd,
    )


def _run_counted(shard: RunsShard, event: Event) -> RunsShard:
    run = event.stream.removeprefix("run.")
    if event.type in _BEGINNINGS:
        return shard if run in shard.open else replace(shard, open={**shard.open, run: event.time})
    ended = added(shard.ended, event.type.removeprefix("run."))
    begun = shard.open.get(run)
    if begun is None:
        return replace(shard, ended=ended)
    left = {id: time for id, time in shard.open.items() if id != run}
    return RunsShard(left, ended, shard.seconds.with_value((event.time - begun) / 1e9))


def _effect_counted(row: EffectSum, event: Event) -> EffectSum:
    what = event.type.partition(".")[2]
    ended = added(row.ended, what)
    if what == "in_doubt":
        return replace(row, ended=ended)
    said = effect_facts(event.payload)
    return EffectSum(
        ended,
        row.elapsed_s + said.elapsed_s,
        row.tokens_in + said.tokens_in,
        row.tokens_out + said.tokens_out,
        row.usd + said.usd,
    )


def _process_counted(row: ProcessSum, event: Event) -> ProcessSum:
    what = event.type.partition(".")[2]
    if what == "started":
        return replace(row, started=row.started + 1)
    if what == "restarted":
        return replace(row, restarted=row.restarted + 1)
    if what == "crashed":
        return replace(row, given_up=row.given_up + 1)
    if what == "exited":
        return row if was_expected(event.payload) else replace(row, unexpected=row.unexpected + 1)
    return row
