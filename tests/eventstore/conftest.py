"""What the log's tests share: events with ids of their own, and logs of each kind."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twelvefold.eventstore.event import NewEvent
from twelvefold.eventstore.log import EventLog
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.eventstore.sqlite_log import SqliteLog

Fact = Callable[..., NewEvent]


@pytest.fixture
def fact() -> Fact:
    """Make well-formed events, each with an id of its own unless one is given."""
    numbers = itertools.count(1)

    def make(type: str = "demo.happened", payload: str = "{}", **fields: object) -> NewEvent:
        fields.setdefault("id", next(numbers).to_bytes(16, "big"))
        return NewEvent(type=type, payload=payload, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture(params=["sqlite-full", "sqlite-relaxed", "memory"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    """An empty log of each kind; the suite that uses it is the contract."""
    made: EventLog
    if request.param == "memory":
        made = MemoryLog()
    else:
        made = SqliteLog(tmp_path / "log.db", durability=request.param.removeprefix("sqlite-"))
    yield made
    made.close()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of one MiB; skips where mounting is not allowed."""
    folder = Path(tempfile.mkdtemp(prefix="twelvefold-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode != 0:
        folder.rmdir()
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Show a folder again, read-only even for root; skips where mounting is not allowed."""
    mounted: list[Path] = []

    def show(folder: Path) -> Path:
        place = Path(tempfile.mkdtemp(prefix="twelvefold-ro-"))
        command = ["mount", "--bind", "-o", "ro", str(folder), str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode != 0:
            place.rmdir()
            pytest.skip("mounting read-only is not allowed here")
        mounted.append(place)
        return place

    yield show
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()
