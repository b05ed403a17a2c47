"""What keeps the current user from a file or folder, and the command that opens it. Looks only, changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote


def closed_part(path: Path) -> Path:
    """Return the first folder on the way to a path that cannot be entered; else the path, or where it would be made."""
    whole = path.resolve()
    for folder in reversed(whole.parents):
        if not os.access(folder, os.X_OK):
            return folder
    return whole if whole.exists() else whole.parent


def opening_command(path: Path) -> str:
    """Return the command that lets the current user at a path; where it isn't theirs, one that shows whose it is."""
    closed = closed_part(path)
    if closed.stat().st_uid == os.geteuid():
        return f"chmod u+rw{'x' if closed.is_dir() else ''} {quote(str(closed))}"
    return f"ls -ld {quote(str(closed))}    # it is another user's: ask them, or choose another place"
