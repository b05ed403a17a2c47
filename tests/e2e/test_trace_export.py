"""Traces end to end against two foreign receivers, rotel and oteltap: live, killed agents, dead receivers."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.conftest import JobHome, _job_home
from twelvefold.eventstore.reader import LogReader
from twelvefold.orchestration import submit
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Task
from twelvefold.projections.span import Span
from twelvefold.tracing.span_source import run_spans

oteltap = pytest.importorskip("oteltap", reason="no wheel for this platform")
rotel = pytest.importorskip("rotel", reason="no wheel for this platform")

pytestmark = pytest.mark.e2e

GUIDE = Path(__file__).parents[2] / "docs" / "traces.md"
CALLER = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
AGENTS = '''
import time
from pathlib import Path

import twelvefold as tf


class Echo(tf.BaseAgent):
    """Answers with what it was asked, and with the trace that a command of its would see."""

    def execute_task(self, task, context):
        seen = context.effect("tool", "look", {"at": task}, lambda: task, effect="idempotent")
        return tf.ToolResponse(success=True, data={"seen": seen, "traceparent": context.traceparent})


class Slow(tf.BaseAgent):
    """Works on one effect until a file is there."""

    def execute_task(self, task, context):
        def wait():
            while not Path(task["until"]).exists():
                time.sleep(0.02)
            return "waited"

        return tf.ToolResponse(success=True, data=context.effect("tool", "wait", {}, wait, effect="idempotent"))
'''


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(what: Callable[[], Any], seconds: float = 90.0) -> Any:
    """What a question answers once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)
    return found


