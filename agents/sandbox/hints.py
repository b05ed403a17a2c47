"""What to say where the sandbox kept an agent's code from something: what it was, and how to allow it.

Reads nothing but what was denied. Leaves the rules to `confine`.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from shlex import quote

import msgspec

from .confine import hidden, is_held, unreadable

log = logging.getLogger("twelvefold.agent")

_DENIED = (errno.EACCES, errno.EPERM, errno.EXDEV)


def way_to_allow(error: BaseException) -> str:
    """Return how to allow what failed with this error, "" where it wasn't this process's file rules that forbade it."""
    if not isinstance(error, OSError) or error.errno not in _DENIED or not is_held():
        return ""
    named = [name for name in (error.filename2, error.filename) if isinstance(name, str | bytes | os.PathLike)]
    for name in named:
        path = Path(os.path.realpath(os.fsdecode(name)))
        if path.is_relative_to("/proc"):
            return ""
        if any(path.is_relative_to(one) for one in (*hidden(), *unreadable())):
            return _about_reading(path)
        if _could_write(path):
            folder = path if path.is_dir() else path.parent
            return f"agents may write where they work only; to let them write here: {_setting('WRITABLE', folder)}"
    return ""


def outdated_by(payload: str) -> str:
    """Return a path that a task names and that this process can't read, as it was made after the rules were; else "".

    Another process, bound anew, could.
    """
    if "/" not in payload:
        return ""  # it names no path: nothing needs to be looked at for each of many quick tasks
    for path in unreadable():
        if msgspec.json.encode(path.encode(errors="replace").decode())[1:-1].decode() in payload:
            log.warning("%s was made after this process was bound to its file rules: another takes its place", path)
            return path
    return ""


def _could_write(path: Path) -> bool:
    """Tell whether the user may write what the rules forbid: access(2) doesn't ask them."""
    if os.access(path, os.W_OK):
        return True
    return not path.exists() and os.access(path.parent, os.W_OK)


def _about_reading(path: Path) -> str:
    if any(path.is_relative_to(one) for one in unreadable()):
        return "it was made after this agent had started; start it anew: twelvefold restart"
    return f"agents may not read the user's secrets; to let them read this one: {_setting('READABLE', path)}"


def _setting(word: str, place: Path) -> str:
    return f"export TWELVEFOLD_{word}={quote(str(place))}"
