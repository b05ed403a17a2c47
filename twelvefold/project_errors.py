"""The errors of a project's file, `twelvefold.toml`, and of watching folders (E018 to E019)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from .eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class ProjectFileInvalid(TwelvefoldError):
    """`twelvefold.toml` lies beside the `.env` file. It may have `[settings]`, `[[schedule]]` and `[[folder]]`.

    `[settings]` holds what could stand in `.env`, by the same names; `.env` and the environment come first. Schedules
    and folders start runs by themselves; docs/triggers.md shows all that they may say.
    """

    code = "E018"
    exit_code = 2
    path: str
    place: str
    problem: str

    def message(self) -> str:
        """Name the place in the file and what is wrong there."""
        return f"{self.problem}\n  --> {self.path}{': ' + self.place if self.place else ''}"

    def help(self) -> str:
        """Show how to look at the file."""
        return f"correct it: ${{EDITOR:-vi}} {quote(self.path)}"


@dataclass(eq=False)
class WatchedFolderMissing(TwelvefoldError):
    """A folder that is to be watched must be there, and stay there while it is."""

    code = "E019"
    exit_code = 3
    path: str
    problem: str = "there is no such folder"

    def message(self) -> str:
        """Name the folder."""
        return f"{self.path} cannot be watched: {self.problem}"

    def help(self) -> str:
        """Make it, or name the one that holds the file."""
        if self.problem == "it is a file":
            return f"twelvefold watch {quote(str(Path(self.path).parent))}"
        return f"mkdir -p {quote(self.path)}"
