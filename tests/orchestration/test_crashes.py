"""A kill after each single event, of the orchestrator, the bus and the agents: outcome and value stay what they are."""

from __future__ import annotations

import pytest

from tests.orchestration.checking import check_ended
from tests.orchestration.plans_to_kill import ALL, SEED
from tests.orchestration.random_plans import Agents
from tests.orchestration.simulation import RUN, Simulation
from twelvefold.eventstore.run import read_run


def played(name: str, after: int = 0, victim: str = "") -> Simulation:
    """Play a plan to its end, with a kill after an event of the log."""
    world = Simulation(Agents(SEED), lossy=False)
    if victim:
        world.kill_after(after, victim)
    world.request("run.requested", {"plan": ALL[name]})
    return world.settle_down()


@pytest.mark.parametrize("victim", ["orchestrator", "bus", "agent"])
@pytest.mark.parametrize("name", ALL)
def test_a_kill_after_any_event_changes_nothing(name: str, victim: str) -> None:
    """For each event of the run: who dies right after it is started again, and the run ends as without that."""
    calm = played(name)
    expected = calm.end()
    assert expected[0] in ("succeeded", "failed")
    kills = 0
    while True:
        world = played(name, kills + 1, victim)
        if world.log.then is not None:
            break  # it had fewer events than that
        kills += 1
        assert world.end() == expected, (kills, world.told())
        check_ended(RUN, [*read_run(world.log, RUN)], plainly=kills % 10 == 0)
        assert not world.bus.queued
        assert not any(worker.held for worker in world.workers)
    assert kills >= calm.log.head - 3


def test_the_nested_plan_has_it_all() -> None:
    """Retries, timeouts, undoing, plans that tasks answer with, in each other, and a human's words are all in it."""
    told = [line.partition(" ")[0] for line in played("nested").told()]
    assert {"task.planned", "task.compensated", "human.answered", "timer.fired", "task.cancelled"} <= {*told}
    levels = [event.data["level"] for event in played("nested").log.read(type="task.requested", limit=10**6)]
    assert max(levels) == 2
