"""Every message comes back as it went out, and nothing else is taken for one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.bus import topics, wire
from twelvefold.bus.errors import RemoteError, StaleDelivery, rebuild
from twelvefold.bus.hint import decode_hint
from twelvefold.bus.unreadable import what_was_asked
from twelvefold.eventstore.errors import InvalidEvent, VersionConflict
from twelvefold.eventstore.event import Event, NewEvent

text = st.text(max_size=20)
number = st.integers(0, 2**62)
fences = st.tuples(number, number)
held = st.builds(wire.Held, text, number, fences)
new_events = st.builds(
    NewEvent, type=text, payload=text, stream=text, id=st.binary(max_size=16), schema=number, to=text, run=text,
    cause=st.binary(max_size=16), trace=text, seen=number,
)  # fmt: skip
events = st.builds(
    Event, number, text, number, st.binary(max_size=16), text, number, text, number, text, text,
    st.binary(max_size=16), text, number, st.none() | text, st.binary(max_size=32), st.binary(max_size=32),
)  # fmt: skip
requests = st.builds(
    wire.Request, number, st.lists(new_events, max_size=3), st.booleans(), st.dictionaries(text, number, max_size=2),
    st.dictionaries(text, st.none() | text, max_size=2), st.lists(st.binary(max_size=16), max_size=2), st.none() | held,
)  # fmt: skip
binds = st.builds(wire.Bind, number, text, text, number, number)
client_messages = st.one_of(
    binds,
    st.builds(
        wire.Hello, number, number, text, text, text, number, st.booleans(), st.none() | st.lists(text, max_size=3),
        st.lists(held, max_size=3), st.lists(binds, max_size=3),
    ),
    st.builds(wire.Post, st.lists(requests, max_size=3)),
    st.builds(wire.Fail, number, held, text, st.none() | st.floats(0, 1e6)),
    st.builds(wire.Read, number, number, st.none() | number, number, st.none() | text, st.none() | text),
    st.builds(wire.Keep, number, text, text, number, st.lists(new_events, max_size=2)),
    st.builds(wire.OpenWatch, number, text, text, st.none() | number),
    st.builds(wire.Freed, held),
    st.builds(wire.Ping, st.booleans()),
)  # fmt: skip
bus_messages = st.one_of(
    st.builds(wire.Welcome, st.binary(max_size=8), number, number, st.floats(0, 1e6), number),
    st.builds(wire.Refusal, number, text, st.dictionaries(text, st.none() | number | text, max_size=3)),
    st.builds(wire.Acks, st.lists(st.builds(wire.Ack, number, number, st.lists(events, max_size=2)), max_size=3)),
    st.builds(wire.Page, number, st.lists(events, max_size=3), st.booleans()),
    st.builds(
        wire.Deliver, st.lists(st.builds(wire.Delivery, events, text, fences, number, st.booleans()), max_size=2)
    ),
    st.builds(wire.Withdrawn, held),
)


@given(client_messages)
def test_client_messages_survive_the_wire(message: wire.ClientMessage) -> None:
    """What a client encodes, the bus decodes to an equal message."""
    assert wire.decode_client_message(wire.encode(message)) == message


@given(bus_messages)
def test_bus_messages_survive_the_wire(message: wire.BusMessage) -> None:
    """What the bus encodes, a client decodes to an equal message."""
    assert wire.decode_bus_message(wire.encode(message)) == message


@given(st.binary(max_size=300))
def test_garbage_is_refused_by_a_known_error(frame: bytes) -> None:
    """Any bytes either decode to a message or raise one of WireError."""
    for decode in (wire.decode_client_message, wire.decode_bus_message, decode_hint):
        try:
            assert isinstance(decode(frame), msgspec.Struct)
        except wire.WireError:
            continue


@given(client_messages, st.binary(max_size=3), st.integers(0, 300))
def test_whoever_asked_is_known_or_nobody_is(message: wire.ClientMessage, noise: bytes, at: int) -> None:
    """Of a message that was garbled anywhere it is told who asked and why not, or nothing."""
    frame = wire.encode(message)
    asked = what_was_asked(frame[:at] + noise + frame[at + len(noise) :])
    assert asked is None or all(seq > 0 and error.message() for seq, error in asked.faults)


def test_one_bad_append_is_told_from_those_beside_it() -> None:
    """What travels along with an append that cannot be read is kept, in its order."""
    good, bad = NewEvent(type="demo.happened"), NewEvent(type="demo.happened", cause="no id")  # type: ignore[arg-type]
    asked = what_was_asked(
        wire.encode(wire.Post([wire.Request(n, [good, bad if n == 2 else good]) for n in (1, 2, 3)]))
    )
    assert asked is not None
    assert [request.seq for request in asked.sound] == [1, 3]
    ((seq, error),) = asked.faults
    assert (seq, type(error)) == (2, InvalidEvent)
    assert "cause" in error.message()


def test_a_later_minor_version_may_add_fields_at_the_end() -> None:
    """Fields that this version doesn't know are ignored, so minor versions can be mixed."""
    longer = [12, False, "something new"]
    assert wire.decode_client_message(msgspec.msgpack.encode(longer)) == wire.Ping(answered=False)


def test_an_earlier_minor_version_sends_fewer_fields() -> None:
    """What came later has a default."""
    assert wire.decode_client_message(msgspec.msgpack.encode([12])) == wire.Ping()


@pytest.mark.parametrize("error", [VersionConflict("demo.1", 3, 4), StaleDelivery("work", 7)])
def test_errors_cross_the_wire(error: VersionConflict | StaleDelivery) -> None:
    """An error refused by the bus is raised by the client as an equal one."""
    refused = wire.decode_bus_message(wire.encode(wire.refusal(5, error)))
    assert isinstance(refused, wire.Refusal)
    again = rebuild(refused.code, refused.facts)
    assert (type(again), again.facts()) == (type(error), error.facts())


def test_unknown_errors_keep_their_code_and_facts() -> None:
    """An error of a newer bus comes up as RemoteError, with nothing lost."""
    error = rebuild("E299", {"why": "new"})
    assert isinstance(error, RemoteError)
    assert (error.remote, error.details) == ("E299", {"why": "new"})


def test_topics_are_not_prefixes_of_other_types() -> None:
    """Exact subscriptions match their type alone, prefix subscriptions all below."""
    assert not topics.topic("task.failed_twice").startswith(topics.subscription("task.failed"))
    assert topics.topic("task.failed").startswith(topics.subscription("task.failed"))
    assert topics.topic("task.failed").startswith(topics.subscription("task.*"))
    assert not topics.topic("taskforce.met").startswith(topics.subscription("task.*"))
    assert topics.subscription("*") == topics.ALL_TOPIC, "what is for everybody goes out once, whatever its types"
