"""Sending spans to a receiver by OTLP, with OpenTelemetry's own exporter: the extra `otlp`.

Owns the way from our spans to the SDK's, and what an answer means. The exporter encodes, compresses, retries and reads
headers and certificates from the environment. Keeps: nothing here raises for what a receiver does or doesn't do.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ..projections.otlp_json import SCOPE, limited
from ..projections.span import Span
from ..settings import masked
from ..trace_errors import ExporterMissing
from .settings import TraceSettings
from .sinks import Sent

#: Answers after which sending the same again is of no use; others may go away (a wrong token, a wrong path).
_FINAL = frozenset({400, 413, 415, 422})
_EXPORTERS = {
    "http/protobuf": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "twelvefold[otlp]"),
    "http/json": ("opentelemetry.exporter.otlp.json.http.trace_exporter", "opentelemetry-exporter-otlp-json-http"),
    "grpc": ("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "opentelemetry-exporter-otlp-proto-grpc"),
}


def require_exporter(settings: TraceSettings) -> None:
    """Raise ExporterMissing where what speaks the protocol isn't installed; looks only, and imports nothing of it."""
    from importlib.util import find_spec

    module, package = _EXPORTERS[settings.protocol]
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ExporterMissing(package)


class OtlpSink:
    """A receiver of OTLP. Raises ExporterMissing."""

    def __init__(self, settings: TraceSettings) -> None:
        require_exporter(settings)
        self.target = masked("", settings.endpoint)
        self._limits = settings.limits
        self._convert = _Converter(settings)
        #: The last answer, and the last error of the connection: the exporter tells only whether all was well.
        self._answer: tuple[int, str, bytes] = (0, "", b"")
        self._error: Exception | None = None
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [logging.NullHandler()], False
        self._exporter: Any = self._made(settings)

    def _made(self, settings: TraceSettings) -> Any:
        exporter: Any = import_module(_EXPORTERS[settings.protocol][0]).OTLPSpanExporter
        if settings.protocol == "grpc":
            return exporter(endpoint=settings.endpoint.removesuffix("/v1/traces"), timeout=settings.timeout_s)
        if settings.protocol == "http/json":
            return exporter(endpoint=settings.endpoint, timeout=settings.timeout_s)
        import requests

        sink = self

        class Listening(requests.Session):
            """A session that lets its sink know what it has heard."""

            def send(self, request: Any, **options: Any) -> Any:
                try:
                    response = super().send(request, **options)
                    sink._answer = (response.status_code, str(response.reason), response.content[:65_536])
                except requests.RequestException as error:
                    sink._error = error
                    raise
                return response

        return exporter(endpoint=settings.endpoint, timeout=settings.timeout_s, session=Listening())

    def send(self, spans: Sequence[Span]) -> Sent:
        """Post spans, with the exporter's own retries within its time-out."""
        if not spans:
            return Sent(0)
        self._answer, self._error = (0, "", b""), None
        result = self._exporter.export([self._convert.span(limited(one, self._limits)) for one in spans])
        status, reason, content = self._answer
        if result.name == "SUCCESS":
            refused, why = _partial(content)
            refused = min(refused, len(spans))
            return Sent(len(spans) - refused, refused, why if refused else "")
        if status == 413 and len(spans) > 1:
            half = len(spans) // 2
            first = self.send(spans[:half])
            if first.delivered + first.rejected < half:
                return first
            second = self.send(spans[half:])
            reason = second.reason or first.reason
            return Sent(first.delivered + second.delivered, first.rejected + second.rejected, reason)
        told = f"it answered {status} {reason}".strip() if status else _in_short(self._error)
        return Sent(0, len(spans) if status in _FINAL else 0, told)

    @property
    def is_failing(self) -> bool:
        """Whether the last thing heard of the receiver is an error."""
        return self._error is not None or self._answer[0] >= 400

    def close(self, *, good: bool = True) -> None:
        """Give up what is being retried, and the connection."""
        self._exporter.shutdown()


def _in_short(error: BaseException | None) -> str:
    """Return what lies at the bottom of an error of the connection."""
    if error is None:
        return "they were not taken"
    if "Timeout" in type(error).__name__:
        return "no answer in time"
    found, seen = "", error
    for _ in range(10):
        if isinstance(seen, OSError) and seen.strerror:
            found = seen.strerror
        reason = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        inner = reason if isinstance(reason, BaseException) else seen.__cause__ or seen.__context__
        if inner is None:
            break
        seen = inner
    return (found or type(error).__name__).lower()


def _partial(content: bytes) -> tuple[int, str]:
    """Return how many spans a receiver has refused of those that it took, and why."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        said = ExportTraceServiceResponse.FromString(content).partial_success
    except DecodeError:
        return 0, ""  # some receivers answer with text
    return int(said.rejected_spans), str(said.error_message)


class _Converter:
    """Makes the SDK's spans of ours."""

    def __init__(self, settings: TraceSettings) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk import resources
        from opentelemetry.sdk import trace as sdk
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        class OneResource(resources.Resource):
            """The one resource of all spans, which needs not be compared by its content for each."""

            def __hash__(self) -> int:
                return id(self)

        self._trace, self._sdk = trace, sdk
        self._resource = OneResource(settings.resource)
        self._scope = InstrumentationScope(SCOPE)
        self._kinds = {kind.name.lower(): kind for kind in trace.SpanKind}
        self._statuses = {code.name.lower(): trace.Status(code) for code in trace.StatusCode}

    def span(self, span: Span) -> Any:
        """Return a span of the SDK's."""
        trace = self._trace
        number, flags = int(span.trace_id, 16), trace.TraceFlags(span.flags)
        context = trace.SpanContext(number, int(span.span_id, 16), False, flags)
        parent = None
        if span.parent_id:
            parent = trace.SpanContext(number, int(span.parent_id, 16), span.remote, flags)
        return self._sdk.ReadableSpan(
            name=span.name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            events=[self._sdk.Event(one.name, one.attributes, one.time) for one in span.events],
            links=[
                trace.Link(
                    trace.SpanContext(int(one.trace_id, 16), int(one.span_id, 16), False, flags),
                    {"twelvefold.link": one.why},
                )
                for one in span.links
            ],
            kind=self._kinds[span.kind],
            instrumentation_scope=self._scope,
            status=trace.Status(trace.StatusCode.ERROR, span.message)
            if span.status == "error"
            else self._statuses[span.status],
            start_time=span.start,
            end_time=span.last if span.end is None else span.end,
        )
