"""The root of every error that a user of Twelvefold can meet, and the errors of the log.

Errors are data: each is a dataclass whose fields say what happened, and which builds its own message from them, so
that it can cross a process boundary (`facts` and `rebuild`) and be shown with a `help:` line. Codes are stable;
`twelvefold explain CODE` prints the class's docstring.

The tree (packages add theirs below the root, in an `errors.py` of their own; E1 log, E2 bus, E3 processes and
orchestration, E4 agents and the job, E0 command line and settings):

    TwelvefoldError
    ├── VersionConflict       E101   expected version is not the stream's
    ├── DuplicateConflict     E102   id known with other content, or batch partly known
    └── …                     see `eventstore/errors.py` of each package
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar


class TwelvefoldError(Exception):
    """Root of all errors raised on purpose by Twelvefold."""

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
