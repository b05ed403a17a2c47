"""What may be read where something in it may not: Landlock only knows how to allow, so all around a secret is listed.

Owns the survey: from the top of the file system, each folder on the way to a secret is opened up into its entries.
Keeps: no entry leads to a secret. Its price: what is made later directly in such a folder isn't known to a process
that is bound already; `Survey.news` tells it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec


class Opened(msgspec.Struct):
    """A folder on the way to a secret, as it was: when it was last changed, and the inode of each entry.

    `news` are the paths that were new in it at the last look, when it had been changed at `looked_ns`.
    """

    path: str
    changed_ns: int
    entries: dict[str, int]
    looked_ns: int = 0
    news: list[str] = []

    def look(self) -> list[str]:
        """Return the paths that are new by now; looks only where something has changed since the last look."""
        changed_ns = _changed_ns(self.path)
        if changed_ns not in (self.changed_ns, self.looked_ns):
            with suppress(OSError), os.scandir(self.path) as entries:
                self.news = [entry.path for entry in entries if self.entries.get(entry.name) != entry.inode()]
            self.looked_ns = changed_ns
        return self.news


class Survey(msgspec.Struct):
    """The file system around secrets: `allowed` are the places to allow, `denied` the secrets that there are."""

    allowed: list[str]
    denied: list[str]
    opened: list[Opened]

    def stands(self) -> bool:
        """Tell whether nothing was made, removed or renamed since in the folders that were opened up."""
        return all(_changed_ns(one.path) == one.changed_ns for one in self.opened)

    def news(self) -> list[str]:
        """Return the paths that are new in these folders, secrets aside."""
        return [path for one in self.opened for path in one.look() if path not in self.denied]


def survey(secrets: Iterable[Path]) -> Survey:
    """Look at what lies around those secrets that exist; where there are none, nothing is opened up."""
    denied = sorted({os.path.realpath(path) for path in secrets if os.path.lexists(path)})
    denied = [path for path in denied if os.path.lexists(path) and path != "/"]
    ways = {str(parent) for path in denied for parent in Path(path).parents}
    found = Survey([], denied, [])
    if denied:
        _open_up("/", ways, found)
    return found


def _open_up(folder: str, ways: set[str], found: Survey) -> None:
    changed_ns = _changed_ns(folder)
    entries: dict[str, int] = {}
    # A folder that can't be listed can only be gone through.
    with suppress(PermissionError), os.scandir(folder) as listed:
        for entry in listed:
            entries[entry.name] = entry.inode()
            if entry.path not in found.denied and entry.path not in ways and not entry.is_symlink():
                found.allowed.append(entry.path)
    found.opened.append(Opened(folder, changed_ns, entries))
    for way in sorted(ways - set(found.denied)):
        if way != folder and str(Path(way).parent) == folder:
            _open_up(way, ways, found)


def _changed_ns(folder: str) -> int:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0
