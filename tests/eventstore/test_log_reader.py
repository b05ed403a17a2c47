"""Reading the log from another process than its owner's, and lifting old payloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore import rows, sqlite
from twelvefold.eventstore.event import Event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.eventstore.upcast import Upcasters


def test_a_reader_sees_each_commit_and_nothing_else(tmp_path: Path, fact: Any) -> None:
    """It answers like the log itself, follows it, and cannot write."""
    log = SqliteLog(tmp_path / "log.db")
    with LogReader(tmp_path / "log.db") as reader:
        assert (reader.head, reader.read()) == (0, [])
        for n in range(1, 4):
            appended = log.append(Append(events=[fact("task.failed", stream="s")], marks={"m": str(n)})).events[0]
            assert reader.head == n
            assert reader.read(after=n - 1) == [appended] == [reader.event_of(appended.id)]
            assert (reader.version("s"), reader.last_position("task.*"), reader.marks()) == (n, n, {"m": str(n)})
        with pytest.raises(sqlite.Error, match="readonly"):
            reader._connection.execute("DELETE FROM marks")
    log.close()


def test_a_reader_outlives_the_owner(tmp_path: Path, fact: Any) -> None:
    """The owner may stop, start and write on while a reader stays open."""
    log = SqliteLog(tmp_path / "log.db")
    log.append(Append(events=[fact()]))
    with LogReader(tmp_path / "log.db") as reader:
        assert reader.head == 1
        log.close()
        assert reader.head == 1
        log = SqliteLog(tmp_path / "log.db")
        log.append(Append(events=[fact()]))
        assert [event.position for event in reader.read()] == [1, 2]
        log.close()


def test_reading_a_long_stream_pages_from_any_position(tmp_path: Path, fact: Any) -> None:
    """Pages of one stream among others begin right behind `after`, be it one of its events or not."""
    log = SqliteLog(tmp_path / "log.db")
    log.append_many([Append(events=[fact(stream=f"s.{n % 7}")]) for n in range(500)])
    expected = [n + 1 for n in range(500) if n % 7 == 3]
    for after in range(0, 520, 13):
        for until in (None, 100, 333, 499):
            found = [event.position for event in log.read(stream="s.3", after=after, until=until)]
            assert found == [n for n in expected if after < n <= (until or 500)]
    log.close()


def test_scans_and_indexes_find_the_same(tmp_path: Path, fact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide stream prefixes and filters without an index are read window by window, with the same result."""
    sqlite_log, model = SqliteLog(tmp_path / "log.db", clock=lambda: 1), MemoryLog(clock=lambda: 1)
    for n in range(60):
        event = fact(("task.failed", "task.started", "demo")[n % 3], stream=f"task.{n % 4}.{n % 5}")
        for log in (sqlite_log, model):
            log.append(Append(events=[event], source=f"x{n % 2}"))
    pages: list[dict[str, Any]] = [
        {"stream": "task.1.*"}, {"stream": "task.*", "limit": 7}, {"type": "task.*", "stream": "task.*"},
        {"source": "x1", "after": 13, "until": 50}, {"type": "demo", "source": "x0", "stream": "task.2.*"},
    ]  # fmt: skip
    for window, narrow in ((65_536, 10_000), (4, 5)):
        monkeypatch.setattr(rows, "SCAN_WINDOW", window)
        monkeypatch.setattr(rows, "NARROW_MAX", narrow)
        for page in pages:
            for reverse in (False, True):
                assert sqlite_log.read(**page, reverse=reverse) == model.read(**page, reverse=reverse) != []
    sqlite_log.close()


def upcasters() -> Upcasters:
    registry = Upcasters()

    @registry.step("demo.happened", 1)
    def split_the_name(data: Any) -> Any:
        first, last = data["name"].split()
        return {"first": first, "last": last}

    @registry.step("demo.happened", 2)
    def count(data: Any) -> Any:
        return data | {"letters": len(data["first"] + data["last"])}

    return registry


def test_old_payloads_are_lifted_through_every_step_and_stay_stored(tmp_path: Path, fact: Any) -> None:
    """A chain of pure steps applies on read; newer schemas and other types pass as they are."""
    log = SqliteLog(tmp_path / "log.db")
    log.append(Append(events=[
        fact(payload='{"name":"Ada Lovelace"}'),
        fact(payload='{"first":"Alan","last":"Turing"}', schema=2),
        fact(payload="3", schema=3),
        fact("other.happened", payload='{"name":"x"}'),
    ]))  # fmt: skip
    stored = log.read()
    log.close()
    with LogReader(tmp_path / "log.db", upcasters=upcasters()) as reader:
        lifted = reader.read()
    assert [(event.schema, event.data) for event in lifted] == [
        (3, {"first": "Ada", "last": "Lovelace", "letters": 11}),
        (3, {"first": "Alan", "last": "Turing", "letters": 10}),
        (3, 3),
        (1, {"name": "x"}),
    ]
    assert lifted[2:] == stored[2:]
    assert (lifted[0].hash, lifted[0].data_hash) == (stored[0].hash, stored[0].data_hash)
    with LogReader(tmp_path / "log.db") as reader:
        assert reader.read() == stored


def test_a_forgotten_payload_is_not_lifted() -> None:
    """What was freed stays freed."""
    event = Event(1, "s", 1, bytes(16), "demo.happened", 1, "", 0, "", "", b"", "", 0, None, b"", b"")
    assert upcasters().lift(event) is event


def test_a_step_is_registered_once() -> None:
    """Two functions for one step would make reading depend on import order."""
    registry = upcasters()
    with pytest.raises(ValueError, match="already"):
        registry.step("demo.happened", 1)(lambda data: data)
