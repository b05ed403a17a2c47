"""Errors of tools (E460 to E464): a call that took too long, and what the tools of a workspace refuse.

Owns the classes. Tools turn what they refuse into failed responses, which a model can read; a call that took too long
is an error of the call itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class ToolTimedOut(TwelvefoldError):
    """A tool had not answered within its `timeout_s`.

    It was told to stop: `tf` tools end what they started, an `async` tool is cancelled, and a tool that asks
    `tool_calls.stopping()` can return early. A thread can't be ended from outside: where one goes on all the same
    (`returned` is false), the agent's process ends once the task is settled, and the supervisor starts another.
    """

    code = "E460"
    tool: str
    timeout_s: float
    returned: bool = True

    def message(self) -> str:
        """Name the tool and the time that it had."""
        still = "" if self.returned else ", and it is still at work"
        return f"tool {self.tool} had not answered after {self.timeout_s:g} s{still}"

    def help(self) -> str:
        """Show where the time is set."""
        return "ask for less at once, or give the tool more time: @tf.tool(timeout_s=...)"


@dataclass(eq=False)
class PathRefused(TwelvefoldError):
    """A path can't be taken for a file of the workspace: it leads out of it, into .git, or through a link."""

    code = "E461"
    exit_code = 2
    path: str
    problem: str
    reason: str = "path_refused"

    def message(self) -> str:
        """Name the path and what is wrong with it."""
        return f"{self.path[:300]!r} {self.problem}"

    def help(self) -> str:
        """Say what a path looks like."""
        return "give the file's own path, relative to the top of the repository, such as src/app.py"


@dataclass(eq=False)
class EditsRefused(TwelvefoldError):
    """Changes to files can't be made as asked, so that none was made; `failures` says why, one for each change."""

    code = "E462"
    failures: list[dict[str, Any]]

    @property
    def reason(self) -> str:
        """The word for the first failure."""
        return str(self.failures[0]["reason"])

    def message(self) -> str:
        """Say what is wrong with each."""
        return "; ".join(str(failure["message"]) for failure in self.failures[:10])


@dataclass(eq=False)
class WorkspaceBusy(TwelvefoldError):
    """Another tool call is at work in the workspace and has not ended in time."""

    code = "E463"
    folder: str

    def message(self) -> str:
        """Name the workspace."""
        return f"another call is at work in {self.folder}"


@dataclass(eq=False)
class CommandRefused(TwelvefoldError):
    """A command may not be run: its program is none of those allowed, is not there, or lies outside the workspace."""

    code = "E464"
    exit_code = 2
    program: str
    problem: str

    def message(self) -> str:
        """Name the program and why it is refused."""
        return f"{self.program[:300]!r} {self.problem}"

    def help(self) -> str:
        """Show where programs are allowed."""
        return "CommandRules(programs=(...)) names the programs that an agent may run"
