"""`bus.state(namespace)`: what several processes of a home share, over a real bus that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import twelvefold as tf
from tests.twelvefold.conftest import COMMAND, CommandLine
from twelvefold.async_connection import Connection
from twelvefold.bus.endpoints import endpoints
from twelvefold.connection import SyncConnection
from twelvefold.orchestration.state_errors import StateNameInvalid

from ..conftest import BusHome, eventually

pytestmark = pytest.mark.e2e

COUNTER = """
import sys
from pathlib import Path
from twelvefold.bus.endpoints import endpoints
from twelvefold.connection import SyncConnection
from twelvefold.eventstore.errors import VersionConflict
home, runtime, key, times = sys.argv[1:]
with SyncConnection(endpoints(Path(home), Path(runtime)), timeout_s=60) as bus:
    state = bus.state("counters")
    print("ready", flush=True)
    for _ in range(int(times)):
        while True:
            found = state.entry(key)
            try:
                state.compare_and_set(key, (found.value or 0) + 1, found.version)
                break
            except VersionConflict:
                continue
"""


@pytest.fixture
def bus(bus_home: BusHome) -> Iterator[SyncConnection]:
    """A connection to a running bus."""
    with SyncConnection(bus_home.endpoints) as connection:
        yield connection


def counting(bus_home: BusHome, key: str, times: int) -> subprocess.Popen[str]:
    """Start a process that increments a counter by compare-and-set."""
    command = [sys.executable, "-c", COUNTER, str(bus_home.home), str(bus_home.runtime), key, str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_put_get_delete(bus: SyncConnection) -> None:
    """Values come back as they were put; what was deleted is gone, and its version goes on from where it was."""
    state = bus.state("release")
    assert state.get("version") is None and state.get("version", "none") == "none"
    assert (state.entry("version").exists, state.entry("version").version) == (False, 0)
    first = state.put("version", {"major": 1})
    assert (first.version, first.exists, state.get("version")) == (1, True, {"major": 1})
    assert state.put("version", None).version == 2
    assert state.entry("version").exists and state.get("version", "default") is None
    assert state.delete("version") is True and state.delete("version") is False
    assert (state.entry("version").exists, state.entry("version").version) == (False, 0)
    assert state.put("version", 5).version == 4
    assert [(entry.exists, entry.value) for entry in state.history("version")] == [
        (True, {"major": 1}), (True, None), (False, None), (True, 5),
    ]  # fmt: skip
    assert [entry.version for entry in state.history("version", reverse=True, limit=2)] == [4, 3]


def test_compare_and_set(bus: SyncConnection) -> None:
    """Only who knows the newest version may write, and 0 stands for a key that isn't there, also a deleted one."""
    state = bus.state("release")
    assert state.compare_and_set("a", 1, 0).version == 1
    with pytest.raises(tf.VersionConflict) as told:
        state.compare_and_set("a", 2, 0)
    assert (told.value.expected, told.value.actual) == (0, 1)
    assert state.compare_and_set("a", 2, 1).version == 2
    with pytest.raises(tf.VersionConflict):
        state.compare_and_set("a", 3, 1)
    with pytest.raises(tf.VersionConflict):
        state.delete("a", expected_version=1)
    assert state.get("a") == 2
    assert state.delete("a", expected_version=2)
    assert state.compare_and_set("a", 4, 0).version == 4
    with pytest.raises(tf.VersionConflict):
        state.compare_and_set("never", 1, 3)
    assert state.get("never") is None


def test_keys_of_all_kinds(bus: SyncConnection) -> None:
    """Any text is a key, no two keys or namespaces meet, and keys and items are told by prefix."""
    keys = ["a", "a.b", "A", "a/b", "ä", "-a", " ", "x" * 1000, "x" * 999, "state.release.a", "a\n", "cite/version"]
    state, other = bus.state("release"), bus.state("release-2")
    for number, key in enumerate(keys):
        state.put(key, number)
    other.put("a", "other")
    assert state.items() == {key: number for number, key in sorted(enumerate(keys), key=lambda pair: pair[1])}
    assert [state.get(key) for key in keys] == list(range(len(keys)))
    assert other.items() == {"a": "other"}
    assert state.keys("a") == ["a", "a\n", "a.b", "a/b"]
    state.delete("a.b")
    other.put("b", 1)
    assert state.keys("a") == ["a", "a\n", "a/b"] and other.keys() == ["a", "b"]
    for wrong in ("", "A", "a.b", "-a", "x" * 65):
        with pytest.raises(StateNameInvalid):
            bus.state(wrong)
    for key in ("", "x" * 1001, "\ud800"):
        with pytest.raises(StateNameInvalid):
            state.put(key, 1)


