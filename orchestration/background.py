"""Background agents: lines that a running supervisor takes in for somebody, and gives up when their run has ended.

Owns which there are, and a file for each that works for a run (`background/ID.json` in the home), so that a supervisor
that comes after another one that was killed goes on with them. Leaves starting and stopping to the table, and runs to
the orchestrator. Invariant: while a background agent's run is open, its file is there; once the run has ended, neither
the file nor, soon, the process.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .command_line import runs_agent
from .errors import SupervisorRefused
from .limits import Limits
from .pausing import FOLDER as MARKS
from .pausing import LOOK, set_mark
from .process_table import Entry, ProcessSpec
from .procfile import ProcfileLine
from .procfile_options import ProcessOptions, Restart
from .resource_errors import BackgroundAgentInvalid, BackgroundAgentUnknown
from .supervisor_plan import one_of_each, specs_named, with_lines

if TYPE_CHECKING:
    from .supervisor import Supervisor

FOLDER = "background"


class BackgroundAgent(msgspec.Struct, frozen=True, kw_only=True):
    """One background agent as it was asked for: the name of its line, its command, and how it is kept.

    It ends with `run`, where it has one; `after` is a position of the log before that run's first event.
    """

    id: str
    command: str
    limits: Limits = Limits()
    restart: Restart = Restart()
    run: str = ""
    after: int = 0


class Background:
    """The background agents of one supervisor."""

    def __init__(self, supervisor: Supervisor, home: Path) -> None:
        self._supervisor = supervisor
        self._home = home
        self._folder = home / FOLDER
        self._agents: dict[str, BackgroundAgent] = {}

    def restore(self) -> None:
        """Take in those whose run an earlier supervisor of this home left open."""
        shutil.rmtree(self._home / MARKS, ignore_errors=True)  # of processes that have ended
        for path in sorted(self._folder.glob("*.json")):
            try:
                agent = msgspec.json.decode(path.read_bytes(), type=BackgroundAgent)
            except (OSError, msgspec.DecodeError) as error:
                self._supervisor.say(f"{path} cannot be read, so its agent doesn't start: {error}")
                continue
            self._enter(agent)

    def begin(self, agent: BackgroundAgent) -> ProcessSpec:
        """Take in an agent and start it; asked for the same again, leave it as it is. Return its place.

        Raises BackgroundAgentInvalid where its id is another one's.
        """
        known = self._agents.get(agent.id)
        if known is None:
            if agent.id.lower() in {spec.name.lower() for spec in one_of_each(self._supervisor.plan)}:
                raise BackgroundAgentInvalid(f"there is a process {agent.id!r} already")
            if f"{agent.id}.1" in self._supervisor.table.entries:
                raise SupervisorRefused(f"the process of {agent.id} before this one is just ending")
            if agent.run:
                self._write(agent)
            spec = self._enter(agent)
            self._supervisor.place(spec, time.monotonic())
            return spec
        if msgspec.structs.replace(agent, after=known.after) != known:
            raise BackgroundAgentInvalid(f"the background agent {agent.id!r} is there already: {known.command}")
        return specs_named(self._supervisor.plan, agent.id)[0]

    def end(self, id: str) -> str:
        """Stop an agent for good, after the task at hand; return its place's key. Raises BackgroundAgentUnknown."""
        known = {name.lower(): name for name in self._agents}
        name = known.get(id.lower())
        if name is None:
            raise BackgroundAgentUnknown(id, tuple(self._agents))
        agent = self._agents.pop(name)
        (self._folder / f"{agent.id}.json").unlink(missing_ok=True)
        plan = self._supervisor.plan
        (spec,) = specs_named(plan, name)
        self._supervisor.plan = msgspec.structs.replace(
            plan,
            lines=tuple(line for line in plan.lines if line.name != name),
            only=tuple(only for only in plan.only if only != name),
        )
        if spec.key in self._supervisor.table.entries:
            self._supervisor.table.stop(spec.key, time.monotonic(), then="remove")
        return spec.key

    def run_ended(self, run: str) -> None:
        """Let those go that worked for a run."""
        for agent in [agent for agent in self._agents.values() if agent.run == run]:
            self.end(agent.id)

    def hold(self, entries: list[Entry], *, paused: bool) -> None:
        """Have agents take no new tasks, or take them again; what they hold they finish. Raises SupervisorRefused."""
        for entry in entries:
            if not runs_agent(entry.spec.command):
                raise SupervisorRefused(f"{entry.spec.key} is no agent: it takes no tasks that it could pause")
        for entry in entries:
            entry.paused = paused
            if entry.pid is not None:
                set_mark(self._home, entry.instance, paused)
                self.tell(entry)

    def tell(self, entry: Entry) -> None:
        """Have an agent that is ready look whether it shall take tasks, if that has changed since it last looked."""
        if entry.state == "ready" and entry.pid is not None and entry.told_paused != entry.paused:
            entry.told_paused = entry.paused
            os.kill(entry.pid, LOOK)

    def begins(self, entry: Entry, instance: str) -> None:
        """Let a process that is about to start know from the beginning that it is paused, if it is."""
        entry.told_paused = entry.paused
        if entry.paused:
            set_mark(self._home, instance, paused=True)

    def ended(self, entry: Entry) -> None:
        """Remove what only the process that has ended looked at."""
        if entry.paused:
            set_mark(self._home, entry.instance, paused=False)

    def _enter(self, agent: BackgroundAgent) -> ProcessSpec:
        plan = with_lines(self._supervisor.plan, [ProcfileLine(agent.id, agent.command)], {})
        options = {**plan.options, agent.id: ProcessOptions(restart=agent.restart, limits=agent.limits)}
        self._supervisor.plan = msgspec.structs.replace(plan, options=options)
        self._agents[agent.id] = agent
        if agent.run:
            self._supervisor.watch_run(agent.run, agent.after)
        return specs_named(self._supervisor.plan, agent.id)[0]

    def _write(self, agent: BackgroundAgent) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{agent.id}.json"
        with path.with_suffix(".new").open("wb") as file:
            file.write(msgspec.json.encode(agent))
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".new").replace(path)
