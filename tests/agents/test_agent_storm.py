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


def ends(crew: Crew) -> tuple[Counter[bytes], set[bytes]]:
    """Return the outcomes and the withdrawals so far, by the id of the request."""
    events = list(crew.orchestrator.read())
    outcomes = Counter(event.cause for event in events if event.type in OUTCOMES)
    withdrawn = {bytes.fromhex(event.data["event"]) for event in events if event.type == "delivery.withdrawn"}
    return outcomes, withdrawn


@pytest.mark.parametrize("attempts_max", [2, 6])
def test_each_task_ends_once_whatever_happens_meanwhile(crew: Crew, attempts_max: int) -> None:
    """Every task has exactly one outcome unless it was withdrawn, where agents look ahead (6) or not (2)."""
    crew.bus.options["attempts_max"] = attempts_max
    crew.bus.restart()
    chance = random.Random(SEED)
    agents = [crew.start("Worker") for _ in range(3)]
    requests: list[Event] = []
    withdrawn: set[bytes] = set()
    for n in range(TASKS):
        requests.append(crew.request("worker", {"do": chance.choice(["nothing", "nothing", "effects"])}))
        if n % 7 == 3:
            unwanted = chance.choice(requests[-5:])
            withdrawn.add(unwanted.id)
            crew.orchestrator.withdraw([unwanted.id])
        if n % 100 == 50:
            agents[0].process.send_signal(chance.choice([signal.SIGTERM, signal.SIGKILL]))
            crew.buried(agents.pop(0))
            agents.append(crew.start("Worker"))
        if n in (150, 300):
            crew.bus.restart()

    def ended() -> bool:
        queue = crew.orchestrator.stats()["groups"]["q/worker"]
        if queue["waiting"] or queue["held"]:
            return False
        # What was withdrawn is in no queue, and yet not over while a handler is at work on it.
        outcomes, released = ends(crew)
        return all(outcomes[request.id] or request.id in released for request in requests)

    eventually(ended, 60)
    outcomes, released = ends(crew)
    assert released, "nothing was withdrawn: the storm was none"
    assert released <= withdrawn
    for request in requests:
        assert outcomes[request.id] == (request.id not in released)
    events = list(crew.orchestrator.read())
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
