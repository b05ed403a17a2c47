"""`repos.toml`: what is permitted where, and that a file nobody can understand permits nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import git, make_repo
from twelvefold.agents.repositories.rules import Permissions, RepositoryRules, find_rules, read_rules
from twelvefold.agents.repository_errors import RepositoryForbidden, RepositoryRulesInvalid


def rules(tmp_path: Path, text: str, *repos: str) -> RepositoryRules:
    """Read rules from a text."""
    file = tmp_path / "repos.toml"
    file.write_text(text)
    return read_rules(file, repos)


def test_without_a_file_everything_is_permitted(tmp_path: Path) -> None:
    """No file, no entry and an empty file all leave a repository as open as it was."""
    for found in (read_rules(None), rules(tmp_path, ""), rules(tmp_path, "[repos.other]\nread = false\n")):
        assert found.of(tmp_path / "repo") == Permissions(read=True, write=True, commands=True)
        found.require(tmp_path / "repo", "write")


def test_a_repository_is_found_by_name_path_and_given_name(tmp_path: Path) -> None:
    """An entry speaks of the folder of that name, of the path that it gives, and of the name that a setting gives."""
    text = """
        [default]
        write = false
        [repos.cite]
        write = true
        [repos.far]
        path = "elsewhere/lib"
        read = false
        [repos.nick]
        commands = false
    """
    found = rules(tmp_path, text, f"nick={tmp_path}/side/long-name", str(tmp_path / "side" / "plain"))
    assert found.of(tmp_path / "side" / "cite") == Permissions(write=True)
    assert found.of(tmp_path / "elsewhere" / "lib") == Permissions(read=False, write=False)
    assert found.of(tmp_path / "another" / "lib") == Permissions(write=False)
    assert found.of(tmp_path / "side" / "long-name") == Permissions(write=False, commands=False)
    assert found.of(tmp_path / "side" / "plain") == Permissions(write=False)


def test_another_working_tree_and_a_link_are_the_same_repository(tmp_path: Path) -> None:
    """What is forbidden in a repository is forbidden by every way that leads into it."""
    repo = make_repo(tmp_path / "repo", {"a": "a"})
    git(repo, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    (tmp_path / "link").symlink_to(repo)
    found = rules(tmp_path, f'[repos.kept]\npath = "{repo}"\nwrite = false\n')
    for way in (repo, tmp_path / "tree", tmp_path / "link", tmp_path / "x" / ".." / "repo"):
        assert found.of(way).write is False
        with pytest.raises(RepositoryForbidden) as refused:
            found.require(way, "write")
        assert refused.value.exit_code == 4
        assert str(tmp_path / "repos.toml") in refused.value.message()


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        (["pytest", "-q"], True),
        (["/usr/bin/pytest"], True),
        (["{python}", "-m", "unittest"], True),
        (["python3.11", "-m", "unittest", "-v"], True),
        (["python", "-m", "pytest", "-x"], True),
        (["python", "-m", "http.server"], False),
        (["evil", "-m", "pytest"], False),
        (["python"], False),
        (["make", "test"], True),
        (["make"], False),
        (["sh", "-c", "pytest"], False),
        ("pytest && curl example.invalid", False),
        ([], False),
    ],
)
def test_commands_are_permitted_by_their_first_words(tmp_path: Path, command: list[str] | str, allowed: bool) -> None:
    """A list permits what begins with the words of an entry, and nothing that a shell would take apart."""
    found = rules(tmp_path, '[default]\ncommands = ["pytest", "python -m unittest", "make test"]\n')
    assert found.of(tmp_path).allows_command(command) is allowed


def test_commands_may_be_permitted_or_forbidden_as_a_whole(tmp_path: Path) -> None:
    """True permits any command, false none, an empty list none."""
    for text, allowed in (("true", True), ("false", False), ("[]", False)):
        found = rules(tmp_path, f"[default]\ncommands = {text}\n").of(tmp_path)
        assert found.allows_command(["anything"]) is allowed
        assert found.allows_command("any | thing") is allowed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[default\n", "line 1"),
        ("[defaults]\n", "'defaults'"),
        ("[default]\nwrite = 'no'\n", "default.write"),
        ("[repos.a]\nwrites = false\n", "repos.a"),
        ("[repos.a]\npath = 5\n", "repos.a.path"),
        ("[repos]\na = false\n", "repos.a"),
        ("repos = []\n", "[repos.NAME]"),
        ("[default]\ncommands = ['']\n", "empty command"),
        ("[repos.'../a']\nwrite = true\n", "'../a'"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path: Path, text: str, words: str) -> None:
    """Nothing is guessed: the error names the file and the place in it."""
    with pytest.raises(RepositoryRulesInvalid) as refused:
        rules(tmp_path, text)
    assert words in refused.value.message()
    assert str(tmp_path / "repos.toml") in refused.value.message()


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    """Rules that somebody has named and that are gone permit nothing."""
    with pytest.raises(RepositoryRulesInvalid):
        read_rules(tmp_path / "gone.toml")


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    """Of several places the first that has a file is taken, none is none, a dangling link is not passed over."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert find_rules([one, two]) is None
    (two / "repos.toml").write_text("")
    assert find_rules([one, two]) == two / "repos.toml"
    (one / "repos.toml").symlink_to("gone")
    assert find_rules([one, two]) == one / "repos.toml"
