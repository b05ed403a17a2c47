"""Processes that own a log and are killed: what was acknowledged is there, once, and the log is whole."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from twelvefold.eventstore.integrity import verify
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.eventstore.storage_errors import LogLocked

APPENDER = Path(__file__).with_name("appender.py")


def run_until(path: Path, durability: str, size: int, acks: int) -> list[tuple[int, int]]:
    """Start an appender, kill -9 it after some acknowledgements, and return every acknowledgement that it gave."""
    command = [sys.executable, str(APPENDER), str(path), durability, str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = []
        for _ in range(acks):
            line = process.stdout.readline()
            assert line, process.stderr.read().decode()
            lines.append(line)
        process.kill()
        lines += process.stdout.readlines()
    whole = [line for line in lines if line.endswith(b"\n")]
    return [(int(number), int(position)) for number, position in map(bytes.split, whole)]


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_kill_9_loses_nothing_acknowledged(tmp_path: Path, durability: str) -> None:
    """Killed ten times at random moments: appends are whole, in order, without gaps, and the chain verifies."""
    path, size = tmp_path / "log.db", 3
    moments = random.Random(12)
    for _ in range(10):
        acknowledged = run_until(path, durability, size, moments.randrange(1, 120))
        with LogReader(path) as reader:
            assert verify(reader).head >= acknowledged[-1][1]
            for number, position in acknowledged:
                assert position == (number + 1) * size
            (event,) = reader.read(after=acknowledged[-1][1] - 1, limit=1)
            assert event.data == {"n": acknowledged[-1][0]}
            assert reader.head == size * int(reader.marks()["next"])
    log = SqliteLog(path)
    assert log.head % size == 0
    log.close()


def test_the_lock_names_its_process_and_dies_with_it(tmp_path: Path) -> None:
    """While another process owns the log it cannot be opened; once that is killed it can, with no file to remove."""
    path = tmp_path / "log.db"
    command = [sys.executable, str(APPENDER), str(path), "full", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(LogLocked) as caught:
            SqliteLog(path)
        assert caught.value.pid == process.pid
        process.kill()
        process.stdout.read()
    SqliteLog(path).close()


def test_after_a_failed_sync_writes_stop_reads_go_on_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """The kernel fails the syncs from some moment on (injected): E107, for good, until the log is opened anew."""
    path = tmp_path / "log.db"
    inject = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO:when=40+", "-o", "/dev/null"]
    process = subprocess.run(
        [traced(), *inject, sys.executable, str(APPENDER), str(path), "full", "2"], capture_output=True, text=True
    )
    lines = process.stdout.splitlines()
    if not lines:
        pytest.skip(f"strace may not trace here: {process.stderr}")
    *acknowledged, stopped, again, read = lines
    assert stopped.split()[:2] == ["stopped", "E107"]
    assert "disk I/O error" in stopped
    assert again.split()[:2] == ["again", "E107"]
    last = int(acknowledged[-1].split()[1])
    assert read == f"read {last} {last}"
    log = SqliteLog(path)
    assert log.head >= last
    log.close()
    with LogReader(path) as reader:
        assert verify(reader).head >= last


def traced() -> str:
    """Return strace, or skip."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    return strace


def test_no_acknowledgement_leaves_before_the_sync_that_covers_it(tmp_path: Path) -> None:
    """A trace of system calls: between an append's last write to the WAL and its acknowledgement lies a sync of it."""
    trace, path = tmp_path / "trace", tmp_path / "log.db"
    calls = "trace=write,pwrite64,pwritev,fsync,fdatasync"
    command = [traced(), "-y", "-e", calls, "-o", str(trace), sys.executable, str(APPENDER), str(path), "full", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        acks = [process.stdout.readline() for _ in range(200)]
        process.stdout.close()
        message = process.stderr.read().decode()
    if not acks[-1]:
        pytest.skip(f"strace may not trace here: {message}")
    dirty, seen, synced = False, 0, 0
    for line in trace.read_text().splitlines():
        call = re.match(r"(\w+)\(\d+<([^>]*)>, ?\"?(\d* \d+\\n)?|(\w+)\(\d+<([^>]*)>", line)
        if call is None:
            continue
        name, file = call[1] or call[4], call[2] or call[5]
        if name.startswith("pwrite") and file.endswith("log.db-wal"):
            dirty = True
        elif name in ("fsync", "fdatasync") and file.endswith("log.db-wal"):
            assert line.rstrip().endswith("= 0")
            dirty, synced = False, synced + 1
        elif name == "write" and "pipe" in file and call[3]:
            assert not dirty, f"acknowledged before its sync: {line}"
            seen += 1
    assert seen >= 200
    assert synced >= 200
