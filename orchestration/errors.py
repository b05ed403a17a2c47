"""The errors of processes and orchestration (E3xx): E301 to E349 processes, E350 and up plans and deciders.

All are data below `TwelvefoldError` (see `eventstore/errors.py`). Those that concern a file name it as
`file:line:column` and show the line with a caret.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..eventstore.errors import TwelvefoldError


def _pointer(file: str, line: int, column: int, source: str) -> str:
    """Show a place in a file as compilers do; the caret stands below the column, tabs included."""
    before = "".join("\t" if letter == "\t" else " " for letter in source[: column - 1])
    return f"\n  --> {file}:{line}:{column}\n   |\n   | {source}\n   | {before}^"


@dataclass(eq=False)
class ProcfileInvalid(TwelvefoldError):
    """A line of a Procfile is not `name: command`, or its name is used twice.

    A line is empty, a `# comment`, or a name of letters, digits, `_` and `-`, a colon, and a shell command. Names that
    differ only in capitals are the same name, as streams of events are written in lower case.
    """

    code = "E301"
    exit_code = 2
    file: str
    line: int
    column: int
    problem: str
    source: str
    remedy: str = ""

    def message(self) -> str:
        """Say what is wrong and show where."""
        return self.problem + _pointer(self.file, self.line, self.column, self.source)

    def help(self) -> str:
        """Tell how the line is mended, and how to check it."""
        return (self.remedy + "; then " if self.remedy else "") + f"check it: twelvefold check -f {self.file}"


@dataclass(eq=False)
class ProcfileOptionsInvalid(TwelvefoldError):
    """`Procfile.options` is not TOML, names a process that the Procfile doesn't have, or holds an unknown option.

    It has one table a process, with the keys `restart`, `after`, `stop_signal`, `stop_timeout_s`, `quantity`, `kind`,
    and the limits `memory` ("512MB"), `processes`, `open_files`, `cpu_seconds`, `cpus` (2, or [0, 2]), `nice`.
    """

    code = "E302"
    exit_code = 2
    file: str
    line: int
    column: int
    problem: str
    source: str
    remedy: str = ""

    def message(self) -> str:
        """Say what is wrong and show where."""
        return self.problem + _pointer(self.file, self.line, self.column, self.source)

    def help(self) -> str:
        """Tell what is possible there."""
        return self.remedy or "see `twelvefold explain E302` for the keys, then `twelvefold check`"


@dataclass(eq=False)
class ProcfileMissing(TwelvefoldError):
    """There is no Procfile where one was looked for."""

    code = "E303"
    exit_code = 3
    file: str

    def message(self) -> str:
        """Name the file."""
        return f"no Procfile: {self.file} does not exist or cannot be read"

    def help(self) -> str:
        """Tell how to get one."""
        return "make one here: twelvefold init; or name another: twelvefold up -f PATH"


@dataclass(eq=False)
class FormationInvalid(TwelvefoldError):
    """A formation such as `fixer=3,all=1` could not be read, or names a process that there is not."""

    code = "E304"
    exit_code = 2
    text: str
    column: int
    problem: str
    known: tuple[str, ...] = ()

    def message(self) -> str:
        """Say what is wrong and show where."""
        return f"{self.problem}\n   | {self.text}\n   | {' ' * (self.column - 1)}^"

    def help(self) -> str:
        """Show a formation that would be taken."""
        return f"write NAME=COUNT[,NAME=COUNT…], such as {self.known[0] if self.known else 'all'}=2"


@dataclass(eq=False)
class UnknownProcess(TwelvefoldError):
    """A command names a process that neither the Procfile nor the running `up` has."""

    code = "E305"
    exit_code = 3
    name: str
    known: tuple[str, ...]

    def message(self) -> str:
        """Name it and what there is."""
        return f"no process {self.name!r}; there is {', '.join(self.known) or 'none'}"

    def help(self) -> str:
        """Tell how to see all of them."""
        return "list them: twelvefold ps (running), twelvefold check (in the Procfile)"


@dataclass(eq=False)
class AlreadyUp(TwelvefoldError):
    """Another `up` (or `run`) supervises this home already; there is one a home.

    A second one would start a second bus on the same log. Use the running one, or stop it first.
    """

    code = "E306"
    exit_code = 4
    home: str
    pid: int

    def message(self) -> str:
        """Name the home and the process that holds it."""
        return f"the home {self.home} is supervised already, by process {self.pid}"

    def help(self) -> str:
        """Tell how to look at it and how to stop it."""
        return "see it: twelvefold ps; stop it: twelvefold down"


@dataclass(eq=False)
class NotUp(TwelvefoldError):
    """No `up` runs for this home, so there is nothing to control."""

    code = "E307"
    exit_code = 5
    home: str

    def message(self) -> str:
        """Name the home."""
        return f"nothing is up for the home {self.home}"

    def help(self) -> str:
        """Tell how to start one."""
        return "start it: twelvefold up -d --wait"


@dataclass(eq=False)
class ControlTimeout(TwelvefoldError):
    """The supervisor runs, but did not answer or finish in time."""

    code = "E308"
    exit_code = 124
    asked: str
    pid: int
    timeout_s: float

    def message(self) -> str:
        """Name the question, the process and the time."""
        return f"the supervisor (process {self.pid}) did not finish `{self.asked}` within {self.timeout_s:g} s"

    def help(self) -> str:
        """Tell how to look at it, and the last resort."""
        return f"look at its log: twelvefold logs; the last resort: kill -9 {self.pid}, then twelvefold up"


@dataclass(eq=False)
class StartFailed(TwelvefoldError):
    """The supervisor, or a process that was waited for, did not come up."""

    code = "E309"
    exit_code = 1
    what: str
    reason: str

    def message(self) -> str:
        """Name what failed and why."""
        return f"{self.what} did not come up: {self.reason}"

    def help(self) -> str:
        """Tell where the reasons are written."""
        return "read what it said: twelvefold logs"


@dataclass(eq=False)
class ZygoteUnfit(TwelvefoldError):
    """The preloaded process that agents are forked from holds something that must not be carried into a fork.

    A second thread, a ZeroMQ context or an open log would be broken in every agent. Lines are started without it then,
    which is slower and takes more memory.
    """

    code = "E310"
    found: str

    def message(self) -> str:
        """Name what was found."""
        return f"the zygote cannot be forked from: it holds {self.found}"

    def help(self) -> str:
        """Tell whose fault it is."""
        return "a module that is imported with the framework starts threads or sockets on import; report it"


@dataclass(eq=False)
class SupervisorRefused(TwelvefoldError):
    """The supervisor refused a request, with its own words."""

    code = "E311"
    exit_code = 2
    problem: str

    def message(self) -> str:
        """Give the supervisor's words."""
        return self.problem


