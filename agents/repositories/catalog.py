"""Which repositories there are: those side by side, those of TWELVEFOLD_REPOS and those that `repos.toml` places.

Owns their names. Keeps: a name means one repository, or it is an error to have it twice; a repository that was given a
name by somebody is not listed under its folder's name as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..repository_errors import RepositoryNameTaken, RepositoryUnknown
from .rules import RepositoryRules, named_folder


class Sister(msgspec.Struct, frozen=True):
    """One repository by its name; `path` is absolute, and needn't exist where somebody has only named it."""

    name: str
    path: Path


def sisters(folder: Path, repos: Sequence[str], rules: RepositoryRules) -> list[Sister]:
    """List the repositories in a folder, those of `repos` (`dir` or `name=dir`) and those with a path in the rules.

    Raises RepositoryNameTaken.
    """
    found: dict[Path, str] = {}
    named: dict[str, Path] = {}

    def take(name: str, path: Path) -> None:
        other = named.setdefault(name, path)
        if other.resolve() != path.resolve():
            raise RepositoryNameTaken(name, (str(other), str(path)))
        found[path.resolve()] = name

    for entry in rules.entries:
        if entry.path is not None:
            take(entry.name, entry.path)
    for text in repos:
        name, path = named_folder(text)
        if path.resolve() not in found or "=" in text:
            take(name, path.absolute())
    for path in _side_by_side(folder):
        if path.resolve() not in found:
            take(path.name, path)
    return sorted((Sister(name, path) for name, path in named.items()), key=lambda one: one.name)


def find_sister(word: str, known: Sequence[Sister], cwd: Path) -> Path:
    """Return the folder that a word of a user means: a name that is known, else a path; raises RepositoryUnknown.

    A folder that is there comes before a name, as everywhere on a command line, unless it is no repository.
    """
    path = cwd / Path(word).expanduser()
    by_name = {one.name: one.path for one in known}
    if path.is_dir() and (is_repository(path) or word not in by_name):
        return path
    if word in by_name:
        return by_name[word]
    if "/" in word or word.startswith((".", "~")):
        return path  # what is wrong with a path is told by who looks at it
    raise RepositoryUnknown(word, tuple(by_name))


def is_repository(folder: Path) -> bool:
    """Tell whether a folder looks like a repository's working tree, or like a bare repository."""
    bare = all((folder / part).exists() for part in ("HEAD", "objects", "refs"))
    return (folder / ".git").exists() or bare


def _side_by_side(folder: Path) -> list[Path]:
    try:
        found = [child for child in sorted(folder.iterdir()) if child.is_dir() and is_repository(child)]
    except OSError:
        return []  # nothing can be seen there
    return [folder, *found] if (folder / ".git").exists() else found
