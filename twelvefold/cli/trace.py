"""`twelvefold trace`: a run's spans as a tree, and their export to receivers, files and standard output.

Reads the log's file itself, so it works whether anything runs or not, and never holds up who writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageInvalid
from ..orchestration.errors import RunNotFound
from ..run_place import open_own_log, open_run
from ..settings import Settings, load_settings, read_env_file
from .output import note, rfc3339, write, write_json, write_table

if TYPE_CHECKING:
    from ..projections.span import Span
    from ..tracing.exporting import Exported
    from ..tracing.settings import TraceSettings
    from ..tracing.sinks import Sink

_COMMAND = "twelvefold trace"


def trace(
    target: Annotated[str, typer.Argument(metavar="RUN|export", help="A run, or `export`.")],
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Export one run.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Export all runs; of a RUN show all spans.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Export what ends from now on, and before.")] = False,
    otlp: Annotated[str, typer.Option("--otlp", metavar="URL", help="To this receiver of OTLP over HTTP.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", metavar="F", help="To this file, as OTLP/JSON; - is stdout.")
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Show how far exports that follow have come.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Show a run as a tree of spans with their times, or export spans.

    `trace RUN` shows, `trace export` exports: to where --otlp or --file say, else to where OTEL_TRACES_EXPORTER and
    OTEL_EXPORTER_OTLP_ENDPOINT do, else to standard output. --follow goes on from where the last one to the same place
    had come to, until a signal; `up` does that by itself where the environment names a receiver. docs/traces.md has the
    variables and what spans hold. Exit status 1 if spans were not delivered. With --json, `trace RUN` has the keys run,
    trace, state (open, ended), outcome, start, end, duration_s and spans: each with trace_id, span_id, parent_id, name,
    kind, start, end, duration_s, open, status, message, attributes, events, links, position. `trace export` to a file
    or receiver has target, spans, traces, open, delivered, rejected, undelivered, unsampled, reason; with --status a
    list of target, running, position, delivered, rejected, undelivered, failing_since, reason, updated, behind.
    """
    exports = target == "export"
    if not exports and (run or follow or otlp or file or status):
        raise UsageInvalid(
            "--run, --follow, --otlp, --file and --status belong to `trace export`", f"{_COMMAND} export"
        )
    settings = load_settings()
    if not exports:
        return _show(settings, target, whole=every, as_json=as_json)
    if status:
        return _status(settings, as_json=as_json)
    if sum((bool(run), every, follow)) > 1:
        raise UsageInvalid("--run, --all and --follow are three things to export, choose one", _COMMAND)
    if otlp and file:
        raise UsageInvalid("--otlp and --file are two places, choose one", _COMMAND)
    if not (run or every or follow):
        raise UsageInvalid("what is to be exported? --run RUN, --all or --follow", _COMMAND)
    return _export(settings, run, follow=follow, otlp=otlp, file=file, as_json=as_json)


def _show(settings: Settings, given: str, *, whole: bool, as_json: bool) -> int:
    from ..tracing.span_source import run_spans
    from .trace_lines import show, trace_document

    with open_run(settings.home, given, _COMMAND) as (log, run, _):
        spans = list(run_spans(log, run))
    if not spans:
        raise RunNotFound(given)
    if as_json:
        write_json(trace_document(run, spans))
    else:
        write(show(run, spans, whole=whole))
    return 0


def _export(settings: Settings, run: str, *, follow: bool, otlp: str, file: Path | None, as_json: bool) -> int:
    from ..tracing.settings import trace_settings

    if settings.env_file is not None:
        for name, value in read_env_file(settings.env_file).items():
            if name.startswith("OTEL_"):
                # The exporter reads some of its variables by itself.
                os.environ.setdefault(name, value)
    tracing = trace_settings(os.environ, otlp)
    places = _places(tracing, otlp, file)
    if not places:
        why = "OTEL_SDK_DISABLED is set" if tracing.is_disabled else "OTEL_TRACES_EXPORTER names no place"
        note(f"nothing is exported: {why}")
        return 0
    if as_json and (follow or "console" in places):
        why = "an export that follows has no end" if follow else "standard output gets the spans themselves"
        raise UsageInvalid(f"--json tells what an export has come to, and {why}", _COMMAND)
    if follow:
        from ..tracing.live import export_live

        open_own_log(settings.home).close()
        return export_live(settings.home, tracing, places, note)
    results = [_once(settings, run, tracing, place) for place in places]
    for result in results:
        if as_json:
            write_json(_exported(result))
        elif result.target != "console" and result.delivered:
            note(_sentence(result))
    return max(_exit(result, quiet=as_json) for result in results)


