"""The files of runs, read from their stores: which commits have equal files, and in what two commits differ.

The commits may lie in stores of different runs, or of different homes. Reads only. A commit that a store has no more is
told as such, never as empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from .bundles import store_name
from .git import Git, is_commit

Change = Literal["differs", "only_a", "only_b"]
_LETTERS: dict[str, Change] = {"A": "only_b", "D": "only_a"}


class FileDifference(msgspec.Struct, frozen=True):
    """One path that two commits have differently; bytes of a name that aren't UTF-8 are written as `\\xff`."""

    path: str
    kind: Change


def store_at(place: Path, store: str) -> Path:
    """Return where a store is that events name, at the place (home, or import) in which their run is kept."""
    name = store_name(store)
    return place / "stores" / name if name else Path(store)


def trees_of(git: Git, store: Path, commits: Iterable[str]) -> dict[str, str]:
    """Return what names the files of commits, for those that the store has."""
    asked = [commit for commit in dict.fromkeys(commits) if is_commit(commit)]
    if not asked or not (store / "objects").is_dir():
        return {}
    lines = "".join(f"{commit}^{{tree}}\n" for commit in asked)
    told = git.run("cat-file", "--batch-check=%(objectname)", git_dir=store, stdin=lines.encode()).text.splitlines()
    return {commit: tree for commit, tree in zip(asked, told, strict=True) if is_commit(tree)}


def changed_files(git: Git, a: tuple[Path, str], b: tuple[Path, str]) -> list[FileDifference]:
    """Return the paths in which two commits differ, each given with the store that has it; raises GitFailed."""
    listed = _diff_tree(git, a, b, "-z", "--name-status").split(b"\0")
    pairs = zip(listed[::2], listed[1::2], strict=False)
    return [
        FileDifference(name.decode("utf-8", "backslashreplace"), _LETTERS.get(letter.decode("ascii"), "differs"))
        for letter, name in pairs
    ]


def patch_between(git: Git, a: tuple[Path, str], b: tuple[Path, str]) -> str:
    """Return the difference of two commits as a patch from the first to the second; raises GitFailed."""
    options = ("-p", "--no-ext-diff", "--no-textconv", "--full-index")
    return _diff_tree(git, a, b, *options).decode("utf-8", "backslashreplace")


def _diff_tree(git: Git, a: tuple[Path, str], b: tuple[Path, str], *options: str) -> bytes:
    (store, one), (other_store, other) = a, b
    return git.run("diff-tree", "-r", "--no-renames", *options, one, other, git_dir=store, also=other_store).out
