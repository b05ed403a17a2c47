"""What `metrics --port` and `health --port` share: serving pages until a signal."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from ..eventstore.errors import TwelvefoldError
from ..stopping import Stop
from .output import note

if TYPE_CHECKING:
    from ..metrics import MetricsCollector

PortOption = Annotated[
    int | None,
    typer.Option("--port", "-p", metavar="P", min=0, max=65_535, help="Serve at 127.0.0.1:P; 0: a free port."),
]

#: Reading fewer events takes about a second at most.
_MANY = 100_000


def tell_of_long_work(collector: MetricsCollector) -> None:
    """Say on stderr that there is much to be read first, where that is so; raises what reading the log raises."""
    unread = collector.unread()
    if unread > _MANY:
        note(f"adding up {unread} events first, as no projector has done it; each `twelvefold up` has one")


def _prepared(collector: MetricsCollector) -> None:
    with suppress(TwelvefoldError):  # whoever asks is told
        collector.families()


def serve(collector: MetricsCollector, port: int, command: str) -> int:
    """Serve metrics and health until SIGTERM or Ctrl-C; return the exit status. Raises PortUnusable."""
    from ..health import HealthChecker
    from ..monitoring import Monitoring

    server = Monitoring(collector, HealthChecker(), port, command)
    stop = Stop()
    note(f"serving {server.url}/metrics, /healthz and /readyz")
    tell_of_long_work(collector)
    # A first scrape that had to wait for a whole log would be given up by who asks.
    threading.Thread(target=_prepared, args=(collector,), daemon=True).start()
    server.serve(stop)
    return stop.status
