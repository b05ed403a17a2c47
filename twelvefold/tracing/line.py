"""The process that exports traces beside an `up`, where the environment names a place for them.

Owns when there is one, and that nothing about traces ever keeps an `up` from starting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..eventstore.errors import TwelvefoldError
from ..orchestration.procfile import ProcfileLine

_COMMAND = "twelvefold trace export --follow"
_OWN = re.compile(r"\btwelvefold\s+trace\s+export\b")
#: What the line is called; the second where a line of the Procfile has the first name.
_NAMES = ("traces", "traces_export")


def with_exporter(lines: Sequence[ProcfileLine], environ: Mapping[str, str]) -> tuple[ProcfileLine, ...]:
    """Return lines with the one that exports traces, where the environment asks for it and no line does it."""
    if exporter_problem(environ) is not None or not _wanted(environ):
        return tuple(lines)
    if any(_OWN.search(line.command) for line in lines):
        return tuple(lines)
    taken = {line.stream_name for line in lines}
    name = next((name for name in _NAMES if name not in taken), "")
    return (*lines, ProcfileLine(name, _COMMAND, len(lines) + 1)) if name else tuple(lines)


def exporter_problem(environ: Mapping[str, str]) -> TwelvefoldError | None:
    """Return why traces are not exported although the environment asks for it, None where all is well."""
    if not any(name.startswith("OTEL_") for name in environ):
        return None
    from .otlp import require_exporter
    from .settings import trace_settings

    try:
        settings = trace_settings(environ)
        if "otlp" in settings.exporters:
            require_exporter(settings)
    except TwelvefoldError as error:
        return error
    return None


def _wanted(environ: Mapping[str, str]) -> bool:
    if not any(name.startswith("OTEL_") for name in environ):
        return False
    from .settings import trace_settings

    return bool(trace_settings(environ).exporters)
