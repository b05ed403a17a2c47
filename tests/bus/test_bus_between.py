"""What comes between two steps of the bus's protocols: a restart, a lost answer, another request of the same client."""

from __future__ import annotations

import asyncio
from typing import Any

from twelvefold.bus import wire
from twelvefold.bus.aio import AsyncBusClient
from twelvefold.bus.machine import Machine


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


def test_leaving_is_not_undone_by_an_answer_to_what_was_asked_before() -> None:
    """A look-ahead that is answered after the group was left does not bind the client again after a restart."""
    machine = Machine(
        instance="t", role="client", pid=1, supervised=False, nonce=b"n", fresh_ids=lambda count: [], now=0.0
    )
    machine.received(wire.encode(wire.Who(b"bus")), 0.0)
    machine.hello("", None)
    machine.received(wire.encode(wire.Welcome(b"bus", 1, 0, 10.0, 0)), 0.0)
    machine.holding.bind("work", "", 0, 1)
    machine.fill_out()
    machine.received(wire.encode(wire.Answer(1, "q/work")), 0.0)
    machine.holding.look_ahead("q/work", 4, recall=False)
    machine.fill_out()
    machine.holding.leave("q/work")
    machine.received(wire.encode(wire.Answer(2, "q/work")), 0.0)
    assert machine.holding.binds == {}
