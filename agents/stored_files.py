"""Whether workspaces and stores still hold what the log says that they do.

Owns the comparing, for `verify` and for a rollback that was done before. Leaves laying out to `restoring`. Keeps: it
only reads, and runs no program of a repository's.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from .git import Git
from .work_errors import GitFailed


def is_laid_out(folder: Path, store: Path, commit: str, git: Git | None = None) -> bool:
    """Tell whether the files in a workspace's folder are those of a commit, apart from what the repository ignores."""
    return tree_of(folder, store, commit, git) is not None


def tree_of(folder: Path, store: Path, commit: str, git: Git | None = None) -> str | None:
    """Return the tree of a commit where a folder holds exactly its files, else None; what is ignored doesn't count.

    Every file is read: neither times nor sizes are believed.
    """
    git = git or Git()
    if folder.is_symlink() or not folder.is_dir() or not store.is_dir():
        return None
    with tempfile.TemporaryDirectory(prefix="twelvefold-verify-") as scratch:
        index = Path(scratch) / "index"
        try:
            tree = git.run("rev-parse", f"{commit}^{{tree}}", git_dir=store).text
            git.run("read-tree", tree, git_dir=store, index=index)
            listed = partial(git.run, "ls-files", "-z", git_dir=store, work_tree=folder, index=index, at=folder)
            changed, others = listed("--modified", "--deleted").out, listed("--others", "--exclude-standard").out
            modules = git.run("ls-tree", "-r", "-z", tree, git_dir=store).out
        except GitFailed:
            return None
    # A submodule is a folder that stays empty.
    links = {row.split(b"\t", 1)[1] for row in modules.split(b"\0") if row.startswith(b"160000 ")}
    differing = {name for name in changed.split(b"\0") if name} - links
    return None if differing or others else tree
