"""What all engines do at the end: one commit of what has become of the files, and the words of its message.

Owns the check of a tree that a model or a foreign program has made. Keeps: what goes on to be tested and published is
one commit on the task's origin, with no link out of the repository, no submodule, nothing beyond what the task may
change, no file that no longer parses, and not without bounds.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..edit import Edit, unsafe_path
from ..tools.bench import LEAVINGS
from ..workspace import Workspace
from .engine import FixResult, FixTask

#: A change beyond these bounds is looked at by nobody, so it isn't made.
FILE_BYTES_MAX = 20 << 20
FILES_MAX = 2000
#: By how much the workspace may grow before it isn't even committed.
GROWTH_BYTES_MAX = 512 << 20
#: Files of coding programs' own, which no change is about.
_TRACES = (*LEAVINGS, ".aider*", ".claude/settings.local.json", "nohup.out", "core.[0-9]*")


class Changed(msgspec.Struct, frozen=True):
    """One path that differs between two commits: its modes (000000 for none) and the new content's id."""

    path: str
    old_mode: str
    mode: str
    old_blob: str
    blob: str


def finish(
    task: FixTask, workspace: Workspace, run: str, time_s: int, *, title: str, made_by: str, engine: str
) -> FixResult:
    """Commit the workspace's files as one commit on the task's origin, and judge it; no change is a failure.

    `made_by` says in the commit's message who made the change. The workspace may have commits since the origin: only
    its files count.
    """
    before = workspace.commit
    message = "\n".join([title, "", made_by, "", *trailers(task.issue.name, run), f"Twelvefold-Engine: {engine}"])
    commit = workspace.record(message, time_s, leave=_TRACES)
    found = changes(workspace, task.origin, workspace.commit)
    if not found:
        return FixResult(outcome="failed", reason="no_change", message="no file is different from what it was")
    if problem := wrong_change(task, workspace):
        return problem
    if commit is None or before != task.origin:
        commit = workspace.recommit(task.origin, message, time_s)
    return FixResult(
        outcome="succeeded",
        commit=commit,
        files_changed=workspace.changed(task.origin, commit),
        edits=[{"path": shown(one.path), "lines": []} for one in found],
    )


def changes(workspace: Workspace, old: str, new: str) -> list[Changed]:
    """Return what differs between two commits of the run's store."""
    command = ("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", old, new)
    fields = workspace.git.run(*command, git_dir=workspace.store.git_dir).out.split(b"\0")
    found = []
    for facts, name in zip(fields[0::2], fields[1::2], strict=False):
        old_mode, mode, old_blob, blob, _ = facts.decode().lstrip(":").split(" ", 4)
        found.append(Changed(os.fsdecode(name), old_mode, mode, old_blob, blob))
    return found


def wrong_change(task: FixTask, workspace: Workspace) -> FixResult | None:
    """Return why what differs between the task's origin and the workspace's last commit may not go on, or None."""
    found = changes(workspace, task.origin, workspace.commit)
    if len(found) > FILES_MAX:
        return _failed("too_many_files", f"{len(found)} files were changed, more than {FILES_MAX}", [])
    if task.files and (beyond := [one.path for one in found if one.path not in task.files]):
        return _failed("out_of_scope", f"files were changed that are not the task's: {', '.join(beyond[:10])}", beyond)
    there = [one for one in found if one.mode != "000000"]
    for one in there:
        if problem := _unsafe(one, workspace):
            return _failed("unsafe_change", f"{one.path!r} {problem}", [one.path])
    sizes = _sizes(workspace, [one.blob for one in there])
    if large := [one.path for one, size in zip(there, sizes, strict=True) if size > FILE_BYTES_MAX]:
        return _failed("file_too_large", f"{large[0]} has more than {FILE_BYTES_MAX >> 20} MiB", large)
    for one in there:
        if one.old_mode.startswith("100") and one.mode.startswith("100") and (why := _broken(one, workspace)):
            return _failed("syntax_broken", why, [one.path])
    return None


def _unsafe(one: Changed, workspace: Workspace) -> str | None:
    if problem := unsafe_path(one.path):
        return problem
    if one.mode == "160000":
        return "has become a submodule"
    if one.mode != "120000":
        return None
    target = os.fsdecode(_content(workspace, one.blob))
    reached = posixpath.normpath(posixpath.join(posixpath.dirname(one.path), target))
    if target.startswith("/") or reached.split("/")[0] in ("..", ".git"):
        return f"is a link to {target!r}, out of the repository"
    return None


def _broken(one: Changed, workspace: Workspace) -> str | None:
    from ..tools.syntax import broken_by

    return broken_by(one.path, _content(workspace, one.old_blob), _content(workspace, one.blob))


def _content(workspace: Workspace, blob: str) -> bytes:
    return workspace.git.run("cat-file", "blob", blob, git_dir=workspace.store.git_dir).out


def _sizes(workspace: Workspace, blobs: Sequence[str]) -> list[int]:
    given = "".join(f"{blob}\n" for blob in blobs).encode()
    command = ("cat-file", "--batch-check=%(objectsize)")
    out = workspace.git.run(*command, git_dir=workspace.store.git_dir, stdin=given).out if blobs else b""
    return [int(line) for line in out.split()]


def _failed(reason: str, message: str, paths: Sequence[str]) -> FixResult:
    facts = [{"path": shown(path), "message": shown(message)} for path in paths[:50]]
    return FixResult(outcome="failed", reason=reason, message=shown(message), failures=facts)


def shown(path: str) -> str:
    """Return a path as text: bytes that aren't UTF-8 are written as `\\xff`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def disk_usage(folder: Path) -> int:
    """Return how many bytes the files in a folder take, links not followed; what goes away meanwhile doesn't count."""
    total = 0
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total


def issue_hash(task: FixTask) -> str:
    """Return what tells the text of a task's issue from any other, for the key of an effect."""
    return hashlib.sha256(task.issue.text.encode("utf-8", "surrogatepass")).hexdigest()


def commit_message(title: str, name: str, run: str, edits: Sequence[Edit]) -> str:
    """Return the message of the commit: the issue's title, the files, and trailers that lead back to issue and run."""
    paths = list(dict.fromkeys(path for edit in edits for path in (edit.path, edit.to) if path))
    count = f"{len(edits)} edit{'s' if len(edits) > 1 else ''}, as stated in the issue:"
    listed = [f"- {path}" for path in paths[:50]] + ([f"- and {len(paths) - 50} more files"] if len(paths) > 50 else [])
    return "\n".join([title, "", count, *listed, "", *trailers(name, run)])


def trailers(name: str, run: str) -> list[str]:
    """Return the trailers of a commit's message that lead back to the issue and the run."""
    issue = [f"Twelvefold-Issue: {' '.join(name.split())}"] if name.strip() else []
    return [*issue, f"Twelvefold-Run: {run}"]
