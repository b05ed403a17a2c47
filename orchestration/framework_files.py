"""Notices that files of Twelvefold itself have changed since this process began: what runs is then not what is there.

Agents' own modules are loaded when an agent starts, so they are always fresh; the framework is loaded once, before.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

#: The packages of the framework lie side by side, whether linked or installed.
PACKAGE = Path(__file__).absolute().parent.parent
#: Looking costs a stat a file, so it is done so many seconds apart at the least.
INTERVAL_S = 5.0


class FrameworkFiles:
    """The framework's sources as they were at the start; `now` is any clock's seconds."""

    def __init__(self, now: float, folder: Path = PACKAGE) -> None:
        self._folder = folder
        self._known = _stamps(folder)
        self._due = now + INTERVAL_S

    def changed(self, now: float) -> str | None:
        """Return one file that has changed, come or gone since the last look; None where none has, or it's too soon."""
        if now < self._due:
            return None
        self._due = now + INTERVAL_S
        before, self._known = self._known, _stamps(self._folder)
        return min((name for name, _ in before.items() ^ self._known.items()), default=None)


def _stamps(folder: Path) -> dict[str, int]:
    """Return when each source file of the package, and of those linked into it, was last written."""
    found = {}
    for package in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        for path in package.glob("*.py"):
            # One that goes away while we look is a change as well.
            with contextlib.suppress(FileNotFoundError):
                found[path.relative_to(folder).as_posix()] = path.stat().st_mtime_ns
    return found
