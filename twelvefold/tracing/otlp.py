"""Sending spans to a receiver by OTLP, with OpenTelemetry's own exporter: the extra `otlp`.

Owns the way from our spans to the SDK's, and what an answer means. The exporter encodes, compresses, retries and reads
headers and certificates from the environment; for `http/json` its request gets our own document as body. Keeps: nothing
here raises for what a receiver does or doesn't do, and only what a receiver says it has taken counts as delivered.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import msgspec

from ..projections.otlp_json import SCOPE, document, limited
from ..projections.span import Span
from ..settings import masked
from ..trace_errors import ExporterMissing
from .settings import TraceSettings
from .sinks import Sent

#: Answers after which sending the same again is of no use; others may go away (a wrong token, a wrong path).
_FINAL = frozenset({400, 413, 415, 422, "INVALID_ARGUMENT"})
#: With fewer particulars a line of the exporter's log only says that it gives up.
_TELLING = 3
_EXPORTERS = {
    "http/protobuf": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "twelvefold[otlp]"),
    "http/json": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "twelvefold[otlp]"),
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
        # What follows a question mark is a key of some service, mostly.
        where, query, _ = settings.endpoint.partition("?")
        self.target = masked("", where) + ("?…" if query else "")
        self._limits = settings.limits
        self._convert = _Converter(settings)
        self._resource, self._as_json = settings.resource, settings.protocol == "http/json"
        #: The body of the request at hand, where it isn't the exporter's.
        self._json = b""
        #: The last answer and the last error of the connection, where the exporter lets them be seen.
        self._answer: tuple[int, str, bytes] = (0, "", b"")
        self._error: Exception | None = None
        self._is_failing = self._is_closed = False
        self._complaints = _Complaints()
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [self._complaints], False
        self._exporter: Any = self._made(settings)

    def _made(self, settings: TraceSettings) -> Any:
        exporter: Any = import_module(_EXPORTERS[settings.protocol][0]).OTLPSpanExporter
        if settings.protocol == "grpc":
            return exporter(endpoint=settings.endpoint, timeout=settings.timeout_s)
        import requests

        sink = self

        class Listening(requests.Session):
            """A session that lets its sink know what it has heard."""

            def send(self, request: Any, **options: Any) -> Any:
                if sink._json:
                    request.prepare_body(_compressed(sink._json, request.headers.get("Content-Encoding", "")), None)
                    request.headers["Content-Type"] = "application/json"
                # After a redirection the request would be repeated without the spans, mostly.
                options["allow_redirects"] = False
                try:
                    response = super().send(request, **options)
                except requests.RequestException as error:
                    sink._error = error
                    raise
                to = response.headers.get("Location")
                reason = f"{response.reason}, to {to}" if response.is_redirect else str(response.reason)
                sink._answer = (response.status_code, reason, response.content[:65_536])
                return response

        return exporter(endpoint=settings.endpoint, timeout=settings.timeout_s, session=Listening())

    def send(self, spans: Sequence[Span]) -> Sent:
        """Post spans, with the exporter's own retries within its time-out."""
        if not spans:
            return Sent(0)
        self._answer, self._error = (0, "", b""), None
        self._complaints.clear()
        self._json = self._document(spans) if self._as_json else b""
        result = self._exporter.export([self._convert.span(limited(one, self._limits)) for one in spans])
        status, reason, content = self._answer
        # The exporter takes a redirection for an answer like any other.
        self._is_failing = result.name != "SUCCESS" or status >= 300
        if not self._is_failing:
            refused, why = _partial(content)
            refused = min(max(refused, 0), len(spans))
            return Sent(len(spans) - refused, refused, _plain(why) if refused else "")
        code, told = (status, reason) if status else self._complaints.told()
        if self._is_closed:
            return Sent(0, reason="the export was ended")
        if len(spans) > 1 and (self._complaints.kept_back or _is_too_large(code, told)):
            return self._halved(spans)
        is_final = code in _FINAL or self._complaints.kept_back or _is_too_large(code, told)
        said = told or _in_short(self._error)
        if code:
            # What gRPC has a name for may not have come from the receiver.
            said = f"it answered {code} {told}" if isinstance(code, int) else f"{code} {told}"
        return Sent(0, len(spans) if is_final else 0, _plain(said))

    def _document(self, spans: Sequence[Span]) -> bytes:
        return document(self._resource, list(spans), self._limits)

    def _halved(self, spans: Sequence[Span]) -> Sent:
        half = len(spans) // 2
        first = self.send(spans[:half])
        if first.delivered + first.rejected < half:
            return first
        second = self.send(spans[half:])
        reason = second.reason or first.reason
        return Sent(first.delivered + second.delivered, first.rejected + second.rejected, reason)

    @property
    def is_failing(self) -> bool:
        """Whether the last thing heard of the receiver is an error."""
        return self._is_failing

    def close(self, *, good: bool = True) -> None:
        """Give up what is being retried, and the connection."""
        self._is_closed = True
        self._exporter.shutdown()


class _Complaints(logging.Handler):
    """Hears what the exporter logs, as nothing else tells why it has failed with gRPC, or before it sent anything."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._heard.append(record)

    def clear(self) -> None:
        """Forget what was heard."""
        self._heard.clear()

    @property
    def kept_back(self) -> bool:
        """Whether the exporter did not send anything, as it can't be encoded or is more than it sends at once."""
        return any(str(one.msg).startswith(("Dropping span", "Failed to encode span")) for one in self._heard)

    def told(self) -> tuple[int | str, str]:
        """Return the status of the last answer, a number or gRPC's name for it, 0 for none; and its words, or why."""
        for record in reversed(self._heard):
            args = record.args if isinstance(record.args, tuple) else ()
            if len(args) < _TELLING:
                continue
            code: Any = next((one for one in args if isinstance(one, int) or type(one).__name__ == "StatusCode"), 0)
            error = next((one for one in args if isinstance(one, BaseException)), None)
            said = _in_short(error) if error else next(one for one in (args[-1], args[0], "") if isinstance(one, str))
            return getattr(code, "name", code), said
        return 0, ""


def _is_too_large(code: int | str, told: str) -> bool:
    """Tell whether a receiver takes no request as large: less at once may go."""
    return code == 413 or (code in ("RESOURCE_EXHAUSTED", "OUT_OF_RANGE") and "large" in told)


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
    return found.lower() if found else (str(seen).splitlines() or [type(error).__name__])[0][:200]


def _plain(text: str) -> str:
    """Return what a receiver has said as one line that does nothing to a terminal."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:300]


def _compressed(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(body)
    return zlib.compress(body) if encoding == "deflate" else body


class _PartialSuccess(msgspec.Struct, frozen=True, rename="camel"):
    rejected_spans: int | str = 0
    error_message: str = ""


class _JsonAnswer(msgspec.Struct, frozen=True, rename="camel"):
    partial_success: _PartialSuccess = _PartialSuccess()


def _partial(content: bytes) -> tuple[int, str]:
    """Return how many spans a receiver has refused of those that it took, and why."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        if content[:1] == b"{":
            told = msgspec.json.decode(content, type=_JsonAnswer).partial_success
            return int(told.rejected_spans), told.error_message
        said = ExportTraceServiceResponse.FromString(content).partial_success
    except (DecodeError, msgspec.DecodeError, ValueError):
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
