"""Well-formed messages with senseless content, in any order, from a greeted client: the bus lives on."""

from __future__ import annotations

from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twelvefold.bus import wire
from twelvefold.eventstore.event import NewEvent

names = st.sampled_from(["work", "demo.happened", "demo.*", "*", "", "Ä", "a" * 300, "q/work", "../x", "task.failed"])
positions = st.sampled_from([-1, 0, 1, 2, 3, 2**62, -(2**62)])
helds = st.builds(
    wire.Held, st.sampled_from(["q/work", "g/audit", "", "x"]), positions, st.tuples(positions, positions)
)
ids = st.sampled_from([b"", b"1" * 16, b"2" * 16, b"short"])
payloads = st.sampled_from(
    ["null", "{", '{"blob": "' + "0" * 64 + '"}', "[" * 500, '"\ud800"'.encode("utf-8", "replace").decode()]
)
events = st.builds(
    NewEvent, type=names, payload=payloads, stream=names, id=ids, schema=positions, to=names, run=names, cause=ids,
    trace=names, seen=positions,
)  # fmt: skip
requests = st.builds(
    wire.Request, positions, st.lists(events, max_size=3), st.booleans(), st.dictionaries(names, positions, max_size=1),
    st.dictionaries(names, st.none() | names, max_size=1), st.lists(ids, max_size=2), st.none() | helds,
)  # fmt: skip
messages = st.one_of(
    st.builds(wire.Post, st.lists(requests, max_size=3)),
    st.builds(wire.Bind, positions, names, names, positions, positions),
    st.builds(wire.Unbind, positions, names),
    st.builds(wire.Fail, positions, helds, names, st.sampled_from([None, -1.0, 0.0, float("nan"), float("inf")])),
    st.builds(wire.Freed, helds),
    st.builds(
        wire.Read, positions, positions, st.none() | positions, positions, st.none() | names, st.none() | names,
        st.none() | names, st.none() | names, st.none() | names, st.booleans(),
    ),
    st.builds(wire.Last, positions, names),
    st.builds(wire.OpenWatch, positions, names, names, st.none() | positions),
    st.builds(wire.Keep, positions, names, names, positions, st.lists(events, max_size=2)),
    st.builds(wire.Stats, positions),
    st.builds(wire.Gone, positions, names, positions),
    st.builds(wire.Started, positions, names),
    st.builds(
        wire.Hello, st.just(1), positions, names, st.sampled_from(["client", "agent", "supervisor", "emperor"]), names,
        positions, st.booleans(), st.none() | st.lists(names, max_size=2), st.lists(helds, max_size=2),
        st.lists(st.builds(wire.Bind, positions, names, names, positions, positions), max_size=2),
    ),
    st.just(wire.Ping()),
    st.just(wire.Bye()),
)  # fmt: skip


@pytest.mark.e2e
def test_senseless_messages_do_not_hurt_the_bus(bus_home: Any) -> None:
    """Whatever a greeted client says, the bus goes on serving others, and its log stays sound."""
    context = zmq.Context()
    client = bus_home.client()
    greeting = wire.encode(wire.Hello(1, 0, "fuzzer", "client", "", 1, False))

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(messages, min_size=1, max_size=15))
    def talk(said: list[Any]) -> None:
        dealer = context.socket(zmq.DEALER)
        try:
            dealer.connect(bus_home.endpoints.ingress)
            dealer.send(greeting)
            for message in said:
                dealer.send(wire.encode(message))
            assert client.stats()["pid"] == bus_home.pid
        finally:
            dealer.close(linger=1000)

    try:
        talk()
        assert client.emit("demo.happened").version >= 1
        assert bus_home.process.poll() is None
    finally:
        context.destroy(linger=0)
