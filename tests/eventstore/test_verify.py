"""Verifying: every kind of tampering is found, and the first bad position named."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore import sqlite
from twelvefold.eventstore.blob_names import blob_reference
from twelvefold.eventstore.blobs import BlobStore
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.integrity import verify, verify_home
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.eventstore.storage_errors import CorruptLog, LogCutShort

NO_BLOB = "ef" * 32


def fill(log: SqliteLog, fact: Any, count: int, payload: str = '{"k": 1}') -> None:
    log.append_many([Append(events=[fact(payload=payload, stream=f"s.{n % 3}")]) for n in range(count)])


def tamper(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite.connect(path)) as connection:
        connection.execute(statement)


def test_verify_names_the_first_bad_position(tmp_path: Path, fact: Any) -> None:
    """Damaged data, headers and missing events are found at their position, whatever follows."""
    path = tmp_path / "log.db"
    damages = {
        7: "UPDATE events SET data = '{\"k\": 2}' WHERE position IN (7, 9)",
        5: "UPDATE events SET type = 'demo.other' WHERE position = 5",
        12: "DELETE FROM events WHERE position IN (12, 13)",
        20: "UPDATE events SET hash = x'00' WHERE position = 20",
        3: "UPDATE events SET version = 77 WHERE position = 3",
    }
    for position, damage in damages.items():
        log = SqliteLog(path)
        fill(log, fact, 20)
        log.close()
        connection = sqlite.connect(path)
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(damage)
        connection.close()
        with LogReader(path) as reader, pytest.raises(CorruptLog) as caught:
            verify(reader)
        assert (caught.value.position, caught.value.exit_code) == (position, 6)
        for file in tmp_path.iterdir():
            file.unlink()


@pytest.mark.parametrize(
    ("damage", "position", "words"),
    [
        ("DELETE FROM blob_names", 4, "blob_names"),
        (f"INSERT INTO blob_names VALUES ('{NO_BLOB}', 2)", 2, "blob_names"),
        ("UPDATE type_heads SET position = 3 WHERE pattern = 'demo.happened'", 4, "type_heads"),
        ("UPDATE type_heads SET position = 5000 WHERE pattern = 'demo.*'", 4, "type_heads"),
        ("INSERT INTO type_heads VALUES ('ghost.*', 3)", 0, "type_heads"),
        ("DELETE FROM type_heads", 4, "type_heads"),
        ("DROP TRIGGER events_refuse_delete", 0, "trigger events_refuse_delete is missing"),
        ("DROP INDEX events_run", 0, "index events_run is missing"),
        (
            "INSERT INTO events SELECT -5, 'ghost', 1, x'00', type, schema, \"to\", time, source, run, cause, trace, "
            "seen, data, data_hash, hash FROM events WHERE position = 1",
            -5,
            "ghost",
        ),
    ],
)
def test_what_was_changed_beside_the_events_is_found(
    tmp_path: Path, fact: Any, damage: str, position: int, words: str
) -> None:
    """Side tables, triggers and indexes belong to the log: with a part of them gone it is not sound."""
    log, store = SqliteLog(tmp_path / "log.db"), BlobStore(tmp_path / "blobs")
    fill(log, fact, 3)
    payload = new_event("a.b", blob_reference(store.offer("fixer.1", b"content"), 7)).payload
    store.admit("fixer.1", payload)
    fill(log, fact, 1, payload)
    log.close()
    assert verify_home(tmp_path).blobs == 1
    tamper(tmp_path / "log.db", damage)
    with pytest.raises(CorruptLog, match=words) as caught:
        verify_home(tmp_path)
    assert caught.value.position == position


def test_a_damaged_or_missing_blob_makes_the_event_that_names_it_bad(tmp_path: Path, fact: Any) -> None:
    """A log is only as whole as the blobs that it names."""
    log, store = SqliteLog(tmp_path / "log.db"), BlobStore(tmp_path / "blobs")
    sha256 = store.offer("fixer.1", b"content")
    payload = new_event("a.b", blob_reference(sha256, 7)).payload
    store.admit("fixer.1", payload)
    fill(log, fact, 2)
    fill(log, fact, 2, payload)
    assert log.blob_names() == {sha256}
    log.close()
    place = store.path(sha256)
    place.chmod(0o600)
    place.write_bytes(b"changed")
    with pytest.raises(CorruptLog, match="other content") as caught:
        verify_home(tmp_path)
    assert caught.value.position == 3
    place.unlink()
    with pytest.raises(CorruptLog, match="is not in") as caught:
        verify_home(tmp_path)
    assert caught.value.position == 3
    place.mkdir()
    with pytest.raises(CorruptLog, match="cannot be read"):
        verify_home(tmp_path)


def test_what_belongs_to_others_is_not_judged(tmp_path: Path, fact: Any) -> None:
    """A user's own view and index, and the migration library's own table in another shape, leave a log sound."""
    log = SqliteLog(tmp_path / "log.db")
    fill(log, fact, 3)
    log.close()
    for statement in (
        "CREATE VIEW mine AS SELECT count(*) FROM events",
        "CREATE INDEX my_types ON events (type)",
        "ALTER TABLE _sqlite_migrations ADD COLUMN later TEXT",
    ):
        tamper(tmp_path / "log.db", statement)
    assert verify_home(tmp_path).head == 3


def test_a_longer_log_in_the_place_of_the_right_one_is_found(tmp_path: Path, fact: Any) -> None:
    """The witness knows the hash of what was acknowledged last, so that another sound log is not taken for it."""
    for name, count in (("a", 4), ("b", 9)):
        (tmp_path / name).mkdir()
        log = SqliteLog(tmp_path / name / "log.db")
        fill(log, fact, count, f'"{name}"')
        log.close()
    (tmp_path / "a" / "log.db").write_bytes((tmp_path / "b" / "log.db").read_bytes())
    with pytest.raises(LogCutShort, match="not the one") as caught:
        verify_home(tmp_path / "a")
    assert (caught.value.head, caught.value.acknowledged) == (9, 4)


def test_verifying_changes_nothing(tmp_path: Path, fact: Any, read_only: Callable[[Path], Path]) -> None:
    """A home that nothing can be written to is verified like any other, and what is not there is not made."""
    home = tmp_path / "home"
    home.mkdir()
    log = SqliteLog(home / "log.db")
    fill(log, fact, 5)
    log.close()
    before = {file.name: file.read_bytes() for file in home.iterdir()}
    assert verify_home(read_only(home)).head == verify_home(home).head == 5
    assert {name: (home / name).read_bytes() for name in before} == before
    # SQLite's own, empty beside a log at rest.
    assert {file.name for file in home.iterdir()} - set(before) <= {"log.db-shm", "log.db-wal"}