def test_foreign_facts_in_a_key_do_no_harm(bus: SyncConnection) -> None:
    """What somebody else wrote into a key's stream is passed over, and the key can still be compared and set."""
    state = bus.state("release")
    state.put("a", 1)
    for data in (None, [], {"key": 3, "value": 1}, {"key": "a"}):
        bus.emit("state.put", data, stream="state.release.a")
    bus.emit("demo.happened", {"key": "a", "value": 7}, stream="state.release.a")
    found = state.entry("a")
    assert (found.value, found.version) == (1, 6)
    assert state.items() == {"a": 1}
    assert state.compare_and_set("a", 2, found.version).version == 7
    assert [entry.value for entry in state.history("a")] == [1, 2]


def test_values_larger_than_an_event(bus: SyncConnection) -> None:
    """A value of 3 MB comes back whole from get, items, history and watch."""
    state, large = bus.state("release"), "x" * 3_000_000
    watch = state.watch()
    assert state.put("notes", large).value == large
    assert state.get("notes") == large and state.items() == {"notes": large}
    assert next(state.history("notes")).value == large
    assert next(iter(watch)).value == large
    assert state.update("notes", lambda notes: notes[:5]).value == "xxxxx"
    watch.close()


def test_watching_a_namespace_and_a_key(bus: SyncConnection) -> None:
    """A watch tells changes in order, of its namespace or key only, deletions too, and from a position on."""
    state, other = bus.state("release"), bus.state("other")
    start = bus.head()
    everything, one = iter(state.watch()), iter(state.watch(key="b"))
    state.put("a", 1)
    other.put("b", "no")
    state.put("b", 2)
    state.delete("a")
    assert [(entry.key, entry.value, entry.exists) for entry in (next(everything) for _ in range(3))] == [
        ("a", 1, True), ("b", 2, True), ("a", None, False),
    ]  # fmt: skip
    assert next(one).value == 2
    assert [entry.key for _, entry in zip(range(3), state.watch(after=start), strict=False)] == ["a", "b", "a"]


def test_a_watch_with_a_handler(bus_home: BusHome, bus: SyncConnection) -> None:
    """A handler is called by the connection's `run` until its watch is closed."""
    heard: list[object] = []
    with SyncConnection(bus_home.endpoints) as listening:
        watch = listening.state("release").watch(lambda entry: heard.append(entry.value))
        serving = threading.Thread(target=listening.run)
        serving.start()
        bus.state("release").put("a", 1)
        eventually(lambda: heard == [1])
        watch.close()
        bus.state("release").put("a", 2)
        eventually(lambda: bus.state("release").get("a") == 2)
        listening.stop()
        serving.join(30)
    assert heard == [1]


@pytest.mark.parametrize("kills", [0, 3], ids=["undisturbed", "bus-killed"])
def test_four_processes_lose_no_increment(bus_home: BusHome, kills: int) -> None:
    """4 processes increment one counter 500 times each by compare-and-set, and each increment is there in the end."""
    bus_home.options = {"lease_s": 5.0}
    processes = [counting(bus_home, "hits", 500) for _ in range(4)]
    try:
        for process in processes:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        with SyncConnection(bus_home.endpoints, timeout_s=60) as bus:
            state = bus.state("counters")
            for n in range(kills):
                eventually(lambda n=n: state.get("hits", 0) > 400 * (n + 1), 120)  # type: ignore[misc]
                bus_home.restart()
            for process in processes:
                assert process.wait(180) == 0
            assert state.get("hits") == 2000
            assert [entry.value for entry in state.history("hits")] == list(range(1, 2001))
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_a_writer_that_is_killed_leaves_whole_increments(bus_home: BusHome, bus: SyncConnection) -> None:
    """A counting process that is killed leaves a counter that others go on with, and the history has no hole."""
    process = counting(bus_home, "hits", 1_000_000)
    state = bus.state("counters")
    eventually(lambda: state.get("hits", 0) > 50)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    reached = state.update("hits", lambda hits: hits + 1).value
    assert [entry.value for entry in state.history("hits")] == list(range(1, reached + 1))


def test_keys_do_not_conflict_with_each_other(bus: SyncConnection) -> None:
    """Writers of different keys of one namespace never get in each other's way."""
    state = bus.state("counters")
    entries = [state.put(f"k{n}", 0) for n in range(20)]
    for n, entry in enumerate(entries):
        assert state.compare_and_set(f"k{n}", 1, entry.version).version == 2


