"""Thousands of random schedules: lost hints, deaths, rivals, late reports, clocks that jump. `--schedules N --seed S`.

Each has a plan of its own; a failing one is played again by `--schedules 1 --seed <its number>`.
"""

from __future__ import annotations

import random

import pytest

from tests.orchestration.checking import check_ended, slices_once
from tests.orchestration.random_plans import Agents, Data, Plans, is_timed, nodes_in, slices_in
from tests.orchestration.simulation import RUN, Simulation
from twelvefold.eventstore.run import read_run

CHUNK = 100


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test as many schedules as fit its time."""
    if "first" in metafunc.fixturenames:
        option = metafunc.config.getoption
        count = option("--schedules") or (10_000 if option("--long") else 300)
        seed = option("--seed")
        metafunc.parametrize(("first", "count"), [(seed + n, min(CHUNK, count - n)) for n in range(0, count, CHUNK)])


def test_every_schedule_comes_to_a_sound_end(first: int, count: int) -> None:
    """Whatever happens to a run in which order: it ends, once, with nothing left behind, and as calm ones do."""
    for seed in range(first, first + count):
        try:
            play(seed)
        except BaseException as error:
            error.add_note(f"play it again: scripts/test {__file__} --schedules 1 --seed {seed}")
            raise


@pytest.mark.parametrize("seed", [735, 2940, 3879, 6387, 8298, 20693, 52446])
def test_what_schedules_have_found_stays_mended(seed: int) -> None:
    """Each of these has once shown a defect that few others show."""
    play(seed)


def play(seed: int) -> None:
    chance = random.Random(f"what happens {seed}")
    sliced = chance.random() < 0.35
    plans = Plans(seed, timed=chance.random() < 0.6)
    plan, items = plans.slices() if sliced else (plans.plan(), [])
    agents = Agents(seed)
    world = Simulation(agents, seed, managers=chance.choice((1, 1, 2)))
    budget = {"tasks": chance.randint(0, 12)} if chance.random() < 0.08 else {}
    requested = {"plan": plan, "budget": budget, "depth_max": chance.choice((1, 3, 3))}
    if chance.random() < 0.25:
        requested["levels"] = {"primary": chance.randint(1, 2), "secondary": chance.randint(1, 3), "tertiary": 2}
    world.request("run.requested", requested)
    cancelled, paused = chance.random() < 0.12, chance.random() < 0.12
    for word in ("pause", "resume") if paused else ():
        _steps(world, chance.randint(0, 30))
        world.request(f"run.{word}_requested", {})
    _steps(world, chance.randint(0, 120))
    if cancelled:
        world.request("run.cancel_requested", {"reason": "enough"})
    _steps(world, chance.randint(0, 60))
    world.settle_down()
    _check(world, plan)
    if cancelled or budget:
        return
    outcome, value = world.end()
    if sliced:
        assert outcome == "succeeded", world.told()
        ordered = not any(node.get("ordered") is False or node.get("reduce") for node in nodes_in(plan))
        slices_once(value, items, slices_in(value), ordered=ordered)
    if not is_timed(plan):
        calm = Simulation(agents, lossy=False)
        calm.request("run.requested", requested)
        expected, what = calm.settle_down().end()
        assert outcome == expected, (calm.told(), world.told())
        if outcome == "succeeded":
            assert value == what


def _steps(world: Simulation, count: int) -> None:
    for _ in range(count):
        world.step()


def _check(world: Simulation, plan: Data) -> None:
    check_ended(RUN, [*read_run(world.log, RUN)])
    assert not world.bus.queued, "a request still waits"
    assert not any(worker.held for worker in world.workers), "a worker still works"
    assert list(world.log.marks("run/")) == ["run/seen"]
    assert all(manager.core.open_runs == 0 for manager in world.managers)
