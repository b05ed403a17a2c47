"""Answers for which nobody waits come along with something else, or soon; hearing of an event is an answer too."""

from __future__ import annotations

import threading
from typing import Any

from twelvefold.bus.machine import Machine
from twelvefold.bus.wire import Delivery, Ping, Post, Request, Welcome, Who, decode_client_message, encode
from twelvefold.eventstore.event import NewEvent, new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.memory_log import MemoryLog


def settled(client: Any, delivery: Delivery) -> threading.Event:
    """Settle without waiting; the event is set with the answer."""
    answered = threading.Event()

    def on_answer(ticket: Any) -> None:
        if ticket.error is None:
            answered.set()

    client.settle_next(delivery, [new_event("work.done")], on_answer)
    return answered


def test_the_answer_to_a_settle_comes_along_with_the_next_delivery(bus_home: Any) -> None:
    """What was settled is durable by then, and the two are one message."""
    worker, client = bus_home.client(), bus_home.client()
    worker.join("work")
    client.emit_many([new_event("work.wanted", number, to="work") for number in range(2)])
    first = worker.take_delivery(unless=lambda: False)
    answered = settled(worker, first)
    assert worker.take_delivery(unless=lambda: False) is not None
    assert answered.is_set()
    assert [event.type for event in client.read(type="work.done")] == ["work.done"]


def test_the_answer_comes_by_itself_where_nothing_else_does(bus_home: Any) -> None:
    """A settle with nothing after it is answered all the same."""
    worker, client = bus_home.client(), bus_home.client()
    worker.join("work")
    client.emit_many([new_event("work.wanted", to="work")])
    answered = settled(worker, worker.take_delivery(unless=lambda: False))
    worker.wait_until(answered.is_set)


def test_a_member_that_is_gone_leaves_no_answers_behind(bus_home: Any) -> None:
    """The bus goes on where the one to whom an answer was due has closed before it came."""
    worker, client = bus_home.client(), bus_home.client()
    worker.join("work")
    client.emit_many([new_event("work.wanted", to="work")])
    settled(worker, worker.take_delivery(unless=lambda: False))
    worker.send()
    client.watch("work.done", after=0).take(30)
    worker.close()
    other = bus_home.client()
    other.join("work")
    client.emit_many([new_event("work.wanted", to="work")])
    other.wait_until(settled(other, other.take_delivery(unless=lambda: False)).is_set)


def test_hearing_of_an_append_is_its_answer(bus_home: Any) -> None:
    """Whoever watches what it appends itself goes on once it has heard of it."""
    client = bus_home.client()
    watch = client.watch("*", after=client.head())
    for number in range(20):
        ticket = client.begin([new_event("work.wanted", number), new_event("work.also", number)], patient=True)
        client.finish(ticket)
        heard: list[Any] = []
        while len(heard) < 2:
            heard += watch.take(30)
        assert [event.data for event in heard] == [number, number]


def test_an_append_of_what_is_known_already_is_answered_though_nobody_hears_of_it(bus_home: Any) -> None:
    """The same event again is not published again: its answer comes by itself."""
    client = bus_home.client()
    watch = client.watch("*", after=client.head())
    event = NewEvent(type="work.wanted", id=bytes(15) + b"1")
    client.emit_many([event])
    assert len(watch.take(30)) == 1
    client.finish(client.begin([event], patient=True))
    assert not watch.take(0)


def greeted() -> Machine:
    """A client's machine, without a bus, that is connected."""
    machine = Machine(
        instance="t", role="client", pid=1, supervised=False, nonce=b"n",
        fresh_ids=lambda count: [bytes([n + 1]) * 16 for n in range(count)], now=0.0,
    )  # fmt: skip
    welcome(machine)
    return machine


def welcome(machine: Machine) -> None:
    machine.received(encode(Who(b"bus")), 0.0)
    machine.hello("", None)
    machine.received(encode(Welcome(b"bus", 1, 0, 10.0, 0)), 0.0)


def test_without_a_watch_no_append_is_patient() -> None:
    """Nobody would hear of it."""
    machine = greeted()
    machine.post([new_event("work.wanted")], patient=True)
    machine.fill()
    sent = [message for frame in machine.out for message in _requests(frame)]
    assert [request.patient for request in sent] == [False]


def test_only_who_watches_is_told_of_the_head_for_a_sign_of_life() -> None:
    """Nobody else would do anything with the answer but wake up."""
    machine = greeted()
    machine.out.clear()
    machine.tick(60.0)
    machine.fill()
    machine.watching.watch("*", "", 0)
    machine.tick(120.0)
    machine.fill()
    said = [decode_client_message(frame) for frame in machine.out]
    assert [message.answered for message in said if isinstance(message, Ping)] == [False, True]


def test_what_is_sent_again_is_answered_again() -> None:
    """An event that is heard of while its append waits to be sent again leaves nothing behind, in any order."""
    machine = greeted()
    machine.watching.watch("*", "", 0)
    ticket = machine.post([new_event("work.wanted")], patient=True)
    machine.fill()
    (request,) = (request for frame in machine.out for request in _requests(frame))
    event = _committed(request.events[0])
    # The bus asks who we are: all that was not answered is to be sent anew.
    machine.received(encode(Who(b"other")), 0.0)
    machine.heard([event])
    assert not ticket.done
    machine.hello("", None)
    machine.received(encode(Welcome(b"other", 2, 1, 10.0, 0)), 0.0)
    machine.out.clear()
    machine.fill()
    assert [again.seq for frame in machine.out for again in _requests(frame)] == [request.seq]
    machine.heard([event])
    assert ticket.done
    assert ticket.error is None
    machine.heard([event])
    machine.received(encode(Who(b"third")), 0.0)


def _requests(frame: bytes) -> list[Request]:
    message = decode_client_message(frame)
    return message.requests if isinstance(message, Post) else []


def _committed(event: NewEvent) -> Any:

    return MemoryLog().append(Append(events=[event])).events[0]
