"""Which runs are to be forgotten, and what that would free: looked at, and nothing done.

Reads the log's file and the folders beside it, so it needs no bus and disturbs none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from .agents.forgetting import Kept, RunFolders, size_on_disk
from .bus import run_marks
from .eventstore.forgetting import PREFIX, check_forgettable, size_of
from .eventstore.forgotten import RunNotForgettable, forgotten
from .orchestration.run_index import RunSummary, list_runs, summary_of
from .run_log import RunLog
from .run_place import imports_folder


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to be forgotten, and what that would free.

    `refused` says why it may not be forgotten, "" where it may; `already` that it was, and only leftovers are freed,
    those beside the log where the log is `done` with it; `imported` that it is the copy of a run of another home.
    """

    run: str
    outcome: str | None = None
    ended_ns: int | None = None
    payloads: int = 0
    bytes: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    kept: Kept = Kept()
    already: bool = False
    done: bool = False
    imported: bool = False
    refused: str = ""

    @property
    def is_due(self) -> bool:
        """Whether anything is to be done about it."""
        return not self.refused and not (self.done and self.kept == Kept())


def older_than(log: RunLog, until_ns: int) -> list[str]:
    """Return the runs that ended before a moment and aren't forgotten yet, the oldest first."""

    def fits(one: RunSummary) -> bool:
        return one.state == "ended" and one.ended_ns is not None and one.ended_ns < until_ns

    found = [one.run for one in list_runs(log, only=fits) if forgotten(log, one.run) is None]
    return found[::-1]


def unfinished(home: Path, log: RunLog) -> list[str]:
    """Return the runs that are forgotten, but not all is freed of them yet: whoever did that was killed."""
    begun = [name.removeprefix(PREFIX) for name in log.marks(PREFIX)]
    leftover = [run for run in sorted(RunFolders(home).runs()) if run not in begun and forgotten(log, run) is not None]
    return begun + leftover


def candidates(home: Path, log: RunLog, named: list[str], aged: list[str]) -> list[Candidate]:
    """Look at runs that are to be forgotten together: `named` ones, and `aged` ones, left out where they must be.

    Raises RunNotForgettable or RunUnknown for a named one.
    """
    refused = _refused(log, named, aged)
    folders, marks = RunFolders(home), log.marks(run_marks.PREFIX)
    return [_candidate(home, log, run, refused.get(run, ""), folders, marks) for run in dict.fromkeys([*named, *aged])]


def imported_copy(home: Path, run: str) -> Candidate:
    """Look at the copy of a run that was imported from another home: all of it would be removed."""
    folder = imports_folder(home) / run
    return Candidate(run=run, imported=True, kept=Kept(bytes=size_on_disk(folder)))


def _refused(log: RunLog, named: list[str], aged: list[str]) -> dict[str, str]:
    """Return why some of the aged runs can't be forgotten: where a fork is left out, so is what it was forked from."""
    refused: dict[str, str] = {}
    together = {*named, *aged}
    while True:
        count = len(refused)
        for run in sorted(together - refused.keys()):
            try:
                check_forgettable(log, run, together - refused.keys())
            except RunNotForgettable as error:
                if run in named:
                    raise
                refused[run] = error.reason
        if len(refused) == count:
            return refused


def _candidate(
    home: Path, log: RunLog, run: str, refused: str, folders: RunFolders, marks: dict[str, str]
) -> Candidate:
    about = summary_of(log, run, marks)
    known: dict[str, Any] = {"run": run, "outcome": about and about.outcome, "ended_ns": about and about.ended_ns}
    if refused:
        return Candidate(**known, refused=refused)
    count, size, named = log.ask(size_of, run)
    sizes = [file.stat().st_size for blob in named if (file := home / "blobs" / blob[:2] / blob).exists()]
    found = forgotten(log, run)
    return Candidate(
        **known, payloads=count, bytes=size, blobs=len(sizes), blob_bytes=sum(sizes), kept=folders.kept(run),
        already=found is not None, done=found is not None and found.done,
    )  # fmt: skip
