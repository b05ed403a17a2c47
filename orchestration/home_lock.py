"""The lock that keeps one supervisor a home. The kernel releases it with the process, however that ends.

The file's content (who holds it) is a courtesy for messages; only the lock counts.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import msgspec

from .errors import AlreadyUp

LOCK_NAME = "up.lock"


class Holder(msgspec.Struct, frozen=True):
    """Who holds a home's lock; its sockets lie below the folder `runtime_dir` ("": nobody has noted where)."""

    pid: int
    incarnation: str
    ephemeral: bool = False
    runtime_dir: str = ""


class HomeLock:
    """The held lock; made by `acquire`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, home: Path, holder: Holder) -> HomeLock:
        """Take the lock of a home; raises AlreadyUp with the pid of who has it."""
        fd = os.open(home / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                other = holder_of(home)
                if other is not None:
                    os.close(fd)
                    raise AlreadyUp(str(home), other.pid) from None
                # Somebody is only looking who has it, which takes a moment of the lock.
                time.sleep(0.001)
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(holder), 0)
        return cls(fd)

    def release(self) -> None:
        """Let the next one in."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder_of(home: Path) -> Holder | None:
    """Return who supervises a home now, or None."""
    try:
        fd = os.open(home / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return msgspec.json.decode(os.pread(fd, 4096, 0), type=Holder)
        except msgspec.DecodeError:
            return Holder(0, "")  # it has the lock, and is about to write its name
    finally:
        os.close(fd)
    return None
