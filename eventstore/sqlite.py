"""Which SQLite this process uses, decided here and nowhere else.

The newest one through `pysqlite3` where it is installed, else the standard library's; `sqlite-utils` decides the same
way, so a process holds ONE library: two of them on one file would drop each other's POSIX locks. Leaves what is stored
to the migrations, and who may write to the lock.
"""

from __future__ import annotations

import sqlite3 as stdlib_sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    sqlite3 = stdlib_sqlite3
else:
    try:
        import pysqlite3 as sqlite3
    except ImportError:
        sqlite3 = stdlib_sqlite3

Connection = stdlib_sqlite3.Connection
Error = sqlite3.Error
IntegrityError = sqlite3.IntegrityError
Row = tuple[object, ...]

#: Primary result codes of SQLite (https://sqlite.org/rescode.html); an extended code's low byte is its primary one.
PERMISSION, BUSY, LOCKED, READ_ONLY, IO_ERROR, CORRUPT, FULL, CANNOT_OPEN, NOT_A_DATABASE = (
    3,
    5,
    6,
    8,
    10,
    11,
    13,
    14,
    26,
)
#: Marks the file as ours in its header, so that a foreign file is known before anything is written to it.
APPLICATION_ID = 0x5457_4C56


def connect(path: Path, *, mode: str = "rwc", busy_timeout_ms: int = 0) -> Connection:
    """Open a file in autocommit mode, "rwc" (made where it is missing), "ro", or "ro&immutable=1"; raises Error.

    The connection serves the thread that made it, and is refused to others.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    flags: dict[str, Any] = {} if sqlite3 is stdlib_sqlite3 else {"flags": _flags(mode)}
    connection: Connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=busy_timeout_ms / 1000, **flags
    )
    return connection


def connect_to_memory() -> Connection:
    """Open a new, empty database that ends with its connection."""
    connection: Connection = sqlite3.connect(":memory:", isolation_level=None)
    return connection


def _flags(mode: str) -> int:
    """Leave out the mutex of the connection: taken for each value bound or read, it costs a fifth of a read."""
    library: Any = sqlite3
    opening: int = library.SQLITE_OPEN_READWRITE | library.SQLITE_OPEN_CREATE
    if mode.startswith("ro"):
        opening = library.SQLITE_OPEN_READONLY
    return opening | int(library.SQLITE_OPEN_URI) | int(library.SQLITE_OPEN_NOMUTEX)


def result_code(error: BaseException) -> int:
    """Return the primary result code of an error, 0 where it has none."""
    code: int = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF


def result_name(error: BaseException) -> str:
    """Return SQLite's own name of an error's code, such as SQLITE_IOERR_FSYNC."""
    return str(getattr(error, "sqlite_errorname", None) or type(error).__name__)


def library_version() -> str:
    """Return the version of the SQLite library in use."""
    return sqlite3.sqlite_version
