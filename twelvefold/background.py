"""`BackgroundExecutor`: agents as processes beside the caller, under the home's supervisor, that outlive it.

Owns what such an agent is called, which queue it takes from, and how its state is put together from the supervisor, the
bus and the log. Starting, restarting, limiting and ending processes are the supervisor's; runs are the orchestrator's.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from .agents.base import BaseAgent
from .background_target import command_of, target_of, word_of
from .bus.client import BusClient
from .bus.endpoints import endpoints
from .bus.errors import BusNotRunning
from .eventstore.errors import TwelvefoldError
from .eventstore.ids import derived_id
from .ground import stand
from .orchestration import submit as runs
from .orchestration.background import BackgroundAgent
from .orchestration.control import ControlRequest, Operation, ProcessStatus, ask
from .orchestration.errors import NotUp, RunNotFound, SupervisorRefused, UnknownProcess
from .orchestration.limits import Limits, LimitWrong, limits_of
from .orchestration.plan import Task
from .orchestration.process_report import memory_of_sessions
from .orchestration.procfile_options import Restart
from .orchestration.resource_context import ResourceContext
from .orchestration.resource_errors import BackgroundAgentInvalid, BackgroundAgentUnknown, BackgroundTimeout
from .orchestration.result import RunResult
from .reach import listens
from .settings import load_settings

#: How long a process has to start, to stop, to be paused.
PATIENCE_S = 60.0
_ID = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_NOTHING: Any = object()
_ENDED = ("succeeded", "failed", "nothing_to_do", "cancelled", "rolled_back")


class BackgroundExecutor:
    """Starts agents as processes of the home's supervisor, and looks after them by their ids.

    `home` is the one that the command line would use, unless given. Where an `up` runs, agents run beside its lines;
    where none does, a supervisor is started that belongs to nobody, and ends 10 s after the last open run and client.
    An executor is such a client from its first call on, until `close` or the end of its process. In a `with` block it
    waits for the work that it was given, then ends its agents. Every method blocks; from asyncio, use `to_thread`.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None, *, timeout_s: float = PATIENCE_S) -> None:
        settings = load_settings()
        self._settings = settings if home is None else msgspec.structs.replace(settings, home=Path(home).absolute())
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._client: BusClient | None = None
        #: Those that were started here, in their order.
        self._own: list[str] = []

    # --- starting -----------------------------------------------------------------------------------------------------

    def spawn_background_agent(
        self,
        agent: str | type[BaseAgent],
        task: Any = _NOTHING,
        *,
        agent_id: str = "",
        queue: str = "",
        resources: ResourceContext | Limits | Mapping[str, Any] | None = None,
        folder: str | os.PathLike[str] | None = None,
        restart: Restart | None = None,
        task_options: Mapping[str, Any] | None = None,
        **request: Any,
    ) -> str:
        """Start an agent ("module:Class", or its class) as a process of its own, and return its id once it is ready.

        With a `task` it works on that, as a run of its own, and ends with that run; it takes from a queue that nobody
        else has. Without one it takes from its class's queue (or `queue`) until it is terminated.
        `agent_id` names it for ever: with the same one again nothing new is started. `resources` bind the process: a
        context of a ResourceManager, or options such as `{"memory": "512MB"}`. `folder` is where its module lies, if
        not in the current folder. `task_options` are fields of `Task` (retry, timeout_s, requires, …); other keywords
        are those of `submit` (labels, timeout_s, budget). Raises BackgroundAgentInvalid, where it doesn't start too.
        """
        target, place = target_of(agent, folder)
        id = agent_id or f"{word_of(target)}-{os.urandom(4).hex()}"
        if not _ID.fullmatch(id):
            raise BackgroundAgentInvalid(f"{id!r} is no id: a small letter, then small letters, digits, _ and -")
        with_task = task is not _NOTHING
        own_queue = queue or (id if with_task else "")
        run = run_of_agent(id) if with_task else ""
        agent_line = BackgroundAgent(
            id=id,
            command=command_of(target, place, own_queue, only=with_task),
            limits=_limits(resources),
            restart=restart or Restart(),
            run=run,
        )
        if not self._begun(agent_line):
            return id  # that very work is done already
        if with_task:
            labels = {"background": id, **request.pop("labels", {})}
            # Nothing of this process in it: the same asked for by another one is the same.
            plan = Task(own_queue, task, **(task_options or {}))
            runs.submit(self._connected(), plan, run=run, labels=labels, caller={"background": id}, **request)
        self._own.append(id)
        return id

    # --- looking ------------------------------------------------------------------------------------------------------

    def get_agent_status(self, agent_id: str) -> dict[str, Any]:
        """Return what is known of an agent, from whichever program it was started.

        Keys: id, state (starting, ready, busy, paused, stopping, backoff, crashed, ended), paused, pid, since (Unix
        time), restarts, exit (below 0: a signal's number), reason, limit and used (of the limit that ended its last
        process), rss_bytes, pss_bytes, and of its work run, outcome, value, error; what there is not is None. Raises
        BackgroundAgentUnknown, and BusNotRunning where nothing runs.
        """
        status = self._status(agent_id)
        run = run_of_agent(agent_id)
        outcome, value, error = self._outcome(run)
        if status is None and outcome == "unknown" and not self._was_there(agent_id):
            raise BackgroundAgentUnknown(agent_id, tuple(self._own))
        excess = status.excess if status is not None else self._last_excess(agent_id)
        found: dict[str, Any] = {
            "id": agent_id, "state": "ended", "paused": False, "pid": None, "since": None, "restarts": None,
            "exit": None, "rss_bytes": None, "pss_bytes": None,
            **{name: excess.get(name) for name in ("reason", "limit", "used")},
            "run": None if outcome == "unknown" else run,
            "outcome": None if outcome == "unknown" else outcome,
            "value": value, "error": error,
        }  # fmt: skip
        if status is not None:
            memory = memory_of_sessions({status.pid} if status.pid is not None else set())
            rss, pss = memory.get(status.pid or 0, (None, None))
            found |= {"state": self._state(status), "paused": status.paused, "pid": status.pid, "since": status.since}
            found |= {"restarts": status.restarts, "exit": status.exit, "rss_bytes": rss, "pss_bytes": pss}
        return found

    def wait(self, agent_id: str, timeout_s: float | None = None) -> RunResult:
        """Wait for the work of an agent, and return its result; raises BackgroundAgentUnknown and RunWaitTimedOut.

        Where nothing runs any more that could do the work, it is started.
        """
        self._stand()
        try:
            return runs.wait(self._connected(), run_of_agent(agent_id), timeout_s)
        except RunNotFound:
            raise BackgroundAgentUnknown(agent_id, tuple(self._own)) from None

    # --- steering -----------------------------------------------------------------------------------------------------

    def pause_agent(self, agent_id: str) -> None:
        """Have an agent take no new tasks; returns once the bus hands it none. What it holds it finishes.

        Its process goes on and is restarted as before, but paused. Raises BackgroundAgentUnknown, BackgroundTimeout.
        """
        self._hold(agent_id, paused=True)

    def resume_agent(self, agent_id: str) -> None:
        """Let a paused agent take tasks again; returns once it does. Raises as `pause_agent`."""
        self._hold(agent_id, paused=False)

    def terminate_agent(self, agent_id: str, reason: str = "terminated") -> None:
        """End an agent for good: its run is cancelled, if open, and its process asked to stop, then killed.

        Returns once no process of it is left. One that has ended already is left as it is. Raises
        BackgroundAgentUnknown.
        """
        self._stand()
        client, run = self._connected(), run_of_agent(agent_id)
        if self._outcome(run)[0] not in (*_ENDED, "unknown"):
            runs.cancel(client, run, reason)
        try:
            self._ask("remove", agent_id)
        except (BackgroundAgentUnknown, NotUp):
            self._await_removal(agent_id)
        if agent_id in self._own:
            self._own.remove(agent_id)

    def shutdown(self, wait: bool = True, timeout_s: float | None = None) -> None:
        """End the agents that this executor has started, after the work that they were given (unless not `wait`).

        Raises RunWaitTimedOut where that takes longer than `timeout_s`; then nothing is ended.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if wait:
            for id in self._own:
                if self._outcome(run_of_agent(id))[0] not in (*_ENDED, "unknown", "needs_human"):
                    self.wait(id, None if deadline is None else max(0.0, deadline - time.monotonic()))
        for id in list(self._own):
            self.terminate_agent(id, "shutdown")
        self.close()

    def close(self) -> None:
        """Let go of the bus; the agents go on as if this program had ended."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.shutdown(wait=kind is None)

    # --- within -------------------------------------------------------------------------------------------------------

    def _begun(self, agent: BackgroundAgent) -> bool:
        """Have a supervisor that runs an agent; False where its run has ended. Raises BackgroundAgentInvalid."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            self._stand()
            client = self._connected()
            head = client.head()
            if agent.run and self._outcome(agent.run)[0] in _ENDED:
                return False
            try:
                found = self._ask("spawn", agent=msgspec.structs.replace(agent, after=head if agent.run else 0))
            except (NotUp, SupervisorRefused):
                # It, or this agent's last process, is just ending.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
                continue
            if found and found[0].state == "ready":
                return True
            if found and found[0].state in ("backoff", "crashed", "stopped"):
                (status,) = found
                why = f"it was over its {status.excess['reason']}" if status.excess else f"it ended with {status.exit}"
                self._ask("remove", agent.id)
                raise BackgroundAgentInvalid(f"{agent.command} did not start: {why}; see `twelvefold logs {agent.id}`")

    def _stand(self) -> None:
        """See to it that a supervisor runs, which starts agents again whose run is open."""
        stand(self._settings, os.environ, (), {}, add_to_up=True)

    def _connected(self) -> BusClient:
        """Return the client, connected for as long as this executor is used, so that what it started stays up."""
        with self._lock:
            if self._client is None:
                where = endpoints(self._settings.home, self._settings.runtime_dir)
                if not listens(where.ingress) and not listens(where.control):
                    raise BusNotRunning(where.ingress, 0.0)
                client = BusClient(where, timeout_s=self._settings.timeout_s)
                client.head()
                # Somebody must sign life while the caller does other things.
                threading.Thread(target=_serve, args=(client,), name="background", daemon=True).start()
                self._client = client
            return self._client

    def _ask(self, op: Operation, *names: str, agent: BackgroundAgent | None = None) -> list[ProcessStatus]:
        request = ControlRequest(op, names, agent=agent)
        answer = ask(self._settings.home, self._settings.runtime_dir, request, timeout_s=self._timeout_s)
        return msgspec.convert(answer, list[ProcessStatus])

    def _status(self, id: str) -> ProcessStatus | None:
        """Return how the supervisor sees an agent, None where it has none."""
        try:
            found = self._ask("ps", id)
        except (UnknownProcess, NotUp):
            return None
        return found[0] if found else None

    def _state(self, status: ProcessStatus) -> str:
        if status.state != "ready":
            return status.state
        if self._connected().stats()["held_by"].get(status.instance, 0):
            return "busy"
        return "paused" if status.paused else "ready"

    def _outcome(self, run: str) -> tuple[str, Any, Any]:
        """Return outcome ("open" before there is one, "unknown" without such a run), value and error of a run."""
        try:
            result = runs.result(self._connected(), run)
        except RunNotFound:
            return "unknown", None, None
        return result.outcome or "open", result.value, result.error

    def _was_there(self, id: str) -> bool:
        return any(True for _ in self._connected().read(stream=f"process.{id}.1", limit=1))

    def _last_excess(self, id: str) -> dict[str, Any]:
        stream, type = f"process.{id}.1", "process.exited"
        last = list(self._connected().read(stream=stream, type=type, reverse=True, limit=1))
        return dict(last[0].data) if last else {}

    def _hold(self, id: str, *, paused: bool) -> None:
        """Tell the supervisor, and wait until the bus shows it."""
        try:
            self._ask("pause" if paused else "resume", id)
        except (UnknownProcess, NotUp):
            raise BackgroundAgentUnknown(id, tuple(self._own)) from None
        deadline = time.monotonic() + self._timeout_s
        while (status := self._status(id)) is not None:
            takes = bool(self._connected().stats()["groups_of"].get(status.instance))
            if status.paused != paused or (status.state == "ready" and takes is not paused):
                return  # somebody else has said otherwise meanwhile, or it is as wanted
            if status.state in ("crashed", "stopped", "stopping"):
                return
            if time.monotonic() > deadline:
                raise BackgroundTimeout(id, "paused" if paused else "resumed", self._timeout_s)
            time.sleep(0.02)
        raise BackgroundAgentUnknown(id, tuple(self._own))

    def _await_removal(self, id: str) -> None:
        """Wait for the end of one that is ending already; raises BackgroundAgentUnknown where there never was one."""
        if not self._was_there(id):
            raise BackgroundAgentUnknown(id, tuple(self._own))
        deadline = time.monotonic() + self._timeout_s
        while (status := self._status(id)) is not None:
            if status.state != "stopping":
                raise BackgroundAgentUnknown(id, tuple(self._own))  # a line of the Procfile
            if time.monotonic() > deadline:
                raise BackgroundTimeout(id, "terminated", self._timeout_s)
            time.sleep(0.02)


def run_of_agent(agent_id: str) -> str:
    """Return the id of the run that a background agent with a task works for."""
    return derived_id("", agent_id, "background").hex()


def _serve(client: BusClient) -> None:
    """Sign life until the client is closed, over restarts of the bus too."""
    with contextlib.suppress(TwelvefoldError):  # refused, or closed: the next call will say so
        client.run()


def _limits(resources: ResourceContext | Limits | Mapping[str, Any] | None) -> Limits:
    if resources is None:
        return Limits()
    if isinstance(resources, ResourceContext):
        return resources.limits
    try:
        return resources if isinstance(resources, Limits) else limits_of(resources)
    except LimitWrong as error:
        raise BackgroundAgentInvalid(str(error)) from error
