"""The errors of the command line and of settings (E0xx); the tree's root is in `eventstore/errors.py`.

Each names what happened and where, and its help is a command or an edit that really mends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from shlex import quote

from .eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class SettingInvalid(TwelvefoldError):
    """A setting comes from the command line, the environment, the `.env` file or a default; the first that has it wins.

    The message says which of them holds the value that cannot be. `twelvefold config` lists all settings, their
    variables (`TWELVEFOLD_*`) and where each value came from.
    """

    code = "E001"
    exit_code = 2
    name: str
    value: str
    wanted: str
    origin: str
    remedy: str

    def message(self) -> str:
        """Name the setting, its value, where that came from and what is possible."""
        return f"{self.name} is {self.value!r} (from {self.origin}), but must be {self.wanted}"

    def help(self) -> str:
        """Tell how to take the bad value away."""
        return self.remedy


@dataclass(eq=False)
class EnvFileInvalid(TwelvefoldError):
    """A line of an environment file (`.env`) is not `NAME=value`.

    Each line is empty, a `# comment`, or `NAME=value`, with `export ` before it and quotes around the value allowed.
    """

    code = "E002"
    exit_code = 2
    path: str
    line: int
    text: str
    problem: str = "not NAME=value"

    def message(self) -> str:
        """Show file, line and the line itself with a caret."""
        return f"{self.problem}\n  --> {self.path}:{self.line}:1\n   |\n   | {self.text}\n   | ^"

    def help(self) -> str:
        """Tell how such a line is taken away."""
        edit = f"{self.line}d" if "UTF-8" in self.problem else f"{self.line}s/^/# /"
        return f"write it as NAME=value, or take it away: sed -i '{edit}' {quote(self.path)}"


@dataclass(eq=False)
class HomeUnusable(TwelvefoldError):
    """The home (the folder of log, blobs, stores and workspaces) cannot be made or used.

    It must be a folder that belongs to the current user. It is the nearest `.twelvefold/` upwards, else a folder
    below `$XDG_STATE_HOME/twelvefold`; `TWELVEFOLD_HOME` overrides both.
    """

    code = "E003"
    path: str
    reason: str

    def message(self) -> str:
        """Name the folder and what is wrong with it."""
        return f"the home {self.path} cannot be used: {self.reason}"

    def help(self) -> str:
        """Point to another place for the home."""
        return "choose another home: export TWELVEFOLD_HOME=$HOME/.local/state/twelvefold/mine"


@dataclass(eq=False)
class UsageInvalid(TwelvefoldError):
    """The command line has an unknown command or option, or lacks a value.

    Every command lists its options with `--help`; docs/cli.md has all of them on one page.
    """

    code = "E004"
    exit_code = 2
    problem: str
    command: str = "twelvefold"

    def message(self) -> str:
        """Repeat what is wrong with the command line."""
        return self.problem[:1].lower() + self.problem[1:]

    def help(self) -> str:
        """Name the command whose help shows what is possible."""
        return f"{self.command} --help"


@dataclass(eq=False)
class ErrorCodeUnknown(TwelvefoldError):
    """Codes are an E and three digits: E0 command line and settings, E1 log, E2 bus, E3 processes, E4 agents and job.

    `twelvefold explain` without a code lists all of them.
    """

    code = "E005"
    exit_code = 3
    wanted: str

    def message(self) -> str:
        """Name the code."""
        return f"there is no error code {self.wanted!r}"

    def help(self) -> str:
        """Name the command that lists all codes."""
        return "twelvefold explain"


@dataclass(eq=False)
class FolderUnusable(TwelvefoldError):
    """A first project cannot be written into a folder that cannot be made or written, or that is a file.

    What had been written before the failure stays; a second `twelvefold init` writes only what is missing.
    """

    code = "E006"
    exit_code = 4
    path: str
    reason: str

    def message(self) -> str:
        """Name the folder and what is wrong with it."""
        return f"the folder {self.path} cannot be used: {self.reason}"

    def help(self) -> str:
        """Name another folder."""
        return "twelvefold init ~/my-first-project"


@dataclass(eq=False)
class MomentInvalid(TwelvefoldError):
    """A moment is a span that counts back from now (`90s`, `5m`, `1h30m`, `2d`, `1w`), or a date and time in ISO 8601.

    A date and time without an offset is in UTC: `2026-01-31`, `2026-01-31T12:00`, `2026-01-31T12:00:00+02:00`.
    """

    code = "E007"
    exit_code = 2
    text: str

    def message(self) -> str:
        """Name the text."""
        return f"{self.text!r} is no moment"

    def help(self) -> str:
        """Show moments that are."""
        return "twelvefold log --since 5m    # or --since 2026-01-31T12:00:00Z"


@dataclass(eq=False)
class PrefixAmbiguous(TwelvefoldError):
    """An id may be given by its first digits only as long as one id alone begins with them."""

    code = "E008"
    exit_code = 2
    what: str
    prefix: str
    matches: tuple[str, ...]
    command: str

    def message(self) -> str:
        """Name the prefix and some of the ids that begin with it."""
        return f"more than one {self.what} begins with {self.prefix!r}: {', '.join(self.matches)}"

    def help(self) -> str:
        """Repeat the command with a whole id."""
        return f"{self.command} {self.matches[0]}"


@dataclass(eq=False)
class DataInvalid(TwelvefoldError):
    """The data of an event must be one JSON document: an object, a list, a text in double quotes, a number, null.

    A shell takes quotes away, so put single quotes around all of it: --data '{"n": 1}'.
    """

    code = "E009"
    exit_code = 2
    source: str
    line: int
    column: int
    text: str
    problem: str

    def message(self) -> str:
        """Show the place with a caret."""
        start = max(0, self.column - 41)
        shown = self.text[start : start + 80]
        caret = " " * (self.column - 1 - start)
        place = f"{self.source}:{self.line}:{self.column}"
        return f"the data is not JSON: {self.problem}\n  --> {place}\n   |\n   | {shown}\n   | {caret}^"

    def help(self) -> str:
        """Show data that is taken."""
        return """twelvefold emit demo.happened --data '{"n": 1}'"""


@dataclass(eq=False)
class DataUnreadable(TwelvefoldError):
    """A file that a command was given cannot be read as UTF-8.

    It is a plan, or holds data or an answer (`@FILE`, and `-` for standard input).
    """

    code = "E010"
    exit_code = 3
    path: str
    reason: str

    def message(self) -> str:
        """Name the file and what is wrong with it."""
        return f"{self.path} cannot be read: {self.reason}"

    def help(self) -> str:
        """Show what lies where the file should be, and for whom."""
        return f"ls -l {quote(str(PurePath(self.path).parent))}"


@dataclass(eq=False)
class NameInvalid(TwelvefoldError):
    """Event types, streams and queues are dot-separated words of `a-z`, `0-9`, `_` and `-`, such as `demo.happened`.

    A pattern is such a name, a prefix that ends in `.*` (`task.*`), or `*` for all. At most 255 characters.
    """

    code = "E011"
    exit_code = 2
    what: str
    name: str

    def message(self) -> str:
        """Name the text and what it should have been."""
        return f"{self.name!r} is no {self.what}"

    def help(self) -> str:
        """Show a name or a pattern that is one."""
        if self.what == "event type":
            return "twelvefold emit demo.happened"
        if self.what == "stream":
            return "twelvefold log --limit 20    # shows which streams there are; write a new one like demo.1"
        return "twelvefold log --type 'task.*'    # quotes keep the shell from the `*`"


@dataclass(eq=False)
class TargetFolderMissing(TwelvefoldError):
    """A file was to be written into a folder that is not there."""

    code = "E012"
    exit_code = 3
    path: str

    def message(self) -> str:
        """Name the folder."""
        return f"there is no folder {self.path}"

    def help(self) -> str:
        """Make it."""
        return f"mkdir -p {quote(self.path)}"


@dataclass(eq=False)
class TargetMissing(TwelvefoldError):
    """A target of `run` or `analyze` is an issue file, or a sentence of several words that says what is to be done."""

    code = "E014"
    exit_code = 3
    target: str

    def message(self) -> str:
        """Name what was not found."""
        return f"there is no issue file {self.target!r}"

    def help(self) -> str:
        """Show how issue files are found."""
        return "ls *.md issues/*.md    # or give a sentence in quotes"


@dataclass(eq=False)
class NotAccessible(TwelvefoldError):
    """A file or folder that is needed cannot be read or written by the current user.

    The help names the first part of its path that is closed.
    """

    code = "E015"
    path: str
    reason: str
    remedy: str

    def message(self) -> str:
        """Name the file or folder."""
        return f"{self.path} cannot be used: {self.reason}"

    def help(self) -> str:
        """Tell how it is opened."""
        return self.remedy


@dataclass(eq=False)
class OutputUnwritable(TwelvefoldError):
    """What the command prints could not be written to where its output goes: a full disk, most often.

    What the command was asked to do may have been done all the same.
    """

    code = "E016"
    reason: str

    def message(self) -> str:
        """Tell what the system said."""
        return f"standard output cannot be written: {self.reason}"

    def help(self) -> str:
        """Show where there is space."""
        return "df -h . /tmp    # then write to a place with free space, or into a pipe"
