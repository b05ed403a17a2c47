"""Reading events out of the SQLite file: which statement answers which question, and rows into Events.

Shared by the log's writer and the read-only reader. Every function runs to its end before it returns: no cursor, and
so no snapshot, stays open between two pages. Raises sqlite.Error; its callers turn that into words.
"""

from __future__ import annotations

from itertools import starmap
from typing import Any

import msgspec

from .event import Event
from .names import is_name, is_pattern
from .sqlite import Connection

COLUMNS = (
    'position, stream, version, id, type, schema, "to", time, source, run, cause, trace, seen, data, data_hash, hash'
)
#: How many positions one statement scans for a filter that has no index.
SCAN_WINDOW = 65_536
#: Up to so many events under a stream prefix are gathered by index; beyond, the log is scanned.
NARROW_MAX = 10_000
_POSITION_MAX = (1 << 63) - 1


class Filter(msgspec.Struct, frozen=True):
    """What one page of events is to hold; see `log.EventLog.read` for each field."""

    after: int = 0
    until: int | None = None
    limit: int = 1000
    stream: str | None = None
    type: str | None = None
    run: str | None = None
    to: str | None = None
    source: str | None = None
    reverse: bool = False


def events(connection: Connection, statement: str, values: tuple[Any, ...] | list[Any]) -> list[Event]:
    """Run a statement that selects COLUMNS, and make Events of its rows."""
    # Row by row into Events, which the garbage collector need not look at: a list of a thousand tuples costs it more.
    return list(starmap(Event, connection.execute(statement, values)))


def read(connection: Connection, page: Filter) -> list[Event]:
    """Read one page, by the index that fits, else by scanning the log window by window."""
    if page.limit <= 0 or page.after >= _POSITION_MAX:
        return []
    until = _POSITION_MAX if page.until is None else min(page.until, _POSITION_MAX)
    if page.stream is not None and is_name(page.stream):
        return _read_stream(connection, page, until)
    if page.run or page.to:
        return _read_range(connection, page, page.after, until, page.limit)
    if page.stream is not None and page.stream != "*" and _is_narrow(connection, page.stream):
        return _read_range(connection, page, page.after, until, page.limit, by_stream=True)
    if page.type is None and page.source is None and page.stream is None and page.run is None and page.to is None:
        return _read_range(connection, page, page.after, until, page.limit)
    return _read_windows(connection, page, until)


def head_row(connection: Connection) -> Event | None:
    """Return the last event, or None where there is none."""
    found = events(connection, f"SELECT {COLUMNS} FROM events ORDER BY position DESC LIMIT 1", ())
    return found[0] if found else None


def version(connection: Connection, stream: str) -> int:
    """Return the version of a stream, 0 where it does not exist."""
    row = connection.execute("SELECT max(version) FROM events WHERE stream = ?", (stream,)).fetchone()
    return row[0] or 0


def event_of(connection: Connection, id: bytes) -> Event | None:
    """Return the event with this id, or None."""
    found = events(connection, f"SELECT {COLUMNS} FROM events WHERE id = ?", (id,))
    return found[0] if found else None


def last_position(connection: Connection, pattern: str) -> int:
    """Return the last position under a type pattern, 0 where there is none."""
    if pattern == "*":
        row = connection.execute("SELECT max(position) FROM events").fetchone()
    else:
        row = connection.execute("SELECT position FROM type_heads WHERE pattern = ?", (pattern,)).fetchone()
    return (row and row[0]) or 0


def marks(connection: Connection, prefix: str) -> dict[str, str]:
    """Return the marks whose name starts with prefix, in the order of their names."""
    # Names sort by their UTF-8, so that those with a prefix are a range, which ends before this character.
    end = prefix + "\U0010ffff"
    statement = "SELECT name, value FROM marks WHERE name >= ? AND name < ? ORDER BY name"
    return dict(connection.execute(statement, (prefix, end)).fetchall())


def runs(connection: Connection, wanted: tuple[str, int]) -> list[str]:
    """Return ids of runs that begin with a prefix, at most so many, in their order (which is that of their time)."""
    prefix, limit = wanted
    # "~" follows every digit and letter of an id.
    statement = "SELECT DISTINCT run FROM events WHERE run >= ? AND run < ? AND run <> '' ORDER BY run LIMIT ?"
    return [row[0] for row in connection.execute(statement, (prefix, prefix + "~", limit)).fetchall()]


def latest_runs(connection: Connection, wanted: tuple[int | None, int]) -> list[str]:
    """Return ids of runs whose stream begins before a position (None for all), the latest first, at most so many."""
    before, limit = wanted
    # Two looks into the index of streams for each run, however many events it has.
    statement = """
        WITH RECURSIVE found(stream) AS (
            SELECT min(stream) FROM events WHERE stream >= 'run.' AND stream < 'run/'
            UNION ALL
            SELECT (SELECT min(stream) FROM events WHERE stream > found.stream AND stream < 'run/')
            FROM found WHERE stream IS NOT NULL
        ) SELECT substr(found.stream, 5) FROM found JOIN events ON events.stream = found.stream AND version = 1
        WHERE position < ? ORDER BY position DESC LIMIT ?"""
    last = _POSITION_MAX if before is None else before
    return [row[0] for row in connection.execute(statement, (last, limit)).fetchall()]


