"""What the log does when its file, its folder or its disk is not as it should be."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore import sqlite
from twelvefold.eventstore.backup import backup_home
from twelvefold.eventstore.integrity import verify
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.eventstore.storage_errors import (
    CorruptLog,
    ForeignFile,
    LogCutShort,
    LogLocked,
    LogNotAccessible,
    LogNotFound,
    NewerSchema,
    StorageFailed,
    StrayWal,
)


def fill(log: SqliteLog, fact: Any, count: int, payload: str = '{"k": 1}') -> None:
    log.append_many([Append(events=[fact(payload=payload, stream=f"s.{n % 3}")]) for n in range(count)])


def test_a_second_opener_is_refused_and_told_by_whom(tmp_path: Path, fact: Any) -> None:
    """One writer at a time; once it is gone the log opens again."""
    log = SqliteLog(tmp_path / "log.db")
    with pytest.raises(LogLocked) as caught:
        SqliteLog(tmp_path / "log.db")
    assert caught.value.pid == os.getpid()
    assert str(os.getpid()) in str(caught.value)
    fill(log, fact, 1)
    log.close()
    again = SqliteLog(tmp_path / "log.db")
    assert again.head == 1
    again.close()


def test_time_never_decreases_over_a_restart(tmp_path: Path, fact: Any) -> None:
    """A clock that was set back while nothing ran gives the next events the last one's time."""
    for clock in (lambda: 2_000, lambda: 1_000, lambda: 3_000):
        log = SqliteLog(tmp_path / "log.db", clock=clock)
        fill(log, fact, 2)
        log.close()
    with LogReader(tmp_path / "log.db") as reader:
        assert [event.time for event in reader.read()] == [2_000, 2_000, 2_000, 2_000, 3_000, 3_000]


