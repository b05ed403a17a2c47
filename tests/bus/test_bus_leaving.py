"""Iterations that end early, clients that are cancelled, closed or forked: nothing that was handed over is lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from itertools import islice
from typing import Any

import pytest

from twelvefold.bus.aio import AsyncBusClient
from twelvefold.bus.client import BusClient
from twelvefold.bus.errors import ClientClosed
from twelvefold.eventstore.event import Event, new_event

WAIT_S = 60.0


def eventually(check: Any) -> Any:
    """Return the first true value of check()."""
    pause = threading.Event()
    for _ in range(6000):
        value = check()
        if value:
            return value
        pause.wait(0.01)
    pytest.fail("never came true")


def test_what_was_not_yielded_goes_to_another_member_at_once(bus_home: Any) -> None:
    """A consumer with credit that breaks off keeps what it took, and gives the rest back uncounted."""
    client, other = bus_home.client(), bus_home.client()
    for n in range(4):
        client.emit("work.wanted", n, to="work")
    deliveries = client.consume("work", credit=4)
    taken = next(deliveries)
    deliveries.close()
    rest = [(delivery.event.data, delivery.attempt) for delivery in islice(other.consume("work", credit=4), 3)]
    assert (taken.event.data, rest) == (0, [(1, 1), (2, 1), (3, 1)])
    client.settle(taken, [new_event("work.done")])


def test_a_consumer_that_stops_after_settling_holds_nothing(bus_home: Any) -> None:
    """The delivery that the settled one made room for comes too late, and goes on to another member."""
    client, other = bus_home.client(), bus_home.client()
    for n in range(20):
        client.emit("work.wanted", n, to="work")
    for n in range(10):
        for delivery in client.consume("work"):
            assert (delivery.event.data, delivery.attempt) == (n, 1)
            client.settle(delivery)
            break
    eventually(lambda: not other.stats()["groups"]["q/work"]["held"])
    for n, delivery in enumerate(islice(other.consume("work"), 10), 10):
        assert (delivery.event.data, delivery.attempt) == (n, 1)
        other.settle(delivery)


def test_two_consumers_of_one_client_end_separately(bus_home: Any) -> None:
    """The end of one leaves the other a member."""
    client = bus_home.client()
    first, second = client.consume("work"), client.consume("work")
    client.emit("work.wanted", 0, to="work")
    client.settle(next(first))
    client.emit("work.wanted", 1, to="work")
    delivery = next(second)
    first.close()
    client.settle(delivery)
    client.emit("work.wanted", 2, to="work")
    assert next(second).event.data == 2


def test_an_iteration_that_was_broken_off_goes_on_where_it_was(bus_home: Any) -> None:
    """A second loop over the same watch sees what the first had not asked for, although it came in one batch."""
    client = bus_home.client()
    client.emit_many([new_event("demo.happened", n) for n in range(100)])
    watch = client.watch("demo.*", name="reader", after=0)
    seen = []
    while len(seen) < 100:
        for event in watch:
            seen.append(event.data)
            if len(seen) % 7 == 0 or len(seen) == 100:
                break
    assert seen == list(range(100))


def test_a_durable_watch_that_ends_well_is_at_most_one_event_behind(bus_home: Any) -> None:
    """Breaking off in the middle of a batch and closing stores how far it was handled."""
    client, later = bus_home.client(), bus_home.client()
    client.emit_many([new_event("demo.happened", n) for n in range(50)])
    assert [event.data for event in islice(client.watch("demo.*", name="reader", after=0), 20)] == list(range(20))
    client.close()
    assert next(iter(later.watch("demo.*", name="reader"))).data == 19


def test_a_watch_that_nobody_holds_ends(bus_home: Any) -> None:
    """Loops that break off leave no watches behind, which would fill up and hold up the others."""
    client = bus_home.client()
    client.emit("demo.happened")
    for _ in range(20):
        for _event in client.watch("demo.*", after=0):
            break
    gc.collect()
    eventually(lambda: not client._machine.watching)


def test_a_handler_that_ends_its_own_watch_is_not_called_again(bus_home: Any) -> None:
    """Also where further events came in the same batch."""
    client, other = bus_home.client(), bus_home.client()
    other.emit_many([new_event("demo.happened", n) for n in range(50)])
    seen: list[Any] = []

    def once(event: Event) -> None:
        seen.append(event.data)
        client.unwatch("demo.*", once)

    client.watch("demo.*", once, after=0)
    client.watch("end.*", lambda event: client.stop())
    thread = threading.Thread(target=client.run)
    thread.start()
    eventually(lambda: seen)
    other.emit("end.reached")
    thread.join(WAIT_S)
    assert seen == [0]


def test_an_async_handler_is_run_by_the_blocking_client_too(bus_home: Any) -> None:
    """A coroutine function given as a handler does its work instead of being dropped."""
    client = bus_home.client()
    seen: list[Any] = []

    async def handle(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append(event.data)
        client.stop()

    client.watch("demo.*", handle, after=0)
    client.emit("demo.happened", 1)
    client.run()
    assert seen == [1]


def test_a_closed_client_says_so_and_may_be_stopped(bus_home: Any) -> None:
    """Nothing given to a closed client vanishes silently; stopping it late does no harm."""
    client = bus_home.client()
    client.emit("demo.happened")
    client.close()
    for call in (client.flush, client.head, lambda: client.emit_soon(new_event("demo.happened"))):
        with pytest.raises(ClientClosed):
            call()
    client.stop()


FORK = """
import os, sys
from pathlib import Path
from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.bus.errors import ClientClosed
with BusClient(endpoints(Path(sys.argv[1]), Path(sys.argv[2])), timeout_s=30) as client:
    watch = client.watch("demo.*", after=0)
    client.emit("demo.happened", 1)
    pid = os.fork()
    if pid == 0:
        refused = 0
        for call in (lambda: client.emit("demo.happened", 2), client.flush, lambda: next(iter(watch))):
            try:
                call()
            except ClientClosed:
                refused += 1
        client.close()
        os._exit(refused)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    client.emit("demo.happened", 3)
    print(status, [event.data for event in client.read()])