def _conditions(page: Filter) -> tuple[list[str], list[Any]]:
    """Turn the filters into terms; the partial indexes are used only where the term `<> ''` is spelt out."""
    terms: list[str] = []
    values: list[Any] = []
    for column, wanted in (("run", page.run), ('"to"', page.to), ("source", page.source)):
        if wanted is not None:
            terms.append(f"{column} = ?")
            values.append(wanted)
            if wanted and column != "source":
                terms.append(f"{column} <> ''")
    for column, pattern in (("stream", page.stream), ("type", page.type)):
        if pattern is None or pattern == "*":
            continue
        if pattern.endswith(".*") and is_pattern(pattern):
            terms.append(f"{column} >= ? AND {column} < ?")
            values += _range_of(pattern)
        else:
            terms.append(f"{column} = ?")
            values.append(pattern)
    return terms, values


def _range_of(pattern: str) -> tuple[str, str]:
    """Return where the names under a prefix pattern begin and end: "/" follows "." in ASCII."""
    return pattern[:-1], pattern[:-2] + "/"


def _is_narrow(connection: Connection, pattern: str) -> bool:
    """Tell whether the streams under a prefix hold so few events that gathering and sorting them beats a scan."""
    if not pattern.endswith(".*"):
        return True
    statement = (
        "SELECT 1 FROM events INDEXED BY events_stream_version WHERE stream >= ? AND stream < ? LIMIT 1 OFFSET ?"
    )
    return connection.execute(statement, (*_range_of(pattern), NARROW_MAX)).fetchone() is None


def _read_range(
    connection: Connection, page: Filter, after: int, until: int, limit: int, *, by_stream: bool = False
) -> list[Event]:
    terms, values = _conditions(page)
    bounds = "position > ? AND position <= ?"
    between: list[int | str] = [after, until]
    if by_stream and page.stream is not None and page.stream.endswith(".*"):
        # The gathered positions come out sorted, so that no whole row is ever sorted.
        bounds = (
            "position IN (SELECT position FROM events INDEXED BY events_stream_version "
            f"WHERE stream >= ? AND stream < ? AND {bounds})"
        )
        between = [*_range_of(page.stream), after, until]
    index = "INDEXED BY events_run" if page.run else "INDEXED BY events_to" if page.to else ""
    order = "DESC" if page.reverse else "ASC"
    where = " AND ".join([bounds, *terms])
    statement = f"SELECT {COLUMNS} FROM events {index} WHERE {where} ORDER BY position {order} LIMIT ?"
    return events(connection, statement, [*between, *values, limit])


def _read_windows(connection: Connection, page: Filter, until: int) -> list[Event]:
    """Scan the log window by window for filters without an index; each statement is short."""
    last = last_position(connection, "*" if page.type is None else page.type)
    low, high = page.after, min(until, last)
    found: list[Event] = []
    while low < high and len(found) < page.limit:
        missing = page.limit - len(found)
        if page.reverse:
            start = max(low, high - SCAN_WINDOW)
            found += _read_range(connection, page, start, high, missing)
            high = start
        else:
            end = min(high, low + SCAN_WINDOW)
            found += _read_range(connection, page, low, end, missing)
            low = end
    return found


def _read_stream(connection: Connection, page: Filter, until: int) -> list[Event]:
    """Read one stream by versions: its index is in their order, which is the order of positions."""
    assert page.stream is not None
    terms, values = _conditions(page)
    low, high = 1, _POSITION_MAX
    if page.after > 0:
        low = _version_after(connection, page.stream, page.after)
    if until < _POSITION_MAX:
        high = _version_after(connection, page.stream, until) - 1
    order = "DESC" if page.reverse else "ASC"
    where = " AND ".join([*terms, "version >= ? AND version <= ?"])
    statement = (
        f"SELECT {COLUMNS} FROM events INDEXED BY events_stream_version WHERE {where} ORDER BY version {order} LIMIT ?"
    )
    return events(connection, statement, [*values, low, high, page.limit])


def _version_after(connection: Connection, stream: str, position: int) -> int:
    """Return the least version of a stream that lies after a position: at once where one of its events stands there."""
    row = connection.execute(
        "SELECT version FROM events WHERE position = ? AND stream = ?", (position, stream)
    ).fetchone()
    if row is not None:
        return int(row[0]) + 1
    low, high = 1, version(connection, stream) + 1
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            "SELECT position FROM events WHERE stream = ? AND version = ?", (stream, middle)
        ).fetchone()
        if row is not None and row[0] <= position:
            low = middle + 1
        else:
            high = middle
    return low