@pytest.mark.parametrize("content", [b"", b"no database\n" * 1000, b"SQLite format 3\0" + bytes(4096)])
def test_a_foreign_file_in_the_logs_place_is_refused_untouched(tmp_path: Path, content: bytes) -> None:
    """Neither writer nor reader takes it for a log, and no byte of it changes."""
    path = tmp_path / "log.db"
    path.write_bytes(content)
    for opener in (SqliteLog, LogReader):
        with pytest.raises((ForeignFile, CorruptLog)):
            opener(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    """A valid SQLite file that is not a log is foreign too."""
    path = tmp_path / "log.db"
    connection = sqlite.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ForeignFile, match="another program"):
        SqliteLog(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused_untouched(tmp_path: Path, fact: Any) -> None:
    """An older program does not write to a newer one's log, and says which version it would need."""
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    fill(log, fact, 3)
    log.close()
    connection = sqlite.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for opener in (SqliteLog, LogReader):
        with pytest.raises(NewerSchema) as caught:
            opener(path)
        assert caught.value.found == 99


def test_no_log_to_read(tmp_path: Path) -> None:
    """A reader makes no log."""
    with pytest.raises(LogNotFound):
        LogReader(tmp_path / "log.db")
    assert list(tmp_path.iterdir()) == []


def test_a_log_whose_files_were_removed_still_gives_its_figures_and_stops_writing(tmp_path: Path, fact: Any) -> None:
    """A home deleted under a running bus is noticed: nothing is acknowledged into files without a name for long."""
    log = SqliteLog(tmp_path / "log.db")
    fill(log, fact, 3)
    for file in tmp_path.iterdir():
        file.unlink()
    assert (log.stats()["head"], log.stats()["file_bytes"]) == (3, 0)
    deadline = time.monotonic() + 30
    with pytest.raises(StorageFailed):
        while time.monotonic() < deadline:
            fill(log, fact, 1)
    log.close()


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    """The log makes no folders; it says what is missing."""
    with pytest.raises(LogNotAccessible, match="No such file"):
        SqliteLog(tmp_path / "nowhere" / "log.db")


def test_a_read_only_folder_is_said_and_can_be_read(
    tmp_path: Path, fact: Any, read_only: Callable[[Path], Path]
) -> None:
    """No log opens for writing where nothing can be written, and none is harmed; reading works."""
    home = tmp_path / "home"
    home.mkdir()
    log = SqliteLog(home / "log.db")
    fill(log, fact, 5)
    log.close()
    place = read_only(home)
    with pytest.raises(LogNotAccessible, match=r"[Rr]ead-only"):
        SqliteLog(place / "log.db")
    with LogReader(place / "log.db") as reader:
        assert verify(reader).head == 5


def killed_copy(log: SqliteLog, target: Path) -> Path:
    """Copy a log's files while it is open: what a process leaves that is killed now."""
    target.mkdir()
    for file in log.path.parent.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target / "log.db"


def test_a_truncated_wal_is_noticed(tmp_path: Path, fact: Any) -> None:
    """Acknowledged events that were cut off with the WAL's end are missed, by the writer and by verify."""
    (tmp_path / "a").mkdir()
    log = SqliteLog(tmp_path / "a" / "log.db")
    for _ in range(20):
        fill(log, fact, 1)
    path = killed_copy(log, tmp_path / "b")
    log.close()
    wal = path.with_name("log.db-wal")
    os.truncate(wal, wal.stat().st_size * 2 // 3)
    with LogReader(path) as reader:
        left = reader.head
        with pytest.raises(LogCutShort):
            verify(reader)
    with pytest.raises(LogCutShort) as caught:
        SqliteLog(path)
    assert (caught.value.head, caught.value.acknowledged) == (left, 20)
    assert 0 <= left < 20
    accept = re.search(r"`rm (.*)`", str(caught.value.help()))
    assert accept is not None
    Path(accept[1]).unlink()
    log = SqliteLog(path)
    assert log.head == left
    log.close()


def test_a_log_that_was_replaced_by_another_one_is_noticed(tmp_path: Path, fact: Any) -> None:
    """A log with as many events that are not those acknowledged is not taken for the right one."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        log = SqliteLog(tmp_path / name / "log.db")
        fill(log, fact, 4, f'"{name}"')
        log.close()
    (tmp_path / "a" / "log.db").write_bytes((tmp_path / "b" / "log.db").read_bytes())
    with pytest.raises(LogCutShort, match="not the one"):
        SqliteLog(tmp_path / "a" / "log.db")


def test_a_lost_main_file_is_noticed(tmp_path: Path, fact: Any) -> None:
    """Where only the WAL is left, no new log is made over it."""
    (tmp_path / "a").mkdir()
    log = SqliteLog(tmp_path / "a" / "log.db")
    fill(log, fact, 4)
    path = killed_copy(log, tmp_path / "b")
    log.close()
    path.unlink()
    with pytest.raises(StrayWal):
        SqliteLog(path)
    assert not path.exists()


def test_a_backup_beside_the_wal_of_a_killed_process_is_refused_until_that_is_moved_away(
    tmp_path: Path, fact: Any
) -> None:
    """SQLite would play the old file into the copy; the help's command, and then that of the witness, let it open."""
    (tmp_path / "a").mkdir()
    log = SqliteLog(tmp_path / "a" / "log.db")
    fill(log, fact, 4)
    backup_home(tmp_path / "a", tmp_path / "copy.db")
    fill(log, fact, 4)
    path = killed_copy(log, tmp_path / "b")
    log.close()
    (tmp_path / "copy.db").replace(path)
    before = path.read_bytes()
    for error in (StrayWal, LogCutShort):
        with pytest.raises(error) as caught:
            SqliteLog(path)
        assert error is LogCutShort or path.read_bytes() == before
        command = re.search(r"`(.*)`", str(caught.value.help()))
        assert command is not None
        subprocess.run(command[1], shell=True, check=True)
    log = SqliteLog(path)
    assert log.head == 4
    log.close()


def test_a_relaxed_log_behind_its_witness_after_a_reboot_is_its_price(tmp_path: Path, fact: Any) -> None:
    """After a power cut, a relaxed log may have lost its last moments: it opens; in the same boot it does not."""
    (tmp_path / "a").mkdir()
    log = SqliteLog(tmp_path / "a" / "log.db", durability="relaxed")
    fill(log, fact, 3)
    log.close()
    witness = tmp_path / "a" / "log.head"
    words = witness.read_text().split()
    words[0] = "5"
    witness.write_text(" ".join(words))
    with pytest.raises(LogCutShort):
        SqliteLog(tmp_path / "a" / "log.db", durability="relaxed")
    witness.write_text(" ".join([*words[:3], "another-boot"]))
    log = SqliteLog(tmp_path / "a" / "log.db", durability="relaxed")
    assert log.head == 3
    log.close()


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path: Path, fact: Any) -> None:
    """Flip one byte of the closed file at a time: verify fails with a code, or every event is still as appended."""
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    fill(log, fact, 150)
    appended = log.read()
    log.close()
    (tmp_path / "log.head").unlink()
    content = path.read_bytes()
    noticed = 0
    for at in range(0, len(content), 997):
        damaged = bytearray(content)
        damaged[at] ^= 0x5A
        path.write_bytes(damaged)
        try:
            with LogReader(path) as reader:
                verify(reader)
                assert reader.read() == appended
        except (CorruptLog, ForeignFile, NewerSchema) as error:
            noticed += 1
            assert error.exit_code in (1, 6)
        for leftover in ("-wal", "-shm"):
            path.with_name("log.db" + leftover).unlink(missing_ok=True)
    assert noticed > 20


def test_a_malformed_page_stops_writes_and_says_so(tmp_path: Path, fact: Any) -> None:
    """Appending onto a damaged tree fails with E108 or refuses to open; what can be read still is."""
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    for _ in range(30):
        fill(log, fact, 100)
    log.close()
    connection = sqlite.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events_id'").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : (root - 1) * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    log = SqliteLog(path)
    for _ in range(2):
        with pytest.raises(CorruptLog):
            fill(log, fact, 1)
    assert len(log.read(limit=5000)) == log.head == 3000
    assert log.stats()["failure"]
    log.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events WHERE position = 2",
        "DELETE FROM events",
        "UPDATE events SET type = 'x' WHERE position = 2",
        "UPDATE events SET data = '1' WHERE position = 2",
        "UPDATE events SET data = NULL, source = 'x' WHERE position = 2",
        "UPDATE events SET position = 99 WHERE position = 2",
    ],
)
def test_events_are_append_only_for_every_program(tmp_path: Path, fact: Any, statement: str) -> None:
    """The file itself refuses deletes and changes, whoever asks."""
    log = SqliteLog(tmp_path / "log.db")
    fill(log, fact, 3)
    log.close()
    connection = sqlite.connect(tmp_path / "log.db")
    with pytest.raises(sqlite.Error, match="never"):
        connection.execute(statement)
    connection.close()


