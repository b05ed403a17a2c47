"""Moving the write-ahead file into the log's file, off the commit path, and in relaxed mode syncing it.

A thread with a connection of its own checkpoints passively (which never waits for readers or for the writer, nor they
for it) whenever enough was written. What only the writer may do, it does between two commits when `due` says so: let
the write-ahead file start over, or truncate it where it grew beyond WAL_SIZE_MAX. Invariant: the thread never writes
events, and a failure that it meets stops the writer.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from . import sqlite, storage

#: Beyond this size the write-ahead file is truncated, as soon as no reader holds it.
WAL_SIZE_MAX = 64 << 20
#: After about so many bytes the thread checkpoints; where that leaves more than the second number in use, the writer
#: starts the file over. Space used again costs a sync less than new space does.
PASSIVE_AFTER_BYTES = 4 << 20
RESTART_AFTER_BYTES = 4 << 20
#: How long after a commit a relaxed log's write-ahead file is synced at the latest, in seconds.
RELAXED_SYNC_S = 0.1
#: How long after a commit it is checkpointed at the latest, in seconds.
IDLE_S = 1.0
#: Codes after which a checkpoint is simply tried again: another one is under way, or space is short.
_LATER = (sqlite.BUSY, sqlite.LOCKED, sqlite.FULL)


class Checkpointer:
    """The thread beside one writer. `failure` is the first error it met, None while all is well.

    `due` is the checkpoint ("RESTART" or "TRUNCATE") that the writer is to run before its next commit, or "".
    """

    def __init__(self, path: Path, durability: str) -> None:
        self.failure: sqlite.Error | OSError | None = None
        self.due = ""
        self._path = path
        self._relaxed = durability == "relaxed"
        self._changed = threading.Condition()
        self._written = 0
        self._unsynced = False
        self._closing = False
        self._passive_at = 0.0
        self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)
        self._thread.start()

    def committed(self, size: int) -> None:
        """Tell of a commit that wrote about `size` bytes; called by the writer."""
        with self._changed:
            waiting = self._written == 0 and not self._unsynced
            self._written += size
            self._unsynced = self._relaxed
            if waiting or self._written >= PASSIVE_AFTER_BYTES:
                self._changed.notify()

    @property
    def pending_bytes(self) -> int:
        """About how much was committed since the last checkpoint began."""
        return self._written

    def run_due(self, connection: sqlite.Connection) -> None:
        """Run the checkpoint that is due on the writer's connection, if no reader stands in its way."""
        mode, self.due = self.due, ""
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite.Error as error:
            if sqlite.result_code(error) not in _LATER:
                raise
        finally:
            connection.execute(f"PRAGMA busy_timeout = {storage.BUSY_TIMEOUT_MS}")

    def close(self) -> None:
        """Sync what a relaxed log owes, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            connection = sqlite.connect(self._path)
            try:
                while self._wait():
                    self._work(connection)
            finally:
                connection.close()
        except (sqlite.Error, OSError) as error:
            self.failure = error

    def _wait(self) -> bool:
        """Wait until there is work; False once the log closes and nothing is owed."""
        with self._changed:
            while not self._closing and self._written == 0 and not self._unsynced:
                self._changed.wait()
            if not self._closing and self._written < PASSIVE_AFTER_BYTES:
                self._changed.wait(RELAXED_SYNC_S if self._unsynced else IDLE_S)
            return self._unsynced or not self._closing

    def _work(self, connection: sqlite.Connection) -> None:
        if self._unsynced:
            self._unsynced = False
            _sync(storage.wal_of(self._path))
        if self._written < PASSIVE_AFTER_BYTES and time.monotonic() < self._passive_at + IDLE_S:
            return
        self._passive_at = time.monotonic()
        with self._changed:
            written, self._written = self._written, 0
        try:
            _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite.Error as error:
            if sqlite.result_code(error) not in _LATER:
                raise
            with self._changed:
                self._written = min(self._written + written, PASSIVE_AFTER_BYTES - 1)
            return
        if storage.wal_of(self._path).stat().st_size > WAL_SIZE_MAX:
            self.due = "TRUNCATE"
        elif frames * storage.PAGE_SIZE > RESTART_AFTER_BYTES:
            self.due = "RESTART"


def _sync(file: Path) -> None:
    # SQLite holds no lock on this file, so closing it here lets none go.
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
