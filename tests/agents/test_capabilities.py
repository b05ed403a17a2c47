"""Agents of several types that share a capability: real processes, one task at a time over all their queues."""

from __future__ import annotations

import os
import signal

from tests.agents.conftest import Crew
from tests.conftest import eventually
from twelvefold.eventstore.event import Event
from twelvefold.orchestration.pausing import LOOK, mark_of


def begun(crew: Crew, request: Event) -> int:
    """Where in the log a task was started, 0 where it wasn't."""
    return next((event.position for event in crew.events(request) if event.type == "task.started"), 0)


def test_a_task_for_a_capability_goes_to_one_idle_agent_of_either_type(crew: Crew) -> None:
    """While one type works for its own queue the other takes the task; each knows by which name it was asked."""
    crew.start("Lawyer")
    poet = crew.start("Poet")
    busy = crew.request("lawyer", {"do": "wait"})
    eventually(crew.waiting)
    asked = [crew.request("proofread", {"do": "name"}) for _ in range(3)]
    assert [crew.outcome(request).data["value"] for request in asked] == [["Poet", "proofread"]] * 3
    assert crew.outcome(crew.request("poet", {"do": "name"})).data["value"] == ["Poet", "poet"]
    assert not crew.outcomes(busy)
    poet.process.send_signal(signal.SIGTERM)
    assert poet.process.wait(10) == 0
    crew.buried(poet)
    left = crew.request("proofread", {"do": "name"})
    crew.go()
    assert crew.outcome(left).data["value"] == ["Lawyer", "proofread"]
    assert crew.outcome(busy).type == "task.succeeded"


def test_an_agent_does_one_task_at_a_time_whichever_queue_it_came_from(crew: Crew) -> None:
    """What waits in its queues stays there while it works, and then comes by age, so that no queue starves."""
    crew.start("Lawyer")
    crew.request("proofread", {"do": "wait"})
    eventually(crew.waiting)
    queues = ["lawyer", "proofread", "proofread", "lawyer", "proofread", "lawyer"]
    waiting = [crew.request(queue, {"do": "name"}) for queue in queues]
    groups = crew.orchestrator.stats()["groups"]
    held = {name: (groups[f"q/{name}"]["waiting"], groups[f"q/{name}"]["held"]) for name in ("lawyer", "proofread")}
    assert held == {"lawyer": (3, 0), "proofread": (3, 1)}
    crew.go()
    assert [crew.outcome(request).data["value"] for request in waiting] == [["Lawyer", queue] for queue in queues]
    order = [begun(crew, request) for request in waiting]
    assert order == sorted(order)


def test_quick_tasks_of_all_queues_travel_together_and_none_is_lost(crew: Crew) -> None:
    """Looking ahead over several queues keeps every task exactly once, on two types at work."""
    crew.start("Lawyer")
    crew.start("Poet")
    asked = [crew.request(("lawyer", "proofread", "poet")[n % 3], {"do": "name"}) for n in range(150)]
    values = [crew.outcome(request).data["value"] for request in asked]
    assert [queue for _, queue in values] == [("lawyer", "proofread", "poet")[n % 3] for n in range(150)]
    assert {kind for kind, queue in values if queue == "lawyer"} == {"Lawyer"}
    assert all(len([e for e in crew.events(request) if e.type == "task.started"]) == 1 for request in asked)


def test_a_capabilitys_task_of_a_dead_holder_goes_to_the_other_type(crew: Crew) -> None:
    """kill -9 in the middle: the task is delivered again, to an agent of another class."""
    lawyer = crew.start("Lawyer")
    request = crew.request("proofread", {"do": "interrupt"})
    crew.buried(lawyer)
    crew.start("Poet")
    outcome = crew.outcome(request)
    assert (outcome.type, outcome.source) == ("task.succeeded", "poet-2")
    assert [event.data["delivery"] for event in crew.events(request) if event.type == "task.started"][-1] == 2


def test_a_withdrawn_task_of_a_capability_is_heeded_and_makes_room_for_the_own_queue(crew: Crew) -> None:
    """The handler hears of it; once it has returned, the next task of another queue comes."""
    lawyer = crew.start("Lawyer")
    request = crew.request("proofread", {"do": "heed"})
    eventually(crew.waiting)
    own = crew.request("lawyer", {"do": "name"})
    crew.orchestrator.withdraw([request.id])
    assert crew.outcome(own).data["value"] == ["Lawyer", "lawyer"]
    assert "heeded" in lawyer.log()
    assert not crew.outcomes(request)


def test_a_bus_that_dies_gives_an_agent_no_second_task_beside_the_one_in_hand(crew: Crew) -> None:
    """After the restart it holds what it held, in the same hand, and the queues go on when that is settled."""
    crew.start("Lawyer")
    busy = crew.request("proofread", {"do": "wait"})
    eventually(crew.waiting)
    waiting = [crew.request(queue, {"do": "name"}) for queue in ("lawyer", "proofread")]
    crew.bus.kill()
    crew.bus.start()
    # Both queues have their member again.
    groups = eventually(
        lambda: (
            found
            if all((found := crew.orchestrator.stats()["groups"])[f"q/{q}"]["members"] for q in ("lawyer", "proofread"))
            else None
        )
    )
    assert [groups[f"q/{name}"]["held"] for name in ("lawyer", "proofread")] == [0, 1]
    crew.go()
    for request in (busy, *waiting):
        assert crew.outcome(request).type == "task.succeeded"
    assert begun(crew, waiting[0]) > crew.outcome(busy).position


def test_a_paused_agent_takes_nothing_from_any_of_its_queues(crew: Crew) -> None:
    """Its capabilities wait as its own queue does; resumed, it does what has come meanwhile."""
    lawyer = crew.start("Lawyer")
    mark = mark_of(crew.bus.home, lawyer.instance)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    os.kill(lawyer.process.pid, LOOK)
    eventually(lambda: "paused" in lawyer.log())
    asked = [crew.request(queue, {"do": "name"}) for queue in ("lawyer", "proofread")]
    groups = crew.orchestrator.stats()["groups"]
    assert [groups[f"q/{name}"]["members"] for name in ("lawyer", "proofread")] == [0, 0]
    mark.unlink()
    os.kill(lawyer.process.pid, LOOK)
    assert [crew.outcome(request).type for request in asked] == ["task.succeeded"] * 2


def test_an_agent_may_leave_its_capabilities_out(crew: Crew) -> None:
    """With `--only` it serves its own queue, by the name that it was given, and no other."""
    crew.start("Lawyer", "--name", "barrister", "--only")
    general = crew.request("proofread", {"do": "name"})
    assert crew.outcome(crew.request("barrister", {"do": "name"})).data["value"] == ["Lawyer", "barrister"]
    assert not crew.events(general)
    crew.start("Lawyer", "--name=advocate")
    assert crew.outcome(general).source == "lawyer-2"
