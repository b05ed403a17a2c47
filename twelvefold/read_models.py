"""Read models of a home as programs and commands ask for them: rows as of a position, changes between two, standing.

Joins the home's log, the rows that are kept beside it, and the projections that there are. Needs no bus. Rows come as
people see them: the parts of the key and the fields, times in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from .eventstore.reader import LogReader
from .moments import parse_moment, position_before
from .projections.errors import PositionUnknown
from .projections.projection import Projection
from .projections.registry import all_projections
from .projections.state import keep_up, state_at
from .projections.stored import StoredRows

#: So many events are folded anew for each question rather than kept.
FOLD_MAX = 20_000
_END = ("end", "head")


class Standing(msgspec.Struct, frozen=True):
    """How far a projection is folded. `state` is live, behind (folded when it is asked for), parked, rebuilding, or
    broken (it can't be loaded, `error` says why).
    """

    projection: str
    state: str
    position: int
    lag: int
    rows: int
    version: int | None = None
    parked_at: int | None = None
    error: str | None = None


def position_of(log: LogReader, at: str | None, now_ns: int) -> int:
    """Return the position that a text stands for: a number, a moment (`5m`, ISO 8601), `end`; the end where None.

    Raises PositionUnknown and MomentInvalid.
    """
    head = log.head
    text = "end" if at is None else at.strip()
    if text in _END:
        return head
    if text.isascii() and text.isdigit():
        position = int(text[:30])
        if position > head:
            raise PositionUnknown(position, head)
        return position
    return position_before(log, parse_moment(text, now_ns) + 1)


def rows_at(
    home: Path,
    log: LogReader,
    projection: Projection[Any],
    position: int,
    run: str | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Return the states of a projection as of a position, by key; with a run what its events alone say.

    What it took long to fold is kept in the home. Raises ProjectionFailed, and what reading a log raises.
    """
    if run is not None:
        return state_at(log, projection, position, run=run)
    stored = StoredRows(home)
    known = stored.checkpoint(projection.name)
    if position - (known.position if known is not None else 0) > FOLD_MAX:
        keep_up(home, log, projection, position, progress=progress)
    return state_at(log, projection, position, stored=stored)


def shown(projection: Projection[Any], rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield rows as people see them."""
    for key, state in rows.items():
        yield from projection.shown(key, state)


def standings(home: Path, log: LogReader) -> list[Standing]:
    """Return how far each projection is folded."""
    head = log.head
    known = StoredRows(home).checkpoints()
    good, broken = all_projections()
    found = []
    for projection in good:
        mine = [one for one in known if one.name == projection.name]
        live = next((one for one in mine if one.live), None)
        # The newer rows, which are being built, say what is wrong with them.
        newest = next((one for one in mine if not one.live), live)
        position = live.position if live is not None else 0
        state = "live" if position == head else "behind"
        if newest is not None and newest.parked is not None:
            state = "parked"
        elif newest is not live:
            state = "rebuilding"
        found.append(
            Standing(
                projection.name,
                state,
                position,
                head - position,
                live.rows if live is not None else 0,
                projection.version,
                newest.parked if newest is not None else None,
                (newest.error or None) if newest is not None else None,
            )
        )
    found += [Standing(one.name, "broken", 0, head, 0, error=one.reason) for one in broken]
    return found
