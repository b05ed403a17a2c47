"""A task's workspace that is laid out when it is first used.

Owns the moment of laying out; `workspace` owns what a workspace is. Keeps: a task whose effects are all served from the
record touches no file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..context import TaskContext
from ..git import Git, check_commit
from ..store import Stores, find_repository
from ..workspace import Workspace, Workspaces, clear_folder, discard_folder
from .engine import FixTask


class TaskWorkspace(Workspace):
    """A workspace in every respect, whose attributes are those of the one that `lay_out` makes when one is wanted."""

    def __init__(self, lay_out: Callable[[], Workspace]) -> None:
        self._lay_out = lay_out
        self._lock = threading.Lock()
        self._laid_out = False

    def __getattr__(self, name: str) -> Any:
        """Lay the workspace out; called only for what isn't there yet."""
        if name.startswith("__"):
            raise AttributeError(name)
        with self._lock:
            if not self._laid_out:
                self.__dict__.update(vars(self._lay_out()))
                self._laid_out = True
        return self.__dict__[name]

    @property
    def laid_out(self) -> bool:
        """Whether anything has used it."""
        return self._laid_out


def task_workspace(task: FixTask, context: TaskContext) -> TaskWorkspace:
    """Return the workspace for an attempt at a task.

    It will hold the files as of the last recorded effect of this request, where it was delivered before, else those of
    `task.origin`. Using it raises NotARepository, BareRepository, InvalidRef, CommitMissing, IncompleteRepository.
    """

    def lay_out() -> Workspace:
        from pathlib import Path

        stores = Stores(Git(), context.places.stores, context.emit)
        repository = find_repository(stores.git, Path(task.repo))
        store = stores.open_run(repository, context.run, check_commit(task.base))
        workspaces = Workspaces(stores, context.places.workspaces, context.emit)
        made = workspaces.create(store, context.path, context.recorded_commit or check_commit(task.origin))
        made.start, made.repo = task.origin, repository.top
        return made

    workspace = TaskWorkspace(lay_out)
    context.follow_workspace(lambda commit: workspace.bring_to(commit) if workspace.laid_out else None)
    return workspace


def remove_workspace(workspace: TaskWorkspace, context: TaskContext) -> None:
    """Remove the task's workspace, also the one that a killed holder left while this delivery used none."""
    if workspace.laid_out:
        workspace.remove()
        return
    folder = context.places.workspaces.absolute() / context.run / context.path
    clear_folder(folder.with_name(f"{folder.name}~command"))
    if discard_folder(folder):
        context.emit("workspace.removed", {"folder": str(folder)})
