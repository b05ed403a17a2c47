"""Projects to test: real repositories below tmp_path, changed and tested as the built-in job does it."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.git import Git
from twelvefold.agents.journal import fresh_id
from twelvefold.agents.store import Stores, find_repository
from twelvefold.agents.testing import TestingAgent
from twelvefold.agents.trial import Trial
from twelvefold.agents.turn import TaskOutcome
from twelvefold.agents.workspace import Workspaces

IDENTITY = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false"]


def picture(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Everything about the files below a folder that a stray write would change."""
    found: dict[str, tuple[Any, ...]] = {}
    for top, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(top, name)
            facts = path.lstat()
            content: Any = str(path.readlink()) if stat.S_ISLNK(facts.st_mode) else facts.st_mtime_ns
            if stat.S_ISREG(facts.st_mode):
                content = (path.read_bytes(), facts.st_mtime_ns)
            found[str(path.relative_to(folder))] = (facts.st_mode, content)
    return found


class Project:
    """A user's repository with its home beside it."""

    def __init__(self, tmp_path: Path) -> None:
        self.repo = tmp_path / "user" / "project"
        self.home = tmp_path / "home"
        self.repo.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.trial = Trial(self.home)

    def git(self, *args: str) -> str:
        done = subprocess.run(["git", *IDENTITY, *args], cwd=self.repo, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, files: Mapping[str, str], folder: Path | None = None) -> None:
        for name, text in files.items():
            path = (folder or self.repo) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, files: Mapping[str, str]) -> str:
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "State")
        return self.git("rev-parse", "HEAD")

    def test(self, changes: Mapping[str, str | None], killed_before: bool = False, **task: Any) -> TaskOutcome:
        """Commit changes in a workspace as the fixer does, then have them tested; nothing may be left by that.

        `killed_before`: there is the temporary folder of an earlier holder of the task, who was killed.
        """
        run = fresh_id().hex()
        base = self.git("rev-parse", "HEAD")
        stores = Stores(Git(), self.trial.places.stores)
        store = stores.open_run(find_repository(stores.git, self.repo), run, base)
        with Workspaces(stores, self.trial.places.workspaces, lambda *_: None).create(store, "0.0", base) as workspace:
            for name, text in changes.items():
                if text is None:
                    (workspace.folder / name).unlink()
                else:
                    self.write({name: text}, workspace.folder)
            commit = workspace.record("Change", 1) or base
        if killed_before:
            Path(tempfile.mkdtemp(prefix=f"tf-{run[-8:]}-0.1-")).joinpath("file").touch()
        before = picture(self.repo)
        agent = TestingAgent()
        given = {"repo": str(self.repo), "base": base, "commit": commit, **task}
        self.request = self.trial.request(agent, given, run=run, path="0.1")
        outcome = self.trial.deliver(agent, self.request)
        assert picture(self.repo) == before, "the user's repository was written to"
        assert not list(Path(tempfile.gettempdir()).glob(f"tf-{run[-8:]}-*")), "a temporary folder was left"
        assert not list(self.trial.places.workspaces.glob("**/*")), "a workspace was left"
        return outcome


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[[str], Project]:
    """Several projects in one test."""
    return lambda name: Project(tmp_path / name)
