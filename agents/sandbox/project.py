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


class Project:
    """The places of a project's folder that may be written, as they were when somebody looked."""

    def __init__(self, folder: Path, home: Path, user_homes: Collection[Path]) -> None:
        self.folder = folder.absolute()
        self._around = [str(above / ".git") for above in (folder.resolve(), *folder.resolve().parents)]
        self._in_checkout = self._is_in_checkout()
        self._seen: dict[str, int] = {}
        self.places = project_places(folder, home, user_homes, self._seen)

    def stands(self) -> bool:
        """Tell whether nothing was made, removed or renamed in the folders that were looked at, nor around them."""
        try:
            same = all(_changed_ns(path) == changed for path, changed in self._seen.items())
        except OSError:
            return False
        return same and self._is_in_checkout() == self._in_checkout

    def _is_in_checkout(self) -> bool:
        return any(os.path.lexists(path) for path in self._around)


def project_places(
    folder: Path, home: Path, user_homes: Collection[Path], seen: dict[str, int] | None = None
) -> list[Path]:
    """Return the places of a project folder that may be written: itself, or what of it is neither checkout nor home.

    Nothing where the folder lies in a checkout. `seen` is told each folder that was looked into, and when it had been
    changed.
    """
    top, home = folder.resolve(), home.resolve()
    in_checkout = any((above / ".git").exists() for above in (top, *top.parents))
    is_too_much = any(one.resolve().is_relative_to(top) for one in user_homes)
    if in_checkout or is_too_much or top.is_relative_to(home) or not top.is_dir():
        return []
    if top.stat().st_mode & stat.S_IWOTH:
        return []
    left = [ENTRIES_MAX]
    found = _free(top, home, DEPTH_MAX, left, {} if seen is None else seen)
    return found if left[0] >= 0 else []


def _changed_ns(path: str) -> int:
    return os.stat(path).st_ctime_ns  # noqa: PTH116  asked for each folder by each agent that starts


def _free(folder: Path, home: Path, depth: int, left: list[int], seen: dict[str, int]) -> list[Path]:
    """Return the folder, or what of it is free where something in it isn't; `left` counts down what is looked at."""
    if folder == home or (folder / ".git").exists():
        return []
    seen[str(folder)] = _changed_ns(str(folder))
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
            below = _free(path, home, depth - 1, left, seen)
            whole = whole and below == [path]
            free += below
    return [folder] if whole else free
