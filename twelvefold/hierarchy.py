"""`HierarchicalOrchestrator`: a complex task, taken apart, coordinated and done by agents on three levels.

Owns the promised names, finding or starting the agents, and the way from a task to its run and back. What the agents
answer is `orchestration.hierarchy`'s, limits are kept by the deciders (`orchestration.levels`).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from . import ground
from .agent_errors import AgentsMissing
from .agents.base import BaseAgent, queue_name
from .agents.primary import Assignment
from .background_target import command_of, target_of
from .bus.client import BusClient
from .bus.endpoints import endpoints
from .connection import connect
from .eventstore.run import read_run
from .orchestration import submit as runs
from .orchestration.errors import NotUp, RunNotFound
from .orchestration.hierarchy import Roles, Work, check_work, numbered
from .orchestration.hierarchy_view import HierarchyView, SubtaskResult
from .orchestration.home_lock import holder_of
from .orchestration.levels import LEVELS, depth_from, limits_from
from .orchestration.plan import Retry, Task
from .orchestration.procfile import ProcfileLine
from .orchestration.slice_errors import TaskUnclear
from .run_log import RunLog
from .settings import Settings, load_settings

_RUN = re.compile(r"[0-9a-f]{32}")
#: The built-in agents of a role, where no others are named. The worker is the user's own.
_BUILT_IN = {
    "primary": "twelvefold.agents.primary:PrimaryAgent",
    "secondary": "twelvefold.agents.secondary:SecondaryAgent",
}
ROLES = ("primary", "secondary", "tertiary", "aggregation")
#: Coordinating takes moments: more processes than these would only wait.
_SECONDARY_PROCESSES_MAX = 2


class OrchestrationResult(msgspec.Struct, frozen=True):
    """What became of a complex task. `subtasks` has each part that a worker was given, in the order of the tree.

    `success` is the promised flag; `outcome` says more (see `RunResult`). `value` is what the aggregation made of the
    parts, `complexity` the level that decomposition found (None where the parts were given by hand). `questions` has
    what a human is asked where the outcome is `needs_human`: the run rests, and goes on once that is answered.
    """

    success: bool
    outcome: str
    orchestration_id: str
    run: str
    value: Any
    complexity: str | None
    subtasks: tuple[SubtaskResult, ...]
    levels: dict[str, dict[str, int | None]]
    evidence: tuple[dict[str, Any], ...]
    elapsed_s: float
    reason: str | None = None
    error: Any = None
    questions: tuple[dict[str, Any], ...] = ()


class HierarchicalOrchestrator:
    """Does complex tasks by agents on three levels, each in a process of its own.

    The built-in primary agent decomposes a task, validates the parts and aggregates what came of them; built-in
    secondary agents coordinate; `worker`, the user's own, does each part. It is a queue that something serves, or an
    agent class (or MODULE:CLASS), which is started where nobody serves its queue. `agents` names others for a role
    (`primary`, `secondary`, `tertiary`, `aggregation`) in the same way. `max_agents_per_level` bounds how many tasks
    of a run are out at once on each level, and `max_depth` how deep tasks may answer with plans. `retry` and
    `timeout_s` are those of each part's task.
    """

    def __init__(
        self,
        max_depth: int = 3,
        max_agents_per_level: Mapping[str, int] = LEVELS,
        *,
        worker: str | type[BaseAgent] = "worker",
        agents: Mapping[str, str | type[BaseAgent]] | None = None,
        retry: Retry | None = None,
        timeout_s: float | None = None,
        home: str | os.PathLike[str] | None = None,
    ) -> None:
        self.max_depth = depth_from(max_depth)
        self.max_agents_per_level = limits_from(max_agents_per_level)
        if max_depth < 1:
            raise TaskUnclear("max_depth must be at least 1: the primary agent answers with a plan")
        chosen = {**_BUILT_IN, "tertiary": worker, **(agents or {})}
        for role in chosen:
            if role not in ROLES:
                raise TaskUnclear(f"there is no role {role!r}, only {', '.join(ROLES)}")
        self._agents = {role: _Agent.of(target) for role, target in chosen.items()}
        self._retry = retry
        self._timeout_s = timeout_s
        self._home = home
        self._last = ""

    async def orchestrate_complex_task(
        self,
        task: str | Mapping[str, Any],
        orchestration_id: str | None = None,
        *,
        wait_s: float | None = None,
        **request: Any,
    ) -> OrchestrationResult:
        """Do a task, and return what became of it and of each part once its run has ended or rests.

        A task is a text, or an object with `text`, and `repo`, `base`, `override` (a level of complexity) or
        `subtasks` given by hand. The same `orchestration_id` again starts nothing new and waits for what there is.
        `request` takes `timeout_s`, `budget`, `labels`. Raises SlicesInvalid and SlicesCyclic for wrong subtasks,
        AgentsMissing where nobody serves a queue, and RunWaitTimedOut after `wait_s`.
        """
        assignment = assignment_of(task)
        run = run_of(orchestration_id) if orchestration_id else runs.new_run_id()
        self._last = orchestration_id or run
        settings = self._settings()
        await asyncio.to_thread(self._stand, settings)
        async with connect(settings.home) as bus:
            labels = {"orchestration": self._last, **request.pop("labels", {})}
            await bus.submit(
                self._plan(assignment), run=run, levels=self.max_agents_per_level, depth_max=self.max_depth,
                labels=labels, **request,
            )  # fmt: skip
            result = await bus.wait(run, wait_s)
            events = [event async for event in bus.read(run=run, until=result.last)]
            view = HierarchyView(run, events, bus.blobs.load)
        value = result.value
        return OrchestrationResult(
            success=result.outcome in ("succeeded", "nothing_to_do"),
            outcome=result.outcome or "open",
            orchestration_id=self._last,
            run=run,
            value=value,
            complexity=value.get("level") if isinstance(value, dict) else None,
            subtasks=tuple(view.subtasks()),
            levels=view.status()["levels"],
            evidence=result.evidence,
            elapsed_s=result.elapsed_s,
            reason=result.reason,
            error=result.error,
            questions=result.questions,
        )

    def get_orchestration_status(self, orchestration_id: str) -> dict[str, Any]:
        """Return where a task stands: as a whole, and on each level who runs, waits and has ended, and the limit.

        Works whether anything runs or not, from the log. Raises RunNotFound.
        """
        return {"orchestration_id": orchestration_id, **self._view(orchestration_id).status()}

    def get_agent_hierarchy(self, orchestration_id: str | None = None) -> dict[str, Any]:
        """Return the tree of tasks with level, agent, instance and state; of the last task, unless one is named.

        An empty object where no task has been requested yet. Raises RunNotFound.
        """
        tree = self._view(orchestration_id or self._last).tree()
        found: dict[str, Any] = msgspec.to_builtins(tree) if tree is not None else {}
        return found

    def cancel_orchestration(self, orchestration_id: str, reason: str = "") -> bool:
        """Ask for the end of a task: what is open is taken back. False where it has ended already; raises RunNotFound.

        Raises BusNotRunning where nothing runs that could hear of it.
        """
        if self._view(orchestration_id).run.status == "ended":
            return False
        settings = self._settings()
        with self._client(settings) as client:
            runs.cancel(client, run_of(orchestration_id), reason)
        return True

    def _plan(self, assignment: Assignment) -> Task:
        queues = {role: agent.queue for role, agent in self._agents.items()}
        roles = Roles(**queues, room=self.max_depth, retry=self._retry, timeout_s=self._timeout_s)
        given = {"do": "decompose", "assignment": assignment, "roles": roles}
        return Task(queues["primary"], msgspec.to_builtins(given), name="task")

    def _settings(self) -> Settings:
        settings = load_settings()
        return settings if self._home is None else msgspec.structs.replace(settings, home=Path(self._home).absolute())

    def _client(self, settings: Settings) -> BusClient:
        return BusClient(endpoints(settings.home, settings.runtime_dir), timeout_s=settings.timeout_s)

    def _view(self, orchestration_id: str) -> HierarchyView:
        run = run_of(orchestration_id)
        with RunLog(self._settings().home) as log:
            view = HierarchyView(run, read_run(log, run), log.load)
        if view.run.status == "unknown":
            raise RunNotFound(orchestration_id)
        return view

    def _stand(self, settings: Settings) -> None:
        """See to it that something serves every queue; agents that can be started are, where nobody does."""
        served: set[str] = set()
        if holder_of(settings.home) is not None:
            with self._client(settings) as client:
                groups = client.stats()["groups"].values()
                served = {group["name"] for group in groups if group["queue"] and group["members"]}
        limits = self.max_agents_per_level
        counts = {"primary": limits["primary"], "secondary": min(limits["secondary"], _SECONDARY_PROCESSES_MAX)}
        lines: dict[str, ProcfileLine] = {}
        wanted: dict[str, int] = {}
        for role, agent in self._agents.items():
            line = agent.line
            if line is not None and agent.queue not in served:
                lines[line.name] = line
                wanted[line.name] = max(wanted.get(line.name, 0), counts.get(role, limits["tertiary"]))
        owned = holder_of(settings.home) is None
        if lines or owned:
            if not lines:
                raise NotUp(str(settings.home))
            ground.stand(settings, os.environ, tuple(lines.values()), wanted, add_to_up=True)
        queues = tuple(dict.fromkeys(agent.queue for agent in self._agents.values()))
        with self._client(settings) as client:
            startable = all(agent.line or agent.queue in served for agent in self._agents.values())
            try:
                ground.require_agents(client, settings.home, owned=startable, queues=queues)
            except AgentsMissing as problem:
                remedy = (
                    f"twelvefold agent MODULE:CLASS --name {problem.queues[0]}    # or give its class as the worker"
                )
                raise AgentsMissing(problem.queues, problem.home, remedy) from None


class _Agent(msgspec.Struct, frozen=True):
    """Who does a role: the queue, and the line that runs an agent for it, where that is known."""

    queue: str
    line: ProcfileLine | None = None

    @classmethod
    def of(cls, given: str | type[BaseAgent]) -> _Agent:
        if isinstance(given, str) and ":" not in given:
            return cls(given)
        target, folder = target_of(given, None)
        queue = queue_name(type(target.rpartition(":")[2], (), {}))
        if target in _BUILT_IN.values():
            return cls(queue, ProcfileLine(queue, f"twelvefold agent {target}"))
        command = command_of(target, folder, queue)
        # Another class for the same queue has another line.
        mark = hashlib.sha256(command.encode()).hexdigest()[:6]
        return cls(queue, ProcfileLine(f"{re.sub('[^A-Za-z0-9_-]', '-', queue)[:40]}-{mark}", command))


def assignment_of(task: str | Mapping[str, Any]) -> Assignment:
    """Return a task as its primary agent is told it; raises TaskUnclear, SlicesInvalid and SlicesCyclic."""
    if not isinstance(task, str | Mapping):
        raise TaskUnclear(f"a task is a text or an object, not {type(task).__name__}")
    given = {"text": task} if isinstance(task, str) else dict(task)
    try:
        assignment = msgspec.convert(given, Assignment)
    except msgspec.ValidationError as error:
        raise TaskUnclear(f"the task is wrong: {error}") from None
    unknown = sorted(given.keys() - set(Assignment.__struct_fields__))
    if unknown or not assignment.text.strip():
        problem = f"has no {unknown[0]!r}, only {', '.join(Assignment.__struct_fields__)}" if unknown else "has no text"
        raise TaskUnclear(f"a task {problem}")
    parts: tuple[Work, ...] = numbered(assignment.subtasks)
    check_work(parts)
    repo = None if assignment.repo is None else str(Path(assignment.repo).absolute())
    return msgspec.structs.replace(assignment, subtasks=parts, repo=repo)


def run_of(orchestration_id: str) -> str:
    """Return the run of an orchestration: its id, where that is a run's, else one that is derived from it."""
    if _RUN.fullmatch(orchestration_id):
        return orchestration_id
    return hashlib.sha256(f"orchestration\0{orchestration_id}".encode()).hexdigest()[:32]
