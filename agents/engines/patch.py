"""The engine `patch`: makes the edits that an issue states itself, and no others; no model, no foreign program.

Owns the way from an issue's edits to changed files and how each way of failing is said. Leaves matching to `edits`.
Keeps: all edits or none; nothing outside of the workspace, inside `.git` or behind a link is written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..context import TaskContext
from ..edits import AlreadyThere, Applied, Edit, EditFailure, apply_edits, named_paths, spread, unsafe_path
from ..git import Git
from ..issue import Issue
from ..issue_statement import Problem
from ..repositories.standing import is_lfs_pointer
from ..workspace import Workspace
from .engine import FixResult, FixTask
from .finish import commit_message, issue_hash

_SHAPES = (
    "Name the file in a heading, such as ### `src/a.py`, and put the old text into a code block after a line `Current:`"
    " and the new one after `Should be:`, or give a diff"
)


class PatchEngine:
    """Makes explicit edits: all of them or none."""

    name = "patch"

    def fix(self, task: FixTask, issue: Issue, workspace: Workspace, context: TaskContext) -> FixResult | None:
        """Make and commit the edits of an issue, as one effect; an issue that states none is not this engine's."""
        if refusal := states_nothing(issue):
            return refusal
        if task.requirement:
            message = "the engine `patch` makes all of an issue's explicit edits, and no part of them"
            return FixResult(outcome="needs_human", reason="part_of_issue", message=message, mine=False)
        time_s = context.record("time_s", lambda: int(time.time()))
        parameters = {"issue": issue_hash(task), "repo": task.repo, "base": task.origin, "time_s": time_s}
        made = FixResult(outcome="")

        def work() -> FixResult:
            nonlocal made
            made = self.work(task, issue, workspace, context, time_s)
            return made

        # So that the effect's own event names the commit that holds the files as of then.
        context.attach_workspace(lambda: made.commit or None)
        # Done again after a crash it gives the same commit: same tree, same parent, same recorded time.
        found: FixResult = context.effect(
            "git", "edit and commit", parameters, work, effect="idempotent", result=FixResult
        )
        return found

    def work(self, task: FixTask, issue: Issue, workspace: Workspace, context: TaskContext, time_s: int) -> FixResult:
        """Make the edits in the workspace and commit them."""
        if workspace.commit != task.origin:
            workspace.reset(task.origin)
        files = workspace.files()
        edits, problems = issue.edits(files)
        if problems:
            return incomplete(issue, edits, problems)
        git, store = workspace.git, workspace.store.git_dir
        edits, unclear = spread(edits, lambda text: holders(git, task.origin, text, files, git_dir=store))
        if unclear:
            return not_made(unclear, files)
        if task.files:  # what is stated for other files is another task's
            edits = [edit for edit in edits if edit.path in task.files]
            if not edits:
                message = f"the issue states no edit in {', '.join(task.files[:5])}"
                return FixResult(outcome="needs_human", reason="no_explicit_edits", message=message, mine=False)
        made = edit_files(workspace, edits, files)
        if not isinstance(made, Applied):
            return not_made(made, files)
        message = commit_message(issue.title, task.issue.name, context.run, edits)
        commit = workspace.record(
            message, time_s, also=[name for name, new in made.contents.items() if new is not None]
        )
        if commit is None:
            return FixResult(outcome="nothing_to_do", reason="no_change", message="the edits change nothing")
        taken = [{"path": path, "lines": lines} for path, lines in made.places]
        changed = workspace.changed(task.origin, commit)
        return FixResult(outcome="succeeded", commit=commit, files_changed=changed, edits=taken)


def holders(
    git: Git, commit: str, text: str, files: Mapping[str, str], *, at: Path | None = None, git_dir: Path | None = None
) -> dict[str, bytes]:
    """Return the content of each file of a commit in which a text stands; `files` are its modes."""
    if not text.strip() or "\n" in text or "\0" in text:
        return {}
    command = ("grep", "-I", "-l", "-z", "--full-name", "-F", "-e", text, commit)
    found = git.run(*command, at=at, git_dir=git_dir, expect=(0, 1)).out.split(b"\0")
    names = [os.fsdecode(name).partition(":")[2] for name in found if name]
    return {
        name: git.run("cat-file", "blob", f"{commit}:{name}", at=at, git_dir=git_dir).out
        for name in names
        if files.get(name) in ("100644", "100755")
    }


def states_nothing(issue: Issue) -> FixResult | None:
    """Return how an issue that states no edit ends where no other engine takes it; None where it states some."""
    if issue.pairs or issue.problems:
        return None
    question = f"The issue “{issue.title}” states no explicit edits, and the engine `patch` makes no others."
    message = f"{question} {_SHAPES}."
    return FixResult(outcome="needs_human", reason="no_explicit_edits", message=message, mine=False)


