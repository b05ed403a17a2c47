"""The errors of the command line and of settings (E0xx); the tree's root is in `eventstore/errors.py`.

Each names what happened and where, and its help is a command or an edit that really mends it.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        """Tell how such a line is commented out."""
        return f"write it as NAME=value, or comment it out: sed -i '{self.line}s/^/# /' {_quoted(self.path)}"


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
    path: str
    reason: str

    def message(self) -> str:
        """Name the folder and what is wrong with it."""
        return f"the folder {self.path} cannot be used: {self.reason}"

    def help(self) -> str:
        """Name another folder."""
        return "twelvefold init my-first-project"


def _quoted(text: str) -> str:
    """Quote a text for a shell; imported late, as errors are rare."""
    from shlex import quote

    return quote(text)
