"""Where a run is kept: in the home's own log, or in the folder of one that was imported from another home.

Owns that rule. An imported run has a place of its own, `<home>/imports/<run>/`, laid out as a home is: log, blobs and
stores, with the positions and hashes that the run has where it comes from. So whatever reads a run reads it there by
the same means, and the home's own log and chain know nothing of it. Nothing is ever written for such a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .eventstore.presence import is_there
from .eventstore.reader import LogReader
from .eventstore.storage_errors import LogNotFound
from .run_file_errors import RunReadOnly
from .run_ids import resolve_run
from .run_log import RunLog

_FOLDER = "imports"
_RUN = re.compile(r"[0-9a-f]{32}")


def imports_folder(home: Path) -> Path:
    """Return the folder of all imported runs."""
    return home / _FOLDER


def imported_runs(home: Path, prefix: str = "") -> list[str]:
    """Return the ids of imported runs that begin with a prefix, in their order."""
    folder = imports_folder(home)
    if not folder.is_dir():
        return []
    return sorted(one.name for one in folder.iterdir() if _RUN.fullmatch(one.name) and one.name.startswith(prefix))


def open_own_log(home: Path) -> LogReader:
    """Open the home's own log; raises LogNotFound, which names imported runs where the home holds only those."""
    try:
        return LogReader(home / "log.db")
    except LogNotFound as error:
        if not imported_runs(home):
            raise
        advice = "twelvefold runs --imported    # lists them; name one with --run"
        raise LogNotFound(error.path, "only imported runs are here", advice) from None


@contextmanager
def open_run(home: Path, given: str, command: str) -> Iterator[tuple[RunLog, str, Path]]:
    """Open the log that has the one run whose id begins with `given`; yield it, the whole id and the run's place.

    The place is a folder with `log.db`, `blobs` and `stores`: the home, or that of an imported run. A run that is in
    both is read from the home's own log. `command` is the command line up to the id, for the help of an ambiguous one.
    Raises RunNotFound and PrefixAmbiguous, LogNotFound where there is neither a log nor an imported run.
    """
    imported = imported_runs(home)
    own = RunLog(home) if is_there(home / "log.db") or not imported else None
    log = own
    try:
        run = resolve_run(KnownRuns(own, imported), given, command)
        place = home
        if own is None or (run in imported and not own.runs(run, 1)):
            place = imports_folder(home) / run
            log = RunLog(place)
        assert log is not None
        yield log, run, place
    finally:
        for opened in {id(one): one for one in (own, log) if one is not None}.values():
            opened.close()


@contextmanager
def open_own_run(home: Path, given: str, command: str) -> Iterator[tuple[RunLog, str]]:
    """Open the home's log for a run of its own that is to be changed; yield it and the run's whole id.

    Raises as `open_run` does, and RunReadOnly for a run that was imported.
    """
    with open_run(home, given, command) as (log, run, place):
        if place != home:
            raise RunReadOnly(run, command)
        yield log, run


class KnownRuns:
    """The ids of runs in a home's log, if there is one, together with those of imported ones."""

    def __init__(self, log: LogReader | None, imported: list[str]) -> None:
        self._log, self._imported = log, imported

    def runs(self, prefix: str = "", limit: int = 1000) -> list[str]:
        """List ids of runs that begin with a prefix."""
        own = [] if self._log is None else self._log.runs(prefix, limit)
        return sorted({*own, *(run for run in self._imported if run.startswith(prefix))})[:limit]