def not_made(made: AlreadyThere | list[EditFailure], files: dict[str, str]) -> FixResult:
    """Return how edits end the work that had been made before, or can't be."""
    if isinstance(made, AlreadyThere):
        places = ", ".join(made.places[:10])
        message = f"every new text is there already ({places}), and no old one is left"
        return FixResult(outcome="nothing_to_do", reason="already_applied", message=message)
    facts = [msgspec.to_builtins(failure) for failure in made]
    message = "; ".join(failure.message + _namesakes(failure, files) for failure in made[:10])
    return FixResult(outcome="failed", reason=made[0].reason, message=message, failures=facts)


def edit_files(
    workspace: Workspace, edits: list[Edit], files: dict[str, str]
) -> Applied | AlreadyThere | list[EditFailure]:
    """Make edits in a workspace in which no foreign code has run yet; nothing is written unless all can be made.

    `files` are the workspace's, with their modes. Links are not followed, and folders of a new file must be folders.
    """
    if failures := unsafe_edits(edits, files):
        return failures
    contents: dict[str, bytes | None] = {
        path: (workspace.folder / path).read_bytes() for path in named_paths(edits) if path in files
    }
    if failures := _pointers(edits, contents):
        return failures
    made = apply_edits(edits, contents)
    if isinstance(made, Applied):
        _write(workspace.folder, made, files)
    return made


def _write(top: Path, made: Applied, files: dict[str, str]) -> None:
    for name, new in made.contents.items():
        if new is None:
            (top / name).unlink()
    for name, new in made.contents.items():
        if new is None:
            continue
        target = top / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(new)
        if name in made.moved:
            target.chmod(0o755 if files[made.moved[name]] == "100755" else 0o644)


def unsafe_edits(edits: list[Edit], files: dict[str, str]) -> list[EditFailure]:
    """Return what of the edits would write where nothing may be written; `files` are the tree's, with their modes."""
    failures = []
    for number, edit in enumerate(edits, 1):
        for path in filter(None, (edit.path, edit.to)):
            if problem := _unsafe(path, files):
                message = f"{path!r} {problem}"
                failure = EditFailure(reason="unsafe_path", edit=number, path=path, line=edit.line, message=message)
                failures.append(failure)
    return failures


def _pointers(edits: list[Edit], contents: dict[str, bytes | None]) -> list[EditFailure]:
    """Return the edits of files that are only pointers here, as Git LFS keeps their content elsewhere."""
    message = "is kept by Git LFS: here it is only a pointer, and its content can't be edited"
    return [
        EditFailure(reason="unsafe_path", edit=n, path=edit.path, line=edit.line, message=f"{edit.path!r} {message}")
        for n, edit in enumerate(edits, 1)
        if edit.how not in ("move", "delete")
        and edit.new is not None
        and is_lfs_pointer(contents.get(edit.path) or b"")
    ]


def _unsafe(path: str, files: dict[str, str]) -> str | None:
    if problem := unsafe_path(path):
        return problem
    if files.get(path) in ("120000", "160000"):
        return f"is a {'symbolic link' if files[path] == '120000' else 'submodule'}"
    parts = path.split("/")
    above = next((name for n in range(1, len(parts)) if (name := "/".join(parts[:n])) in files), None)
    if above is not None and files[above] == "160000":
        return f"lies in the submodule {above}, whose files are another repository's"
    if above is not None:
        return "lies below something that is not a folder"
    return "is a folder" if any(name.startswith(f"{path}/") for name in files) else None


def _namesakes(failure: EditFailure, files: dict[str, str]) -> str:
    """Say where files of the same name are, for a person to look at, where the one that was named is missing."""
    name = failure.path.rsplit("/", 1)[-1]
    found = [path for path in files if path.rsplit("/", 1)[-1] == name] if failure.reason == "file_missing" else []
    return f" (did it mean {' or '.join(sorted(found)[:3])}?)" if found else ""


def incomplete(issue: Issue, edits: list[Edit], problems: list[Problem]) -> FixResult:
    """Return how an issue ends the work that lacks something its edits need."""
    said = "; ".join(f"line {problem.line} {problem.text}" for problem in problems[:10])
    message = f"The issue “{issue.title}” does not say everything that its edits need: {said}. {_SHAPES}."
    facts = [{"line": problem.line, "message": problem.text} for problem in problems]
    found = [{"path": edit.path, "line": edit.line} for edit in edits]
    return FixResult(
        outcome="needs_human", reason="edits_incomplete", message=message, edits=found, failures=facts, mine=False
    )
