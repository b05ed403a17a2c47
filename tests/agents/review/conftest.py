"""Changes to review: real repositories below tmp_path, reviewed as the agent does it; nothing may be left by that."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.journal import TaskRequest
from twelvefold.agents.pr_review import PRReviewAgent
from twelvefold.agents.trial import Trial
from twelvefold.agents.turn import TaskOutcome

Files = Mapping[str, str | bytes | None]
IDENTITY = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false"]


def picture(folder: Path) -> dict[str, Any]:
    """Everything about the files below a folder that a stray write would change."""
    found: dict[str, Any] = {}
    for top, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(top, name)
            facts = path.lstat()
            plain = stat.S_ISREG(facts.st_mode)
            found[str(path.relative_to(folder))] = (facts.st_mode, plain and (path.read_bytes(), facts.st_mtime_ns))
    return found


class Reviewed:
    """A user's repository, its home beside it, and a PATH of its own."""

    def __init__(self, tmp_path: Path, settings: AgentSettings | None = None) -> None:
        self.repo = tmp_path / "user" / "project"
        self.home = tmp_path / "home"
        self.tools = tmp_path / "tools"
        self.tools.mkdir()
        self.repo.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.trial = Trial(self.home, settings)
        self.request: TaskRequest | None = None

    def git(self, *args: str) -> str:
        done = subprocess.run(["git", *IDENTITY, *args], cwd=self.repo, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, files: Files) -> str:
        for name, content in files.items():
            path = self.repo / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "State")
        return self.git("rev-parse", "HEAD")

    def tool(self, name: str, script: str) -> Path:
        """Put a program of this name on the PATH of the review: a shell script."""
        file = self.tools / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    def path(self) -> str:
        """The tools made here, and what a shell script needs; no analyzer that happens to be installed."""
        return f"{self.tools}:/usr/bin:/bin"

    def review(self, before: Files, after: Files, **task: Any) -> TaskOutcome:
        """Commit both states one after the other, and have the second reviewed against the first."""
        base = self.commit(before)
        commit = self.commit(after)
        return self.task(base=base, commit=commit, **task)

    def task(self, answers: Any = (), **task: Any) -> TaskOutcome:
        before = picture(self.repo)
        given = {"repo": str(self.repo), "path": self.path(), **task}
        self.request = self.trial.request(PRReviewAgent(), given, path="0.2", answers=answers)
        outcome = self.trial.deliver(PRReviewAgent(), self.request)
        assert picture(self.repo) == before, "the user's repository was written to"
        assert not list(self.trial.places.workspaces.glob("**/*")), "a workspace was left"
        return outcome


def findings(outcome: TaskOutcome) -> list[dict[str, Any]]:
    """The findings of a review, whatever its outcome."""
    assert outcome.value is not None, outcome
    found: list[dict[str, Any]] = outcome.value["findings"]
    return found


@pytest.fixture
def reviewed(tmp_path: Path) -> Reviewed:
    return Reviewed(tmp_path)


@pytest.fixture
def make_reviewed(tmp_path: Path) -> Callable[..., Reviewed]:
    """A review whose agent has settings of its own."""
    return lambda settings: Reviewed(tmp_path, settings)
