"""What can be wrong with the export of traces."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from .eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class TraceSettingInvalid(TwelvefoldError):
    """A variable of OpenTelemetry, or an option, has a value that can't be used for the export of traces.

    The variables that count are listed in docs/traces.md; they mean what OpenTelemetry's specification says.
    """

    code = "E550"
    exit_code = 2
    name: str
    value: str
    wanted: str
    remedy: str = ""

    def message(self) -> str:
        """Say which, and what is wanted."""
        return f"{self.name} is {self.value!r}, which is not {self.wanted}"

    def help(self) -> str:
        """Say how to get rid of it."""
        return self.remedy or (f"unset {self.name}" if self.name.isupper() else "twelvefold trace --help")


@dataclass(eq=False)
class ExporterMissing(TwelvefoldError):
    """What speaks OTLP isn't installed: it is an extra, as few need it.

    Traces can be written to a file without it: `twelvefold trace export --all --file traces.json`.
    """

    code = "E551"
    exit_code = 2
    package: str

    def message(self) -> str:
        """Say what is missing."""
        return f"traces can't be sent: {self.package} is not installed"

    def help(self) -> str:
        """Say how to install it."""
        return f"python -m pip install {quote(self.package)}"


@dataclass(eq=False)
class SpansUndelivered(TwelvefoldError):
    """Spans could not be delivered. Nothing is lost by that: the log has it all, and exporting again gives the same.

    A receiver that is there, but refuses what it is sent, says why in its own log.
    """

    code = "E552"
    exit_code = 1
    target: str
    undelivered: int
    delivered: int
    reason: str

    def message(self) -> str:
        """Say how many, and why."""
        return f"{self.undelivered} of {self.undelivered + self.delivered} spans were not delivered: {self.reason}"

    def help(self) -> str:
        """Say what to try."""
        return f"see whether a receiver listens at {self.target}, then export again"
