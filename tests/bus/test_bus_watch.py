"""Watches: holes, durable positions, failing handlers, reconnecting, and what they cost when idle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from twelvefold.bus.client import BusClient
from twelvefold.bus.errors import WatchConflict
from twelvefold.bus.hint import Hint
from twelvefold.bus.machine import Machine
from twelvefold.bus.topics import BEACON_TOPIC, topic
from twelvefold.bus.watch import READY_EVENTS_MAX
from twelvefold.bus.wire import (
    Answer,
    Last,
    Page,
    Read,
    Welcome,
    Who,
    decode_client_message,
    encode,
)
from twelvefold.eventstore.event import Event


@pytest.fixture
def serving(bus_home: Any) -> Iterator[Any]:
    """Runs clients' callbacks in threads until the test is over."""
    threads: list[tuple[BusClient, threading.Thread]] = []

    def serve(client: BusClient) -> None:
        thread = threading.Thread(target=client.run)
        thread.start()
        threads.append((client, thread))

    yield serve
    for client, thread in threads:
        client.stop()
        thread.join()


def test_a_durable_watch_continues_where_it_left_off(bus_home: Any) -> None:
    """After its client has gone, a durable watch begins with the first event that was not handled."""
    emitter = bus_home.client()
    first = bus_home.client()
    watch = iter(first.watch("demo.*", name="reader", after=0))
    for n in range(10):
        emitter.emit("demo.happened", n)
    assert [event.data for event in islice(watch, 10)] == list(range(10))
    emitter.emit("demo.happened", 10)
    assert next(watch).data == 10
    first.close()
    for n in range(11, 15):
        emitter.emit("demo.happened", n)
    bus_home.restart()
    again = iter(bus_home.client(timeout_s=60).watch("demo.*", name="reader"))
    # The last one was taken but nobody asked for the next: it may come again, nothing may be missing.
    data = [event.data for event in islice(again, 4)]
    assert data in ([10, 11, 12, 13], [11, 12, 13, 14])


def test_a_durable_name_belongs_to_one_pattern(bus_home: Any) -> None:
    """The same name with another pattern is refused."""
    client = bus_home.client()
    client.watch("demo.*", name="reader")
    with pytest.raises(WatchConflict):
        client.watch("other.*", name="reader")


def test_an_ephemeral_watch_begins_now(bus_home: Any) -> None:
    """Without a start, only what happens after the call is seen."""
    client = bus_home.client()
    client.emit("demo.happened", "before")
    watch = iter(client.watch("demo.happened"))
    client.emit("demo.happened_too", "another type")
    client.emit("demo.happened", "after")
    assert next(watch).data == "after"


def test_a_failing_handler_is_retried_then_parked_and_the_next_events_pass(bus_home: Any, serving: Any) -> None:
    """The poison event is tried again and in the end parked visibly; those behind it wait and then come in order."""
    client, emitter = bus_home.client(instance="handler"), bus_home.client()
    seen: list[Any] = []

    def handle(event: Event) -> None:
        seen.append(event.data)
        if event.data == "poison":
            raise ValueError("cannot digest")

    client.watch("demo.*", handle, name="fragile")
    serving(client)
    for data in ("good", "poison", "next"):
        emitter.emit("demo.happened", data)
    parked = next(iter(emitter.watch("watch.parked", after=0)))
    assert parked.stream == "projection.fragile"
    assert (parked.data["position"], parked.data["attempts"]) == (2, 5)
    assert "cannot digest" in parked.data["error"]
    done = threading.Event()
    while "next" not in seen:
        assert not done.wait(0.01)
    assert seen == ["good"] + ["poison"] * 5 + ["next"]


def test_unwatch_ends_a_handler(bus_home: Any, serving: Any) -> None:
    """After unwatch the handler is not called again."""
    client, emitter = bus_home.client(), bus_home.client()
    seen: list[Any] = []
    others: list[Any] = []
    client.watch("demo.*", lambda event: seen.append(event.data))
    serving(client)
    emitter.emit("demo.happened", 1)
    wait = threading.Event()
    while not seen:
        wait.wait(0.01)
    client.unwatch("demo.*")
    client.watch("demo.*", lambda event: others.append(event.data))
    emitter.emit("demo.happened", 2)
    while not others:
        wait.wait(0.01)
    assert (seen, others) == ([1], [2])


def test_a_watcher_survives_a_restart_of_the_bus(bus_home: Any) -> None:
    """What is emitted right after a restart is seen, without anything else happening."""
    client, emitter = bus_home.client(timeout_s=60), bus_home.client(timeout_s=60)
    watch = iter(client.watch("demo.*"))
    emitter.emit("demo.happened", 1)
    assert next(watch).data == 1
    bus_home.restart()
    emitter.emit("demo.happened", 2)
    assert next(watch).data == 2


