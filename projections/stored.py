"""Reading the rows of projections beside their writer, or while nothing writes: checkpoints, rows, snapshots, waiting.

Opens the file read-only, for one question at a time. Keeps: rows are given out only where they are of this very log and
hash to what was folded; damaged ones count as not there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ..eventstore import sqlite
from ..eventstore.forgotten import DONE as FORGOTTEN
from ..eventstore.presence import is_there
from ..eventstore.reader import LogReader
from .errors import ProjectionBehind
from .fingerprint import code_of
from .following import is_of_log
from .projection import Projection, state_type
from .store import FILE, Checkpoint, checkpoints, is_readable, stored_rows, total_of

_BUSY_TIMEOUT_MS = 1_000
_FIRST_LOOK_S, _LAST_LOOK_S = 0.002, 0.05
#: The rows as of a snapshot: those that have not changed since, and of the others what they were.
_KEPT = (
    "SELECT key, state FROM rows WHERE projection = :id AND changed <= :at UNION ALL "
    "SELECT key, state FROM history WHERE projection = :id AND changed <= :at AND until > :at"
)
_SNAPSHOT = (
    "SELECT position, log_hash, rows, hash FROM snapshots WHERE projection = ? AND position <= ? "
    "ORDER BY position DESC LIMIT 1"
)


class Standing(msgspec.Struct, frozen=True):
    """Rows as of a position, by key."""

    position: int
    rows: dict[str, Any]


class StoredRows:
    """The file with the rows of a home, which need not be there."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE

    def checkpoints(self) -> list[Checkpoint]:
        """Return how far each projection is folded; none where there is no file, or none that can be read."""
        with self._opened() as connection:
            if connection is None:
                return []
            try:
                return checkpoints(connection)
            except sqlite.Error:
                return []

    def checkpoint(self, name: str) -> Checkpoint | None:
        """Return how far a projection is folded, None where it never was."""
        return next((one for one in self.checkpoints() if one.name == name and one.live), None)

    def wait(self, name: str, position: int, timeout_s: float) -> Checkpoint:
        """Wait until a projection has folded the event at a position, and return how far it is folded.

        So whoever has written reads what it wrote. Raises ProjectionBehind after the timeout, or as soon as the
        projection is parked before that position.
        """
        deadline, pause = time.monotonic() + timeout_s, _FIRST_LOOK_S
        while True:
            found = self.checkpoint(name)
            if found is not None and found.position >= position:
                return found
            left = deadline - time.monotonic()
            if left <= 0 or (found is not None and found.parked is not None):
                at, why = (found.position, found.error) if found is not None else (0, "nothing has folded it yet")
                raise ProjectionBehind(name, position, at, why)
            # Nothing tells of a commit in another process, so it is looked for, less and less often.
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LAST_LOOK_S)

    def nearest(self, projection: Projection[Any], log: LogReader, until: int) -> Standing | None:
        """Return the rows as of the last position up to `until` that is kept, None where none can be used."""
        code, version = code_of(projection), projection.version
        with self._opened() as connection:
            if connection is None:
                return None
            try:
                connection.execute("BEGIN")
                mine = [
                    one
                    for one in checkpoints(connection)
                    if (one.name, one.code, one.version) == (projection.name, code, version)
                    and is_of_log(one, log)
                    # What was forgotten since isn't given out any more.
                    and log.last_position(FORGOTTEN) <= one.began
                ]
                found = [self._standing(connection, one, projection, log, until) for one in mine]
            except (sqlite.Error, msgspec.MsgspecError):
                # Whatever is wrong with it: the log is there.
                return None
        return max((one for one in found if one is not None), key=lambda one: one.position, default=None)

    def _standing(
        self, connection: sqlite.Connection, one: Checkpoint, projection: Projection[Any], log: LogReader, until: int
    ) -> Standing | None:
        if one.position <= until:
            rows, taken = list(stored_rows(connection, one.id)), one
        else:
            row = connection.execute(_SNAPSHOT, (one.id, until)).fetchone()
            if row is None:
                return None
            taken = msgspec.structs.replace(one, position=row[0], log_hash=row[1], rows=row[2], hash=row[3])
            if not is_of_log(taken, log):
                return None
            rows = connection.execute(_KEPT, {"id": one.id, "at": taken.position}).fetchall()
        total = total_of(rows)
        if (total.rows, total.hash) != (taken.rows, taken.hash):
            return None
        decode = msgspec.json.Decoder(state_type(projection)).decode
        return Standing(taken.position, {key: decode(state) for key, state in rows})

    @contextmanager
    def _opened(self) -> Iterator[sqlite.Connection | None]:
        """Open the file for one question; None where there is none, or another program's."""
        if not is_there(self.path):
            yield None
            return
        try:
            connection = sqlite.connect(self.path, mode="ro", busy_timeout_ms=_BUSY_TIMEOUT_MS)
        except sqlite.Error:
            yield None
            return
        try:
            yield connection if _is_ours(connection) else None
        finally:
            connection.close()


def _is_ours(connection: sqlite.Connection) -> bool:
    try:
        return is_readable(connection)
    except sqlite.Error:
        return False
