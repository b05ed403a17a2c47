"""What taking a run back to a position means, before it is ordered: tasks, files, branches, and what stands against it.

Owns the joining of what orchestration would decide with what lies in stores and repositories; reads, and does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .agents.git import Git
from .agents.restoring import branch_now
from .agents.stored_files import is_laid_out
from .eventstore.errors import TwelvefoldError
from .eventstore.event import Event
from .eventstore.forgotten import refuse_forgotten
from .orchestration.errors import RunNotFound
from .orchestration.rollback_preview import RollbackPreview, preview
from .orchestration.rollback_request import check_request
from .orchestration.run_state import Run
from .projections.workspace_files import RunFiles, files_of
from .run_file_errors import RunReadOnly
from .run_log import RunLog
from .run_place import open_run

_COMMAND = "twelvefold rollback"


@dataclass(eq=False)
class RollbackImpossible(TwelvefoldError):
    """A run can't be taken back as its plan was never one: it has failed at once, and nothing was done."""

    code = "E532"
    exit_code = 4
    run: str

    def message(self) -> str:
        """Say so."""
        return f"run {self.run} never had a plan that could be read, so there is nothing to take back"

    def help(self) -> str:
        """Show the run."""
        return f"see why: twelvefold status {self.run}"


class Rollback(msgspec.Struct, frozen=True):
    """A rollback of a run to the position `to` that may be ordered.

    `tasks` is what becomes of its tasks; `workspaces` and `branches` have a document each, as `restore_run` tells of
    them, of what is to be there. `unrecorded` are folders of workspaces that hold changes that no event tells of, which
    it would remove. `forks` are runs that were forked from what would be undone. `state` is `new`; `under_way` or
    `done` where it was ordered before, or `again` where what it laid out has been changed since.
    """

    run: Run
    to: int
    event: Event | None
    tasks: RollbackPreview
    workspaces: list[dict[str, Any]]
    branches: list[dict[str, Any]]
    forks: list[str]
    unrecorded: list[str]
    state: str = "new"

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of the agents that undo."""
        return tuple(dict.fromkeys(one.by for one in self.tasks.compensations))


def plan_rollback(home: Path, given: str, to: int | None) -> Rollback:
    """Return what a rollback of the run whose id begins with `given` would be; `to` None is its beginning.

    Raises RunNotFound, PrefixAmbiguous, RunReadOnly, RunForgotten, RollbackOutside, RollbackUnderWay,
    RollbackImpossible.
    """
    with open_run(home, given, _COMMAND) as (log, run, place):
        if place != home:
            raise RunReadOnly(run, _COMMAND)
        refuse_forgotten(log, run, "be rolled back")
        return _planned(home, log, run, to)


def _planned(home: Path, log: RunLog, run: str, to: int | None) -> Rollback:
    view, events = log.view(run)
    known = view.state
    if known.status == "unknown":
        raise RunNotFound(run)
    if known.plan is None:
        raise RollbackImpossible(run)
    check_request(log, run, to)
    to = known.first if to is None else to
    before = known.rollback
    then, now = files_of(events, to), files_of(events)
    state = "new"
    if before is not None and before.to == to:
        state = "under_way" if known.status != "ended" else "done" if _is_as_laid_out(now) else "again"
    event = next((one for one in reversed(events) if one.position <= to), None)
    tasks = preview(known, events, to)
    git = Git()
    wanted = {key: one.commit for key, one in then.published.items()}
    branches = [branch_now(git, one, wanted.get(key, "")) for key, one in now.published.items()]
    workspaces, forks = _workspaces(home, run, then, now), _forks(log, run, to)
    return Rollback(known, to, event, tasks, workspaces, branches, forks, _unrecorded(now), state)


def _workspaces(home: Path, run: str, then: RunFiles, now: RunFiles) -> list[dict[str, Any]]:
    """Tell which workspaces are to be laid out, and at which commit each was last."""
    found = []
    for one in then.latest():
        folder = str(home / "workspaces" / run / one.key)
        last = now.workspaces.get(one.key)
        about = {"key": one.key, "path": one.path, "folder": folder, "store": one.store, "commit": one.commit}
        found.append({**about, "last": last.commit if last is not None else None})
    return found


def _is_as_laid_out(now: RunFiles) -> bool:
    return all(
        is_laid_out(Path(one.folder), Path(one.store), one.commit) for one in now.workspaces.values() if one.is_open
    )


def _unrecorded(now: RunFiles) -> list[str]:
    """Return the folders whose files are not those of the last commit: somebody works there, or has looked around."""
    return [
        one.folder
        for one in now.workspaces.values()
        if one.is_open and Path(one.folder).is_dir() and Path(one.store).is_dir()
        if not is_laid_out(Path(one.folder), Path(one.store), one.commit)
    ]


def _forks(log: RunLog, run: str, to: int) -> list[str]:
    """Return the runs that were forked from this one after the position."""
    found, after = [], to
    while page := log.read(type="run.forked", after=after, limit=1000):
        after = page[-1].position
        for event in page:
            data = event.data
            at = data.get("at") if isinstance(data, dict) and data.get("parent") == run else None
            if isinstance(at, int) and at > to:
                found.append(event.run)
    return found
