"""`twelvefold health`: whether a home does well, for people, scripts and monitoring programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ..errors import UsageInvalid
from .output import Style, harmless, note, write, write_json
from .serving import PortOption, serve

if TYPE_CHECKING:
    from ..projections.agent_health import HealthStatus
    from ..projections.health import SystemHealthStatus


def health(
    agent: Annotated[
        str | None, typer.Argument(metavar="[AGENT]", help="Only this one: a process, line, queue or instance.")
    ] = None,
    port: PortOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Tell whether all is well; exit status 1 where it is not.

    Looks at the bus, the orchestrator, agents, stuck and parked work, projections, traces, log, disk and clock; changes
    nothing. Degraded is what works and needs somebody to look, unhealthy what does not work. With --port it is served
    at http://127.0.0.1:PORT/healthz and /readyz (status 200 or 503), beside /metrics, until SIGTERM or Ctrl-C.

    The keys with --json are status (healthy, degraded, unhealthy), healthy, ready (takes work now), checks (each with
    name, status, message and fix), agents (by name) and time_ns; with AGENT agent_id, status (or unknown), healthy,
    message, state, supervised, process, instance, pid, queues, silent_s, held, restarts and instances.
    """
    from ..health import HealthChecker

    if port is not None:
        if agent is not None or as_json:
            raise UsageInvalid("what is served is the whole home's, as JSON: --port goes alone", "twelvefold health")
        from ..metrics import MetricsCollector

        return serve(MetricsCollector(), port, "health")
    checker = HealthChecker()
    if agent is not None:
        return _one(checker.check_agent_health(agent), as_json=as_json)
    found = checker.check_system_health()
    if as_json:
        write_json(msgspec.to_builtins(found))
    else:
        _write_checks(found)
    return 0 if found.healthy else 1


def _one(found: HealthStatus, *, as_json: bool) -> int:
    """Show how one agent does."""
    if found.status == "unknown":
        from ..monitoring_errors import AgentNotKnown

        raise AgentNotKnown(found.agent_id, found.message)
    if as_json:
        write_json(msgspec.to_builtins(found))
    else:
        style = Style(sys.stdout)
        for one in found.instances or (found,):
            write(f"{_painted(style, one.status)}  {style.bold(harmless(one.agent_id))}  {harmless(one.message)}")
    return 0 if found.healthy else 1


def _write_checks(found: SystemHealthStatus) -> None:
    """Write one line a check, its fix below it, and the verdict."""
    style = Style(sys.stdout)
    width = max(len(check.name) for check in found.checks)
    for check in found.checks:
        first, *rest = harmless(check.message).split("\n")
        write(f"{_painted(style, check.status)}  {style.bold(harmless(f'{check.name:<{width}}'))}  {first}")
        indent = " " * (width + 13)
        for line in rest:
            write(indent + line)
        if check.fix and check.status != "healthy":
            write(f"{indent}{style.cyan('fix')}: {harmless(check.fix)}")
    problems = len(found.problems)
    ready = "ready for work" if found.ready else "not ready for work"
    note(f"{found.status}: {problems} problem{'' if problems == 1 else 's'}, {ready}")


def _painted(style: Style, status: str) -> str:
    paint = {"healthy": style.green, "degraded": style.yellow}.get(status, style.red)
    return paint(f"{status:<9}")
