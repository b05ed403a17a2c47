"""What a foreign program did to the `.git` of the workspace that it worked in.

Owns looking at it, as plain files: no git is run there, whose settings could be the program's own. Nothing of that
`.git` is ever used, so what is found is told and decides nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import msgspec

_FILE_BYTES_MAX = 1 << 20
_FILES_MAX = 20_000


class OwnGit(msgspec.Struct, frozen=True):
    """A `.git` as it lies there: `kind` is folder, none or other; the rest are hashes by path."""

    kind: str
    head: str = ""
    refs: dict[str, str] = {}
    settings: dict[str, str] = {}


def look_at(folder: Path) -> OwnGit:
    """Look at the `.git` of a workspace."""
    own = folder / ".git"
    if not os.path.lexists(own):
        return OwnGit("none")
    if own.is_symlink() or not own.is_dir():
        return OwnGit("other")
    refs = dict(_files(own / "refs")) | {"packed-refs": _told(own / "packed-refs")}
    settings = {f"hooks/{name}": told for name, told in _files(own / "hooks")}
    settings |= {name: _told(own / name) for name in ("config", "config.worktree", "info/attributes", "info/exclude")}
    return OwnGit("folder", _told(own / "HEAD"), refs, settings)


def told_differences(before: OwnGit, after: OwnGit) -> list[str]:
    """Say in sentences what a program did to a `.git`."""
    if after.kind != before.kind:
        gone = "deleted the workspace's .git" if after.kind == "none" else "put something else in place of .git"
        return [f"the command {gone}; nothing of it is used"]
    said = []
    if (before.head, before.refs) != (after.head, after.refs):
        said.append("the command made commits or branches of its own; only the files that it left count")
    altered = sorted(name for name in before.settings | after.settings if _differ(before, after, name))
    if altered:
        said.append(f"the command altered .git ({', '.join(altered[:5])}); nothing of it is used")
    return said


def _differ(before: OwnGit, after: OwnGit, name: str) -> bool:
    return before.settings.get(name, "") != after.settings.get(name, "")


def _files(top: Path) -> list[tuple[str, str]]:
    found = []
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            found.append((os.fspath(path.relative_to(top)), _told(path)))
            if len(found) >= _FILES_MAX:
                return found
    return found


def _told(path: Path) -> str:
    """Return what tells a file's content from others; "" for none."""
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode):
            return f"mode {facts.st_mode:o}"
        with path.open("rb") as file:
            return hashlib.sha256(file.read(_FILE_BYTES_MAX)).hexdigest()
    except OSError:
        return ""
