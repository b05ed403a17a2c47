"""The span: one piece of work in a trace, with when it was, what it belongs to, and how it ended. Pure.

Owns the shape only, which is OpenTelemetry's with plain values. Which spans follow from events is `spans`'; how they
are written for other programs, `otlp_json`'s.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["internal", "server", "client", "producer", "consumer"]
SpanStatus = Literal["unset", "ok", "error"]
Value = str | int | float | bool | list[str]
Attributes = dict[str, Value]

#: How many events one span holds at most, as OpenTelemetry has it; others are counted.
EVENTS_MAX = 128


class SpanEvent(msgspec.Struct, gc=False):
    """Something that happened within a span, at a time in nanoseconds since the epoch."""

    name: str
    time: int
    attributes: Attributes = {}


class SpanLink(msgspec.Struct, gc=False):
    """Another span that this one goes back to; `why` is a word for how."""

    trace_id: str
    span_id: str
    why: str = ""


class Span(msgspec.Struct, kw_only=True):
    """One span. Times are nanoseconds since the epoch; `end` is None while it is open.

    `parent_id` is "" for the first of a trace, `remote` says that the parent is another program's. `last` is the time
    of the last event that told of it; `position` is that of the event which began it, `closed_by` of the one that
    ended it.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start: int
    run: str = ""
    kind: Kind = "internal"
    end: int | None = None
    attributes: Attributes = {}
    events: list[SpanEvent] = []
    links: list[SpanLink] = []
    status: SpanStatus = "unset"
    message: str = ""
    remote: bool = False
    flags: int = 1
    events_dropped: int = 0
    last: int = 0
    position: int = 0
    closed_by: int = 0

    def note(self, name: str, time: int, attributes: Attributes | None = None) -> None:
        """Add an event to it; beyond the bound it is only counted."""
        self.last = max(self.last, time)
        if len(self.events) >= EVENTS_MAX:
            self.events_dropped += 1
        else:
            self.events.append(SpanEvent(name, time, attributes or {}))

    def close(self, time: int, position: int, status: SpanStatus = "unset", message: str = "") -> None:
        """End it; never before it began."""
        self.end = max(self.start, time)
        self.closed_by = position
        self.status, self.message = status, message
