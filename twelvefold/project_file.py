"""A project's own file, `twelvefold.toml`: settings below those of `.env`, and what starts runs by itself.

Owns the file's form. Reads it, and nothing else: what a schedule's time means is `cron`'s, what is started `triggers`'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from .access import opening_command
from .errors import NotAccessible
from .project_errors import ProjectFileInvalid

FILE_NAME = "twelvefold.toml"
_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
#: Which files of a watched folder count, where nothing else is said: issues as people write them.
ISSUE_PATTERNS = ("*.md", "*.markdown", "*.txt", "*.rst")


class Work(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trigger starts: a job on an issue in `repo`, or a plan (of a file, or as it stands), or one agent."""

    repo: str | None = None
    issue: str | None = None
    plan: str | dict[str, Any] | None = None
    agent: str | None = None
    input: Any = None
    engine: str = "auto"
    test_command: str | None = None
    allow_untested: bool = False
    timeout_s: float | None = None
    budget: dict[str, float] = {}


class Schedule(Work, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Work that is started at the times of a cron line, in a time zone."""

    name: str
    cron: str
    time_zone: str = "UTC"


class WatchedFolder(Work, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Work that is started for each new file in a folder: a job on it as an issue, unless there is a plan or agent."""

    name: str
    path: str
    pattern: str | tuple[str, ...] = ISSUE_PATTERNS

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of names, of which one must fit."""
        return (self.pattern,) if isinstance(self.pattern, str) else self.pattern


class ProjectFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a project file says. `path` is where it is; relative paths in it count from its folder."""

    path: Path
    settings: dict[str, str] = {}
    schedules: tuple[Schedule, ...] = ()
    folders: tuple[WatchedFolder, ...] = ()

    @property
    def has_triggers(self) -> bool:
        """Whether something in it starts runs by itself."""
        return bool(self.schedules or self.folders)


def read_project_file(folder: Path) -> ProjectFile:
    """Read the project file of a folder; an empty one where there is none. Raises ProjectFileInvalid, NotAccessible."""
    path = folder / FILE_NAME
    return _checked(path, _parsed(path)) if path.exists() else ProjectFile(path=path)


def _parsed(path: Path) -> dict[str, Any]:
    import tomllib  # most projects have no such file, and each command looks for it

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise NotAccessible(str(path), error.strerror or str(error), opening_command(path)) from error
    except UnicodeDecodeError:
        raise ProjectFileInvalid(str(path), "", "the file is not UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectFileInvalid(str(path), "", f"the file is not TOML: {error}") from None


def project_settings(path: Path) -> dict[str, str]:
    """Return `[settings]` of a project file, and nothing where there is none; whatever else it holds isn't checked."""
    if not path.exists():
        return {}
    return _settings(path, _parsed(path))


def _checked(path: Path, data: Mapping[str, Any]) -> ProjectFile:
    unknown = sorted(set(data) - {"settings", "schedule", "folder"})
    if unknown:
        problem = f"there is no `{unknown[0]}`, only [settings], [[schedule]] and [[folder]]"
        raise ProjectFileInvalid(str(path), unknown[0], problem)
    schedules = tuple(_entry(path, "schedule", n, one, Schedule) for n, one in _entries(path, data, "schedule"))
    folders = tuple(_entry(path, "folder", n, one, WatchedFolder) for n, one in _entries(path, data, "folder"))
    names: set[str] = set()
    for one in (*schedules, *folders):
        place = f"{'schedule' if isinstance(one, Schedule) else 'folder'} {one.name}"
        if problem := _problem(one, names):
            raise ProjectFileInvalid(str(path), place, problem)
        names.add(one.name)
    return ProjectFile(path=path, settings=_settings(path, data), schedules=schedules, folders=folders)


def _entries(path: Path, data: Mapping[str, Any], kind: str) -> list[tuple[int, Any]]:
    given = data.get(kind, [])
    if not isinstance(given, list):
        raise ProjectFileInvalid(str(path), kind, f"it is written [[{kind}]], with two brackets")
    return list(enumerate(given, 1))


def _entry(path: Path, kind: str, number: int, given: Any, cls: type[Any]) -> Any:
    try:
        return msgspec.convert(given, cls)
    except msgspec.ValidationError as error:
        name = given.get("name") if isinstance(given, dict) else None
        problem = str(error).replace("Object", "it").replace(" - at `$`", "")
        raise ProjectFileInvalid(str(path), f"{kind} {name or number}", problem) from None


def _problem(one: Schedule | WatchedFolder, names: set[str]) -> str:
    """Return what is wrong with an entry, "" for nothing."""
    from .cron import cron_problem

    if not _NAME.fullmatch(one.name):
        return "its name must be 1 to 64 of a-z, 0-9, _ and -, and not begin with a hyphen"
    if one.name in names:
        return "two entries have this name"
    given = [name for name in ("plan", "agent", "issue") if getattr(one, name) is not None]
    if len(given) > 1:
        return f"`{given[0]}` and `{given[1]}` are two things to do, choose one"
    if isinstance(one, Schedule):
        if not given:
            return "it lacks what is to be done: `plan`, `agent`, or `issue`"
        if problem := cron_problem(one.cron, one.time_zone):
            return problem
    elif one.issue is not None or not one.patterns or not all(one.patterns):
        return "`pattern` is empty" if one.issue is None else "the files in it are the issues: `issue` has no meaning"
    if not (one.plan is not None or one.agent is not None) and one.repo is None:
        return "it lacks `repo`, the repository that the issue is about"
    return ""


def _settings(path: Path, data: Mapping[str, Any]) -> dict[str, str]:
    """Return `[settings]` as texts, as an environment has them."""
    given = data.get("settings", {})
    if not isinstance(given, dict):
        raise ProjectFileInvalid(str(path), "settings", "it is written [settings], with single brackets")
    found: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, bool):
            found[name] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            found[name] = str(value)
        else:
            problem = "a setting is a text, a number, true or false"
            raise ProjectFileInvalid(str(path), f"settings.{name}", problem)
    return found
