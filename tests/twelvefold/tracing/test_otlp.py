"""The way to a receiver of OTLP: what it has taken counts as delivered, whatever it says and in whichever protocol."""

from __future__ import annotations

import gzip
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from twelvefold.projections.otlp_json import document
from twelvefold.projections.span import Span
from twelvefold.tracing.otlp import OtlpSink
from twelvefold.tracing.settings import trace_settings

SPANS = [Span(trace_id="a" * 32, span_id=f"{n:016x}", parent_id="", name=f"s{n}", start=n, end=n) for n in range(1, 5)]


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers every request as its server is told to."""

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self) -> None:
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.server.got.append((self.command, self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        status, reason, headers, content = self.server.answers.get(self.path, (200, "OK", {}, b""))  # type: ignore[attr-defined]
        self.send_response(status, reason)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Any]:
    """A receiver that answers as it is told, by path."""
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.got, server.answers = [], {}
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def sink(url: str, **environ: str) -> OtlpSink:
    """A sink as the environment and a URL of the command line make it."""
    return OtlpSink(trace_settings({"OTEL_EXPORTER_OTLP_TIMEOUT": "1500", **environ}, url))


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_who_is_sent_elsewhere_has_delivered_nothing(receiver: Any, status: int, protocol: str) -> None:
    """A page that answers well behind a redirection has taken no spans; where it leads to is told."""
    receiver.answers["/v1/traces"] = (status, "Moved", {"Location": "/login"}, b"")
    sent = sink(receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol).send(SPANS)
    assert (sent.delivered, sent.rejected) == (0, 0)
    assert sent.reason == f"it answered {status} Moved, to /login"
    assert {path for _, path, _, _ in receiver.got} == {"/v1/traces"}


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_json_is_what_a_file_would_hold(receiver: Any, compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTLP/JSON needs nothing but what the usual protocol needs, and takes the same headers and compression."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=a")
    sent = sink(receiver.url, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/json").send(SPANS)
    assert sent.delivered == len(SPANS), sent.reason
    ((_, _, headers, body),) = receiver.got
    told = {name.lower(): value for name, value in headers.items()}
    assert (told["content-type"], told["x-token"]) == ("application/json", "a")
    body = gzip.decompress(body) if compression == "gzip" else body
    assert body == document({"service.name": "twelvefold"}, SPANS)


@pytest.mark.parametrize(("refused", "rejected"), [("3", 3), (2, 2), (-5, 0), (99, 4)])
def test_what_is_refused_of_a_request_is_counted_in_json_too(receiver: Any, refused: Any, rejected: int) -> None:
    """Its number may be a text, as OTLP/JSON has large ones; nonsense counts for no more than there was."""
    answer = {"partialSuccess": {"rejectedSpans": refused, "errorMessage": "no\x1b[31mroom"}}
    receiver.answers["/v1/traces"] = (200, "OK", {}, json.dumps(answer).encode())
    sent = sink(receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL="http/json").send(SPANS)
    assert (sent.delivered, sent.rejected) == (len(SPANS) - rejected, rejected)
    assert sent.reason == ("no [31mroom" if rejected else "")


def test_words_of_a_receiver_do_nothing_to_a_terminal(receiver: Any) -> None:
    """They come from elsewhere."""
    receiver.answers["/v1/traces"] = (403, "no\x1b]0;title\x07 way", {}, b"")
    assert sink(receiver.url).send(SPANS).reason == "it answered 403 no ]0;title way"


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_one_span_that_cannot_be_sent_keeps_no_other_from_it(receiver: Any, protocol: str) -> None:
    """What the exporter can't encode, or holds back as too large, is found and given up by itself."""
    bad = Span(trace_id="a" * 32, span_id="f" * 16, parent_id="", name="before time began", start=-1, end=0)
    sent = sink(receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol).send([*SPANS[:3], bad, SPANS[3]])
    assert (sent.delivered, sent.rejected) == (len(SPANS), 1)
    assert sent.reason


@pytest.mark.parametrize("url", ["http://*:4318", "http://a..b:4318", "http://127.0.0.1:99999"])
def test_a_url_that_leads_nowhere_loses_nothing(url: str) -> None:
    """What was never sent is not refused for good, and it is said what is wrong with the URL."""
    sent = sink(url).send(SPANS)
    assert (sent.delivered, sent.rejected) == (0, 0)
    assert "label" in sent.reason or "parse" in sent.reason.lower()


def test_keys_in_a_url_are_shown_to_nobody() -> None:
    """A target stands in logs, metrics and the status of exports."""
    assert sink("https://me:secret@there/otlp?token=abc").target == "https://me:********@there/otlp/v1/traces?…"


@pytest.mark.parametrize(
    ("environ", "url", "endpoint"),
    [
        ({}, "", "http://localhost:4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://there:4317/"}, "", "https://there:4317"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://there:1/v1/traces"}, "", "http://there:1"),
        ({}, "http://here:4317", "http://here:4317"),
    ],
)
def test_grpc_has_its_own_port_and_no_path(environ: dict[str, str], url: str, endpoint: str) -> None:
    """As the specification has it."""
    assert trace_settings({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", **environ}, url).endpoint == endpoint


def test_spans_go_out_by_grpc(tmp_path: Path) -> None:
    """Where its package is installed: delivered to one who listens, with a reason where nobody does."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", reason="no extra of ours has it")
    rotel = pytest.importorskip("rotel", reason="no wheel for this platform")
    grpc, web = _free_ports(2)
    program = Path(rotel.__file__).with_name("rotel-agent")
    options = ["--exporter", "blackhole", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--pid-file", tmp_path / "pid"]
    options += ["--otlp-http-endpoint", f"127.0.0.1:{web}"]
    said = sink(f"http://127.0.0.1:{grpc}", OTEL_EXPORTER_OTLP_PROTOCOL="grpc").send(SPANS)
    assert (said.delivered, said.rejected) == (0, 0)
    assert "UNAVAILABLE" in said.reason
    process = subprocess.Popen([program, "start", *options])
    try:
        deadline = time.monotonic() + 60
        while (sent := sink(f"http://127.0.0.1:{grpc}", OTEL_EXPORTER_OTLP_PROTOCOL="grpc").send(SPANS)).delivered == 0:
            assert time.monotonic() < deadline, sent.reason
        assert sent.delivered == len(SPANS)
    finally:
        process.terminate()
        process.wait(30)


def _free_ports(count: int) -> list[int]:
    servers = [http.server.HTTPServer(("127.0.0.1", 0), Answering) for _ in range(count)]
    for server in servers:
        server.server_close()
    return [int(server.server_port) for server in servers]
