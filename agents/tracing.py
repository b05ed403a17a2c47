"""Where in its run's trace the code of a task is: what it starts and calls is told, so that their spans find it.

Owns the carrying, through threads too, to programs (`TRACEPARENT`) and services (the header `traceparent`). The ids are
those that spans get from the log later (see `projections/traceparent.py`): no agent holds or sends a span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from ..projections.traceparent import TraceContext, delivery_span, effect_span, root_of

#: The variable that programs read, and the header of services.
VARIABLE, HEADER = "TRACEPARENT", "traceparent"
#: Worked out only where somebody asks: most effects call nothing.
_HERE: ContextVar[Callable[[], str] | None] = ContextVar("traceparent", default=None)


def of_delivery(run: str, trace: str, started: bytes) -> str:
    """Return the traceparent of a task in an agent's hands, by the id of its `task.started`."""
    return _header(run, trace, delivery_span(started))


def of_effect(run: str, trace: str, first: bytes) -> str:
    """Return the traceparent of an effect, by the id of the first event that tells of it."""
    return _header(run, trace, effect_span(first))


def _header(run: str, trace: str, span: str) -> str:
    root = root_of(run, trace)
    return TraceContext(root.trace_id, span, root.flags).header()


@contextmanager
def placed(here: Callable[[], str]) -> Iterator[None]:
    """Let the code of a block be at a place of a trace."""
    token = _HERE.set(here)
    try:
        yield
    finally:
        _HERE.reset(token)


def current_traceparent() -> str:
    """Return the traceparent of the code that calls this, "" outside of tasks."""
    here = _HERE.get()
    return "" if here is None else here()


def traced(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a program that is started here; one from elsewhere doesn't go through."""
    kept = {name: value for name, value in environ.items() if name not in (VARIABLE, "TRACESTATE")}
    here = current_traceparent()
    return kept | ({VARIABLE: here} if here else {})


def trace_headers() -> dict[str, str]:
    """Return the headers of a request to a service that is made here."""
    here = current_traceparent()
    return {HEADER: here} if here else {}
