"""The tool `git_commit`, and the history that it makes of a task's snapshots.

Each effect that changed files leaves a snapshot, a commit that records how they were. Owns what becomes of those: a
commit with a message replaces all snapshots since the last such commit, so that a branch holds what was meant to be
kept. Keeps: which commits are snapshots stands in the commits themselves, so that a later delivery of the task knows.
"""

from __future__ import annotations

import time
from typing import Annotated

from msgspec import Meta, Struct

from ..response import ToolResponse
from ..workspace import Workspace
from .bench import SNAPSHOT, WorkspaceTool

#: So many snapshots are looked back over.
_DEPTH_MAX = 100_000


class CommitParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is said of the changes."""

    message: Annotated[
        str,
        Meta(min_length=1, max_length=20_000, pattern=r"\S", description="A title, an empty line, and what matters"),
    ]


class GitCommit(WorkspaceTool):
    """Commit all changes since the last commit under a message. The commit lies in the run's store; no branch of the
    user's changes."""

    title = "git_commit"
    effect = "idempotent"
    parameters = CommitParameters

    def perform(self, given: CommitParameters) -> ToolResponse:
        """Answer with the commit and the files that it changed."""
        self.bench.record()
        made = commit_work(self.bench.workspace, given.message, int(time.time()))
        if made is None:
            return ToolResponse.nothing_to_do("no_change", "nothing has changed since the last commit")
        commit, parent = made
        files = self.bench.workspace.changed(parent, commit)
        return ToolResponse.succeeded({"commit": commit, "files_changed": files})


def commit_work(workspace: Workspace, message: str, time_s: int) -> tuple[str, str] | None:
    """Commit the workspace's last snapshot under a message, in place of all since the last commit that was none.

    Returns the commit and its parent, None where they would hold the same. Files that changed since the last snapshot
    are not looked at: record them first.
    """
    parent = settled_commit(workspace)
    if not workspace.changed(parent, workspace.commit):
        return None
    return workspace.recommit(parent, _plain(message), time_s), parent


def settled_commit(workspace: Workspace) -> str:
    """Return the last commit of a workspace that is no snapshot."""
    listed = ("log", "-z", "--first-parent", f"--max-count={_DEPTH_MAX}", "--format=%H%x00%B%x00")
    out = workspace.git.run(*listed, workspace.commit, f"^{workspace.start}", git_dir=workspace.store.git_dir).out
    fields = out.decode("utf-8", "replace").split("\0")
    for commit, message in zip(fields[::3], fields[1::3], strict=False):
        if not message.rstrip().rpartition("\n")[2].startswith(SNAPSHOT):
            return commit
    return workspace.start


def _plain(message: str) -> str:
    """Return a message that can't be taken for a snapshot's."""
    lines = message.strip().split("\n")
    return "\n".join(f" {line}" if line.startswith(SNAPSHOT) else line for line in lines)
