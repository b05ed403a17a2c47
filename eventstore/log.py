"""The contract of a log, that every backend keeps and one suite of tests checks (`tests/eventstore/`).

A log is one sequence of events. Positions are global, gap-free and equal to commit order, from 1; versions the same
within a stream. Beside the events a log holds *marks*: small named texts that change in the same transaction as the
events they belong to (progress of groups and watches, open runs, the bus's incarnation), and are not history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from .errors import TwelvefoldError
from .event import Event, NewEvent

#: Stands between the texts of a joined mark.
JOINT = ";"


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """One atomic append: all of its events and marks are committed, or none is.

    Judged in this order: all ids known with equal content: their positions, nothing else is checked or written;
    some known, or content differs: DuplicateConflict; then `expected_version` (stream -> version before this append,
    0 for a stream that must not exist): VersionConflict. A mark of None is removed.

    `joined` are texts that become one mark together with those that other appends of the same transaction give for that
    name, in their order and with `JOINT` between them. With `keeps_marks`, marks and joined texts are committed also
    where all events stood in the log before. `frees` are positions of events of earlier appends whose payloads are
    freed, for good: header and hashes stay, and the chain still verifies. Where there is nothing to free nothing is.
    """

    events: Sequence[NewEvent] = ()
    expected_version: Mapping[str, int] = {}
    source: str = ""
    marks: Mapping[str, str | None] = {}
    joined: Mapping[str, str] = {}
    keeps_marks: bool = False
    frees: Sequence[int] = ()


class Appended(msgspec.Struct, frozen=True):
    """What became of an append: its events as they stand in the log; `fresh` is False where they stood there before."""

    events: Sequence[Event]
    fresh: bool


class EventLog(Protocol):
    """One append-only log. Single-threaded: used by the thread that made it."""

    @property
    def head(self) -> int:
        """The position of the last event, 0 for an empty log."""

    def append(self, request: Append) -> Appended:
        """Append durably, or raise VersionConflict, DuplicateConflict, InvalidEvent or a storage error."""

    def append_many(self, requests: Sequence[Append]) -> list[Appended | TwelvefoldError]:
        """Judge each request in turn and commit all that stand in one transaction (group commit).

        A refused request is returned as its error and hurts no other. Raises a storage error, with nothing of
        the batch kept and heads reloaded from the file, where the commit itself fails.
        """

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
        """Read one page: events with after < position <= until that fit every filter, oldest first unless reverse.

        `type` is a pattern (`task.*`). A page shorter than `limit` is the last one. Holds no cursor between pages.
        """

    def version(self, stream: str) -> int:
        """Return the version of a stream, 0 where it does not exist."""

    def event_of(self, id: bytes) -> Event | None:
        """Return the event with this id, or None."""

    def last_position(self, pattern: str) -> int:
        """Return the last position under a type pattern (`*`, `task.*`, `task.failed`), 0 where there is none."""

    def marks(self, prefix: str = "") -> dict[str, str]:
        """Return the marks whose name starts with prefix, in the order of their names."""

    def is_blob_named(self, sha256: str) -> bool:
        """Tell whether an event whose payload is still there names a blob."""

    def wipe(self) -> bool:
        """Remove what still stands of freed payloads beside the log itself; False where that must be tried again."""

    def compact(self) -> None:
        """Give the space of freed payloads back; raises StorageFull or LogLocked, with the log as it was."""

    def stats(self) -> Mapping[str, int | str]:
        """Return figures about the storage (head, sizes), for health and metrics."""

    def close(self) -> None:
        """Release the file and its lock."""