def test_forgetting_frees_a_payload_and_the_chain_still_verifies(tmp_path: Path, fact: Any) -> None:
    """Data may become NULL, and only that; the blob names of the event go with it."""
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    blob = "0123456789abcdef" * 4
    fill(log, fact, 3, f'{{"blob": "{blob}", "size": 3}}')
    log.close()
    connection = sqlite.connect(path)
    connection.execute("UPDATE events SET data = NULL WHERE position = 2")
    assert connection.execute("SELECT position FROM blob_names WHERE blob = ?", (blob,)).fetchall() == [(1,), (3,)]
    connection.close()
    with LogReader(path) as reader:
        assert verify(reader).forgotten == 1
        assert [event.data is None for event in reader.read()] == [False, True, False]


def test_users_can_query_the_file_with_sqlites_own_tools(tmp_path: Path, fact: Any) -> None:
    """Payloads are JSON text, and a view shows ids and times readably."""
    log = SqliteLog(tmp_path / "log.db", clock=lambda: 1_700_000_000_123_456_789)
    log.append(Append(events=[fact(payload='{"cost": {"usd": 3}}')]))
    log.close()
    connection = sqlite.connect(tmp_path / "log.db")
    query = "SELECT json_extract(data, '$.cost.usd'), time, id FROM readable_events"
    assert connection.execute(query).fetchall() == [(3, "2023-11-14T22:13:20.123456Z", "0" * 31 + "1")]
    connection.close()
