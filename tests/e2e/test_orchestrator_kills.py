"""kill -9 of the orchestrator, and of the bus below it, at every step and at random moments: the same end."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Retry, Task
from twelvefold.orchestration.redecide import redecide
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.submit import cancel, follow, submit, wait

pytestmark = pytest.mark.e2e

#: An orchestrator that kills itself right before, amid or after its n-th append; n = 0 lives on.
ORCHESTRATOR = """
import os, signal, sys
from pathlib import Path
from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.orchestration.process import main
home, runtime, when, n = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
begin, finish, count = BusClient.begin, BusClient.finish, 0
def begun(client, *events, **options):
    global count
    count += 1
    if (when, count) == ("before", n):
        os.kill(os.getpid(), signal.SIGKILL)
    ticket = begin(client, *events, **options)
    if (when, count) == ("sent", n):
        os.kill(os.getpid(), signal.SIGKILL)
    return ticket
def finished(client, ticket):
    finish(client, ticket)
    if (when, count) == ("after", n):
        os.kill(os.getpid(), signal.SIGKILL)
if n:
    BusClient.begin, BusClient.finish = begun, finished
sys.exit(main(endpoints(home, runtime), home, ready=lambda: print("ready", flush=True)))
"""

#: An agent: does what its input says, and writes down each thing that it did.
AGENT = """
import sys
from pathlib import Path
from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.eventstore.event import new_event
home, runtime, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
with BusClient(endpoints(home, runtime), role="agent", instance=name) as client, open(home / "did", "a") as did:
    for delivery in client.consume("worker", credit=4):
        event = delivery.event
        data = event.data
        # Without an input of its own a step of a pipeline gets the value of the one before it.
        outcome = data["input"] if data["input"] in ("flaky", "task.failed") else "task.succeeded"
        if outcome == "flaky":
            outcome = "task.failed" if data["attempt"] < 3 else "task.succeeded"
        did.write(f"{event.run} {data['path']} {data['attempt']}\\n")
        did.flush()
        facts = {"value": data["path"], "reason": "as told", "evidence": []}
        stream = f"task.{event.run}.{data['path']}"
        client.settle(delivery, [new_event(outcome, facts, stream=stream, run=event.run, cause=event.id)])
"""

UNDO = Task("worker", "flaky", retry=Retry(attempts_max=5, backoff_s=0.01))
FAILING = Saga([Task("worker", undo=UNDO), Task("worker", undo=Task("worker")), Task("worker", "task.failed")])
NESTED = Pipeline(
    [
        Task("worker", "flaky", retry=Retry(attempts_max=3, backoff_s=0.01)),
        Saga([Task("worker", undo=Task("worker")), Task("worker", pivot=True), Task("worker")]),
    ]
)


class Scene:
    """A bus, two agent processes, and orchestrators that come and go."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.processes: list[subprocess.Popen[str]] = []
        for n in (1, 2):
            self._start(AGENT, f"worker.{n}")

    def _start(self, program: str, *args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(self.bus.home), str(self.bus.runtime), *args]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def orchestrator(self, when: str = "never", n: int = 0) -> subprocess.Popen[str]:
        process = self._start(ORCHESTRATOR, when, str(n))
        assert process.stdout is not None
        if not n:
            assert process.stdout.readline() == "ready\n"
        return process

    def did(self, run: str) -> list[str]:
        lines = (self.bus.home / "did").read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith(run)]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(20)
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def scene(bus_home: Any) -> Iterator[Scene]:
    found = Scene(bus_home)
    yield found
    found.close()


def redecided(client: Any, run: str) -> None:
    """Deciding again over the recorded inputs gives exactly the recorded decisions."""
    events = [*client.read(run=run)]
    found = redecide(run, events)
    assert found.agrees, found
    assert (found.older, found.decisions) == (0, sum(event.seen > 0 for event in events))


FAILING_DID = ["0.0 1", "0.1 1", "0.2 1", "0.1.undo 1", "0.0.undo 1", "0.0.undo 2", "0.0.undo 3"]


