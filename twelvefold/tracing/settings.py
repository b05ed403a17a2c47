"""What the environment says of traces: OpenTelemetry's own variables, with the meaning of its specification.

Owns their reading into plain values. What the OTLP exporter reads by itself (headers, certificates, compression) is
left to it. An empty variable counts as not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from ..projections.otlp_json import NO_LIMITS, SpanLimits
from ..projections.span import Value
from ..trace_errors import TraceSettingInvalid

Exporter = Literal["otlp", "console"]
Protocol = Literal["http/protobuf", "http/json", "grpc"]

#: Where a collector listens for OTLP over HTTP, and over gRPC, if nobody says otherwise.
ENDPOINT, GRPC_ENDPOINT = "http://localhost:4318", "http://localhost:4317"
_PATH = "/v1/traces"
_TIMEOUT_MS, _BATCH, _DELAY_MS = 10_000.0, 512, 1_000.0
#: Below, a time-out is meant in seconds, as Python's SDK reads it: nobody answers in so few milliseconds.
_SECONDS_BELOW = 100.0
_SAMPLERS = ("always_on", "always_off", "traceidratio")


class Sampler(msgspec.Struct, frozen=True):
    """Which traces are exported live and with `--all`: a share of them by their ids, and what a parent says."""

    ratio: float = 1.0
    by_parent: bool = True

    def keeps(self, trace_id: str, flags: int, *, has_parent: bool) -> bool:
        """Tell whether a trace is exported: all of its spans or none."""
        if self.by_parent and has_parent:
            return bool(flags & 1)
        return int(trace_id[16:], 16) < round(self.ratio * (1 << 64))


class TraceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The effective settings. `exporters` is where spans go by the environment, () for nowhere.

    `endpoint` is the whole URL for traces (for gRPC one without a path); `is_disabled` is OTEL_SDK_DISABLED; `content`
    lets spans hold what models and tools were given and said.
    """

    exporters: tuple[Exporter, ...]
    endpoint: str
    protocol: Protocol
    timeout_s: float
    resource: dict[str, Value]
    sampler: Sampler
    limits: SpanLimits
    batch_max: int
    delay_s: float
    content: bool
    is_disabled: bool


