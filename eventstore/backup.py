"""Consistent copies of a log and its blobs while both stay in use.

The log is copied first, then the blobs it names: a blob is stored before the event that names it, so every blob that
the copy names is there. Everything is made in a folder beside the target and gets its name last, the log after its
blobs: a target that exists is whole. To restore, put the copy as `log.db` into a new home, and its blobs' folder as
`blobs`.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import msgspec

from . import sqlite, storage
from .blobs import BlobStore, names_of
from .reader import LogReader
from .storage_errors import BackupFailed, TargetExists

#: SQLite's codes for a fault of what is copied; any other one is the copy's.
_SOURCE_FAULTS = (sqlite.CORRUPT, sqlite.NOT_A_DATABASE)
#: What file systems without hard links (FAT) answer to one.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class Backup(msgspec.Struct, frozen=True):
    """What a backup holds: its file and last position, its blobs' folder (None where the log names none) and number."""

    file: Path
    head: int
    blobs_folder: Path | None
    blobs: int


def backup_home(home: Path, target: Path) -> Backup:
    """Copy a home's log to a new file and the blobs it names to `<target>.blobs`, whether a bus runs or not.

    Both are readable by their owner only. Raises TargetExists, BackupFailed (which leaves nothing behind), LogNotFound,
    BlobMissing or a storage error. A process that is killed leaves `<target>.partial`.
    """
    folder, draft = (target.with_name(target.name + suffix) for suffix in (".blobs", ".partial"))
    for place in (target, folder):
        if os.path.lexists(place):
            raise TargetExists(str(place))
    with LogReader(home / "log.db") as reader:
        try:
            draft.mkdir(mode=0o700)
        except FileExistsError:
            raise TargetExists(str(draft)) from None
        except OSError as error:
            raise BackupFailed(str(target), error.strerror or str(error)) from error
        try:
            reader.ask(_copy_log, (draft / "log.db", target))
            with LogReader(draft / "log.db") as copy:
                head, named = copy.head, sorted(copy.ask(names_of, None))
            if named:
                _copy_blobs(BlobStore(home / "blobs"), named, draft / "blobs")
            _name(draft, target, folder if named else None)
        except FileExistsError as error:
            raise TargetExists(str(error.filename2 or target)) from None
        except OSError as error:
            raise BackupFailed(str(target), error.strerror or str(error)) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return Backup(target, head, folder if named else None, len(named))


def _copy_log(connection: sqlite.Connection, files: tuple[Path, Path]) -> None:
    """Copy an open log to the first, new file, synced, for the backup named second.

    Raises OSError and BackupFailed for the copy, and sqlite.Error for what is copied.
    """
    file, target = files
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    copy = sqlite.connect(file)
    try:
        connection.backup(copy)
        # One plain file: the copy has no writer yet that would need a write-ahead file beside it.
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite.Error as error:
        if sqlite.result_code(error) in _SOURCE_FAULTS:
            raise
        raise BackupFailed(str(target), f"{error} ({sqlite.result_name(error)})") from error
    finally:
        copy.close()
    _sync(file)


def _copy_blobs(store: BlobStore, named: list[str], folder: Path) -> None:
    """Copy blobs in the store's own layout, each synced; raises OSError or BlobMissing."""
    folder.mkdir(mode=0o700)
    for sha256 in named:
        place = folder / sha256[:2] / sha256
        place.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(store.path(sha256), place)
        place.chmod(0o400)
        _sync(place)
    for made in folder.glob("*"):
        storage.sync_folder(made)
    storage.sync_folder(folder)


def _name(draft: Path, target: Path, blobs: Path | None) -> None:
    """Give a finished draft its names, the log's last, replacing nothing; raises OSError."""
    if blobs is not None:
        (draft / "blobs").rename(blobs)
        storage.sync_folder(blobs.parent)
    try:
        try:
            os.link(draft / "log.db", target)
        except OSError as error:
            if error.errno not in _NO_LINKS or target.exists():
                raise
            (draft / "log.db").rename(target)
    except OSError:
        if blobs is not None:
            shutil.rmtree(blobs)
        raise
    storage.sync_folder(target.parent)


def _sync(file: Path) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
