"""Verifying a log: that every event is what was appended, in the order it was appended, with none missing.

Walks the chain in pages, so that it holds no snapshot for long and needs little memory however long the log is; then
checks the witness, the streams' versions, the side tables, tables and triggers themselves, SQLite's own structures and
the blobs. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec

from . import migrations, rows, sqlite, storage, witness
from .blob_names import blobs_named
from .blobs import BlobStore
from .chain import GENESIS, HEADER_LENGTH, pack
from .names import matches, prefixes
from .reader import LogReader
from .storage_errors import BlobDamaged, BlobMissing, CorruptLog, LogCutShort, StorageFailed

_PAGE = 5_000
_ROWS = f"SELECT {rows.COLUMNS} FROM events WHERE position > ? AND position <= ? ORDER BY position"
_BLOB_NAMES = "SELECT blob, position FROM blob_names WHERE position > ? AND position <= ?"
_TYPE, _TIME, _DATA, _DATA_HASH, _HASH = 4, 7, 13, 14, 15


class Verdict(msgspec.Struct, frozen=True):
    """What a verified log holds: the last position and its hash, how many payloads were freed, streams and blobs."""

    head: int
    hash: str
    forgotten: int
    streams: int
    blobs: int


def verify(
    reader: LogReader, blobs: BlobStore | None = None, *, progress: Callable[[int, int], None] | None = None
) -> Verdict:
    """Check a log up to its head as of now; `progress` hears of (position, head) now and then.

    Raises CorruptLog with the first bad position, or LogCutShort. A blob that is missing or damaged makes the first
    event that names it bad.
    """
    try:
        told = witness.hear(witness.beside(reader.path))
    except OSError as error:
        raise storage.in_words(error, witness.beside(reader.path)) from error
    walk = _Walk(reader)
    head = reader.head
    while walk.position < head:
        walk.page(min(head, walk.position + _PAGE))
        if progress is not None:
            progress(walk.position, head)
    _check_witness(reader, told, head)
    streams = _check_streams(reader, head)
    _check_type_heads(reader, walk.types, head)
    _check_schema(reader)
    _check_structure(reader)
    return Verdict(head, walk.hash.hex(), walk.forgotten, streams, _check_blobs(reader, blobs))


class _Walk:
    """Where the walk along the chain stands."""

    def __init__(self, reader: LogReader) -> None:
        self.position, self.hash, self.time, self.forgotten = 0, GENESIS, 0, 0
        self.types: dict[str, int] = {}
        self._reader = reader

    def page(self, until: int) -> None:
        """Check the events up to a position that exists."""
        try:
            self._reader.ask(self._check, until)
        except (CorruptLog, StorageFailed) as error:
            if isinstance(error, CorruptLog) and error.position:
                raise
            raise self._bad(self.position + 1, f"it cannot be read: {error.reason}") from error
        if self.position < until:
            raise self._bad(self.position + 1, "the event is missing")

    def _check(self, connection: sqlite.Connection, until: int) -> None:
        start = position = self.position
        previous, time, forgotten, types = self.hash, self.time, 0, self.types
        named: set[tuple[str, int]] = set()
        fault = ""
        try:
            for row in connection.execute(_ROWS, (position, until)):
                payload, data_hash, hash = row[_DATA], row[_DATA_HASH], row[_HASH]
                if row[0] != position + 1:
                    fault = f"the event is missing, position {row[0]} follows"
                elif payload is None:
                    forgotten += 1
                elif not isinstance(payload, str) or sha256(payload.encode()).digest() != data_hash:
                    fault = "its data is not what was appended"
                if not fault and sha256(pack((previous, data_hash, row[:HEADER_LENGTH]))).digest() != hash:
                    fault = "its header is not what was appended, or the event before it is another one"
                if not fault and row[_TIME] < time:
                    fault = "its time lies before that of the event before it"
                if fault:
                    break
                position, previous, time = position + 1, hash, row[_TIME]
                types[row[_TYPE]] = position
                if payload is not None and '"blob"' in payload:
                    named.update((blob, position) for blob in blobs_named(payload))
        finally:
            self.position, self.hash, self.time = position, previous, time
            self.forgotten += forgotten
        if fault:
            raise self._bad(position + 1, fault)
        if wrong := named.symmetric_difference(connection.execute(_BLOB_NAMES, (start, position))):
            # The log's owner would take the blob for garbage, or keep it for ever.
            raise self._bad(min(at for _, at in wrong), "the table blob_names has not the blobs that its data names")

    def _bad(self, position: int, reason: str) -> CorruptLog:
        return CorruptLog(str(self._reader.path), position, reason)


def _check_witness(reader: LogReader, told: witness.Testimony, head: int) -> None:
    """Require the event that was acknowledged last when the walk began."""
    if told.binds:
        found = reader.read(after=told.position - 1, limit=1)
        if not found or found[0].hash.hex() != told.hash:
            raise LogCutShort(str(reader.path), head, told.position, str(witness.beside(reader.path)))


def _check_streams(reader: LogReader, head: int) -> int:
    """Walk the index of streams: versions from 1 without a gap, positions rising; return how many streams there are."""
    stream, version, position, streams, seen = "", 0, 0, 0, 0
    while page := reader.ask(_select_versions, (stream, version)):
        for next_stream, next_version, next_position in page:
            if next_position > head:
                continue
            if next_stream != stream:
                stream, version, position, streams = next_stream, 0, 0, streams + 1
            if next_version != version + 1 or next_position <= position:
                what = f"stream {stream} goes from version {version} to {next_version} there"
                raise CorruptLog(str(reader.path), next_position, what)
            version, position, seen = next_version, next_position, seen + 1
        if page[-1][2] > head:
            # What was appended meanwhile ends this stream's part; go on behind it.
            stream, version = page[-1][0], page[-1][1]
    if seen != head:
        raise CorruptLog(str(reader.path), 0, f"the index of streams holds {seen} of {head} events")
    return streams


def _select_versions(connection: sqlite.Connection, after: tuple[str, int]) -> list[tuple[str, int, int]]:
    statement = (
        "SELECT stream, version, position FROM events INDEXED BY events_stream_version "
        f"WHERE (stream, version) > (?, ?) ORDER BY stream, version LIMIT {_PAGE}"
    )
    return connection.execute(statement, after).fetchall()


def _check_type_heads(reader: LogReader, types: dict[str, int], head: int) -> None:
    """Check the last positions by type pattern; one beyond the head must be that of an event appended meanwhile."""
    expected: dict[str, int] = {}
    for type, position in types.items():
        for pattern in prefixes(type)[1:]:
            expected[pattern] = max(position, expected.get(pattern, 0))
    stored = dict(reader.ask(_select_type_heads, None))
    for pattern in sorted(expected.keys() | stored.keys()):
        position = stored.get(pattern, 0)
        if position > head:
            found = reader.read(after=position - 1, limit=1)
            is_true = bool(found) and found[0].position == position and matches(pattern, found[0].type)
        else:
            is_true = position == expected.get(pattern, 0)
        if not is_true:
            raise CorruptLog(
                str(reader.path), expected.get(pattern, 0), f"the table type_heads has {position} for {pattern}"
            )


def _select_type_heads(connection: sqlite.Connection, _: None) -> list[tuple[str, int]]:
    return connection.execute("SELECT pattern, position FROM type_heads").fetchall()


def _check_schema(reader: LogReader) -> None:
    """Require every table, index and trigger as the migrations made it; what users add of their own is theirs."""
    if reader.ask(_schema_version, None) != migrations.SCHEMA_VERSION:
        return
    found = {(kind, name): statement for kind, name, statement in reader.ask(migrations.schema_of, None)}
    for kind, name, statement in migrations.made_by_migrations():
        if found.get((kind, name)) != statement:
            what = "is another one" if (kind, name) in found else "is missing"
            raise CorruptLog(str(reader.path), 0, f"its {kind} {name} {what}")


def _schema_version(connection: sqlite.Connection, _: None) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_blobs(reader: LogReader, blobs: BlobStore | None) -> int:
    """Require every blob that an event names, whole; return how many there are."""
    named = [] if blobs is None else reader.ask(_select_blobs, None)
    for blob, position in named:
        assert blobs is not None
        try:
            blobs.check(blob)
        except (BlobMissing, BlobDamaged) as error:
            raise CorruptLog(str(reader.path), position, error.message()) from error
    return len(named)


def _select_blobs(connection: sqlite.Connection, _: None) -> list[tuple[str, int]]:
    statement = "SELECT blob, min(position) FROM blob_names GROUP BY blob ORDER BY min(position)"
    return connection.execute(statement).fetchall()


def _check_structure(reader: LogReader) -> None:
    """Let SQLite check its own pages and indexes."""
    try:
        found = reader.ask(_integrity, None)
    except CorruptLog as error:
        raise CorruptLog(error.path, 0, f"its structure is damaged: {error.reason}") from error
    if found != "ok":
        raise CorruptLog(str(reader.path), 0, f"its structure is damaged: {found}")


def _integrity(connection: sqlite.Connection, _: None) -> str:
    return str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])


def verify_home(home: Path, *, progress: Callable[[int, int], None] | None = None) -> Verdict:
    """Verify the log of a home together with its blobs; see `verify`. Raises LogNotFound where there is none."""
    with LogReader(home / "log.db") as reader:
        return verify(reader, BlobStore(home / "blobs"), progress=progress)
