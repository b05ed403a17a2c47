"""How a supervisor tells an agent to take no new tasks: a mark in the home, and a signal to look at it.

A mark, as two signals that mean pause and resume may arrive in the wrong order. Invariant: whoever looks after the
signal sees the last word.
"""

from __future__ import annotations

import signal
from pathlib import Path

#: Tells an agent to look whether its mark is there.
LOOK = signal.SIGUSR1
FOLDER = "paused"


def mark_of(home: Path, instance: str) -> Path:
    """Return the file that is there while an instance is paused."""
    return home / FOLDER / instance


def set_mark(home: Path, instance: str, paused: bool) -> None:
    """Make or remove the mark of an instance."""
    mark = mark_of(home, instance)
    if paused:
        mark.parent.mkdir(mode=0o700, exist_ok=True)
        mark.touch()
    else:
        mark.unlink(missing_ok=True)
