"""A task at work in a workspace: its tools, and everything around it watched."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.agents.work.conftest import UserRepo
from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.base import BaseAgent
from twelvefold.agents.context import TaskContext
from twelvefold.agents.journal import TaskRequest
from twelvefold.agents.response import ToolResponse
from twelvefold.agents.tool import Tool
from twelvefold.agents.tools import workspace_tools
from twelvefold.agents.trial import Trial
from twelvefold.agents.workspace import Workspace

Picture = dict[str, tuple[int, object]]


class Nobody(BaseAgent):
    """An agent whose tasks are worked on from outside."""

    def execute_task(self, task: Any) -> ToolResponse:
        raise NotImplementedError


class Desk:
    """One delivery of a task, with a workspace and its tools."""

    def __init__(self, trial: Trial, user: UserRepo, request: TaskRequest, commit: str, **options: Any) -> None:
        self.trial = trial
        self.user = user
        self.commit = commit
        self.options = options
        settings = options.pop("settings", AgentSettings(environ=dict(os.environ)))
        self.context = TaskContext(Nobody(), request, trial.journal, trial.places, settings)
        self._open = ExitStack()
        self.workspace: Workspace = self._open.enter_context(self.context.workspace(user.folder, commit))
        self.tools: dict[str, Tool] = {
            one.name: one for one in workspace_tools(self.workspace, self.context, **options)
        }

    @property
    def folder(self) -> Path:
        """Where the workspace's files are."""
        return self.workspace.folder

    def call(self, tool: str, /, **parameters: Any) -> ToolResponse:
        """Call a tool as an agent does."""
        return self.context.call(self.tools[tool], parameters)

    def did(self, tool: str, /, **parameters: Any) -> Any:
        """Call a tool that succeeds, and return its data."""
        response = self.call(tool, **parameters)
        assert response.success, (response.reason, response.error)
        return response.data

    def refused(self, tool: str, /, **parameters: Any) -> str:
        """Call a tool that fails, leaving every file as it was, and return the reason."""
        before = picture(self.folder)
        response = self.call(tool, **parameters)
        assert not response.success, response.data
        assert picture(self.folder) == before
        assert response.reason and response.error
        return response.reason

    def text(self, path: str) -> str:
        """What a file of the workspace holds."""
        return (self.folder / path).read_bytes().decode()

    def committed(self, path: str, commit: str | None = None) -> str:
        """What a file holds in a commit of the run's store, the last one by default."""
        at = f"{commit or self.workspace.commit}:{path}"
        out: bytes = self.workspace.git.run("cat-file", "blob", at, git_dir=self.workspace.store.git_dir).out
        return out.decode()

    def changed(self) -> list[str]:
        """The paths that differ between the task's start and the last commit."""
        return self.workspace.changed(self.commit, self.workspace.commit)

    def close(self) -> None:
        """End the delivery."""
        self._open.close()


def picture(folder: Path) -> Picture:
    """Everything in a folder that a write would change, but for git's own."""
    found: Picture = {}
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        for name in [*folders, *files]:
            path = Path(top, name)
            facts = path.lstat()
            content: object = None
            if stat.S_ISLNK(facts.st_mode):
                content = str(path.readlink())
            elif stat.S_ISREG(facts.st_mode):
                content = path.read_bytes()
            found[os.fspath(path.relative_to(folder))] = (facts.st_mode, content)
    return found


FILES = {
    "README.md": "# Shop\n\nSells things.\n",
    "src/shop/__init__.py": "",
    "src/shop/prices.py": "def price(n: int) -> int:\n    return n * 2\n\n\ndef tax(n: int):\n    return n * 2\n",
    "tests/test_prices.py": "from shop.prices import price\n\n\ndef test_price() -> None:\n    assert price(2) == 4\n",
    "data/table.json": '{"a": 1}\n',
    "pyproject.toml": '[project]\nname = "shop"\nversion = "1.0"\n\n[tool.pytest.ini_options]\npythonpath = ["src"]\n',
    ".gitignore": "build/\n*.log\n",
}


@pytest.fixture
def user(tmp_path: Path) -> UserRepo:
    """A small repository."""
    repo = UserRepo(tmp_path / "user" / "repo").init()
    repo.commit(FILES)
    return repo


@pytest.fixture
def desk_on(tmp_path: Path, user: UserRepo) -> Iterator[Callable[..., Desk]]:
    """Desks on that repository, after more files were committed to it."""
    opened: list[Desk] = []

    def make(files: Mapping[str, str | bytes] | None = None, **options: Any) -> Desk:
        commit = user.commit(files, "More") if files else user.git("rev-parse", "HEAD")
        trial = options.pop("trial", None) or Trial(tmp_path / "home")
        request = options.pop("request", None) or trial.request(Nobody(), None)
        opened.append(Desk(trial, user, request, commit, **options))
        return opened[-1]

    yield make
    for desk in opened:
        desk.close()


@pytest.fixture
def desk(desk_on: Callable[..., Desk]) -> Desk:
    """A desk on the repository as it is."""
    return desk_on()


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder beside the workspace with a secret in it, which must be the same afterwards."""
    folder = tmp_path / "outside"
    (folder / "inner").mkdir(parents=True)
    (folder / "secret.txt").write_text("the secret\n")
    (folder / "inner" / "a.py").write_text("x = 1\n")
    before = picture(folder)
    yield folder
    assert picture(folder) == before, "something outside the workspace was written to"
