"""The root of every error that a user of Twelvefold can meet, and the errors of the log.

Errors are data: each is a dataclass whose fields say what happened, and which builds its own message from them, so
that it can cross a process boundary (`facts` and `rebuild`) and be shown with a `help:` line. Codes are stable;
`twelvefold explain CODE` prints the class's docstring.

The tree (what concerns its files from LogLocked on stands in `storage_errors`, packages add theirs in an
`errors.py` of their own; E1 log, E2 bus, E3 processes and orchestration, E4 agents and the job, E0 command line):

    TwelvefoldError
    ├── VersionConflict       E101   expected version is not the stream's
    ├── DuplicateConflict     E102   id known with other content, or batch partly known
    ├── InvalidEvent          E103   malformed event or append
    ├── PayloadTooLarge       E104   more than 1 MiB
    ├── LogLocked             E105   another process owns the log
    ├── StorageFull           E106   no space; goes on by itself once there is some
    ├── StorageFailed         E107   I/O error; writes stop until the log is opened anew
    ├── CorruptLog            E108   damage, with the first bad position
    ├── ForeignFile           E109   something else stands in the log's place
    ├── NewerSchema           E110   written by a newer version
    ├── LogNotFound           E111   nothing to read
    ├── LogCutShort           E112   acknowledged events are missing at the end
    ├── LogNotAccessible      E113   permissions or a read-only file system
    ├── BlobMissing           E114   an event names a blob that is not there
    ├── BlobDamaged           E115   a blob's content is not what its name says
    ├── TargetExists          E116   a backup never overwrites
    ├── StrayWal              E117   a write-ahead file of another log lies beside this one
    ├── BlobNotStored         E118   a blob could not be made durable
    ├── BackupFailed          E119   a backup could not be written
    └── UpcastFailed          E120   an old payload could not be lifted to the present schema
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar


class TwelvefoldError(Exception):
    """Root of all errors raised on purpose by Twelvefold.

    As the code of an error on the command line, E000 stands for what nobody foresaw: a defect of Twelvefold or of the
    machine. The command in its help shows the whole traceback; please report that.
    """

    code: ClassVar[str] = "E000"
    #: The command line's exit status for this error (CLI rules: 1 failed, 2 usage, 3 not found, 4 conflict, …).
    exit_code: ClassVar[int] = 1

    def message(self) -> str:
        """Say what happened and where, in one sentence or two."""
        return type(self).__name__

    def help(self) -> str | None:
        """Say how to fix it, with a command that really does; None where there is no such command."""
        return None

    def facts(self) -> dict[str, Any]:
        """Return the fields, JSON-like, from which `rebuild` makes an equal error."""
        return dataclasses.asdict(self) if dataclasses.is_dataclass(self) else {}

    def __str__(self) -> str:
        return self.message()


def error_classes() -> dict[str, type[TwelvefoldError]]:
    """Map each code to its class, for every error class imported so far."""
    found: dict[str, type[TwelvefoldError]] = {}
    waiting = [TwelvefoldError]
    while waiting:
        cls = waiting.pop()
        found[cls.code] = cls
        waiting += cls.__subclasses__()
    return found


@dataclass(eq=False)
class VersionConflict(TwelvefoldError):
    """A stream is not at the version that the writer expected: somebody else wrote to it first.

    Read the stream again, decide again on what it says now, and append with the new version.
    """

    code = "E101"
    exit_code = 4
    stream: str
    expected: int
    actual: int

    def message(self) -> str:
        """Name the stream and both versions."""
        return f"stream {self.stream} is at version {self.actual}, not at the expected {self.expected}"


@dataclass(eq=False)
class DuplicateConflict(TwelvefoldError):
    """An event id is known already, but with other content, or only a part of the batch is known.

    Ids are kept for ever, so that a resent batch is recognised. A new fact needs a new id.
    """

    code = "E102"
    exit_code = 4
    id: str
    position: int

    def message(self) -> str:
        """Name the id and where it stands."""
        return f"event id {self.id} is in the log already, at position {self.position}, with other content or company"


@dataclass(eq=False)
class InvalidEvent(TwelvefoldError):
    """An event, or the append that holds it, is not well formed, and nothing of the append was written.

    Types, streams and queues are dot-separated tokens of `[a-z0-9_-]`, at most 255 characters; an id has 16 bytes and
    stands in an append once; the payload is JSON text that any JSON parser reads back.
    """

    code = "E103"
    exit_code = 2
    index: int
    field: str
    reason: str

    def message(self) -> str:
        """Name the event's place in its append, the field and what is wrong with it."""
        return f"event {self.index} of the append: {self.field} {self.reason}"


@dataclass(eq=False)
class PayloadTooLarge(TwelvefoldError):
    """A payload is larger than the 1 MiB that an event can hold, and nothing of its append was written.

    Put the data into a blob (a file in `blobs/incoming/<instance>/`) and name it in the payload:
    `{"blob": "<sha256>", "size": <bytes>}`.
    """

    code = "E104"
    exit_code = 2
    index: int
    size: int
    limit: int

    def message(self) -> str:
        """Name the event's place in its append and both sizes."""
        return f"event {self.index} of the append: the payload has {self.size} bytes, at most {self.limit} fit"

    def help(self) -> str:
        """Point to blobs."""
        return 'store the data as a blob and put {"blob": sha256, "size": bytes} into the payload'


@dataclass(eq=False)
class UpcastFailed(TwelvefoldError):
    """A program's upcaster could not lift an old payload to the present schema. What is stored is as it was appended.

    The step that is registered for this type and schema raised an error: mend it, and read again.
    """

    code = "E120"
    position: int
    type: str
    schema: int
    reason: str

    def message(self) -> str:
        """Name the event, the step and what it raised."""
        return f"{self.type} at position {self.position} cannot be lifted from schema {self.schema}: {self.reason}"

    def help(self) -> str:
        """Show the event as it is stored."""
        return f"see what is stored: `twelvefold log --after {self.position - 1} --limit 1 --data`"
