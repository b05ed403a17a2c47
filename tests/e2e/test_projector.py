"""The projector as a process: it follows a log that grows now and then, whatever becomes of the files beside it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from twelvefold.eventstore.event import new_event

TWELVEFOLD = Path(sys.executable).with_name("twelvefold")


@pytest.fixture
def projector(bus_home: Any) -> Iterator[Callable[[], None]]:
    """Starts a projector beside a bus, once there is a log."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TWELVEFOLD_")}
    environ |= {"TWELVEFOLD_HOME": str(bus_home.home), "TWELVEFOLD_RUNTIME_DIR": str(bus_home.runtime)}
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        processes.append(subprocess.Popen([TWELVEFOLD, "projector"], env=environ))

    yield start
    for process in processes:
        process.terminate()
        assert process.wait(30) == 0


def folded(home: Path) -> int:
    """How far the slowest projection has come; -1 where there are no rows."""
    try:
        database = sqlite3.connect(f"file:{home / 'projections.db'}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return -1
    try:
        (found,) = database.execute("SELECT min(position) FROM projections").fetchone()
    except sqlite3.OperationalError:  # it is being made
        return -1
    finally:
        database.close()
    return -1 if found is None else int(found)


def test_each_event_is_folded_soon_however_long_the_log_has_rested(
    bus_home: Any, projector: Callable[[], None]
) -> None:
    """One event at a time, with a witness beside the log and without one, after which the log itself is looked at."""
    client = bus_home.client()
    client.emit("work.begun")
    projector()
    for number in range(20):
        position = client.emit("work.happened", number).position
        eventually(lambda position=position: folded(bus_home.home) >= position)
    (bus_home.home / "log.head").unlink()
    for number in range(5):
        position = client.emit("work.happened", number).position
        eventually(lambda position=position: folded(bus_home.home) >= position)


def test_rows_that_are_deleted_while_the_log_rests_come_back(bus_home: Any, projector: Callable[[], None]) -> None:
    """Nothing need happen for that."""
    client = bus_home.client()
    client.emit_many([new_event("work.happened", number) for number in range(100)])
    projector()
    eventually(lambda: folded(bus_home.home) >= client.head())
    (bus_home.home / "projections.db").unlink()
    eventually(lambda: folded(bus_home.home) >= client.head())
