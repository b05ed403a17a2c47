"""Whether a file is there, for those who say so to a user."""

from __future__ import annotations

from pathlib import Path


def is_there(path: Path) -> bool:
    """Tell whether there is a file or folder; raises OSError where that cannot be seen, as in a closed folder.

    `Path.exists` answers False there from Python 3.14 on, and who believes it tells of a log that never was.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
