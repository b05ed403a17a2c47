"""The tools with which an agent works in a workspace: read, search, edit, git, commands, tests.

Owns which tools there are; each family is a module of its own, imported when tools are asked for. Keeps: whatever a
model asks for, nothing outside of the workspace is written, and each call is an effect of its task.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .rules import CommandRules

if TYPE_CHECKING:
    from ..context import TaskContext
    from ..tool import Tool
    from ..workspace import Workspace


def workspace_tools(
    workspace: Workspace,
    context: TaskContext,
    *,
    commands: CommandRules | None = None,
    test_command: str | None = None,
    repo: Path | None = None,
    name: str = "",
) -> list[Tool]:
    """Return the tools for a workspace, whose files are committed after each effect of the task that changed them.

    `commands` are the rules for `run_command`; `test_command` is what `run_tests` runs in place of what the
    repository's files ask for; `repo` the user's repository (the workspace's own unless given). `name` tells several
    workspaces of one task apart, as in `context.workspace`. Call the tools through `context.call`, which records each.
    """
    from .bench import Bench
    from .commands import RunCommand
    from .committing import GitCommit
    from .diffs import ApplyDiff
    from .editing import DeleteFile, EditFile, EditFiles, MoveFile, WriteFile
    from .history import GitBlame, GitDiff, GitLog, GitShow
    from .reading import ListFiles, ReadFile
    from .search import SearchFiles
    from .testing import RunTests

    bench = Bench(workspace, context, repo)
    context.attach_workspace(bench.snapshot, name)
    reading = [ReadFile(bench), ListFiles(bench), SearchFiles(bench)]
    editing = [
        EditFile(bench),
        EditFiles(bench),
        WriteFile(bench),
        ApplyDiff(bench),
        MoveFile(bench),
        DeleteFile(bench),
    ]
    history = [GitLog(bench), GitBlame(bench), GitDiff(bench), GitShow(bench), GitCommit(bench)]
    return [*reading, *editing, *history, RunCommand(bench, commands or CommandRules()), RunTests(bench, test_command)]
