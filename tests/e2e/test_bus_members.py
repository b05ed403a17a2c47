"""Members of groups that die, freeze or come back: a delivery never has two live holders, and is settled once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from twelvefold.bus.errors import StaleDelivery
from twelvefold.eventstore.event import new_event

pytestmark = pytest.mark.e2e

MEMBER = """
import json, sys
from pathlib import Path
from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.eventstore.event import new_event
home, runtime, instance, supervised = sys.argv[1:]
where = endpoints(Path(home), Path(runtime))
client = BusClient(where, instance=instance, supervised=supervised == "yes", timeout_s=60)
for delivery in client.consume("work"):
    print(json.dumps({"held": delivery.event.position, "attempt": delivery.attempt}), flush=True)
    command = sys.stdin.readline().strip()
    if command == "settle":
        try:
            client.settle(delivery, [new_event("work.done", instance)])
            print(json.dumps({"settled": True}), flush=True)
        except Exception as error:
            print(json.dumps({"error": type(error).__name__}), flush=True)
"""


class Member:
    """A member in a process of its own: says what it holds, and settles when told."""

    def __init__(self, bus: Any, instance: str, *, supervised: bool = False) -> None:
        self.instance = instance
        self.process = subprocess.Popen(
            [sys.executable, "-c", MEMBER, str(bus.home), str(bus.runtime), instance, "yes" if supervised else "no"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> dict[str, Any]:
        """Return the next thing it says."""
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return said

    def tell(self, command: str) -> None:
        """Send it a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Kill it."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class Supervisor:
    """The supervisor's side of the protocol: kills what the bus asks it to, and says who is gone."""

    def __init__(self, bus: Any) -> None:
        self.members: dict[str, Member] = {}
        self.killed: list[str] = []
        self.client = bus.client(role="supervisor", instance="up", living=lambda: list(self.members), timeout_s=60)
        self.thread = threading.Thread(target=lambda: self.client.run(on_kill=self._kill))
        self.thread.start()

    def start(self, bus: Any, instance: str) -> Member:
        """Start a member."""
        member = self.members[instance] = Member(bus, instance, supervised=True)
        self.client.started(instance)
        return member

    def _kill(self, instance: str, pid: int, reason: str) -> None:
        if instance in self.members:
            self.killed.append(instance)
            self.reap(instance)

    def reap(self, instance: str) -> None:
        """Kill a member, wait for it, and tell the bus."""
        member = self.members.pop(instance)
        member.end()
        self.client.gone(instance)

    def close(self) -> None:
        """Stop serving and end all members."""
        self.client.stop()
        self.thread.join()
        for member in self.members.values():
            member.end()


@pytest.fixture
def supervisor(bus_home_stopped: Any) -> Iterator[Supervisor]:
    """A supervisor on a bus with a short lease."""
    bus_home_stopped.options = {"lease_s": 1.0, "stop_timeout_s": 0.5}
    bus_home_stopped.start()
    found = Supervisor(bus_home_stopped)
    yield found
    found.close()


def test_a_killed_members_work_goes_to_another_at_once(bus_home_stopped: Any, supervisor: Supervisor) -> None:
    """When the supervisor says gone, the next member has the delivery, without waiting for any lease."""
    bus = bus_home_stopped
    first = supervisor.start(bus, "one")
    event = bus.client().emit("work.wanted", to="work")
    assert first.hear() == {"held": event.position, "attempt": 1}
    second = supervisor.start(bus, "two")
    supervisor.reap("one")
    assert second.hear() == {"held": event.position, "attempt": 2}
    second.tell("settle")
    assert second.hear() == {"settled": True}
    assert [found.data for found in bus.client().read(type="work.done")] == ["two"]


