"""The rows of projections in a file of its own, `projections.db`, which may be deleted at any time.

Owns the file: its tables, its one writer, and that rows, checkpoint and snapshots of a projection change in one
transaction. What is folded, and when, is `runner`'s; reading beside the writer is `stored`'s. Keeps: every checkpoint
and snapshot holds the log's chain hash at its position and a hash of the rows, so that neither another log's rows nor
damaged ones are ever taken for true. A file of another shape is thrown away, as it can be folded again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import msgspec

from ..eventstore import sqlite
from ..eventstore.presence import is_there
from ..eventstore.witness import boot_id
from .errors import StoreBusy, StoreFailed

FILE = "projections.db"
_LOCK = "projections.lock"
#: Says whose file it is, and of which shape.
_APPLICATION_ID, _SHAPE = 0x5457_5052, 2
_MODULUS = 1 << 256
_BUSY_TIMEOUT_MS = 5_000

_TABLES = """
CREATE TABLE projections (id INTEGER PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, code TEXT NOT NULL,
    live INTEGER NOT NULL, began INTEGER NOT NULL, position INTEGER NOT NULL, log_hash BLOB NOT NULL,
    rows INTEGER NOT NULL, hash BLOB NOT NULL, parked INTEGER, error TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE rows (projection INTEGER, key TEXT, state TEXT NOT NULL, changed INTEGER NOT NULL,
    PRIMARY KEY (projection, key)) STRICT, WITHOUT ROWID;
CREATE TABLE history (projection INTEGER, key TEXT, changed INTEGER, until INTEGER NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (projection, key, changed)) STRICT, WITHOUT ROWID;
CREATE TABLE snapshots (projection INTEGER, position INTEGER, log_hash BLOB NOT NULL, rows INTEGER NOT NULL,
    hash BLOB NOT NULL, PRIMARY KEY (projection, position)) STRICT, WITHOUT ROWID;
CREATE TABLE written (boot TEXT NOT NULL) STRICT;
INSERT INTO written VALUES ('');
CREATE VIEW live_rows AS SELECT projections.name AS projection, rows.key, rows.state, rows.changed
    FROM rows JOIN projections ON projections.id = rows.projection WHERE live = 1
"""
_COLUMNS = "id, name, version, code, live, began, position, log_hash, rows, hash, parked, error"


class Checkpoint(msgspec.Struct, frozen=True):
    """How far a projection is folded: all events up to `position`, where the log's chain hash is `log_hash`.

    `began` is how long the log was when the first event was folded. `rows` counts its rows, `hash` is that of all of
    them (`Total`). `live` is 1 for the rows that count, 0 for those being built beside them. `parked` is the position
    of the event that it can't fold, and `error` what was raised.
    """

    id: int
    name: str
    version: int
    code: str
    live: int
    began: int
    position: int
    log_hash: bytes
    rows: int
    hash: bytes
    parked: int | None = None
    error: str = ""


class Total:
    """The number and the hash of a set of rows, kept while rows come and go: the order of rows doesn't matter."""

    def __init__(self, rows: int = 0, hash: bytes = bytes(32)) -> None:
        self.rows = rows
        self._sum = int.from_bytes(hash)

    @property
    def hash(self) -> bytes:
        """The sum of the rows' hashes."""
        return self._sum.to_bytes(32)

    def add(self, hash: int) -> None:
        """Count a row in; 0 is the hash of none."""
        if hash:
            self.rows, self._sum = self.rows + 1, (self._sum + hash) % _MODULUS

    def remove(self, hash: int) -> None:
        """Count a row out."""
        if hash:
            self.rows, self._sum = self.rows - 1, (self._sum - hash) % _MODULUS


def hash_of(key: str, state: bytes | str) -> int:
    """Return the hash of a row, by its key and its state as JSON text."""
    text = state if isinstance(state, bytes) else state.encode()
    return int.from_bytes(sha256(key.encode() + b"\0" + text).digest())


def total_of(rows: Iterable[tuple[str, bytes | str]]) -> Total:
    """Return the number and the hash of rows."""
    total = Total()
    for key, state in rows:
        total.add(hash_of(key, state))
    return total


class Store:
    """The file of a home, opened for writing; raises StoreBusy where another process writes it, and StoreFailed.

    What can't be read in it is thrown away and made anew. Used by the thread that made it.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        try:
            self._lock = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreFailed(str(self.path), error.strerror or str(error)) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StoreBusy(str(self.path)) from None
        try:
            self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> None:
        for _ in range(2):
            if not is_there(self.path):
                _remove(self.path)
            try:
                self.connection = sqlite.connect(self.path, busy_timeout_ms=_BUSY_TIMEOUT_MS)
                try:
                    self.connection.execute("PRAGMA journal_mode = WAL")
                    # Nothing is synced, as everything can be folded again: what a power cut left is not used.
                    self.connection.execute("PRAGMA synchronous = OFF")
                    self._identity = _identity(self.path)
                    if self.connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
                        self._make()
                    if self._is_ours() and self._was_kept_whole():
                        self._note_boot(boot_id())
                        return
                except BaseException:
                    self.connection.close()
                    raise
                self.connection.close()
            except (sqlite.Error, OSError) as error:
                if sqlite.result_code(error) not in (sqlite.CORRUPT, sqlite.NOT_A_DATABASE):
                    raise StoreFailed(str(self.path), str(error)) from error
            _remove(self.path)
        raise StoreFailed(str(self.path), "it can't be made anew")

    def _is_ours(self) -> bool:
        (application,) = self.connection.execute("PRAGMA application_id").fetchone()
        (shape,) = self.connection.execute("PRAGMA user_version").fetchone()
        return bool(application == _APPLICATION_ID and shape == _SHAPE)

    def _was_kept_whole(self) -> bool:
        """Tell whether the machine has not gone down while the file was being written."""
        (boot,) = self.connection.execute("SELECT boot FROM written").fetchone()
        return boot in ("", boot_id())

    def _note_boot(self, boot: str) -> None:
        """Note under which start of the machine the file is written, "" where it isn't any more."""
        self.connection.execute("UPDATE written SET boot = ?", (boot,))

    def _make(self) -> None:
        self.path.chmod(0o600)
        with self.transaction():
            for statement in _TABLES.split(";\n"):
                self.connection.execute(statement)
            self.connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self.connection.execute(f"PRAGMA user_version = {_SHAPE}")

    @property
    def is_there(self) -> bool:
        """Tell whether the file is still the one that was opened: anybody may have deleted it."""
        try:
            return _identity(self.path) == self._identity
        except OSError:
            return False

    def reopen(self) -> None:
        """Make the file anew after somebody deleted it; all rows begin again."""
        self.connection.close()
        self._open()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done within, or nothing of it; raises StoreFailed."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
        except sqlite.Error as error:
            raise self._failed(error) from error

    def ask(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return the rows that a statement gives; raises StoreFailed."""
        try:
            return self.connection.execute(statement, values).fetchall()
        except sqlite.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite.Error) -> StoreFailed:
        """Put a foreign error into words; a damaged file is thrown away, and made anew by whoever comes next."""
        if sqlite.result_code(error) in (sqlite.CORRUPT, sqlite.NOT_A_DATABASE):
            _remove(self.path)
        return StoreFailed(str(self.path), str(error))

    def checkpoints(self) -> list[Checkpoint]:
        """Return all checkpoints, those of rows being built too."""
        try:
            return checkpoints(self.connection)
        except sqlite.Error as error:
            raise self._failed(error) from error

    def begin(self, name: str, version: int, code: str, *, live: int, began: int) -> Checkpoint:
        """Begin the rows of a projection at the log's beginning, and return their checkpoint."""
        with self.transaction():
            cursor = self.connection.execute(
                "INSERT INTO projections (name, version, code, live, began, position, log_hash, rows, hash) "
                "VALUES (?, ?, ?, ?, ?, 0, ?, 0, ?)",
                (name, version, code, live, began, b"", bytes(32)),
            )
        return Checkpoint(int(cursor.lastrowid or 0), name, version, code, live, began, 0, b"", 0, bytes(32))

    def drop(self, id: int) -> None:
        """Throw the rows of a projection away."""
        with self.transaction():
            self.forget(id)

    def forget(self, id: int) -> None:
        """Throw rows away, within a transaction of the caller's."""
        for table, column in (("rows", "projection"), ("history", "projection"), ("snapshots", "projection")):
            self.connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (id,))
        self.connection.execute("DELETE FROM projections WHERE id = ?", (id,))

    def close(self) -> None:
        """Release the file and its lock."""
        with contextlib.suppress(sqlite.Error):
            self._note_boot("")  # else it is made anew after the next start of the machine
        self.connection.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checkpoints(connection: sqlite.Connection) -> list[Checkpoint]:
    """Return all checkpoints of a file; raises sqlite.Error."""
    statement = f"SELECT {_COLUMNS} FROM projections ORDER BY id"
    return [Checkpoint(*row) for row in connection.execute(statement).fetchall()]


def stored_rows(connection: sqlite.Connection, id: int) -> Iterator[tuple[str, str]]:
    """Yield the rows of a projection, as keys and JSON texts; raises sqlite.Error."""
    yield from connection.execute("SELECT key, state FROM rows WHERE projection = ? ORDER BY key", (id,))


def is_readable(connection: sqlite.Connection) -> bool:
    """Tell whether a file is of the shape that this version reads; raises sqlite.Error."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (shape,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(application == _APPLICATION_ID and shape == _SHAPE)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _remove(path: Path) -> None:
    """Remove the file with what SQLite keeps beside it; raises StoreFailed."""
    for suffix in ("", "-wal", "-shm"):
        try:
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).unlink()
        except OSError as error:
            raise StoreFailed(str(path), error.strerror or str(error)) from error


def encoder() -> Any:
    """Return the function that makes JSON text of a state, the same text for equal states."""
    return msgspec.json.Encoder(order="deterministic").encode
