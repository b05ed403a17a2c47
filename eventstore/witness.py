"""The witness of the last acknowledged position, in a small file beside the log.

A log whose end was cut off (a truncated WAL, an older copy put in its place) still chains, so the log alone cannot
tell. The witness is written after each commit and before its acknowledgement, without a sync: it survives the death
of any process. In `full` mode it never runs ahead of what is synced, so a log behind it is a fault, always; in
`relaxed` mode a power cut may leave the log behind, which is that mode's price and not a fault.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

_SIZE = 256


class Testimony(msgspec.Struct, frozen=True):
    """What a witness says: the last acknowledged position and its hash, under which durability, in which boot."""

    position: int = 0
    hash: str = ""
    durability: str = "full"
    boot: str = ""

    @property
    def binds(self) -> bool:
        """Whether a log without that position, or with another event there, is at fault."""
        return self.position > 0 and (self.durability == "full" or self.boot == boot_id())


class Witness:
    """The open file of a log's witness. Raises OSError where it cannot be written."""

    def __init__(self, path: Path, durability: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._suffix = f" {durability} {boot_id()}".encode()

    def testify(self, position: int, hash: bytes) -> None:
        """Note what is about to be acknowledged, in one write of fixed size."""
        os.pwrite(self._fd, (b"%d %s%s" % (position, hash.hex().encode(), self._suffix)).ljust(_SIZE - 1) + b"\n", 0)

    def close(self) -> None:
        """Release the file."""
        os.close(self._fd)


def beside(log: Path) -> Path:
    """Return where the witness of a log lies."""
    return log.with_suffix(".head")


def glance(path: Path) -> bytes:
    """Return what the witness says as it stands there, which is other than before after each commit; b"" without one.

    A fraction of what a look at the log itself costs.
    """
    try:
        return path.read_bytes()
    except OSError:
        return b""


def hear(path: Path) -> Testimony:
    """Return what the witness says; nothing at all (position 0) where there is none or it isn't readable as one.

    Raises OSError where the file itself cannot be read.
    """
    try:
        words = path.read_text("ascii", "replace").split()
    except FileNotFoundError:
        return Testimony()
    if len(words) != 4 or not words[0].isdecimal():
        return Testimony()
    return Testimony(int(words[0]), words[1], words[2], words[3])


def boot_id() -> str:
    """Return an id of this boot of the machine, "unknown" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return "unknown"
