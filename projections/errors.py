"""What can go wrong with projections, as data that says itself in words."""

from __future__ import annotations

from dataclasses import dataclass

from ..eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class ProjectionUnknown(TwelvefoldError):
    """There is no projection of this name.

    Built-in ones are always there. One of your own is found by an entry point of the group `twelvefold.projections` in
    an installed distribution; after a change to its `pyproject.toml` install it again.
    """

    code = "E500"
    exit_code = 3
    name: str
    known: tuple[str, ...]

    def message(self) -> str:
        """Name what was asked for, and what there is."""
        return f"there is no projection {self.name!r}; there are {', '.join(self.known)}"

    def help(self) -> str:
        """Name the command that lists them."""
        return "`twelvefold state` lists all projections"


@dataclass(eq=False)
class ProjectionBroken(TwelvefoldError):
    """A projection is offered by an installed distribution, and can't be used.

    The module that its entry point names can't be imported, or what it names there is no subclass of
    `twelvefold.Projection` with the entry point's name. Other projections are not affected.
    """

    code = "E501"
    exit_code = 1
    name: str
    value: str
    reason: str

    def message(self) -> str:
        """Name the projection, where it is said to be, and what is wrong."""
        return f"the projection {self.name!r} ({self.value}) can't be used: {self.reason}"

    def help(self) -> str:
        """Say how to see the whole error."""
        module = self.value.partition(":")[0]
        return f"see the whole error with: python -c 'import {module}'"


@dataclass(eq=False)
class ProjectionFailed(TwelvefoldError):
    """A projection's code raised an error at an event: it is parked before that event, and skips nothing.

    Its rows stand as they were before the event. Mend the code: the projection is then folded anew, by itself.
    """

    code = "E502"
    exit_code = 1
    name: str
    position: int
    type: str
    reason: str

    def message(self) -> str:
        """Name the projection, the event and what was raised."""
        return f"the projection {self.name!r} can't fold {self.type} at position {self.position}: {self.reason}"

    def help(self) -> str:
        """Show the event, and how to look at the rows before it."""
        before = self.position - 1
        return f"see the event with `twelvefold log --after {before} --limit 1 --data`, the rows before it with \
`twelvefold state {self.name} --at {before}`"


@dataclass(eq=False)
class StoreBusy(TwelvefoldError):
    """Another process writes the rows of projections: the projector of an `up`, or a command at this moment.

    Reading goes on beside it: nothing but writing is for one process alone.
    """

    code = "E503"
    exit_code = 4
    path: str

    def message(self) -> str:
        """Name the file."""
        return f"another process writes {self.path}"

    def help(self) -> str:
        """Name the command that shows the writer."""
        return "`twelvefold ps` lists the processes of a running `up`"


@dataclass(eq=False)
class StoreFailed(TwelvefoldError):
    """The file with the rows of projections can't be written. The log is not concerned: rows can be folded again."""

    code = "E504"
    exit_code = 1
    path: str
    reason: str

    def message(self) -> str:
        """Name the file and what the system said."""
        return f"{self.path} can't be written: {self.reason}"

    def help(self) -> str:
        """Say that the file may go."""
        return f"make room, or remove the file: it is made anew from the log (`rm {self.path}`)"


@dataclass(eq=False)
class ProjectionBehind(TwelvefoldError):
    """A projection has not folded an event in the time that somebody wanted to wait for it.

    The projector of an `up` folds what is appended at once; without one, rows are folded when a command asks for them.
    """

    code = "E505"
    exit_code = 124
    name: str
    position: int
    folded: int
    reason: str = ""

    def message(self) -> str:
        """Name the projection and both positions."""
        why = f": {self.reason}" if self.reason else ""
        return f"the projection {self.name!r} has come to position {self.folded}, not to {self.position}{why}"

    def help(self) -> str:
        """Name the command that shows how far projections are."""
        return "`twelvefold state` shows how far each projection is"


@dataclass(eq=False)
class PositionUnknown(TwelvefoldError):
    """The log does not reach as far as the position that was asked for: what hasn't happened has no state."""

    code = "E506"
    exit_code = 3
    position: int
    head: int

    def message(self) -> str:
        """Name both positions."""
        return f"there is no position {self.position} yet: the log ends at {self.head}"

    def help(self) -> str:
        """Name the last event."""
        return "see the last event with `twelvefold log --reverse --limit 1`"


@dataclass(eq=False)
class ProjectionDiffers(TwelvefoldError):
    """What is kept of a projection is not what the log's events give: rows were changed, or its code isn't pure.

    A projection that reads the clock, a file or something random, or changes a state in place, comes out differently
    each time. The log itself is not concerned.
    """

    code = "E507"
    exit_code = 6
    name: str
    position: int
    key: str
    path: str

    def message(self) -> str:
        """Name the projection, the position and the first row that differs."""
        where = f", first the row {self.key!r}" if self.key else ""
        return f"the rows of {self.name!r} as of position {self.position} are not what the events give{where}"

    def help(self) -> str:
        """Say how to have them made anew."""
        return f"have all rows made anew from the log: `rm {self.path}`"
