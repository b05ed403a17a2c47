"""Pushing one branch: over https with a token that nobody sees, over ssh as the user, and never over what is there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.agents.github.github_server import GitHubServer
from twelvefold.agents.git import Git
from twelvefold.agents.github.access import Access, access_from
from twelvefold.agents.github.address import RepositoryName
from twelvefold.agents.github.errors import PushRefused
from twelvefold.agents.github.push import Pusher, remote_of, remote_url

TOKEN = "ghp_secret0123456789"
REF = "refs/heads/twelvefold/change-1"
SSH = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/called"
env >> "$(dirname "$0")/env"
for last; do :; done
path=$(echo "$last" | sed "s/^git-[a-z-]* '\\(.*\\)'$/\\1/")
exec git "$(echo "$last" | sed 's/^git-\\([a-z-]*\\) .*/\\1/')" "SERVER/$path"
"""


def git(folder: Path, *arguments: str) -> str:
    who = {
        f"GIT_{one}_{what}": "owner@example.invalid" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", **who}
    done = subprocess.run(["git", "-C", str(folder), *arguments], env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A run's store, with two commits."""
    folder = tmp_path / "store.git"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for text in ("one", "two"):
        (folder / "file").write_text(text)
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", text)
    return folder / ".git"


def access(server: GitHubServer, token: str = TOKEN) -> Access:
    return access_from({"GITHUB_API_URL": server.url, "GITHUB_TOKEN": token})


def pusher(server: GitHubServer, token: str = TOKEN, user: str = "") -> Pusher:
    url = f"http://{user}127.0.0.1:{server.port}/acme/calc.git"
    return Pusher(url, access(server, token), {"PATH": os.environ["PATH"]}, "/repo")


def test_a_branch_is_pushed_once(github_server: GitHubServer, store: Path) -> None:
    """A new branch is made; the same commit again is nothing; another one is refused, and nothing else is there."""
    bare = github_server.make_repository()
    github_server.token = TOKEN
    old, new = git(store, "rev-parse", "main~1"), git(store, "rev-parse", "main")
    assert pusher(github_server).push(store, old, REF) is True
    assert pusher(github_server, user="me:wrong@").push(store, old, REF) is False
    with pytest.raises(PushRefused, match="another commit"):
        pusher(github_server).push(store, new, REF)
    assert git(bare, "for-each-ref", "--format=%(refname) %(objectname)") == f"{REF} {old}"


@pytest.mark.parametrize(
    "ref", ["refs/heads/main", "main", "refs/heads/twelvefold/../main", "--mirror", "+refs/heads/x"]
)
def test_no_other_ref_is_pushed(github_server: GitHubServer, store: Path, ref: str) -> None:
    """Only branches below twelvefold/ are pushed, whatever is asked for."""
    github_server.make_repository()
    with pytest.raises(Exception, match="ref"):
        pusher(github_server).push(store, git(store, "rev-parse", "main"), ref)
    assert github_server.asked == []


def test_a_wrong_token_is_told_and_never_shown(github_server: GitHubServer, store: Path) -> None:
    """The server's no is told in its own words, without the token; without one, how to give one."""
    github_server.make_repository()
    github_server.token = TOKEN
    commit = git(store, "rev-parse", "main")
    with pytest.raises(PushRefused) as told:
        pusher(github_server, token="").push(store, commit, REF)
    assert "without a token" in told.value.reason
    seen = Pusher(f"{github_server.url}/acme/none.git", access(github_server), {"PATH": os.environ["PATH"]}, "/repo")
    with pytest.raises(PushRefused) as told:
        seen.push(store, commit, REF)
    assert TOKEN not in f"{told.value!r} {told.value.message()} {told.value.help()}"
    assert all(TOKEN not in " ".join(asked.headers.values()) for asked in github_server.asked)


def test_hooks_and_settings_of_the_store_have_no_say(github_server: GitHubServer, store: Path) -> None:
    """A hook in the store is not run, and what the environment says of git is not taken over."""
    bare = github_server.make_repository()
    alarm = store.parent / "alarm"
    (store / "hooks").mkdir(exist_ok=True)
    (store / "hooks" / "pre-push").write_text(f"#!/bin/sh\ntouch {alarm}\nexit 1\n")
    (store / "hooks" / "pre-push").chmod(0o755)
    environ = {"PATH": os.environ["PATH"], "GIT_SSH_COMMAND": f"touch {alarm}", "GIT_CONFIG_COUNT": "x"}
    url = f"{github_server.url}/acme/calc.git"
    assert Pusher(url, access(github_server), environ, "/repo").push(store, git(store, "rev-parse", "main"), REF)
    assert git(bare, "rev-parse", REF) and not alarm.exists()


def test_over_ssh_as_the_user(github_server: GitHubServer, store: Path, tmp_path: Path) -> None:
    """A remote of ssh is pushed to with the user's own agent and keys, without a question and without the token."""
    bare = github_server.make_repository()
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(SSH.replace("SERVER", str(github_server.folder)))
    (folder / "ssh").chmod(0o755)
    environ = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "SSH_AUTH_SOCK": "/agent",
        "SECRET": "x",
    }
    commit = git(store, "rev-parse", "main")
    assert Pusher("git@127.0.0.1:acme/calc.git", access(github_server), environ, "/repo").push(store, commit, REF)
    assert git(bare, "rev-parse", REF) == commit
    called, env = (folder / "called").read_text(), (folder / "env").read_text()
    assert "-oBatchMode=yes" in called and "git@127.0.0.1" in called
    assert "SSH_AUTH_SOCK=/agent" in env and "SECRET" not in env and TOKEN not in called + env


def test_which_remote_leads_there(tmp_path: Path, github_server: GitHubServer) -> None:
    """The remote of that repository on that server is found among others, push URLs first, old names as well."""
    repo = tmp_path / "repo"
    repo.mkdir()
    git(repo, "init", "-q")
    name, found = RepositoryName("acme", "calc"), Access()
    assert remote_url(Git(), repo, name, found) is None
    for remote, url in (
        ("fork", "git@github.com:me/calc.git"),
        ("other", "https://gitlab.com/acme/calc.git"),
        ("folder", "/srv/acme/calc"),
        ("upstream", "https://github.com/Acme/calc"),
    ):
        git(repo, "remote", "add", remote, url)
    assert remote_url(Git(), repo, name, found) == "https://github.com/Acme/calc"
    git(repo, "config", "remote.fork.pushurl", "ssh://git@ssh.github.com:443/acme/calc.git")
    assert remote_url(Git(), repo, name, found) == "ssh://git@ssh.github.com:443/acme/calc.git"
    new = RepositoryName("acme", "new")
    assert remote_of(Git(), repo, new, found) is None
    assert remote_of(Git(), repo, new, found, name) == "ssh://git@ssh.github.com:443/acme/new.git"
