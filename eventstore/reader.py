"""Reading the log's file from another process than the one that owns it, or while nothing runs.

For trusted local tools. Opens read-only, answers each question in one short statement and holds no snapshot between
two of them, so that it never keeps the write-ahead file growing. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from . import rows, sqlite, storage
from .event import Event
from .upcast import Upcasters

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class LogReader:
    """The read side of the log at `path`; raises LogNotFound, ForeignFile, NewerSchema, CorruptLog or StorageFailed.

    Payloads of old schemas are lifted by `upcasters` where some are given. Used by the thread that made it.
    """

    def __init__(self, path: Path | str, *, upcasters: Upcasters | None = None) -> None:
        self.path = Path(path)
        self._upcasters = upcasters
        self._connection = storage.open_reader(self.path)

    @property
    def head(self) -> int:
        """The position of the last event as of now, 0 for an empty log."""
        return self.ask(rows.last_position, "*")

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
        """Read one page; see `log.EventLog.read`."""
        found = self.ask(rows.read, rows.Filter(after, until, limit, stream, type, run, to, source, reverse))
        return found if self._upcasters is None else [self._upcasters.lift(event) for event in found]

    def version(self, stream: str) -> int:
        """Return the version of a stream, 0 where it does not exist."""
        return self.ask(rows.version, stream)

    def event_of(self, id: bytes) -> Event | None:
        """Return the event with this id, or None."""
        found = self.ask(rows.event_of, id)
        return found if found is None or self._upcasters is None else self._upcasters.lift(found)

    def last_position(self, pattern: str) -> int:
        """Return the last position under a type pattern, 0 where there is none."""
        return self.ask(rows.last_position, pattern)

    def marks(self, prefix: str = "") -> dict[str, str]:
        """Return the marks whose name starts with prefix, in the order of their names."""
        return self.ask(rows.marks, prefix)

    def runs(self, prefix: str = "", limit: int = 1000) -> list[str]:
        """Return ids of runs that begin with a prefix, at most `limit`."""
        return self.ask(rows.runs, (prefix, limit))

    def latest_runs(self, before: int | None = None, limit: int = 100) -> list[str]:
        """Return ids of runs, the latest first, at most `limit`: those that began before the position `before`."""
        return self.ask(rows.latest_runs, (before, limit))

    def ask(self, question: Callable[[sqlite.Connection, Question], Answer], argument: Question) -> Answer:
        """Run one of this package's questions on the file; a foreign error is put into words."""
        try:
            return question(self._connection, argument)
        except sqlite.Error as error:
            raise storage.in_words(error, self.path) from error

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
