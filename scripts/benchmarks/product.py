"""The product's side of each benchmark: producer, consumer and group member, as a user would write them.

product.py producer|consumer|member HOME …
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from roles import percentile, say
from workload import ROUNDS_WARM, data, stream_of

from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.eventstore.event import new_event


def connect(home: Path, name: str) -> BusClient:
    """A client as any script's; `runtime` beside the home holds the sockets."""
    return BusClient(endpoints(home, home.parent / "r"), instance=name, timeout_s=120.0)


def producer(home: Path, count: int, window: int, stamp: bool) -> None:
    """Emit count events: each waited for where window is 1, else queued with a bound on what is under way."""
    with connect(home, "producer") as bus:
        say("ready")
        sys.stdin.readline()
        rounds, begun = [], time.time_ns()
        for n in range(count):
            start = time.perf_counter_ns()
            now = time.time_ns() if stamp else None
            if window == 1:
                bus.emit("bench.happened", data(n, now), stream=stream_of(n))
                rounds.append(time.perf_counter_ns() - start)
            else:
                bus.emit_soon(new_event("bench.happened", data(n, now), stream=stream_of(n)))
        bus.flush(600.0)
        say("done", begun, time.time_ns(), percentile(rounds[ROUNDS_WARM:] or [0], 0.5) / 1000)


def consumer(home: Path, total: int) -> None:
    """Watch every event under a durable name; report when all are here, and the latencies."""
    with connect(home, "consumer") as bus:
        latencies: list[int] = []
        watch = bus.watch("bench.happened", name="bench-consumer", after=0)
        say("ready")
        for event in watch:
            latencies.append(time.time_ns() - event.data["n"])
            if len(latencies) == total:
                break
        say("done", time.time_ns(), percentile(latencies[ROUNDS_WARM:], 0.5) / 1000)


def member(home: Path, name: str, credit: int) -> None:
    """Settle deliveries of one group, each with one result event, until terminated."""
    with connect(home, name) as bus:
        say("ready")
        for delivery in bus.consume("bench-group", "bench.happened", after=0, credit=credit):
            result = new_event("bench.handled", {"n": delivery.event.position}, stream=f"handled.{name}")
            bus.settle_soon(delivery, events=[result])


if __name__ == "__main__":
    role, place, *rest = sys.argv[1:]
    if role == "producer":
        producer(Path(place), int(rest[0]), int(rest[1]), stamp=rest[2] == "1")
    elif role == "consumer":
        consumer(Path(place), int(rest[0]))
    else:
        member(Path(place), rest[0], int(rest[1]))