@pytest.mark.parametrize("when", ["before", "sent", "after"])
def test_killed_at_every_append_of_a_failing_saga(scene: Scene, when: str) -> None:
    """Killed before or after each of its appends, compensation and its retries included, a saga ends the same."""
    client = scene.bus.client()
    n = 0
    while True:
        n += 1
        mortal = scene.orchestrator(when, n)
        run = submit(client, FAILING)
        ended = wait_until(lambda mortal=mortal, run=run: mortal.poll() is not None or is_over(client, run))
        assert ended
        if mortal.poll() is None and is_over(client, run):
            # It needed fewer appends than that: every point has been tried.
            break
        heir = scene.orchestrator()
        told = wait(client, run, 60)
        assert (told.outcome, told.reason, told.undone, told.not_undone) == ("failed", "as told", ("0.0", "0.1"), ())
        assert scene.did(run) == FAILING_DID
        redecided(client, run)
        heir.kill()
        heir.wait(20)
    # Timers that fall due at once are fired in the append that sets them, so there are ten appends at least.
    assert n > 10


def test_each_orchestrator_lives_for_one_append(scene: Scene) -> None:
    """Even if every orchestrator dies after its first append, the run comes to its end."""
    client = scene.bus.client()
    run = submit(client, NESTED)
    lives = 0
    while not is_over(client, run):
        scene.orchestrator("after", 1).wait(60)
        lives += 1
    told = wait(client, run, 1)
    assert (told.outcome, told.value) == ("succeeded", "0.1.2")
    assert scene.did(run) == ["0.0 1", "0.0 2", "0.0 3", "0.1.0 1", "0.1.1 1", "0.1.2 1"]
    assert lives > 6
    redecided(client, run)


@pytest.mark.long
def test_killed_at_random_under_load(scene: Scene) -> None:
    """Many runs, some cancelled, while orchestrator and bus are killed again and again: each ends as it should."""
    chance = random.Random(20)
    client = scene.bus.client()
    plans: list[tuple[Plan, str]] = [(FAILING, "failed"), (NESTED, "succeeded"), (Task("worker"), "succeeded")]
    orchestrator = scene.orchestrator()
    runs: dict[str, str] = {}
    for round in range(12):
        for _ in range(8):
            plan, outcome = plans[chance.randrange(3)]
            runs[submit(client, plan)] = outcome
        if round % 4 == 1:
            run = submit(client, Saga([Task("worker", undo=Task("worker")), Task("nobody")]))
            runs[run] = "cancelled"
            for event in follow(client, run, 60):
                if event.to == "nobody":
                    break
            cancel(client, run)
        time.sleep(chance.random() * 0.1)
        if round % 3 == 2:
            scene.bus.restart()
        orchestrator.kill()
        orchestrator.wait(20)
        orchestrator = scene.orchestrator()
    for run, outcome in runs.items():
        assert wait(client, run, 120).outcome == outcome
    for run, outcome in runs.items():
        types = [event.type for event in client.read(run=run)]
        assert sum(types.count(f"run.{end}") for end in ("succeeded", "failed", "cancelled")) == 1
        if outcome == "failed":
            assert sorted(set(scene.did(run))) == sorted(FAILING_DID)
        redecided(client, run)


def test_an_overdue_timer_fires_at_the_next_start(scene: Scene) -> None:
    """What fell due while no orchestrator ran fires as soon as one is there."""
    client = scene.bus.client()
    first = scene.orchestrator()
    runs = [submit(client, Task("nobody"), timeout_s=timeout_s) for timeout_s in (0.6, 0.4, 0.5)]
    for run in runs:
        for event in follow(client, run, 60):
            if event.to == "nobody":
                break
    first.kill()
    first.wait(20)
    due = {event.data["due"]: event.run for event in client.read(type="timer.set")}
    assert wait_until(lambda: time.time_ns() > max(due))
    scene.orchestrator()
    for run in runs:
        assert wait(client, run, 60).reason == "timeout"
    fired = [event.run for event in client.read(type="timer.fired")]
    assert fired == [due[time_ns] for time_ns in sorted(due)]


def test_stopping_takes_a_moment(scene: Scene) -> None:
    """SIGTERM ends an idle orchestrator, with status 0."""
    orchestrator = scene.orchestrator()
    orchestrator.send_signal(signal.SIGTERM)
    assert orchestrator.wait(20) == 0


def is_over(client: Any, run: str) -> bool:
    return any(event.type in ("run.succeeded", "run.failed") for event in client.read(stream=f"run.{run}"))


def wait_until(check: Callable[[], Any], timeout_s: float = 60.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.005)
    return False
