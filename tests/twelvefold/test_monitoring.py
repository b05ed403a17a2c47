"""Metrics and health of a real home: as plain data, as Prometheus's text, served, and from the command line."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

import twelvefold as tf
from twelvefold.eventstore.event import NewEvent
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.monitoring import Monitoring
from twelvefold.monitoring_errors import MetricsFormatUnknown, PortUnusable

from ..conftest import BusHome, eventually
from .conftest import CommandLine

PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")


@pytest.fixture(scope="module")
def live() -> Iterator[BusHome]:
    """A home with a bus, some events, a queue with a member and one without."""
    folder, runtime = (Path(tempfile.mkdtemp(prefix="tf-")) for _ in range(2))
    bus = BusHome(folder, runtime)
    patch = pytest.MonkeyPatch()
    patch.setenv("TWELVEFOLD_RUNTIME_DIR", str(runtime))
    try:
        bus.start()
        client, worker = bus.client(), bus.client(instance="worker-1", role="agent")
        client.emit_many([NewEvent(type="demo.happened", to="work", payload=str(n)) for n in range(5)])
        client.emit("demo.other", to="nobody")
        # Held for as long as the fixture lives: who ends the iteration leaves the queue.
        deliveries = worker.consume("work")
        for _ in range(4):
            worker.settle(next(deliveries), [NewEvent(type="demo.handled")])
        sample = {"counters": {"edits": 3}, "timers": {"t": {"count": 2, "total_s": 0.5}}, "gauges": {"depth": 7}}
        worker.emit("telemetry.sampled", sample, stream="telemetry.work")
        yield bus
    finally:
        patch.undo()
        bus.close()
        shutil.rmtree(folder)
        shutil.rmtree(runtime)


def values_of(text: str) -> dict[tuple[str, ...], float]:
    """Every sample of a text by name and label values, in the order of the labels' names."""
    return {
        (
            sample.name.removeprefix("twelvefold_"),
            *(sample.labels[name] for name in sorted(sample.labels)),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_all_that_is_promised_is_exported(live: BusHome) -> None:
    """Events by type, throughput, dispatch, queues, deliveries, commits, sizes and agents' own counters are there."""
    text = tf.MetricsCollector(live.home).export_metrics("prometheus")
    values = values_of(text)
    assert values["events_total", "demo.happened"] == 5
    assert values["queue_depth", "queue", "nobody", "waiting"] == 1
    assert values["queue_oldest_age_seconds", "queue", "nobody"] > 0
    assert values["queue_members", "queue", "work"] == 1
    assert values["dispatch_seconds_count", "queue", "work"] >= 4
    assert values["deliveries_total", "settled"] == 4
    assert values["bus_up",] == 1
    assert values["bus_commit_seconds_count",] == values["bus_commit_events_count",] > 0
    assert values["bus_commit_events_sum",] == values["log_position",]
    assert values["log_wal_bytes",] > 0
    assert values["disk_free_bytes",] > 0
    assert values["agent_telemetry_total", "work", "edits"] == 3
    assert values["agent_telemetry_seconds_sum", "work", "t"] == 0.5
    assert values["agent_telemetry_value", "work", "worker-1", "depth"] == 7
    assert {"events_per_second", "bus_round_trip_seconds"} <= {key[0] for key in values}


def test_the_text_is_what_others_read(live: BusHome) -> None:
    """Both formats are read whole by their parsers, and no metric stands in them twice."""
    collector = tf.MetricsCollector(live.home)
    names = [family.name for family in text_string_to_metric_families(collector.export_metrics())]
    assert len(names) == len(set(names)) > 30
    later = [one.name for one in openmetrics.text_string_to_metric_families(collector.export_metrics("openmetrics"))]
    assert len(later) == len(names)
    with pytest.raises(MetricsFormatUnknown):
        collector.export_metrics("xml")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_finds_nothing_wrong(live: BusHome) -> None:
    """Names, units and helps are as Prometheus's own linter wants them."""
    text = tf.MetricsCollector(live.home).export_metrics()
    done = subprocess.run([PROMTOOL or "", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_each_collection_is_of_now(live: BusHome) -> None:
    """A collector that is kept reads what is new, and says at once what has happened."""
    collector, client = tf.MetricsCollector(live.home), live.client()

    def count() -> int:
        return int(collector.collect_orchestration_metrics()["events"]["by_type"].get("again.happened", 0))

    before = count()
    client.emit_many([NewEvent(type="again.happened") for _ in range(3)])
    assert count() == before + 3


def test_another_log_in_its_place_is_read_anew(tmp_path: Path) -> None:
    """Where a home's log was moved away or another one was put there, a collector tells of what is there now."""
    collector = tf.MetricsCollector(tmp_path)

    def by_type() -> Any:
        return collector.collect_orchestration_metrics()["events"]["by_type"]

    def write(*types: str) -> None:
        log = SqliteLog(tmp_path / "log.db")
        log.append(Append(events=[NewEvent(type=type, id=os.urandom(16)) for type in types]))
        log.close()

    assert by_type() == {}
    write("one.happened", "one.happened", "two.happened")
    assert by_type() == {"one.happened": 2, "two.happened": 1}
    for file in tmp_path.glob("log.*"):
        file.unlink()
    assert by_type() == {}
    write("other.happened", "other.happened", "other.happened", "other.happened")
    assert by_type() == {"other.happened": 4}
    for file in tmp_path.glob("log.*"):
        file.unlink()
    write("last.happened", "last.happened", "last.happened", "last.happened", "last.happened")
    assert by_type() == {"last.happened": 5}


def test_names_of_any_letters_are_exported(tmp_path: Path) -> None:
    """Quotes, line ends and letters of any script in names of tools and models come out as they went in."""
    names = [
        'a "quoted" name',
        "two\nlines",
        "back\\slash",
        "Ünïcödé 模型",
        "",
        "{}=,",
    ]
    log = SqliteLog(tmp_path / "log.db")
    effects = [
        NewEvent(
            type="effect.completed",
            id=os.urandom(16),
            payload=json.dumps({"kind": "model", "name": name}),
            run="f" * 32,
        )
        for name in names
    ]
    log.append(Append(events=effects))
    log.close()
    text = tf.MetricsCollector(tmp_path).export_metrics()
    found = {key[2] for key in values_of(text) if key[0] == "effects_total"}
    assert found == set(names)
    if PROMTOOL is not None:
        done = subprocess.run([PROMTOOL, "check", "metrics"], input=text.encode(), capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A file that is no log makes a home unhealthy in words, and metrics an error: nothing is made up."""
    (tmp_path / "log.db").write_text("no database at all, and long enough to have a header " * 10)
    checks = {check.name: check for check in tf.HealthChecker(tmp_path).check_system_health().checks}
    assert checks["log"].status == "unhealthy"
    assert "log.db" in checks["log"].message
    with pytest.raises(tf.TwelvefoldError):
        tf.MetricsCollector(tmp_path).export_metrics()


def test_metrics_as_plain_data(live: BusHome) -> None:
    """Programs get the same as dictionaries: by agent, by process, and for all."""
    collector = tf.MetricsCollector(live.home)
    agents, all_of_it = collector.collect_agent_metrics(), collector.collect_orchestration_metrics()
    assert agents["instances"]["worker-1"]["queues"] == ["work"]
    assert agents["agents"]["work"]["counters"] == {"edits": 3.0}
    assert agents["totals"]["instances"] == 1
    assert all_of_it["queues"]["q/nobody"]["waiting"] == 1
    assert all_of_it["deliveries"]["settled"] == 4
    assert all_of_it["bus"]["commits"] > 0
    assert all_of_it["bus"]["batch_events_mean"] >= 1
    json.dumps([agents, all_of_it])


def test_every_key_of_the_documents_is_documented(live: BusHome) -> None:
    """docs/monitoring.md names those that are not names of agents, queues, processes and the like."""
    text = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
    collector = tf.MetricsCollector(live.home)
    told = [collector.collect_agent_metrics(), collector.collect_orchestration_metrics()]
    # What is named by its users: the rows below these have keys of ours again, unless they are numbers.
    named = {"agents", "instances", "queues", "processes", "models", "parked", "projections", "exports", "timers",
             "by_type", "counters", "gauges", "outcomes", "ended", "waiting", "deliveries"}  # fmt: skip

    def keys(document: Any) -> Iterator[str]:
        for key, value in document.items() if isinstance(document, dict) else ():
            yield key
            if key in named and isinstance(value, dict):
                for row in value.values():
                    yield from keys(row)
            else:
                yield from keys(value)

    found = {key for one in told for key in keys(one)}
    assert len(found) > 50
    assert {key for key in found if f"`{key}`" not in text and f"`.{key}`" not in text} == set()


def test_every_metric_is_documented(live: BusHome) -> None:
    """docs/monitoring.md names each metric that there is, and none that there isn't."""
    text = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
    documented = set(re.findall(r"`(twelvefold_\w+)", text))
    families = {family.name for family in tf.MetricsCollector(live.home).families()}
    under_up = {f"twelvefold_process_{what}" for what in ("up", "state", "resident_bytes", "proportional_bytes")}
    assert documented == families | under_up


def test_the_guide_s_program_runs(live: BusHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program in docs/monitoring.md does what it says."""
    text = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.setenv("TWELVEFOLD_HOME", str(live.home))
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["status"].status in ("healthy", "degraded", "unhealthy")
    assert names["fixer"].status == "unknown"
    assert names["text"].startswith("# HELP twelvefold_")


@contextmanager
def served(home: Path) -> Iterator[Monitoring]:
    """A server on a free port, in a thread."""
    server = Monitoring(tf.MetricsCollector(home), tf.HealthChecker(home), 0, "metrics")
    stop = threading.Event()
    thread = threading.Thread(target=server.serve, args=[stop])
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join()


def get(server: Monitoring, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask for a page; return status, headers in lower case and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_pages_are_served_to_this_machine_only(live: BusHome) -> None:
    """The three pages answer as their readers ask for them; other paths, methods and names of this host do not."""
    with served(live.home) as server:
        status, headers, body = get(server, "/metrics")
        assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
        assert b"twelvefold_bus_up 1.0" in body
        asked = get(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0", Accept_Encoding="gzip")
        assert gzip.decompress(asked[2]).endswith(b"# EOF\n")
        status, headers, body = get(server, "/metrics", "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 1000
        assert b"twelvefold_bus_up 1.0" in get(server, "/metrics?name[]=twelvefold_disk_free_bytes")[2]
        status, _, body = get(server, "/readyz")
        assert (status, json.loads(body)["ready"]) == (200, True)
        assert get(server, "/nothing")[0] == 404
        assert get(server, "/healthz", "POST")[0] == 405
        assert get(server, "/metrics", Host="evil.example:80")[0] == 403
        assert get(server, "/healthz", Host=f"localhost:{server.port}")[0] in (200, 503)
        with pytest.raises(ConnectionRefusedError):
            # Whoever listened on all addresses would be reached by this one, too.
            socket.create_connection(("127.0.0.2", server.port), timeout=30)
        with pytest.raises(PortUnusable):
            Monitoring(tf.MetricsCollector(live.home), tf.HealthChecker(live.home), server.port, "metrics")


def test_health_follows_the_bus(live: BusHome) -> None:
    """With the bus gone the pages say 503 and why, and what the log tells is still told; with it back all is well."""
    checker = tf.HealthChecker(live.home, limits=tf.HealthLimits(stuck_after_s=1e6, free_bytes=0, round_trip_s=60))
    assert checker.check_system_health().healthy
    assert checker.check_agent_health("work").healthy
    assert checker.check_agent_health("worker-1").instance == "worker-1"
    live.kill()
    with served(live.home) as server:
        status, _, body = get(server, "/healthz")
        said = json.loads(body)
        assert (status, said["status"], said["ready"]) == (503, "unhealthy", False)
        assert said["checks"][0]["name"] == "bus"
        assert get(server, "/readyz")[0] == 503
        values = values_of(get(server, "/metrics")[2].decode())
        assert (values["bus_up",], values["events_total", "demo.happened"]) == (0, 5)
        assert ("bus_commits_total",) not in values
    assert checker.check_agent_health("work").status == "unknown"
    live.start()
    eventually(lambda: checker.check_system_health().healthy and checker.check_agent_health("work").healthy)


def test_a_hung_bus_is_told_soon(live: BusHome) -> None:
    """A bus that is stopped, and so answers nobody, makes no health check wait for long."""
    checker = tf.HealthChecker(live.home, timeout_s=0.2)
    os.kill(live.pid, signal.SIGSTOP)
    try:
        status = checker.check_system_health()
    finally:
        os.kill(live.pid, signal.SIGCONT)
    assert status.status == "unhealthy"
    assert "answer" in status.checks[0].message


def test_parked_and_stuck_work_is_found(bus_home: BusHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery that was given up, and a queue that nobody serves, are told with where and why."""
    monkeypatch.setenv("TWELVEFOLD_RUNTIME_DIR", str(bus_home.runtime))
    bus_home.kill()
    bus_home.options = {"attempts_max": 1}
    bus_home.start()
    client, worker = bus_home.client(), bus_home.client(instance="worker-1")
    limits = tf.HealthLimits(stuck_after_s=0.0, free_bytes=0, round_trip_s=60)
    checker = tf.HealthChecker(bus_home.home, limits=limits)
    assert checker.check_system_health().healthy
    client.emit("demo.happened", to="work")
    deliveries = worker.consume("work")
    worker.fail(next(deliveries), "it has no head\nand no tail")
    found = {check.name: check for check in checker.check_system_health().problems}
    assert found.keys() == {"parked"}
    assert (found["parked"].status, "it has no head" in found["parked"].message) == ("degraded", True)
    client.emit("demo.happened", to="nobody")
    found = {check.name: check for check in checker.check_system_health().problems}
    assert (found["work"].status, "queue nobody: 1 waiting" in found["work"].message) == ("unhealthy", True)
    metrics = tf.MetricsCollector(bus_home.home).collect_orchestration_metrics()
    assert metrics["parked"] == {"delivery/work": {"count": 1, "position": 2}}


@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")
def test_prometheus_scrapes_it(live: BusHome, tmp_path: Path) -> None:
    """Debian's Prometheus takes the page as a target that is up, and answers questions about our metrics."""
    with served(live.home) as server:
        config = {
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
            "scrape_configs": [
                {"job_name": "twelvefold", "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}]}
            ],
        }
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))
        command = [PROMETHEUS or "", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                   "--web.listen-address=127.0.0.1:0"]  # fmt: skip
        said = tmp_path / "said"
        with said.open("wb") as output:
            process = subprocess.Popen(command, cwd=tmp_path, stderr=output)
        try:
            place = re.compile(r'"Listening on" address=127\.0\.0\.1:(\d+)')
            port = int(eventually(lambda: place.search(said.read_text()), 120)[1])

            def asked(query: str) -> Any:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                try:
                    connection.request("GET", f"/api/v1/query?query={query}")
                    found = json.loads(connection.getresponse().read())["data"]["result"]
                    return found and found[0]["value"][1]
                except (OSError, KeyError, ValueError):
                    return None  # not up yet
                finally:
                    connection.close()

            assert eventually(lambda: asked("twelvefold_bus_up"), 120) == "1"
            eventually(lambda: asked("up") == "1", 120)
            assert asked("twelvefold_events_total%7Btype=%22demo.happened%22%7D") == "5"
        finally:
            process.terminate()
            process.wait(60)


def test_commands_tell_and_end_as_scripts_expect(twelvefold: CommandLine, live: BusHome) -> None:
    """`metrics` and `health` print what they say they do, with exit statuses and errors that scripts can use."""
    there = {"TWELVEFOLD_HOME": str(live.home), "TWELVEFOLD_RUNTIME_DIR": str(live.runtime)}
    told = twelvefold("metrics", **there)
    assert (told.status, values_of(told.out)["bus_up",]) == (0, 1)
    document = twelvefold("metrics", "--json", **there).json
    assert document.keys() == {"agents", "instances", "totals", "orchestration"}
    one = twelvefold("health", "work", "--json", **there)
    assert (one.status, one.json["status"]) == (0, "healthy")
    unknown = twelvefold("health", "nobody-here", **there)
    assert (unknown.status, "E562" in unknown.err) == (3, True)
    down = twelvefold("health", "--json", TWELVEFOLD_HOME=str(twelvefold.cwd / "none"))
    assert (down.status, down.json["healthy"], down.json["checks"][0]["name"]) == (1, False, "bus")
    assert twelvefold("health", "--port", "70000").status == 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = twelvefold("metrics", "--port", str(taken.getsockname()[1]), **there)
    assert (refused.status, "E561" in refused.err) == (4, True)


@pytest.mark.parametrize(
    ("command", "number", "status"), [("metrics", signal.SIGTERM, 0), ("health", signal.SIGINT, 130)]
)
def test_serving_ends_at_a_signal(
    twelvefold: CommandLine, live: BusHome, command: str, number: int, status: int
) -> None:
    """Both commands serve all pages at a port of their own choice, and end at SIGTERM and Ctrl-C."""
    twelvefold.environment |= {"TWELVEFOLD_HOME": str(live.home), "TWELVEFOLD_RUNTIME_DIR": str(live.runtime)}
    process = twelvefold.start(command, "--port", "0")
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/metrics", line)
        assert found, line
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("GET", "/readyz")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == status
