"""The sister repositories: git repositories that lie side by side, and what can be told of each by looking.

Looking changes nothing: git is called without optional locks and without the programs that a repository's own
configuration could name. Which test runner a repository has is asked of `agents`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from .agents.test_runner import find_test_commands, is_wanted
from .home import sisters_folder

_GIT = (
    "git",
    "--no-optional-locks",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
)
_GIT_TIMEOUT_S = 30
_FILE_BYTES_MAX = 512 * 1024


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """One sister. `branch` is None on a detached HEAD, `clean` None where git could not tell; `problem` says why."""

    name: str
    path: str
    branch: str | None
    commit: str | None
    clean: bool | None
    runner: str | None
    problem: str | None = None


def sister_repositories(project: Path) -> list[Repository]:
    """List the repositories in the folder that holds the one around `project`, by name."""
    folder = sisters_folder(project)
    found = [child for child in sorted(folder.iterdir()) if (child / ".git").exists()]
    if (folder / ".git").exists():
        found.insert(0, folder)
    return [look_at(path) for path in found]


def look_at(path: Path) -> Repository:
    """Tell what can be seen of one repository."""
    answer = _git(path, "status", "--porcelain=v2", "--branch", "--ignore-submodules=all")
    if answer.returncode != 0:
        problem = (answer.stderr.strip().splitlines() or ["git failed"])[0]
        return Repository(
            name=path.name, path=str(path), branch=None, commit=None, clean=None, runner=None, problem=problem
        )
    heads = dict(line[2:].split(" ", 1) for line in answer.stdout.splitlines() if line.startswith("# branch."))
    branch, commit = heads.get("branch.head"), heads.get("branch.oid")
    changed = any(not line.startswith("#") for line in answer.stdout.splitlines())
    return Repository(
        name=path.name,
        path=str(path),
        branch=None if branch == "(detached)" else branch,
        commit=None if commit == "(initial)" else commit,
        clean=not changed,
        runner=_runner(path),
        problem="no commits yet" if commit == "(initial)" else None,
    )


def _runner(path: Path) -> str | None:
    """Return the tool that runs the repository's tests, or None where its files show none."""
    paths = _git(path, "ls-files", "-z").stdout.split("\0")[:-1]
    contents = {name: text for name in paths if is_wanted(name) and (text := _text(path / name)) is not None}
    commands = find_test_commands(paths, contents)
    return commands[0].kind if commands else None


def _text(file: Path) -> str | None:
    """Return a file's text, or None for what is no plain file, too large to be read for this, or gone."""
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > _FILE_BYTES_MAX:
            return None
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _git(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git on a repository; what fails is told by its exit status."""
    return subprocess.run(
        [*_GIT, "-C", str(path), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_GIT_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