def trace_settings(environ: Mapping[str, str], endpoint: str = "") -> TraceSettings:
    """Return what an environment says; `endpoint` is a URL from the command line. Raises TraceSettingInvalid."""
    given = {name: value.strip() for name, value in environ.items() if name.startswith("OTEL_") and value.strip()}
    is_disabled = given.get("OTEL_SDK_DISABLED", "").lower() == "true"
    protocol = _protocol(given)
    _check_compression(given)
    url = traces_url(endpoint, "--otlp") if endpoint else _endpoint(given, protocol)
    return TraceSettings(
        exporters=() if is_disabled else _exporters(given),
        endpoint=url if protocol != "grpc" else urlsplit(url)._replace(path="", query="", fragment="").geturl(),
        protocol=protocol,
        timeout_s=_timeout_s(given),
        resource=_resource(given),
        sampler=_sampler(given),
        limits=_limits(given),
        batch_max=int(_number(given, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", _BATCH, least=1)),
        delay_s=_number(given, "OTEL_BSP_SCHEDULE_DELAY", _DELAY_MS) / 1000,
        content=given.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").lower() in _CONTENT,
        is_disabled=is_disabled,
    )


_CONTENT = ("true", "span_only", "span_and_event")


def traces_url(text: str, name: str) -> str:
    """Return the URL that spans are posted to, of a receiver's base URL or of that itself."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        remedy = "" if "://" in text else f"{name}{' ' if name.startswith('--') else '='}http://{text}"
        raise TraceSettingInvalid(name, text, "an http or https URL, such as http://localhost:4318", remedy)
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(_PATH) else path + _PATH).geturl()


def _exporters(given: Mapping[str, str]) -> tuple[Exporter, ...]:
    said = given.get("OTEL_TRACES_EXPORTER")
    if said is None:
        named = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} & given.keys()
        return ("otlp",) if named else ()
    found: list[Exporter] = []
    for word in (one.strip().lower() for one in said.split(",")):
        if word in ("otlp", "otlp_proto_http"):
            found.append("otlp")
        elif word in ("console", "logging"):
            found.append("console")
        elif word not in ("", "none"):
            raise TraceSettingInvalid("OTEL_TRACES_EXPORTER", word, "otlp, console or none")
    return tuple(dict.fromkeys(found))


def _endpoint(given: Mapping[str, str], protocol: Protocol) -> str:
    if whole := given.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        traces_url(whole, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        return whole
    base = given.get("OTEL_EXPORTER_OTLP_ENDPOINT", GRPC_ENDPOINT if protocol == "grpc" else ENDPOINT)
    checked = urlsplit(traces_url(base, "OTEL_EXPORTER_OTLP_ENDPOINT"))
    # The specification adds the path whatever the base ends with.
    return checked._replace(path=urlsplit(base).path.rstrip("/") + _PATH).geturl()


def _protocol(given: Mapping[str, str]) -> Protocol:
    name = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    if name not in given:
        name = "OTEL_EXPORTER_OTLP_PROTOCOL"
    said = given.get(name, "http/protobuf").lower()
    match said:
        case "http/protobuf" | "http/json" | "grpc":
            return said
        case _:
            raise TraceSettingInvalid(name, said, "http/protobuf, http/json or grpc")


def _check_compression(given: Mapping[str, str]) -> None:
    """Raise TraceSettingInvalid for what the exporter, which reads it by itself, would leave out without a word."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"):
        if given.get(name, "none").lower() not in ("none", "gzip", "deflate"):
            raise TraceSettingInvalid(name, given[name], "gzip, deflate or none")


def _timeout_s(given: Mapping[str, str]) -> float:
    name = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"
    if name not in given:
        name = "OTEL_EXPORTER_OTLP_TIMEOUT"
    value = _number(given, name, _TIMEOUT_MS)
    return (value if value < _SECONDS_BELOW else value / 1000) or _TIMEOUT_MS / 1000


def _resource(given: Mapping[str, str]) -> dict[str, Value]:
    found: dict[str, Value] = {"service.name": "twelvefold"}
    said = given.get("OTEL_RESOURCE_ATTRIBUTES", "")
    for pair in filter(None, (part.strip() for part in said.split(","))):
        name, equals, value = pair.partition("=")
        if not name.strip() or not equals:
            raise TraceSettingInvalid("OTEL_RESOURCE_ATTRIBUTES", pair, "pairs such as team=tools,deployment=ci")
        found[unquote(name.strip())] = unquote(value.strip())
    if service := given.get("OTEL_SERVICE_NAME"):
        found["service.name"] = service
    return found


def _sampler(given: Mapping[str, str]) -> Sampler:
    said = given.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").lower()
    kind = said.removeprefix("parentbased_")
    if kind not in _SAMPLERS:
        wanted = f"{', '.join(_SAMPLERS)}, alone or after parentbased_"
        raise TraceSettingInvalid("OTEL_TRACES_SAMPLER", said, wanted)
    ratio = 1.0 if kind == "always_on" else 0.0
    if kind == "traceidratio":
        ratio = _number(given, "OTEL_TRACES_SAMPLER_ARG", 1.0, most=1.0)
    return Sampler(ratio, said.startswith("parentbased_"))


def _limits(given: Mapping[str, str]) -> SpanLimits:
    def most(*names: str) -> int | None:
        name = next((name for name in names if name in given), "")
        return int(_number(given, name, 0)) if name else None

    text = most("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
    count = most("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
    events, links = most("OTEL_SPAN_EVENT_COUNT_LIMIT"), most("OTEL_SPAN_LINK_COUNT_LIMIT")
    if text is count is events is links is None:
        return NO_LIMITS
    return SpanLimits(text, *(128 if one is None else one for one in (count, events, links)))


def _number(given: Mapping[str, str], name: str, default: float, *, least: float = 0.0, most: float = 1e12) -> float:
    text = given.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value <= most:
        bounds = f"from {least:g} to {most:g}" if most < 1e12 else f"of {least:g} or more"
        raise TraceSettingInvalid(name, text, f"a number {bounds}")
    return value
