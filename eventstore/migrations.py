"""The schema of the log's file, as numbered migrations of `sqlite-utils`.

A migration is never changed once it has shipped; a new one is added below the last. `user_version` is the number of
the last one applied, so that a reader knows the schema without reading a table. Leaves when to apply them to `storage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sqlite import APPLICATION_ID, Connection, connect_to_memory

if TYPE_CHECKING:
    from sqlite_utils.db import Database

#: The number of the last migration below.
SCHEMA_VERSION = 1

_EVENTS = """
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    id BLOB NOT NULL,
    type TEXT NOT NULL,
    schema INTEGER NOT NULL,
    "to" TEXT NOT NULL,
    time INTEGER NOT NULL,
    source TEXT NOT NULL,
    run TEXT NOT NULL,
    cause BLOB NOT NULL,
    trace TEXT NOT NULL,
    seen INTEGER NOT NULL,
    data TEXT,
    data_hash BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_id ON events (id);
CREATE UNIQUE INDEX events_stream_version ON events (stream, version);
CREATE INDEX events_run ON events (run) WHERE run <> '';
CREATE INDEX events_to ON events ("to") WHERE "to" <> '';

CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
WHEN new.data IS NOT NULL OR (new.position, new.stream, new.version, new.id, new.type, new.schema, new."to", new.time,
        new.source, new.run, new.cause, new.trace, new.seen, new.data_hash, new.hash)
    IS NOT (old.position, old.stream, old.version, old.id, old.type, old.schema, old."to", old.time,
        old.source, old.run, old.cause, old.trace, old.seen, old.data_hash, old.hash)
BEGIN SELECT RAISE(ABORT, 'events are never changed; only their data can be freed'); END;

CREATE TABLE type_heads (pattern TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE blob_names (blob TEXT, position INTEGER, PRIMARY KEY (blob, position)) STRICT, WITHOUT ROWID;
CREATE INDEX blob_names_position ON blob_names (position);
CREATE TRIGGER events_forget_blobs AFTER UPDATE ON events
BEGIN DELETE FROM blob_names WHERE position = old.position; END;

CREATE VIEW readable_events AS
SELECT position, stream, version, lower(hex(id)) AS id, type, schema, "to",
    strftime('%Y-%m-%dT%H:%M:%S', time / 1000000000, 'unixepoch')
        || printf('.%06dZ', time / 1000 % 1000000) AS time,
    source, run, lower(hex(cause)) AS cause, trace, seen, data, lower(hex(hash)) AS hash
FROM events;
"""


def migrate(connection: Connection) -> None:
    """Apply every migration that the file does not have yet, each in a transaction of its own; raises sqlite.Error."""
    # Imported here: readers never migrate, and the import costs more than opening the file.
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations("twelvefold")

    @migrations(name="0001 events, marks and blob names")
    def events(database: Database) -> None:
        for statement in _statements(_EVENTS):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute("PRAGMA user_version = 1")

    migrations.apply(Database(connection))


def made_by_migrations() -> list[tuple[str, str, str]]:
    """Return the kind, name and statement of everything that a log of this schema is made of."""
    connection = connect_to_memory()
    try:
        migrate(connection)
        return schema_of(connection)
    finally:
        connection.close()


def schema_of(connection: Connection, _: None = None) -> list[tuple[str, str, str]]:
    """Return the kind, name and statement of what a file is made of; a question for `LogReader.ask`.

    But for the table that `sqlite-utils` keeps of migrations, whose shape changes with its versions.
    """
    statement = (
        "SELECT type, name, sql FROM sqlite_schema "
        "WHERE sql IS NOT NULL AND tbl_name <> '_sqlite_migrations' ORDER BY type DESC, name"
    )
    return connection.execute(statement).fetchall()


def _statements(script: str) -> list[str]:
    """Split a script at statements that end a line; `executescript` would commit the migration's transaction."""
    found, begun = [], ""
    for line in script.strip().splitlines():
        begun += line + "\n"
        if line.endswith(";") and not ("CREATE TRIGGER" in begun and not line.endswith("END;")):
            found.append(begun)
            begun = ""
    return found
