"""What the log does where there is no space: nothing is lost, the reason is given, and later it goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore.integrity import verify
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.eventstore.storage_errors import StorageFull


def fill(log: SqliteLog, fact: Any, count: int, payload: str = '{"k": 1}') -> None:
    log.append_many([Append(events=[fact(payload=payload, stream=f"s.{n % 3}")]) for n in range(count)])


def test_full_by_its_page_limit_loses_nothing_and_goes_on_when_there_is_space(tmp_path: Path, fact: Any) -> None:
    """A full file refuses appends whole, keeps reading, keeps versions true, and recovers by a retry."""
    path = tmp_path / "log.db"
    log = SqliteLog(path, page_count_max=60)
    acked = 0
    with pytest.raises(StorageFull):
        for _ in range(1000):
            fill(log, fact, 10)
            acked += 10
    assert 0 < acked == log.head == len(log.read(limit=10_000))
    with pytest.raises(StorageFull):
        fill(log, fact, 10)
    assert sum(log.version(f"s.{n}") for n in range(3)) == acked
    log.close()
    log = SqliteLog(path)
    fill(log, fact, 10)
    assert log.head == acked + 10
    log.close()
    with LogReader(path) as reader:
        assert verify(reader).head == acked + 10


def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_space(small_disk: Path, fact: Any) -> None:
    """On a disk without space appends fail with the reason; with space again the same log goes on."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(300 << 10))
    log = SqliteLog(small_disk / "log.db")
    acked = 0
    with pytest.raises(StorageFull) as caught:
        for _ in range(1000):
            fill(log, fact, 10, '"' + "x" * 900 + '"')
            acked += 10
    assert caught.value.code == "E106"
    assert 0 < acked == log.head == len(log.read(limit=10_000))
    ballast.unlink()
    fill(log, fact, 10)
    assert log.head == acked + 10
    log.close()
    with LogReader(small_disk / "log.db") as reader:
        assert verify(reader).head == acked + 10


def test_a_full_disk_is_named_at_opening_and_the_log_can_be_read(small_disk: Path, fact: Any) -> None:
    """Without space for what SQLite needs beside it, no log opens for writing, and the reason given is the space."""
    path = small_disk / "log.db"
    log = SqliteLog(path)
    fill(log, fact, 5)
    log.close()
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(StorageFull) as caught:
        SqliteLog(path)
    assert caught.value.free_bytes < 32_768
    with LogReader(path) as reader:
        assert verify(reader).head == 5
    ballast.unlink()
    log = SqliteLog(path)
    fill(log, fact, 5)
    assert log.head == 10
    log.close()
