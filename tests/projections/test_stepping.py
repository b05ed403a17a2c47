"""Stepping through events: every state forward and back, and what each event changed."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from twelvefold.eventstore.event import Event
from twelvefold.projections.stepping import ABSENT, KEPT_EVERY, Change, Stepper, changes


class Counted(msgspec.Struct, frozen=True):
    """How often each type was seen, and the last one."""

    seen: Map[str, int] = Map()
    last: str = ""


def event(position: int, type: str) -> Event:
    return Event(
        position, "demo", position, b"", type, 1, "", position, "", "", b"", "", 0, "null", b"", b""
    )  # fmt: skip


def follow(state: Counted, event: Event) -> Counted:
    return Counted(state.seen.set(event.type, state.seen.get(event.type, 0) + 1), event.type)


def stepper(types: str) -> Stepper[Counted]:
    return Stepper([event(10 * n, type) for n, type in enumerate(types, 1)], Counted(), follow)


def test_each_step_tells_what_its_event_changed() -> None:
    """A step has the fields that differ, with both values, and no others."""
    found = [(step.event.type, step.changes) for step in stepper("aba").all()]
    assert found == [
        ("a", (Change("seen.a", ABSENT, 1), Change("last", "", "a"))),
        ("b", (Change("seen.b", ABSENT, 1), Change("last", "a", "b"))),
        ("a", (Change("seen.a", 1, 2), Change("last", "b", "a"))),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_going_anywhere_gives_the_state_of_that_place(seed: int) -> None:
    """Forward, back and by leaps, the state after n events is the fold of the first n."""
    chosen = random.Random(seed)
    types = "".join(chosen.choices("abc", k=3 * KEPT_EVERY + 5))
    here = stepper(types)
    for _ in range(300):
        move = chosen.choice(("forward", "back", "go"))
        if move == "go":
            here.go(10 * chosen.randrange(len(types) + 1) + chosen.choice((0, 5)))
        else:
            before = here.number
            step = here.forward() if move == "forward" else here.back()
            assert (step is None) == (here.number == before)
            if step is not None:
                assert step.number == max(before, here.number)
        expected = {type: types[: here.number].count(type) for type in "abc" if type in types[: here.number]}
        assert dict(here.state(here.number).seen) == expected


def test_there_is_nothing_before_the_beginning_and_after_the_end() -> None:
    """Stepping beyond either end says so and stays there."""
    here = stepper("a")
    assert here.back() is None
    assert here.forward() is not None
    assert here.forward() is None
    assert here.number == 1
    assert here.back() is not None
    assert here.number == 0


DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(DATA, DATA)
def test_no_change_means_equal_and_equal_means_no_change(one: Any, other: Any) -> None:
    """States are told apart exactly where their JSON texts differ, whatever they are made of."""
    same = msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")
    assert (not list(changes(one, other))) == same
