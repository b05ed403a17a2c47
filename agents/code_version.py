"""Which code an agent runs: its MODULE:CLASS, and a hash of the sources that were loaded for it.

Owns how the two are written into `task.started` as `my_agents:Echo@1f0c2a9be733`, and read from there. Keeps: the same
sources give the same hash wherever they lie; what is installed (packages of others, and ours but for the agent's own
module) is left out, as `run.started` pins its version.
"""

from __future__ import annotations

import hashlib
import sys
from itertools import islice
from pathlib import Path
from typing import NamedTuple

#: How much of the SHA-256 is written.
_LENGTH = 12
_INSTALLED = ("site-packages", "dist-packages")


class CodeVersion(NamedTuple):
    """A target MODULE:CLASS and the hash of its sources; empty where nobody said."""

    target: str
    hash: str = ""

    def __str__(self) -> str:
        return f"{self.target}@{self.hash}" if self.hash else self.target


def code_version(target: str, cls: type, folder: Path, before: int) -> CodeVersion:
    """Return the version of an agent that was just loaded from `folder`: of its own module, and all it imported there.

    `before` is how many modules there were before. A source that can't be read any more counts by its name alone.
    """
    top = f"{folder.absolute()}/"
    # The newest come first, so that in a process forked from the zygote no module is looked at that all forks share:
    # looking at one copies its page.
    newest = islice(reversed(sys.modules), max(len(sys.modules) - before, 0))
    named = {cls.__module__: _file_of(cls.__module__)}
    named |= {name: file for name in list(newest) if (file := _file_of(name)).startswith(top) and is_own(file)}
    found = hashlib.sha256()
    for name in sorted(named):
        try:
            source = Path(named[name]).read_bytes()
        except OSError:
            source = b""
        found.update(f"{name}\0{len(source)}\0".encode() + source)
    return CodeVersion(target, found.hexdigest()[:_LENGTH])


def read_version(text: object) -> CodeVersion:
    """Read what `task.started` says of the code; anything else is a version of nothing."""
    if not isinstance(text, str) or ":" not in text:
        return CodeVersion("")
    target, _, hash = text.partition("@")
    return CodeVersion(target, hash)


def _file_of(name: str) -> str:
    file = getattr(sys.modules.get(name), "__file__", None)
    return file if isinstance(file, str) else ""


def is_own(file: str) -> bool:
    """Tell whether a source is a project's own, not a package that was installed into a folder of it."""
    return not any(part in file for part in _INSTALLED)