def test_asyncio(bus_home: BusHome) -> None:
    """The asyncio connection has the same calls, and concurrent updates of one key lose nothing."""

    async def program() -> None:
        async with Connection(bus_home.endpoints) as bus:
            state = bus.state("release")
            watch = state.watch(key="n")
            await watch.opened()
            await asyncio.gather(*(state.update("n", lambda n: n + 1, 0) for _ in range(50)))
            assert await state.get("n") == 50
            seen = [entry.value async for entry, _ in _first(watch, 50)]
            assert seen == list(range(1, 51))
            await watch.close()
            with pytest.raises(tf.VersionConflict):
                await state.compare_and_set("n", 0, 3)
            assert (await state.put("m", "x" * 2_000_000)).version == 1
            assert await state.get("m") == "x" * 2_000_000
            assert await state.delete("n") and not await state.delete("n")
            assert await state.keys() == ["m"] and list(await state.items()) == ["m"]
            assert [entry.exists async for entry in state.history("n", reverse=True, limit=2)] == [False, True]

    async def _first(watch, count):  # type: ignore[no-untyped-def]
        number = 0
        async for entry in watch:
            yield entry, number
            number += 1
            if number == count:
                return

    asyncio.run(program())


def test_old_history_costs_a_read_nothing(bus: SyncConnection) -> None:
    """Reading a key asks for its newest fact only, whatever lies below it."""
    state = bus.state("counters")
    bus.emit_many([tf.NewEvent("state.put", {"key": "k", "value": n}, stream="state.counters.k") for n in range(5000)])
    asked: list[int | None] = []
    read = bus.read

    class Counting(SyncConnection):
        """Notes how many events are asked for."""

        def read(self, **wanted):  # type: ignore[no-untyped-def, override]
            asked.append(wanted.get("limit"))
            return super().read(**wanted)

    assert read is not None
    with Counting(bus._endpoints) as counted:
        assert counted.state("counters").get("k") == 4999
    assert asked == [1]
    assert state.get("k") == 4999


AGENT = """
import twelvefold as tf


class Counting(tf.BaseAgent):
    \"\"\"Counts each task once.\"\"\"

    def execute_task(self, task: int, context: tf.TaskContext) -> tf.ToolResponse:
        state = context.state("counts")
        state.put(f"task/{task}", context.attempt)
        total = state.update("total", lambda total: total + 1, 0).value
        state.update("sum", lambda found: found + task, 0)
        return tf.ToolResponse.succeeded(total)
"""


def test_tasks_that_are_killed_count_once(tmp_path: Path, runtime_dir: Path) -> None:
    """Agents are killed again and again while 200 tasks each count in shared state: each is counted once."""
    environment = {"PATH": f"{COMMAND.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    environment |= {"TWELVEFOLD_RUNTIME_DIR": str(runtime_dir), "TWELVEFOLD_ATTEMPTS_MAX": "100"}
    line = CommandLine(tmp_path, environment)
    (tmp_path / ".twelvefold").mkdir(mode=0o700)
    (tmp_path / "counting.py").write_text(AGENT)
    (tmp_path / "Procfile").write_text("counting: twelvefold agent counting:Counting\n")
    (tmp_path / "Procfile.options").write_text(
        "[counting]\nquantity = 4\nrestart = { attempts_max = 1000, delay_s = 0.05, delay_max_s = 0.1 }\n"
    )
    started = line("up", "-d", "--wait")
    assert started.status == 0, started.err
    try:
        with SyncConnection(endpoints(tmp_path / ".twelvefold", runtime_dir), timeout_s=60) as bus:
            run = bus.submit(tf.ForkJoin([tf.Task("counting", n) for n in range(200)]))
            state, killed = bus.state("counts"), 0
            while (reached := state.get("total", 0)) < 180:
                eventually(lambda reached=reached: state.get("total", 0) > reached + 5, 60)  # type: ignore[misc]
                ready = [event.data for event in bus.read(type="process.ready")]
                pids = {one["process"]: one["pid"] for one in ready if "counting" in one["process"]}
                pid = pids[sorted(pids)[killed % 4]]
                with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                    # One that has been killed already may have left its number to somebody else.
                    if str(tmp_path).encode() in Path(f"/proc/{pid}/environ").read_bytes():
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
            result = bus.wait(run, 120)
            assert result.outcome == "succeeded", result
            assert killed >= 5
            assert (state.get("total"), state.get("sum")) == (200, sum(range(200)))
            assert sorted(result.value) == list(range(1, 201))
    finally:
        assert line("down").status == 0
