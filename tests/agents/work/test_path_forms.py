"""Files whose names have accents, written in one Unicode form in the issue and in another one in the repository."""

from __future__ import annotations

import unicodedata

import pytest

from twelvefold.agents.edits import Edit
from twelvefold.agents.issue import parse_issue

WRITTEN = "doc/café.md"
FORMS = ("NFC", "NFD")
SHAPES = {
    "heading": "# Mend\n\n### `{}`\nCurrent:\n```\na\n```\nShould be:\n```\nb\n```\n",
    "bare heading": "# Mend\n\n## {}\nCurrent:\n```\na\n```\nShould be:\n```\nb\n```\n",
    "sentence": "# Mend\n\nReplace `a` with `b` in `{}`.\n",
    "bare sentence": "# Mend\n\nReplace `a` with `b` in {}.\n",
    "in front": "# Mend\n\nIn {}, replace `a` with `b`.\n",
    "diff": "# Mend\n\n```diff\n--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-a\n+b\n```\n",
    "removal": "# Mend\n\nDelete `{}`.\n",
}


def form(name: str, text: str) -> str:
    return unicodedata.normalize(name, text)  # type: ignore[arg-type]


def edits(text: str, files: list[str]) -> list[Edit]:
    found, problems = parse_issue(text).edits(files)
    assert not problems, problems
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("issue_form", FORMS)
@pytest.mark.parametrize("file_form", FORMS)
def test_a_file_is_found_in_either_form(shape: str, issue_form: str, file_form: str) -> None:
    """A name that is the same but for its Unicode form means the file that the repository has."""
    there = form(file_form, WRITTEN)
    found = edits(form(issue_form, SHAPES[shape].format(WRITTEN)), [there, "doc/cafe.md"])
    assert [edit.path for edit in found] == [there]


def test_a_name_that_git_has_quoted() -> None:
    """What `git diff` writes of a name that is not ASCII, its bytes as numbers, is read as that name."""
    name = r"doc/caf\303\251.md"
    diff = f'diff --git "a/{name}" "b/{name}"\nindex 1..2 100644\n--- "a/{name}"\n+++ "b/{name}"\n@@ -1 +1 @@\n-a\n+b\n'
    assert [edit.path for edit in edits(f"# Mend\n\n```diff\n{diff}```\n", ["doc/café.md"])] == ["doc/café.md"]


def test_of_two_files_the_one_that_is_written() -> None:
    """Where both forms are there, each name means its own file; a third form, none of them."""
    both = [form("NFC", WRITTEN), form("NFD", WRITTEN)]
    for there in both:
        assert [edit.path for edit in edits(SHAPES["sentence"].format(there), both)] == [there]
    mixed = form("NFC", "doc/é") + form("NFD", "é.md")
    two = [form("NFC", "doc/éé.md"), form("NFD", "doc/éé.md")]
    assert [edit.path for edit in edits(SHAPES["sentence"].format(mixed), two)] == [mixed]


def test_a_new_file_goes_into_the_folder_that_is_there() -> None:
    """A folder that looks the same is not made a second time."""
    there = form("NFD", "dé/a.py")
    found = edits(form("NFC", "# Move\n\nMove `dé/a.py` to `dé/b.py`.\n"), [there])
    assert [(edit.path, edit.to) for edit in found] == [(there, form("NFD", "dé/b.py"))]
