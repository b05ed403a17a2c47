"""What processes print: prefixes, parts of lines, bytes that are no text, floods, followers, readers that go away."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from twelvefold.orchestration.proc_files import memory_of

pytestmark = pytest.mark.e2e


def test_lines_come_with_the_name_of_who_printed_them(project: Any, eventually: Any) -> None:
    """In the foreground each line is on stdout with time and name; the supervisor's own words are on stderr."""
    project.write("Procfile", "web: echo hello from $PS; echo worse >&2; exec sleep 4711\n")
    up = project.start("up", "-c", "web=2")
    out = project.folder / "out.txt"
    eventually(lambda: out.read_text().count("hello from") == 2 and out.read_text().count("worse") == 2)
    up.send_signal(signal.SIGTERM)
    assert up.wait(60) == 143
    lines = out.read_text().splitlines()
    assert {line.split(" | ")[1] for line in lines if " web.2 " in line} == {"hello from web.2", "worse"}
    assert all(line[2] == line[5] == ":" for line in lines)
    errors = (project.folder / "err.txt").read_text()
    assert "web.1 started (pid " in errors
    assert "hello" not in errors


def test_odd_output_arrives_whole(project: Any, eventually: Any) -> None:
    """A last line without an end, parts of a line over time, invalid UTF-8 and very long lines are all shown."""
    script = project.write(
        "odd.py",
        "import os, time\n"
        "write = lambda data: os.write(1, data)\n"
        "write(b'half'); time.sleep(0.3); write(b' and half\\n')\n"
        "write(b'caf\\xe9\\n')\n"
        "write(b'x' * 40_000 + b'\\n')\n"
        "write(b'no end')\n",
    )
    project.write("Procfile", f"odd: exec {sys.executable} {script.name}\n")
    project.write("Procfile.options", '[odd]\nrestart = "never"\n')
    project.run("up", "-d", "--wait")
    lines = eventually(lambda: (said := project.said("odd"))[-1:] == ["no end"] and said)
    assert lines[:2] == ["half and half", "caf\ufffd"]
    assert "".join(lines[2:-1]) == "x" * 40_000


def size_of(path: Path) -> int:
    """The size of a file in bytes, 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_a_flood_fills_neither_memory_nor_disk(project: Any, eventually: Any) -> None:
    """A process that prints without end costs bounded memory and two log files, and hinders nobody."""
    project.write("Procfile", "flood: exec yes this is a line of a flood that does not end\nplain: exec sleep 4711\n")
    project.run("up", "-d", "--wait")
    logs = project.home / "logs"
    eventually(lambda: (logs / "flood.1.log.1").exists())
    project.run("restart", "plain")
    # The file's name is gone for the moment in which it is rotated.
    eventually(lambda: size_of(logs / "flood.1.log") > 1_000_000)
    from twelvefold.orchestration.home_lock import holder_of

    holder = holder_of(project.home)
    assert holder is not None
    assert memory_of(holder.pid)[0] < 100_000_000
    project.run("stop", "flood")
    assert sum(path.stat().st_size for path in logs.glob("flood*")) < 36_000_000


def test_logs_follows(project: Any, eventually: Any) -> None:
    """`logs -f` shows what was printed and what is printed from then on, each line once, restarts included."""
    project.write("Procfile", "count: echo began; while :; do echo tick; sleep 0.2; done\nother: echo no; sleep 4711\n")
    project.run("up", "-d", "--wait")
    follower = project.start("logs", "-f", "count", "--jsonl")
    out = project.folder / "out.txt"
    eventually(lambda: out.read_text().count("tick") > 3)
    project.run("restart", "count")
    eventually(lambda: out.read_text().count("began") == 2)
    project.run("stop", "count")
    expected = project.said("count")
    eventually(lambda: len(out.read_text().splitlines()) == len(expected))
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["text"] for line in lines] == expected
    assert {line["name"] for line in lines} == {"count.1"}
    follower.send_signal(signal.SIGINT)
    assert follower.wait(30) == 130


def test_logs_work_after_the_end_and_name_what_is_unknown(project: Any) -> None:
    """What was printed can be read when nothing runs any more; `-n` shows the last lines; unknown names are refused."""
    project.write("Procfile", "web: echo one; echo two; sleep 4711\nsilent: sleep 4711\n")
    project.run("up", "-d", "--wait")
    project.run("down")
    assert project.run("logs", "silent").stdout == ""
    shown = project.run("logs", "web", "-n", "1").stdout
    assert shown.endswith("web.1 | two\n")
    assert shown.count("\n") == 1
    assert "error[E305]" in project.run("logs", "nobody", status=3).stderr


def test_a_reader_that_goes_away_stops_nothing(project: Any, eventually: Any) -> None:
    """`up | head -1`: when the reader has gone, processes run on and their log files have everything."""
    project.write("Procfile", "count: while :; do echo tick; sleep 0.05; done\n")
    reader, writer = os.pipe()
    up = project.start("up", stdout=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as output:
        assert any(b"tick" in line for line in output)
    seen = len(project.said("count"))
    eventually(lambda: len(project.said("count")) > seen + 10)
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 130


def test_log_files_are_private(project: Any) -> None:
    """Nobody but the user can enter the folder of the logs, or the one of the sockets."""
    project.write("Procfile", "web: echo secret; sleep 4711\n")
    project.run("up", "-d", "--wait")
    for folder in (project.home, project.home / "logs", *Path(project.runtime).iterdir()):
        assert folder.stat().st_mode & 0o077 == 0
