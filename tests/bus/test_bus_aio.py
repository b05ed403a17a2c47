"""The asyncio client against a real bus: the same promises as the blocking one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from twelvefold.bus.aio import AsyncBusClient
from twelvefold.bus.errors import BusNotRunning, ReservedFamily, WatchConflict
from twelvefold.eventstore.errors import VersionConflict
from twelvefold.eventstore.event import Event, new_event


def run(bus: Any, work: Callable[[AsyncBusClient], Awaitable[None]], **options: Any) -> None:
    """Run a coroutine with a client."""

    async def main() -> None:
        async with AsyncBusClient(bus.endpoints, **options) as client, asyncio.timeout(60):
            await work(client)

    asyncio.run(main())


def test_concurrent_emits_share_messages_and_keep_their_results(bus_home: Any) -> None:
    """A thousand emits at once each get their own event back."""

    async def work(client: AsyncBusClient) -> None:
        events = await asyncio.gather(*[client.emit("demo.happened", n, stream="demo.1") for n in range(1000)])
        assert [event.data for event in events] == list(range(1000))
        assert [event.version for event in events] == list(range(1, 1001))
        assert (await client.stats())["commits"] < 200
        with pytest.raises(VersionConflict):
            await client.emit("demo.happened", stream="demo.1", expected_version={"demo.1": 3})

    run(bus_home, work)


def test_read_watch_and_flush(bus_home: Any) -> None:
    """What was emitted soon is read and watched, in order."""

    async def work(client: AsyncBusClient) -> None:
        watch = client.watch("demo.*")
        await watch.opened()
        for n in range(3000):
            await client.emit_soon(new_event("demo.happened", n))
        await client.flush()
        assert [event.data async for event in client.read(type="demo.*")] == list(range(3000))
        seen = 0
        async for event in watch:
            assert event.data == seen
            seen += 1
            if seen == 3000:
                break

    run(bus_home, work)


def test_consume_and_settle(bus_home: Any) -> None:
    """Deliveries of a group come once and are settled with their results."""

    async def work(client: AsyncBusClient) -> None:
        for n in range(5):
            await client.emit("work.wanted", n)
        count = 0
        async for delivery in client.consume("workers", "work.wanted", after=0, credit=2):
            assert delivery.event.data == count
            (result,) = await client.settle(delivery, [new_event("work.done", count)])
            assert result.data == count
            count += 1
            if count == 5:
                break

    run(bus_home, work)


def test_handlers_may_be_coroutines_and_failures_are_parked(bus_home: Any) -> None:
    """An async handler is awaited, retried and, in the end, its event parked."""

    async def work(client: AsyncBusClient) -> None:
        seen: list[Any] = []
        done = asyncio.Event()

        async def handle(event: Event) -> None:
            await asyncio.sleep(0)
            seen.append(event.data)
            if event.data == "poison":
                raise ValueError("cannot digest")
            if event.data == "end":
                done.set()

        watch = client.watch("demo.*", handle, name="fragile")
        await watch.opened()
        for data in ("good", "poison", "end"):
            await client.emit("demo.happened", data)
        await done.wait()
        assert seen == ["good"] + ["poison"] * 5 + ["end"]
        assert [event.data["attempts"] async for event in client.read(type="watch.parked")] == [5]
        await client.unwatch("demo.*", handle)
        with pytest.raises(WatchConflict):
            await client.watch("other.*", name="fragile").opened()

    run(bus_home, work)


def test_it_survives_a_restart_of_the_bus(bus_home: Any) -> None:
    """Emits under way while the bus is killed end well, each once."""

    async def work(client: AsyncBusClient) -> None:
        await client.emit("demo.happened", -1)
        emits = [asyncio.create_task(client.emit("demo.happened", n)) for n in range(200)]
        await asyncio.sleep(0)
        await asyncio.to_thread(bus_home.restart)
        events = await asyncio.gather(*emits)
        assert len({event.position for event in events}) == 200
        assert [event.position async for event in client.read()] == list(range(1, 202))

    run(bus_home, work, timeout_s=60)


def test_no_bus_is_an_error(bus_home_stopped: Any) -> None:
    """Without a bus, emit says so after its time is over."""

    async def work(client: AsyncBusClient) -> None:
        with pytest.raises(BusNotRunning):
            await client.emit("demo.happened", timeout_s=0.2)

    run(bus_home_stopped, work)


def test_leaving_a_block_flushes(bus_home: Any) -> None:
    """What was queued is in the log once its block has been left, and a refusal comes up then."""

    async def queue(type: str) -> None:
        async with AsyncBusClient(bus_home.endpoints) as client:
            await client.emit_soon(new_event(type))

    asyncio.run(queue("demo.happened"))
    assert [event.type for event in bus_home.client().read()] == ["demo.happened"]
    with pytest.raises(ReservedFamily):
        asyncio.run(queue("run.started"))
