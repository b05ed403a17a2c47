"""Which commit a line is from, asked of a repository that may hold anything and of which nothing is run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from twelvefold.agents.blame import blame, file_at, line_in, message_of
from twelvefold.agents.git import Git


def git(repo: Path, *arguments: str) -> str:
    """Run git as its user would."""
    identity = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "Ada"}
    environ = os.environ | identity | {"GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null"}
    command = ["git", "-C", str(repo), *arguments]
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with a file of three lines, the second changed later, and the file then renamed."""
    tmp_path = tmp_path / 'a:"b'
    tmp_path.mkdir()
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "old.txt").write_text("one\ntwo\nthree\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "Begin")
    (tmp_path / "old.txt").write_text("one\nTWO\nthree\n")
    git(tmp_path, "commit", "--quiet", "-a", "-m", "Raise the voice\n\nTwelvefold-Run: x")
    git(tmp_path, "mv", "old.txt", 'new "name" ä.txt')
    git(tmp_path, "commit", "--quiet", "-m", "Rename")
    return tmp_path


def test_a_line_leads_to_its_commit_across_renames(repo: Path) -> None:
    """Path and number are those in the commit that brought the line; whatever stands in the name."""
    name = 'new "name" ä.txt'
    second = blame(Git(), git(repo, "rev-parse", "HEAD"), name, 2, at=repo)
    assert second is not None
    assert (second.commit, second.path, second.line) == (git(repo, "rev-parse", "HEAD~1"), "old.txt", 2)
    assert (second.text, second.author, second.subject) == ("TWO", "Ada", "Raise the voice")
    assert message_of(Git(), second.commit, at=repo) == "Raise the voice\n\nTwelvefold-Run: x"
    git(repo, "commit", "--quiet", "--allow-empty", "-m", "Nothing")
    (repo / name).write_text("zero\none\nTWO\nthree\n")
    git(repo, "commit", "--quiet", "-a", "-m", "Zero")
    first = blame(Git(), git(repo, "rev-parse", "HEAD"), name, 1, at=repo)
    assert first is not None
    assert (first.path, first.subject) == (name, "Zero")


def test_what_is_not_there_has_no_commit(repo: Path) -> None:
    """Files and lines that a commit doesn't have."""
    assert blame(Git(), git(repo, "rev-parse", "HEAD"), "nothing", 1, at=repo) is None
    assert blame(Git(), git(repo, "rev-parse", "HEAD~1"), "old.txt", 99, at=repo) is None
    assert file_at(Git(), "HEAD", "nothing", at=repo) is None
    assert file_at(Git(), "HEAD~2", "old.txt", at=repo) == b"one\ntwo\nthree\n"


def test_nothing_of_the_repository_is_run(repo: Path) -> None:
    """Filters, text converters and lists of commits to pass over are the repository's, and aren't asked."""
    (repo / ".gitattributes").write_text("*.txt filter=evil diff=evil\n")
    for name in ("filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv"):
        git(repo, "config", name, f"touch {repo}/ran; cat")
    git(repo, "config", "blame.ignoreRevsFile", "missing")
    git(repo, "config", "log.showSignature", "true")
    git(repo, "config", "gpg.program", f"{repo}/nothing")
    found = blame(Git(), git(repo, "rev-parse", "HEAD"), 'new "name" ä.txt', 2, at=repo)
    assert found is not None
    assert found.text == "TWO"
    assert not (repo / "ran").exists()


def test_a_shallow_clone_is_asked_as_far_as_it_goes(repo: Path, tmp_path: Path) -> None:
    """What lies before its history is the oldest commit's."""
    git(repo, "clone", "--quiet", "--depth=2", f"file://{repo}", str(repo / "clone"))
    clone = repo / "clone"
    found = blame(Git(), git(clone, "rev-parse", "HEAD"), 'new "name" ä.txt', 1, at=clone)
    assert found is not None
    assert found.subject == "Raise the voice"


@pytest.mark.parametrize(
    ("committed", "lying", "line", "expected"),
    [
        (b"a\nb\nc\n", b"a\nb\nc\n", 2, 2),
        (b"a\nb\nc\n", b"a\r\nb\r\nc\r\n", 3, 3),
        (b"a\nb\nc\n", b"x\na\nb\nc\n", 3, 2),
        (b"a\nb\nc\n", b"a\nnew\nc\n", 2, None),
        (b"a\nb\nc\n", b"a\nc\n", 2, 3),
        (b"a\n", b"a\n", 9, None),
        (b"", b"a\n", 1, None),
    ],
)
def test_a_lying_line_is_found_where_it_is_committed(
    committed: bytes, lying: bytes, line: int, expected: int | None
) -> None:
    """What was put in or taken out around a line moves it; what was changed itself isn't committed."""
    assert line_in(committed, lying, line) == expected
