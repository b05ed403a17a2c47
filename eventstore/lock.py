"""The lock that makes one process the log's only writer.

An exclusive `flock` on a file beside the log, held for as long as the log is open: the kernel drops it with the
process, however that ends, so a stale lock cannot exist. The file names its owner for people; what it says is only a
hint, the lock is the truth.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from .storage_errors import LogLocked


class FileLock:
    """An exclusive lock on a file, taken at once or refused with LogLocked; raises OSError for other reasons."""

    def __init__(self, path: Path, guarded: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise LogLocked(str(guarded), int(owner) if owner.isdecimal() else 0) from None
        # Written over what was there, which needs no space; a disk that is full anyhow is no reason to let the lock go.
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, b"%-31d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let the lock go; the file stays, as removing it would let two processes hold one each."""
        os.close(self._fd)
