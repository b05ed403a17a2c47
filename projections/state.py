"""The state of a projection as of any position, and what differs between two of them.

Owns the way to it that costs least: from the rows or the snapshot that lie nearest before, and the events from there.
`state_at` changes nothing; `keep_up` keeps what was folded, where nobody else does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..eventstore.reader import LogReader
from .errors import StoreBusy, StoreFailed
from .folding import Fold, fold_log, pages
from .projection import Projection
from .runner import Runner
from .store import Store
from .stored import StoredRows


def state_at(
    log: LogReader,
    projection: Projection[Any],
    position: int | None = None,
    *,
    run: str | None = None,
    stored: StoredRows | None = None,
) -> dict[str, Any]:
    """Return the rows of a projection, by key, as of a position (the log's head as of now, where None).

    With a run, only its events count: of a projection by run that gives its own rows, of another what the run alone
    has done to them. `stored` are rows and snapshots to begin at. Raises ProjectionFailed, and what reading a log
    raises.
    """
    until = log.head if position is None else min(position, log.head)
    if run is not None:
        return fold_log(projection, log, until=until, run=run)
    start = None if stored is None else stored.nearest(projection, log, until)
    fold = Fold(projection, log=log)
    after = 0
    if start is not None:
        after = start.position
        fold.states.update(start.rows)
    if after < until:
        for page in pages(log, after, until):
            fold.take(page)
    return dict(fold.rows())


def keep_up(
    home: Path,
    log: LogReader,
    projection: Projection[Any],
    until: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Fold a projection up to a position and keep its rows in the home; False where that can't be, or others do it.

    Nothing is lost then: `state_at` folds what is missing. Raises what reading the log raises.
    """
    try:
        with Store(home) as store:
            Runner(store, log, [projection]).catch_up(until, progress=progress)
    except (StoreBusy, StoreFailed):
        return False
    return True


class Change(msgspec.Struct, frozen=True):
    """What became of one row between two positions: `kind` is added, removed or changed.

    `fields` are what differs, each with its value before and after; of a state without fields the only one is "".
    """

    key: str
    kind: str
    before: Any
    after: Any
    fields: dict[str, tuple[Any, Any]]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return what differs between the rows of two positions, in the order of their keys."""
    found = []
    for key in sorted(before.keys() | after.keys()):
        one, other = plain(before.get(key)), plain(after.get(key))
        if one == other:
            continue
        kind = "added" if key not in before else "removed" if key not in after else "changed"
        found.append(Change(key, kind, one, other, _fields(one, other)))
    return found


def plain(state: Any) -> Any:
    """Return a state as JSON has it."""
    return msgspec.to_builtins(state)


def _fields(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    if not isinstance(before, dict | None) or not isinstance(after, dict | None):
        return {"": (before, after)}
    one, other = before or {}, after or {}
    names = dict.fromkeys([*one, *other])
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}
