"""Payloads that are too large for an event, in files named by the SHA-256 of their content.

A writer (an agent) puts its file into `incoming/<instance>/<sha256>`; the bus admits it (checks the hash, syncs,
renames to `<first two digits>/<sha256>`) before it appends the event that names it. So every blob that the log names
is there, whole and durable. Leaves to the log which blobs are named (`names_of`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from . import sqlite, storage
from .blob_files import OTHER_CONTENT, BlobFiles
from .blob_names import blobs_named
from .names import is_name
from .storage_errors import BlobDamaged, BlobMissing, BlobNotStored

#: A blob that no event names is collected when it is older: its event may still be on its way.
COLLECT_AFTER_S = 24 * 3600
_PIECE = 1 << 20


class BlobStore:
    """The blobs under `root` (`<home>/blobs`), which its owner makes at its start (`collect`)."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        #: The folders whose entries are known to be durable. A process that died may have left others unsynced.
        self._synced: set[Path] = set()

    def incoming(self, instance: str) -> Path:
        """Return the folder into which one writer puts its files, made where it is missing."""
        if not is_name(instance.lower()):
            raise ValueError(f"{instance!r} is not the name of an instance")
        folder = self.root / "incoming" / instance
        for made in (self.root, folder.parent, folder):
            made.mkdir(mode=0o700, exist_ok=True)
        return folder

    def offer(self, instance: str, content: bytes) -> str:
        """Put content into a writer's incoming folder and return its SHA-256, by which an event may now name it."""
        return BlobFiles(self.root, self.incoming(instance).name).put(content)

    def admit(self, instance: str, payload: str) -> None:
        """Make every blob that a payload names durable in the store, before the event itself is appended.

        Raises BlobMissing, BlobDamaged or BlobNotStored, and then the event must not be appended.
        """
        for sha256 in sorted(blobs_named(payload)):
            place = self._place(sha256)
            try:
                if not place.exists():
                    self._take_in(instance, sha256)
                else:
                    # A value that is passed on is offered by everybody who passes it on.
                    with contextlib.suppress(OSError):
                        (self.root / "incoming" / instance / sha256).unlink()
                for folder in (place.parent, self.root, self.root.parent):
                    if folder not in self._synced:
                        storage.sync_folder(folder)
                        self._synced.add(folder)
            except OSError as error:
                raise BlobNotStored(sha256, str(place), error.strerror or str(error)) from error

    def path(self, sha256: str) -> Path:
        """Return the file of a stored blob; raises BlobMissing."""
        place = self._place(sha256)
        if not place.exists():
            raise BlobMissing(sha256, str(self.root))
        return place

    def read(self, sha256: str) -> bytes:
        """Return a stored blob's content, checked against its name; raises BlobMissing or BlobDamaged."""
        place = self.path(sha256)
        try:
            content = place.read_bytes()
        except OSError as error:
            raise BlobDamaged(sha256, str(place), f"cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BlobDamaged(sha256, str(place), OTHER_CONTENT)
        return content

    def check(self, sha256: str) -> None:
        """Raise BlobMissing or BlobDamaged unless a blob is stored whole; reads it piece by piece."""
        place = self.path(sha256)
        try:
            with place.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise BlobDamaged(sha256, str(place), f"cannot be read: {error.strerror}") from error
        if found != sha256:
            raise BlobDamaged(sha256, str(place), OTHER_CONTENT)

    def free(self, sha256: str) -> int:
        """Remove a stored blob that no event names any more, and return its size. Only for the log's owner.

        0 where it isn't there, or can't be removed: `collect` tries again.
        """
        place = self._place(sha256)
        try:
            size = place.stat().st_size
            place.unlink()
        except OSError:
            return 0
        return size

    def stored(self) -> Iterator[Path]:
        """Yield the file of each stored blob."""
        yield from self.root.glob("[0-9a-f][0-9a-f]/*")

    def collect(self, named: Collection[str], now_s: float) -> int:
        """Remove what no remaining event names and is older than a day, offered files included; return how many.

        `named` is what the log names (`names_of`), `now_s` seconds since the epoch. Only for the log's owner, at start.
        What cannot be removed stays: it costs space, and is no reason not to start.
        """
        self.root.mkdir(mode=0o700, exist_ok=True)
        removed = 0
        incoming = self.root / "incoming"
        for file in [*self.stored(), *incoming.glob("*/*"), *incoming.glob("*")]:
            if file.name in named and file.parent.name == file.name[:2]:
                continue
            with contextlib.suppress(OSError):
                # The time of admission: the file's own time is its writer's to set.
                status = file.lstat()
                if now_s - status.st_ctime <= COLLECT_AFTER_S:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    # An instance's folder, which goes once it is empty.
                    file.rmdir()
                else:
                    file.unlink()
                    removed += 1
        return removed

    def _place(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256

    def _take_in(self, instance: str, sha256: str) -> None:
        """Move an offered file into the store, hashed and synced; raises BlobMissing, BlobDamaged or OSError."""
        offered = self.incoming(instance) / sha256
        try:
            # The writer isn't trusted: no link to elsewhere, no device or pipe that would block.
            fd = os.open(offered, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise BlobMissing(sha256, str(offered.parent)) from error
        except OSError as error:
            raise BlobDamaged(sha256, str(offered), f"cannot be opened: {error.strerror}") from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise BlobDamaged(sha256, str(offered), "is not a regular file")
            if status.st_nlink != 1:
                raise BlobDamaged(sha256, str(offered), "has a second name, under which it could be changed")
            digest = hashlib.sha256()
            while piece := os.read(fd, _PIECE):
                digest.update(piece)
            if digest.hexdigest() != sha256:
                raise BlobDamaged(sha256, str(offered), OTHER_CONTENT)
            os.fchmod(fd, 0o400)
            try:
                os.fsync(fd)
            except OSError:
                # Nobody knows what the disk holds, and a second sync would find nothing to do: offer it anew.
                offered.unlink()
                raise
            self._settle(offered, self._place(sha256), status)
        finally:
            os.close(fd)

    def _settle(self, offered: Path, place: Path, status: os.stat_result) -> None:
        """Rename an offered file to its place, and make sure that it is the one that was hashed."""
        if not place.parent.exists():
            place.parent.mkdir(mode=0o700)
            self._synced.discard(self.root)
        self._synced.discard(place.parent)
        offered.rename(place)
        if not os.path.samestat(place.lstat(), status):
            place.unlink()
            raise BlobDamaged(place.name, str(offered), "was replaced by another file meanwhile")


def names_of(connection: sqlite.Connection, _: None = None) -> set[str]:
    """Return every blob that a remaining event of the log names; a question for `LogReader.ask`."""
    return {row[0] for row in connection.execute("SELECT DISTINCT blob FROM blob_names").fetchall()}
