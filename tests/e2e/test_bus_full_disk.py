"""A disk that fills up under a running bus: refused in words, nothing acknowledged is lost, and it goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.integrity import verify_home
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.storage_errors import StorageFull
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import submit, wait

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

ORCHESTRATOR = """
import sys
from pathlib import Path
from twelvefold.bus.endpoints import endpoints
from twelvefold.orchestration.process import main
home, runtime = map(Path, sys.argv[1:])
sys.exit(main(endpoints(home, runtime), home, ready=lambda: print("ready", flush=True)))
"""

Orchestrating = Callable[[Path, Path], "subprocess.Popen[str]"]


class SmallBus:
    """A bus whose log may not grow beyond a number of pages (0: as far as the disk reaches)."""

    def __init__(self, home: Path, runtime: Path, pages: int) -> None:
        self.where = endpoints(home, runtime)
        command = [sys.executable, "-c", BUS, str(home), str(runtime), str(pages)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def fill(self, size: int = 4000) -> tuple[list[int], StorageFull]:
        """Emit until the disk is full; return the acknowledged positions and the refusal."""
        positions = []
        with BusClient(self.where) as client:
            for n in range(100_000):
                try:
                    positions.append(client.emit("filling.went_on", {"n": n, "text": "x" * size}).position)
                except StorageFull as error:
                    # It is the append that is refused, not the bus: reading goes on.
                    assert not positions or client.head() == positions[-1]
                    return positions, error
        pytest.fail("the disk did not fill up")

    def end(self) -> None:
        """End it as `down` does."""
        assert self.process.stdout is not None
        self.process.terminate()
        assert self.process.wait(60) == 0
        self.process.stdout.close()


@pytest.fixture
def orchestrator_of() -> Iterator[Orchestrating]:
    """Start orchestrators, which are killed at the end if they still live."""
    started: list[subprocess.Popen[str]] = []

    def start(home: Path, runtime: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ORCHESTRATOR, str(home), str(runtime)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == "ready\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=60)


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


def test_runs_wait_for_a_full_disk(tmp_path: Path, runtime_dir: Path, orchestrator_of: Orchestrating) -> None:
    """An orchestrator that can't append says so and waits: no run fails of it, and all go on once there is space."""
    bus = SmallBus(tmp_path, runtime_dir, 300)
    orchestrator = orchestrator_of(tmp_path, runtime_dir)
    assert orchestrator.stderr is not None
    with BusClient(bus.where, role="agent", instance="worker.1", timeout_s=60.0) as agent:
        tasks = agent.consume("worker")
        run = submit(agent, Pipeline([Task("worker"), Task("worker")]))
        first = next(tasks)
        orchestrator.send_signal(signal.SIGSTOP)
        done = new_event("task.succeeded", {"value": 1}, stream=f"task.{run}.0.0", run=run, cause=first.event.id)
        agent.settle(first, [done])
        bus.fill()
        bus.fill(1)
        orchestrator.send_signal(signal.SIGCONT)
        assert "trying again until it can be written: no space" in orchestrator.stderr.readline()
        bus.end()
        bus = SmallBus(tmp_path, runtime_dir, 0)
        second = next(tasks)
        assert second.event.data["input"] == 1
        done = new_event("task.succeeded", {"value": 2}, stream=f"task.{run}.0.1", run=run, cause=second.event.id)
        agent.settle(second, [done])
        assert wait(agent, run, 60.0).value == 2
    orchestrator.send_signal(signal.SIGTERM)
    out, err = orchestrator.communicate(timeout=60)
    assert (orchestrator.returncode, out, err) == (0, "", "")
    bus.end()
    verify_home(tmp_path)


def test_a_value_that_finds_no_space_waits_for_it(
    small_disk: Path, runtime_dir: Path, orchestrator_of: Orchestrating
) -> None:
    """A decision too large for an event waits until its value can be held as a blob; no half of it is left behind."""
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    home, ballast = small_disk / "home", small_disk / "ballast"
    home.mkdir()
    bus = SmallBus(home, runtime_dir, 0)
    orchestrator = orchestrator_of(home, runtime_dir)
    assert orchestrator.stderr is not None
    value = "x" * 600_000
    with BusClient(bus.where, role="agent", instance="worker.1", timeout_s=60.0) as agent:
        tasks = agent.consume("worker")
        both = [{"$from": "first"}, {"$from": "first"}]
        run = submit(agent, Pipeline([Task("worker", name="first"), Task("worker", both)]))
        first = next(tasks)
        orchestrator.send_signal(signal.SIGSTOP)
        done = new_event("task.succeeded", {"value": value}, stream=f"task.{run}.0.0", run=run, cause=first.event.id)
        agent.settle(first, [done])
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        orchestrator.send_signal(signal.SIGCONT)
        assert "trying again until it can be written: [Errno 28]" in orchestrator.stderr.readline()
        assert not list((home / "blobs" / "incoming").glob("orchestrator/*"))
        ballast.unlink()
        second = next(tasks)
        assert agent.blobs.load(second.event.data)["input"] == [value, value]
        done = new_event("task.succeeded", {"value": 2}, stream=f"task.{run}.0.1", run=run, cause=second.event.id)
        agent.settle(second, [done])
        assert wait(agent, run, 60.0).value == 2
    orchestrator.send_signal(signal.SIGTERM)
    assert orchestrator.wait(60) == 0
    bus.end()
    verify_home(home)
