"""The files of one workspace, reached without ever leaving it.

Owns how a path becomes a file: one folder after the other is opened by descriptor, and no link is followed, so that
what foreign code does meanwhile (a folder swapped for a link) leads nowhere. Leaves to `transaction` what is changed
together. Keeps: nothing outside of the folder is read or written, nothing inside of `.git` is; a file is never written
in place, as it could be another name of one that lies elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ..edit import unsafe_path
from ..tool_errors import PathRefused, WorkspaceBusy

#: Larger files are neither read whole nor edited.
FILE_BYTES_MAX = 16 << 20
PATH_LENGTH_MAX = 4096
#: How long a call waits for another one in the same workspace.
BUSY_TIMEOUT_S = 30.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Not blocking: a FIFO would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Found(msgspec.Struct, frozen=True):
    """What stands at a path: `file`, `folder`, `link` or `other`; size in bytes, mode bits, and where a link leads."""

    kind: str
    size: int = 0
    mode: int = 0
    target: str = ""


class FileTree:
    """The files below a workspace's folder, by paths relative to it with `/` between their parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()

    @contextmanager
    def alone(self, timeout_s: float = BUSY_TIMEOUT_S) -> Iterator[None]:
        """Keep other calls from the files meanwhile; raises WorkspaceBusy where one doesn't end."""
        if not self._lock.acquire(timeout=timeout_s):
            raise WorkspaceBusy(str(self.folder))
        try:
            yield
        finally:
            self._lock.release()

    def look(self, path: str) -> Found | None:
        """Return what stands at a path, None for nothing; raises PathRefused for a path that leads elsewhere."""
        parts = _parts(path)
        try:
            with self.open_folder(parts[:-1]) as folder:
                return _found(parts[-1], folder)
        except FileNotFoundError:
            return None

    def read(self, path: str, size_max: int = FILE_BYTES_MAX) -> bytes:
        """Return a regular file's bytes; raises PathRefused for a link or folder, or one that is larger than that.

        Raises FileNotFoundError where there is none.
        """
        parts = _parts(path)
        with self.open_folder(parts[:-1]) as folder:
            return read_at(folder, parts[-1], path, size_max)

    @contextmanager
    def open_folder(self, parts: list[str], *, make: list[str] | None = None) -> Iterator[int]:
        """Open a folder by its parts and yield its descriptor; folders that are made are added to `make`.

        Raises FileNotFoundError where one is missing and none shall be made, PathRefused where one is no folder.
        """
        handle = os.open(self.folder, _FOLDER)
        try:
            for number, part in enumerate(parts):
                path = "/".join(parts[: number + 1])
                if make is not None and _made(part, handle):
                    make.append(path)
                inner = _opened(part, handle, path)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def walk(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield every regular file with its facts, sorted within each folder; links and `.git` are passed over."""
        if not self.folder.is_dir():
            return
        for top, folders, files, handle in os.fwalk(self.folder, follow_symlinks=False):
            folders[:] = sorted(name for name in folders if name.lower() != ".git")
            prefix = os.path.relpath(top, self.folder)
            for name in sorted(files):
                try:
                    facts = os.stat(name, dir_fd=handle, follow_symlinks=False)
                except OSError:
                    continue  # gone meanwhile
                if stat.S_ISREG(facts.st_mode) and name.lower() != ".git":
                    yield name if prefix == "." else f"{prefix}/{name}", facts


def check_path(path: str) -> None:
    """Raise PathRefused for a text that can't be a path inside the workspace."""
    problem = "is too long" if len(path) > PATH_LENGTH_MAX else unsafe_path(path)
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        problem = "can't be a file's name"
    if problem:
        raise PathRefused(path, problem)


def read_at(folder: int, name: str, path: str, size_max: int = FILE_BYTES_MAX) -> bytes:
    """Read a regular file in an open folder; raises PathRefused, FileNotFoundError."""
    try:
        handle = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise
        raise PathRefused(path, _refusal(_found(name, folder), error)) from error
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise PathRefused(path, _refusal(_facts(facts), None))
    with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor
        if facts.st_size > size_max:
            problem = f"has {facts.st_size} bytes, more than the {size_max} that are read"
            raise PathRefused(path, problem, "file_too_large")
        return file.read(size_max)


def _parts(path: str) -> list[str]:
    check_path(path)
    return path.split("/")


def _made(name: str, folder: int) -> bool:
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        return False
    except OSError as error:
        raise PathRefused(name, f"can't be made: {os.strerror(error.errno or 0)}") from error
    return True


def _opened(name: str, folder: int, path: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        found = _found(name, folder)
        problem = "is a file and no folder" if found and found.kind == "file" else _refusal(found, error)
        raise PathRefused(path, problem) from error


def _found(name: str, folder: int) -> Found | None:
    try:
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(facts.st_mode):
            return Found("link", target=os.readlink(name, dir_fd=folder))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PathRefused(name, os.strerror(error.errno or 0)) from error
    return _facts(facts)


def _facts(facts: os.stat_result) -> Found:
    kind = "file" if stat.S_ISREG(facts.st_mode) else "folder" if stat.S_ISDIR(facts.st_mode) else "other"
    return Found(kind, facts.st_size, stat.S_IMODE(facts.st_mode))


def _refusal(found: Found | None, error: OSError | None) -> str:
    if found is not None and found.kind == "link":
        return f"is a symbolic link (to {found.target[:200]!r}), and links are not followed"
    if found is not None and found.kind == "folder":
        return "is a folder"
    if found is not None and found.kind == "other":
        return "is neither a file nor a folder"
    return f"can't be opened: {os.strerror(error.errno or 0) if error else 'it changed meanwhile'}"
