"""Asking from within a task what is permitted in a repository.

Owns where an agent finds `repos.toml`: the file that TWELVEFOLD_REPOS_FILE names (whoever starts agents sets it), else
beside the home or in it. The file is read anew for each task, so that a change of it needs no restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .rules import RepositoryRules, find_rules, read_rules

if TYPE_CHECKING:
    from ..context import TaskContext


def rules_for(context: TaskContext) -> RepositoryRules:
    """Return the rules that hold for a task; raises RepositoryRulesInvalid."""
    settings = context.settings
    file = settings.repos_file or find_rules(rule_folders(context.places.home))
    return read_rules(file, settings.repos)


def rule_folders(home: Path) -> list[Path]:
    """Return the folders of a home in which its rules may lie: its project's, and itself."""
    return [*([home.parent] if home.name == ".twelvefold" else []), home]


def require(context: TaskContext, repo: Path, action: str, command: Sequence[str] | str | None = None) -> None:
    """Raise RepositoryForbidden unless `action` (read, write, commands) is permitted in the repository at a path."""
    rules_for(context).require(repo, action, command)


def require_job(
    context: TaskContext, repo: Path, test_command: str | None = None, *, untested: bool = False, publish: bool = True
) -> None:
    """Raise RepositoryForbidden unless a whole job may be done in a repository: see `may_do_job`."""
    may_do_job(rules_for(context), repo, test_command, untested=untested, publish=publish)


def may_do_job(
    rules: RepositoryRules, repo: Path, test_command: str | None = None, *, untested: bool = False, publish: bool = True
) -> None:
    """Raise RepositoryForbidden unless rules permit to read a repository, publish into it, and run its tests.

    `untested`: a job may be published untested, so that it can be done where commands are not permitted.
    """
    rules.require(repo, "read")
    if publish:
        rules.require(repo, "write")
    if not untested:
        from ..test_runner import given_command

        command = given_command(test_command) if test_command else None
        rules.require(repo, "commands", None if command is None else command.argv or command.shell)
