"""Diffs that say whether the last line of a file has a line end."""

from __future__ import annotations

import pytest

from twelvefold.agents.edits import AlreadyThere, Applied, apply_edits
from twelvefold.agents.issue import parse_issue

MARK = "\\ No newline at end of file"


def applied(diff: str, content: bytes) -> Applied | AlreadyThere | list[str]:
    """What a diff in an issue makes of `a.py`; the messages where it makes nothing."""
    edits, problems = parse_issue(f"# Tidy up\n\n```diff\n{diff}\n```\n").edits(["a.py"])
    if problems:
        return [problem.text for problem in problems]
    made = apply_edits(edits, {"a.py": content})
    return made if isinstance(made, Applied | AlreadyThere) else [failure.message for failure in made]


HEAD = "--- a/a.py\n+++ b/a.py\n"
CASES = {
    "goes": (f"{HEAD}@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n{MARK}", b"a = 1\nb = 2\n", b"a = 1\nb = 3"),
    "comes": (f"{HEAD}@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n{MARK}\n+b = 3", b"a = 1\nb = 2", b"a = 1\nb = 3\n"),
    "goes, and nothing else": (f"{HEAD}@@ -1 +1 @@\n-b = 2\n+b = 2\n{MARK}", b"b = 2\n", b"b = 2"),
    "comes, and nothing else": (f"{HEAD}@@ -1 +1 @@\n-b = 2\n{MARK}\n+b = 2", b"b = 2", b"b = 2\n"),
    "comes in CRLF": (
        f"{HEAD}@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n{MARK}\n+b = 3",
        b"a = 1\r\nb = 2",
        b"a = 1\r\nb = 3\r\n",
    ),
    "goes in CRLF": (
        f"{HEAD}@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n{MARK}",
        b"a = 1\r\nb = 2\r\n",
        b"a = 1\r\nb = 3",
    ),
    "comes with a line": (
        f"{HEAD}@@ -1 +1,2 @@\n-a = 1\n{MARK}\n+a = 1\n+b = 2",
        b"a = 1",
        b"a = 1\nb = 2\n",
    ),
    "comes as the last line goes": (f"{HEAD}@@ -1,2 +1 @@\n a = 1\n-b = 2\n{MARK}", b"a = 1\nb = 2", b"a = 1\n"),
    "stays away": (f"{HEAD}@@ -1 +1 @@\n-a = 10\n{MARK}\n+a = 20\n{MARK}", b"a = 10", b"a = 20"),
    "typed by hand": (f"--- a.py\n+++ a.py\n@@\n-b = 2\n+b = 3\n{MARK}", b"a = 1\nb = 2\n", b"a = 1\nb = 3"),
    "of two like it the last": (f"--- a.py\n+++ a.py\n@@\n-x = 2\n+x = 3\n{MARK}", b"x = 2\nx = 2\n", b"x = 2\nx = 3"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_diff_changes_the_end_of_the_file_as_it_says(case: str) -> None:
    """The line end that a diff gives to the last line, or takes from it, comes and goes with the lines."""
    diff, before, after = CASES[case]
    made = applied(diff, before)
    assert isinstance(made, Applied), made
    assert made.contents == {"a.py": after}
    assert [path for path, _ in made.places] == ["a.py"] * len(made.places)
    assert made.places


@pytest.mark.parametrize("case", CASES)
def test_a_diff_made_before_is_already_there(case: str) -> None:
    """Where lines and end are as the diff says, nothing is left to do (where the lines are long enough to tell)."""
    diff, _, after = CASES[case]
    if case not in ("comes as the last line goes", "of two like it the last", "typed by hand"):
        assert isinstance(applied(diff, after), AlreadyThere)


def test_an_end_that_is_none_is_refused() -> None:
    """Lines that a diff shows at the end of the file are not taken for others further up."""
    made = applied(f"{HEAD}@@ -1 +1 @@\n-b = 2\n+b = 3\n{MARK}", b"b = 2\nc = 3\n")
    assert isinstance(made, list)
    assert "the old text is not at the end of a.py" in made[0]
