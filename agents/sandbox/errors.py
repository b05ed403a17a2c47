"""Errors of the sandbox (E452 to E459)."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from ...eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class NotContained(TwelvefoldError):
    """A sandbox was required, and this machine can't keep its rules.

    TWELVEFOLD_SANDBOX is `required`, or `run` was given --require-sandbox. Without that, agents work all the same, and
    each result says `contained: false`. `twelvefold doctor` tells what the kernel lacks.
    """

    code = "E452"
    reason: str

    def message(self) -> str:
        """Say what the kernel lacks."""
        return f"agents can't be contained as required: {self.reason}"

    def help(self) -> str:
        """Tell how to look, and how to do without."""
        return "see `twelvefold doctor`; to work without: export TWELVEFOLD_SANDBOX=files"


@dataclass(eq=False)
class WritableMissing(TwelvefoldError):
    """A place in which agents are to be allowed to write isn't there, and can't be made.

    TWELVEFOLD_WRITABLE, or `writable` in Procfile.options, names it. Folders are made when an agent starts; rules can
    only be put on what is there.
    """

    code = "E453"
    exit_code = 2
    place: str
    problem: str

    def message(self) -> str:
        """Name the place, and why it isn't there."""
        return f"agents are to be allowed to write in {self.place}, which can't be made: {self.problem}"

    def help(self) -> str:
        """Make it."""
        return f"mkdir -p {quote(self.place)}"


@dataclass(eq=False)
class NotSealed(TwelvefoldError):
    """Agents can't be run again on this machine, as it can't keep a process from writing and from the network.

    `replay --check` runs agents' handlers in a process that can do neither, and never without. It takes Linux on x86-64
    or aarch64, and a container that doesn't forbid Landlock and seccomp. Decisions can be checked anywhere.
    """

    code = "E510"
    reason: str

    def message(self) -> str:
        """Say what is lacking."""
        return f"agents can't be run again here, as their process can't be sealed: {self.reason}"

    def help(self) -> str:
        """Tell what can be checked all the same."""
        return "check the decisions alone: twelvefold replay RUN --check --decisions"
