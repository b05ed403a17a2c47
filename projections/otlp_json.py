"""Spans as OTLP/JSON: the text that OpenTelemetry's collectors read from files, one document or one a line. Pure.

Owns the encoding, which is the same for the same spans, byte for byte. An open span is written with the end at which it
was last heard of, and says `twelvefold.open`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .span import Attributes, Span, Value

_encode = msgspec.json.Encoder().encode
_KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUS = {"unset": 0, "ok": 1, "error": 2}
#: The name of the instrumentation scope.
SCOPE = "twelvefold"
#: The parent's context is told of, and it is another program's.
_HAS_REMOTE, _IS_REMOTE = 0x100, 0x200
TAIL = b"]}]}]}\n"


class SpanLimits(msgspec.Struct, frozen=True):
    """How much one span may hold; None is without bound."""

    text_max: int | None = None
    attributes_max: int | None = 128
    events_max: int | None = 128
    links_max: int | None = 128


NO_LIMITS = SpanLimits()


def head(resource: Mapping[str, Value]) -> bytes:
    """Return how a document begins; then come spans with commas between them, then `TAIL`."""
    begun = {"resource": {"attributes": _pairs(resource)}}
    scope = b',"scopeSpans":[{"scope":{"name":"' + SCOPE.encode() + b'"},"spans":['
    return b'{"resourceSpans":[' + _encode(begun)[:-1] + scope


def document(resource: Mapping[str, Value], spans: list[Span], limits: SpanLimits = NO_LIMITS) -> bytes:
    """Return spans as one document, which is one line."""
    return head(resource) + b",".join(span_json(span, limits) for span in spans) + TAIL


def span_json(span: Span, limits: SpanLimits = NO_LIMITS) -> bytes:
    """Return one span."""
    return _encode(span_dict(limited(span, limits)))


def span_dict(span: Span) -> dict[str, Any]:
    """Return one span as OTLP/JSON has it: ids in hex, large integers as texts, what is empty left out."""
    flags = span.flags | _HAS_REMOTE | (_IS_REMOTE if span.remote else 0)
    found: dict[str, Any] = {"traceId": span.trace_id, "spanId": span.span_id}
    if span.parent_id:
        found["parentSpanId"] = span.parent_id
    found |= {
        "flags": flags,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.start),
        "endTimeUnixNano": str(span.last if span.end is None else span.end),
        "attributes": _pairs(span.attributes),
    }
    if span.events:
        found["events"] = [
            {"timeUnixNano": str(one.time), "name": one.name, "attributes": _pairs(one.attributes)}
            for one in span.events
        ]
    if span.events_dropped:
        found["droppedEventsCount"] = span.events_dropped
    if span.links:
        found["links"] = [
            {"traceId": one.trace_id, "spanId": one.span_id, "attributes": _pairs({"twelvefold.link": one.why})}
            for one in span.links
        ]
    status = {"code": _STATUS[span.status]} if span.status != "unset" else {}
    found["status"] = status | ({"message": span.message} if span.message else {})
    return found


def limited(span: Span, limits: SpanLimits) -> Span:
    """Return a span as it is exported: an open one marked as such, and none larger than is allowed."""
    attributes = span.attributes
    if span.end is None:
        attributes = attributes | {"twelvefold.open": True}
    if limits is NO_LIMITS:
        return span if attributes is span.attributes else msgspec.structs.replace(span, attributes=attributes)
    events, links = span.events[: limits.events_max], span.links[: limits.links_max]
    return msgspec.structs.replace(
        span,
        attributes=_cut(attributes, limits),
        events=[msgspec.structs.replace(one, attributes=_cut(one.attributes, limits)) for one in events],
        links=links,
        events_dropped=span.events_dropped + len(span.events) - len(events),
    )


def _cut(attributes: Attributes, limits: SpanLimits) -> Attributes:
    most = limits.text_max
    kept = list(attributes.items())[: limits.attributes_max]
    if most is None:
        return dict(kept)
    return {
        name: value[:most]
        if isinstance(value, str)
        else [one[:most] for one in value]
        if isinstance(value, list)
        else value
        for name, value in kept
    }


def _pairs(attributes: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"arrayValue": {"values": [{"stringValue": one} for one in value]}}