class Dialogue:
    """A machine without any socket: what it asks is answered by the test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.machine = Machine(
            instance="t", role="client", pid=1, supervised=False, nonce=b"n",
            fresh_ids=lambda count: [bytes(16)] * count, now=0.0,
        )  # fmt: skip
        self.machine.received(encode(Who(b"bus")), self.now)
        self.machine.hello("", None)
        self.machine.received(encode(Welcome(b"bus", 1, 0, 10.0, 0)), self.now)
        self.machine.out.clear()

    def asked(self) -> list[Any]:
        self.machine.fill()
        frames = list(self.machine.out)
        self.machine.out.clear()
        return [decode_client_message(frame) for frame in frames]

    def say(self, message: Any) -> None:
        self.machine.received(encode(message), self.now)

    def hint(self, previous: list[int], *positions: int) -> None:
        events = [event(position) for position in positions]
        hint = Hint(previous, positions[0], positions[-1], events)
        self.machine.hinted([topic("demo.happened"), encode(hint)], self.now)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.machine.tick(self.now)


def event(position: int) -> Event:
    return Event(position, "demo", position, b"", "demo.happened", 1, "", 0, "", "", b"", "", 0, "null", b"", b"")


def following(dialogue: Dialogue, position: int) -> Any:
    """Start a watch of demo.* that stands at a position and knows of nothing later."""
    state = dialogue.machine.watching.watch("demo.*", "", position)
    (opening,) = dialogue.asked()
    dialogue.say(Answer(opening.seq, position))
    (look,) = dialogue.asked()
    assert isinstance(look, Last)
    dialogue.say(Answer(look.seq, position))
    assert dialogue.asked() == []
    return state


def test_hints_without_a_hole_need_no_reading() -> None:
    """A hint whose previous position is the watch's own is taken as it is, whatever happened under other prefixes."""
    dialogue = Dialogue()
    state = following(dialogue, 5)
    dialogue.hint([8, 5, 5], 9, 10)
    dialogue.hint([15, 10, 10], 16)
    assert [found.position for batch in (state.take(), state.take()) for found in batch] == [9, 10, 16]
    assert dialogue.asked() == []


def test_a_hole_is_read_from_the_log() -> None:
    """A hint with something missing before it makes the watch read from where it stands; overlaps are not doubled."""
    dialogue = Dialogue()
    state = following(dialogue, 5)
    dialogue.hint([9, 9, 9], 10)
    (read,) = dialogue.asked()
    assert isinstance(read, Read)
    assert (read.after, read.pattern) == (5, "demo.*")
    dialogue.hint([10, 10, 10], 11)
    dialogue.say(Page(read.seq, [event(9), event(10)], False))
    (again,) = dialogue.asked()
    assert again.after == 10
    dialogue.say(Page(again.seq, [event(11), event(12)], False))
    dialogue.hint([10, 10, 10], 11, 12, 13)
    positions = [found.position for _ in range(3) for found in state.take()]
    assert positions == [9, 10, 11, 12, 13]


def test_a_quiet_watch_asks_once_when_the_head_moved() -> None:
    """With every hint lost, a beacon makes the watch ask for the last position after a second, and read if behind."""
    dialogue = Dialogue()
    state = following(dialogue, 5)
    dialogue.later(5.0)
    assert [m for m in dialogue.asked() if isinstance(m, Last)] == []
    dialogue.machine.hinted([BEACON_TOPIC, encode(20)], dialogue.now)
    dialogue.later(0.5)
    (look,) = [m for m in dialogue.asked() if isinstance(m, Last)]
    dialogue.say(Answer(look.seq, 7))
    (read,) = dialogue.asked()
    dialogue.say(Page(read.seq, [event(7)], False))
    assert [found.position for found in state.take()] == [7]
    dialogue.later(5.0)
    assert [m for m in dialogue.asked() if isinstance(m, Last)] == []


def test_a_slow_watch_is_bounded_and_falls_back_to_reading() -> None:
    """What nobody takes is not kept beyond the bound; once there is room, the log is read from the right place."""
    dialogue = Dialogue()
    state = following(dialogue, 0)
    position = 0
    for _ in range(READY_EVENTS_MAX // 100 + 50):
        dialogue.hint([position] * 3, *range(position + 1, position + 101))
        position += 100
    assert state.ready <= READY_EVENTS_MAX + 100
    taken = 0
    while state.ready:
        batch = state.take()
        assert [found.position for found in batch] == list(range(taken + 1, taken + 1 + len(batch)))
        taken += len(batch)
    (read,) = dialogue.asked()
    assert isinstance(read, Read)
    assert read.after == taken
