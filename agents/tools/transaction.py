"""Changes to several files of a workspace, made together or not at all.

Owns the order in which files are parked, written and removed, and the way back from each step. What a path may be is
`tree`'s, what parses is `syntax`'. Keeps: a change that is refused, or fails half-way, leaves every file as it was; a
file keeps its mode; a link, a submodule and what lies in `.git` is never touched. A process that is killed half-way
leaves parked files: the workspace is reset when its task is delivered again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import msgspec

from ..edit import EditFailure, Reason
from ..tool_errors import EditsRefused, PathRefused
from .syntax import broken_by
from .tree import FILE_BYTES_MAX, FileTree, Found, check_path

#: The beginning of the names of files that are there while changes are made only.
PARKED = ".twelvefold-"


class _Change(msgspec.Struct):
    """What a path is to hold: bytes, or None for nothing; `was` is the file that it is moved from."""

    content: bytes | None
    executable: bool | None = None
    unchecked: bool = False
    was: str | None = None


class Edits:
    """Changes to files of a tree that are collected, judged together, and made together by `make`.

    `closed` are paths at and below which nothing may be changed (submodules). Each method raises PathRefused for a
    path that leads out of the tree or through a link; reading sees the changes collected so far.
    """

    def __init__(self, tree: FileTree, closed: Collection[str] = ()) -> None:
        self.tree = tree
        self._closed = closed
        self._changes: dict[str, _Change] = {}
        self._failures: list[EditFailure] = []

    @property
    def paths(self) -> list[str]:
        """The paths that are to be changed."""
        return list(self._changes)

    def read(self, path: str) -> bytes | None:
        """Return what a file holds after the changes so far, None where there is none."""
        change = self._changes.get(path)
        return change.content if change is not None else self._before(path)

    def write(self, path: str, content: bytes, *, executable: bool | None = None, unchecked: bool = False) -> None:
        """Have a file hold these bytes; it is made where it isn't there. `unchecked`: whatever its syntax."""
        self._check(path)
        if len(content) > FILE_BYTES_MAX:
            return self._refuse("not_text", path, f"{path} would have more than {FILE_BYTES_MAX} bytes")
        earlier = self._changes.get(path)
        if earlier is not None and executable is None:
            executable = earlier.executable
        self._changes[path] = _Change(content, executable, unchecked, earlier.was if earlier else None)
        return None

    def delete(self, path: str) -> None:
        """Have a file removed, and the folders that hold nothing else."""
        self._check(path)
        if self.read(path) is None:
            return self._refuse("file_missing", path, f"{path} is not there")
        self._changes[path] = _Change(None)
        return None

    def move(self, path: str, to: str) -> None:
        """Have a file lie elsewhere, with its mode; nothing may be there."""
        content = self.read(path)
        self._check(path)
        self._check(to)
        if content is None:
            return self._refuse("file_missing", path, f"{path} is not there")
        if path == to or self.read(to) is not None:
            return self._refuse("file_exists", to, f"{to} is there already")
        found = self.tree.look(path)
        executable = bool(found and found.mode & 0o100)
        self._changes[to] = _Change(content, executable, was=path)
        self._changes[path] = _Change(None)
        return None

    def failures(self) -> list[EditFailure]:
        """Return why the changes can't be made, nothing where they can."""
        found = list(self._failures)
        for path, change in self._changes.items():
            if change.content is None or change.unchecked:
                continue
            before = self._before(change.was or path)
            if problem := broken_by(path, before, change.content):
                found.append(_failure("syntax_broken", path, problem))
        return found

    def make(self) -> list[str]:
        """Make all changes and return the paths that differ now, sorted.

        Raises EditsRefused, with nothing changed, where they can't be made; OSError, with everything put back.
        """
        if failures := self.failures():
            raise EditsRefused([msgspec.to_builtins(failure) for failure in failures])
        changed = {path: change for path, change in self._changes.items() if self._differs(path, change)}
        steps = _Steps(self.tree)
        try:
            for path, change in changed.items():
                if change.content is None:
                    steps.park(path)
            for path, change in changed.items():
                if change.content is not None:
                    steps.write(path, change.content, change.executable)
        except BaseException:
            steps.undo()
            raise
        steps.finish()
        return sorted(changed)

    def _check(self, path: str) -> None:
        check_path(path)
        if path.rpartition("/")[2].startswith(PARKED):
            raise PathRefused(path, "is a name for files that are being changed")
        if any(path == one or path.startswith(f"{one}/") for one in self._closed):
            raise PathRefused(path, "lies in a submodule")
        found = self.tree.look(path)
        if found is not None and found.kind != "file":
            raise PathRefused(path, _kind(found))

    def _before(self, path: str) -> bytes | None:
        try:
            return self.tree.read(path)
        except FileNotFoundError:
            return None

    def _differs(self, path: str, change: _Change) -> bool:
        found = self.tree.look(path)
        if change.content is None or found is None:
            return (change.content is None) != (found is None)
        executable = bool(found.mode & 0o100)
        same_mode = change.executable in (None, executable)
        return not (same_mode and found.size == len(change.content) and self._before(path) == change.content)

    def _refuse(self, reason: Reason, path: str, message: str) -> None:
        self._failures.append(_failure(reason, path, message))


