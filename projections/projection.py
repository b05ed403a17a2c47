"""What a projection is: a pure fold of events into rows, each under a key. Pure.

Owns the contract that built-in projections and users' own keep. How events reach one is `folding`'s, how rows are kept
`store`'s, which ones there are `registry`'s. Keeps: rows follow from the events alone, so they can be thrown away and
folded again at any time, up to any position.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

import msgspec

from ..eventstore.event import Event

State = TypeVar("State")


class Alias(msgspec.Struct, frozen=True, gc=False, tag="alias", tag_field="row"):
    """A row that stands for the row under the key `to`: what is to change it changes that. "" stands for none yet.

    For events that name a task by its request only, say. Never shown.
    """

    to: str = ""


class Projection(Generic[State]):
    """A fold of events into rows. A subclass names itself, says which events matter, and gives `initial` and `apply`.

    `name` is a token of `[a-z0-9_-]`. `version` is raised when rows come out differently than before: they are then
    folded anew, as they are when the code of the class's module changes. `types` are patterns of event types (`run.*`);
    others never arrive. Both methods are pure: no clock, no I/O, nothing remembered outside of the state, which is
    never changed in place. A state is what JSON can hold, or a `msgspec.Struct` (then `Projection[ThatStruct]`); None
    is a row that isn't there. An exception parks the projection before that event, visibly; no event is skipped.

    `key_names` name the parts of a key, which `/` joins; the last part may hold further ones. With `by_run` keys begin
    with the run's id, and with `inherits` the rows of a fork begin as its parent's were at the fork. `columns` are what
    a table shows of a row; all that is no list or object where there are none.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    types: ClassVar[tuple[str, ...]] = ("*",)
    key_names: ClassVar[tuple[str, ...]] = ("key",)
    by_run: ClassVar[bool] = False
    inherits: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...]] = ()

    def keys(self, event: Event) -> Iterable[str]:
        """Return the keys of the rows that an event changes; by default there is one row, under ""."""
        return ("",)

    def initial(self, key: str) -> State:
        """Return the state of a row that no event has changed yet."""
        raise NotImplementedError

    def apply(self, state: State, event: Event) -> State:
        """Return the state after an event; for each of the event's keys it is called once, with that row's state."""
        raise NotImplementedError

    def taken_over(self, state: State, event: Event) -> State:
        """Return how a row of the parent begins in a fork (`event` is its `run.forked`), where rows are inherited."""
        return state

    def shown(self, key: str, state: State) -> Iterable[dict[str, Any]]:
        """Return what people see of a row, none or more objects: by default the parts of its key, and its fields."""
        if isinstance(state, Alias):
            return ()
        parts = dict(zip(self.key_names, key.split("/", len(self.key_names) - 1), strict=False)) if key else {}
        fields = msgspec.to_builtins(state)
        if isinstance(state, msgspec.Struct) and state.__struct_config__.tag is not None:
            fields.pop(state.__struct_config__.tag_field)
        return ({**parts, **(fields if isinstance(fields, dict) else {"value": fields})},)


def state_type(projection: Projection[Any]) -> Any:
    """Return the type of a projection's states, Any where its class doesn't say."""
    for owner in type(projection).__mro__:
        for base in getattr(owner, "__orig_bases__", ()):
            if get_origin(base) is Projection:
                (argument,) = get_args(base)
                return Any if isinstance(argument, TypeVar) else argument
    return Any


def data_of(event: Event) -> dict[str, Any]:
    """Return the data of an event as a dict: an empty one where it was forgotten, or is nothing of that kind."""
    try:
        data = event.data
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


Facts = TypeVar("Facts", bound=msgspec.Struct)


def facts_reader(facts: type[Facts]) -> Callable[[Event], Facts]:
    """Return a function that reads of an event's data only the fields of a struct, all of which have defaults.

    Fields of other types than `Any` are taken as absent, with all others, where one doesn't fit. Much quicker than
    `data_of` for events that hold much; the last event read is remembered, as keys and state are asked in turn.
    """
    decode, nothing = msgspec.json.Decoder(facts).decode, facts()
    last: tuple[Event | None, Facts] = (None, nothing)

    def read(event: Event) -> Facts:
        nonlocal last
        if last[0] is not event:
            try:
                found = nothing if event.payload is None else decode(event.payload)
            except (ValueError, RecursionError):
                found = nothing
            last = event, found
        return last[1]

    return read


def text(value: Any) -> str:
    """Return a text, "" for anything that isn't one: what agents and clients write may be of any shape."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> int | float:
    """Return a number, 0 for anything that isn't one, or is beyond all bounds."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15
    return value if fits else 0


def keepable(value: Any) -> Any:
    """Return data of an event as a state can keep it: numbers that are too large for JSON's readers become floats."""
    try:
        msgspec.json.decode(msgspec.json.encode(value))
    except (OverflowError, ValueError):
        return json.loads(json.dumps(value), parse_int=_number)
    return value


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < 19 else float(digits)


def run_of(event: Event) -> str:
    """Return the run that an event belongs to, "" for one that belongs to none."""
    family, _, rest = event.stream.partition(".")
    if family == "task":
        return rest.partition(".")[0]
    return rest if family in ("run", "request") else event.run


class _Place(msgspec.Struct, frozen=True, gc=False):
    path: Any = ""


_place = facts_reader(_Place)


def task_of(event: Event) -> tuple[str, str]:
    """Return the run and the path of the task that an event is about; "" for what it doesn't say."""
    family, _, rest = event.stream.partition(".")
    if family == "task":
        run, _, path = rest.partition(".")
        return run, path
    if family in ("run", "request"):
        path = _place(event).path
        return rest, path if isinstance(path, str) else ""
    return event.run, ""
