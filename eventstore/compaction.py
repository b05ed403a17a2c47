"""Freeing payloads, and giving back the space of what was freed.

A freed payload leaves a hole in its page, which later events, that go to the file's end, don't fill; and it still
stands in the write-ahead file until that is emptied. Leaves when to do either to the log's owner. Raises sqlite.Error.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import sqlite
from .sqlite import Connection
from .storage import BUSY_TIMEOUT_MS

_FREE = "UPDATE events SET data = NULL WHERE position = ? AND data IS NOT NULL"
#: Codes after which emptying the write-ahead file is tried again later: others are at it, or space is short.
_LATER = (sqlite.BUSY, sqlite.LOCKED, sqlite.FULL)


def free(connection: Connection, positions: Sequence[int]) -> None:
    """Free payloads, with zeros written over them: what is to be forgotten shall not lie about in the file."""
    connection.execute("PRAGMA secure_delete = ON")
    try:
        connection.executemany(_FREE, [(position,) for position in positions])
    finally:
        connection.execute("PRAGMA secure_delete = OFF")


def wipe(connection: Connection) -> bool:
    """Move the write-ahead file into the log and empty it; False where a reader stands in its way."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite.Error as error:
        if sqlite.result_code(error) not in _LATER:
            raise
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return not busy


def rewrite(connection: Connection) -> None:
    """Write the file anew without holes, in one transaction: whoever is killed meanwhile leaves it as it was."""
    connection.execute("VACUUM")
    wipe(connection)


def is_named(connection: Connection, blob: str) -> bool:
    """Tell whether a remaining event names a blob."""
    return connection.execute("SELECT 1 FROM blob_names WHERE blob = ? LIMIT 1", (blob,)).fetchone() is not None
