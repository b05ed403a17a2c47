"""What must not be left out of an issue, or be put into a file as it stands, without a word."""

from __future__ import annotations

import pytest

from twelvefold.agents.edits import Applied, apply_edits
from twelvefold.agents.issue import parse_issue

FILES = {"a.py": b"a = 1\nb = 2\na = 1\n", "b.py": b"x = 1\n"}
PAIR = "# Raise b\n\n### `a.py`\nCurrent:\n```\nb = 2\n```\nShould be:\n```\nb = 3\n```\n"


def made(text: str, files: dict[str, bytes] = FILES) -> dict[str, bytes | None] | list[str]:
    """The changed files of an issue, or what keeps it from changing any."""
    edits, problems = parse_issue(text).edits(files)
    if problems:
        return [problem.text for problem in problems]
    applied = apply_edits(edits, {edit.path: files.get(edit.path) for edit in edits})
    assert isinstance(applied, Applied), applied
    return applied.contents


@pytest.mark.parametrize(
    "text",
    [
        "### `a.py`\nReplace `b = 2` with `b = 3`.\nThen replace `b = 3` with `b = 4`.\n",
        "First replace `b = 2` with `b = 3`, then `c = 3` with `c = 4` in `a.py`.\n",
        "### `a.py`\nReplace `b = 2` with `b = 3`.\n\nFinally replace `c = 3` with `c = 4`.\n",
    ],
)
def test_an_order_that_begins_with_its_turn(text: str) -> None:
    """The second of several orders is one like the first, and what it asks for is not dropped."""
    edits, problems = parse_issue(text).edits(FILES)
    assert problems == []
    assert len(edits) == 2
    assert isinstance(apply_edits(edits, FILES), list)


def test_orders_in_turn() -> None:
    """Orders that begin with "first" and "then" are all carried out."""
    text = "First replace `b = 2` with `b = 3` in `a.py`.\nThen replace `x = 1` with `x = 2` in `b.py`.\n"
    assert made(text) == {"a.py": b"a = 1\nb = 3\na = 1\n", "b.py": b"x = 2\n"}


@pytest.mark.parametrize(
    "line",
    ["# ... existing code ...", "// …", "# rest of the function unchanged", "[...]", "<!-- ... the rest ... -->"],
)
def test_a_new_text_that_stands_for_more(line: str) -> None:
    """A line that stands for lines not shown is no new text: written as it is, those lines would be gone."""
    files = {"a.txt": b"one\ntwo\nthree\n"}
    text = f"### `a.txt`\nCurrent:\n```\none\ntwo\nthree\n```\nShould be:\n```\nONE\n{line}\n```\n"
    assert made(text, files) == [f"has a new text that stands for lines which it does not show ({line})"]


def test_such_a_line_that_the_file_has() -> None:
    """Where the old text has the line too, it is one of the file's; and other comments are just comments."""
    files = {"a.txt": b"one\n# ... existing code ...\n"}
    pair = "### `a.txt`\nCurrent:\n```\n{}```\nShould be:\n```\n{}```\n"
    old, new = "one\n# ... existing code ...\n", "# the rest is read later\n# ... existing code ...\n"
    assert made(pair.format(old, new), files) == {"a.txt": new.encode()}


@pytest.mark.parametrize(
    "text",
    [
        "### `a.py`\nOn line 3, replace `a = 1` with `a = 2`.",
        "In `a.py:3`, replace `a = 1` with `a = 2`.",
        "- `a.py` line 3: `a = 1` -> `a = 2`",
        "### `a.py:3`\nReplace `a = 1` with `a = 2`.",
    ],
)
def test_a_sentence_that_states_the_line(text: str) -> None:
    """The line that a sentence or its heading states decides between equal ones, as it does for blocks."""
    assert made(text) == {"a.py": b"a = 1\nb = 2\na = 2\n"}


@pytest.mark.parametrize("name", ["a b/c'd.py", 'q"d.py', "$(d).py", "x&d.py", "it's/d.py"])
def test_names_with_quotes(name: str) -> None:
    """The file whose name has a quote or the like is meant, never one that is called as the rest of it."""
    text = f"# Fix {name}\n\n### `{name}`\nReplace `x = 1` with `x = 2`.\n"
    files = {name: b"x = 1\n", "d.py": b"x = 1\n"}
    assert made(text, files) == {name: b"x = 2\n"}


def test_a_path_of_windows() -> None:
    """Backslashes between folders are slashes."""
    text = "### `src\\app\\a.py`\nReplace `x = 1` with `x = 2`.\n"
    assert made(text, {"src/app/a.py": b"x = 1\n"}) == {"src/app/a.py": b"x = 2\n"}