class _Steps:
    """What has been done to the files so far, and how each step is taken back."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
        self._back: list[Callable[[], None]] = []
        self._parked: list[tuple[list[str], str]] = []

    def park(self, path: str) -> Found | None:
        """Give the file at a path another name in its folder; returns its facts, None where there is none."""
        parts, name = _split(path)
        aside = f"{PARKED}{secrets.token_hex(8)}"
        found = self._tree.look(path)
        if found is None:
            return None
        with self._tree.open_folder(parts) as folder:
            os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
        self._back.append(lambda: self._rename(parts, aside, name))
        self._parked.append((parts, aside))
        return found

    def write(self, path: str, content: bytes, executable: bool | None) -> None:
        """Put a new file in the place of what is there, if anything is."""
        parts, name = _split(path)
        found = self.park(path)
        mode = (found.mode if found else 0o666 & ~_umask()) & ~0o7000
        if executable is not None:
            mode = mode | (mode & 0o444) >> 2 if executable else mode & ~0o111
        made: list[str] = []
        self._back.append(lambda: self._remove_folders(made))
        with self._tree.open_folder(parts, make=made) as folder:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(name, flags, 0o600, dir_fd=folder)
            self._back.append(lambda: self._unlink(parts, name))
            with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(content)
                os.fchmod(handle, mode)

    def undo(self) -> None:
        """Take every step back, last first."""
        for step in reversed(self._back):
            with suppress(FileNotFoundError):
                step()

    def finish(self) -> None:
        """Remove what was parked, and the folders that are empty without it.

        All is done by then: a parked file that can't be removed stays, and no snapshot takes it up.
        """
        for parts, aside in self._parked:
            with suppress(OSError, PathRefused):
                self._unlink(parts, aside)
            self._remove_folders(["/".join(parts[: n + 1]) for n in range(len(parts))])

    def _rename(self, parts: list[str], name: str, to: str) -> None:
        with self._tree.open_folder(parts) as folder:
            os.rename(name, to, src_dir_fd=folder, dst_dir_fd=folder)

    def _unlink(self, parts: list[str], name: str) -> None:
        with self._tree.open_folder(parts) as folder:
            os.unlink(name, dir_fd=folder)

    def _remove_folders(self, paths: list[str]) -> None:
        """Remove folders, innermost first, as far as they are empty."""
        for path in reversed(paths):
            parts, name = _split(path)
            try:
                with self._tree.open_folder(parts) as folder:
                    os.rmdir(name, dir_fd=folder)
            except (OSError, PathRefused):
                return  # it holds something else


def _split(path: str) -> tuple[list[str], str]:
    *parts, name = path.split("/")
    return parts, name


def _umask() -> int:
    """Return which mode bits new files lack: read off /proc, as asking the kernel would set it for all threads."""
    with suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022


def _kind(found: Found) -> str:
    if found.kind == "link":
        return f"is a symbolic link (to {found.target[:200]!r}), and links are not followed"
    return "is a folder" if found.kind == "folder" else "is neither a file nor a folder"


def _failure(reason: Reason, path: str, message: str, **more: Any) -> EditFailure:
    return EditFailure(reason=reason, edit=1, path=path, line=0, message=message, **more)
