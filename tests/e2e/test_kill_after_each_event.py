"""kill -9 of the real bus, orchestrator and agents right after an event was committed: outcome and value stay the same.

A few kills in the everyday suite; with `--long` each event of the nested plan, and ten seeded ones of every other.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BusHome
from tests.orchestration.checking import check_ended
from tests.orchestration.plans_to_kill import ALL, EACH, QUEUES, SEED
from tests.orchestration.random_plans import Agents
from tests.orchestration.simulation import Simulation
from twelvefold.eventstore.run import read_run
from twelvefold.orchestration import turn
from twelvefold.orchestration.plan import plan_from
from twelvefold.orchestration.result import result_of
from twelvefold.orchestration.submit import answer, submit

pytestmark = pytest.mark.e2e
#: From where the programs below find `tests`, wherever another test of this process has gone.
ROOT = Path(__file__).parents[2]
VICTIMS = ("bus", "orchestrator", "agents")
#: How a run's nested plan is divided among tests: every fourth event each.
SHARES = 4
#: What killed holders are given to let go; the product's minute would be waited for again and again.
RELEASE_S = 2.0

#: A bus whose log kills the victim that a run's labels name, right after the commit of the event that they count to.
BUS = """
import os, signal, sys
from pathlib import Path
from twelvefold.bus.broker import Options
from twelvefold.bus.endpoints import endpoints
from twelvefold.bus.process import main
from twelvefold.eventstore.sqlite_log import SqliteLog
home, runtime = map(Path, sys.argv[1:])
commit, left = SqliteLog.append_many, {}

def append_many(log, requests):
    results = commit(log, requests)
    for event in [event for result in results if getattr(result, "fresh", False) for event in result.events]:
        if event.type == "run.requested" and "victim" in event.data["labels"]:
            left[event.run] = [int(event.data["labels"]["after"]), event.data["labels"]["victim"]]
        if event.run in left:
            left[event.run][0] -= 1
            if left[event.run][0] == 0:
                kill(event.run, left[event.run][1])
    return results

def kill(run, victim):
    with open(home / "killed", "a") as killed:
        killed.write(run + "\\n")
    pids = [os.getpid()] if victim == "bus" else map(int, (home / victim).read_text().split())
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

SqliteLog.append_many = append_many
sys.exit(main(home, endpoints(home, runtime), "full", Options(lease_s=1.0, stop_timeout_s=1.0),
              ready=lambda: print("ready", flush=True)))
"""

ORCHESTRATOR = """
import sys
from pathlib import Path
from twelvefold.bus.endpoints import endpoints
from twelvefold.orchestration import turn
from twelvefold.orchestration.process import main
turn.RELEASE_S = float(sys.argv.pop())
home, runtime = map(Path, sys.argv[1:])
sys.exit(main(endpoints(home, runtime), home))
"""

AGENT = f"""
import sys
from pathlib import Path
from tests.orchestration.random_plans import Agents
from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.bus.errors import StaleDelivery
from twelvefold.eventstore.event import new_event
home, runtime = map(Path, sys.argv[1:])
agents = Agents({SEED})
with BusClient(endpoints(home, runtime), role="agent", instance=f"agent.{{__import__('os').getpid()}}") as client:
    def work(delivery):
        event = delivery.event
        type, data = agents(event.data, event.to)
        stream = f"task.{{event.run}}.{{event.data['path']}}"
        try:
            client.settle(delivery, [new_event(type, data, stream=stream, run=event.run, cause=event.id)])
        except StaleDelivery:
            pass  # it was withdrawn, or another has it by now
    for queue in {QUEUES!r}:
        client.join(queue)
    client.run(on_delivery=work)
