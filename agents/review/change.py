"""The change under review: which files it touches, their text before and after, and which lines it brings.

Owns reading that from a store's two commits, with one `git diff-tree` and one `git cat-file`. Keeps: only the two named
commits are read, never the user's checkout, and contents beyond a bound are measured, not held.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from ..git import Git, check_commit
from ..text_file import TextFile, decode
from .python_code import parse

#: Larger files are not read: nobody has written them by hand.
CONTENT_BYTES_MAX = 2 << 20
#: What is held of a change in all; the files beyond are unseen.
CHANGE_BYTES_MAX = 128 << 20
_HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_ABSENT = "000000"
LINK, SUBMODULE = "120000", "160000"

Status = Literal["added", "modified", "deleted", "renamed"]
#: A hunk without context: (first line before, count before, first line after, count after).
Hunk = tuple[int, int, int, int]


class ChangedFile:
    """One file of a change. `path` is the one it has after it, or had where it is deleted.

    `old` and `new` are the contents, None where there are none or they are too large (see `old_size`, `new_size`).
    """

    def __init__(
        self,
        path: str,
        *,
        status: Status,
        old_path: str | None = None,
        old_mode: str = _ABSENT,
        new_mode: str = _ABSENT,
        old: bytes | None = None,
        new: bytes | None = None,
        old_size: int = 0,
        new_size: int = 0,
        hunks: Sequence[Hunk] = (),
    ) -> None:
        self.path = path
        self.status: Status = status
        self.old_path = old_path or path
        self.old_mode = old_mode
        self.new_mode = new_mode
        self.old = old
        self.new = new
        self.old_size = old_size
        self.new_size = new_size
        self.hunks = tuple(hunks)

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        """The file name's ending in lower case, with its dot."""
        return PurePosixPath(self.path).suffix.lower()

    @property
    def is_plain(self) -> bool:
        """Whether it is an ordinary file after the change: no link, no submodule, not gone."""
        return self.new_mode.startswith("100")

    @cached_property
    def old_file(self) -> TextFile | None:
        """The text before; None where there was none or it is binary."""
        return decode(self.old) if self.old is not None and self.old_mode.startswith("100") else None

    @cached_property
    def new_file(self) -> TextFile | None:
        """The text after; None where there is none or it is binary."""
        return decode(self.new) if self.new is not None and self.is_plain else None

    @cached_property
    def old_lines(self) -> list[str]:
        """The lines before, without their ends."""
        return self.old_file.text.split("\n") if self.old_file is not None else []

    @cached_property
    def new_lines(self) -> list[str]:
        """The lines after, without their ends."""
        return self.new_file.text.split("\n") if self.new_file is not None else []

    @cached_property
    def old_tree(self) -> ast.Module | None:
        """The Python before, None where it isn't Python or can't be parsed."""
        python = PurePosixPath(self.old_path).suffix in (".py", ".pyi") and self.old_file is not None
        return parse(self.old_file.text) if python and self.old_file is not None else None

    @cached_property
    def new_tree(self) -> ast.Module | None:
        """The Python after, None where it isn't Python or can't be parsed."""
        python = self.suffix in (".py", ".pyi") and self.new_file is not None
        return parse(self.new_file.text) if python and self.new_file is not None else None

    @cached_property
    def added(self) -> frozenset[int]:
        """Numbers of the lines that the change brings."""
        return frozenset(line for _, _, start, count in self.hunks for line in range(start, start + count))

    @cached_property
    def removed(self) -> frozenset[int]:
        """Numbers, before the change, of the lines that it takes away."""
        return frozenset(line for start, count, _, _ in self.hunks for line in range(start, start + count))

    @property
    def added_lines(self) -> list[tuple[int, str]]:
        """The lines that the change brings, with their numbers."""
        lines = self.new_lines
        return [(number, lines[number - 1]) for number in sorted(self.added) if number <= len(lines)]

    @property
    def removed_lines(self) -> list[tuple[int, str]]:
        """The lines that the change takes away, with their numbers before."""
        lines = self.old_lines
        return [(number, lines[number - 1]) for number in sorted(self.removed) if number <= len(lines)]

    def place_of_old(self, line: int) -> int:
        """Return the line after the change at which a line before it stands, or stood."""
        shift = 0
        for start, count, new_start, new_count in self.hunks:
            first = start if count else start + 1
            if line < first:
                break
            if line < first + count:
                return max(1, min(new_start + (line - first), new_start + max(new_count - 1, 0)))
            shift = (new_start if new_count else new_start + 1) + new_count - (first + count)
        return max(1, line + shift)

    def brings(self, line: int, end_line: int | None = None) -> bool:
        """Tell whether the change brings one of these lines."""
        if end_line is None or end_line <= line:
            return line in self.added
        return any(number in self.added for number in range(line, min(end_line, line + 10_000) + 1))


class Change:
    """All files of a change, the paths of the trees before and after it, and what could not be read."""

    def __init__(
        self, files: Sequence[ChangedFile], *, before: frozenset[str], after: frozenset[str], unseen: Sequence[str] = ()
    ) -> None:
        self.files = list(files)
        self.before = before
        self.after = after
        self.unseen = list(unseen)
        self._by_path = {file.path: file for file in files if file.status != "deleted"}

    def file(self, path: str) -> ChangedFile | None:
        """Return the changed file that has this path after the change, or None."""
        return self._by_path.get(path)


