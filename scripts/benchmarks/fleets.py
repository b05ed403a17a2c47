"""Benchmarks of many agents: start, answer, memory, idling, and how soon a dead one's task is taken over."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from product import connect
from roles import Role, percentile, stage

from twelvefold.bus.client import BusClient
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import submit

HERE = Path(__file__).parent
COMMAND = str(Path(sys.executable).with_name("twelvefold"))
KILLS = 40
IDLE_S = 20.0

Figures = dict[str, float]
TARGETS: dict[str, dict[str, Callable[[Figures], bool]]] = {
    "agents": {
        "150 have answered within 0.5 s of the first fork": lambda f: f["answered_s"] < 0.5,
        "under 350 MB PSS in all": lambda f: f["pss_mb"] < 350,
    },
    "agents-1000": {"1,000 have answered within 4 s, none twice": lambda f: f["answered_s"] < 4 and not f["lost"]},
    "idle": {"under 2 % of one core": lambda f: f["cpu_percent"] < 2},
    "redelivery": {"p99 under 200 ms after the exit": lambda f: f["p99_ms"] < 200},
}


class Fleet:
    """A running `up` in a folder."""

    def __init__(self, folder: Path, procfile: str, options: str = "") -> None:
        self.home = folder / "home"
        self.home.mkdir()
        (folder / "Procfile").write_text(procfile)
        (folder / "Procfile.options").write_text(options)
        self.folder = folder
        self._gates: list[int] = []
        self.variables = {
            "TWELVEFOLD_HOME": str(self.home),
            "TWELVEFOLD_RUNTIME_DIR": str(folder / "r"),
            "PYTHONPATH": str(HERE),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        }

    def command(self, *arguments: str) -> None:
        """Run a command on this `up`."""
        subprocess.run(
            [COMMAND, *arguments], cwd=self.folder, env=self.variables, check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def gate(self, name: str) -> Path:
        """A named pipe at which agents can be held, closed."""
        path = self.folder / name
        os.mkfifo(path)
        return path

    def open(self, gate: Path) -> None:
        """Let everyone through a gate, now and later."""
        self._gates.append(os.open(gate, os.O_RDWR))

    def shut_gates(self) -> None:
        """Give the descriptors of open gates back."""
        while self._gates:
            os.close(self._gates.pop())

    def client(self) -> BusClient:
        """A client of its bus."""
        return connect(self.home, "bench")

    def processes(self) -> list[psutil.Process]:
        """Every process of this `up`."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("TWELVEFOLD_HOME") == str(self.home):
                    found.append(process)
        return found

    def cpu_s(self) -> float:
        """Seconds of CPU that those of its processes that live have used: steadier than time on a busy machine."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())


@contextlib.contextmanager
def fleet(procfile: str, formation: str, options: str = "") -> Iterator[Fleet]:
    """An `up` of this Procfile, ended afterwards."""
    with stage() as (folder, _):
        running = Fleet(folder, procfile, options)
        running.command("up", "-d", "--wait", "-c", formation)
        try:
            yield running
        finally:
            running.command("down")
            running.shut_gates()


def _answers(count: int, running: Fleet, gate: Path) -> tuple[float, float, int]:
    """Scale to count agents with tasks waiting for all; seconds from the first fork until each answered, CPU, lost."""
    with running.client() as client:
        runs = [submit(client, Task(agent="ping", input=str(gate))) for _ in range(2 * count)]
        deadline = time.monotonic() + 120
        while client.stats()["groups"].get("q/ping", {}).get("waiting", 0) < 2 * count:
            if time.monotonic() > deadline:
                raise SystemExit(f"the tasks were not requested: {client.stats()['groups']}")
            time.sleep(0.05)
        head, before = client.head(), running.cpu_s()
        running.command("scale", f"ping={count}")
        sources: dict[str, int] = {}
        for event in client.watch("task.succeeded", after=head):
            sources.setdefault(event.source, event.time)
            if len(sources) == count:
                break
        spent = running.cpu_s() - before
        (first,) = client.read(after=head, type="process.started", limit=1)
        requested = {event.id for event in client.read(type="task.requested")}
        answered = [event.cause for event in client.read(type="task.succeeded")]
        twice = len(answered) - len(set(answered))
        return (max(sources.values()) - first.time) / 1e9, spent, twice + len(runs) - len(requested)


def agents(_: int) -> Figures:
    """150 agents from nothing until each has answered, and the memory of everything."""
    return _fleet_of(150)


def thousand_agents(_: int) -> Figures:
    """The same with 1,000."""
    return _fleet_of(1000)


def _floor(count: int) -> Figures:
    """The same with the smallest program of the shape."""
    with stage() as (folder, roles):
        roles.append(Role(str(HERE / "floor_fleet.py"), str(folder), str(count)))
        seconds, pss = roles[0].hear("fleet")
    return {"floor_s": float(seconds), "floor_pss_mb": float(pss) / 1e6}


def _fleet_of(count: int) -> Figures:
    with fleet("ping: twelvefold agent bench_agents:Ping\n", "ping=0") as running:
        gate = running.gate("done")
        seconds, cpu_s, lost = _answers(count, running, gate)
        pss = sum(process.memory_full_info().pss for process in running.processes())
        running.open(gate)
    return {"agents": count, "answered_s": seconds, "cpu_s": cpu_s, "lost": lost, "pss_mb": pss / 1e6, **_floor(count)}


def idle(_: int) -> Figures:
    """The share of one core that bus, orchestrator, supervisor and 150 agents use while nothing happens."""
    with fleet("hold: twelvefold agent bench_agents:Hold\n", "hold=150") as running:
        time.sleep(5)  # let starting come to rest: it is idling that is measured
        processes = running.processes()

        def used() -> float:
            return sum(sum(process.cpu_times()[:2]) for process in processes)

        before, begun = used(), time.monotonic()
        time.sleep(IDLE_S)
        return {"cpu_percent": 100 * (used() - before) / (time.monotonic() - begun), "processes": len(processes)}


def redelivery(_: int) -> Figures:
    """Kill an agent in the middle of its task, again and again: milliseconds from its exit to the next one's start."""
    waits = []
    # Killed so often, a place would be given up by the default.
    options = '[hold]\nrestart = { policy = "always", attempts_max = 1000, delay_s = 0.05, delay_max_s = 0.2 }\n'
    line = "hold: twelvefold agent bench_agents:Hold\n"
    with fleet(line, "hold=4", options) as running, running.client() as client:
        watch = iter(client.watch("task.started", after=client.head()))
        for n in range(KILLS):
            gate = running.gate(f"done-{n}")
            submit(client, Task(agent="hold", input=str(gate)))
            event = next(watch)
            exited = _kill(client, event.source)
            waits.append((next(watch).time - exited) / 1e6)
            running.open(gate)
    return {"p50_ms": percentile(waits, 0.5), "p99_ms": percentile(waits, 0.99), "kills": KILLS}


def _kill(client: BusClient, instance: str) -> int:
    """Kill an instance and return the moment of its exit, in nanoseconds."""
    # Forked, so that its environment as /proc shows it is the zygote's: its start is in the log.
    started = client.read(type="process.started", reverse=True)
    pid = next(event.data["pid"] for event in started if event.data["instance"] == instance)
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([handle], [], [])
    exited = time.time_ns()
    os.close(handle)
    return exited
