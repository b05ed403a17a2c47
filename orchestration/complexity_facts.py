"""Plain facts that complexity is judged by: explicit edits, what a repository says, and single signals. Pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec


class EditFact(msgspec.Struct, frozen=True):
    """One explicit edit that an issue gives: its file ("" where none is named), and how many lines it changes.

    `old` and `new` are set where both are names and no file is (a renaming); `everywhere` tells that all occurrences
    are meant.
    """

    path: str
    lines: int
    line: int = 0
    old: str = ""
    new: str = ""
    everywhere: bool = False


class RepositoryFacts(msgspec.Struct, frozen=True):
    """What a repository says about an issue: its files, and for names of the issue which files use and define them."""

    files: frozenset[str]
    uses: Mapping[str, tuple[str, ...]] = {}
    definitions: Mapping[str, tuple[str, ...]] = {}


class Signal(msgspec.Struct, frozen=True):
    """One thing found, in words, and how many places (files) it adds to what has to change."""

    name: str
    text: str
    places: float


def counted(number: int, what: str, plural: str = "") -> str:
    """Return a number with its noun."""
    return f"{number} {what if number == 1 else plural or what + 's'}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return the first names of several, and how many more there are."""
    shown = ", ".join(name if len(name) <= 60 else name[:57] + "..." for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
