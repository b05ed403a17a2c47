"""The errors of agents and of the built-in job: what a user meets when a task, a tool or its evidence goes wrong.

Codes E401 to E419 belong to the runtime (this file); E420 and up to the built-in agents, in their own files. All are
data (see `eventstore/errors.py`): a recorded one is rebuilt from its facts when a task is delivered again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class AgentNotLoadable(TwelvefoldError):
    """The agent named on the command line can't be made: no such module or class, or its module fails on import.

    The name is MODULE:CLASS, where MODULE is importable from the folder in which the process starts, and CLASS is a
    subclass of BaseAgent that needs no constructor arguments.
    """

    code = "E401"
    exit_code = 3
    target: str
    problem: str

    def message(self) -> str:
        """Name the target and what is wrong with it."""
        return f"agent {self.target} can't be loaded: {self.problem}"

    def help(self) -> str:
        """Show a name of the right shape and how to try the import."""
        module = self.target.partition(":")[0] or "my_agents"
        return f'name it MODULE:CLASS; try `python -c "import {module}"` in the folder where the agent starts'


@dataclass(eq=False)
class InvalidParameters(TwelvefoldError):
    """A tool was called with parameters that don't fit its declared types, or that its own check refused."""

    code = "E402"
    exit_code = 2
    tool: str
    problem: str

    def message(self) -> str:
        """Name the tool, the place in its parameters and what was expected there."""
        return f"parameters of tool {self.tool}: {self.problem}"


@dataclass(eq=False)
class UnknownTool(TwelvefoldError):
    """An action or call names a tool that the agent doesn't have."""

    code = "E403"
    exit_code = 3
    tool: str
    known: tuple[str, ...]

    def message(self) -> str:
        """Name the tool asked for, and those that exist."""
        return f"no tool named {self.tool}; this agent has {', '.join(self.known) or 'none'}"


@dataclass(eq=False)
class EffectFailed(TwelvefoldError):
    """An effect raised an exception. It is recorded; when the task is delivered again, this error is raised again
    without touching the world, and only a new attempt of the task tries anew.
    """

    code = "E404"
    effect: str
    error: dict[str, Any]

    def message(self) -> str:
        """Name the effect, the exception's class and its message."""
        return f"effect {self.effect} failed: {self.error.get('class', 'Error')}: {self.error.get('message', '')}"


@dataclass(eq=False)
class EffectInDoubt(TwelvefoldError):
    """An effect that must happen only once was begun, and its process died before the result was recorded.

    Nobody can tell whether it happened, so it isn't repeated: the task ends as `needs_human`. Look whether it happened.
    """

    code = "E405"
    exit_code = 7
    effect: str
    key: str

    def message(self) -> str:
        """Name the effect in doubt."""
        return (
            f"effect {self.effect} ({self.key}) was begun, its result was never recorded, and it must not happen twice"
        )


@dataclass(eq=False)
class HumanNeeded(TwelvefoldError):
    """An agent asks a human by `context.ask`: its turn ends, and the task's next attempt finds the answer there.

    Let it pass through the handler; the task becomes `needs_human` in any case.
    """

    code = "E414"
    exit_code = 7
    question: str

    def message(self) -> str:
        """Repeat the question."""
        return f"a human is asked: {self.question}"

    def help(self) -> str:
        """Tell where it can be answered."""
        return "answer it: twelvefold inbox"


@dataclass(eq=False)
class TaskWithdrawn(TwelvefoldError):
    """The task was taken back (cancelled, timed out or rolled back) while it was worked on; its result isn't wanted."""

    code = "E406"
    run: str
    path: str

    def message(self) -> str:
        """Name the task."""
        return f"task {self.path} of run {self.run} was withdrawn"


@dataclass(eq=False)
class EvidenceUnresolved(TwelvefoldError):
    """A task said that it succeeded, but what it offers as evidence isn't there.

    The task is recorded as failed with reason `evidence`. Evidence is a reference that the runtime looks up: a commit
    in the run's store, an effect recorded in this task, a file with this hash, the hash of the returned data.
    """

    code = "E407"
    kind: str
    ref: Any
    problem: str

    def message(self) -> str:
        """Name the evidence and why it doesn't resolve."""
        return f"evidence {self.kind} {str(self.ref)[:200]} doesn't resolve: {self.problem}"


@dataclass(eq=False)
class InvalidTask(TwelvefoldError):
    """A task's input doesn't fit the type that the agent's `execute_task` declares for it."""

    code = "E408"
    agent: str
    problem: str

    def message(self) -> str:
        """Name the agent, the place in the input and what was expected there."""
        return f"input of agent {self.agent}: {self.problem}"


@dataclass(eq=False)
class InvalidResponse(TwelvefoldError):
    """An agent answered a task, or a tool a call, with something that isn't a ToolResponse of JSON-like data."""

    code = "E409"
    where: str
    problem: str

    def message(self) -> str:
        """Say who answered, and with what."""
        return f"{self.where} {self.problem}"

    def help(self) -> str:
        """Show the shape of an answer."""
        return "return tf.ToolResponse(success=True, data=...), or success=False with error=..."


@dataclass(eq=False)
class NotATask(TwelvefoldError):
    """An event came to an agent's queue that isn't a task of a run, or whose payload isn't one of a task.

    Agents take `task.requested` from a run only; the event is tried again and then parked. Start work with a run.
    """

    code = "E411"
    type: str
    position: int
    problem: str

    def message(self) -> str:
        """Name the event and what is wrong with it."""
        return f"event {self.position} ({self.type}) is no task for an agent: {self.problem}"


@dataclass(eq=False)
class AgentUsage(TwelvefoldError):
    """The command line of an agent process can't be understood: `twelvefold agent MODULE:CLASS [--name N] [--only]`."""

    code = "E412"
    exit_code = 2
    problem: str

    def message(self) -> str:
        """Say what is wrong."""
        return f"twelvefold agent: {self.problem}"

    def help(self) -> str:
        """Show the command's shape."""
        return "call it as `twelvefold agent MODULE:CLASS [--name QUEUE] [--only]`"


@dataclass(eq=False)
class InvalidTool(TwelvefoldError):
    """A tool can't be offered: a parameter has no type, a type isn't JSON-like, or two tools have the same name."""

    code = "E410"
    tool: str
    problem: str

    def message(self) -> str:
        """Name the tool and what is wrong with it."""
        return f"tool {self.tool}: {self.problem}"

    def help(self) -> str:
        """Show a tool of the right shape."""
        return "annotate each parameter, as in `def add(self, a: int, b: int = 0) -> int`, and name each tool once"


@dataclass(eq=False)
class RehearsalFailed(TwelvefoldError):
    """The agent that is run before any is forked, so that forks share memory, did not come to a good end.

    Agents start all the same and need more memory each; the zygote's log says so.
    """

    code = "E413"
    status: int

    def message(self) -> str:
        """Tell how it ended."""
        return f"the rehearsed agent ended with exit status {self.status}"


@dataclass(eq=False)
class AgentSettingInvalid(TwelvefoldError):
    """A variable of an agent's environment holds what it can't be.

    What it holds isn't shown, as it may be a secret. `twelvefold config` lists all settings and where each came from.
    """

    code = "E415"
    exit_code = 2
    variable: str
    wanted: str

    def message(self) -> str:
        """Name the variable and what is possible."""
        return f"{self.variable} must be {self.wanted}"

    def help(self) -> str:
        """Tell how to take the value away."""
        return f"unset {self.variable}"
