"""Verifying a log: that every event is what was appended, in the order it was appended, with none missing.

Walks the chain in pages, so that it holds no snapshot for long and needs little memory however long the log is; then
checks the streams' versions, the side tables, SQLite's own structures and the blobs. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec

from . import rows, sqlite, witness
from .blobs import BlobStore, names_of
from .chain import GENESIS, HEADER_LENGTH, pack
from .names import prefixes
from .reader import LogReader
from .storage_errors import CorruptLog, LogCutShort, StorageFailed

_PAGE = 5_000
_ROWS = f"SELECT {rows.COLUMNS} FROM events WHERE position > ? AND position <= ? ORDER BY position"
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

    Raises CorruptLog with the first bad position, LogCutShort, BlobMissing or BlobDamaged.
    """
    told = witness.hear(reader.path.with_suffix(".head"))
    walk = _Walk(reader)
    head = reader.head
    while walk.position < head:
        walk.page(min(head, walk.position + _PAGE))
        if progress is not None:
            progress(walk.position, head)
    if told.position > head and (told.durability == "full" or told.boot == witness.boot_id()):
        raise LogCutShort(str(reader.path), head, told.position, str(reader.path.with_suffix(".head")))
    streams = _check_streams(reader, head)
    _check_type_heads(reader, walk.types, head)
    _check_structure(reader)
    named = sorted(reader.ask(names_of, None)) if blobs is not None else []
    for sha in named:
        assert blobs is not None
        blobs.check(sha)
    return Verdict(head, walk.hash.hex(), walk.forgotten, streams, len(named))


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
        position, previous, time, forgotten, types = self.position, self.hash, self.time, 0, self.types
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
        finally:
            self.position, self.hash, self.time = position, previous, time
            self.forgotten += forgotten
        if fault:
            raise self._bad(position + 1, fault)

    def _bad(self, position: int, reason: str) -> CorruptLog:
        return CorruptLog(str(self._reader.path), position, reason)


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
    """Check the last positions by type pattern; those that moved beyond the head meanwhile are taken as they are."""
    expected: dict[str, int] = {}
    for type, position in types.items():
        for pattern in prefixes(type)[1:]:
            expected[pattern] = max(position, expected.get(pattern, 0))
    for pattern, position in sorted(expected.items()):
        stored = reader.last_position(pattern)
        if stored != position and stored <= head:
            raise CorruptLog(str(reader.path), position, f"the table type_heads has {stored} for {pattern}")


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
