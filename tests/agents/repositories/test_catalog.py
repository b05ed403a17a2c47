"""Names of repositories: from side by side, from the setting, from the rules; each means one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import git, make_repo
from twelvefold.agents.repositories.catalog import find_sister, sisters
from twelvefold.agents.repositories.rules import RepositoryRules, read_rules
from twelvefold.agents.repository_errors import RepositoryNameTaken, RepositoryUnknown


@pytest.fixture
def side(tmp_path: Path) -> Path:
    """A folder with two repositories, a bare one, and what is none."""
    for name in ("one", "two"):
        make_repo(tmp_path / "side" / name, {"a": name})
    git(tmp_path, "clone", "--quiet", "--bare", str(tmp_path / "side" / "one"), str(tmp_path / "side" / "one.git"))
    (tmp_path / "side" / "plain").mkdir()
    (tmp_path / "side" / "file").write_text("")
    make_repo(tmp_path / "far" / "two", {"a": "far"})
    return tmp_path / "side"


def test_repositories_side_by_side_are_called_as_their_folders(side: Path) -> None:
    """Only repositories are listed; a bare one is, as somebody may look for it."""
    found = {one.name: one.path for one in sisters(side, (), RepositoryRules())}
    assert found == {name: side / name for name in ("one", "two", "one.git")}


def test_a_setting_and_the_rules_add_and_rename(side: Path, tmp_path: Path) -> None:
    """A given name replaces the folder's; a path of the rules counts from their file."""
    (tmp_path / "repos.toml").write_text('[repos.second]\npath = "side/two"\n[repos.lost]\npath = "lost"\n')
    rules = read_rules(tmp_path / "repos.toml")
    given = (f"first={side / 'one'}", str(side / "two"), str(tmp_path / "far" / "two"))
    found = {one.name: one.path for one in sisters(side, given, rules)}
    assert found == {
        "first": side / "one", "second": side / "two", "two": tmp_path / "far" / "two", "lost": tmp_path / "lost",
        "one.git": side / "one.git",
    }  # fmt: skip


def test_one_name_for_two_is_an_error(side: Path, tmp_path: Path) -> None:
    """The error names both places, and its help gives one of them another name."""
    with pytest.raises(RepositoryNameTaken) as refused:
        sisters(side, (str(tmp_path / "far" / "two"),), RepositoryRules())
    assert {str(side / "two"), str(tmp_path / "far" / "two")} == set(refused.value.paths)
    assert "TWELVEFOLD_REPOS=" in refused.value.help()


def test_a_word_means_a_folder_or_a_name(side: Path) -> None:
    """A repository's folder comes before a name, a name before a folder that is none, and what is neither is told."""
    known = sisters(side, (), RepositoryRules())
    assert find_sister("two", known, side / "one") == side / "two"
    assert find_sister("../two", known, side / "one") == side / "one" / ".." / "two"
    assert find_sister(".", known, side / "one") == side / "one"
    (side / "one" / "two").mkdir()
    assert find_sister("two", known, side / "one") == side / "two"
    assert find_sister("./lost", known, side) == side / "lost"
    with pytest.raises(RepositoryUnknown) as refused:
        find_sister("tow", known, side)
    assert "did you mean two?" in refused.value.message()
