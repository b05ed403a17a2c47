"""`twelvefold research` from the command line: without an `up`, over all sisters or some."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import CALC, JobHome, git, make_repo, snapshot

pytestmark = pytest.mark.e2e


@pytest.fixture
def side(tmp_path: Path) -> Path:
    """Two sisters and a folder that is none."""
    make_repo(tmp_path / "side" / "calc", CALC)
    make_repo(tmp_path / "side" / "shop", {"shop.py": "def discount(price):\n    return price * 0.9\n"})
    (tmp_path / "side" / "notes").mkdir()
    return tmp_path / "side"


def test_a_question_over_all_sisters(shared_home: JobHome, side: Path) -> None:
    """The place is cited with its commit and lines, from wherever among the sisters it is asked; nothing changes."""
    before = snapshot(side)
    ended = shared_home("research", "How is the discount computed?", "--json", cwd=side / "calc")
    assert ended.status == 0, ended.err
    document = ended.json
    (first, *_) = document["citations"]
    commit = git(side / "shop", "rev-parse", "HEAD").strip()
    assert first["ref"] == f"shop@{commit}:shop.py:1-2"
    assert first["text"] == "def discount(price):\n    return price * 0.9"
    assert {one["name"] for one in document["repos"]} == {"calc", "shop"}
    assert document["outcome"] == "succeeded"
    assert snapshot(side) == before
    plain = shared_home("research", "How is the discount computed?", cwd=side)
    assert f"shop@{commit[:12]}:shop.py:1-2" in plain.out
    assert "    def discount(price):" in plain.out


def test_some_repositories_by_name_or_folder(shared_home: JobHome, side: Path) -> None:
    """Only what is named is looked into."""
    for word in ("calc", "../calc", str(side / "calc")):
        ended = shared_home("research", "discount", "--repo", word, "--json", cwd=side / "shop")
        assert (ended.status, ended.json["found"]) == (1, False), ended.err
        assert [one["name"] for one in ended.json["repos"]] == ["calc"]


def test_what_cannot_be_asked_is_told_at_once(shared_home: JobHome, side: Path) -> None:
    """An unknown name, a folder that is no repository, an unknown revision and a forbidden one have their codes."""
    for options, status, code in (
        (("--repo", "shoop"), 3, "E492"),
        (("--repo", "./notes"), 3, "E442"),
        (("--repo", "shop", "--base", "nope"), 3, "E445"),
    ):
        ended = shared_home("research", "discount", *options, cwd=side)
        assert (ended.status, code in ended.err) == (status, True), ended.err
    assert shared_home("research", " ", cwd=side).status == 2
    (side / "repos.toml").write_text("[repos.shop]\nread = false\n")
    assert "E493" in shared_home("research", "discount", "--repo", "shop", cwd=side).err
    rest = shared_home("research", "discount", "--json", cwd=side)
    assert [one["name"] for one in rest.json["repos"]] == ["calc"]