@dataclass(eq=False)
class PlanInvalid(TwelvefoldError):
    """A plan is not one: a field is missing, unknown or of a wrong type, a reference leads nowhere, a limit is passed.

    A plan is a table with `pattern` (`task`, `pipeline`, `map_reduce`, …) and that pattern's fields; one without is
    a task. Steps may refer only to steps before them. The place reads like `steps[1].undo.agent`.
    """

    code = "E350"
    exit_code = 2
    place: str
    problem: str
    source: str = ""

    def message(self) -> str:
        """Name the file, the place in the plan, and what is wrong there."""
        where = f"{self.source}: " if self.source else ""
        return f"{where}the plan{' at `' + self.place + '`' if self.place else ''}: {self.problem}"

    def help(self) -> str:
        """Show the smallest plan that would be taken."""
        return 'the smallest plan is {"pattern": "task", "agent": "NAME"}; see `twelvefold explain E350`'


@dataclass(eq=False)
class RunNotFound(TwelvefoldError):
    """There is no run with this id, or more than one id begins with the prefix given."""

    code = "E351"
    exit_code = 3
    run: str

    def message(self) -> str:
        """Name the id."""
        return f"no run {self.run} in the log"

    def help(self) -> str:
        """Tell how to list runs."""
        return "list them: twelvefold runs"


@dataclass(eq=False)
class RunWaitTimedOut(TwelvefoldError):
    """A run had neither ended nor come to rest when the time to wait for it was over; the run itself goes on."""

    code = "E352"
    exit_code = 124
    run: str
    timeout_s: float

    def message(self) -> str:
        """Name the run and the time."""
        return f"run {self.run} was still open after {self.timeout_s:g} s; it goes on"

    def help(self) -> str:
        """Tell how to see what it does."""
        return f"see what it does: twelvefold log --run {self.run} -f"


@dataclass(eq=False)
class PatternUnknown(TwelvefoldError):
    """A plan holds a pattern that this orchestrator has no decider for: it was registered elsewhere, or later."""

    code = "E353"
    exit_code = 2
    pattern: str
    known: tuple[str, ...]

    def message(self) -> str:
        """Name the pattern and those that are known."""
        return f"no decider for the pattern {self.pattern!r}; there is one for {', '.join(self.known)}"


@dataclass(eq=False)
class PatternNotLoadable(TwelvefoldError):
    """A distribution offers a pattern that can't be used: its entry point leads to no pattern, or to another one."""

    code = "E354"
    exit_code = 2
    pattern: str
    problem: str

    def message(self) -> str:
        """Name the pattern and the problem."""
        return f"the pattern {self.pattern!r} can't be used: {self.problem}"
