"""What comes between two steps of the bus's protocols: a restart, a lost answer, another request of the same client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.bus.test_bus_verdicts import Peer, meet, withdrawals
from tests.conftest import eventually
from twelvefold.bus import wire
from twelvefold.bus.aio import AsyncBusClient
from twelvefold.bus.errors import WatchConflict
from twelvefold.bus.machine import Machine
from twelvefold.eventstore.event import Event, NewEvent
from twelvefold.eventstore.storage_errors import StorageFull

__all__ = ["meet"]


def greeted() -> Machine:
    """Return the state of a client whose hello was taken."""
    machine = Machine(
        instance="t", role="client", pid=1, supervised=False, nonce=b"n", fresh_ids=lambda count: [], now=0.0
    )
    machine.received(wire.encode(wire.Who(b"bus")), 0.0)
    machine.hello("", None)
    machine.received(wire.encode(wire.Welcome(b"bus", 1, 0, 10.0, 0)), 0.0)
    return machine


def sent(machine: Machine, kind: type) -> list[Any]:
    """Return the messages of a kind that go out now."""
    machine.fill_out()
    messages = [wire.decode_client_message(frame) for frame in machine.out]
    machine.out.clear()
    return [message for message in messages if isinstance(message, kind)]


def test_a_consumer_that_begins_while_another_one_ends_stays_a_member(bus_home: Any) -> None:
    """An asynchronous iteration that was broken off ends a moment later, when the next one has begun to bind."""

    async def work() -> list[Any]:
        found = []
        async with AsyncBusClient(bus_home.endpoints) as client:
            for number in range(5):
                await client.emit("work.wanted", number, to="work")
            for _ in range(5):
                async for delivery in client.consume("work"):
                    found.append(delivery.event.data)
                    await client.settle(delivery)
                    break
        return found

    assert asyncio.run(asyncio.wait_for(work(), 30)) == list(range(5))


def test_work_withdrawn_after_a_restart_is_not_released_before_its_holder_answers(bus_home: Any, meet: Any) -> None:
    """Who asks for the withdrawal may be back before the member is, whose handler is still at work."""
    peer: Peer = meet()
    orchestrator = bus_home.client(role="orchestrator")
    event = orchestrator.emit("work.wanted", to="work")
    delivery = peer.held()
    bus_home.restart()
    orchestrator.withdraw([event.id])
    assert withdrawals(orchestrator) == []
    peer.greet([delivery.held])
    assert peer.hear(wire.Withdrawn).held == delivery.held
    assert withdrawals(orchestrator) == []
    peer.say(wire.Freed(delivery.held))
    eventually(lambda: withdrawals(orchestrator) == [event.id])
    (released,) = orchestrator.read(type="delivery.withdrawn")
    assert released.data["delivered"]


def test_work_of_before_a_restart_counts_as_begun_where_nobody_knows(bus_home: Any, meet: Any) -> None:
    """Its holder may have died along with the bus: who undoes what was withdrawn must undo a half-done step too."""
    peer: Peer = meet()
    orchestrator = bus_home.client(role="orchestrator")
    supervisor = bus_home.client(role="supervisor", living=list)
    event = orchestrator.emit("work.wanted", to="work")
    peer.held()
    bus_home.restart()
    supervisor.gone(peer.instance)
    orchestrator.withdraw([event.id])
    (released,) = orchestrator.read(type="delivery.withdrawn")
    assert released.data["delivered"]


def test_what_is_withdrawn_from_two_hands_is_released_by_the_last(bus_home: Any, meet: Any) -> None:
    """A holder that was taken for dead and comes back is waited for like the one that has got its work."""
    slow: Peer = meet()
    orchestrator = bus_home.client(role="orchestrator")
    event = orchestrator.emit("work.wanted", to="work")
    lost = slow.held()
    quick: Peer = meet()
    quick.hear(wire.Answer)
    slow.dealer.send(b"")
    slow.hear(wire.Who)
    slow.greet()
    moved = quick.held()
    orchestrator.withdraw([event.id])
    assert quick.hear(wire.Withdrawn).held == moved.held
    slow.dealer.send(b"")
    slow.hear(wire.Who)
    slow.greet([lost.held])
    assert slow.hear(wire.Withdrawn).held == lost.held
    slow.say(wire.Freed(lost.held))
    orchestrator.stats()
    assert withdrawals(orchestrator) == []
    quick.say(wire.Freed(moved.held))
    eventually(lambda: withdrawals(orchestrator) == [event.id])


def test_a_member_that_left_before_it_ended_is_not_waited_for(bus_home: Any) -> None:
    """A restarted bus asks for nobody who has said goodbye."""
    client, other = bus_home.client(instance="leaver"), bus_home.client()
    client.emit("work.wanted", to="work")
    for delivery in client.consume("work"):
        client.settle(delivery)
        break
    client.close()
    other.stats()
    bus_home.restart()
    assert other.stats()["awaited"] == []


def test_a_member_that_never_came_back_is_waited_for_once(bus_home: Any, meet: Any) -> None:
    """Who ended while the bus was away is forgotten, so that the next start doesn't wait for it again."""
    peer: Peer = meet()
    supervisor = bus_home.client(role="supervisor", living=lambda: [peer.instance])
    peer.hear(wire.Answer)
    bus_home.restart()
    assert supervisor.stats()["awaited"] == [peer.instance]
    supervisor.gone(peer.instance)
    bus_home.restart()
    assert supervisor.stats()["awaited"] == []


