"""The errors of resources and background agents (E320 to E339); see `errors` for their style."""

from __future__ import annotations

from dataclasses import dataclass

from ..eventstore.errors import TwelvefoldError
from .limits import format_size


@dataclass(eq=False)
class ResourcesInvalid(TwelvefoldError):
    """Cores or memory were asked for in a way that means nothing: no whole number of cores, no size."""

    code = "E320"
    exit_code = 2
    problem: str

    def message(self) -> str:
        """Say what is wrong."""
        return self.problem

    def help(self) -> str:
        """Show how it is written."""
        return 'ask for a number of cores and a size: allocate(2, "512MB")'


@dataclass(eq=False)
class ResourcesTooLarge(TwelvefoldError):
    """More cores or memory were asked for than there are, so waiting for them would never end."""

    code = "E321"
    exit_code = 2
    cpu: int
    memory: int
    cpu_total: int
    memory_total: int

    def message(self) -> str:
        """Name what was asked for and what there is."""
        asked = f"{_cores(self.cpu)} and {format_size(self.memory)}"
        return f"{asked} never fit: there are {_cores(self.cpu_total)} and {format_size(self.memory_total)} in all"

    def help(self) -> str:
        """Tell what would fit."""
        return f"ask for at most {_cores(self.cpu_total)} and {format_size(self.memory_total)}"


@dataclass(eq=False)
class ResourceTimeout(TwelvefoldError):
    """Cores and memory did not become free in time; those who asked earlier get theirs first."""

    code = "E322"
    exit_code = 124
    cpu: int
    memory: int
    timeout_s: float

    def message(self) -> str:
        """Name what was waited for, and how long."""
        return f"{_cores(self.cpu)} and {format_size(self.memory)} did not become free within {self.timeout_s:g} s"

    def help(self) -> str:
        """Tell how to see who has them."""
        return "see who has them: manager.get_resource_usage()"


@dataclass(eq=False)
class BackgroundAgentUnknown(TwelvefoldError):
    """There is no background agent with this id: it was never started here, or it has ended for good."""

    code = "E325"
    exit_code = 3
    agent: str
    known: tuple[str, ...] = ()

    def message(self) -> str:
        """Name it and those that there are."""
        return f"no background agent {self.agent!r}; there is {', '.join(self.known) or 'none'}"

    def help(self) -> str:
        """Tell how to see all of them."""
        return "list them: twelvefold ps"


@dataclass(eq=False)
class BackgroundAgentInvalid(TwelvefoldError):
    """A background agent cannot be started as asked: its class can't be named, its id is taken or is no name."""

    code = "E326"
    exit_code = 2
    problem: str

    def message(self) -> str:
        """Say what is wrong."""
        return self.problem

    def help(self) -> str:
        """Show what would be taken."""
        return 'name the agent as "module:Class", or give its class; an id has letters, digits, _ and -'


@dataclass(eq=False)
class BackgroundTimeout(TwelvefoldError):
    """A background agent did not do in time what was asked of it; it may still."""

    code = "E327"
    exit_code = 124
    agent: str
    what: str
    timeout_s: float

    def message(self) -> str:
        """Name the agent and what was waited for."""
        return f"background agent {self.agent} was not {self.what} within {self.timeout_s:g} s"

    def help(self) -> str:
        """Tell where to look."""
        return f"see what it does: twelvefold ps {self.agent}; twelvefold logs {self.agent}"


def _cores(number: int) -> str:
    return "1 core" if number == 1 else f"{number} cores"
