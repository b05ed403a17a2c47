"""Forking a run: a new run that shares what its parent did up to a position, and goes on from there.

Owns the shape of `run.forked` and what is checked before one is appended. What a fork begins with stands in `forked`,
what is decided first in `fork_start`. Nothing is copied, and nothing of the parent changes, whatever it is doing.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ..eventstore.event import Event, NewEvent, new_event
from ..eventstore.forgotten import REQUESTED, RunForgotten
from ..eventstore.ids import derived_id
from ..eventstore.large_values import Load
from ..eventstore.run import FORKED, Part, Readable, find_parts
from .errors import RunNotFound
from .evolve import evolve
from .fork_changes import changed
from .fork_errors import ForkEnded, ForkOutside, LayerUnknown
from .forked import LAYERS
from .large_decisions import shrunk
from .run_state import ENDS, Run, fact_of
from .submit import new_run_id

if TYPE_CHECKING:
    from ..bus.client import BusClient

#: Asks for one page of the log by the arguments of `read`, and is handed its events.
Steps = Generator[dict[str, Any], list[Event], NewEvent]


def fork(
    client: BusClient,
    run: str,
    at: int,
    *,
    live: Sequence[str] | str = (),
    set: Mapping[str, Any] | None = None,
    new: str = "",
    caller: Any = None,
    trace: str = "",
) -> str:
    """Fork a run after the event at a position, and return the new run's id once that is durable.

    It goes on from there with today's code. `live` names the layers of effects (`model`, `tools`) that are done for
    real; the others are answered from the record of the forked run, and what isn't recorded fails its task, reason
    `recorded_miss`. `set` changes what the run was asked for (see `fork_changes`). With a `new` id of the caller's own,
    forking the same again starts nothing new. Raises RunNotFound, ForkOutside, ForkEnded, LayerUnknown,
    ForkChangeInvalid.
    """
    about: dict[str, Any] = {"set": set, "new": new, "caller": caller, "trace": trace}
    event = fork_request(client, run, at, live=live, load=client.blobs.load, **about)
    return client.emit_many(shrunk([event], client.blobs.put))[0].run


def fork_request(log: Readable, run: str, at: int, **about: Any) -> NewEvent:
    """Return the event that begins a fork, and raise what is wrong with it; arguments as for `fork_steps`."""
    steps = fork_steps(run, at, **about)
    try:
        asked = next(steps)
        while True:
            asked = steps.send(list(log.read(**asked)))
    except StopIteration as made:
        return made.value  # type: ignore[no-any-return]


def fork_steps(
    run: str,
    at: int,
    *,
    live: Sequence[str] | str = (),
    set: Mapping[str, Any] | None = None,
    new: str = "",
    caller: Any = None,
    trace: str = "",
    load: Load | None = None,
) -> Steps:
    """Return, for whoever reads the log in its own way, the event that begins a fork; arguments and errors as `fork`'s.

    A few events are read, however long the run is.
    """
    live = checked_layers(live)
    head = max([event.position for event in (yield {"limit": 1, "reverse": True})], default=0)
    whole = yield from _parts(run, head)
    if not whole[0].first:
        raise RunNotFound(run)
    if not whole[-1].first <= at <= head:
        raise ForkOutside(run, at, whole[-1].first, head)
    parts = [part._replace(until=min(at, part.until)) for part in whole]
    yield from _check_open(run, at, parts)
    yield from _check_asked(run, parts, set or {}, load)
    (cut,) = yield {"after": at - 1, "until": at, "limit": 1}
    # The log's event at the cut may be anybody's.
    own = _newest(parts)
    last = yield {"run": own.run, "until": own.until, "limit": 1, "reverse": True}
    lineage = [
        {"run": part.run, "until": part.until, "record": uncut.until if n else None}
        for n, (part, uncut) in enumerate(zip(parts, whole, strict=True))
    ]
    new = new or new_run_id()
    data = {
        "parent": run,
        "at": at,
        "at_time": cut.time,
        "lineage": lineage,
        "live": list(live),
        "set": dict(set or {}),
        "caller": caller,
    }
    id = derived_id(new, "", FORKED)
    return new_event(FORKED, data, stream=f"run.{new}", id=id, run=new, cause=(last or [cut])[0].id, trace=trace)


def _parts(run: str, until: int) -> Generator[dict[str, Any], list[Event], list[Part]]:
    looking = find_parts(run, until)
    try:
        stream = next(looking)
        while True:
            found = yield {"stream": stream, "limit": 1}
            stream = looking.send(found[0] if found else None)
    except StopIteration as parts:
        return parts.value  # type: ignore[no-any-return]


def _newest(parts: Sequence[Part]) -> Part:
    """Return the part in which the cut lies: where it was made before a fork began, that is its parent's."""
    return next(part for part in parts if part.first <= part.until)


def _check_open(run: str, at: int, parts: Sequence[Part]) -> Generator[dict[str, Any], list[Event], None]:
    """Raise ForkEnded where the run had ended by the cut: the last event of its stream says so."""
    own = _newest(parts)
    found = yield {"stream": f"run.{own.run}", "until": own.until, "limit": 1, "reverse": True}
    for last in found:
        family, _, outcome = last.type.partition(".")
        if family == "run" and outcome in ENDS:
            raise ForkEnded(run, at, outcome, last.position, max(parts[-1].first, last.seen - 1))


def _check_asked(
    run: str, parts: Sequence[Part], changes: Mapping[str, Any], load: Load | None
) -> Generator[dict[str, Any], list[Event], None]:
    """Raise RunForgotten where what is to be shared is freed, ForkChangeInvalid where a change doesn't fit."""
    state = Run(run)
    for part in reversed(parts):
        for asked in (yield {"stream": f"request.{part.run}", "type": REQUESTED, "limit": 1}):
            since = datetime.fromtimestamp(asked.time // 10**9, UTC)
            raise RunForgotten(part.run, f"{since:%Y-%m-%dT%H:%M:%SZ}", "be forked")
        for first in (yield {"stream": f"run.{part.run}", "limit": 1}):
            fact = fact_of(first, load)
            if first.type == FORKED:
                given = fact.data.get("set")
                state = changed(state, given) if isinstance(given, dict) else state
            else:
                state = evolve(state, fact)
    changed(state, changes)


def checked_layers(given: Sequence[str] | str) -> tuple[str, ...]:
    """Return the layers that are named, in their order; of text those between commas. Raises LayerUnknown."""
    names = [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else given
    for name in names:
        if name not in LAYERS:
            raise LayerUnknown(name)
    return tuple(layer for layer in LAYERS if layer in names)


def as_value(text: str) -> Any:
    """Read a value as it is given on a command line: JSON where it is that, else the text as it stands."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
