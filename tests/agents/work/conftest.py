"""A user's repository, watched: every byte of it, and every program that its settings would start."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.base import BaseAgent
from twelvefold.agents.fixer import IssueFixerAgent
from twelvefold.agents.git import Git
from twelvefold.agents.journal import fresh_id
from twelvefold.agents.publisher import PublisherAgent
from twelvefold.agents.store import RunStore, Stores, find_repository
from twelvefold.agents.trial import Trial
from twelvefold.agents.turn import TaskOutcome
from twelvefold.agents.workspace import Workspace, Workspaces

HOOKS = (
    "post-checkout post-commit post-index-change post-merge post-rewrite pre-auto-gc pre-commit pre-push"
    " reference-transaction update fsmonitor-watchman post-receive pre-receive push-to-checkout commit-msg"
    " prepare-commit-msg applypatch-msg proc-receive sendemail-validate"
)

Picture = dict[str, tuple[int, object]]


class UserRepo:
    """A repository as its owner uses it, with plain git and settings of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alarms = folder.parent / "alarms"
        self.alarms.mkdir(parents=True, exist_ok=True)

    def git(self, *args: str, at: Path | None = None, **env: str) -> str:
        """Run git as the owner would, with nothing of this machine's settings."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        clean |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self.folder.parent)}
        for who in ("AUTHOR", "COMMITTER"):
            clean |= {f"GIT_{who}_NAME": "Owner", f"GIT_{who}_EMAIL": "owner@example.invalid"}
        done = subprocess.run(
            ["git", *args],
            cwd=at or self.folder,
            env=clean | env,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def init(self, *options: str) -> UserRepo:
        self.folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main", *options)
        return self

    def commit(self, files: Mapping[str, str | bytes], message: str = "State") -> str:
        """Write files, commit everything, return the commit."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def plant(self) -> None:
        """Have every hook and every program that a repository's settings can name raise an alarm."""
        alarm = self.alarms.parent / "alarm.sh"
        alarm.write_text(f'#!/bin/sh\ntouch "{self.alarms}/$(basename "$0")-$$"\ncat >/dev/null\nexit 0\n')
        alarm.chmod(0o755)
        own = Path(self.git("rev-parse", "--path-format=absolute", "--git-common-dir"))
        for folder in (own / "hooks", self.alarms.parent / "elsewhere"):
            folder.mkdir(exist_ok=True)
            for name in HOOKS.split():
                (folder / name).unlink(missing_ok=True)
                (folder / name).symlink_to(alarm)
        settings = {
            "core.hooksPath": str(self.alarms.parent / "elsewhere"),
            "core.fsmonitor": str(alarm),
            "core.alternateRefsCommand": str(alarm),
            "core.sshCommand": str(alarm),
            "core.editor": str(alarm),
            "core.pager": str(alarm),
            "core.askPass": str(alarm),
            "credential.helper": str(alarm),
            "diff.external": str(alarm),
            "gpg.program": str(alarm),
            "commit.gpgSign": "true",
            "filter.evil.clean": str(alarm),
            "filter.evil.smudge": str(alarm),
            "filter.evil.process": str(alarm),
            "filter.evil.required": "true",
            "uploadpack.packObjectsHook": str(alarm),
            "protocol.file.allow": "never",
            "protocol.version": "0",
            "url.ssh://elsewhere.invalid/.insteadOf": "/",
            "transfer.hideRefs": "refs",
            "fetch.prune": "true",
            "fetch.pruneTags": "true",
            "fetch.writeCommitGraph": "true",
            "gc.auto": "1",
            "maintenance.auto": "true",
            "core.autocrlf": "true",
        }
        for name, value in settings.items():
            self.git("config", name, value)

    def alarmed(self) -> list[str]:
        return sorted(path.name for path in self.alarms.iterdir())

    def picture(self) -> Picture:
        """Everything about the repository and its checkout that a stray write would change."""
        found: Picture = {}
        for top, folders, files in os.walk(self.folder):
            for name in [*folders, *files]:
                path = Path(top, name)
                facts = path.lstat()
                content: object = facts.st_mtime_ns
                if stat.S_ISLNK(facts.st_mode):
                    content = str(path.readlink())
                elif stat.S_ISREG(facts.st_mode):
                    content = (facts.st_mtime_ns, path.read_bytes())
                found[os.fspath(path.relative_to(self.folder))] = (facts.st_mode, content)
        return found

    def refs(self) -> dict[str, str]:
        """Every ref with the object it names, and where HEAD points."""
        rows = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        head = (self.folder / ".git" / "HEAD").read_text() if (self.folder / ".git").is_dir() else ""
        return {"HEAD": head, **dict(row.split(" ") for row in rows)}


class Job:
    """The steps of the built-in job on one repository, in one run, without a bus."""

    def __init__(self, user: UserRepo, home: Path, run: str) -> None:
        self.user = user
        self.home = home
        self.run = run
        self.trial = Trial(home)
        self.stores = Stores(Git(), self.trial.places.stores)

    def open_run(self, base: str) -> RunStore:
        return self.stores.open_run(find_repository(self.stores.git, self.user.folder), self.run, base)

    def workspace(self, base: str, path: str = "0.0", emit: Callable[..., object] = lambda *_: None) -> Workspace:
        return Workspaces(self.stores, self.trial.places.workspaces, emit).create(self.open_run(base), path, base)

    def deliver(self, agent: BaseAgent, input: Any, path: str, *, undo: bool = False) -> TaskOutcome:
        return self.trial.deliver(agent, self.trial.request(agent, input, run=self.run, path=path, undo=undo))

    def fix(self, issue: str, base: str | None = None, **more: Any) -> TaskOutcome:
        """Have an issue fixed; whatever comes out, the user's repository is as it was and no workspace is left."""
        base = base or self.user.git("rev-parse", "HEAD")
        before = self.user.picture()
        given = {"issue": {"name": "12.md", "text": issue}, "repo": str(self.user.folder), "base": base, **more}
        outcome = self.deliver(IssueFixerAgent(), given, "0.0")
        assert self.user.picture() == before, "the user's repository was written to"
        assert not list(self.trial.places.workspaces.glob("*")), "a workspace was left"
        assert not list(self.trial.places.stores.rglob("*.git/**/*.lock")), "a lock was left"
        return outcome

    def publish(self, commit: str, base: str, ref: str) -> TaskOutcome:
        given = {"repo": str(self.user.folder), "commit": commit, "base": base, "ref": ref}
        return self.deliver(PublisherAgent(), given, "0.2")

    def unpublish(self, commit: str | None, ref: str) -> TaskOutcome:
        given = {"repo": str(self.user.folder), "commit": commit, "ref": ref}
        return self.deliver(PublisherAgent(), given, "0.2.undo", undo=True)

    def text(self, commit: str, path: str) -> bytes:
        """The content of a file in a commit of the run."""
        store = self.stores.find_run(self.run)
        assert store is not None
        return self.stores.git.run("cat-file", "blob", f"{commit}:{path}", git_dir=store.git_dir).out


@pytest.fixture
def user(tmp_path: Path) -> UserRepo:
    """An empty repository."""
    return UserRepo(tmp_path / "user" / "repo").init()


@pytest.fixture
def job(user: UserRepo, tmp_path: Path) -> Job:
    """A job on that repository."""
    return Job(user, tmp_path / "home", fresh_id().hex())


@pytest.fixture
def job_on(tmp_path: Path) -> Callable[[Path], Job]:
    """Jobs on other folders, sharing the home."""
    return lambda folder: Job(UserRepo(folder), tmp_path / "home", fresh_id().hex())