def test_work_whose_holders_die_one_after_another_pauses(bus_home_stopped: Any) -> None:
    """Work moves at once from the first that dies, later after a pause: a pool killed at one stroke doesn't park it."""
    bus = bus_home_stopped
    bus.options = {"attempts_max": 3, "backoff_s": 3600.0}
    bus.start()
    supervisor = Supervisor(bus)
    try:
        client = bus.client()
        event = client.emit("work.wanted", to="work")
        for attempt, instance in enumerate(("one", "two"), 1):
            member = supervisor.start(bus, instance)
            assert member.hear() == {"held": event.position, "attempt": attempt}
            supervisor.reap(instance)
        other = client.emit("work.wanted", to="work")
        assert supervisor.start(bus, "three").hear() == {"held": other.position, "attempt": 1}
        assert client.stats()["groups"]["q/work"]["waiting"] == 1
    finally:
        supervisor.close()


def test_a_frozen_member_is_killed_before_another_gets_its_work(bus_home_stopped: Any, supervisor: Supervisor) -> None:
    """SIGSTOP of a holder: the delivery moves only after the supervisor has killed it, so two never live with it."""
    bus = bus_home_stopped
    frozen = supervisor.start(bus, "frozen")
    event = bus.client().emit("work.wanted", to="work")
    assert frozen.hear()["held"] == event.position
    other = supervisor.start(bus, "other")
    os.kill(frozen.process.pid, signal.SIGSTOP)
    assert other.hear() == {"held": event.position, "attempt": 2}
    assert supervisor.killed == ["frozen"]
    assert frozen.process.poll() is not None, "two live holders"
    other.tell("settle")
    assert other.hear() == {"settled": True}


def test_a_frozen_member_keeps_its_work_while_the_supervisor_says_nothing(bus_home_stopped: Any) -> None:
    """Without the supervisor's word a supervised holder loses nothing, however long it is silent."""
    bus = bus_home_stopped
    bus.options = {"lease_s": 0.3}
    bus.start()
    deaf = bus.client(role="supervisor", instance="up", living=lambda: ["frozen"])
    deaf.head()
    frozen = Member(bus, "frozen", supervised=True)
    try:
        event = bus.client().emit("work.wanted", to="work")
        assert frozen.hear()["held"] == event.position
        os.kill(frozen.process.pid, signal.SIGSTOP)
        client = bus.client()
        deadline = time.monotonic() + 30
        while client.stats()["deliveries"]["kills_asked"] == 0:
            deaf.last_position("*")
            assert time.monotonic() < deadline
        assert client.stats()["groups"]["q/work"]["held"] == 1
        os.kill(frozen.process.pid, signal.SIGCONT)
        frozen.tell("settle")
        assert frozen.hear() == {"settled": True}
    finally:
        frozen.end()


def test_without_a_supervisor_the_lease_decides_and_a_late_settle_is_refused(bus_home_stopped: Any) -> None:
    """An unsupervised holder that is silent for a lease loses the delivery; what it sends later changes nothing."""
    bus = bus_home_stopped
    bus.options = {"lease_s": 0.5}
    bus.start()
    frozen, other = Member(bus, "frozen"), None
    try:
        event = bus.client().emit("work.wanted", to="work")
        assert frozen.hear()["held"] == event.position
        os.kill(frozen.process.pid, signal.SIGSTOP)
        other = Member(bus, "other")
        assert other.hear() == {"held": event.position, "attempt": 2}
        os.kill(frozen.process.pid, signal.SIGCONT)
        frozen.tell("settle")
        assert frozen.hear() == {"error": "StaleDelivery"}
        other.tell("settle")
        assert other.hear() == {"settled": True}
        assert [found.data for found in bus.client().read(type="work.done")] == ["other"]
    finally:
        frozen.end()
        if other is not None:
            other.end()


def test_a_member_keeps_its_delivery_over_a_restart_of_the_bus(bus_home_stopped: Any, supervisor: Supervisor) -> None:
    """After kill -9 of the bus the holder names what it holds and settles it; nobody else gets it meanwhile."""
    bus = bus_home_stopped
    holder = supervisor.start(bus, "holder")
    event = bus.client().emit("work.wanted", to="work")
    assert holder.hear()["held"] == event.position
    other = supervisor.start(bus, "other")
    bus.restart()
    # The second event proves that the other one is served again, and got this one, not the first.
    later = bus.client(timeout_s=60).emit("work.wanted", to="work")
    assert other.hear() == {"held": later.position, "attempt": 1}
    holder.tell("settle")
    assert holder.hear() == {"settled": True}


