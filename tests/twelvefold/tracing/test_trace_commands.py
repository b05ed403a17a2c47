"""`twelvefold trace` on a log that nobody writes: the tree, documents, exports, and what is refused."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.projections.told import Told
from tests.twelvefold.conftest import COMMAND, CommandLine
from twelvefold.eventstore.event import NewEvent
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog

RUN = "0" * 31 + "7"


def a_run() -> Told:
    """A run with a delivery that failed and one that is still going on."""
    told = Told(RUN)
    told.requested({"pattern": "pipeline", "steps": []}, labels={"job": "shop"})
    first = told.task("0.0", "echo")
    told.reported(first, "task.started", {}, at_ms=10)
    failed = told.reported(first, "task.failed", {"reason": "bad", "error": {"message": "no\nwood"}}, at_ms=30)
    again = told.task("0.0", "echo", failed, attempt=2)
    told.reported(again, "task.started", {}, at_ms=50)
    told.effect(again, "intended", "tool:saw:1:0")
    return told


@pytest.fixture
def home(twelvefold: CommandLine) -> Path:
    """A home whose log has that run, and the end of another one."""
    folder = twelvefold.cwd / ".twelvefold"
    folder.mkdir()
    told = a_run()
    told.run = "1" * 32
    told.requested({"pattern": "task", "agent": "echo"})
    told.add("run.succeeded", {})
    times = iter([event.time for event in told.events])
    log = SqliteLog(folder / "log.db", clock=lambda: next(times))
    for event in told.events:
        fields = {name: getattr(event, name) for name in NewEvent.__struct_fields__}
        log.append(Append(events=[NewEvent(**fields)], source=event.source))
    log.close()
    return folder


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers each request with the next status of its server, and keeps what it was sent."""

    def do_POST(self) -> None:
        self.server.got.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
        statuses = self.server.statuses  # type: ignore[attr-defined]
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Any]:
    """A receiver that answers as it is told."""
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.got, server.statuses = [], [200]
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_tree_tells_times_outcomes_and_what_is_open(twelvefold: CommandLine, home: Path) -> None:
    """Attempts, messages and open work are to be seen; sending is a line of its own only with --all."""
    shown = twelvefold("trace", RUN[:31] + "7")
    assert shown.status == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[0] == f"open  {RUN}  6 spans, 3 open"
    assert [line.split("  ")[-1] for line in lines[2:3]] == ["no wood"]
    assert "✗ invoke_agent echo  0.0" in lines[2]
    assert "… invoke_agent echo  0.0  attempt 2  waited 19 ms" in lines[3]
    assert "└─ … execute_tool saw" in lines[4]
    assert "send echo" not in shown.out
    assert twelvefold("trace", RUN, "--all").out.count("send echo") == 2
    drawn = twelvefold.on_terminal("trace", RUN, columns=130)
    assert "━" in drawn.out
    assert "━" not in twelvefold.on_terminal("trace", RUN, columns=80).out


def test_the_document_has_all_spans(twelvefold: CommandLine, home: Path) -> None:
    """Its keys are those that the command's help names; times are RFC 3339, absent things null."""
    document = twelvefold("trace", RUN, "--json").json
    assert (document["run"], document["trace"], document["state"], document["end"]) == (RUN, RUN, "open", None)
    help = twelvefold("trace", "--help").out
    for name in (*document, *document["spans"][0]):
        assert name in help
    failed = next(span for span in document["spans"] if span["status"] == "error")
    assert (failed["message"], failed["open"], failed["duration_s"]) == ("no\nwood", False, 0.02)


