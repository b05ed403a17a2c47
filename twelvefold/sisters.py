"""The sister repositories of a project, as a user meets them: by name, how each stands, what is permitted in it.

Owns putting together what the settings name, what lies side by side and what `repos.toml` says, and the refusal of a
job before it starts. How a repository stands is asked of `agents`, where looking changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from .agents.git import Git
from .agents.repositories.allowed import may_do_job
from .agents.repositories.catalog import Sister, find_sister, sisters
from .agents.repositories.rules import Permissions, RepositoryRules, read_rules
from .agents.repositories.standing import standing
from .agents.test_runner import find_test_commands, is_wanted
from .home import sisters_folder
from .settings import Settings

_FILE_BYTES_MAX = 512 * 1024
_LOOKS_AT_ONCE = 4


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """One sister. `branch` is None on a detached HEAD, `clean` None where nobody could tell; `problem` says why.

    `remarks` are sentences on what else to know: submodules, files of LFS, a shallow history, a branch left behind.
    """

    name: str
    path: str
    branch: str | None = None
    commit: str | None = None
    clean: bool | None = None
    runner: str | None = None
    permissions: Permissions
    problem: str | None = None
    remarks: list[str] = []


def rules_of(settings: Settings) -> RepositoryRules:
    """Return what is permitted in repositories; raises RepositoryRulesInvalid."""
    return read_rules(settings.repos_file, settings.repos)


def known_sisters(settings: Settings, cwd: Path) -> list[Sister]:
    """Return the sisters by name without looking into them; raises RepositoryNameTaken, RepositoryRulesInvalid."""
    return sisters(sisters_folder(cwd), settings.repos, rules_of(settings))


def sister_repositories(settings: Settings, cwd: Path) -> list[Repository]:
    """Return all sisters and how each stands, by name; raises RepositoryNameTaken, RepositoryRulesInvalid."""
    rules = rules_of(settings)
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as looking:
        return list(looking.map(lambda one: look_at(one, rules), known_sisters(settings, cwd)))


def look_at(sister: Sister, rules: RepositoryRules) -> Repository:
    """Tell what can be seen of one repository; into one that may not be read nobody looks."""
    permissions = rules.of(sister.path)
    facts: dict[str, Any] = {"name": sister.name, "path": str(sister.path), "permissions": permissions}
    if not permissions.read:
        return Repository(**facts, problem=f"reading it is not permitted by {rules.file}")
    found = standing(sister.path)
    if found.problem is not None:
        return Repository(**facts, branch=found.branch, clean=found.clean, problem=found.problem)
    return Repository(
        **facts,
        branch=found.branch,
        commit=found.commit,
        clean=found.clean,
        runner=_runner(Path(found.path)),
        remarks=found.remarks,
    )


def chosen(words: Sequence[str], settings: Settings, cwd: Path) -> list[Path]:
    """Return the folders that `--repo` options mean, each a path or a sister's name; raises RepositoryUnknown."""
    known = known_sisters(settings, cwd)
    return [find_sister(word, known, cwd) for word in words]


def require_job(settings: Settings, repo: Path, *, test_command: str | None = None, untested: bool = False) -> None:
    """Raise RepositoryForbidden unless a job may read a repository, publish into it, and run its tests."""
    may_do_job(rules_of(settings), repo, test_command, untested=untested)


def _runner(path: Path) -> str | None:
    """Return the tool that runs the repository's tests, or None where its files show none."""
    names = Git().run("ls-files", "-z", at=path).out.decode("utf-8", "surrogateescape").split("\0")[:-1]
    contents = {name: text for name in names if is_wanted(name) and (text := _text(path / name)) is not None}
    commands = find_test_commands(names, contents)
    return commands[0].kind if commands else None


def _text(file: Path) -> str | None:
    """Return a file's text, or None for what is no plain file, too large to be read for this, or gone."""
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > _FILE_BYTES_MAX:
            return None
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
