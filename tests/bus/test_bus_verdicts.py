"""What the bus decides where messages cross, get lost or lie: spoken by a peer that sends exactly what it wants."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from tests.conftest import eventually
from twelvefold.bus import publish, wire
from twelvefold.bus.client import BusClient
from twelvefold.bus.hint import decode_hint
from twelvefold.bus.keys import key_path, read_key
from twelvefold.bus.machine import Machine
from twelvefold.bus.publish import Publisher
from twelvefold.eventstore.event import NewEvent
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.eventstore.storage_errors import StorageFull

RUN = "0" * 31 + "1"
SMALL_BUS = """
import sys
from pathlib import Path
from twelvefold.bus.broker import Options
from twelvefold.bus.endpoints import endpoints
from twelvefold.bus.process import main
home, runtime = map(Path, sys.argv[1:])
options = Options(attempts_max=1, backoff_s=3600.0)
main(home, endpoints(home, runtime), options=options, page_count_max=120, ready=lambda: print("ready", flush=True))
"""


class Peer:
    """One peer of the bus, without any of the client's wisdom."""

    def __init__(self, bus: Any, context: zmq.Context[Any], role: str = "client") -> None:
        self.secret = read_key(key_path(bus.home, role))
        self.role = role
        self.instance = f"peer-{role}"
        self.dealer = context.socket(zmq.DEALER)
        self.dealer.set(zmq.RCVTIMEO, 30_000)
        self.dealer.connect(bus.endpoints.ingress)
        self.greet()

    def greet(self, holds: list[wire.Held] | None = None) -> None:
        """Say hello, as a peer that knows of these deliveries, and a member of the queue `work`."""
        bind = wire.Bind(7, "work", "", 0, 1)
        self.say(wire.Hello(1, 0, self.instance, self.role, self.secret, 1, False, None, holds or [], [bind]))

    def say(self, message: Any) -> None:
        """Send one message."""
        self.dealer.send(wire.encode(message))

    def hear(self, kind: type, fits: Callable[[Any], bool] = lambda message: True) -> Any:
        """Return the next message of a kind, passing over others."""
        while True:
            message = wire.decode_bus_message(self.dealer.recv())
            if isinstance(message, kind) and fits(message):
                return message

    def held(self) -> wire.Delivery:
        """Return the next delivery."""
        while True:
            found = self.hear(wire.Acks | wire.Deliver)  # type: ignore[arg-type]
            if found.deliveries:
                delivery: wire.Delivery = found.deliveries[0]
                return delivery


@pytest.fixture
def meet(bus_home: Any) -> Iterator[Callable[..., Peer]]:
    """Makes peers."""
    context: zmq.Context[Any] = zmq.Context()
    peers: list[Peer] = []

    def make(role: str = "client") -> Peer:
        peers.append(Peer(bus_home, context, role))
        return peers[-1]

    yield make
    context.destroy(linger=0)


def with_id(type: str, number: int, **fields: Any) -> NewEvent:
    return NewEvent(type=type, payload="null", id=bytes(15) + bytes([number]), **fields)


def test_a_settle_in_the_same_message_as_its_withdrawal_is_refused(bus_home: Any, meet: Any) -> None:
    """Where both would be committed together, the one that came first holds, and the other leaves nothing."""
    peer = meet("orchestrator")
    event = bus_home.client().emit("work.wanted", to="work")
    delivery = peer.held()
    withdrawing = wire.Request(1, [with_id("work.cancelled", 1)], withdraw=[event.id])
    settling = wire.Request(2, [with_id("work.done", 2)], settle=delivery.held)
    peer.say(wire.Post([withdrawing, settling]))
    assert peer.hear(wire.Refusal).code == "E207"
    types = [found.type for found in bus_home.client().read()]
    assert "work.cancelled" in types
    assert "work.done" not in types


def test_a_settle_closes_its_tasks_stream_to_what_comes_with_it(bus_home: Any, meet: Any) -> None:
    """A task's event after the outcome is refused, also where both came in one message; before it, it is taken."""
    orchestrator = bus_home.client(role="orchestrator")
    orchestrator.emit("task.requested", {"path": "0"}, stream=f"run.{RUN}", run=RUN, to="work")
    peer = meet()
    delivery = peer.held()
    before, outcome, after = (
        with_id(f"task.{what}", number, stream=f"task.{RUN}.0", run=RUN)
        for number, what in enumerate(("started", "succeeded", "progressed"))
    )
    settling = wire.Request(2, [outcome], settle=delivery.held)
    peer.say(wire.Post([wire.Request(1, [before]), settling, wire.Request(3, [after])]))
    refusal = peer.hear(wire.Refusal)
    assert (refusal.seq, refusal.code) == (3, "E205")
    types = [found.type for found in orchestrator.read(stream=f"task.{RUN}.0")]
    assert types == ["task.started", "task.succeeded"]