def test_spans_go_to_standard_output_a_file_or_a_receiver(twelvefold: CommandLine, home: Path, receiver: Any) -> None:
    """The same spans go everywhere; the environment's headers, endpoint and compression count."""
    out = twelvefold("trace", "export", "--all")
    assert out.status == 0, out.err
    here = json.loads(out.out)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len({span["traceId"] for span in here}) == 2
    assert twelvefold("trace", "export", "--all", "--file", "t.json").status == 0
    assert json.loads((twelvefold.cwd / "t.json").read_text()) == json.loads(out.out)
    sent = twelvefold(
        "trace", "export", "--all", "--json",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"{receiver.url}/base/", OTEL_EXPORTER_OTLP_HEADERS="x-token=a%20b",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="4",
    )  # fmt: skip
    assert sent.status == 0, sent.err
    assert (sent.json["delivered"], sent.json["traces"], sent.json["open"]) == (len(here), 2, 3)
    assert [path for path, _, _ in receiver.got] == ["/base/v1/traces"] * 2
    headers = {name.lower(): value for name, value in receiver.got[0][1].items()}
    assert (headers["x-token"], headers["content-encoding"]) == ("a b", "gzip")


def test_env_files_count_and_a_disabled_sdk_exports_nothing(twelvefold: CommandLine, home: Path, receiver: Any) -> None:
    """A project's `.env` names the receiver as well; what the command line names counts in any case."""
    (twelvefold.cwd / ".env").write_text(f"OTEL_EXPORTER_OTLP_ENDPOINT={receiver.url}\n")
    assert twelvefold("trace", "export", "--all").status == 0
    assert len(receiver.got) == 1
    for off in ({"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
        done = twelvefold("trace", "export", "--all", **off)
        assert (done.status, done.out) == (0, "")
        assert "nothing is exported" in done.err
    assert len(receiver.got) == 1
    assert twelvefold("trace", "export", "--all", "--otlp", receiver.url, OTEL_SDK_DISABLED="true").status == 0
    assert len(receiver.got) == 2


@pytest.mark.parametrize(("status", "said"), [(400, "400"), (401, "401"), (404, "404")])
def test_a_receiver_that_refuses_is_told_of(
    twelvefold: CommandLine, home: Path, receiver: Any, status: int, said: str
) -> None:
    """Exit status 1, with how many and why; it isn't asked for each batch again if it doesn't take the first."""
    receiver.statuses = [status]
    few = {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}
    done = twelvefold("trace", "export", "--all", "--otlp", receiver.url, **few)
    assert done.status == 1
    assert "error[E552]" in done.err
    assert said in done.err
    assert len(receiver.got) == (4 if status == 400 else 1)
    document = twelvefold("trace", "export", "--all", "--otlp", receiver.url, "--json", **few)
    assert document.status == 1
    assert document.json["rejected" if status == 400 else "undelivered"] == document.json["spans"] == 7


def test_a_busy_receiver_is_asked_again(twelvefold: CommandLine, home: Path, receiver: Any) -> None:
    """What it can't take now it gets later."""
    receiver.statuses = [503, 200]
    done = twelvefold("trace", "export", "--all", "--otlp", receiver.url)
    assert done.status == 0, done.err
    assert len(receiver.got) == 2


@pytest.mark.parametrize(
    ("arguments", "variables", "code"),
    [
        (("trace", "f" * 32), {}, "E3"),
        (("trace", "export"), {}, "E004"),
        (("trace", "export", "--all", "--run", RUN), {}, "E004"),
        (("trace", "export", "--all", "--otlp", "http://a", "--file", "b"), {}, "E004"),
        (("trace", RUN, "--file", "b"), {}, "E004"),
        (("trace", "export", "--all", "--json"), {}, "E004"),
        (("trace", "export", "--all", "--file", "-", "--json"), {}, "E004"),
        (("trace", "export", "--follow", "--file", "b", "--json"), {}, "E004"),
        (("trace", "export", "--all", "--otlp", "localhost:4318"), {}, "E550"),
        (("trace", "export", "--all"), {"OTEL_TRACES_EXPORTER": "jaeger"}, "E550"),
        (("trace", "export", "--all", "--otlp", "http://a"), {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "E551"),
        (("trace", "export", "--all", "--file", "no/such/folder/t.json"), {}, "E015"),
    ],
)
def test_what_can_t_be_done_is_said(
    twelvefold: CommandLine, home: Path, arguments: tuple[str, ...], variables: dict[str, str], code: str
) -> None:
    """An error with its code and help, no traceback, and nothing half done."""
    done = twelvefold(*arguments, **variables)
    assert done.status in (1, 2, 3)
    assert f"error[{code}" in done.err
    assert "help:" in done.err
    assert "Traceback" not in done.err


def test_a_followed_file_grows_by_lines_until_a_signal(twelvefold: CommandLine, home: Path) -> None:
    """What has ended is in it, each span once, also if the exporter is started again; a file taken away comes again."""
    file = twelvefold.cwd / "t.jsonl"

    def followed() -> list[str]:
        with twelvefold.start("trace", "export", "--follow", "--file", "t.jsonl") as process:
            assert process.stderr is not None
            assert "exporting traces to" in process.stderr.readline()
            deadline = time.monotonic() + 60
            while not file.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.terminate()
            _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        documents = [json.loads(line) for line in file.read_text().splitlines()]
        return [span["spanId"] for one in documents for span in one["resourceSpans"][0]["scopeSpans"][0]["spans"]]

    first = followed()
    assert len(first) == len(set(first)) == 4
    assert followed() == first
    file.unlink()
    assert followed() == first
    (row,) = twelvefold("trace", "export", "--status", "--json").json
    assert (row["behind"], row["undelivered"], row["delivered"], row["running"]) == (0, 0, 4, False)
    assert all(name in twelvefold("trace", "--help").out for name in row)
    console = twelvefold("trace", "export", "--all", OTEL_TRACES_EXPORTER="console")
    assert len(json.loads(console.out)["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 7


def test_an_empty_log_has_no_spans(twelvefold: CommandLine) -> None:
    """It is exported as a document without any."""
    folder = twelvefold.cwd / ".twelvefold"
    folder.mkdir()
    SqliteLog(folder / "log.db").close()
    done = twelvefold("trace", "export", "--all", "--file", "t.json")
    assert done.status == 0, done.err
    document = json.loads((twelvefold.cwd / "t.json").read_text())
    assert document["resourceSpans"][0]["scopeSpans"][0]["spans"] == []
    assert twelvefold("trace", "export", "--status", "--json").json == []


def test_an_export_replaces_files_only(twelvefold: CommandLine, home: Path) -> None:
    """A link leads on to its file, a pipe is written to, and what can't be written leaves nothing behind."""
    (twelvefold.cwd / "real").mkdir()
    link = twelvefold.cwd / "t.json"
    link.symlink_to("real/t.json")
    assert twelvefold("trace", "export", "--all", "--file", "t.json").status == 0
    assert link.is_symlink()
    whole = (twelvefold.cwd / "real" / "t.json").read_bytes()
    pipe = twelvefold.cwd / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    done = twelvefold("trace", "export", "--all", "--file", "pipe")
    assert done.status == 0, done.err
    assert os.read(reader, 1 << 20) == whole
    os.close(reader)
    assert pipe.is_fifo()
    (twelvefold.cwd / "taken").mkdir()
    assert "error[E015]" in twelvefold("trace", "export", "--all", "--file", "taken").err
    assert sorted(one.name for one in twelvefold.cwd.iterdir() if "making" in one.name) == []


def test_a_full_disk_is_told_of(twelvefold: CommandLine, home: Path) -> None:
    """Spans that standard output doesn't take are no defect of ours; nobody is told that they were exported."""
    full = twelvefold.cwd / "full"
    full.symlink_to("/dev/full")
    with full.open("wb") as out:
        done = subprocess.run(
            [COMMAND, "trace", "export", "--all"], cwd=twelvefold.cwd, env=twelvefold.environment, stdout=out,
            stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "error[E016]" in done.stderr
    done_to_file = twelvefold("trace", "export", "--all", "--file", "full")
    assert done_to_file.status == 1
    assert "error[E015]" in done_to_file.err
    assert "exported" not in done_to_file.err
    assert Path("/dev/full").is_char_device()


def test_a_home_without_a_log_has_nothing_to_export(twelvefold: CommandLine) -> None:
    """Once or live, it is said in the words of every command; nothing is made on the way."""
    for arguments in (("--follow", "--file", "t.jsonl"), ("--all",), ("--status",), ("--run", RUN)):
        done = twelvefold("trace", "export", *arguments)
        assert done.status == 3, done.err
        assert "error[E111]" in done.err
    assert not (twelvefold.cwd / "t.jsonl").exists()
