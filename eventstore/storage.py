"""The log's file: made whole or not at all, opened only when it is ours, and its errors put into words.

A new log is built under another name and renamed, so that `log.db` is always a complete log; anything else in its
place is refused untouched. Leaves the lock to the caller: only its holder may open the file for writing.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import sqlite
from .errors import TwelvefoldError
from .migrations import SCHEMA_VERSION, migrate
from .presence import is_there
from .storage_errors import (
    CorruptLog,
    ForeignFile,
    LogLocked,
    LogNotAccessible,
    LogNotFound,
    NewerSchema,
    StorageFailed,
    StorageFull,
    StrayWal,
)

#: 32 MiB: holds the upper levels of every index of a log of ten million events.
_CACHE_KIB = 32 * 1024
#: How long a commit waits for a foreign program that holds the file's write lock, in milliseconds.
BUSY_TIMEOUT_MS = 1000
#: Of a new log, in bytes; an older file keeps its own.
PAGE_SIZE = 4096
#: Where a file's header says how it is written to, and what it says where no write-ahead file belongs to it.
_FORMAT_AT, _FORMAT_WITHOUT_WAL = 18, b"\1"
#: Of the file beside the log that its openers share, in bytes, at least.
_SHARED_MEMORY_SIZE = 32 * 1024
_NO_ACCESS = (sqlite.READ_ONLY, sqlite.PERMISSION, sqlite.CANNOT_OPEN)


def open_writer(path: Path, durability: str, page_count_max: int | None) -> sqlite.Connection:
    """Open the log for its one writer, making or migrating it; raises a TwelvefoldError and leaves nothing open."""
    try:
        if not is_there(path):
            _create(path)
        _refuse_stray_wal(path)
        connection = _checked(path, "rwc")
    except (sqlite.Error, OSError) as error:
        raise _unopened(error, path) from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if connection.execute("PRAGMA user_version").fetchone()[0] < SCHEMA_VERSION:
            migrate(connection)
        _empty_wal(connection)
        if page_count_max is not None:
            connection.execute(f"PRAGMA max_page_count = {page_count_max}")
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite.Error):
            raise _unopened(error, path) from error
        raise
    return connection


def _unopened(error: sqlite.Error | OSError, path: Path) -> TwelvefoldError:
    """Say why the log did not open: SQLite calls it an I/O error, too, when its shared memory found no space."""
    free = _free_bytes(path)
    if sqlite.result_code(error) == sqlite.IO_ERROR and free < _SHARED_MEMORY_SIZE:
        return StorageFull(str(path), free)
    return in_words(error, path)


def _empty_wal(connection: sqlite.Connection) -> None:
    """Move what a dead process left in the WAL into the file, synced, before anything is built on it.

    If that process's last sync failed, pages may be in the kernel's cache only, marked clean, and no later sync of the
    WAL would write them. Where there is no space for it, the log opens all the same: what it holds can be read.
    """
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite.Error as error:
        if sqlite.result_code(error) != sqlite.FULL:
            raise


def open_reader(path: Path) -> sqlite.Connection:
    """Open the log read-only, beside its writer or without one; raises a TwelvefoldError."""
    if not is_there(path):
        raise LogNotFound(str(path))
    try:
        return _checked(path, "ro")
    except sqlite.Error as error:
        if _nobody_writes(path, sqlite.result_code(error)):
            try:
                return _checked(path, "ro&immutable=1")
            except sqlite.Error as second:
                error = second
        raise _unopened(error, path) from error


def _nobody_writes(path: Path, code: int) -> bool:
    """Tell whether a log that did not open, with this code, can be read as a plain file.

    SQLite needs its shared memory beside the file; where that cannot be made, nothing can be writing either.
    """
    if code == sqlite.IO_ERROR and _size_of(path.with_name(path.name + "-shm")) >= _SHARED_MEMORY_SIZE:
        return False
    return code in (*_NO_ACCESS, sqlite.IO_ERROR) and _size_of(wal_of(path)) == 0


def _checked(path: Path, mode: str) -> sqlite.Connection:
    """Open the file and require it to be ours; raises sqlite.Error, ForeignFile or NewerSchema."""
    connection = sqlite.connect(path, mode=mode, busy_timeout_ms=BUSY_TIMEOUT_MS)
    try:
        require_ours(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_stray_wal(path: Path) -> None:
    """Raise StrayWal where the log says that it has no write-ahead file, and one with content lies there.

    So it is where a backup was put in the place of a log whose process was killed: SQLite would play the file into it.
    """
    left = wal_of(path)
    if _size_of(left) > 0:
        # Only before SQLite has opened the file in this process: closing it here would drop SQLite's locks.
        with path.open("rb") as file:
            header = file.read(_FORMAT_AT + 1)
        if header.startswith(b"SQLite format 3\0") and header[_FORMAT_AT:] == _FORMAT_WITHOUT_WAL:
            raise StrayWal(str(path), str(left))


def require_ours(connection: sqlite.Connection, path: Path) -> None:
    """Raise ForeignFile or NewerSchema unless the file is a log that this version knows; raises sqlite.Error too."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != sqlite.APPLICATION_ID:
        empty = path.stat().st_size == 0
        raise ForeignFile(str(path), "it is empty" if empty else "it is a database of another program")
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema > SCHEMA_VERSION:
        raise NewerSchema(str(path), schema, SCHEMA_VERSION)


def wal_of(path: Path) -> Path:
    """Return the path of the log's write-ahead file."""
    return path.with_name(path.name + "-wal")


def in_words(error: BaseException, path: Path) -> TwelvefoldError:
    """Turn an error of SQLite or of the system into ours."""
    if isinstance(error, OSError):
        return LogNotAccessible(str(path), error.strerror or str(error))
    code = sqlite.result_code(error)
    reason = f"{error} ({sqlite.result_name(error)})"
    if code == sqlite.FULL:
        return StorageFull(str(path), _free_bytes(path))
    if code == sqlite.NOT_A_DATABASE:
        return ForeignFile(str(path), "it is no SQLite database")
    if code == sqlite.CORRUPT or "Could not decode to UTF-8" in reason:
        return CorruptLog(str(path), 0, reason)
    if code in _NO_ACCESS:
        return LogNotAccessible(str(path), reason)
    if code in (sqlite.BUSY, sqlite.LOCKED):
        return LogLocked(str(path), 0)
    return StorageFailed(str(path), reason)


def _create(path: Path) -> None:
    """Build a new log beside its place and rename it there; raises sqlite.Error, OSError or StrayWal."""
    left = wal_of(path)
    if _size_of(left) > 0:
        # SQLite would replay it into the new, empty file.
        raise StrayWal(str(path), str(left))
    draft = path.with_name(path.name + ".new")
    for leftover in (draft, wal_of(draft), draft.with_name(draft.name + "-shm")):
        leftover.unlink(missing_ok=True)
    connection = sqlite.connect(draft)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection)
    finally:
        connection.close()
    draft.chmod(0o600)
    draft.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _free_bytes(path: Path) -> int:
    try:
        status = os.statvfs(path.parent)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize
