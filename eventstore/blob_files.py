"""The folder of blobs as its writers and readers see it: offering one, and reading one, without a log and SQLite.

What makes an offered blob durable is its owner's (`blobs`, in the bus), which does it before it appends the event that
names it. A reader finds a blob that an event names, and a writer also finds its own that no event names yet.
"""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

from .errors import TwelvefoldError
from .large_values import LOADED_BYTES_MAX, inflate
from .storage_errors import BlobDamaged, BlobMissing

OTHER_CONTENT = "has other content than its name says"


class BlobFiles:
    """The blobs under `root` (`<home>/blobs`) for one `instance` (as it says hello to the bus); for any thread.

    Without an instance they can only be read.
    """

    def __init__(self, root: Path, instance: str = "") -> None:
        self.root = root
        self.instance = instance
        #: What was offered last by this very process: only of that it is known that it is whole.
        self._last = ""

    def put(self, content: bytes) -> str:
        """Offer bytes to the bus and return their SHA-256, by which an event may now name them; raises OSError."""
        sha256 = hashlib.sha256(content).hexdigest()
        folder = self.root / "incoming" / self.instance
        if sha256 == self._last and (folder / sha256).exists():
            return sha256  # the same value for many tasks
        for made in (self.root, folder.parent, folder):
            made.mkdir(mode=0o700, parents=made is self.root, exist_ok=True)
        draft = folder / f"{sha256}.{os.getpid()}.{threading.get_ident()}"
        try:
            draft.write_bytes(content)
            draft.rename(folder / sha256)
        except OSError:
            draft.unlink(missing_ok=True)  # half of it would take the space that is lacking
            raise
        self._last = sha256
        return sha256

    def get(self, sha256: str, bytes_max: int | None = None) -> bytes:
        """Return a blob, checked against its name; raises BlobMissing or BlobDamaged.

        More than `bytes_max` bytes are not read, and count as damage: nothing that an event names has them.
        """
        # In this order, as the bus moves a blob from the first place to the second.
        places = [self.root / "incoming" / self.instance / sha256] if self.instance else []
        for place in (*places, self.root / sha256[:2] / sha256):
            try:
                if bytes_max is not None and place.stat().st_size > bytes_max:
                    raise BlobDamaged(sha256, str(place), f"is larger than {bytes_max} bytes")
                content = place.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise BlobDamaged(sha256, str(place), f"cannot be read: {error.strerror}") from error
            if hashlib.sha256(content).hexdigest() == sha256:
                return content
            if place.parent.parent == self.root:
                raise BlobDamaged(sha256, str(place), OTHER_CONTENT)
        raise BlobMissing(sha256, str(self.root))

    def load(self, value: Any) -> Any:
        """Return JSON-like data with what is held as blobs in it, up to LOADED_BYTES_MAX; else the reference stays."""
        return inflate(value, self._found)

    def _found(self, sha256: str) -> bytes | None:
        try:
            return self.get(sha256, LOADED_BYTES_MAX)
        except TwelvefoldError:
            return None  # whoever meets the reference says so