class Tap:
    """A receiver of OTLP, oteltap's, and every span that it was sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.spans: list[Any] = []
        self._ready, self._stop = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)
        assert self._error is None, self._error

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def of(self, trace: str) -> list[Any]:
        """The spans of one trace, by its id in hex, each time that they came."""
        return [span for span in list(self.spans) if span.trace_id.hex() == trace]

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        try:
            asyncio.run(self._receive())
        except BaseException as error:  # noqa: BLE001 - told to the test's thread
            self._error = error
            self._ready.set()

    async def _receive(self) -> None:
        settings = oteltap.OtelTapHttpProtobufReceiverSettings(http_port=self.port)
        async with oteltap.OtelTapHttpProtobufReceiver(settings) as receiver:

            async def collect() -> None:
                async for span in receiver.stream_traces():
                    self.spans.append(span)

            collecting = asyncio.create_task(collect())
            await asyncio.sleep(0)
            self._ready.set()
            while not self._stop.is_set():
                await asyncio.sleep(0.05)
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)


class Collector:
    """Rotel, and what it passes on of what it has received and decoded."""

    def __init__(self, folder: Path) -> None:
        self.spans: list[Any] = []
        behind = self

        class PassedOn(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                # Rotel compresses whatever it is told, which oteltap doesn't read: so they don't stand in one row.
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    behind.spans += [
                        (resource.resource, span) for scope in resource.scope_spans for span in scope.spans
                    ]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), PassedOn)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = self._started(folder, port)

        def listens() -> bool:
            assert self._process.poll() is None, "rotel has ended"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for(listens)

    def of(self, trace: str) -> list[Any]:
        """The spans of one trace, by its id in hex, each time that they came."""
        return [span for _, span in list(self.spans) if span.trace_id.hex() == trace]

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)
        self._server.shutdown()
        self._server.server_close()

    def _started(self, folder: Path, port: int) -> subprocess.Popen[bytes]:
        program = Path(rotel.__file__).with_name("rotel-agent")
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        if shown.returncode == 127 and "libpython" in shown.stderr:
            pytest.skip("rotel needs a libpython that this interpreter was built without")
        options = {
            "--otlp-http-endpoint": f"127.0.0.1:{port}",
            "--otlp-grpc-endpoint": f"127.0.0.1:{free_port()}",
            "--exporter": "otlp",
            "--otlp-exporter-endpoint": f"http://127.0.0.1:{self._server.server_port}",
            "--otlp-exporter-protocol": "http",
            "--pid-file": str(folder / "pid"),
            "--log-file": str(folder / "log"),
        }
        return subprocess.Popen([program, "start", *(word for pair in options.items() for word in pair)])


@pytest.fixture(scope="module")
def tap() -> Iterator[Tap]:
    """A receiver that is there all the time."""
    found = Tap(free_port())
    yield found
    found.close()


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Another, which is a collector."""
    found = Collector(tmp_path_factory.mktemp("rotel"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def home(collector: Collector) -> Iterator[JobHome]:
    """A home with an `up` that exports to the collector, and two agents."""
    for found in _job_home():
        (found.folder / "traced_agents.py").write_text(AGENTS)
        lines = "echo: twelvefold agent traced_agents:Echo\nslow: twelvefold agent traced_agents:Slow\n"
        (found.folder / "Procfile").write_text(lines)
        found.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        found.environment |= {"OTEL_SERVICE_NAME": "shop", "OTEL_RESOURCE_ATTRIBUTES": "team=tools%20and%20toys"}
        up = found("up", "-d", "--wait", cwd=found.folder)
        assert up.status == 0, up.err
        yield found


def spans_of(home: JobHome, run: str) -> list[Span]:
    """The spans of a run as the log has them now."""
    with LogReader(home.home / "log.db") as log:
        return list(run_spans(log, run))


def ran(home: JobHome, plan: Plan, trace: str = "") -> str:
    """The id of a run that has ended."""
    with home.client() as client:
        run = submit.submit(client, plan, trace=trace)
        assert submit.wait(client, run, 90).outcome == "succeeded"
    return run


def test_live_spans_reach_a_foreign_collector(home: JobHome, collector: Collector) -> None:
    """What runs under an `up` arrives, below the span of who asked for it, the same as the log says at any time."""
    run = ran(home, Pipeline([Task("echo", "a"), Task("echo", "b")]), trace=f"00-{CALLER[0]}-{CALLER[1]}-01")
    known = {span.span_id: span for span in spans_of(home, run)}
    arrived = wait_for(lambda: (got := collector.of(CALLER[0])) and len(got) >= len(known) and got)
    assert {span.span_id.hex() for span in arrived} == set(known)
    (root,) = (span for span in arrived if span.parent_span_id.hex() == CALLER[1])
    assert root.name == "invoke_workflow pipeline"
    assert root.status.code == 1
    for span in arrived:
        mine = known[span.span_id.hex()]
        assert (span.name, span.start_time_unix_nano, span.end_time_unix_nano) == (mine.name, mine.start, mine.end)
        for link in span.links:
            assert link.span_id.hex() in known
    resource = {one.key: one.value.string_value for one in collector.spans[0][0].attributes}
    assert resource == {"service.name": "shop", "team": "tools and toys"}
    tools = [span for span in arrived if span.name == "execute_tool look"]
    assert len(tools) == 2
    # What an agent hands on leads to the span of the delivery that it works on.
    with LogReader(home.home / "log.db") as log:
        told = [event.data["value"]["traceparent"] for event in log.read(run=run, type="task.succeeded")]
    assert {one.split("-")[2] for one in told} == {span.parent_span_id.hex() for span in tools}
    assert {one.split("-")[1] for one in told} == {CALLER[0]}


def test_a_killed_agent_leaves_open_spans_and_in_the_end_one_trace(
    home: JobHome, tap: Tap, collector: Collector, tmp_path: Path
) -> None:
    """While its work waits its spans are open; once done the trace is whole, and three exports give the same bytes."""
    until = home.folder / "until"
    with home.client() as client:
        run = submit.submit(client, Task("slow", {"until": str(until)}))

        def working() -> list[Span]:
            return [span for span in spans_of(home, run) if span.end is None and span.name == "execute_tool wait"]

        (effect,) = wait_for(working)
        shown = home("trace", run, "--json", cwd=home.folder).json
        still = {span["name"] for span in shown["spans"] if span["open"]}
        assert shown["state"] == "open"
        assert still == {"invoke_workflow slow", "invoke_agent slow", "execute_tool wait"}
        statuses = {one["name"]: one for one in home("ps", "--json", cwd=home.folder).json}
        os.kill(statuses["slow.1"]["pid"], signal.SIGKILL)
        wait_for(lambda: any(span.span_id != effect.span_id for span in working()))
        until.write_text("")
        assert submit.wait(client, run, 90).outcome == "succeeded"
    spans = spans_of(home, run)
    assert all(span.end is not None for span in spans)
    deliveries = [span for span in spans if span.name == "invoke_agent slow"]
    assert [span.status for span in deliveries] == ["error", "ok"]
    assert deliveries[0].attributes["twelvefold.interrupted"] is True
    assert any(one.attributes.get("twelvefold.process.signal") == signal.SIGKILL for one in deliveries[0].events)
    files = [tmp_path / f"{n}.json" for n in range(3)]
    for file in files:
        assert home("trace", "export", "--run", run, "--file", str(file), cwd=home.folder).status == 0
    assert len({file.read_bytes() for file in files}) == 1
    assert {span["spanId"] for span in spans_in(files[0])} == {span.span_id for span in spans}
    for _ in range(2):
        again = home("trace", "export", "--run", run, "--otlp", tap.url, cwd=home.folder)
        assert again.status == 0, again.err
    arrived = wait_for(lambda: (got := tap.of(run)) and len(got) >= 2 * len(spans) and got)
    assert len({span.SerializeToString(deterministic=True) for span in arrived}) == len(spans)
    live = wait_for(lambda: (got := collector.of(run)) and len(got) >= len(spans) and got)
    assert {span.span_id for span in live} == {span.span_id for span in arrived}


def test_the_guide_s_commands_work_as_printed(home: JobHome, tap: Tap) -> None:
    """What docs/traces.md shows for a shell does what it says, also where an `up` runs already."""
    run = ran(home, Task("echo", "guide"))
    blocks = re.findall(r"^```sh (\S+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == ["look.sh", "export.sh", "live.sh"]
    environ = home.environment | {"RUN": run, "RECEIVER": tap.url}
    said = {}
    for name, text in blocks[:2]:
        done = subprocess.run(["sh", "-eu", "-c", text], cwd=home.folder, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said[name] = done.stdout + done.stderr
    assert "invoke_agent echo" in said["look.sh"]
    assert home.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] in said["export.sh"]
    assert {span["spanId"] for span in spans_in(home.folder / "trace.json")} == {
        one.span_id for one in spans_of(home, run)
    }
    wait_for(lambda: len(tap.of(run)) >= len(spans_of(home, run)))
    # The home has its `up`, so that another is refused; it was started by the last block's command.
    assert blocks[2][1].split()[1:] == ["twelvefold", "up", "-d", "--wait"]


def spans_in(file: Path) -> list[dict[str, Any]]:
    """The spans of a document of OTLP/JSON."""
    (resource,) = json.loads(file.read_bytes())["resourceSpans"]
    (scope,) = resource["scopeSpans"]
    found: list[dict[str, Any]] = scope["spans"]
    return found


def test_a_dead_receiver_holds_nothing_up_and_gets_everything_later(home: JobHome) -> None:
    """Runs end as ever; what waits is counted, and is sent once somebody listens, by another process too."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    follow = ("trace", "export", "--follow", "--otlp", url)
    home.environment["OTEL_EXPORTER_OTLP_TIMEOUT"] = "500"
    first = home.start(*follow, cwd=home.folder)
    run = ran(home, Task("echo", "c"))
    expected = {span.span_id for span in spans_of(home, run)}

    def status() -> dict[str, Any]:
        rows = home("trace", "export", "--status", "--json", cwd=home.folder).json
        return next((one for one in rows if str(port) in one["target"]), {})

    waiting = wait_for(lambda: (row := status()).get("undelivered", 0) >= len(expected) and row)
    assert waiting["delivered"] == 0
    assert waiting["failing_since"] is not None
    assert "refused" in waiting["reason"]
    first.kill()
    first.communicate()
    second = home.start(*follow, cwd=home.folder)
    late = Tap(port)
    try:
        wait_for(lambda: expected <= {span.span_id.hex() for span in list(late.spans)})
        ended = wait_for(lambda: (row := status()).get("behind") == 0 and row)
        assert ended["undelivered"] == 0
        assert ended["delivered"] >= waiting["undelivered"]
        assert len({span.SerializeToString(deterministic=True) for span in late.spans}) == ended["delivered"]
    finally:
        second.terminate()
        _, said = second.communicate(timeout=60)
        late.close()
    assert second.returncode == 0, said
