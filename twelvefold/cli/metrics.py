"""`twelvefold metrics`: what the log adds up to and what is going on now, for Prometheus and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageInvalid
from ..eventstore.presence import is_there
from ..run_place import imported_runs
from ..settings import load_settings
from .output import note, write, write_json
from .serving import PortOption, serve, tell_of_long_work

_USUAL = "prometheus"


def metrics(
    port: PortOption = None,
    format: Annotated[
        str, typer.Option("--format", metavar="F", help="How the text is written: prometheus or openmetrics.")
    ] = _USUAL,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int | None:
    """Print metrics as Prometheus reads them, or serve them at a port.

    Events by type, throughput, waits for an agent, queues, retries, parked work, restarts, tokens, cost, commits of the
    bus: docs/monitoring.md names them all. Works while a bus runs and when none does. With --port they are served at
    http://127.0.0.1:PORT/metrics (0: a free port, which is told), beside /healthz and /readyz, until SIGTERM or Ctrl-C.
    The keys with --json are agents, instances and totals, as MetricsCollector.collect_agent_metrics has them, and
    orchestration, as collect_orchestration_metrics has it.
    """
    from ..metrics import MetricsCollector

    collector = MetricsCollector()
    if (port is not None and (as_json or format != _USUAL)) or (as_json and format != _USUAL):
        raise UsageInvalid(
            "--port, --json and --format are three ways to be told, choose one (who asks at a port names the format)",
            "twelvefold metrics",
        )
    if port is not None:
        return serve(collector, port, "metrics")
    tell_of_long_work(collector)
    _tell_of_imports(load_settings().home)
    if as_json:
        write_json({**collector.collect_agent_metrics(), "orchestration": collector.collect_orchestration_metrics()})
    else:
        write(collector.export_metrics(format).rstrip("\n"))
    return None


def _tell_of_imports(home: Path) -> None:
    """Say what the numbers are not about, where a home holds nothing else."""
    imported = len(imported_runs(home))
    if imported and not is_there(home / "log.db"):
        note(f"nothing has happened in this home; what was imported ({imported} of other homes' runs) is not counted")
