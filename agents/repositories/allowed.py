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
