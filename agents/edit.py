"""What one explicit edit is, and how it is said that one can't be made. Pure."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

Reason = Literal[
    "unsafe_path",
    "file_missing",
    "file_exists",
    "not_text",
    "old_text_missing",
    "old_text_ambiguous",
    "place_unclear",
    "setting_missing",
    "setting_differs",
    "edits_overlap",
    "syntax_broken",
]
#: What an edit does to its file: `replace` one text by another, put lines `after` or `before` others, at its `end` or
#: `start`, `set` a setting, `move` or `delete` it. `everywhere` names no file: it replaces in all that have the text.
How = Literal["replace", "everywhere", "after", "before", "end", "start", "set", "move", "delete"]
#: What a diff says of the end of a file's last line, where it changes it: a line end comes, or goes (`bare`).
Tail = Literal["", "newline", "bare"]
#: The `count` of an edit that replaces every occurrence, however many (at least one).
EVERY = 0


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One explicit edit: `old` becomes `new` in the file `path`, exactly `count` times.

    `lines` says that the texts are whole lines (a code block) and not parts of one. An `old` of None makes the file,
    a `new` of None deletes it. `line` is where the issue says so, `at_line` where it says that the text stands.
    Other kinds, by `how`: `old` is the text beside which `new` is put (None: the line `at_line`); `key` names the
    setting whose value becomes `new`, and was `old` where that is not None; `to` is the path that a file gets; `files`
    in how many files a text is said to be (0: not said). With a `tail` the lines are the last ones of the file, which
    then ends so.
    """

    path: str
    old: str | None
    new: str | None
    count: int = 1
    lines: bool = False
    line: int = 0
    at_line: int = 0
    how: How = "replace"
    key: str = ""
    to: str = ""
    files: int = 0
    tail: Tail = ""


class EditFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why one edit cannot be made: which one (from 1), where the issue asks for it, and the lines that matter."""

    reason: Reason
    edit: int
    path: str
    line: int
    message: str
    places: list[int] = []


class Change(msgspec.Struct, frozen=True):
    """One span of a file's text to be replaced; `edit` is the number of the edit that wants it."""

    start: int
    end: int
    new: str
    edit: int


class Present(msgspec.Struct, frozen=True):
    """The edit had been made before, at this line."""

    line: int


def failed(reason: Reason, number: int, edit: Edit, message: str, places: list[int] | None = None) -> EditFailure:
    """Say why the edit with this number can't be made."""
    return EditFailure(reason=reason, edit=number, path=edit.path, line=edit.line, message=message, places=places or [])


def unsafe_path(path: str) -> str | None:
    """Return why a path cannot be taken for a file inside a repository, or None."""
    parts = path.split("/")
    if not path or "\0" in path or "\\" in path or path != path.strip():
        return "is not a path"
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        return "is not relative to the repository"
    if ".." in parts:
        return "leads out of its folder"
    if "." in parts or "" in parts:
        return "is not in its plain form"
    # Names that some file systems take for .git.
    if any(part.lower().rstrip(". ") in (".git", "git~1") for part in parts):
        return "lies inside .git"
    return None