def test_a_membership_that_could_not_be_recorded_is_asked_for_again() -> None:
    """The refusal of a hello's binding (a full disk, say) is said, and forgotten once a later hello succeeds."""
    machine = Machine(
        instance="t", role="client", pid=1, supervised=False, nonce=b"n", fresh_ids=lambda count: [], now=0.0
    )
    welcome = wire.encode(wire.Welcome(b"bus", 1, 0, 10.0, 0))
    machine.received(wire.encode(wire.Who(b"bus")), 0.0)
    machine.hello("", None)
    machine.received(welcome, 0.0)
    machine.received(wire.encode(wire.refusal(0, StorageFull("log.db", 0))), 0.0)
    assert isinstance(machine.failure, StorageFull)
    machine.tick(60.0)
    assert machine.hello_due
    machine.hello("", None)
    machine.received(welcome, 60.0)
    assert machine.failure is None
    assert machine.greeted


def test_a_delivery_that_cannot_be_parked_is_not_stuck_with_its_holder(bus_home_stopped: Any) -> None:
    """On a full disk the last failure is refused, and the delivery waits to be handed out again."""
    bus = bus_home_stopped
    command = [sys.executable, "-c", SMALL_BUS, str(bus.home), str(bus.runtime)]
    bus.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert bus.process.stdout.readline() == "ready\n"
    client, other = bus.client(), bus.client()
    client.emit("work.wanted", to="work")
    first = next(client.consume("work"))
    with pytest.raises(StorageFull):
        for _ in range(100_000):
            other.emit("filling.went_on", "x" * 2000)
    with pytest.raises(StorageFull):
        # Small events may still fit; what a parking says of the error doesn't.
        client.fail(first, "x" * 4000)
    group = other.stats()["groups"]["q/work"]
    assert (group["held"], group["waiting"]) == (0, 1)


def test_an_answer_to_a_withdrawal_that_got_lost_is_asked_for_again(bus_home: Any, meet: Any) -> None:
    """A member whose connection broke down meanwhile is told again, so its credit comes back when it answers."""
    peer = meet()
    orchestrator = bus_home.client(role="orchestrator")
    event = orchestrator.emit("work.wanted", to="work")
    delivery = peer.held()
    orchestrator.withdraw([event.id])
    assert peer.hear(wire.Withdrawn).held == delivery.held
    # As after a new connection: what was said before may have been lost.
    peer.dealer.send(b"")
    peer.hear(wire.Who)
    peer.greet()
    assert peer.hear(wire.Withdrawn).held == delivery.held
    peer.say(wire.Freed(delivery.held))
    following = orchestrator.emit("work.wanted", to="work")
    assert peer.held().event == following
    assert [found.cause for found in orchestrator.read(type="delivery.withdrawn")] == [event.id]


def withdrawals(orchestrator: BusClient) -> list[bytes | None]:
    return [found.cause for found in orchestrator.read(type="delivery.withdrawn")]


def test_withdrawn_work_that_outlives_the_bus_is_released_when_it_returns(bus_home: Any, meet: Any) -> None:
    """Who says after a restart that withdrawn work is still in its hands is busy with it, and heard when it is not."""
    peer = meet()
    orchestrator = bus_home.client(role="orchestrator")
    event = orchestrator.emit("work.wanted", to="work")
    delivery = peer.held()
    orchestrator.withdraw([event.id])
    bus_home.restart()
    peer.greet([delivery.held])
    assert peer.hear(wire.Withdrawn).held == delivery.held
    following = orchestrator.emit("work.wanted", to="work")
    group = orchestrator.stats()["groups"]["q/work"]
    assert (group["held"], group["waiting"], withdrawals(orchestrator)) == (0, 1, [])
    peer.say(wire.Freed(delivery.held))
    assert peer.held().event == following
    assert withdrawals(orchestrator) == [event.id]


def test_withdrawn_work_whose_release_got_lost_with_the_bus_is_released(bus_home: Any, meet: Any) -> None:
    """Nobody has it in their hands after a restart, so that whoever waits for the release goes on; it is said once."""
    peer = meet()
    orchestrator = bus_home.client(role="orchestrator")
    event = orchestrator.emit("work.wanted", to="work")
    peer.held()
    orchestrator.withdraw([event.id])
    for _ in range(2):
        bus_home.restart()
        peer.greet()
        eventually(lambda: withdrawals(orchestrator) == [event.id])


