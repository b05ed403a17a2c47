"""Folding anew what is kept of projections, somewhere else, and comparing: rebuilt equals live.

Changes nothing in the home. What is parked, or rests on payloads that were freed since, is not compared; it is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from ..eventstore import sqlite
from ..eventstore.forgotten import REQUESTED
from ..eventstore.reader import LogReader
from .errors import ProjectionDiffers
from .fingerprint import code_of
from .following import is_of_log
from .registry import all_projections
from .runner import Runner
from .store import FILE, Checkpoint, Store, checkpoints, stored_rows, total_of
from .stored import StoredRows


class Rebuilt(msgspec.Struct, frozen=True):
    """How many projections were folded anew and found equal, how many were left out, and the rows of the first."""

    equal: int
    left_out: int
    rows: int


def check_rebuild(home: Path, log: LogReader, *, progress: Callable[[int, int], None] | None = None) -> Rebuilt:
    """Fold every projection of a home anew, as far as it is folded, and compare the rows.

    Raises ProjectionDiffers for the first that isn't equal, and what reading a log raises.
    """
    good, _ = all_projections()
    codes = {one.name: (code_of(one), one.version) for one in good}
    kept = [one for one in StoredRows(home).checkpoints() if one.live and one.position]
    asked = log.last_position(REQUESTED)
    wanted = {
        one.name: one
        for one in kept
        if (one.code, one.version) == codes.get(one.name) and asked <= one.began and is_of_log(one, log)
    }
    if not wanted:
        return Rebuilt(0, len(kept), 0)
    with TemporaryDirectory(prefix="twelvefold-rebuild-") as folder, Store(Path(folder)) as beside:
        runner = Runner(beside, log, [one for one in good if one.name in wanted])
        equal = 0
        for position in sorted({one.position for one in wanted.values()}):
            runner.catch_up(position, progress=progress)
            for one in [one for one in runner.followed if wanted[one.projection.name].position == position]:
                _compare(home, wanted[one.projection.name], one.checkpoint, beside)
                runner.followed.remove(one)
                equal += 1
    return Rebuilt(equal, len(kept) - equal, sum(one.rows for one in wanted.values()))


def _compare(home: Path, live: Checkpoint, rebuilt: Checkpoint, beside: Store) -> None:
    """Raise ProjectionDiffers unless both have the same rows, and those that are stored are the ones that count."""
    again = dict(stored_rows(beside.connection, rebuilt.id))
    kept: dict[str, str] | None = None
    try:
        connection = sqlite.connect(home / FILE, mode="ro", busy_timeout_ms=1000)
    except sqlite.Error:
        return  # it was removed meanwhile, as anybody may do
    try:
        connection.execute("BEGIN")
        now = next((one for one in checkpoints(connection) if one.id == live.id), None)
        if now is not None and now.position == live.position:
            kept = dict(stored_rows(connection, live.id))
    except sqlite.Error:
        kept = None
    finally:
        connection.close()
    differs = (live.rows, live.hash) != (rebuilt.rows, rebuilt.hash)
    if kept is not None:
        total = total_of(kept.items())
        differs = differs or (total.rows, total.hash) != (rebuilt.rows, rebuilt.hash)
    if differs:
        keys = sorted(again.keys() | (kept or {}).keys())
        first = next((key for key in keys if kept is not None and kept.get(key) != again.get(key)), "")
        raise ProjectionDiffers(live.name, live.position, first, str(home / FILE))
