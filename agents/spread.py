"""A hint to the file system: the folders in here have nothing to do with each other, so lay each out in its own place.

ext4 doesn't use an inode again for up to minutes after its file was deleted, and looks through all of these for each
new file of the same block group. Workspaces come and go by thousands of files; side by side they cost ten to thirty
times as much to lay out. Keeps: it is only a hint; where it can't be given, all works as before.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path

# linux/fs.h and asm-generic/ioctl.h: `_IOR('f', 1, long)`, `_IOW('f', 2, long)`; the kernel reads and writes an int.
_LONG = struct.calcsize("l")
_GET_FLAGS = 2 << 30 | _LONG << 16 | ord("f") << 8 | 1
_SET_FLAGS = 1 << 30 | _LONG << 16 | ord("f") << 8 | 2
_TOP_OF_HIERARCHY = 0x00020000  # FS_TOPDIR_FL, the T of chattr(1)


def spread(folder: Path) -> None:
    """Have folders that are made in this one from now on laid out apart from each other, where the file system can."""
    with suppress(OSError):  # another file system, somebody else's folder, or one that is gone by now
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            (flags,) = struct.unpack("i", ioctl(descriptor, _GET_FLAGS, bytes(4)))
            if not flags & _TOP_OF_HIERARCHY:
                ioctl(descriptor, _SET_FLAGS, struct.pack("i", flags | _TOP_OF_HIERARCHY))
        finally:
            os.close(descriptor)
