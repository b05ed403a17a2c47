"""Which commit a line of a file is from, asked of git without changing or running anything of the repository's.

Owns the asking. A line of the working tree is looked for in the commit that is checked out, as files are read here as
they lie, and never through a filter program of the repository.
"""

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
    """Return where a line is from, None where the commit (a full id) has no such file or line; raises GitFailed.

    The commit is one of the repository with a working tree at `at`, or of the store `git_dir`.
    """
    # A converter of texts, which is a program, would be run for what the repository's attributes and settings name.
    command = ("blame", "--no-textconv", "--porcelain", f"-L{line},{line}", revision, "--", path)
    try:
        if git_dir is not None:
            out = git.run(*command, git_dir=git_dir).out
        else:
            assert at is not None
            with _beside(git, at) as (own, objects):
                out = git.run(*command, git_dir=own, also=objects).out
    except GitFailed as error:
        if error.status == 128 and ("no such path" in error.stderr or "has only" in error.stderr):
            return None
        raise
    rows = out.decode("utf-8", "replace").split("\n")
    head = rows[0].split(" ")
    facts = dict(row.partition(" ")[::2] for row in rows[1:] if not row.startswith("\t"))
    text = next((row[1:] for row in rows[1:] if row.startswith("\t")), "")
    time_s = int(facts.get("author-time", "0"))
    name = _unquoted(facts.get("filename", path))
    return BlamedLine(head[0], name, int(head[1]), text, facts.get("author", ""), time_s, facts.get("summary", ""))


@contextmanager
def _beside(git: Git, repository: Path) -> Iterator[tuple[Path, Path]]:
    """Make an empty repository that can read another one's objects, and has none of its settings.

    Yields the folder of the first, and that of the second whose objects it reads.
    """
    asked = ("rev-parse", "--path-format=absolute", "--show-object-format", "--git-common-dir")
    object_format, common = git.run(*asked, at=repository).text.split("\n", 1)
    with tempfile.TemporaryDirectory(prefix="twelvefold-blame-") as folder:
        own = Path(folder)
        git.run("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", "--", folder, at=own)
        shallow = Path(common) / "shallow"
        if shallow.exists():
            shutil.copyfile(shallow, own / "shallow")
        yield own, Path(common)


def _unquoted(name: str) -> str:
    """Read a file's name as git writes it where it has quotes, backslashes or line ends."""
    if not (len(name) > 1 and name.startswith('"') and name.endswith('"')):
        return name
    return name[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")


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
    """Return a commit's message, read as it is stored: what shows commits may be told to check their signatures."""
    stored = git.run("cat-file", "commit", commit, at=at, git_dir=git_dir).out
    return stored.partition(b"\n\n")[2].decode("utf-8", "replace").rstrip("\n")
