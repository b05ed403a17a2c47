"""Consistent copies of a log while it stays in use.

The log is copied first, then the blobs it names: a blob is stored before the event that names it, so every blob that
the copy names is there.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import sqlite, storage
from .storage_errors import TargetExists


def copy_log(connection: sqlite.Connection, path: Path, target: Path) -> None:
    """Copy an open log to a new file, named only when it is whole and synced; raises TargetExists or a storage error"""
    if target.exists():
        raise TargetExists(str(target))
    draft = target.with_name(target.name + ".partial")
    draft.unlink(missing_ok=True)
    try:
        copy = sqlite.connect(draft)
        try:
            connection.backup(copy)
            # One plain file: the copy has no writer yet that would need a WAL beside it.
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
        finally:
            copy.close()
        _sync(draft)
        os.link(draft, target)
        draft.unlink()
        storage.sync_folder(target.parent)
    except FileExistsError:
        raise TargetExists(str(target)) from None
    except (sqlite.Error, OSError) as error:
        raise storage.in_words(error, target if isinstance(error, OSError) else path) from error
    finally:
        draft.unlink(missing_ok=True)


def _sync(file: Path) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
