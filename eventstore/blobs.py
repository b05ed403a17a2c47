"""Payloads that are too large for an event, in files named by the SHA-256 of their content.

A writer (an agent) puts its file into `incoming/<instance>/<sha256>`; the bus admits it (checks the hash, syncs,
renames to `<first two digits>/<sha256>`) before it appends the event that names it. So every blob that the log names
is there, whole and durable. Leaves to the log which blobs are named (`names_of`).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from . import sqlite, storage
from .blob_names import blobs_named
from .names import is_name
from .storage_errors import BlobDamaged, BlobMissing, StorageFailed

#: A blob that no event names is collected when it is older: its event may still be on its way.
COLLECT_AFTER_S = 24 * 3600
_PIECE = 1 << 20


class BlobStore:
    """The blobs under `root` (`<home>/blobs`), which is made where it is missing."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def incoming(self, instance: str) -> Path:
        """Return the folder into which one writer puts its files, made where it is missing."""
        if not is_name(instance.lower()):
            raise ValueError(f"{instance!r} is not the name of an instance")
        folder = self.root / "incoming" / instance
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def offer(self, instance: str, content: bytes) -> str:
        """Put content into a writer's incoming folder and return its SHA-256, by which an event may now name it."""
        sha256 = hashlib.sha256(content).hexdigest()
        target = self.incoming(instance) / sha256
        draft = target.with_suffix(f".{os.getpid()}")
        draft.write_bytes(content)
        draft.rename(target)
        return sha256

    def admit(self, instance: str, payload: str) -> None:
        """Make every blob that a payload names durable in the store, before the event itself is appended.

        Raises BlobMissing, BlobDamaged or StorageFailed, and then the event must not be appended.
        """
        for sha256 in sorted(blobs_named(payload)):
            if not self._place(sha256).exists():
                self._take_in(instance, sha256)

    def path(self, sha256: str) -> Path:
        """Return the file of a stored blob; raises BlobMissing."""
        place = self._place(sha256)
        if not place.exists():
            raise BlobMissing(sha256, str(self.root))
        return place

    def read(self, sha256: str) -> bytes:
        """Return a stored blob's content, checked against its name; raises BlobMissing or BlobDamaged."""
        content = self.path(sha256).read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BlobDamaged(sha256, str(self._place(sha256)), "has other content than its name says")
        return content

    def check(self, sha256: str) -> None:
        """Raise BlobMissing or BlobDamaged unless a blob is stored whole; reads it piece by piece."""
        with self.path(sha256).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise BlobDamaged(sha256, str(self._place(sha256)), "has other content than its name says")

    def stored(self) -> Iterator[Path]:
        """Yield the file of each stored blob."""
        for folder in self.root.iterdir():
            if len(folder.name) == 2:
                yield from folder.iterdir()

    def collect(self, named: Collection[str], now_s: float) -> int:
        """Remove what no remaining event names and is older than a day, offered files included; return how many.

        `named` is what the log names (`names_of`), `now_s` seconds since the epoch. Only for the log's owner, at start.
        """
        removed = 0
        offered = [file for folder in (self.root / "incoming").glob("*") for file in folder.iterdir()]
        for file in [*self.stored(), *offered]:
            keep = file.name in named and file.parent.name == file.name[:2]
            if not keep and now_s - file.lstat().st_mtime > COLLECT_AFTER_S:
                file.unlink()
                removed += 1
        return removed

    def _place(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256

    def _take_in(self, instance: str, sha256: str) -> None:
        offered = self.incoming(instance) / sha256
        try:
            # The writer isn't trusted: no link to elsewhere, no device or pipe that would block.
            fd = os.open(offered, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise BlobMissing(sha256, str(offered.parent)) from error
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise BlobDamaged(sha256, str(offered), "is not a regular file")
            digest = hashlib.sha256()
            while piece := os.read(fd, _PIECE):
                digest.update(piece)
            if digest.hexdigest() != sha256:
                raise BlobDamaged(sha256, str(offered), "has other content than its name says")
            os.fchmod(fd, 0o400)
            os.fsync(fd)
            self._settle(offered, self._place(sha256))
        except OSError as error:
            raise StorageFailed(str(offered), error.strerror or str(error)) from error
        finally:
            os.close(fd)

    def _settle(self, offered: Path, place: Path) -> None:
        if not place.parent.exists():
            place.parent.mkdir(mode=0o700)
            storage.sync_folder(self.root)
        offered.rename(place)
        storage.sync_folder(place.parent)


def names_of(connection: sqlite.Connection, _: None = None) -> set[str]:
    """Return every blob that a remaining event of the log names; a question for `LogReader.ask`."""
    return {row[0] for row in connection.execute("SELECT DISTINCT blob FROM blob_names").fetchall()}
