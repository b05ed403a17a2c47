"""Old payload schemas over the bus: lifted in what is read, watched and delivered; a failing step is told, not lost."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

import pytest

from twelvefold.bus.aio import AsyncBusClient
from twelvefold.eventstore.errors import UpcastFailed
from twelvefold.eventstore.upcast import Upcasters


def name_the_unit() -> Upcasters:
    """Lift `demo.waited` from schema 1 to 2."""
    registry = Upcasters()

    @registry.step("demo.waited", 1)
    def name_the_unit(data: Any) -> Any:
        return {"timeout_s": data["timeout"]}

    return registry


def test_events_are_lifted_however_they_come_and_stay_stored(bus_home: Any) -> None:
    """By page, by hint, by delivery, to a blocking and an asyncio client; one without upcasters sees what is stored."""
    plain, lifting = bus_home.client(), bus_home.client(upcasters=name_the_unit())
    watch = iter(lifting.watch("demo.*", after=0))
    for n in range(2):
        plain.emit("demo.waited", {"timeout": n}, to="waiter")
        event = next(watch)
        assert (event.schema, event.data) == (2, {"timeout_s": n})
    assert [event.data for event in lifting.read(type="demo.*")] == [{"timeout_s": 0}, {"timeout_s": 1}]
    stored = list(plain.read(type="demo.*"))
    assert [(event.schema, event.data) for event in stored] == [(1, {"timeout": 0}), (1, {"timeout": 1})]
    for n, delivery in enumerate(islice(lifting.consume("waiter"), 2)):
        assert delivery.event.data == {"timeout_s": n}
        lifting.settle(delivery)

    async def read() -> list[Any]:
        async with AsyncBusClient(bus_home.endpoints, upcasters=name_the_unit()) as client:
            return [event.data async for event in client.read(type="demo.*")]

    assert asyncio.run(read()) == [{"timeout_s": 0}, {"timeout_s": 1}]


def test_a_step_that_fails_is_told_and_loses_nothing(bus_home: Any) -> None:
    """A read and a watch raise what failed where; a delivery goes back as failed, and a mended member gets it."""
    plain, lifting = bus_home.client(), bus_home.client(upcasters=name_the_unit(), timeout_s=20.0)
    watch = iter(lifting.watch("demo.*"))
    position = plain.emit("demo.waited", {"no": "timeout"}, to="waiter").position
    for ask in (lambda: list(lifting.read(type="demo.*")), lambda: next(watch)):
        with pytest.raises(UpcastFailed, match="timeout") as caught:
            ask()
        assert (caught.value.position, caught.value.schema) == (position, 1)
    plain.emit("demo.waited", {"timeout": 3}, to="waiter")
    members = lifting.consume("waiter")
    delivery = next(iter(members))
    assert delivery.event.data == {"timeout_s": 3}
    lifting.settle(delivery)
    lifting.close()
    (delivery,) = islice(plain.consume("waiter"), 1)
    assert delivery.event.position == position
    assert delivery.attempt > 1
