"""Files that appear in a folder: each one is told of once it is whole.

Owns what counts as a file to take, and when it is whole. Reads, changes nothing. Keeps: no file is told of that
somebody still writes, that is empty, or that is no plain file of this folder (a link leads to files that nobody has
put here).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from ..project_errors import WatchedFolderMissing

#: How long a file must have been as it is. Who writes slowly still has it open, which is looked at as well.
SETTLE_S = 0.5
#: Of larger files no job could take in more.
SIZE_MAX = 16 << 20
#: What editors and browsers name files that are not finished, or not the user's.
_UNFINISHED = (".*", "*~", "#*#", "*.tmp", "*.temp", "*.part", "*.partial", "*.crdownload", "*.download", "*.sw[a-z]",
               "*.bak", "*.orig", "*.lock", "4913", "~$*")  # fmt: skip

_Signature = tuple[int, int, int, int]


class Found(msgspec.Struct, frozen=True):
    """A whole file as it was read; `problem` says why it could not be, and then it has no content."""

    path: Path
    content: bytes = b""
    problem: str = ""


class FolderScan:
    """What is new in one folder, each time it is looked at."""

    def __init__(self, folder: Path, patterns: Sequence[str], *, settle_s: float = SETTLE_S) -> None:
        self.folder = folder
        self._patterns = tuple(patterns)
        self._settle_s = settle_s
        #: Files by name as they were when they were told of, and as they were when last seen, since when.
        self._told: dict[str, _Signature] = {}
        self._waiting: dict[str, tuple[_Signature, float]] = {}

    @property
    def waits(self) -> bool:
        """Whether there is a file of which it isn't known yet whether it is whole."""
        return bool(self._waiting)

    def look(self, now_s: float) -> Iterable[Found]:
        """Yield the files that are whole by now and have not been told of as they are; raises WatchedFolderMissing.

        `now_s` is a moment of a clock that never goes back. What is done with a file is known by its name and content:
        after a restart all files are told of again.
        """
        seen = self._seen()
        for names in (self._told, self._waiting):
            for name in names.keys() - seen.keys():
                del names[name]
        for name, signature in sorted(seen.items()):
            if self._told.get(name) == signature:
                self._waiting.pop(name, None)
                continue
            before = self._waiting.get(name)
            if before is None or before[0] != signature:
                self._waiting[name] = (signature, now_s)
                continue
            if now_s - before[1] < self._settle_s:
                continue
            found = _read(self.folder / name, signature)
            if found is not None:
                del self._waiting[name]
                self._told[name] = signature
                yield found

    def again(self, path: Path) -> None:
        """Tell of a file once more at the next look, as nothing could be done with it now."""
        self._told.pop(path.name, None)

    def _seen(self) -> dict[str, _Signature]:
        seen: dict[str, _Signature] = {}
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if self._counts(entry.name):
                        try:
                            facts = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue  # gone since the folder was listed
                        if stat.S_ISREG(facts.st_mode) and facts.st_size:
                            seen[entry.name] = _signature(facts)
        except NotADirectoryError:
            raise WatchedFolderMissing(str(self.folder), "it is a file") from None
        except FileNotFoundError:
            raise WatchedFolderMissing(str(self.folder)) from None
        except OSError as error:
            raise WatchedFolderMissing(str(self.folder), error.strerror or str(error)) from error
        return seen

    def _counts(self, name: str) -> bool:
        if any(fnmatchcase(name, pattern) for pattern in _UNFINISHED):
            return False
        return any(fnmatchcase(name, pattern) for pattern in self._patterns)


def _signature(facts: os.stat_result) -> _Signature:
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _read(path: Path, signature: _Signature) -> Found | None:
    """Return a file's content, None where it is not whole after all: it has changed, or somebody writes it."""
    try:
        # A link or a pipe may have been put in its place meanwhile.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        return None if error.errno == errno.ELOOP else Found(path, problem=error.strerror or str(error))
    try:
        if _signature(os.fstat(file)) != signature or _is_written(file):
            return None
        with os.fdopen(os.dup(file), "rb") as reading:
            content = reading.read(SIZE_MAX + 1)
        if _signature(os.fstat(file)) != signature:
            return None
    except OSError as error:
        return Found(path, problem=error.strerror or str(error))
    finally:
        os.close(file)
    if len(content) > SIZE_MAX:
        return Found(path, problem=f"it has more than {SIZE_MAX} bytes")
    return Found(path, content)


def _is_written(file: int) -> bool:
    """Tell whether somebody has a file open for writing, as far as the system says: by whether a lease is to be had."""
    lease = getattr(fcntl, "F_SETLEASE", None)
    if lease is None:
        return False
    try:
        fcntl.fcntl(file, lease, fcntl.F_RDLCK)
        fcntl.fcntl(file, lease, fcntl.F_UNLCK)
    except OSError as error:
        # Other errors: another user's file, or a file system without leases.
        return error.errno == errno.EAGAIN
    return False
