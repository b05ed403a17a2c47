"""How repositories stand: each odd state has an answer in words, found without a change of a single byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import git, make_repo, snapshot
from twelvefold.agents.job import resolve_request
from twelvefold.agents.repositories.standing import Standing, standing

FILES = {"a.py": "A = 1\n", "docs/b.md": "# B\n"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit."""
    return make_repo(tmp_path / "repo", FILES)


def looked(repo: Path) -> Standing:
    """Look at a repository, which must stay as it is."""
    before = snapshot(repo)
    found = standing(repo)
    assert snapshot(repo) == before
    return found


def test_an_ordinary_repository_has_nothing_remarkable(repo: Path) -> None:
    """Branch, commit and a clean tree, and not one remark."""
    found = looked(repo)
    assert (found.branch, found.commit, found.clean) == ("main", git(repo, "rev-parse", "HEAD").strip(), True)
    assert found.remarks == []
    assert found.problem is None


def test_a_dirty_tree_is_told(repo: Path) -> None:
    """Changed and untracked files are counted, and said to be left out."""
    (repo / "a.py").write_text("A = 2\n")
    (repo / "new.py").write_text("")
    assert looked(repo).clean is False
    (note,) = resolve_request(repo).notes()
    assert "1 changed file, 1 untracked file" in note


def test_a_detached_head_is_told(repo: Path) -> None:
    """There is no branch, and the remark names the commit."""
    git(repo, "checkout", "--quiet", "--detach")
    found = looked(repo)
    assert found.branch is None
    assert f"detached at {str(found.commit)[:12]}" in found.remarks[0]
    assert resolve_request(repo).notes() == found.remarks


def test_a_branch_behind_its_upstream_is_told(repo: Path, tmp_path: Path) -> None:
    """A clone that has fetched and not merged is stale by so many commits."""
    git(tmp_path, "clone", "--quiet", str(repo), "clone")
    (repo / "a.py").write_text("A = 3\n")
    git(repo, "commit", "--quiet", "-am", "Third")
    clone = tmp_path / "clone"
    assert looked(clone).remarks == []
    git(clone, "fetch", "--quiet")
    assert looked(clone).remarks == ["main is 1 commit behind origin/main as last fetched: pull first to include them"]


def test_an_older_base_is_told(repo: Path) -> None:
    """A base given by hand that the branch has left behind is stale, too."""
    first = git(repo, "rev-parse", "HEAD").strip()
    for n in range(2):
        git(repo, "commit", "--quiet", "--allow-empty", "-m", f"Empty {n}")
    assert resolve_request(repo, first).notes() == [f"the base {first[:12]} is 2 commits behind main"]


def test_a_shallow_clone_is_told(repo: Path, tmp_path: Path) -> None:
    """The remark says where its history ends."""
    git(repo, "commit", "--quiet", "--allow-empty", "-m", "Second")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repo}", "shallow")
    (remark,) = looked(tmp_path / "shallow").remarks
    assert "shallow" in remark
    assert "after 1 commit," in remark


def test_submodules_are_told(repo: Path, tmp_path: Path) -> None:
    """Folders of submodules are named as left out."""
    other = make_repo(tmp_path / "other", FILES)
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "vendor/other")
    git(repo, "commit", "--quiet", "-m", "Add a submodule")
    (remark,) = looked(repo).remarks
    assert "submodules" in remark
    assert remark.endswith("vendor/other")


def test_files_of_lfs_are_told(repo: Path) -> None:
    """Pointers are told from files that only look small; a repository without the filter has none."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    (repo / "movie.bin").write_text(pointer)
    git(repo, "add", "-A")
    git(repo, "commit", "--quiet", "-m", "A text about pointers")
    assert looked(repo).remarks == []
    (repo / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    git(repo, "add", "-A")
    git(repo, "-c", "filter.lfs.clean=cat", "commit", "--quiet", "-m", "Track")
    (remark,) = looked(repo).remarks
    assert "movie.bin" in remark
    assert "LFS" in remark


def test_a_partial_clone_can_be_looked_at(repo: Path, tmp_path: Path) -> None:
    """Files that a partial clone lacks are not fetched to look at it."""
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{repo}", "partial")
    found = standing(tmp_path / "partial")
    assert found.problem is None
    missing = subprocess.run(
        ["git", "-C", tmp_path / "partial", "rev-list", "--objects", "--missing=print", "HEAD"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "?" in missing.stdout


@pytest.mark.parametrize("kind", ["bare", "unborn", "plain", "inside", "gone"])
def test_what_no_work_can_start_from_says_why(repo: Path, tmp_path: Path, kind: str) -> None:
    """A bare repository, one without commits, a plain folder, a folder inside and a missing one have a problem."""
    place = tmp_path / kind
    if kind == "bare":
        git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(place))
    elif kind == "unborn":
        git(tmp_path, "init", "--quiet", str(place))
    elif kind == "plain":
        place.mkdir()
    elif kind == "inside":
        place = repo / "docs"
    words = {"bare": "bare", "unborn": "no commits", "plain": "not a git", "inside": "inside", "gone": "not a folder"}
    assert words[kind] in str(standing(place).problem)
