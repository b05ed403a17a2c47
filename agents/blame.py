"""Which commit a line of a file is from, asked of git without changing or running anything of the repository's.

Owns the asking. A line of the working tree is looked for in the commit that is checked out, as files are read here as
they lie, and never through a filter program of the repository.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import msgspec

from .git import Git
from .work_errors import GitFailed


class BlamedLine(msgspec.Struct, frozen=True):
    """A line: the commit that it is from, its path and number there, and its text; the commit's author, time (seconds
    since the epoch) and subject.
    """

    commit: str
    path: str
    line: int
    text: str
    author: str
    time_s: int
    subject: str


def blame(
    git: Git, revision: str, path: str, line: int, *, at: Path | None = None, git_dir: Path | None = None
) -> BlamedLine | None:
    """Return where a line is from that a commit has, None where it has no such file or line."""
    place = f"-L{line},{line}"
    try:
        out = git.run("blame", "--porcelain", place, revision, "--", path, at=at, git_dir=git_dir).out
    except GitFailed as error:
        if error.status == 128:
            return None
        raise
    rows = out.decode("utf-8", "replace").split("\n")
    head = rows[0].split(" ")
    facts = dict(row.partition(" ")[::2] for row in rows[1:] if not row.startswith("\t"))
    text = next((row[1:] for row in rows[1:] if row.startswith("\t")), "")
    time_s = int(facts.get("author-time", "0"))
    name = facts.get("filename", path)
    return BlamedLine(head[0], name, int(head[1]), text, facts.get("author", ""), time_s, facts.get("summary", ""))


def file_at(git: Git, revision: str, path: str, *, at: Path | None = None, git_dir: Path | None = None) -> bytes | None:
    """Return a file's bytes in a commit, None where that has none."""
    found = git.run("cat-file", "blob", f"{revision}:{path}", at=at, git_dir=git_dir, expect=(0, 128))
    return None if found.status else found.out


def line_in(committed: bytes, lying: bytes, line: int) -> int | None:
    """Return the number that a line of the lying file has in the committed one, None where it isn't in it.

    Line ends don't count: git may lay files out with other ones.
    """
    old, new = (content.replace(b"\r\n", b"\n").split(b"\n") for content in (committed, lying))
    if old == new:
        return line if line <= len(old) else None
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for start, also, size in matcher.get_matching_blocks():
        if also < line <= also + size:
            return start + line - also
    return None


def message_of(git: Git, commit: str, *, at: Path | None = None, git_dir: Path | None = None) -> str:
    """Return a commit's message."""
    return git.run("show", "-s", "--format=%B", commit, at=at, git_dir=git_dir).text
