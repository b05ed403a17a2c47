"""`PatternExecutor`: slices of work, arranged by a pattern, run as one durable run on real agents.

Owns the way from slices to a run on the bus and back. How slices are arranged is `orchestration.arrangement`'s, which
pattern suits them `orchestration.recommendation`'s.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from .agent_errors import AgentsMissing
from .agents.base import BaseAgent, queue_name
from .async_connection import Connection
from .connection import connect
from .ground import HELLO_WITHIN_S
from .orchestration.arrangement import arrange
from .orchestration.orchestration_pattern import OrchestrationPattern, pattern_named
from .orchestration.pattern_result import PatternResult, pattern_result
from .orchestration.plan import plan_data, plan_from
from .orchestration.recommendation import Recommendation, recommend
from .orchestration.result import RunResult
from .orchestration.run_fold import RunFold, follow
from .orchestration.run_state import Run
from .orchestration.task_slices import TaskSlice
from .plan_runs import queues_of as queues_in
from .settings import load_settings

Agent = str | BaseAgent | type[BaseAgent]
Agents = Sequence[Agent] | Mapping[str, Agent]


class PatternExecutor:
    """Runs slices of work in a pattern. `bus` is a connection to use; without one each call makes its own to `home`.

    `agents` are queues (or the agent classes that serve them): slices that name none get them in turn, and a question
    is asked of all of them; or an object from slice id to queue. Something must serve them: `twelvefold up`, say.
    """

    def __init__(self, bus: Connection | None = None, *, home: str | os.PathLike[str] | None = None) -> None:
        self._bus = bus
        self._home = home

    async def execute_pattern(
        self,
        pattern: OrchestrationPattern | str,
        task_slices: Sequence[TaskSlice],
        agents: Agents = (),
        *,
        wait_s: float | None = None,
        **request: Any,
    ) -> PatternResult:
        """Run slices in a pattern, and return what became of each once the run has ended or rests.

        `request` takes what `bus.submit` takes (`run`, `input`, `labels`, `budget`, `timeout_s`, `levels`). The run
        outlives its caller: submitting the same again under the same `run` id waits for the run that there is. Raises
        PatternUnknown, SlicesInvalid, SlicesCyclic, PatternUnsuitable, PlanInvalid, BusNotRunning, AgentsMissing where
        nobody serves a queue, and RunWaitTimedOut after `wait_s`.
        """
        return await self._execute(pattern_named(pattern), "", task_slices, agents, wait_s, request)

    async def execute_auto_pattern(
        self, task_slices: Sequence[TaskSlice], agents: Agents = (), *, wait_s: float | None = None, **request: Any
    ) -> PatternResult:
        """Run slices in the pattern that suits them, as `execute_pattern` does; `recommended` says why it does."""
        found = self.recommend(task_slices, agents)
        return await self._execute(found.pattern, found.reason, task_slices, agents, wait_s, request)

    def recommend_pattern(self, task_slices: Sequence[TaskSlice], agents: Agents = ()) -> OrchestrationPattern:
        """Return the pattern that suits slices of work; `recommend` tells why, too."""
        return self.recommend(task_slices, agents).pattern

    def recommend(self, task_slices: Sequence[TaskSlice], agents: Agents = ()) -> Recommendation:
        """Return the pattern that suits slices of work, with its reason; raises SlicesInvalid and SlicesCyclic."""
        return recommend(task_slices, queues_of(agents))

    async def _execute(
        self,
        pattern: OrchestrationPattern,
        why: str,
        slices: Sequence[TaskSlice],
        agents: Agents,
        wait_s: float | None,
        request: Mapping[str, Any],
    ) -> PatternResult:
        arrangement = arrange(pattern, slices, queues_of(agents))
        async with self._connection() as bus:
            await self._require(bus, queues_in(plan_from(plan_data(arrangement.plan))))
            id = await bus.submit(arrangement.plan, **request)
            result: RunResult = await bus.wait(id, wait_s)
            fold = RunFold(Run(id))
            async for event in bus.read(run=id, until=result.last):
                fold = follow(fold, event, bus.blobs.load)
        return pattern_result(pattern, slices, arrangement, fold.at_head, result, why)

    async def _require(self, bus: Connection, queues: Sequence[str]) -> None:
        """Wait a moment until somebody serves each queue; raises AgentsMissing, as the run would wait for ever."""
        begun = time.monotonic()
        while True:
            groups = (await bus.stats())["groups"].values()
            served = {group["name"] for group in groups if group["queue"] and group["members"]}
            missing = tuple(queue for queue in queues if queue not in served)
            if not missing:
                return
            if time.monotonic() - begun > HELLO_WITHIN_S:
                home = load_settings().home if self._home is None else Path(self._home).absolute()
                raise AgentsMissing(missing, str(home), f"twelvefold agent MODULE:CLASS --name {missing[0]}")
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._bus is not None:
            yield self._bus
            return
        async with connect(self._home) as bus:
            yield bus


def queues_of(agents: Agents) -> list[str] | dict[str, str]:
    """Return queues, given as such or by the agents that serve them."""
    if isinstance(agents, Mapping):
        return {id: _queue_of(agent) for id, agent in agents.items()}
    return [_queue_of(agent) for agent in agents]


def _queue_of(agent: Agent) -> str:
    if isinstance(agent, str):
        return agent
    return queue_name(agent if isinstance(agent, type) else type(agent))
