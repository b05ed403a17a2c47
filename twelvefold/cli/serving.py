"""What `metrics --port` and `health --port` share: serving pages until a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..stopping import Stop
from .output import note

if TYPE_CHECKING:
    from ..metrics import MetricsCollector

PortOption = Annotated[
    int | None,
    typer.Option("--port", "-p", metavar="P", min=0, max=65_535, help="Serve at 127.0.0.1:P; 0: a free port."),
]


def serve(collector: MetricsCollector, port: int, command: str) -> int:
    """Serve metrics and health until SIGTERM or Ctrl-C; return the exit status. Raises PortUnusable."""
    from ..health import HealthChecker
    from ..monitoring import Monitoring

    server = Monitoring(collector, HealthChecker(), port, command)
    stop = Stop()
    note(f"serving {server.url}/metrics, /healthz and /readyz")
    server.serve(stop)
    return stop.status
