"""Agents under a storm: short tasks while others are withdrawn, agents are asked to stop or killed, the bus dies."""

from __future__ import annotations

import random
import signal
from collections import Counter

from tests.agents.conftest import OUTCOMES, Crew
from tests.conftest import eventually

TASKS = 400
SEED = 11


def test_each_task_ends_once_whatever_happens_meanwhile(crew: Crew) -> None:
    """Every task has exactly one outcome unless it was withdrawn, and each was begun before it ended."""
    chance = random.Random(SEED)
    agents = [crew.start("Worker") for _ in range(3)]
    requests = []
    for n in range(TASKS):
        requests.append(crew.request("worker", {"do": chance.choice(["nothing", "nothing", "effects"])}))
        if n % 7 == 3:
            crew.orchestrator.withdraw([chance.choice(requests[-5:]).id])
        if n % 100 == 50:
            agents[0].process.send_signal(chance.choice([signal.SIGTERM, signal.SIGKILL]))
            crew.buried(agents.pop(0))
            agents.append(crew.start("Worker"))
        if n in (150, 300):
            crew.bus.restart()

    def ended() -> bool:
        queue = crew.orchestrator.stats()["groups"]["q/worker"]
        return not queue["waiting"] and not queue["held"]

    eventually(ended, 60)
    events = list(crew.orchestrator.read())
    outcomes = Counter(event.cause for event in events if event.type in OUTCOMES)
    withdrawn = {bytes.fromhex(event.data["event"]) for event in events if event.type == "delivery.withdrawn"}
    assert withdrawn, "nothing was withdrawn: the storm was none"
    for request in requests:
        assert outcomes[request.id] == (request.id not in withdrawn)
    for request in requests:
        types = [event.type for event in events if event.cause == request.id and event.type.startswith("task.")]
        assert types == [] or types[0] == "task.started"
