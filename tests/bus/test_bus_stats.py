"""What the bus counts and measures of itself, as its stats tell."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from twelvefold.bus.histogram import BATCH_EVENTS, COMMIT_S, Histogram
from twelvefold.bus.stats import RATE_OVER_S, Throughput
from twelvefold.eventstore.event import NewEvent

from ..conftest import BusHome, eventually


@given(st.lists(st.floats(0, 100)))
def test_each_value_is_in_one_bucket(values: list[float]) -> None:
    """Counts add up to the values, and each lies at or below its bound and above the one before."""
    histogram = Histogram(COMMIT_S)
    for value in values:
        histogram.observe(value)
    facts = histogram.facts()
    assert sum(facts["counts"]) == len(values)
    for n, bound in enumerate(COMMIT_S):
        assert sum(facts["counts"][: n + 1]) == sum(value <= bound for value in values)
    assert abs(facts["sum"] - sum(values)) < 1e-6


def test_throughput_is_of_the_last_moments() -> None:
    """A rate is of about the last ten seconds, whatever came before, and of the whole life of a young bus."""
    rate = Throughput(100.0)
    assert rate.facts(102.0, 50, 10)["events_per_s"] == 25.0
    for second in range(1, 60):
        rate.tick(100.0 + second, 1000 * second, 0)
    facts = rate.facts(159.5, 59_000, 0)
    assert facts["over_s"] <= RATE_OVER_S + 1.5
    assert 900 <= facts["events_per_s"] <= 1000
    for second in range(60, 75):
        rate.tick(100.0 + second, 59_000, 0)
    assert rate.facts(174.5, 59_000, 0)["events_per_s"] == 0.0


def test_commits_and_waits_are_measured(bus_home: BusHome) -> None:
    """Every transaction with events is timed and sized, and how long events waited for a member is told by group."""
    client, worker = bus_home.client(instance="writer"), bus_home.client(instance="worker-1")
    before = client.stats()
    assert before["throughput"]["events_per_s"] >= 0
    client.emit_many([NewEvent(type="demo.happened", to="work", payload=str(n)) for n in range(30)])
    waiting = client.stats()
    assert sum(waiting["commit_s"]["counts"]) == sum(waiting["batch_events"]["counts"]) >= 1
    assert waiting["batch_events"]["sum"] == waiting["events"]
    assert waiting["batch_events"]["bounds"] == list(BATCH_EVENTS)
    assert waiting["commit_s"]["sum"] > 0
    assert waiting["groups"]["q/work"]["dispatch_s"] is None
    for number, delivery in enumerate(worker.consume("work", credit=4), 1):
        worker.settle(delivery)
        if number == 30:
            break
    group = eventually(lambda: client.stats()["groups"]["q/work"])
    assert sum(group["dispatch_s"]["counts"]) == 30
    assert group["dispatch_s"]["sum"] > 0


def test_a_redelivery_is_no_dispatch(bus_home: BusHome) -> None:
    """Only the first time that an event is handed out tells how long it waited: later ones wait for a backoff."""
    bus_home.kill()
    bus_home.options = {"backoff_s": 0.01, "attempts_max": 5}
    bus_home.start()
    client, worker = bus_home.client(), bus_home.client(instance="worker-1")
    client.emit("demo.happened", to="work")
    for delivery in worker.consume("work"):
        if delivery.attempt < 3:
            worker.fail(delivery, "not yet")
        else:
            worker.settle(delivery)
            break
    assert sum(client.stats()["groups"]["q/work"]["dispatch_s"]["counts"]) == 1


def test_silence_is_told_of_those_that_work(bus_home: BusHome) -> None:
    """The bus tells for how long it has heard nothing of members and agents, and not of passing clients."""
    client, worker = bus_home.client(instance="passing"), bus_home.client(instance="worker-1")
    agent = bus_home.client(instance="agent-1", role="agent")
    worker.join("work")
    agent.head()
    stats = client.stats()
    assert stats["silent_s"].keys() == {"worker-1", "agent-1"}
    assert all(0 <= silence < 10 for silence in stats["silent_s"].values())
    assert stats["lease_s"] == 10.0


def test_random_batches_are_all_counted(bus_home: BusHome) -> None:
    """However appends come together in transactions, their events are all in the histogram."""
    client, chance = bus_home.client(), random.Random(1)
    total = 0
    for _ in range(40):
        count = chance.randint(1, 9)
        total += count
        client.emit_many([NewEvent(type="demo.happened") for _ in range(count)])
    stats = client.stats()
    assert stats["batch_events"]["sum"] == stats["events"] == total