def test_withdrawn_work_whose_holder_dies_after_a_restart_is_released(bus_home: Any, meet: Any) -> None:
    """The end of the process is the release."""
    peer = meet()
    orchestrator = bus_home.client(role="orchestrator")
    supervisor = bus_home.client(role="supervisor", living=lambda: [peer.instance])
    event = orchestrator.emit("work.wanted", to="work")
    delivery = peer.held()
    orchestrator.withdraw([event.id])
    bus_home.restart()
    peer.greet([delivery.held])
    peer.hear(wire.Withdrawn)
    assert withdrawals(orchestrator) == []
    supervisor.gone(peer.instance)
    eventually(lambda: withdrawals(orchestrator) == [event.id])


def test_the_position_of_a_watch_carries_no_other_events(bus_home: Any, meet: Any) -> None:
    """What an append may not do isn't possible along with a watch's position either."""
    peer = meet()
    bus_home.client().emit("run.requested", stream=f"run.{RUN}", run=RUN)
    again = with_id("run.requested", 1, stream=f"run.{RUN}", run=RUN)
    for number, event in enumerate((again, with_id("demo.happened", 2), with_id("watch.parked", 3, stream="group.a"))):
        peer.say(wire.Keep(number, "reader", "demo.*", 1, [event]))
        assert peer.hear(wire.Refusal).code == "E213"
    assert bus_home.client().head() == 1


def test_a_watch_cannot_begin_before_the_log(bus_home: Any, meet: Any) -> None:
    """A position that makes no sense is refused, not stored under the watch's name."""
    peer = meet()
    for seq, message in enumerate((wire.OpenWatch(0, "reader", "demo.*", -1), wire.Keep(1, "reader", "demo.*", -1))):
        peer.say(message)
        assert peer.hear(wire.Refusal).seq == seq
    assert bus_home.client().watch("demo.*", name="reader", after=0).take(0.0) == []


def test_an_instance_is_waited_for_as_long_as_one_incarnation_of_it_is_a_member(bus_home: Any) -> None:
    """The end of an older process of the same name doesn't make a restarted bus forget the newer one."""
    older, newer, other = (bus_home.client(instance=name, timeout_s=60) for name in ("twin", "twin", "other"))
    older.join("work")
    newer.join("work")
    older.close()
    other.stats()
    bus_home.restart()
    # The newer one doesn't answer by itself, as nothing drives it.
    assert other.stats()["awaited"] == ["twin"]
    assert newer.head() == 0
    assert other.stats()["awaited"] == []


def test_two_groups_each_get_every_event_from_their_start(bus_home: Any) -> None:
    """Groups over the same events know nothing of each other, and begin where each was bound."""
    client = bus_home.client()
    for n in range(6):
        client.emit("demo.happened", n)
    got: dict[str, list[int]] = {}

    def consume(group: str, after: int, member: BusClient) -> None:
        for delivery in member.consume(group, "demo.*", after=after, credit=2):
            got.setdefault(group, []).append(delivery.event.data)
            member.settle(delivery)
            if len(got[group]) == 6 - after:
                return

    threads = [
        threading.Thread(target=consume, args=(group, after, bus_home.client()))
        for group, after in (("early", 0), ("late", 4))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == {"early": [0, 1, 2, 3, 4, 5], "late": [4, 5]}


def test_more_types_than_are_remembered_leave_no_unnoticed_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hint after an event of a type beyond the bound names that event as the one before it, under wider prefixes."""
    monkeypatch.setattr(publish, "TYPES_MAX", 1)
    context: zmq.Context[Any] = zmq.Context()
    out, sub = context.socket(zmq.XPUB), context.socket(zmq.SUB)
    try:
        out.bind("inproc://hints")
        sub.connect("inproc://hints")
        sub.set(zmq.RCVTIMEO, 30_000)
        sub.set(zmq.SUBSCRIBE, b"")
        log = MemoryLog()
        publisher = Publisher(out, log, 1)
        assert out.poll(30_000)
        publisher.subscriptions()
        previous = []
        for type in ("demo.known", "demo.other", "demo.known"):
            publisher.learn({type})
            appended = log.append(Append(events=[with_id(type, len(previous))]))
            publisher.publish(appended.events)
            previous.append(decode_hint(sub.recv_multipart()[1]).previous)
        assert previous[2] == [2, 2, 1]
    finally:
        context.destroy(linger=0)
