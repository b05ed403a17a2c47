"""Maps and pipelines over many items on a real bus, with agents in processes of their own, some killed or held."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import eventually, stopped
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import follow, submit, wait

pytestmark = pytest.mark.e2e

ORCHESTRATOR = """
import sys
from pathlib import Path
from twelvefold.bus.endpoints import endpoints
from twelvefold.orchestration.process import main
home, runtime = Path(sys.argv[1]), Path(sys.argv[2])
sys.exit(main(endpoints(home, runtime), home, ready=lambda: print("ready", flush=True)))
"""

#: An agent for everything: splits a number into a range, puts items into lists, and joins lists.
AGENT = """
import sys
from pathlib import Path
from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.eventstore.event import new_event
home, runtime, queue, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
act = {
    "split": lambda n: list(range(n)),
    "worker": lambda item: [item],
    "joiner": lambda lists: [one for part in lists for one in part],
}[queue]
with BusClient(endpoints(home, runtime), role="agent", instance=name) as client:
    print("ready", flush=True)
    for delivery in client.consume(queue, credit=1 if queue == "worker" else 8):
        event = delivery.event
        facts = {"value": act(event.data["input"]), "evidence": []}
        stream = f"task.{event.run}.{event.data['path']}"
        client.settle(delivery, [new_event("task.succeeded", facts, stream=stream, run=event.run, cause=event.id)])
"""


class Scene:
    """A bus, an orchestrator and agents."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.processes: list[subprocess.Popen[str]] = []
        self.orchestrator = self.start(ORCHESTRATOR)
        for queue in ("split", "joiner"):
            self.start(AGENT, queue, f"{queue}.1")
        self.workers = [self.start(AGENT, "worker", f"worker.{n}") for n in (1, 2, 3)]

    def start(self, program: str, *args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(self.bus.home), str(self.bus.runtime), *args]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def kill_orchestrator(self) -> None:
        self.orchestrator.send_signal(signal.SIGKILL)
        self.orchestrator.wait(20)
        self.orchestrator = self.start(ORCHESTRATOR)

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


def test_a_map_over_thousands_survives_its_orchestrators(scene: Scene) -> None:
    """Split, mapped and reduced in a tree, with the orchestrator killed twice on the way: each item is there once."""
    client = scene.bus.client()
    plan = MapReduce(Task("worker"), split=Task("split", 3000), reduce=Task("joiner"), fan_in=50)
    run = submit(client, plan)
    done = 0
    for event in follow(client, run, 300):
        done += event.type == "task.succeeded"
        if event.type == "task.succeeded" and done in (400, 2000):
            scene.kill_orchestrator()
    result = wait(client, run, 60)
    assert (result.outcome, result.value) == ("succeeded", list(range(3000)))


def test_a_pipeline_of_items_overlaps_its_steps(scene: Scene) -> None:
    """Items pass through three steps; some are done while others have not begun, and none is lost."""
    client = scene.bus.client()
    steps = [Task("worker"), Task("joiner", [{"$from": "item", "key": "list"}]), Task("worker", {"$from": "index"})]
    items = [{"list": [n]} for n in range(200)]
    run = submit(client, Pipeline(steps, items=items, in_flight_max=10, ordered=False))
    result = wait(client, run, 120)
    assert result.outcome == "succeeded"
    assert sorted(result.value) == [[n] for n in range(200)]
    said = [event.stream.split(".", 2)[2] for event in client.read(run=run) if event.type == "task.succeeded"]
    first_out = min(n for n, path in enumerate(said) if path.endswith(".2"))
    assert first_out < said.index("0.199.0")


def test_an_item_whose_agent_hangs_is_done_by_another_one(scene: Scene) -> None:
    """An agent that is held leaves its item to a copy, whose value counts; what it says later changes nothing."""
    client = scene.bus.client()
    with stopped(scene.workers[0].pid):
        run = submit(client, MapReduce(Task("worker"), list(range(60)), speculate_after_s=1.0))
        eventually(lambda: [1] in [one.data["counted"] for one in client.read(run=run, type="task.joined")])
    result = wait(client, run, 120)
    assert (result.outcome, result.value) == ("succeeded", [[n] for n in range(60)])
