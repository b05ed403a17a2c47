"""The bus is killed with SIGKILL at random moments: nothing acknowledged is lost or doubled, for anybody."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from twelvefold.bus.client import BusClient
from twelvefold.eventstore.event import Event, new_event
from twelvefold.eventstore.integrity import verify_home

pytestmark = pytest.mark.e2e

KILLS = 50


class Load:
    """Producers, watchers and a group of workers, each with a client and a thread of its own."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.stopping = threading.Event()
        self.acked: list[Event] = []
        self.flushed = 0
        self.seen: dict[str, list[Event]] = {"ephemeral": [], "durable": []}
        self.settled: list[int] = []
        self.errors: list[BaseException] = []
        self.clients: list[BusClient] = []
        self.producers: list[threading.Thread] = []
        self.others: list[threading.Thread] = []

    def start(self) -> None:
        for name in ("a", "b"):
            self.producers.append(self._thread(self._emit, name))
        self.producers.append(self._thread(self._emit_soon))
        for kind, options in (("ephemeral", {"after": 0}), ("durable", {"name": "killed", "after": 0})):
            self.others.append(self._thread(self._watch, kind, options))
        for _ in range(2):
            self.others.append(self._thread(self._work))

    def _client(self) -> BusClient:
        client: BusClient = self.bus.client(timeout_s=120)
        self.clients.append(client)
        return client

    def _thread(self, target: Any, *arguments: Any) -> threading.Thread:
        client = self._client()

        def run() -> None:
            try:
                target(client, *arguments)
            except BaseException as error:
                self.errors.append(error)
                raise

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def _emit(self, client: BusClient, name: str) -> None:
        n = 0
        while not self.stopping.is_set():
            expected = {f"load.{name}": n}
            n += 1
            self.acked.append(client.emit("load.emitted", n, stream=f"load.{name}", expected_version=expected))

    def _emit_soon(self, client: BusClient) -> None:
        while not self.stopping.is_set():
            for _ in range(200):
                self.flushed += 1
                client.emit_soon(new_event("load.queued", self.flushed, stream="load.soon"))
            client.flush(120)

    def _watch(self, client: BusClient, kind: str, options: dict[str, Any]) -> None:
        for event in client.watch("load.*", **options):
            self.seen[kind].append(event)
            if event.type == "load.stopped":
                return

    def _work(self, client: BusClient) -> None:
        for delivery in client.consume("workers", "load.emitted", credit=2):
            client.settle(delivery, [new_event("work.done", delivery.event.position, cause=delivery.event.id)])
            self.settled.append(delivery.event.position)

    def finish(self) -> None:
        """Stop the producers, let everybody else catch up, and join all."""
        self.stopping.set()
        for thread in self.producers:
            thread.join(120)
        client = self.bus.client(timeout_s=60)
        client.emit("load.stopped", stream="load.end")
        wanted = len(self.acked)
        deadline = time.monotonic() + 120
        while len(self.settled) < wanted and time.monotonic() < deadline and not self.errors:
            time.sleep(0.02)
        for other in self.clients:
            other.stop()
        for thread in self.others:
            thread.join(120)


@pytest.mark.timeout(600)
def test_fifty_kills_under_load_lose_and_double_nothing(bus_home_stopped: Any) -> None:
    """After 50 SIGKILLs of the bus, log, watchers and group agree on every event, each there exactly once."""
    random.seed(12)
    bus_home = bus_home_stopped
    # Members without a supervisor, in a process that competes for two cores: no lease may run out.
    bus_home.options = {"lease_s": 120.0}
    bus_home.start()
    load = Load(bus_home)
    load.start()
    for _ in range(KILLS):
        threading.Event().wait(random.uniform(0.01, 0.2))
        bus_home.restart()
    load.finish()
    assert load.errors == []

    client = bus_home.client()
    log = list(client.read())
    assert [event.position for event in log] == list(range(1, len(log) + 1))
    versions: Counter[str] = Counter()
    for event in log:
        versions[event.stream] += 1
        assert event.version == versions[event.stream]
    by_position = {event.position: event for event in log}
    assert len(load.acked) > KILLS, "the load was too light to say anything"
    assert all(by_position[event.position] == event for event in load.acked)
    assert len({event.position for event in load.acked}) == len(load.acked)
    assert [event.data for event in log if event.type == "load.queued"] == list(range(1, load.flushed + 1))

    expected = [event.position for event in log if event.type.startswith("load.")]
    for kind, seen in load.seen.items():
        positions = [event.position for event in seen]
        assert all(before < after for before, after in pairwise(positions)), f"{kind}: one twice or out of order"
        assert positions == expected, kind

    done = Counter(event.data for event in log if event.type == "work.done")
    assert set(done.values()) == {1}, "an event was settled twice"
    assert sorted(done) == [event.position for event in log if event.type == "load.emitted"]
    bus_home.kill()
    assert verify_home(bus_home.home).head == len(log)
