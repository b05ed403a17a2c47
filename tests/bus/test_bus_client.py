"""The blocking client against a real bus: emit, read, watch, consume."""

from __future__ import annotations

import threading
from itertools import islice
from typing import Any

import pytest

from twelvefold.bus.errors import BadRequest, BusNotRunning, ClientClosed, GroupConflict, ReservedFamily
from twelvefold.eventstore.errors import InvalidEvent, VersionConflict
from twelvefold.eventstore.event import new_event


def test_emit_returns_the_event_as_it_stands_in_the_log(bus_home: Any) -> None:
    """What emit returns is what read finds."""
    client = bus_home.client(instance="tester")
    event = client.emit("demo.happened", {"n": 1}, stream="demo.1")
    assert (event.position, event.version, event.source, event.data) == (1, 1, "tester", {"n": 1})
    assert list(client.read()) == [event]
    assert client.head() == 1


def test_emit_many_is_atomic(bus_home: Any) -> None:
    """A batch whose expected version is wrong leaves nothing behind."""
    client = bus_home.client()
    client.emit("demo.happened", stream="demo.1")
    with pytest.raises(VersionConflict) as caught:
        client.emit_many(
            [new_event("demo.happened", n, stream="demo.1") for n in range(3)], expected_version={"demo.1": 0}
        )
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("demo.1", 0, 1)
    assert client.head() == 1


def test_emit_soon_keeps_the_order_and_flush_waits(bus_home: Any) -> None:
    """Everything queued is in the log after flush, in order."""
    client = bus_home.client()
    for n in range(5000):
        client.emit_soon(new_event("demo.happened", n, stream="demo.1"))
    client.flush()
    assert [event.data for event in client.read(stream="demo.1")] == list(range(5000))


def test_threads_share_a_client(bus_home: Any) -> None:
    """Many threads emit through one client at once, and each gets its own events back."""
    client = bus_home.client()
    got: dict[int, list[int]] = {}

    def work(number: int) -> None:
        got[number] = [client.emit("demo.happened", [number, n], stream=f"demo.{number}").version for n in range(50)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {number: list(range(1, 51)) for number in range(8)}


def test_watch_sees_history_then_follows(bus_home: Any) -> None:
    """A watch from a position continues into what happens later, each event once and in order."""
    client, other = bus_home.client(), bus_home.client()
    for n in range(10):
        other.emit("demo.happened", n)
        other.emit("noise.happened", n)
    watch = client.watch("demo.*", after=0)
    events = iter(watch)
    assert [event.data for event in islice(events, 10)] == list(range(10))
    for n in range(10, 20):
        other.emit("noise.happened", n)
        other.emit("demo.happened", n)
    assert [event.data for event in islice(events, 10)] == list(range(10, 20))


def test_consume_hands_each_event_to_one_member(bus_home: Any) -> None:
    """Queue events go out once, are settled with their results, and don't come again."""
    client, worker = bus_home.client(), bus_home.client()
    for n in range(10):
        client.emit("work.wanted", n, to="worker")
    deliveries = worker.consume("worker")
    for n in range(10):
        delivery = next(deliveries)
        assert (delivery.event.data, delivery.attempt) == (n, 1)
        (result,) = worker.settle(delivery, [new_event("work.done", n)])
        assert result.type == "work.done"
    groups = client.stats()["groups"]
    assert (groups["q/worker"]["held"], groups["q/worker"]["waiting"]) == (0, 0)


def test_a_group_is_bound_once(bus_home: Any) -> None:
    """The same group with another pattern or start is a conflict."""
    client = bus_home.client()
    client.join("audit", "demo.*")
    with pytest.raises(GroupConflict):
        client.join("audit", "demo.happened")
    with pytest.raises(GroupConflict):
        client.join("audit", "demo.*", after=5)


def test_reserved_types_are_refused(bus_home: Any) -> None:
    """A plain client can't write what belongs to the orchestrator."""
    with pytest.raises(ReservedFamily):
        bus_home.client().emit("run.started", {}, stream="run.1")


def test_no_bus_is_an_error_with_help(bus_home_stopped: Any) -> None:
    """Without a bus, emit says so after its time is over."""
    client = bus_home_stopped.client(timeout_s=0.2)
    with pytest.raises(BusNotRunning) as caught:
        client.emit("demo.happened")
    assert "twelvefold up" in (caught.value.help() or "")


def test_closing_wakes_every_thread_that_waits(bus_home_stopped: Any) -> None:
    """A client closed by one thread ends the waits of others with ClientClosed, and leaves nothing hanging."""
    client = bus_home_stopped.client(timeout_s=60)
    errors: list[BaseException] = []

    def emit() -> None:
        try:
            client.emit("demo.happened")
        except ClientClosed as error:
            errors.append(error)

    threads = [threading.Thread(target=emit) for _ in range(3)]
    for thread in threads:
        thread.start()
    client.close()
    for thread in threads:
        thread.join(30)
    assert len(errors) == 3


def test_what_was_queued_is_there_once_its_block_has_been_left(bus_home: Any) -> None:
    """Leaving a block flushes, and a refusal that nobody waited for comes up then; an error of its own goes first."""
    with bus_home.client() as client:
        client.emit_soon(new_event("demo.happened", 1))
    reader = bus_home.client()
    assert [event.data for event in reader.read(type="demo.happened")] == [1]
    with pytest.raises(ReservedFamily), bus_home.client() as client:
        client.emit_soon(new_event("run.started"))
    with pytest.raises(KeyError), bus_home.client() as client:
        client.emit_soon(new_event("run.started"))
        raise KeyError


def test_values_of_wrong_types_are_refused_at_once_and_take_nothing_along(bus_home: Any) -> None:
    """An event for its id, an object without a form on the wire: whoever gave it is told, and the rest goes on."""
    client = bus_home.client()
    event = client.emit("demo.happened")
    for wrong in (event, event.id.hex()):
        with pytest.raises(InvalidEvent, match="cause"):
            client.emit("demo.happened", cause=wrong)
    with pytest.raises(BadRequest, match="after"):
        list(client.read(after="1"))
    with pytest.raises(BadRequest, match="expected"):
        client.emit("demo.happened", expected_version={"demo": "0"})
    with pytest.raises(TypeError):
        client.emit("demo.happened", run=object())
    for wrong in (event, object()):
        for n in range(5):
            client.emit_soon(new_event("queued.happened", n, cause=wrong if n == 2 else b""))
        with pytest.raises((InvalidEvent, TypeError)):
            client.flush()
    client.emit_soon(new_event("queued.happened", 5))
    client.flush()
    assert [event.data for event in client.read(type="queued.happened")] == [0, 1, 3, 4, 0, 1, 3, 4, 5]
