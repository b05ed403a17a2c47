"""What `metrics --port` and `health --port` share: serving pages until a signal."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from .output import note

if TYPE_CHECKING:
    from ..metrics import MetricsCollector

EXIT_SIGINT = 130

PortOption = Annotated[
    int | None,
    typer.Option("--port", "-p", metavar="P", min=0, max=65_535, help="Serve at 127.0.0.1:P; 0: a free port."),
]


def serve(collector: MetricsCollector, port: int, command: str) -> int:
    """Serve metrics and health until SIGTERM or Ctrl-C; return the exit status. Raises PortUnusable."""
    from ..health import HealthChecker
    from ..monitoring import Monitoring

    server = Monitoring(collector, HealthChecker(), port, command)
    stop, interrupted = threading.Event(), threading.Event()

    def end(number: int, _: object) -> None:
        if number == signal.SIGINT:
            interrupted.set()
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    note(f"serving {server.url}/metrics, /healthz and /readyz")
    server.serve(stop)
    return EXIT_SIGINT if interrupted.is_set() else 0
