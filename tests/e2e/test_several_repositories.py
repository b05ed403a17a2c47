"""One issue over several repositories, from the command line: all are changed, tested and published, or none is."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import CALC, JobHome, git, make_repo, snapshot

pytestmark = pytest.mark.e2e

SHOP = {
    "shop/__init__.py": "",
    "shop/price.py": "def total(n):\n    return n + 2\n",
    "README.md": "# Shop\n",
    "tests/__init__.py": "",
    "tests/test_price.py": (
        "import unittest\n\nfrom shop import price\n\n\nclass Price(unittest.TestCase):\n"
        "    def test_total(self):\n        self.assertEqual(price.total(2), 4)\n"
    ),
}


def section(heading: str, old: str, new: str) -> str:
    return f"### {heading}\nCurrent:\n```python\n{old}\n```\nShould be:\n```python\n{new}\n```\n\n"


BOTH = (
    "# Multiply instead of adding\n\n"
    + section("calc: calc.py", "    return n + 2", "    return n * 2")
    + section("`shop/shop/price.py`", "    return n + 2", "    return n * 2")
)


@pytest.fixture
def repos(tmp_path: Path) -> dict[str, Path]:
    """Two sisters, of which one has a package called as itself."""
    side = tmp_path / "side"
    return {"calc": make_repo(side / "calc", CALC), "shop": make_repo(side / "shop", SHOP)}


def branches(repo: Path) -> list[str]:
    return [name for name in git(repo, "branch", "--format=%(refname:short)").split() if name != "main"]


def run(home: JobHome, repos: dict[str, Path], text: str, *options: str) -> tuple[int, dict]:
    """Run an issue over both, named as sisters, from inside the first."""
    file = repos["calc"].parent / "issue.md"
    file.write_text(text)
    ended = home("run", str(file), "--repo", "calc", "--repo", "shop", "--json", *options, cwd=repos["calc"])
    assert ended.out, ended.err
    return ended.status, ended.json


def test_each_repository_gets_its_branch(shared_home: JobHome, repos: dict[str, Path]) -> None:
    """Both are changed by what the issue says to them, tested, and published under one name; nothing else changes."""
    status, document = run(shared_home, repos, BOTH)
    assert status == 0, document
    assert document["outcome"] == "succeeded"
    assert [one["name"] for one in document["repos"]] == ["calc", "shop"]
    for one, changed in zip(document["repos"], (["calc.py"], ["shop/price.py"]), strict=True):
        repo = repos[one["name"]]
        assert branches(repo) == [one["branch"]]
        assert one["files_changed"] == changed
        assert one["commit"] == git(repo, "rev-parse", one["branch"]).strip()
        assert one["base_commit"] == git(repo, "rev-parse", "main").strip()
        assert one["tests"]["status"] == "passed"
        assert git(repo, "diff", "--numstat", "main", one["branch"]).split() == ["1", "1", *changed]
        assert git(repo, "status", "--porcelain") == ""
        # Each has its own patch, though both are of one run and one branch's name.
        assert git(repo, "apply", "--numstat", one["patch"]).split() == ["1", "1", *changed]
    assert len({one["branch"] for one in document["repos"]}) == 1
    assert shared_home.workspaces() == []


def test_a_line_is_asked_about_in_one_of_them(shared_home: JobHome, tmp_path: Path) -> None:
    """A file of the same name in both must be named with its repository; each line then leads to its own task."""
    both = {"calc": CALC, "shop": {**CALC, "README.md": "# Shop\n"}}
    repos = {name: make_repo(tmp_path / name, files) for name, files in both.items()}
    texts = [section(f"{name}: calc.py", "    return n + 2", "    return n * 2") for name in repos]
    status, document = run(shared_home, repos, "# Multiply instead of adding\n\n" + "".join(texts))
    assert status == 0, document
    lines = {name: git(repo, "show", f"{document['repos'][0]['branch']}:calc.py") for name, repo in repos.items()}
    (number,) = {text.splitlines().index("    return n * 2") + 1 for text in lines.values()}
    asked = ("why", "--run", document["run"])
    refused = shared_home(*asked, f"calc.py:{number}", cwd=tmp_path)
    assert (refused.status, "error[E549]" in refused.err, "calc and in shop" in refused.err) == (2, True, True)
    for path, name in (("0.0", "calc"), ("0.1", "shop")):
        found = shared_home(*asked, f"{name}/calc.py:{number}", "--json", cwd=tmp_path).json
        assert (found["path"], found["by"], found["effect"]["parameters"]["repo"]) == (path, "commit", str(repos[name]))
        there = shared_home(
            "why", f"calc.py:{number}", "--rev", document["repos"][0]["branch"], "--json", cwd=repos[name]
        )
        assert (there.json["path"], there.json["run"]) == (path, document["run"])


def test_wishes_beside_the_edits_are_told_of_each(shared_home: JobHome, repos: dict[str, Path]) -> None:
    """What no edit carries out is named with its repository."""
    status, document = run(shared_home, repos, f"{BOTH}\nAlso `refund` should be added to `shop/price.py`.\n")
    assert status == 0, document
    assert any("shop: " in note and "refund" in note for note in document["notes"]), document["notes"]


def test_where_one_fails_none_is_published(shared_home: JobHome, repos: dict[str, Path]) -> None:
    """A change that breaks the tests of one repository leaves every byte of both as it was."""
    before = {name: snapshot(repo) for name, repo in repos.items()}
    text = BOTH.replace("return n * 2\n```\n\n### `shop", "return n * 2\n```\n\n### `shop").rsplit("n * 2", 1)
    status, document = run(shared_home, repos, "n * 3".join(text))
    # 2 * 3 is no 4: the test of the shop passed before.
    assert status == 1
    assert document["outcome"] == "failed"
    assert "test_total" in document["reason"]
    assert [one["branch"] for one in document["repos"]] == [None, None]
    assert {name: snapshot(repo) for name, repo in repos.items()} == before
    assert shared_home.workspaces() == []


def test_a_branch_that_was_published_is_taken_back(shared_home: JobHome, repos: dict[str, Path]) -> None:
    """The second branch can't be made, so the first one, which was, is removed again."""
    git(repos["shop"], "branch", "twelvefold")
    before = {name: git(repo, "for-each-ref") for name, repo in repos.items()}
    status, document = run(shared_home, repos, BOTH)
    assert status == 1
    assert document["outcome"] == "failed"
    assert "twelvefold" in document["reason"]
    assert {name: git(repo, "for-each-ref") for name, repo in repos.items()} == before
    with shared_home.client() as client:
        types = [event.type for event in client.read(run=document["run"])]
    assert types.count("workspace.published") == 1
    assert "task.compensated" in types


