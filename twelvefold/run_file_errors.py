"""The errors of runs as files, of imported runs and of `why` (E540 to E549)."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from .eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class RunFileDamaged(TwelvefoldError):
    """A file with an exported run does not hold what was exported: it was damaged on its way, or somebody changed it.

    Nothing of it was imported. Each event's hash covers its header, the hash of its payload and the event before it;
    each other part has its hash in the file's manifest.
    """

    code = "E540"
    exit_code = 6
    path: str
    part: str
    reason: str

    def message(self) -> str:
        """Name the file, the part of it and what is wrong there."""
        return f"{self.path} is not what was exported: {self.part}: {self.reason}"

    def help(self) -> str:
        """Have it exported again where the run is."""
        return "export it again from the home that has the run: twelvefold export RUN FILE"


@dataclass(eq=False)
class NoRunFile(TwelvefoldError):
    """`twelvefold import` takes files that `twelvefold export` has written, by this version or an older one."""

    code = "E541"
    exit_code = 2
    path: str
    reason: str

    def message(self) -> str:
        """Name the file and say what it is instead."""
        return f"{self.path} holds no exported run: {self.reason}"

    def help(self) -> str:
        """Show how such a file is made."""
        return "make one where the run is: twelvefold export RUN FILE"


@dataclass(eq=False)
class RunKnown(TwelvefoldError):
    """A run can be in a home once. One that was imported before is replaced only by more of the same run.

    The home's own runs never are: what an import brings is read-only, and kept apart from the home's log.
    """

    code = "E542"
    exit_code = 4
    run: str
    where: str

    def message(self) -> str:
        """Name the run and where it is."""
        return f"run {self.run} is {self.where}"

    def help(self) -> str:
        """Show what is there, or how to import elsewhere."""
        return (
            f"twelvefold status {self.run}    # or import into another home: TWELVEFOLD_HOME=DIR twelvefold import FILE"
        )


@dataclass(eq=False)
class RunFileExists(TwelvefoldError):
    """A run is exported to a new file only, so that nothing is overwritten."""

    code = "E543"
    exit_code = 4
    path: str

    def message(self) -> str:
        """Name the file."""
        return f"{self.path} exists already"

    def help(self) -> str:
        """Choose another name."""
        return f"choose another name, such as `twelvefold export RUN {quote(self.path + '.2')}`"


@dataclass(eq=False)
class RunFileUnwritable(TwelvefoldError):
    """An export, or what an import unpacks, could not be written. Nothing is left behind."""

    code = "E544"
    path: str
    reason: str

    def message(self) -> str:
        """Name the file and what the system said."""
        return f"{self.path} could not be written: {self.reason}"

    def help(self) -> str:
        """Show where there is space."""
        return "df -h .    # then export to a place with free space that you may write to"


@dataclass(eq=False)
class RunReadOnly(TwelvefoldError):
    """An imported run can be looked at in every way, but not changed: it belongs to the home that it comes from."""

    code = "E545"
    exit_code = 4
    run: str
    command: str

    def message(self) -> str:
        """Name the run and what was asked."""
        return f"run {self.run} was imported, so it can't be changed by `{self.command}`"

    def help(self) -> str:
        """Show what can be done with it."""
        return f"twelvefold status {self.run}"


@dataclass(eq=False)
class ImportDamaged(TwelvefoldError):
    """What was unpacked of an imported run is not any more what the imported file had. The home's own log is intact."""

    code = "E546"
    exit_code = 6
    run: str
    folder: str
    reason: str

    def message(self) -> str:
        """Name the run and what is wrong."""
        return f"the imported run {self.run} is damaged: {self.reason}"

    def help(self) -> str:
        """Import it anew."""
        return f"rm -r {quote(self.folder)}    # then: twelvefold import FILE"


@dataclass(eq=False)
class LineNotFound(TwelvefoldError):
    """`twelvefold why` asks for a line of a file that a commit has: FILE:LINE, counted from 1, in a git repository."""

    code = "E547"
    exit_code = 3
    place: str
    reason: str
    remedy: str

    def message(self) -> str:
        """Name the line and what is wrong with it."""
        return f"{self.place}: {self.reason}"

    def help(self) -> str:
        """Show what does work."""
        return self.remedy


@dataclass(eq=False)
class LineInSeveral(TwelvefoldError):
    """A run has made a line of this number in files of this name of several repositories, so one must be named."""

    code = "E549"
    exit_code = 2
    place: str
    run: str
    names: tuple[str, ...]

    def message(self) -> str:
        """Name the repositories."""
        return f"{self.place} was made by run {self.run} in {' and in '.join(self.names)}"

    def help(self) -> str:
        """Name the first one."""
        return f"say which: twelvefold why --run {self.run} {quote(f'{self.names[0]}/{self.place}')}"


@dataclass(eq=False)
class LineNotOurs(TwelvefoldError):
    """The line stands in a commit that no run of this home has made, so the log knows nothing of it."""

    code = "E548"
    exit_code = 3
    place: str
    commit: str
    author: str
    subject: str

    def message(self) -> str:
        """Name the line and whose commit it is from."""
        return f"{self.place} is from commit {self.commit[:12]} by {self.author} ({self.subject}), made by no run here"

    def help(self) -> str:
        """Show the commit."""
        return f"git show {self.commit[:12]}    # a run of another home can be imported: twelvefold import FILE"
