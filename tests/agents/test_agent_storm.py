"""Agents under a storm: short tasks while others are withdrawn, agents are asked to stop or killed, the bus dies."""

from __future__ import annotations

import random
import signal
from collections import Counter

import pytest

from tests.agents.conftest import OUTCOMES, Crew
from tests.conftest import eventually
from twelvefold.agents.journal import fresh_id
from twelvefold.eventstore.event import Event, new_event

TASKS = 400
SEED = 11


def concerns(event: Event, request: Event) -> bool:
    return request.id in (event.id, event.cause) or (
        event.type.startswith("delivery.") and event.data.get("event") == request.id.hex()
    )


@pytest.mark.parametrize("attempts_max", [2, 6])
def test_each_task_ends_once_whatever_happens_meanwhile(crew: Crew, attempts_max: int) -> None:
    """Every task has exactly one outcome unless it was withdrawn, where agents look ahead (6) or not (2)."""
    crew.bus.options["attempts_max"] = attempts_max
    crew.bus.restart()
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
        ended_well = outcomes[request.id] == (request.id not in withdrawn)
        assert ended_well, [(event.type, event.source, event.data) for event in events if concerns(event, request)]
    for request in requests:
        types = [event.type for event in events if event.cause == request.id and event.type.startswith("task.")]
        assert types == [] or types[0] == "task.started"


def test_nothing_waits_behind_a_task_that_takes_long(crew: Crew) -> None:
    """What came ahead of a long task's end is given back while it is at work, and done by another agent."""
    crew.bus.options["attempts_max"] = 6
    crew.bus.restart()
    first = crew.start("Worker")
    for request in [crew.request("worker", {"do": "nothing"}) for _ in range(100)]:
        crew.outcome(request)
    requests = []
    for does in ("wait", "nothing", "nothing", "nothing"):
        run, data = fresh_id().hex(), {"path": "0", "agent": "worker", "input": {"do": does}, "attempt": 1}
        requests.append(new_event("task.requested", data, stream=f"run.{run}", run=run, to="worker"))
    # At once, so that all are handed out together to the one agent that there is.
    long, *others = crew.orchestrator.emit_many(requests)
    eventually(crew.waiting)
    second = crew.start("Worker")
    assert {crew.outcome(request).source for request in others} == {second.instance}
    assert not crew.outcomes(long)
    crew.go()
    assert crew.outcome(long).source == first.instance
