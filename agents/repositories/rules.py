"""What is permitted in each repository: the file `repos.toml`, read and asked.

Owns the file's form, where it is looked for, and which of its entries speaks of a repository. Who asks is the command
line, before work starts, and each agent, before it does the thing. Keeps: a file that cannot be understood permits
nothing; without a file everything is permitted.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from ..repository_errors import RepositoryForbidden, RepositoryRulesInvalid

FILE_NAME = "repos.toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: `{python}` stands for the interpreter that is chosen when tests run.
_PYTHON = re.compile(r"(?:python[0-9.]*|py|\{python\})")


class Permissions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is permitted in one repository.

    `read`: look into it; `write`: publish branches into it; `commands`: run programs on its files, tests included. A
    list of commands permits those that begin with the words of one of its entries.
    """

    read: bool = True
    write: bool = True
    commands: bool | list[str] = True

    def allows_command(self, words: Sequence[str] | str) -> bool:
        """Tell whether a command may be run; a text is one for a shell, which no list of commands permits."""
        if isinstance(self.commands, bool):
            return self.commands
        return not isinstance(words, str) and any(_begins_with(words, entry.split()) for entry in self.commands)


class Entry(msgspec.Struct, frozen=True):
    """One table of `repos.toml`: a repository by its name, and by its path where that is given."""

    name: str
    path: Path | None
    permissions: Permissions


class RepositoryRules(msgspec.Struct, frozen=True):
    """What a `repos.toml` says; `file` is None where there is none. `names` are paths by names given elsewhere."""

    file: Path | None = None
    default: Permissions = Permissions()
    entries: tuple[Entry, ...] = ()
    names: tuple[tuple[str, Path], ...] = ()

    def of(self, path: Path) -> Permissions:
        """Return what is permitted in the repository at a path, its other working trees included."""
        found = self._entry(path)
        return found.permissions if found else self.default

    def require(self, path: Path, action: str, command: Sequence[str] | str | None = None) -> None:
        """Raise RepositoryForbidden unless `action` (read, write, commands) is permitted there.

        `command` is the one that is to be run; without it any command counts.
        """
        permissions = self.of(path)
        if action == "commands":
            given = bool(permissions.commands) if command is None else permissions.allows_command(command)
        else:
            given = bool(getattr(permissions, action))
        if not given:
            shown = command if isinstance(command, str) else " ".join(command or ())
            raise RepositoryForbidden(str(path), action, str(self.file), shown)

    def _entry(self, path: Path) -> Entry | None:
        wanted = _identity(path)
        by_path = [one for one in self.entries if one.path is not None and _identity(one.path) & wanted]
        if by_path:
            return by_path[0]
        given = {name for name, place in self.names if _identity(place) & wanted}
        name = path.resolve().name
        for one in self.entries:
            if one.path is None and (one.name in given or (not given and one.name == name)):
                return one
        return None


def find_rules(places: Iterable[Path]) -> Path | None:
    """Return the first `repos.toml` in these folders, or None."""
    return next((place / FILE_NAME for place in places if os.path.lexists(place / FILE_NAME)), None)


def read_rules(file: Path | None, repos: Sequence[str] = ()) -> RepositoryRules:
    """Read what a file says, None being no file; `repos` are those of TWELVEFOLD_REPOS, which name repositories.

    Raises RepositoryRulesInvalid.
    """
    names = tuple((name, path) for name, path in map(named_folder, repos))
    if file is None:
        return RepositoryRules(names=names)
    try:
        data = tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise RepositoryRulesInvalid(str(file), error.strerror or str(error)) from error
    except ValueError as error:
        raise RepositoryRulesInvalid(str(file), str(error)) from error
    if unknown := sorted(set(data) - {"default", "repos"}):
        raise RepositoryRulesInvalid(str(file), f"there is no table {unknown[0]!r}, only [default] and [repos.NAME]")
    default = _permissions(file, "default", data.get("default", {}), Permissions())
    tables = data.get("repos", {})
    if not isinstance(tables, dict):
        raise RepositoryRulesInvalid(str(file), "`repos` is not a table: write [repos.NAME]")
    entries = tuple(_entry(file, name, table, default) for name, table in tables.items())
    return RepositoryRules(file, default, entries, names)


def named_folder(text: str) -> tuple[str, Path]:
    """Return the name and the folder of `name=dir`, or of a folder, which is called as it is."""
    name, equals, folder = text.partition("=")
    if not equals or "/" in name:
        name, folder = "", text
    path = Path(folder).expanduser()
    return name or path.resolve().name, path


def _entry(file: Path, name: str, table: Any, default: Permissions) -> Entry:
    place = f"repos.{name}"
    if not _NAME.fullmatch(name):
        raise RepositoryRulesInvalid(str(file), f"{name!r} cannot name a repository")
    if not isinstance(table, dict):
        raise RepositoryRulesInvalid(str(file), f"{place} is not a table: write [{place}]")
    given = dict(table)
    path = given.pop("path", None)
    if path is not None and not (isinstance(path, str) and path):
        raise RepositoryRulesInvalid(str(file), f"{place}.path is not a folder's path")
    folder = None if path is None else Path(os.path.normpath(file.absolute().parent / Path(path).expanduser()))
    return Entry(name, folder, _permissions(file, place, given, default))


def _permissions(file: Path, place: str, table: Any, default: Permissions) -> Permissions:
    try:
        given = msgspec.convert({**msgspec.to_builtins(default), **dict(table)}, Permissions)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        problem, _, field = str(error).partition(" - at `$.")
        at = f"{place}.{field.rstrip('`')}" if field else place
        raise RepositoryRulesInvalid(str(file), f"{at}: {problem[:1].lower()}{problem[1:]}") from None
    if isinstance(given.commands, list) and not all(entry.split() for entry in given.commands):
        raise RepositoryRulesInvalid(str(file), f"{place}.commands: an empty command would permit every one")
    return given


def _begins_with(words: Sequence[str], entry: Sequence[str]) -> bool:
    # `python -m pytest` is pytest.
    if len(words) > 2 and words[1] == "-m" and _PYTHON.fullmatch(PurePosixPath(words[0]).name):
        return _same_words(words, entry) or _same_words(words[2:], entry)
    return _same_words(words, entry)


def _same_words(words: Sequence[str], entry: Sequence[str]) -> bool:
    if not words or len(words) < len(entry):
        return False
    program = entry[0] if "/" in entry[0] else PurePosixPath(words[0]).name
    first = words[0] if "/" in entry[0] else entry[0]
    same = program == first or (_PYTHON.fullmatch(program) and first == "python")
    return bool(same) and list(words[1 : len(entry)]) == list(entry[1:])


def _identity(path: Path) -> set[Path]:
    """Return what a repository is told by: its folder, and the git folder that all its working trees share."""
    folder = path.resolve()
    found = {folder}
    own = folder / ".git"
    try:
        if own.is_file():
            link = own.read_text(errors="surrogateescape").removeprefix("gitdir:").strip()
            own = (folder / link).resolve()
            common = own / "commondir"
            if common.is_file():
                own = own / common.read_text(errors="surrogateescape").strip()
        if own.is_dir():
            found.add(own.resolve())
    except OSError:
        return found  # what can't be read is told by its folder alone
    return found
