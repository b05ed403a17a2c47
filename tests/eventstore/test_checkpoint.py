"""The write-ahead file stays small without commits waiting for it, and relaxed logs are synced behind them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore import checkpoint, sqlite
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.eventstore.storage_errors import StorageFailed


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Poll until something holds; False when it did not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def wal_bytes(log: SqliteLog) -> int:
    return int(log.stats()["wal_bytes"])


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test reaches with little data; the behaviour is that of the real ones."""
    monkeypatch.setattr(checkpoint, "WAL_SIZE_MAX", 2 << 20)
    monkeypatch.setattr(checkpoint, "RESTART_AFTER_BYTES", 1 << 20)
    monkeypatch.setattr(checkpoint, "PASSIVE_AFTER_BYTES", 256 << 10)


def test_the_wal_stays_bounded_while_a_log_grows(tmp_path: Path, fact: Any, small_limits: None) -> None:
    """Twenty times the limit goes through it."""
    log = SqliteLog(tmp_path / "log.db")
    largest = 0
    for _ in range(200):
        log.append(Append(events=[fact(payload='"' + "x" * 20_000 + '"') for _ in range(10)]))
        largest = max(largest, wal_bytes(log))
        assert eventually(lambda: int(log.stats()["pending_bytes"]) < 256 << 10)
    assert log.stats()["file_bytes"] > 20 << 20
    assert largest <= 8 << 20
    log.close()


def test_a_reader_holds_the_wal_only_as_long_as_it_reads(tmp_path: Path, fact: Any, small_limits: None) -> None:
    """While a foreign snapshot is open the WAL grows and appends go on; afterwards it is truncated."""
    log = SqliteLog(tmp_path / "log.db")
    log.append(Append(events=[fact()]))
    foreign = sqlite.connect(tmp_path / "log.db", mode="ro")
    foreign.execute("BEGIN")
    assert foreign.execute("SELECT count(*) FROM events").fetchone() == (1,)
    for _ in range(30):
        log.append(Append(events=[fact(payload='"' + "x" * 100_000 + '"')]))
    assert wal_bytes(log) > 2 << 20
    foreign.execute("COMMIT")
    foreign.close()

    def small_again() -> bool:
        log.append(Append(events=[fact()]))
        return wal_bytes(log) < 1 << 20

    assert eventually(small_again)
    assert log.head > 30
    log.close()


def test_a_quiet_log_is_checkpointed(tmp_path: Path, fact: Any) -> None:
    """Soon after the last commit the file itself holds everything, so a restart has nothing to replay."""
    log = SqliteLog(tmp_path / "log.db")
    log.append(Append(events=[fact(payload='"mark-of-this-test"')]))
    assert eventually(lambda: b"mark-of-this-test" in (tmp_path / "log.db").read_bytes())
    log.close()


def test_a_failure_behind_the_commits_stops_them(tmp_path: Path, fact: Any) -> None:
    """Where the thread cannot sync what a relaxed log owes, the log fails closed and still reads."""
    log = SqliteLog(tmp_path / "log.db", durability="relaxed")
    log.append(Append(events=[fact()]))
    (tmp_path / "log.db-wal").rename(tmp_path / "moved")

    def stopped() -> bool:
        try:
            log.append(Append(events=[fact()]))
        except StorageFailed:
            return True
        return False

    assert eventually(stopped)
    head = log.head
    with pytest.raises(StorageFailed):
        log.append(Append(events=[fact()]))
    assert len(log.read(limit=100_000)) == head
    (tmp_path / "moved").rename(tmp_path / "log.db-wal")
    log.close()
    again = SqliteLog(tmp_path / "log.db", durability="relaxed")
    assert again.head == head
    again.close()
