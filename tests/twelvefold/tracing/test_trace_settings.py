"""The OTEL_* variables: what each means for the export of traces, and what can't be meant."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from twelvefold.orchestration.procfile import ProcfileLine
from twelvefold.projections.otlp_json import NO_LIMITS, SpanLimits
from twelvefold.trace_errors import TraceSettingInvalid
from twelvefold.tracing.caller import caller_traceparent
from twelvefold.tracing.line import exporter_problem, with_exporter
from twelvefold.tracing.settings import trace_settings

BASE, WHOLE = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, "http://localhost:4318/v1/traces"),
        ({BASE: "http://there:4318"}, "http://there:4318/v1/traces"),
        ({BASE: "https://there/otlp/"}, "https://there/otlp/v1/traces"),
        ({WHOLE: "http://there/any"}, "http://there/any"),
        ({BASE: "http://a", WHOLE: "http://b/v1/traces"}, "http://b/v1/traces"),
        ({BASE: "  "}, "http://localhost:4318/v1/traces"),
    ],
)
def test_an_endpoint_is_a_base_unless_it_is_that_of_traces(environ: dict[str, str], endpoint: str) -> None:
    """The path for traces is added to a base, and to nothing else."""
    assert trace_settings(environ).endpoint == endpoint


@pytest.mark.parametrize(
    ("environ", "exporters"),
    [
        ({}, ()),
        ({BASE: "http://a"}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "console"}, ("console",)),
        ({"OTEL_TRACES_EXPORTER": "otlp, console,otlp"}, ("otlp", "console")),
        ({"OTEL_TRACES_EXPORTER": "none", BASE: "http://a"}, ()),
        ({"OTEL_SDK_DISABLED": "TRUE", BASE: "http://a"}, ()),
        ({"OTEL_SDK_DISABLED": "1", BASE: "http://a"}, ("otlp",)),
    ],
)
def test_traces_go_where_the_environment_says(environ: dict[str, str], exporters: tuple[str, ...]) -> None:
    """An endpoint is enough; `none` and a disabled SDK mean nothing is exported."""
    assert trace_settings(environ).exporters == exporters


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 10), ("10000", 10), ("1500", 1.5), ("100", 0.1), ("7", 7), ("0.5", 0.5), ("0", 10)]
)
def test_a_time_out_is_in_milliseconds_and_a_small_one_in_seconds(text: str, seconds: float) -> None:
    """The specification says milliseconds, Python's SDK reads seconds: either is understood."""
    assert trace_settings({"OTEL_EXPORTER_OTLP_TIMEOUT": text}).timeout_s == seconds


def test_the_resource_is_what_the_environment_names() -> None:
    """Attributes are decoded; OTEL_SERVICE_NAME beats service.name among them."""
    said = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,team=x%2Cy, deployment.environment = ci "}
    assert trace_settings({}).resource == {"service.name": "twelvefold"}
    assert trace_settings(said).resource == {"service.name": "a", "team": "x,y", "deployment.environment": "ci"}
    assert trace_settings(said | {"OTEL_SERVICE_NAME": "b"}).resource["service.name"] == "b"


@pytest.mark.parametrize(
    ("sampler", "argument", "flags", "kept"),
    [
        ("", "", 1, True), ("", "", 0, False), ("always_on", "", 0, True), ("always_off", "", 1, False),
        ("parentbased_always_off", "", 1, True), ("traceidratio", "0", 1, False), ("traceidratio", "1", 0, True),
        ("traceidratio", "0.5", 1, True), ("traceidratio", "0.4", 1, False),
    ],
)  # fmt: skip
def test_samplers_decide_by_the_trace(sampler: str, argument: str, flags: int, kept: bool) -> None:
    """A share is of the ids; by default the caller's word counts."""
    settings = trace_settings({"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument})
    assert settings.sampler.keeps("a" * 16 + "7" + "f" * 15, flags, has_parent=True) is kept


def test_limits_count_only_where_they_are_set() -> None:
    """The particular ones come before the general ones."""
    assert trace_settings({}).limits is NO_LIMITS
    said = {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "9", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "5"}
    assert trace_settings(said | {"OTEL_SPAN_EVENT_COUNT_LIMIT": "3"}).limits == SpanLimits(5, 128, 3, 128)


@pytest.mark.parametrize(
    "environ",
    [
        {BASE: "localhost:4318"}, {BASE: "ftp://there"}, {WHOLE: "/v1/traces"}, {"OTEL_TRACES_EXPORTER": "jaeger"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/xml"}, {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
        {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "0"}, {"OTEL_TRACES_SAMPLER": "some"}, {"OTEL_RESOURCE_ATTRIBUTES": "team"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
        {"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"},
    ],
)  # fmt: skip
def test_what_can_t_be_meant_is_an_error_that_never_keeps_an_up_from_starting(environ: dict[str, str]) -> None:
    """The variable is named, with what it should be; an `up` starts without the exporter, and says why."""
    with pytest.raises(TraceSettingInvalid) as raised:
        trace_settings(environ)
    assert raised.value.name in environ
    assert raised.value.help()
    environ = {BASE: "http://there:4318", **environ}
    assert isinstance(exporter_problem(environ), TraceSettingInvalid)
    assert with_exporter((), environ) == ()


def test_what_speaks_a_protocol_has_to_be_installed() -> None:
    """grpc is another package's; an `up` says so and starts."""
    problem = exporter_problem({BASE: "http://there:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert problem is not None
    assert "opentelemetry-exporter-otlp-proto-grpc" in str(problem.help())


def test_an_up_gets_one_exporter() -> None:
    """It is added where the environment asks for it, under a free name, unless a line exports already."""
    environ = {BASE: "http://there:4318"}
    web = ProcfileLine("traces", "python -m http.server", 1)
    assert with_exporter((web,), {}) == (web,)
    assert [line.name for line in with_exporter((web,), environ)] == ["traces", "traces_export"]
    own = ProcfileLine("out", "exec twelvefold trace export --follow --file t.jsonl", 1)
    assert with_exporter((own,), environ) == (own,)


def test_a_caller_s_trace_is_the_environment_s_or_the_current_span_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken variable counts as none; in a program that traces, its current span comes first."""
    from opentelemetry import trace

    given = f"00-{'a' * 32}-{'b' * 16}-01"
    assert caller_traceparent({"TRACEPARENT": given}) == given
    assert caller_traceparent({"TRACEPARENT": "nonsense"}) == ""
    assert caller_traceparent({}) == ""
    context: Any = trace.SpanContext(int("c" * 32, 16), int("d" * 16, 16), False, trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert caller_traceparent({"TRACEPARENT": given}) == f"00-{'c' * 32}-{'d' * 16}-01"
        monkeypatch.delitem(sys.modules, "opentelemetry.trace")
        assert caller_traceparent({"TRACEPARENT": given}) == given