def _places(tracing: TraceSettings, otlp: str, file: Path | None) -> list[str | Path]:
    """Return where spans go: `otlp`, `console`, or a file."""
    if otlp:
        return ["otlp"]
    if file is not None:
        return ["console"] if str(file) == "-" else [file]
    if tracing.is_disabled:
        return []
    if not tracing.exporters and not os.environ.get("OTEL_TRACES_EXPORTER", "").strip():
        return ["console"]
    return list(tracing.exporters)


def _once(settings: Settings, given: str, tracing: TraceSettings, place: str | Path) -> Exported:
    from ..tracing.exporting import export
    from ..tracing.span_source import all_spans, run_spans

    sink = _sink(tracing, place)
    if given:
        with open_run(settings.home, given, f"{_COMMAND} export --run") as (log, run, _):
            return export(_some(run_spans(log, run, content=tracing.content), given), sink, tracing, sample=False)
    with open_own_log(settings.home) as log:
        return export(all_spans(log, content=tracing.content), sink, tracing, sample=True)


def _some(spans: Iterator[Span], given: str) -> Iterator[Span]:
    """Yield spans; raises RunNotFound where there are none."""
    first = next(spans, None)
    if first is None:
        raise RunNotFound(given)
    yield first
    yield from spans


def _sink(tracing: TraceSettings, place: str | Path) -> Sink:
    from ..tracing.sinks import FileSink, OutputSink

    if isinstance(place, Path):
        return FileSink(place, tracing)
    if place == "console":
        return OutputSink(tracing)
    from ..tracing.otlp import OtlpSink

    return OtlpSink(tracing)


def _exported(result: Exported) -> dict[str, Any]:
    import msgspec

    return {**msgspec.to_builtins(result), "reason": result.reason or None}


def _sentence(result: Exported) -> str:
    spans, traces = _plural(result.delivered, "span"), _plural(result.traces, "trace")
    told = [f"{spans} of {traces} exported to {result.target}"]
    if result.open:
        told.append(f"{result.open} of them still open")
    if result.unsampled:
        told.append(f"{result.unsampled} left out by sampling")
    return ", ".join(told)


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _exit(result: Exported, *, quiet: bool) -> int:
    """Return the exit status; raises SpansUndelivered where that is to be said."""
    from ..trace_errors import SpansUndelivered

    lost = result.undelivered + result.rejected
    if lost and not quiet:
        raise SpansUndelivered(result.target, lost, result.delivered, result.reason)
    return 1 if lost else 0


def _status(settings: Settings, *, as_json: bool) -> int:
    from ..tracing.progress import running_progress

    with open_own_log(settings.home) as log:
        head = log.head
    rows = [
        {
            "target": one.target,
            "running": is_running,
            "position": one.position,
            "delivered": one.delivered,
            "rejected": one.rejected,
            "undelivered": one.undelivered,
            "failing_since": rfc3339(one.failing_since) if one.failing_since else None,
            "reason": one.reason or None,
            "updated": rfc3339(one.updated) if one.updated else None,
            "behind": max(head - one.position, 0),
        }
        for one, is_running in running_progress(settings.home)
    ]
    if as_json:
        write_json(rows)
    else:
        columns = (
            "target",
            "running",
            "position",
            "behind",
            "delivered",
            "undelivered",
            "rejected",
            "failing_since",
            "reason",
        )
        write_table(rows, columns, empty="nothing was exported live so far: twelvefold trace export --follow")
    sys.stdout.flush()
    return 0
