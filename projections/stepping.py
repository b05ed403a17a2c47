"""Stepping through events: the state before and after each, forward and back, and what the event changed in it.

Knows no state of its own: a fold comes in, and any state that it makes is compared field by field. Keeps: the state
after n events is the fold of the first n, however one came there; states that share parts are compared by what differs
only, so that a step through thousands of tasks looks at the few that changed. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from ..eventstore.event import Event

State = TypeVar("State")

#: A state is kept after every so many events; those between are folded again from there.
KEPT_EVERY = 64
#: Stands for what isn't there, on one side of a change.
ABSENT = msgspec.UNSET


class Change(msgspec.Struct, frozen=True):
    """One field that an event changed. `field` is its place (`tasks.0.1.phase`); a value is ABSENT on the side on which
    the field isn't there.
    """

    field: str
    before: Any
    after: Any


class Step(msgspec.Struct, frozen=True):
    """One event, which is the `number`th of those that are stepped through (from 1), and what it changed."""

    number: int
    event: Event
    changes: tuple[Change, ...]


class Stepper(Generic[State]):
    """Events and a fold over them, looked at from any place between two of them: `number` is how many were taken.

    `follow(state, event)` folds one event, `view(state)` is what changes are told of (the state itself by default).
    """

    def __init__(
        self,
        events: Sequence[Event],
        initial: State,
        follow: Callable[[State, Event], State],
        view: Callable[[State], Any] = lambda state: state,
    ) -> None:
        self.events = events
        self.number = 0
        self._follow = follow
        self._view = view
        self._kept: dict[int, State] = {0: initial}
        self._last = (0, initial)

    def state(self, number: int) -> State:
        """Return the state after the first `number` events."""
        at, state = self._last
        if not at <= number < at + KEPT_EVERY:
            at = max(kept for kept in self._kept if kept <= number)
            state = self._kept[at]
        while at < number:
            state = self._follow(state, self.events[at])
            at += 1
            if at % KEPT_EVERY == 0:
                self._kept[at] = state
        self._last = (at, state)
        return state

    def step(self, number: int) -> Step:
        """Return the `number`th step (from 1)."""
        before = self._view(self.state(number - 1))
        return Step(number, self.events[number - 1], tuple(changes(before, self._view(self.state(number)))))

    def forward(self) -> Step | None:
        """Take the next event and return the step; None at the end."""
        if self.number == len(self.events):
            return None
        self.number += 1
        return self.step(self.number)

    def back(self) -> Step | None:
        """Take the last event back and return the step that was undone; None at the beginning."""
        if self.number == 0:
            return None
        self.number -= 1
        return self.step(self.number + 1)

    def go(self, position: int) -> None:
        """Go to where the state is that of a position in the log."""
        self.number = sum(event.position <= position for event in self.events)

    def all(self) -> Iterator[Step]:
        """Yield every step, from the first."""
        before = self._view(self.state(0))
        for number, event in enumerate(self.events, 1):
            after = self._view(self.state(number))
            yield Step(number, event, tuple(changes(before, after)))
            before = after


def changes(before: Any, after: Any, place: str = "") -> Iterator[Change]:
    """Yield what differs between two states, in the order of their fields; sequences are taken as a whole."""
    if before is after:
        return
    if isinstance(before, msgspec.Struct) and type(before) is type(after):
        for name in before.__struct_fields__:
            yield from changes(getattr(before, name), getattr(after, name), _below(place, name))
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        get = after.get
        for key, old in before.items():
            new = get(key, ABSENT)
            # Looked at here already: of thousands, few differ, though they may have been made anew.
            if new is not old and not (isinstance(old, msgspec.Struct) and old == new):
                yield from changes(old, new, _below(place, key))
        for key, new in after.items():
            if key not in before:
                yield Change(_below(place, key), ABSENT, new)
    elif isinstance(before, list | tuple) and type(before) is type(after) and len(before) == len(after):
        if any(next(changes(old, new), None) for old, new in zip(before, after, strict=True)):
            yield Change(place, before, after)
    elif type(before) is not type(after) or before != after:
        yield Change(place, before, after)


def _below(place: str, name: Any) -> str:
    text = name.hex() if isinstance(name, bytes) else str(name)
    return f"{place}.{text}" if place else text
