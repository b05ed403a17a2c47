"""What the tools of one workspace share: its files, its submodules, and the commit made after each effect.

Owns the snapshot: after an effect that changed files, all files are committed under a hidden ref of the run's store.
Keeps: the workspace is touched when a tool is first called and not before; caches that programs leave are committed
only where a tool wrote them; one call at a time is at work in the files.
"""

from __future__ import annotations

import os
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..repositories.allowed import require
from ..repository_errors import RepositoryForbidden
from ..response import ToolResponse
from ..tool import Effect, Tool
from ..tool_errors import CommandRefused, EditsRefused, PathRefused, WorkspaceBusy
from .transaction import Edits
from .tree import FileTree

if TYPE_CHECKING:
    from ..context import TaskContext
    from ..workspace import Workspace

#: What programs leave behind that no change is about, as patterns of git.
LEAVINGS = (
    *("__pycache__/", "*.py[co]", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/", ".tox/", ".nox/"),
    *(".coverage", ".coverage.*", "node_modules/", ".DS_Store", ".twelvefold-*"),
)
#: The last line of a commit that is no more than a record of how the files were.
SNAPSHOT = "Twelvefold-Snapshot:"


class Bench:
    """One workspace as its tools see it."""

    def __init__(self, workspace: Workspace, context: TaskContext, repo: Path | None = None) -> None:
        self.workspace = workspace
        self.context = context
        self._repo = repo
        self._tree: FileTree | None = None
        self._submodules: frozenset[str] | None = None
        self._written: set[str] = set()
        self._told = ""
        #: Between two calls nothing is unrecorded: what one changed and its result are there before the next begins.
        self.turn = threading.Lock()
        self._doing = "Snapshot"

    @property
    def tree(self) -> FileTree:
        """The workspace's files."""
        if self._tree is None:
            self._tree = FileTree(self.workspace.folder)
        return self._tree

    @property
    def repo(self) -> Path:
        """The user's repository, whose interpreter and packages tests use; the workspace where nobody named it."""
        return self._repo or self.workspace.repo or self.workspace.folder

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables of the agent's process."""
        return self.context.settings.environ or os.environ

    @contextmanager
    def at_work(self, doing: str) -> Iterator[None]:
        """Be the only call at work in the files."""
        with self.tree.alone():
            self._doing = doing
            self._told = self._told or self.workspace.commit
            yield

    def require_commands(self, command: Sequence[str] | str | None) -> None:
        """Raise Refusal unless `repos.toml` permits a command, or any at all, in the user's repository."""
        try:
            require(self.context, self.repo, "commands", command)
        except RepositoryForbidden as error:
            raise Refusal("not_permitted", error.message()) from error

    def edits(self) -> Edits:
        """Begin changes to files that are made together."""
        if self._submodules is None:
            modes = self.workspace.files()
            self._submodules = frozenset(path for path, mode in modes.items() if mode == "160000")
        return Edits(self.tree, self._submodules)

    def make(self, edits: Edits) -> list[str]:
        """Make changes, and have the next snapshot hold them whatever `.gitignore` says; returns what differs."""
        changed = edits.make()
        self._written.update(changed)
        return changed

    def visible(self) -> set[str]:
        """Return the paths of files that are committed, or would be: not those that `.gitignore` leaves out."""
        return self.workspace.visible(LEAVINGS) | self._written

    def snapshot(self) -> str | None:
        """Commit the files where they differ from the last commit; return the last commit where it is a new one.

        While a call is at work nothing is committed: its own end does that, or nobody if it was given up.
        """
        if not getattr(self.workspace, "laid_out", True):
            return None
        try:
            with self.tree.alone(timeout_s=0):
                before = self._told or self.workspace.commit
                self.record()
                self._told = self.workspace.commit
                return self._told if self._told != before else None
        except WorkspaceBusy:
            return None

    def record(self) -> None:
        """Commit the files where they differ from the last commit."""
        message = f"{self._doing}\n\n{SNAPSHOT} {self.context.run} {self.context.path}"
        self.workspace.record(message, int(time.time()), also=self._still_there(), leave=LEAVINGS)

    def _still_there(self) -> list[str]:
        """Return what tools wrote and no command has put a link or a folder in the place of."""
        found = []
        for path in sorted(self._written):
            with suppress(PathRefused):
                there = self.tree.look(path)
                found += [path] if there is not None and there.kind == "file" else []
        return found


class Refusal(Exception):
    """What a tool answers with in place of doing it: a word and a sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class WorkspaceTool(Tool):
    """A tool of a workspace: `perform` does the work with typed parameters; what it refuses is a failed response."""

    effect: Effect = "read"
    title: str = ""
    timeout_s = 60.0

    def __init__(self, bench: Bench) -> None:
        super().__init__(self.title, " ".join((type(self).__doc__ or "").split()))
        self.bench = bench
        self.turn = bench.turn

    @abstractmethod
    def perform(self, given: Any) -> ToolResponse:
        """Do it, alone in the workspace."""

    def execute(self, parameters: dict[str, Any]) -> ToolResponse:
        """Check the parameters and do it."""
        given = msgspec.convert(parameters, self.parameters)
        try:
            with self.bench.at_work(self.doing(given)):
                return self.perform(given)
        except Refusal as error:
            return refused(error.reason, str(error))
        except EditsRefused as error:
            return refused(error.reason, error.message(), {"failures": error.failures})
        except PathRefused as error:
            return refused(error.reason, error.message())
        except CommandRefused as error:
            return refused("command_refused", error.message())
        except WorkspaceBusy as error:
            return refused("workspace_busy", error.message())
        except FileNotFoundError as error:
            return refused("file_missing", f"{error.filename or 'the file'} is not there")
        except PermissionError as error:
            return refused("not_permitted", f"{error.filename or 'the file'}: {error.strerror}")

    def doing(self, given: Any) -> str:
        """Return the title of the commit that records what a call changed."""
        path = getattr(given, "path", "")
        return f"{self.name} {path}".strip()

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the parameters, without what a model does not need."""
        schema = super().schema()
        schema.pop("title", None)
        schema.pop("description", None)
        return schema


def refused(reason: str, error: str, data: Any = None) -> ToolResponse:
    """Answer that a call could not be done, with facts beside the sentence."""
    return ToolResponse(False, data=data, error=error, reason=reason)
