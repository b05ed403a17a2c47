"""Fixing in repositories in odd states: what can be done is done, what can't is said, and nothing is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

import twelvefold as tf
from tests.e2e.conftest import CALC, RIGHT, git, issue, make_repo, snapshot
from twelvefold.agents.job import resolve_request
from twelvefold.agents.turn import TaskOutcome


def fix(repo: Path, home: Path, text: str) -> TaskOutcome:
    """Fix an issue in a repository, which must stay as it is to the byte."""
    request = resolve_request(repo)
    before = snapshot(repo)
    task = {"issue": {"name": "1.md", "text": text}, "repo": request.repo, "base": request.base, "engine": "patch"}
    outcome = tf.run_task(tf.IssueFixerAgent(), task, trial=tf.Trial(home))
    assert snapshot(repo) == before
    return outcome


@pytest.mark.parametrize("state", ["detached", "dirty", "shallow", "worktree", "merging", "branch-ahead"])
def test_work_goes_on_from_the_commit(tmp_path: Path, state: str) -> None:
    """Whatever the checkout is in the middle of, the change is made on the commit that HEAD names."""
    repo = make_repo(tmp_path / "repo", CALC)
    if state == "detached":
        git(repo, "checkout", "--quiet", "--detach")
    elif state == "dirty":
        (repo / "calc.py").write_text("broken(\n")
        (repo / "new.py").write_text("")
    elif state == "shallow":
        git(repo, "commit", "--quiet", "--allow-empty", "-m", "Second")
        git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repo}", "shallow")
        repo = tmp_path / "shallow"
    elif state == "worktree":
        git(repo, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "tree"))
        repo = tmp_path / "tree"
    elif state == "merging":
        git(repo, "checkout", "--quiet", "-b", "other")
        (repo / "half.txt").write_text("other\n")
        git(repo, "add", "-A")
        git(repo, "commit", "--quiet", "-m", "Other")
        git(repo, "checkout", "--quiet", "main")
        git(repo, "merge", "--quiet", "--no-ff", "--no-commit", "other")
    else:
        git(repo, "checkout", "--quiet", "-b", "work")
        git(repo, "commit", "--quiet", "--allow-empty", "-m", "Ahead")
    outcome = fix(repo, tmp_path / "home", RIGHT)
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == ["calc.py"]
    assert outcome.value["base"] == git(repo, "rev-parse", "HEAD").strip()


def test_a_file_of_a_submodule_is_not_edited(tmp_path: Path) -> None:
    """The failure names the submodule, which is another repository."""
    other = make_repo(tmp_path / "other", CALC)
    repo = make_repo(tmp_path / "repo", {"a.py": "A = 1\n"})
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "vendor/other")
    git(repo, "commit", "--quiet", "-m", "Add a submodule")
    outcome = fix(repo, tmp_path / "home", issue("vendor/other/calc.py", "    return n + 2", "    return n * 2"))
    assert outcome.outcome == "failed"
    assert "submodule vendor/other" in str(outcome.message)
    beside = fix(repo, tmp_path / "home2", issue("a.py", "A = 1", "A = 2"))
    assert beside.value["files_changed"] == ["a.py"]


def test_a_pointer_of_lfs_is_not_edited(tmp_path: Path) -> None:
    """An edit of a file whose content Git LFS keeps elsewhere fails and says so, instead of breaking the pointer."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    repo = make_repo(tmp_path / "repo", {"model.txt": pointer, ".gitattributes": "model.txt filter=lfs -text\n"})
    outcome = fix(repo, tmp_path / "home", issue("model.txt", "size 12345", "size 54321"))
    assert outcome.outcome == "failed"
    assert "Git LFS" in str(outcome.message)
