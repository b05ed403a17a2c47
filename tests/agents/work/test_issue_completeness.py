"""Whole files, texts to be removed, and that nothing which an issue asks for is left out silently."""

from __future__ import annotations

import pytest

from twelvefold.agents.issue import parse_issue

FILES = ["a.py", "src/b.py", "src/log.py"]


def block(text: str, info: str = "") -> str:
    return f"```{info}\n{text}\n```\n"


def short(text: str) -> list[tuple[str, str | None, str | None]]:
    """The edits of an issue that says all that they need."""
    found, problems = parse_issue(text).edits(FILES)
    assert not problems, problems
    return [(edit.path, edit.old, edit.new) for edit in found]


WHOLE = {
    "heading": f"### `new.py` (new file)\n\n{block('n', 'python')}",
    "heading first": f"### New file: `new.py`\n\nIt holds the rest.\n\n{block('n')}",
    "order": f"Create `new.py`:\n\n{block('n')}",
    "order with plain path": f"Then add a new file new.py with the following content:\n{block('n')}",
    "below": f"### `new.py`\n\nCreate this file:\n\n{block('n')}",
}


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE.keys())
def test_new_files(text: str) -> None:
    """A file that is to be made, with its content, is an edit beside the others, and never left out silently."""
    assert short(f"# T\n\n{text}") == [("new.py", None, "n\n")]
    pair = f"### `a.py`\nCurrent:\n{block('x')}\nShould be:\n{block('y')}\n"
    assert short(f"# T\n\n{pair}\n{text}") == [("a.py", "x\n", "y\n"), ("new.py", None, "n\n")]


@pytest.mark.parametrize(
    "text",
    [
        f"### `a.py`\nRemove:\n{block('x')}",
        f"Delete the following lines from `a.py`:\n{block('x')}",
        f"### `a.py`\nCurrent:\n{block('x')}\nShould be: (removed)\n",
        f"### `a.py`\nCurrent:\n{block('x')}\nShould be:\n```\n```\n",
    ],
)
def test_removed_text(text: str) -> None:
    """A text that is to go is an edit with nothing as its new text."""
    assert short(f"# T\n\n{text}") == [("a.py", "x\n", "")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (f"### `src/b.py`\n\n{block('u', 'python')}", "does not say what it replaces"),
        ("### `new.py` (new file)\n\nWith the rest.", "no block"),
        ("### More\n\nRemove the folder `src`.", "file by file"),
    ],
)
def test_nothing_is_left_out_beside_a_pair(text: str, part: str) -> None:
    """What an issue asks for beside its pairs, and this can't make, keeps all from being made."""
    pair = f"### `a.py`\nCurrent:\n{block('x')}\nShould be:\n{block('y')}\n"
    found, problems = parse_issue(f"# T\n\n{pair}\n{text}").edits(FILES)
    assert len(found) == 1
    assert [part in problem.text for problem in problems] == [True]


@pytest.mark.parametrize("heading", ["src/log.py", "2. Fix the log message in `src/b.py`", "`a.py`: rejected logs"])
def test_a_section_about_a_file_counts(heading: str) -> None:
    """A heading that names a file is never taken for one over logs or alternatives."""
    pair = f"Current:\n{block('x')}\nShould be:\n{block('y')}\n"
    assert len(parse_issue(f"# T\n\n### {heading}\n{pair}").pairs) == 1


def test_diffs_in_alternatives() -> None:
    """A diff that was considered and rejected is none to be made."""
    issue = parse_issue(f"# T\n\n## Alternatives considered\n\n### `a.py`\n{block('-x' + chr(10) + '+y', 'diff')}\n")
    assert (issue.pairs, issue.problems) == ([], [])
