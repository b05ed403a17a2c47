"""Whose trace a request belongs to: of the program that calls this one, or of the code around.

Owns where that is looked for. What says nothing, or nothing that can be read, counts as no trace: it is never an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from ..projections.traceparent import parse_traceparent


def caller_traceparent(environ: Mapping[str, str] | None = None) -> str:
    """Return the traceparent of OpenTelemetry's current span in this process, if it is used here, else that of the
    variable TRACEPARENT (in `environ`, or this process's environment), else "".
    """
    given = (_current(), (os.environ if environ is None else environ).get("TRACEPARENT", ""))
    found = next((place for text in given if (place := parse_traceparent(text)) is not None), None)
    return "" if found is None else found.header()


def _current() -> str:
    # Who traces has imported it; nobody else has to.
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None:
        return ""
    context = api.get_current_span().get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
