"""What a user's own agent may write of the project that it belongs to: all but git checkouts and the runtime's home.

Agents of this package work in workspaces only. One that a user wrote may keep its files beside its code, as any program
that a Procfile starts. Keeps: no checkout can be changed, the user's whole home is never a project, and neither
is a folder of everybody.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

#: How deep checkouts are looked for, and among how many entries; a project with more is not written into.
DEPTH_MAX = 4
ENTRIES_MAX = 5000


def project_places(folder: Path, home: Path, user_homes: Collection[Path]) -> list[Path]:
    """Return the places of a project folder that may be written: itself, or what of it is neither checkout nor home.

    Nothing where the folder lies in a checkout.
    """
    top, home = folder.resolve(), home.resolve()
    in_checkout = any((above / ".git").exists() for above in (top, *top.parents))
    is_too_much = any(one.resolve().is_relative_to(top) for one in user_homes)
    if in_checkout or is_too_much or top.is_relative_to(home) or not top.is_dir():
        return []
    if top.stat().st_mode & stat.S_IWOTH:
        return []
    left = [ENTRIES_MAX]
    found = _free(top, home, DEPTH_MAX, left)
    return found if left[0] >= 0 else []


def _free(folder: Path, home: Path, depth: int, left: list[int]) -> list[Path]:
    """Return the folder, or what of it is free where something in it isn't; `left` counts down what is looked at."""
    if folder == home or (folder / ".git").exists():
        return []
    if depth == 0:
        return [folder]
    free, whole = [], True
    with os.scandir(folder) as entries:
        for entry in entries:
            left[0] -= 1
            if left[0] < 0:
                return []
            path = Path(entry.path)
            if not entry.is_dir(follow_symlinks=False):
                # A link would lead the rule elsewhere.
                free += [path] if entry.is_file(follow_symlinks=False) else []
                continue
            below = _free(path, home, depth - 1, left)
            whole = whole and below == [path]
            free += below
    return [folder] if whole else free
