"""An agent's own numbers: aggregated, from any thread, sampled only when they changed."""

from __future__ import annotations

import threading

import pytest

from twelvefold.agents.telemetry import AgentTelemetry


def test_counters_timers_and_gauges_are_aggregated() -> None:
    """Counters add up, timers keep count and extremes (of failing blocks too), gauges keep the last value."""
    telemetry = AgentTelemetry("fixer")
    telemetry.increment_counter("edits")
    telemetry.increment_counter("edits", 2)
    telemetry.gauge("depth", 3)
    telemetry.gauge("depth", 1.5)
    with telemetry.timer("edit"):
        pass
    with pytest.raises(ZeroDivisionError), telemetry.timer("edit"):
        _ = 1 / 0
    snapshot = telemetry.snapshot()
    assert snapshot["agent"] == "fixer"
    assert snapshot["counters"] == {"edits": 3}
    assert snapshot["gauges"] == {"depth": 1.5}
    timer = snapshot["timers"]["edit"]
    assert timer["count"] == 2
    assert 0 <= timer["min_s"] <= timer["max_s"] <= timer["total_s"]


def test_a_sample_is_taken_only_of_what_changed() -> None:
    """Two samples without a change between them are one."""
    telemetry = AgentTelemetry("fixer")
    assert telemetry.sample() is None
    telemetry.gauge("depth", 1)
    sample = telemetry.sample()
    assert sample is not None
    assert sample["gauges"] == {"depth": 1}
    assert telemetry.sample() is None


def test_no_increment_is_lost_between_threads() -> None:
    """Eight threads that count at once lose nothing."""
    telemetry = AgentTelemetry("fixer")

    def count() -> None:
        for _ in range(2000):
            telemetry.increment_counter("n")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert telemetry.snapshot()["counters"] == {"n": 16_000}