def test_leaving_is_not_undone_by_an_answer_to_what_was_asked_before() -> None:
    """A look-ahead that is answered after the group was left does not bind the client again after a restart."""
    machine = greeted()
    machine.holding.bind("work", "", 0, 1)
    machine.fill_out()
    machine.received(wire.encode(wire.Answer(1, "q/work")), 0.0)
    machine.holding.look_ahead("q/work", 4, recall=False)
    machine.fill_out()
    machine.holding.leave("q/work")
    machine.received(wire.encode(wire.Answer(2, "q/work")), 0.0)
    assert machine.holding.binds == {}


def test_what_was_asked_back_in_vain_is_asked_for_again(bus_home: Any, meet: Any) -> None:
    """A question that got lost with a connection doesn't leave work in busy hands while another member is idle."""
    peer: Peer = meet()
    peer.say(wire.Bind(8, "work", "", 0, 1, 1, False, True))
    peer.hear(wire.Answer, lambda answer: answer.seq == 8)
    client, other = bus_home.client(), bus_home.client()
    for _ in range(2):
        client.emit("work.wanted", to="work")
    first, second = peer.held(), peer.held()
    other.join("work")
    assert peer.hear(wire.Recall).held == second.held
    peer.dealer.send(b"")
    peer.hear(wire.Who)
    bind = wire.Bind(9, "work", "", 0, 1, 1, False, True)
    peer.say(wire.Hello(1, 0, peer.instance, peer.role, peer.secret, 1, False, None, [first.held, second.held], [bind]))
    assert peer.hear(wire.Recall).held == second.held


def test_a_position_kept_meanwhile_passes_over_nothing_that_could_not_be_parked() -> None:
    """The answer to an earlier position comes between a parking and its refusal, on a disk that is full."""
    machine = greeted()
    watch = machine.watching.watch("demo.*", "reader", 0)
    (opening,) = sent(machine, wire.OpenWatch)
    machine.received(wire.encode(wire.Answer(opening.seq, 0)), 0.0)
    watch.keep(1)
    (keep,) = sent(machine, wire.Keep)
    watch.park(2, NewEvent(type="watch.parked", payload="null", id=bytes(16)))
    (parking,) = sent(machine, wire.Keep)
    machine.received(wire.encode(wire.Answer(keep.seq, 1)), 0.0)
    machine.received(wire.encode(wire.refusal(parking.seq, StorageFull("log.db", 0))), 0.0)
    assert sent(machine, wire.Keep) == []
    watch.park(2, NewEvent(type="watch.parked", payload="null", id=bytes(16)))
    (parking,) = sent(machine, wire.Keep)
    machine.received(wire.encode(wire.Answer(parking.seq, 2)), 0.0)
    watch.keep(2)
    assert sent(machine, wire.Keep) == []


def test_an_event_whose_handler_ended_its_watch_and_failed_comes_again(bus_home: Any) -> None:
    """The position of a durable watch stays before what nobody has handled, also where no next attempt follows."""

    async def work() -> list[int]:
        seen: list[int] = []
        async with AsyncBusClient(bus_home.endpoints) as client:

            async def fail(event: Event) -> None:
                seen.append(event.position)
                await failing.close()
                raise ValueError("not now")

            failing = client.watch("demo.*", fail, name="reader", after=0)
            await failing.opened()
            await client.emit("demo.happened")
            assert failing.task is not None
            await failing.task
            async for event in client.watch("demo.*", name="reader"):
                return [*seen, event.position]
        return seen

    assert asyncio.run(asyncio.wait_for(work(), 30)) == [1, 1]


def test_two_watches_of_one_name_in_one_message_are_judged_one_after_the_other(bus_home: Any) -> None:
    """The name is bound to the first one's pattern, though both come before anything is committed."""

    async def work() -> None:
        async with AsyncBusClient(bus_home.endpoints) as client:
            await client.stats()
            first, second = (client.watch(pattern, name="reader", after=0) for pattern in ("demo.*", "work.*"))
            await first.opened()
            with pytest.raises(WatchConflict):
                await second.opened()

    asyncio.run(asyncio.wait_for(work(), 30))