"""


def test_a_forked_child_cannot_use_its_parents_client(bus_home: Any) -> None:
    """In the child each call is refused at once, and the parent goes on undisturbed."""
    command = [sys.executable, "-c", FORK, str(bus_home.home), str(bus_home.runtime)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert done.stdout == "3 [1, 3]\n"


def test_more_watches_and_pages_at_once_than_the_bus_takes(bus_home: Any) -> None:
    """A client asks for a few pages at a time, however many it wants."""

    async def main() -> None:
        async with AsyncBusClient(bus_home.endpoints) as client, asyncio.timeout(WAIT_S):
            await client.emit_many([new_event("demo.happened", n) for n in range(10)])

            async def everything() -> int:
                return len([event async for event in client.read()])

            assert await asyncio.gather(*[everything() for _ in range(200)]) == [10] * 200

    asyncio.run(main())
    client = bus_home.client()
    watches = [client.watch("demo.*", after=0) for _ in range(100)]
    assert [next(iter(watch)).data for watch in watches] == [0] * 100


async def _cancelled(work: Any, steps: int) -> bool:
    """Run a coroutine for some rounds of the loop, then cancel it; tell whether it was cancelled."""
    task = asyncio.create_task(work)
    for _ in range(steps):
        await asyncio.sleep(0.0005)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return task.cancelled()


def test_a_consumer_cancelled_anywhere_loses_no_delivery(bus_home: Any) -> None:
    """However far a task had come, what it did not settle comes to the next one."""

    async def main() -> None:
        async with AsyncBusClient(bus_home.endpoints) as client, asyncio.timeout(WAIT_S):
            await client.emit_many([new_event("work.wanted", n, to="work") for n in range(60)])
            done: set[int] = set()

            async def work() -> None:
                async for delivery in client.consume("work", credit=3):
                    try:
                        await client.settle(delivery)
                    except asyncio.CancelledError:
                        # Whether it was settled isn't known; to settle again is safe.
                        await client.settle(delivery)
                        raise
                    finally:
                        done.add(delivery.event.data)
                    if len(done) == 60:
                        return

            for steps in range(30):
                await _cancelled(work(), steps)
            if len(done) < 60:
                await work()
            assert done == set(range(60))
            while (await client.stats())["groups"]["q/work"]["held"]:
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_cancelling_does_not_wait_for_a_bus_that_is_away(bus_home: Any) -> None:
    """A cancelled consumer or emit ends at once with its cancellation; an emit that was never sent never is."""

    async def main() -> None:
        async with AsyncBusClient(bus_home.endpoints) as client:
            consumer = asyncio.create_task(anext(client.consume("work")))
            watch = client.watch("demo.*")
            await watch.opened()
            while not (await client.stats())["groups"].get("q/work", {}).get("members"):
                await asyncio.sleep(0.01)
            await asyncio.to_thread(bus_home.kill)
            assert await _cancelled(client.emit("demo.happened"), 5)
            async with asyncio.timeout(20):
                consumer.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await consumer

    asyncio.run(main())
    bus_home.start()
    assert bus_home.client(timeout_s=60).head() == 0


def test_a_client_cancelled_while_closing_leaves_no_socket(bus_home: Any) -> None:
    """However close is interrupted, the connection has ended."""

    async def main() -> None:
        client = AsyncBusClient(bus_home.endpoints)
        await client.emit_many([new_event("demo.happened", n) for n in range(3)])
        watch = client.watch("demo.*", name="reader", after=0)
        async for event in watch:
            if event.data == 1:
                break
        os.kill(bus_home.pid, signal.SIGSTOP)
        assert await _cancelled(client.close(), 3)
        os.kill(bus_home.pid, signal.SIGCONT)
        with pytest.raises(ClientClosed):
            await client.emit("demo.happened")

    asyncio.run(main())
    observer: BusClient = bus_home.client()
    eventually(lambda: observer.stats()["sessions"] == 1)
