"""A disk that fills up under a running bus: refused in words, nothing acknowledged is lost, and it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.eventstore.integrity import verify_home
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.storage_errors import StorageFull

pytestmark = pytest.mark.e2e

BUS = """
import sys
from pathlib import Path
from twelvefold.bus.endpoints import endpoints
from twelvefold.bus.process import main
home, runtime, pages = sys.argv[1:]
sys.exit(main(
    Path(home), endpoints(Path(home), Path(runtime)), page_count_max=int(pages) or None,
    ready=lambda: print("ready", flush=True),
))
"""


class SmallBus:
    """A bus whose log may not grow beyond a number of pages (0: as far as the disk reaches)."""

    def __init__(self, home: Path, runtime: Path, pages: int) -> None:
        self.where = endpoints(home, runtime)
        command = [sys.executable, "-c", BUS, str(home), str(runtime), str(pages)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def fill(self) -> tuple[list[int], StorageFull]:
        """Emit until the disk is full; return the acknowledged positions and the refusal."""
        positions = []
        with BusClient(self.where) as client:
            for n in range(100_000):
                try:
                    positions.append(client.emit("filling.went_on", {"n": n, "text": "x" * 4000}).position)
                except StorageFull as error:
                    # It is the append that is refused, not the bus: reading goes on.
                    assert client.head() == positions[-1]
                    return positions, error
        pytest.fail("the disk did not fill up")

    def end(self) -> None:
        """End it as `down` does."""
        assert self.process.stdout is not None
        self.process.terminate()
        assert self.process.wait(60) == 0
        self.process.stdout.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB of its own, where mounting is allowed."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder]).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def check(home: Path, acknowledged: list[int]) -> None:
    """Everything acknowledged stands in the log once, and the chain verifies."""
    with LogReader(home / "log.db") as reader:
        found = [event.position for event in reader.read(type="filling.*", limit=1_000_000)]
    assert found == acknowledged
    verify_home(home)


def test_a_log_at_its_page_limit(tmp_path: Path, runtime_dir: Path) -> None:
    """The append that doesn't fit is refused with E106 and a way out; with a higher limit the log goes on."""
    bus = SmallBus(tmp_path, runtime_dir, 200)
    acknowledged, refusal = bus.fill()
    assert refusal.code == "E106"
    assert refusal.help()
    bus.end()
    check(tmp_path, acknowledged)
    bus = SmallBus(tmp_path, runtime_dir, 0)
    with BusClient(bus.where) as client:
        acknowledged.append(client.emit("filling.went_on", {"n": -1}).position)
    bus.end()
    check(tmp_path, acknowledged)


def test_a_full_file_system_that_gets_space_again(small_disk: Path, runtime_dir: Path) -> None:
    """When something else frees space, the same bus takes the next append, without a restart."""
    home, ballast = small_disk / "home", small_disk / "ballast"
    home.mkdir()
    ballast.write_bytes(b"x" * (1 << 20))
    bus = SmallBus(home, runtime_dir, 0)
    acknowledged, refusal = bus.fill()
    assert refusal.code == "E106"
    ballast.unlink()
    with BusClient(bus.where) as client:
        acknowledged.append(client.emit("filling.went_on", {"n": -1}).position)
    bus.end()
    check(home, acknowledged)
