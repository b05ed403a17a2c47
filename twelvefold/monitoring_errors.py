"""The errors of metrics and health (E560 to E569)."""

from __future__ import annotations

from dataclasses import dataclass

from .eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class MetricsFormatUnknown(TwelvefoldError):
    """Metrics are written in a format that is not one of those that there are.

    `prometheus` is the text that every Prometheus reads; `openmetrics` the later standard made of it.
    """

    code = "E560"
    exit_code = 2
    format: str
    known: tuple[str, ...]

    def message(self) -> str:
        """Name what was asked for, and what there is."""
        return f"metrics are not written as {self.format!r}, only as {', '.join(self.known)}"

    def help(self) -> str:
        """Name the command that writes the usual one."""
        return "twelvefold metrics"


@dataclass(eq=False)
class PortUnusable(TwelvefoldError):
    """The port at which metrics and health were to be served can't be used: most often something listens there already.

    They are served at 127.0.0.1 only. Port 0 takes one that is free, and says which.
    """

    code = "E561"
    exit_code = 4
    port: int
    reason: str
    command: str

    def message(self) -> str:
        """Name the port and what the system said."""
        return f"port {self.port} of 127.0.0.1 can't be used: {self.reason}"

    def help(self) -> str:
        """Say how to take a free one."""
        return f"twelvefold {self.command} --port 0"


@dataclass(eq=False)
class AgentNotKnown(TwelvefoldError):
    """Health was asked of an agent that nothing knows: no process of a running `up`, and no member of a queue, has this
    name.

    An agent is named by its process (`fixer.1`), by its line in the Procfile (`fixer`: all of them), by the queue from
    which it takes tasks, or by its instance as events name it.
    """

    code = "E562"
    exit_code = 3
    agent: str
    reason: str

    def message(self) -> str:
        """Name who was asked for, and what was looked through."""
        return f"there is no agent {self.agent!r}: {self.reason}"

    def help(self) -> str:
        """Name the command that lists processes."""
        return "twelvefold ps"
