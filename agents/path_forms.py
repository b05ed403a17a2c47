"""The same name in another Unicode form: `é` as one character, or as `e` with an accent behind it. Pure.

Keeps: a name that is there as it is written is never taken for another one, nor one that two files could be meant by.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

import msgspec

from .issue_paths import Scope
from .issue_statement import Pair


def with_known_names(pair: Pair, files: Collection[str]) -> Pair:
    """Return a pair whose paths are written as the repository with these files writes them, or their folders."""
    if all(path.isascii() for path in (pair.to, *(path for scope in pair.scopes for path in scope.paths))):
        return pair
    known = _known(files)
    scopes = [Scope([_as_known(path, known) for path in scope.paths], scope.line) for scope in pair.scopes]
    return msgspec.structs.replace(pair, scopes=scopes, to=_as_known(pair.to, known))


def _known(files: Collection[str]) -> dict[str, set[str]]:
    """Return how each file, and each folder with one in it, is written, by its composed form; ASCII is left out."""
    found: dict[str, set[str]] = {}
    for file in files:
        parts = [] if file.isascii() else file.split("/")
        for n in range(1, len(parts) + 1):
            name = "/".join(parts[:n])
            found.setdefault(unicodedata.normalize("NFC", name), set()).add(name)
    return found


def _as_known(path: str, known: dict[str, set[str]]) -> str:
    parts = path.split("/")
    for n in range(len(parts), 0, -1):
        written = known.get(unicodedata.normalize("NFC", "/".join(parts[:n])), set())
        if "/".join(parts[:n]) in written:
            return path
        if len(written) == 1:
            return "/".join([*written, *parts[n:]])
        if written:
            return path
    return path