"""


class Scene:
    """The processes of a home, each started again as soon as it is dead."""

    def __init__(self, bus: BusHome) -> None:
        self.bus = bus
        self.deaths = dict.fromkeys(VICTIMS, 0)
        self._running: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._over = threading.Event()
        for victim in VICTIMS:
            self._start(victim)
        self._reviver = threading.Thread(target=self._revive)
        self._reviver.start()
        self.client = bus.client()

    def play(self, name: str, after: int, victim: str, timeout_s: float = 120.0) -> tuple[bool, tuple[str, Any]]:
        """Run a plan with a kill after one of its events; tell whether it came to that, and how the run ended."""
        labels = {"after": str(after), "victim": victim}
        run = submit(self.client, plan_from(ALL[name]), labels=labels)
        deadline, answered = time.monotonic() + timeout_s, 0
        while True:
            last = next(iter(self.client.read(stream=f"run.{run}", limit=1, reverse=True)))
            if last.type in ("run.succeeded", "run.failed"):
                break
            if last.type == "run.needs_human" and last.position != answered:
                answered = last.position
                asked = last.data["questions"][0]
                word = "approve" if asked["reason"] == "approval" else "A"
                answer(self.client, run, word, path=asked["path"])
            assert time.monotonic() < deadline, [f"{event.type} {event.stream}" for event in self.client.read(run=run)]
            time.sleep(0.01)
        events = [*read_run(self.client, run)]
        check_ended(run, events, plainly=False)
        found = result_of(run, events)
        assert found.outcome is not None
        return run in (self.bus.home / "killed").read_text().split(), (found.outcome, found.value)

    def close(self) -> None:
        self._over.set()
        self._reviver.join(60)
        for processes in self._running.values():
            for process in processes:
                process.kill()
                process.wait(30)

    def _start(self, victim: str) -> None:
        program = {"bus": BUS, "orchestrator": ORCHESTRATOR, "agents": AGENT}[victim]
        command = [sys.executable, "-c", program, str(self.bus.home), str(self.bus.runtime)]
        command += [str(RELEASE_S)] if victim == "orchestrator" else []
        count = 2 if victim == "agents" else 1
        self._running[victim] = [subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT) for _ in range(count)]
        pids = " ".join(str(process.pid) for process in self._running[victim])
        (self.bus.home / victim).write_text(pids)

    def _revive(self) -> None:
        while not self._over.wait(0.01):
            for victim, processes in self._running.items():
                if any(process.poll() is not None for process in processes):
                    for process in processes:
                        process.kill()
                        process.wait(30)
                    self.deaths[victim] += 1
                    self._start(victim)


@pytest.fixture
def scene(bus_home_stopped: BusHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(turn, "RELEASE_S", RELEASE_S)  # what was decided is decided again here
    (bus_home_stopped.home / "killed").touch()
    with contextlib.closing(Scene(bus_home_stopped)) as found:
        yield found


def expected(name: str) -> tuple[str, Any]:
    """How the run of a plan ends that nothing happens to."""
    world = Simulation(Agents(SEED), lossy=False)
    world.request("run.requested", {"plan": ALL[name]})
    return world.settle_down().end()


def events_of(name: str) -> int:
    world = Simulation(Agents(SEED), lossy=False)
    world.request("run.requested", {"plan": ALL[name]})
    return world.settle_down().log.head


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_after_a_few_events(scene: Scene, victim: str) -> None:
    """Three events of the nested plan, and one of a plan that is undone."""
    chance = random.Random(f"a few {victim}")
    for name, after in [("nested", k) for k in chance.sample(range(2, 100), 3)] + [("saga", chance.randrange(2, 20))]:
        killed, end = scene.play(name, after, victim)
        assert killed, (name, after)
        assert end == expected(name), (name, after)
    assert scene.deaths[victim] >= 4


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_after_every_event_of_the_nested_plan(scene: Scene, victim: str, share: int) -> None:
    """Each of its events, until there are no more."""
    after, kills = share + 1, 0
    while True:
        killed, end = scene.play("nested", after, victim)
        assert end == expected("nested"), after
        if not killed:
            break
        kills += 1
        after += SHARES
    assert after > events_of("nested") * 0.8
    assert scene.deaths[victim] >= kills > 20


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", EACH)
def test_killed_after_ten_events_of_each_pattern(scene: Scene, name: str) -> None:
    """Ten seeded events of a plan of each pattern, for each that may die."""
    chance = random.Random(f"ten {name}")
    events = events_of(name)
    for victim in VICTIMS:
        moments = sorted(chance.sample(range(1, events), min(10, events - 1)))
        ends = {after: scene.play(name, after, victim) for after in moments}
        assert {after: end for after, (_, end) in ends.items()} == dict.fromkeys(moments, expected(name))
        # The last events may not be there: what ends at once needs fewer timers.
        assert sum(killed for killed, _ in ends.values()) >= len(moments) - 2