def read_change(git: Git, git_dir: Path, base: str, commit: str) -> Change:
    """Read what leads from one commit of a store to another; raises GitFailed where the store lacks one."""
    options = ("-r", "-z", "-M", "--raw", "-p", "-U0", "--abbrev=64", "--full-index", "--no-color")
    fixed = ("--no-ext-diff", "--no-textconv", "--ignore-submodules=none", "--src-prefix=a/", "--dst-prefix=b/")
    out = git.run("diff-tree", *options, *fixed, check_commit(base), check_commit(commit), git_dir=git_dir).out
    rows, patch = _raw_rows(out)
    sections = re.split(rb"^diff --git ", patch, flags=re.MULTILINE)[1:]
    contents = _contents(git, git_dir, rows)
    files, unseen, held, at = [], [], 0, 0
    for old_mode, new_mode, old_id, new_id, letter, old_path, path in rows:
        # A file that became a link, or the other way round, is shown as one that goes and one that comes.
        count = 2 if letter == "T" else 1
        hunks = [hunk for section in sections[at : at + count] for hunk in _hunks(section)]
        at += count
        (old_size, old), (new_size, new) = contents.get(old_id, (0, None)), contents.get(new_id, (0, None))
        if not hunks and new and letter in "AM" and new_mode.startswith("100"):
            hunks = _whole(old, new)
        held += len(old or b"") + len(new or b"")
        if held > CHANGE_BYTES_MAX:
            unseen.append(f"{path}: the change is larger than {CHANGE_BYTES_MAX >> 20} MiB")
            old = new = None
        files.append(
            ChangedFile(
                path,
                status=_status(letter),
                old_path=old_path,
                old_mode=old_mode,
                new_mode=new_mode,
                old=old,
                new=new,
                old_size=old_size,
                new_size=new_size,
                hunks=hunks,
            )
        )
    return Change(files, before=_paths(git, git_dir, base), after=_paths(git, git_dir, commit), unseen=unseen)


_Row = tuple[str, str, str, str, str, str, str]


def _raw_rows(out: bytes) -> tuple[list[_Row], bytes]:
    """Split the raw rows from the patch behind them: an empty field stands between the two."""
    rows: list[_Row] = []
    at = 0
    while out[at : at + 1] == b":":
        end = out.index(b"\0", at)
        old_mode, new_mode, old_id, new_id, letter = out[at + 1 : end].decode().split()
        at = end + 1
        names = []
        for _ in range(2 if letter[0] in "RC" else 1):
            end = out.index(b"\0", at)
            names.append(out[at:end].decode("utf-8", "surrogateescape"))
            at = end + 1
        rows.append((old_mode, new_mode, old_id, new_id, letter[0], names[0], names[-1]))
    return rows, out[at:].lstrip(b"\0")


def _status(letter: str) -> Status:
    known: dict[str, Status] = {"A": "added", "C": "added", "D": "deleted", "R": "renamed"}
    return known.get(letter, "modified")


def _hunks(section: bytes) -> list[Hunk]:
    found = []
    for match in _HUNK.finditer(section):
        start, count, new_start, new_count = (int(part) if part is not None else 1 for part in match.groups())
        found.append((start, count, new_start, new_count))
    return found


def _whole(old: bytes | None, new: bytes) -> list[Hunk]:
    """Return one hunk for all of a file that git takes for binary and is text in another encoding; else none."""
    before, after = decode(old or b""), decode(new)
    if after is None or old == new:
        return []
    removed = before.text.count("\n") + 1 if old and before is not None else 0
    return [(1 if removed else 0, removed, 1, after.text.count("\n") + 1)]


def _paths(git: Git, git_dir: Path, commit: str) -> frozenset[str]:
    out = git.run("ls-tree", "-r", "-z", "--name-only", commit, git_dir=git_dir).out
    return frozenset(name.decode("utf-8", "surrogateescape") for name in out.split(b"\0") if name)


def _contents(git: Git, git_dir: Path, rows: Sequence[_Row]) -> dict[str, tuple[int, bytes | None]]:
    """Return size and, unless that is too large, content of each blob."""
    wanted = {
        identity
        for old_mode, new_mode, old_id, new_id, *_ in rows
        for mode, identity in ((old_mode, old_id), (new_mode, new_id))
        if mode not in (_ABSENT, SUBMODULE)
    }
    if not wanted:
        return {}
    listed = git.run("cat-file", "--batch-check", git_dir=git_dir, stdin="".join(f"{w}\n" for w in wanted).encode())
    sizes = {name: int(size) for name, kind, size in (row.split() for row in listed.text.splitlines()) if kind}
    small = [identity for identity, size in sizes.items() if size <= CONTENT_BYTES_MAX]
    found: dict[str, tuple[int, bytes | None]] = {identity: (size, None) for identity, size in sizes.items()}
    if small:
        out = git.run("cat-file", "--batch", git_dir=git_dir, stdin="".join(f"{w}\n" for w in small).encode()).out
        at = 0
        for identity in small:
            end = out.index(b"\n", at)
            size = int(out[at:end].split()[2])
            found[identity] = (size, out[end + 1 : end + 1 + size])
            at = end + 1 + size + 1
    return found
