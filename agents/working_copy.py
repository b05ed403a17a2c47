"""A task's workspace for as long as its handler needs it: `with context.workspace(repo, commit) as workspace`.

Owns its beginning and end. Leaves what a workspace is to `workspace`, and the tools for it to `tools`. Keeps: it begins
with the files as of the last recorded effect of the task; nothing that a killed holder started is still at work in it;
and no workspace is left, however the block ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .git import Git, check_commit
from .guarded import alone
from .repositories.allowed import require
from .store import Repository, RunStore, Stores, find_repository
from .tools.bench import LEAVINGS, SNAPSHOT
from .workspace import Workspace, Workspaces

if TYPE_CHECKING:
    from .context import TaskContext


@contextmanager
def working_copy(context: TaskContext, repo: str | Path, commit: str, name: str = "") -> Iterator[Workspace]:
    """Lay out a workspace of the task, have its files committed after each effect, and remove it at the end.

    `commit` is the full id of a commit of the user's repository or of the run; `name` tells several workspaces of one
    task apart. Raises NotARepository, BareRepository, RepositoryForbidden, InvalidRef, CommitMissing,
    IncompleteRepository.
    """
    stores = Stores(Git(), context.places.stores, context.emit)
    repository = find_repository(stores.git, Path(repo))
    require(context, repository.top, "read")
    store = _store(stores, repository, context.run, check_commit(commit))
    with alone(work_name(context, f"{context.path}.{name}" if name else context.path)):
        pass  # the last command of a killed holder has ended
    workspaces = Workspaces(stores, context.places.workspaces, context.emit)
    with workspaces.create(store, context.path, context.recorded_commits.get(name, commit), name) as workspace:
        workspace.start = commit
        workspace.repo = repository.top
        context.attach_workspace(lambda: workspace.record(_message(context), int(time.time()), leave=LEAVINGS), name)
        context.follow_workspace(workspace.bring_to, name)
        try:
            yield workspace
        finally:
            context.detach_workspace(name)


def work_name(context: TaskContext, key: str) -> str:
    """Return the name that is held while a command is at work in a workspace, also after its agent was killed."""
    return f"twelvefold-{context.run}-{key}"


def _store(stores: Stores, repository: Repository, run: str, commit: str) -> RunStore:
    """Return the run's store for a repository, which may hold a commit that the repository itself hasn't."""
    for known in stores.run_stores(run):
        if known.git_dir.parent.name == repository.key and stores.has(known.git_dir, commit):
            return known
    return stores.open_run(repository, run, commit)


def _message(context: TaskContext) -> str:
    return f"Snapshot\n\n{SNAPSHOT} {context.run} {context.path}"
