"""Searching the repository's files, with ripgrep and without."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.agents.tools.conftest import Desk
from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.tools import search

FILES = {
    "one.py": "alpha = 1\nBeta = 2\n\ngamma = alpha\n",
    "sub/two.txt": "alpha\r\nbeta $x [y]\r\n",
    "-e": "alpha dash\n",
    "bin.dat": b"alpha\0alpha\n",
    "latin.txt": "alpha \xe9\n".encode("latin-1"),
    "hidden/.env": "alpha=hidden\n",
    "long.txt": "alpha" + "z" * 2000 + "\n",
    ".ignore": "one.py\n",
    "sub/.rgignore": "*\n",
}


@pytest.fixture(params=["ripgrep", "walk"])
def searching(request: pytest.FixtureRequest, desk_on: Callable[..., Desk]) -> Desk:
    """A desk whose process has ripgrep on its PATH, and one whose has not."""
    rg = shutil.which("rg")
    if request.param == "ripgrep" and rg is None:
        pytest.skip("ripgrep isn't installed")
    path = f"{rg.rpartition('/')[0]}:/usr/bin:/bin" if rg and request.param == "ripgrep" else "/nonexistent"
    return desk_on(FILES, settings=AgentSettings(environ={"PATH": path}))


def places(data: Any) -> list[tuple[str, int]]:
    """Where matches were found."""
    return [(match["path"], match["line"]) for match in data["matches"]]


def test_lines_are_found_in_order_of_their_places(searching: Desk) -> None:
    """In text files whatever their name, encoding or the settings of other tools; not in binary ones."""
    (searching.folder / "x.log").write_text("alpha\n")
    data = searching.did("search_files", pattern="alpha")
    found = [("-e", 1), ("hidden/.env", 1), ("latin.txt", 1), ("long.txt", 1), ("one.py", 1), ("one.py", 4)]
    assert places(data) == [*found, ("sub/two.txt", 1)] and not data["truncated"]
    assert data["matches"][-1] == {"path": "sub/two.txt", "line": 1, "text": "alpha"}
    assert len(data["matches"][3]["text"]) == 401
    assert places(searching.did("search_files", pattern="^alpha.*1$")) == [("one.py", 1)]
    assert places(searching.did("search_files", pattern="^$", files="one.py")) == [("one.py", 3)]


def test_what_is_searched_and_how_can_be_said(searching: Desk) -> None:
    """Case, plain text, files by pattern, and how many."""
    assert places(searching.did("search_files", pattern="beta", ignore_case=True)) == [
        ("one.py", 2),
        ("sub/two.txt", 2),
    ]
    assert places(searching.did("search_files", pattern="$x [y]", literal=True)) == [("sub/two.txt", 2)]
    assert places(searching.did("search_files", pattern="alpha", files="sub/**")) == [("sub/two.txt", 1)]
    some = searching.did("search_files", pattern="alpha", limit=2)
    assert places(some) == [("-e", 1), ("hidden/.env", 1)] and some["truncated"]
    assert searching.did("search_files", pattern="nothing like it")["matches"] == []
    assert searching.did("search_files", pattern="--files", literal=True)["matches"] == []


def test_an_expression_that_is_none_is_told(searching: Desk) -> None:
    """With what is wrong with it."""
    response = searching.call("search_files", pattern="(alpha")
    assert response.reason == "invalid_pattern" and "expression" in str(response.error)
    assert searching.refused("search_files", pattern="a{2,1}") == "invalid_pattern"
    assert searching.call("search_files", pattern="a", files="{a,b}" * 9).reason == "invalid_pattern"


def test_an_expression_that_takes_ages_is_ended(desk_on: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    """The process goes on meanwhile, and nothing of the search is left."""
    monkeypatch.setattr(search, "SEARCH_TIMEOUT_S", 1.0)
    desk = desk_on({"a.txt": "a" * 64 + "\n"}, settings=AgentSettings(environ={"PATH": "/nonexistent"}))
    assert desk.refused("search_files", pattern="(a|a)*b", files="a.txt") == "timeout"


def test_many_files_are_searched_in_portions(searching: Desk) -> None:
    """More names than one command line takes."""
    (searching.folder / "many").mkdir()
    for number in range(1500):
        (searching.folder / "many" / f"{'n' * 100}{number:04}.txt").write_text(f"needle {number}\n")
    data = searching.did("search_files", pattern="needle 1?[0-9]{2}9$", limit=1000)
    assert len(data["matches"]) == 140 and data["files_searched"] > 1500
