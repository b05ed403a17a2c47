"""A log of events that come from another one, at the positions and with the hashes that they have there.

For runs that are read elsewhere than where they were made. The file is a log that `LogReader` reads like any other, but
its positions have gaps, and nobody appends to it. Leaves proving that the events are true to `proof`. It is made whole
or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from . import rows, sqlite, storage
from .blob_names import blobs_named
from .event import Event
from .migrations import migrate
from .names import prefixes
from .storage_errors import TargetExists

_INSERT = f"INSERT INTO events ({rows.COLUMNS}) VALUES ({','.join('?' * 16)})"
_HEADS = "INSERT INTO type_heads VALUES (?,?) ON CONFLICT DO UPDATE SET position = excluded.position"
_BATCH = 1000


def write_kept_log(path: Path, events: Iterable[Event]) -> int:
    """Write events, in the order of their positions, to a new log at `path`, synced; return how many there were.

    Raises TargetExists and storage errors.
    """
    draft = path.with_name(path.name + ".partial")
    if os.path.lexists(path):
        raise TargetExists(str(path))
    try:
        draft.unlink(missing_ok=True)
        connection = sqlite.connect(draft)
        try:
            # One plain file, which can be read where nobody may write beside it.
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
            migrate(connection)
            connection.execute("BEGIN IMMEDIATE")
            count = _insert(connection, events)
            connection.execute("COMMIT")
        finally:
            connection.close()
        draft.chmod(0o400)
        draft.rename(path)
        storage.sync_folder(path.parent)
    except (sqlite.Error, OSError) as error:
        raise storage.in_words(error, path) from error
    return count


def _insert(connection: sqlite.Connection, events: Iterable[Event]) -> int:
    heads: dict[str, int] = {}
    count = 0
    batch: list[tuple[object, ...]] = []
    blobs: list[tuple[str, int]] = []
    for event in events:
        count += 1
        batch.append(msgspec.structs.astuple(event))
        if event.payload is not None and '"blob"' in event.payload:
            blobs += [(blob, event.position) for blob in blobs_named(event.payload)]
        for pattern in prefixes(event.type)[1:]:
            heads[pattern] = event.position
        if len(batch) == _BATCH:
            connection.executemany(_INSERT, batch)
            batch.clear()
    connection.executemany(_INSERT, batch)
    connection.executemany("INSERT OR IGNORE INTO blob_names VALUES (?,?)", blobs)
    connection.executemany(_HEADS, heads.items())
    return count