def test_older_work_waits_after_a_restart_until_its_holder_is_gone(bus_home_stopped: Any) -> None:
    """A holder that died with the bus is waited for: its work moves when the supervisor's hello leaves it out."""
    bus = bus_home_stopped
    bus.options = {"lease_s": 60.0}
    bus.start()
    first = Supervisor(bus)
    try:
        lost = first.start(bus, "lost")
        event = bus.client().emit("work.wanted", to="work")
        assert lost.hear()["held"] == event.position
        bus.kill()
        first.members.pop("lost").end()
        bus.start()
        other = first.start(bus, "other")
        assert other.hear()["held"] == event.position
    finally:
        first.close()


def test_a_member_frozen_before_a_restart_is_killed_instead_of_holding_up_older_work(
    bus_home_stopped: Any, supervisor: Supervisor
) -> None:
    """A holder that lives but never answers the restarted bus is killed after a lease, and its work moves then."""
    bus = bus_home_stopped
    frozen = supervisor.start(bus, "frozen")
    event = bus.client().emit("work.wanted", to="work")
    assert frozen.hear()["held"] == event.position
    os.kill(frozen.process.pid, signal.SIGSTOP)
    bus.restart()
    other = supervisor.start(bus, "other")
    assert other.hear()["held"] == event.position
    assert supervisor.killed == ["frozen"]


def test_withdrawn_work_is_dropped_or_its_holder_told(bus_home_stopped: Any, supervisor: Supervisor) -> None:
    """A withdrawal ends waiting and held deliveries at once; the settle of a holder is refused."""
    bus = bus_home_stopped
    orchestrator = bus.client(role="orchestrator", instance="orchestrator")
    worker = bus.client(instance="worker")
    held = orchestrator.emit("work.wanted", 1, to="work")
    waiting = orchestrator.emit("work.wanted", 2, to="work")
    third = orchestrator.emit("work.wanted", 3, to="work")
    deliveries = worker.consume("work")
    delivery = next(deliveries)
    assert delivery.event == held
    (cancelled,) = orchestrator.withdraw([held.id, waiting.id], [new_event("work.cancelled", stream="work.all")])
    assert cancelled.type == "work.cancelled"
    with pytest.raises(StaleDelivery):
        worker.settle(delivery, [new_event("work.done")])
    assert next(deliveries).event == third
    assert list(worker.read(type="work.done")) == []


def test_a_handler_that_does_not_stop_is_killed(bus_home_stopped: Any, supervisor: Supervisor) -> None:
    """A withdrawn delivery whose handler doesn't return within stop_timeout_s costs its process, by the supervisor."""
    bus = bus_home_stopped
    member = supervisor.start(bus, "stubborn")
    orchestrator = bus.client(role="orchestrator", instance="orchestrator")
    event = orchestrator.emit("work.wanted", to="work")
    assert member.hear()["held"] == event.position
    orchestrator.withdraw([event.id])
    member.process.wait(30)
    assert supervisor.killed == ["stubborn"]


def test_a_failing_delivery_is_parked_after_its_attempts(bus_home_stopped: Any) -> None:
    """After attempts_max failures the delivery is parked by an event in group.<name>, and the next ones pass."""
    bus = bus_home_stopped
    bus.options = {"attempts_max": 3, "backoff_s": 0.01}
    bus.start()
    client = bus.client()
    poison = client.emit("work.wanted", "poison", to="work")
    good = client.emit("work.wanted", "good", to="work")
    attempts = []
    for delivery in client.consume("work"):
        if delivery.event == poison:
            attempts.append(delivery.attempt)
            client.fail(delivery, "cannot digest")
        else:
            assert delivery.event == good
            client.settle(delivery)
        if len(attempts) == 3:
            break
    (parked,) = client.read(type="delivery.parked")
    assert attempts == [1, 2, 3]
    assert (parked.stream, parked.source, parked.cause) == ("group.work", "bus", poison.id)
    assert (parked.data["attempts"], parked.data["error"]) == (3, "cannot digest")
