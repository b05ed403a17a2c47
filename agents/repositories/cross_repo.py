"""Working on one repository and then on another, in one task or in many at once.

Owns which repository is the current one: a stack for each flow of control (thread, asyncio task), by context variables,
so that parallel work never sees another's switch, and the process's working folder stays as it is. In a task each
repository that is switched to gets a workspace of the task's own. Keeps: a switch that cannot be made changes nothing;
files of a workspace are committed before it is left.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from ...eventstore.errors import TwelvefoldError
from ..context import TaskContext, current_task
from ..git import Git
from ..repository_errors import RepositoryUnknown
from ..store import find_repository
from ..work_errors import NoCommits
from ..workspace import Workspace
from .allowed import rules_for
from .rules import RepositoryRules, named_folder
from .standing import standing

_MESSAGE = "Files of a task as it left the repository"


class _Visit(msgspec.Struct, frozen=True, eq=False):
    """One switch: whose it is, and where it led."""

    owner: object
    name: str
    path: Path
    workspace: Workspace | None


#: The switches of this flow of control that have not been taken back, the latest last, of all managers.
_visits: ContextVar[tuple[_Visit, ...]] = ContextVar("twelvefold_visits", default=())
#: Why the last switch of this flow could not be made, with its manager.
_refusal: ContextVar[tuple[object, TwelvefoldError] | None] = ContextVar("twelvefold_refused_switch", default=None)


class CrossRepoContextManager:
    """Switches between repositories without changing the process's working folder.

    `context` is the task to work in, by default the one that is being done here, if any. `rules` say what is permitted;
    those of the task by default. One object may serve many threads and asyncio tasks at once, and many tasks.
    """

    def __init__(self, context: TaskContext | None = None, *, rules: RepositoryRules | None = None) -> None:
        self._context = context
        #: Threads that a handler starts know nothing of its task by themselves.
        self._made_in = current_task()
        self._rules = rules
        self._git = Git()
        self._lock = threading.RLock()
        self._opened: dict[tuple[bytes, Path], Workspace] = {}

    def switch_to_repo(self, repo_path: str | Path) -> bool:
        """Make a repository the current one: a folder, or the name of a sister; tell whether that could be done.

        Where it couldn't, nothing changes and `problem` says why: no such repository, a bare one, one without commits,
        one that may not be read.
        """
        try:
            visit = self._visit(repo_path)
        except TwelvefoldError as error:
            _refusal.set((self, error))
            return False
        _refusal.set(None)
        _visits.set((*_visits.get(), visit))
        return True

    def restore_context(self) -> bool:
        """Go back to what was current before the last switch; False where there was none to go back from.

        In a task the files of the workspace that is left are committed to the run's store, under a hidden ref.
        """
        visits = _visits.get()
        own = [n for n, visit in enumerate(visits) if visit.owner is self]
        if not own:
            return False
        visit = visits[own[-1]]
        _visits.set(visits[: own[-1]] + visits[own[-1] + 1 :])
        if visit.workspace is not None:
            visit.workspace.record(_MESSAGE, int(time.time()))
        return True

    def get_current_context(self) -> dict[str, Any]:
        """Return name, path, branch, commit, clean, workspace and permissions of the current repository.

        Without a switch it is the task's own (its input's `repo`), else the one around the working folder; where there
        is none, all but `path` is None. `workspace` is the folder in which the task may change files; then `commit` and
        `clean` are the workspace's.
        """
        visit = self._current()
        path = visit.path if visit is not None else self._base()
        found = standing(path, self._git)
        if found.problem is not None and visit is None and found.commit is None:
            named = dict.fromkeys(("name", "path", "branch", "commit", "clean", "workspace", "permissions"))
            return {**named, "path": str(path)}
        workspace = visit.workspace if visit is not None else None
        return {
            "name": visit.name if visit is not None else Path(found.path).name,
            "path": found.path,
            "branch": found.branch,
            "commit": workspace.commit if workspace is not None else found.commit,
            "clean": workspace.is_clean() if workspace is not None else found.clean,
            "workspace": str(workspace.folder) if workspace is not None else None,
            "permissions": msgspec.to_builtins(self._permitted().of(path)),
        }

    @property
    def problem(self) -> TwelvefoldError | None:
        """Why this flow's last switch could not be made; None where it was."""
        refusal = _refusal.get()
        return refusal[1] if refusal is not None and refusal[0] is self else None

    @property
    def workspace(self) -> Workspace | None:
        """The workspace of the current repository; None outside of a task, and before a switch."""
        visit = self._current()
        return visit.workspace if visit is not None else None

    def in_repo(self, repo_path: str | Path) -> Visiting:
        """Switch for the length of a `with` or `async with` block; raises the problem where that can't be done."""
        return Visiting(self, repo_path)

    def _current(self) -> _Visit | None:
        return next((visit for visit in reversed(_visits.get()) if visit.owner is self), None)

    def _task(self) -> TaskContext | None:
        task = self._context or current_task() or self._made_in
        return task if task is not None and not task.over else None

    def _permitted(self) -> RepositoryRules:
        if self._rules is not None:
            return self._rules
        task = self._task()
        return rules_for(task) if task is not None else RepositoryRules()

    def _base(self) -> Path:
        task = self._task()
        given = task.input.get("repo") if task is not None and isinstance(task.input, dict) else None
        if isinstance(given, str):
            return Path(given)
        here = Path.cwd()
        return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)

    def _visit(self, repo_path: str | Path) -> _Visit:
        name, folder = self._place(repo_path)
        rules = self._permitted()
        repository = find_repository(self._git, folder)
        rules.require(repository.top, "read")
        found = standing(repository.top, self._git)
        if found.commit is None:
            raise NoCommits(str(repository.top))
        task = self._task()
        workspace = self._workspace(task, repository.top, found.commit) if task is not None else None
        return _Visit(self, name, repository.top, workspace)

    def _place(self, repo_path: str | Path) -> tuple[str, Path]:
        """Return the name and the folder that is meant: a path, a name that was given to one, a sister's folder."""
        path = Path(repo_path).expanduser()
        visit = self._current()
        here = visit.path if visit is not None else self._base()
        if path.is_absolute():
            return path.resolve().name, path
        task = self._task()
        given = dict(named_folder(one) for one in task.settings.repos) if task is not None else {}
        given |= {entry.name: entry.path for entry in self._permitted().entries if entry.path is not None}
        if (name := str(repo_path)) in given:
            return name, given[name]
        for folder in (Path.cwd() / path, here.parent / path):
            if (folder / ".git").exists() or (folder.is_dir() and len(path.parts) > 1):
                return folder.resolve().name, folder
        raise RepositoryUnknown(str(repo_path), tuple(sorted({*given, *_sisters(here.parent)})))

    def _workspace(self, task: TaskContext, top: Path, head: str) -> Workspace:
        """Return the task's workspace of a repository, one for as long as the task lasts."""
        with self._lock:
            key = (task.request.id, top)
            if key not in self._opened:
                # The same commit when the task is delivered again, wherever the repository is by then.
                base: str = task.record(f"base of {top}", self._stated_base(task, top) or head)
                with ExitStack() as opened:
                    name = f"in{find_repository(self._git, top).key[:8]}"
                    self._opened[key] = opened.enter_context(task.workspace(top, base, name=name))
                    task.at_end(partial(self._close, key, opened.pop_all()))
            return self._opened[key]

    def _close(self, key: tuple[bytes, Path], opened: ExitStack) -> None:
        with self._lock:
            del self._opened[key]
        opened.close()

    def _stated_base(self, task: TaskContext, top: Path) -> str | None:
        given = task.input if isinstance(task.input, dict) else {}
        own = isinstance(given.get("repo"), str) and Path(given["repo"]).resolve() == top.resolve()
        return str(given["base"]) if own and isinstance(given.get("base"), str) else None


class Visiting:
    """A block of code in another repository, for `with` and `async with`; gives the context as a dict."""

    def __init__(self, manager: CrossRepoContextManager, repo_path: str | Path) -> None:
        self._manager = manager
        self._repo_path = repo_path

    def __enter__(self) -> dict[str, Any]:
        if not self._manager.switch_to_repo(self._repo_path):
            raise self._manager.problem or RepositoryUnknown(str(self._repo_path))
        return self._manager.get_current_context()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._manager.restore_context()

    async def __aenter__(self) -> dict[str, Any]:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._manager.restore_context()


def _sisters(folder: Path) -> list[str]:
    try:
        return [child.name for child in folder.iterdir() if (child / ".git").exists()]
    except OSError:
        return []  # nothing to propose
