"""The task context: what an agent is given beside its task, and the only way in which it touches the world.

Owns what authors call. Recording is `effects`' work, where events go is `journal`'s. Keeps: what a call returns live
is what it returns when the task is delivered again (results pass through JSON both times). `asyncio` is imported where
it is needed only: most agents never do, and it costs each of them time and memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import msgspec

from ..eventstore.event import Event, NewEvent
from .agent_settings import NO_SETTINGS, AgentSettings, settings_of_run
from .effects import Call, EffectLedger
from .errors import EffectFailed, HumanNeeded
from .journal import AgentPlaces, HumanAnswer, Journal, TaskRequest, as_json, pack
from .response import ToolResponse
from .tool import Effect, Tool
from .tool_calls import executed, executed_async, in_turn, in_turn_async, response_of
from .tool_errors import ToolTimedOut

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ..orchestration.plan import Plan
    from .base import BaseAgent
    from .evidence import Resolver
    from .shared_state import TaskState
    from .workspace import Workspace

#: Progress that changes nothing but the fraction is reported at most this often.
PROGRESS_INTERVAL_S = 0.2

_current: ContextVar[TaskContext | None] = ContextVar("twelvefold_task", default=None)


def current_task() -> TaskContext | None:
    """Return the task that is being done here: in a handler, and in what it calls or awaits; None elsewhere."""
    return _current.get()


class TaskContext:
    """One task as its agent sees it.

    `run`, `path`, `attempt`, `undo`, `requires`: as requested. `asked_as`: the queue that it came from, the agent's own
    or one of its capabilities. `input`: JSON-like, what `execute_task` is given too.
    `values`: what `record` has noted so far. `places`: folders under the home.
    `contained`: whether the kernel keeps this process, and all that it starts, to its own places.
    """

    def __init__(
        self,
        agent: BaseAgent,
        request: TaskRequest,
        journal: Journal,
        places: AgentPlaces,
        settings: AgentSettings = NO_SETTINGS,
        *,
        contained: bool = False,
    ) -> None:
        self.agent = agent
        self.request = request
        self.run, self.path = request.run, request.path
        self.asked_as = request.agent
        self.stream = request.stream
        self.input = request.input
        self.attempt, self.undo = request.attempt, request.undo
        self.requires = request.requires
        self.places = places
        self._told = settings
        self.contained = contained
        self.values: dict[str, Any] = {}
        self.journal = journal
        self.ledger = EffectLedger(request, journal)
        self.asked: dict[str, Any] | None = None
        #: Threads of tools that went on when their time was up.
        self.strays: list[threading.Thread] = []
        self._asks: list[str] = []
        self._calls: dict[str, int] = {}
        self.over = False
        self._endings: list[Callable[[], object]] = []
        self._progressed: tuple[float, str | None] = (float("-inf"), None)

    @cached_property
    def settings(self) -> AgentSettings:
        """What the process was told, or the one who asked for the run, which comes first."""
        fork = self.request.fork
        return settings_of_run(self._told, self.journal, self.run, () if fork is None else fork.lineage)

    @property
    def log(self) -> logging.Logger:
        """A standard logger, to standard error; made when it is asked for, as most tasks say nothing."""
        return logging.getLogger(f"twelvefold.agent.{self.request.agent}")

    @property
    def traceparent(self) -> str:
        """Where this code is in the run's trace, for what it calls; commands and models are told by themselves."""
        return self.ledger.traceparent()

    @property
    def cancelled(self) -> bool:
        """Whether the task was withdrawn: stop soon, its result will be refused. Each effect call then raises."""
        return self.ledger.withdrawn.is_set()

    def wait_cancelled(self, timeout_s: float | None = None) -> bool:
        """Wait until the task is withdrawn or the time is over; tell whether it was."""
        return self.ledger.withdrawn.wait(timeout_s)

    @property
    def redelivered(self) -> bool:
        """Whether an earlier delivery of this request left recorded effects, which will be served."""
        return self.ledger.redelivered

    @property
    def recorded_commit(self) -> str | None:
        """The commit of the workspace as of the last recorded effect: what to reset a workspace to on redelivery."""
        return self.ledger.last_commits.get("")

    @property
    def recorded_commits(self) -> dict[str, str]:
        """The same for each of the task's workspaces by its name, which is empty for the one without."""
        return dict(self.ledger.last_commits)

    def attach_workspace(self, snapshot: Callable[[], str | None], name: str = "") -> None:
        """Have `snapshot` called after each effect that isn't `read`.

        It commits the workspace's files where they changed, synced, and returns the commit, or None where nothing
        changed; the commit goes into the effect's result event. A task with several workspaces names each.
        """
        self.ledger.snapshots[name] = snapshot

    def follow_workspace(self, restore: Callable[[str], object], name: str = "") -> None:
        """Have `restore` bring files to the commit of each result that is served from the record of another run."""
        self.ledger.restores[name] = restore

    def detach_workspace(self, name: str = "") -> None:
        """Have no more commits made of a workspace, and none brought into it."""
        self.ledger.snapshots.pop(name, None)
        self.ledger.restores.pop(name, None)

    def workspace(self, repo: str | Path, commit: str, *, name: str = "") -> AbstractContextManager[Workspace]:
        """Lay out a workspace for as long as a `with` block lasts (see `working_copy`).

        Its files are those of `commit`, a full id, in the user's repository at `repo`; when the task is delivered
        again, those of the last recorded effect. After each effect that changed them they are committed. `name`, of
        small letters and digits, tells several workspaces of one task apart.
        """
        from .working_copy import working_copy  # most agents change no files

        return working_copy(self, repo, commit, name)

    def at_end(self, do: Callable[[], object]) -> None:
        """Have `do` called once the handler is over, before its outcome, the latest first; what it raises fails it."""
        self._endings.append(do)

    def __enter__(self) -> TaskContext:
        """Be the current task of this flow of control."""
        self._before = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Do what was left for the end; from then on the task is `over`."""
        _current.reset(self._before)
        self.over = True
        while self._endings:
            self._endings.pop()()

    def call(self, tool: str | Tool, parameters: dict[str, Any] | None = None, /, **more: Any) -> ToolResponse:
        """Run one of the agent's tools as an effect and return its response.

        Raises UnknownTool, InvalidParameters, EffectFailed where the tool raised, EffectInDoubt, TaskWithdrawn. An
        `async` tool is run to its end; in an `async` handler use `call_async`.
        """
        actual = self.agent.tool(tool) if isinstance(tool, str) else tool
        given = {**(parameters or {}), **more}
        actual.check(given)
        do = partial(executed, actual, given, self.strays.append)
        with in_turn(actual):
            return response_of(self.effect("tool", actual.name, given, do, effect=actual.effect), actual)

    async def call_async(
        self, tool: str | Tool, parameters: dict[str, Any] | None = None, /, **more: Any
    ) -> ToolResponse:
        """Do as `call` from an `async` handler without holding up its event loop; several may run at once."""
        actual = self.agent.tool(tool) if isinstance(tool, str) else tool
        given = {**(parameters or {}), **more}
        actual.check(given)
        do = partial(executed_async, actual, given, self.strays.append)
        async with in_turn_async(actual):
            return response_of(await self.effect_async("tool", actual.name, given, do, effect=actual.effect), actual)

    def effect(
        self,
        kind: str,
        name: str,
        parameters: Any,
        do: Callable[[], Any],
        *,
        effect: Effect = "once",
        result: Any = Any,
    ) -> Any:
        """Do something to the world once it is recorded as intended, and return its recorded result.

        `kind` is `tool`, `model`, `process` or `git`; `parameters` is JSON-like and tells equal calls from others;
        `do` returns JSON-like data (Structs and dataclasses count), converted to the type `result`. An error of ours
        is raised as it is, any other as EffectFailed, also from the record. Raises EffectInDoubt, TaskWithdrawn.
        """
        call = self.ledger.call(kind, name, parameters, effect)
        recorded = self.ledger.served(call)
        if recorded is None:
            self.ledger.intend(call)
            started = time.monotonic()
            try:
                value = as_json(self.ledger.run(call, do))
            except (Exception, SystemExit) as error:
                raise self._failed(call, error, started) from error
            recorded = self.ledger.complete(call, value, started)
        return msgspec.convert(recorded.value(call), result)

    async def effect_async(
        self,
        kind: str,
        name: str,
        parameters: Any,
        do: Callable[[], Awaitable[Any]],
        *,
        effect: Effect = "once",
        result: Any = Any,
    ) -> Any:
        """Do as `effect` from an `async` handler; waiting for the log doesn't hold up its event loop."""
        import asyncio

        call = self.ledger.call(kind, name, parameters, effect)
        recorded = self.ledger.served(call)
        if recorded is None:
            await asyncio.to_thread(self.ledger.intend, call)
            started = time.monotonic()
            try:
                value = as_json(await self.ledger.run_async(call, do))
            except (Exception, SystemExit) as error:
                raise await asyncio.to_thread(self._failed, call, error, started) from error
            recorded = await asyncio.to_thread(self.ledger.complete, call, value, started)
        return msgspec.convert(recorded.value(call), result)

    @property
    def answers(self) -> tuple[HumanAnswer, ...]:
        """All that humans have answered to earlier attempts at this task, oldest first."""
        return self.request.answers

    def ask(
        self,
        question: str,
        *,
        reason: str = "question",
        choices: Sequence[Any] = (),
        expires_s: float | None = None,
        default: Any = msgspec.UNSET,
    ) -> Any:
        """Ask a human and return the answer: at once where it is there, else the turn ends here.

        Then the task is `needs_human`, no process waits, and the next attempt begins at the top with the answer: it
        must come to the same question again. `choices` lists the answers that count. After `expires_s` `default`
        counts as the answer, or without one the task fails, reason `human_expired`. Raises HumanNeeded to end the turn.
        """
        nth = self._asks.count(question)
        self._asks.append(question)
        given = [one for one in self.answers if one.question == question]
        if nth < len(given):
            return given[nth].answer
        response = ToolResponse.needs_human(reason, question, expires_s=expires_s, default=default, choices=choices)
        self.asked = {"reason": reason, "question": question, **response.terms()}
        raise HumanNeeded(question)

    def record(self, name: str, value: Any) -> Any:
        """Note a value that the task depends on, such as a time or a random choice, and return it.

        `value` may be a function without arguments, called only where nothing is recorded yet. When the task is
        delivered again, what was recorded first is returned.
        """
        produce = value if callable(value) else lambda: value
        self.values[name] = self.effect("value", name, None, produce, effect="read")
        return self.values[name]

    def emit(self, type: str, data: Any = None) -> Event:
        """Append a fact that has this task as its cause; durable on return.

        `workspace.*` goes into the task's stream, a family of your own into the stream of its first token. Raises
        ValueError for `task.*` and `effect.*`, which are recorded by calling, answering and `progress`.
        """
        family = type.partition(".")[0]
        if family in ("task", "effect"):
            raise ValueError(f"{type} is recorded by the runtime")
        return self.journal.append([self._event(type, data, self.stream if family == "workspace" else family)])[0]

    def state(self, namespace: str) -> TaskState:
        """Return the state of this name that all processes of the home share (docs/state.md); its calls are effects."""
        from .shared_state import TaskState

        return TaskState(self, namespace)

    def submit(self, plan: Plan | dict[str, Any], *, key: str = "", **request: Any) -> str:
        """Start another run, an effect, and return its id; one `key`, one run. Keywords as for `run_request`."""
        from .starting import start_run

        return start_run(self, plan, key, request)

    def resolver(self, kind: str) -> Resolver | None:
        """Return what looks up evidence of a kind in place of what is registered for it; None: nothing does."""
        return None

    def nth_equal(self, call: str) -> int:
        """Return how many equal calls came before this one in this delivery of the task."""
        self._calls[call] = self._calls.get(call, -1) + 1
        return self._calls[call]

    def progress(self, fraction: float, stage: str | None = None) -> None:
        """Tell how far the task is (0.0 to 1.0) and in which stage; reported without waiting, and not too often."""
        last, last_stage = self._progressed
        now = time.monotonic()
        if now - last < PROGRESS_INTERVAL_S and stage == last_stage and fraction < 1.0:
            return
        self._progressed = (now, stage)
        report = {"progress": round(fraction, 4), "stage": stage}
        self.journal.append_soon(self._event("task.progressed", report, self.stream))

    def _failed(self, call: Call, error: BaseException, started: float) -> BaseException:
        """Record how an effect failed and return what it raises: an error of ours as it is, for handlers to tell apart.

        Whether one that ran out of time has happened nobody knows: if it must not happen twice, it is in doubt.
        """
        late = isinstance(error, ToolTimedOut)
        if late and call.effect == "once":
            return self.ledger.doubt(call)
        at_work = isinstance(error, ToolTimedOut) and not error.returned
        recorded = self.ledger.fail(call, error, started, snapshot=not at_work)
        return error if "code" in (recorded.error or {}) else EffectFailed(call.name, recorded.error or {})

    def _event(self, type: str, data: Any, stream: str) -> NewEvent:
        request = self.request
        payload = pack(data, self.journal) if isinstance(data, dict) else msgspec.json.encode(data).decode()
        return NewEvent(type=type, payload=payload, stream=stream, run=self.run, cause=request.id, trace=request.trace)
