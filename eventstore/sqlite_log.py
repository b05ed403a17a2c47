"""The log in one SQLite file: group commit, one writer, fail closed.

Owns when to commit, what to keep in memory and what to do when storage fails. Leaves judging to `appending`,
statements to `rows`, the file to `storage`. Invariant: what is held in memory (head, hash, versions) is what the file
holds; whenever a commit fails it is read anew from the file before anything else happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from . import compaction, rows, sqlite, storage, witness
from .appending import Group, LooksKnown, Row
from .blobs import names_of as blob_names_of
from .chain import GENESIS
from .checkpoint import Checkpointer
from .errors import TwelvefoldError
from .event import Event
from .lock import FileLock
from .log import JOINT, Append, Appended
from .storage_errors import CorruptLog, LogCutShort, LogNotAccessible, StorageFailed

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Durability = Literal["full", "relaxed"]
_VERSIONS_MAX = 100_000
_INSERT = f"INSERT INTO events ({rows.COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
#: For plain facts, whose to, run, cause, trace and seen are empty: a bound value costs four times what a constant does.
_INSERT_PLAIN = f"INSERT INTO events ({rows.COLUMNS}) VALUES (?,?,?,?,?,?,'',?,?,'',x'','',0,?,?,?)"
_HEADS = "INSERT INTO type_heads VALUES (?,?) ON CONFLICT DO UPDATE SET position = excluded.position"
_MARK = "INSERT INTO marks VALUES (?,?) ON CONFLICT DO UPDATE SET value = excluded.value"
_IDS_PER_LOOKUP = 500
#: About what a commit and an event write beside payloads, in bytes: pages of five trees; header, hashes, index entries.
_COMMIT_SIZE, _ROW_SIZE = 20_000, 500


class SqliteLog:
    """The log at `path` (`<home>/log.db`), whose folder must exist; made where there is none. See `log.EventLog`.

    `durability`: "full" acknowledges after an fsync; "relaxed" after a write, which any process crash survives, while a
    power cut costs what was acknowledged in the last 0.1 s (checkpoint.RELAXED_SYNC_S) and during one sync.
    `clock` gives nanoseconds since the epoch. `page_count_max` limits the file's size in pages of 4 KiB. Raises
    LogLocked, LogNotAccessible, ForeignFile, NewerSchema, LogCutShort, CorruptLog or StorageFailed.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        durability: Durability = "full",
        clock: Callable[[], int] = time.time_ns,
        page_count_max: int | None = None,
    ) -> None:
        self.path = Path(path)
        self._clock = clock
        self._durability = durability
        self._failure: TwelvefoldError | None = None
        self._head, self._hash, self._time = 0, GENESIS, 0
        self._versions: dict[str, int] = {}
        self._older_versions: dict[str, int] = {}
        try:
            self._lock = FileLock(self.path.with_suffix(".lock"), self.path)
        except OSError as error:
            raise storage.in_words(error, self.path) from error
        try:
            self._connection = storage.open_writer(self.path, durability, page_count_max)
            try:
                self._load()
                self._hear_witness()
                self._witness = witness.Witness(self._witness_path, durability)
                self._witness.testify(self._head, self._hash)
                self._checkpointer = Checkpointer(self.path, durability)
            except BaseException as error:
                self._connection.close()
                if isinstance(error, sqlite.Error | OSError):
                    raise storage.in_words(error, self.path) from error
                raise
        except BaseException:
            self._lock.release()
            raise

    @property
    def head(self) -> int:
        """The position of the last event, 0 for an empty log."""
        return self._head

    def append(self, request: Append) -> Appended:
        """Append durably, or raise VersionConflict, DuplicateConflict, InvalidEvent or a storage error."""
        (result,) = self.append_many([request])
        if isinstance(result, TwelvefoldError):
            raise result
        return result

    def append_many(self, requests: Sequence[Append]) -> list[Appended | TwelvefoldError]:
        """Judge each request in turn and commit all that stand in one transaction; see `log.EventLog.append_many`.

        Raises StorageFull (a later call may succeed), StorageFailed or CorruptLog (every later call raises it too).
        """
        if self._failure is not None:
            raise self._failure
        try:
            if (behind := self._checkpointer.failure) is not None:
                raise behind
            if self._checkpointer.due:
                self._checkpointer.run_due(self._connection)
            try:
                group = self._write(requests, None)
            except (LooksKnown, sqlite.IntegrityError):
                self._roll_back()
                group = self._write(requests, self._known(requests))
        except (sqlite.Error, OSError) as error:
            raise self._stopped_by(error) from error
        except BaseException:
            self._undo()
            raise
        return group.results()

    def read(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int = 1000,
        stream: str | None = None,
        type: str | None = None,
        run: str | None = None,
        to: str | None = None,
        source: str | None = None,
        reverse: bool = False,
    ) -> list[Event]:
        """Read one page; see `log.EventLog.read`. Raises CorruptLog or StorageFailed."""
        page = rows.Filter(after, until, limit, stream, type, run, to, source, reverse)
        return self._reading(rows.read, page)

    def version(self, stream: str) -> int:
        """Return the version of a stream, 0 where it does not exist."""
        version = self._versions.get(stream)
        if version is None:
            version = self._older_versions.get(stream)
        if version is None:
            # Who asks is about to write there, most often: the append need not look again.
            version = self._versions[stream] = self._reading(rows.version, stream)
        return version

    def event_of(self, id: bytes) -> Event | None:
        """Return the event with this id, or None."""
        return self._reading(rows.event_of, id)

    def last_position(self, pattern: str) -> int:
        """Return the last position under a type pattern, 0 where there is none."""
        return self._head if pattern == "*" else self._reading(rows.last_position, pattern)

    def marks(self, prefix: str = "") -> dict[str, str]:
        """Return the marks whose name starts with prefix, in the order of their names."""
        return self._reading(rows.marks, prefix)

    def wipe(self) -> bool:
        """Empty the write-ahead file, where freed payloads still stand; False where a reader holds it: try again."""
        return self._maintaining(compaction.wipe)

    def compact(self) -> None:
        """Give freed space back to the disk: the file is rewritten, with its size twice more needed meanwhile.

        Raises StorageFull or LogLocked, with the log as it was, or StorageFailed.
        """
        self._maintaining(compaction.rewrite)

    def is_blob_named(self, sha256: str) -> bool:
        """Tell whether a remaining event names a blob."""
        return self._reading(compaction.is_named, sha256)

    def blob_names(self) -> set[str]:
        """Return every blob that a remaining event names; others may be collected."""
        return self._reading(blob_names_of, None)

    def stats(self) -> dict[str, int | str]:
        """Return the head, the sizes in bytes of the file, of the write-ahead file and of what waits in it for a
        checkpoint, the durability, SQLite's version, and why writes have stopped ("" where they have not)."""
        return {
            "head": self._head,
            "file_bytes": _size_of(self.path),
            "wal_bytes": _size_of(storage.wal_of(self.path)),
            "pending_bytes": self._checkpointer.pending_bytes,
            "durability": self._durability,
            "sqlite": sqlite.library_version(),
            "failure": "" if self._failure is None else str(self._failure),
        }

    def close(self) -> None:
        """Release the file and its lock; raises StorageFailed where a relaxed log's last sync failed."""
        try:
            self._checkpointer.close()
            self._connection.close()
        finally:
            self._witness.close()
            self._lock.release()
        if self._checkpointer.failure is not None and self._failure is None:
            raise storage.in_words(self._checkpointer.failure, self.path)

    def _write(self, requests: Sequence[Append], known: dict[bytes, Event] | None) -> Group:
        """Judge and commit a group; raises LooksKnown or IntegrityError where an optimistic guess was wrong."""
        execute, many = self._connection.execute, self._connection.executemany
        execute("BEGIN IMMEDIATE")
        group = Group(self._head, self._hash, max(self._time, self._clock()), self._version_of)
        group.judge(requests, known)
        if group.is_empty:
            execute("ROLLBACK")
            return group
        if group.rows:
            if group.is_plain:
                many(_INSERT_PLAIN, _plain_values(group.rows))
            else:
                many(_INSERT, _values(group.rows))
            many(_HEADS, group.type_heads().items())
        if group.blobs:
            many("INSERT OR IGNORE INTO blob_names VALUES (?,?)", group.blobs)
        if group.joined:
            many(_MARK, [(name, JOINT.join(texts)) for name, texts in group.joined.items()])
        if group.frees:
            compaction.free(self._connection, group.frees)
        if group.marks:
            many(_MARK, [(name, value) for name, value in group.marks.items() if value is not None])
            many("DELETE FROM marks WHERE name = ?", [(name,) for name, value in group.marks.items() if value is None])
        execute("COMMIT")
        if group.rows:
            self._head, self._hash, self._time = group.head, group.hash, group.now
            self._remember(group.versions)
            self._witness.testify(self._head, self._hash)
        self._checkpointer.committed(_COMMIT_SIZE + len(group.rows) * _ROW_SIZE + group.size)
        return group

    def _known(self, requests: Sequence[Append]) -> dict[bytes, Event]:
        """Look up every id of a group."""
        ids = [event.id for request in requests for event in request.events]
        known: dict[bytes, Event] = {}
        for start in range(0, len(ids), _IDS_PER_LOOKUP):
            some = ids[start : start + _IDS_PER_LOOKUP]
            statement = f"SELECT {rows.COLUMNS} FROM events WHERE id IN ({','.join('?' * len(some))})"
            known.update((event.id, event) for event in rows.events(self._connection, statement, some))
        return known

    def _version_of(self, stream: str) -> int:
        version = self._versions.get(stream)
        if version is None:
            version = self._older_versions.get(stream)
        return rows.version(self._connection, stream) if version is None else version

    def _remember(self, versions: dict[str, int]) -> None:
        """Keep the versions of recently written streams, in two generations: the older one is dropped whole."""
        self._versions.update(versions)
        if len(self._versions) > _VERSIONS_MAX:
            self._older_versions, self._versions = self._versions, {}

    def _load(self) -> None:
        """Read head, hash and time from the file, and forget every version held in memory."""
        last = rows.head_row(self._connection)
        self._head, self._hash, self._time = (last.position, last.hash, last.time) if last else (0, GENESIS, 0)
        self._versions, self._older_versions = {}, {}

    @property
    def _witness_path(self) -> Path:
        return witness.beside(self.path)

    def _hear_witness(self) -> None:
        """Raise LogCutShort where the log is not the one whose end was acknowledged last."""
        told = witness.hear(self._witness_path)
        if not told.binds:
            return
        found = self.read(after=told.position - 1, limit=1)
        if not found or found[0].hash.hex() != told.hash:
            raise LogCutShort(str(self.path), self._head, told.position, str(self._witness_path))

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _stopped_by(self, error: sqlite.Error | OSError) -> TwelvefoldError:
        """Undo what a failed commit left and say what happened; writes stop for good but where space may come back."""
        failure = storage.in_words(error, self.path)
        if isinstance(error, sqlite.IntegrityError):
            failure = CorruptLog(str(self.path), self._head + 1, f"another program wrote to it ({error})")
        if isinstance(failure, LogNotAccessible):
            # The file's own, or the witness's, which is written after the commit: only opening anew tells what is kept.
            failure = StorageFailed(str(self.path), failure.reason)
        if isinstance(failure, StorageFailed | CorruptLog):
            self._failure = failure
        self._undo()
        return failure

    def _undo(self) -> None:
        """Roll back and read anew what is held in memory; where even that fails, writing stops."""
        try:
            self._roll_back()
            self._load()
        except sqlite.Error as error:
            self._failure = self._failure or storage.in_words(error, self.path)

    def _maintaining(self, work: Callable[[sqlite.Connection], Answer]) -> Answer:
        """Do what changes the file and nothing that it holds; a failure stops writing only where it must."""
        if self._failure is not None:
            raise self._failure
        try:
            return work(self._connection)
        except sqlite.Error as error:
            raise self._stopped_by(error) from error

    def _reading(self, question: Callable[[sqlite.Connection, Question], Answer], argument: Question) -> Answer:
        try:
            return question(self._connection, argument)
        except sqlite.Error as error:
            raise storage.in_words(error, self.path) from error


def _size_of(file: Path) -> int:
    """Return a file's size, 0 where it has been removed: asking for figures is no moment to fail."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


# The module looks for an adapter of each value that is not an int, float, str or bytearray, and takes ten times as long
# for it: blobs are bound as bytearrays.


def _values(group: Sequence[Row]) -> list[Row]:
    """Return the values to bind for events."""
    return [
        (n, s, v, bytearray(i), t, sc, to, time, so, run, bytearray(c), tr, seen, d, bytearray(dh), bytearray(h))
        for n, s, v, i, t, sc, to, time, so, run, c, tr, seen, d, dh, h in group
    ]


def _plain_values(group: Sequence[Row]) -> list[Row]:
    """Return the values to bind for plain facts."""
    return [
        (n, s, v, bytearray(i), t, sc, time, so, d, bytearray(dh), bytearray(h))
        for n, s, v, i, t, sc, _, time, so, _, _, _, _, d, dh, h in group
    ]
