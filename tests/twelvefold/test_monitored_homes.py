"""Health and metrics of odd homes: exports of traces that fail, imports alone, a log that nobody has folded."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import twelvefold as tf
from tests.projections.told import Told
from twelvefold.eventstore.event import NewEvent
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.tracing.progress import Progress, only_exporter, progress_path, write_progress

from .conftest import CommandLine

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "monitoring.md"


def write_log(home: Path, count: int) -> None:
    """Add events to a home's log."""
    home.mkdir(exist_ok=True)
    log = SqliteLog(home / "log.db")
    for start in range(0, count, 10_000):
        some = [NewEvent(type="demo.happened", id=os.urandom(16)) for _ in range(min(count - start, 10_000))]
        log.append(Append(events=some))
    log.close()


def test_spans_that_wait_are_told_while_somebody_exports(tmp_path: Path) -> None:
    """A receiver that takes nothing makes a home degraded, for as long as a process tries; metrics count it."""
    write_log(tmp_path, 5)
    checker, collector = tf.HealthChecker(tmp_path), tf.MetricsCollector(tmp_path)
    path = progress_path(tmp_path, "http://there:4318/v1/traces")

    def told() -> list[tuple[str, str]]:
        return [(one.status, one.message) for one in checker.check_system_health().checks if one.name == "traces"]

    assert told() == []
    with only_exporter(path):
        failing = Progress(target="http://there:4318", position=3, undelivered=4, failing_since=1, reason="no")
        write_progress(path, failing)
        ((level, words),) = told()
        assert level == "degraded"
        assert re.fullmatch(r"http://there:4318 has taken no spans for .* h, 4 wait: no", words)
        text = collector.export_metrics()
        assert 'trace_spans_undelivered{target="http://there:4318"} 4.0' in text
        assert 'trace_export_lag_events{target="http://there:4318"} 2.0' in text
        assert 'trace_export_running{target="http://there:4318"} 1.0' in text
        names = re.findall(r"# TYPE (twelvefold_trace\w+)", text)
        assert len(names) == 5
        assert all(name in GUIDE.read_text() for name in names)
    assert told() == []
    assert 'trace_export_running{target="http://there:4318"} 0.0' in collector.export_metrics()


def test_targets_that_look_alike_are_one(tmp_path: Path) -> None:
    """Masked passwords make two URLs one; a metric stands in the text once all the same."""
    for password in ("a", "b"):
        path = progress_path(tmp_path, f"http://me:{password}@there:4318")
        path.parent.mkdir(exist_ok=True)
        write_progress(path, Progress(target="http://me:********@there:4318", delivered=3))
    text = tf.MetricsCollector(tmp_path).export_metrics()
    assert text.count("twelvefold_trace_spans_delivered_total{") == 1


def test_a_home_of_imports_says_so(twelvefold: CommandLine) -> None:
    """Neither command takes it for one in which nothing is."""
    home = twelvefold.cwd / ".twelvefold"
    (home / "imports").mkdir(parents=True)
    write_log(home / "imports" / ("a" * 32), 3)
    assert "beside 1 imported run" in twelvefold("health").out
    counted = twelvefold("metrics")
    assert counted.status == 0, counted.err
    assert "not counted" in counted.err
    assert 'type="demo.happened"' not in counted.out


def test_a_log_that_nobody_has_folded_is_read_first(twelvefold: CommandLine) -> None:
    """That takes its time, which is said before it is spent."""
    home = twelvefold.cwd / ".twelvefold"
    write_log(home, 1000)
    assert twelvefold("metrics").err == ""
    write_log(home, 100_000)
    collector = tf.MetricsCollector(home)
    assert collector.unread() == 101_000
    counted = twelvefold("metrics")
    assert "adding up 101000 events first" in counted.err
    assert 'twelvefold_events_total{type="demo.happened"} 101000.0' in counted.out
    collector.families()
    assert collector.unread() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("health", "fixer", "--port", "0"),
        ("health", "--port", "0", "--json"),
        ("metrics", "--port", "0", "--json"),
        ("metrics", "--json", "--format", "openmetrics"),
        ("metrics", "--port", "0", "--format", "openmetrics"),
    ],
)
def test_what_one_command_can_t_do_at_once_is_refused(twelvefold: CommandLine, arguments: tuple[str, ...]) -> None:
    """Nothing that was asked for is left out without a word."""
    done = twelvefold(*arguments)
    assert (done.status, "error[E004]" in done.err, done.out) == (2, True, "")


def test_what_failed_steers_no_terminal(twelvefold: CommandLine) -> None:
    """Errors of agents and names of what they call are others' texts: they are shown, and obeyed by nothing."""
    home = twelvefold.cwd / ".twelvefold"
    home.mkdir()
    told = Told()
    told.requested({"pattern": "task", "agent": "echo"})
    request = told.task("0", "echo")
    told.reported(request, "task.started", {})
    told.effect(request, "intended", "tool:\x1b[2Jsaw:1:0")
    told.reported(request, "task.failed", {"reason": "bad", "error": {"message": "no \x1b]0;wood\x07"}})
    told.add("delivery.parked", {"error": "gone \x1b[31m"}, stream="group.work")
    log = SqliteLog(home / "log.db")
    for event in told.events:
        fields = {name: getattr(event, name) for name in NewEvent.__struct_fields__}
        log.append(Append(events=[NewEvent(**fields)], source=event.source))
    log.close()
    tree = twelvefold("trace", told.run)
    assert tree.status == 0, tree.err
    assert "saw" in tree.out
    assert "wood" in tree.out
    health = twelvefold("health")
    assert "gone" in health.out
    assert not any(one in tree.out + health.out for one in "\x1b\x07")
