"""Consistent copies of a log while it stays in use.

The log is copied first, then the blobs it names: a blob is stored before the event that names it, so every blob that
the copy names is there. To restore, put the copy as `log.db` into a new home, and its blobs' folder as `blobs`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from . import sqlite, storage
from .blobs import BlobStore, names_of
from .reader import LogReader
from .storage_errors import TargetExists


class Backup(msgspec.Struct, frozen=True):
    """What a backup holds: its file and last position, its blobs' folder (None where the log names none) and number."""

    file: Path
    head: int
    blobs_folder: Path | None
    blobs: int


def backup_home(home: Path, target: Path) -> Backup:
    """Copy a home's log to a new file and the blobs it names to `<target>.blobs`, whether a bus runs or not.

    Raises TargetExists, LogNotFound, BlobMissing or a storage error.
    """
    folder = target.with_name(target.name + ".blobs")
    if folder.exists():
        raise TargetExists(str(folder))
    with LogReader(home / "log.db") as reader:
        reader.ask(lambda connection, path: copy_log(connection, path, target), reader.path)
    with LogReader(target) as copy:
        head, named = copy.head, sorted(copy.ask(names_of, None))
    if named:
        _copy_blobs(BlobStore(home / "blobs"), named, folder)
    return Backup(target, head, folder if named else None, len(named))


def copy_log(connection: sqlite.Connection, path: Path, target: Path) -> None:
    """Copy an open log to a new, synced file, named only when it is whole; raises TargetExists or a storage error."""
    if target.exists():
        raise TargetExists(str(target))
    draft = target.with_name(target.name + ".partial")
    try:
        draft.unlink(missing_ok=True)
        copy = sqlite.connect(draft)
        try:
            connection.backup(copy)
            # One plain file: the copy has no writer yet that would need a write-ahead file beside it.
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
        draft.unlink(missing_ok=True)
        raise storage.in_words(error, target if isinstance(error, OSError) else path) from error


def _copy_blobs(store: BlobStore, named: list[str], folder: Path) -> None:
    """Copy blobs in the store's own layout, each synced; raises BlobMissing or a storage error."""
    try:
        for sha256 in named:
            place = folder / sha256[:2] / sha256
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(store.path(sha256), place)
            _sync(place)
            storage.sync_folder(place.parent)
        storage.sync_folder(folder)
    except OSError as error:
        raise storage.in_words(error, folder) from error


def _sync(file: Path) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