def test_a_repository_with_nothing_to_do_gets_no_branch(shared_home: JobHome, repos: dict[str, Path]) -> None:
    """What the issue asks of one stands there already: the other is published all the same."""
    (repos["shop"] / "shop/price.py").write_text("def total(n):\n    return n * 2\n")
    git(repos["shop"], "commit", "--quiet", "-am", "Multiply")
    status, document = run(shared_home, repos, BOTH)
    assert status == 0, document
    assert len(branches(repos["calc"])) == 1
    assert branches(repos["shop"]) == []


def test_what_could_be_meant_in_both_is_asked(shared_home: JobHome, repos: dict[str, Path]) -> None:
    """A file that both have and no repository's name: nothing is guessed."""
    text = f"# Tests are a package\n\n{section('tests/__init__.py', 'a', 'b')}"
    status, document = run(shared_home, repos, text)
    assert status == 7
    assert "calc and shop" in document["reason"]
    assert [(one["name"], one["branch"], one["tests"]) for one in document["repos"]] == [
        ("calc", None, None),
        ("shop", None, None),
    ]
    assert branches(repos["calc"]) == branches(repos["shop"]) == []


def test_a_repository_that_may_not_be_written_is_refused_before_work_starts(
    shared_home: JobHome, repos: dict[str, Path]
) -> None:
    """`repos.toml` beside the repositories forbids one: no run begins, nothing is changed, the file is named."""
    rules = repos["calc"].parent / "repos.toml"
    rules.write_text("[repos.shop]\nwrite = false\n")
    status, document = run(shared_home, repos, BOTH)
    assert (status, document["run"], document["outcome"]) == (1, None, "failed")
    assert str(rules) in document["reason"]
    assert branches(repos["calc"]) == []
    one = shared_home("run", "issue.md", "--repo", "shop", "--json", cwd=repos["calc"].parent)
    assert one.status == 1
    assert "publishing" in one.json["reason"]
    plain = shared_home("run", "issue.md", "--repo", "shop", cwd=repos["calc"].parent)
    assert plain.status == 4
    assert "E493" in plain.err


def test_a_repository_that_is_asked_nothing_is_named(shared_home: JobHome, repos: dict[str, Path]) -> None:
    """It is no wish that nobody worked on, and nothing is said of edits."""
    text = "# Multiply\n\n" + section("calc: calc.py", "    return n + 2", "    return n * 2")
    status, document = run(shared_home, repos, text)
    assert status == 0, document
    assert "the issue asks nothing of shop" in document["notes"]
    assert not any("explicit edits" in note for note in document["notes"])
    assert branches(repos["shop"]) == []


def test_a_dry_run_shows_the_change_in_each(shared_home: JobHome, repos: dict[str, Path]) -> None:
    """Each repository's own diff, with its own names of files, and nothing is started."""
    before = {name: snapshot(repo) for name, repo in repos.items()}
    status, document = run(shared_home, repos, BOTH, "--dry-run")
    assert status == 0, document
    assert [one["files_changed"] for one in document["repos"]] == [["calc.py"], ["shop/price.py"]]
    assert all("+    return n * 2" in one["diff"] for one in document["repos"])
    assert {name: snapshot(repo) for name, repo in repos.items()} == before
