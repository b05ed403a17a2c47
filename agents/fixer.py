"""The agent that makes the edits which an issue states, and commits them.

Owns the engine `patch`: parse, match, write, commit, or say truthfully why not. Leaves tests to `testing` and the
branch to `publisher`. Keeps: all edits or none; work starts from the commit that the task names, never from the user's
checkout; and no workspace is left, however the task ends.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from .base import BaseAgent
from .context import TaskContext
from .edits import AlreadyThere, Applied, Edit, EditFailure, apply_edits, unsafe_path
from .git import Git, check_commit
from .issue import Issue, parse_issue
from .issue_statement import Problem
from .journal import HumanAnswer
from .response import Evidence, ToolResponse
from .store import Stores, find_repository
from .workspace import Workspace, Workspaces

#: An issue beyond this many characters is not read.
ISSUE_LENGTH_MAX = 1_000_000
_SHAPES = (
    "Name the file in a heading, such as ### `src/a.py`, and put the old text into a code block after a line `Current:`"
    " and the new one after `Should be:`, or give a diff"
)


class IssueText(msgspec.Struct, frozen=True):
    """An issue as it was read: the name of its file, and its text."""

    name: str
    text: str


class FixTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be fixed: the issue, in the repository at `repo`, from the full commit `base` on."""

    issue: IssueText
    repo: str
    base: str
    engine: str = "patch"


class FixResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an attempt: either a commit, or a reason (a word), sentences and facts."""

    outcome: str
    reason: str = ""
    message: str = ""
    commit: str = ""
    files_changed: list[str] = []
    edits: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []


class IssueFixerAgent(BaseAgent):
    """Makes the explicit edits of an issue in a workspace and commits them to the run's store."""

    workflow_stages = ("read", "edit")

    def execute_task(self, task: dict[str, Any], context: TaskContext) -> ToolResponse:
        """Answer with `{repo, base, commit, files_changed, edits}`, proved by the commit; or undo such a task."""
        if context.undo:
            return self._undo(context)
        return self._fix(msgspec.convert(task, FixTask), context)

    def _fix(self, task: FixTask, context: TaskContext) -> ToolResponse:
        self.current_stage = "read"
        task = msgspec.structs.replace(task, issue=with_answers(task.issue, context.answers))
        text = task.issue.text
        if task.engine != "patch":
            return ToolResponse.failed("unknown_engine", f"there is no engine {task.engine!r}, only `patch`")
        issue, refusal = read_issue_text(task.issue)
        if issue is None:
            return _answer(refusal, task)
        self.current_stage = "edit"
        time_s = context.record("time_s", lambda: int(time.time()))
        parameters = {
            "issue": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
            "repo": task.repo,
            "base": task.base,
            "time_s": time_s,
        }

        made = FixResult(outcome="")

        def work() -> FixResult:
            nonlocal made
            made = self._work(task, issue, context, time_s)
            return made

        # So that the effect's own event names the commit that holds the files as of then.
        context.attach_workspace(lambda: made.commit or None)
        # Done again after a crash it gives the same commit: same tree, same parent, same recorded time.
        result = context.effect("git", "edit and commit", parameters, work, effect="idempotent", result=FixResult)
        return _answer(result, task)

    def _work(self, task: FixTask, issue: Issue, context: TaskContext, time_s: int) -> FixResult:
        stores = Stores(Git(), context.places.stores)
        repository = find_repository(stores.git, Path(task.repo))
        store = stores.open_run(repository, context.run, check_commit(task.base))
        workspaces = Workspaces(stores, context.places.workspaces, context.emit)
        with workspaces.create(store, context.path, task.base) as workspace:
            files = workspace.files()
            edits, problems = issue.edits(files)
            if problems:
                return incomplete(issue, edits, problems)
            made = edit_files(workspace, edits, files)
            if not isinstance(made, Applied):
                return not_made(made, files)
            message = commit_message(issue, task.issue.name, context.run, edits)
            commit = workspace.record(
                message, time_s, also=[name for name, new in made.contents.items() if new is not None]
            )
            if commit is None:
                return FixResult(outcome="nothing_to_do", reason="no_change", message="the edits change nothing")
            taken = [{"path": path, "lines": lines} for path, lines in made.places]
            changed = workspace.changed(task.base, commit)
            return FixResult(outcome="succeeded", commit=commit, files_changed=changed, edits=taken)

    def _undo(self, context: TaskContext) -> ToolResponse:
        """Remove what the task may have left; its commits stay in the run's store, as the log refers to them."""
        workspaces = Workspaces(Stores(Git(), context.places.stores), context.places.workspaces, context.emit)
        removed = context.effect(
            "git", "remove workspaces", None, lambda: workspaces.remove_all(context.run), effect="idempotent"
        )
        return ToolResponse.succeeded({"removed": removed}, message=f"{len(removed)} workspaces removed")


def with_answers(issue: IssueText, answers: Sequence[HumanAnswer]) -> IssueText:
    """Return the issue as it stands after humans have answered: the last text is read in place of its own."""
    said = [one.answer for one in answers if isinstance(one.answer, str) and one.answer.strip()]
    if not said:
        return issue
    whole = said[-1].lstrip().startswith("# ")
    return IssueText(issue.name, said[-1] if whole else f"# {parse_issue(issue.text, issue.name).title}\n\n{said[-1]}")


def read_issue_text(text: IssueText) -> tuple[Issue | None, FixResult]:
    """Return an issue that asks for edits; or None, and how its text alone ends the work."""
    if not text.text.strip("\ufeff \t\r\n"):
        return None, FixResult(outcome="failed", reason="empty_issue", message=f"the issue {text.name} is empty")
    if len(text.text) > ISSUE_LENGTH_MAX:
        message = f"the issue has more than {ISSUE_LENGTH_MAX} characters"
        return None, FixResult(outcome="failed", reason="issue_too_long", message=message)
    issue = parse_issue(text.text, text.name)
    if issue.over:
        message = f"the issue's status says: {issue.over}"
        return None, FixResult(outcome="nothing_to_do", reason="issue_closed", message=message)
    if not issue.pairs and not issue.problems:
        question = f"The issue “{issue.title}” states no explicit edits, and the engine `patch` makes no others."
        message = f"{question} {_SHAPES}."
        return None, FixResult(outcome="needs_human", reason="no_explicit_edits", message=message)
    return issue, FixResult(outcome="")


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
        edit.path: (workspace.folder / edit.path).read_bytes() for edit in edits if edit.path in files
    }
    made = apply_edits(edits, contents)
    for name, new in made.contents.items() if isinstance(made, Applied) else ():
        target = workspace.folder / name
        if new is None:
            target.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(new)
    return made


def unsafe_edits(edits: list[Edit], files: dict[str, str]) -> list[EditFailure]:
    """Return what of the edits would write where nothing may be written; `files` are the tree's, with their modes."""
    failures = []
    for number, edit in enumerate(edits, 1):
        problem = unsafe_path(edit.path)
        if not problem and files.get(edit.path) in ("120000", "160000"):
            problem = f"is a {'symbolic link' if files[edit.path] == '120000' else 'submodule'}"
        parts = edit.path.split("/")
        if not problem and any("/".join(parts[:n]) in files for n in range(1, len(parts))):
            problem = "lies below something that is not a folder"
        if problem:
            message = f"{edit.path!r} {problem}"
            failure = EditFailure(reason="unsafe_path", edit=number, path=edit.path, line=edit.line, message=message)
            failures.append(failure)
    return failures


def _namesakes(failure: EditFailure, files: dict[str, str]) -> str:
    """Say where files of the same name are, for a person to look at, where the one that was named is missing."""
    name = failure.path.rsplit("/", 1)[-1]
    found = [path for path in files if path.rsplit("/", 1)[-1] == name] if failure.reason == "file_missing" else []
    return f" (did it mean {' or '.join(sorted(found)[:3])}?)" if found else ""


def commit_message(issue: Issue, name: str, run: str, edits: list[Edit]) -> str:
    """Return the message of the commit: the issue's title, the files, and trailers that lead back to issue and run."""
    paths = list(dict.fromkeys(edit.path for edit in edits))
    count = f"{len(edits)} edit{'s' if len(edits) > 1 else ''}, as stated in the issue:"
    listed = [f"- {path}" for path in paths[:50]] + ([f"- and {len(paths) - 50} more files"] if len(paths) > 50 else [])
    trailers = [f"Twelvefold-Issue: {' '.join(name.split())}"] if name.strip() else []
    trailers.append(f"Twelvefold-Run: {run}")
    return "\n".join([issue.title, "", count, *listed, "", *trailers])


def incomplete(issue: Issue, edits: list[Edit], problems: list[Problem]) -> FixResult:
    """Return how an issue ends the work that lacks something its edits need."""
    said = "; ".join(f"line {problem.line} {problem.text}" for problem in problems[:10])
    message = f"The issue “{issue.title}” does not say everything that its edits need: {said}. {_SHAPES}."
    facts = [{"line": problem.line, "message": problem.text} for problem in problems]
    found = [{"path": edit.path, "line": edit.line} for edit in edits]
    return FixResult(outcome="needs_human", reason="edits_incomplete", message=message, edits=found, failures=facts)


def _answer(result: FixResult, task: FixTask) -> ToolResponse:
    value = {
        "repo": task.repo,
        "base": task.base,
        "commit": result.commit or None,
        "files_changed": result.files_changed,
        "edits": result.edits,
    }
    if result.outcome == "succeeded":
        count = len(result.files_changed)
        message = f"{count} file{'s' if count != 1 else ''} changed in {result.commit[:12]}"
        return ToolResponse.succeeded(value, [Evidence("commit", result.commit)], message)
    if result.outcome == "nothing_to_do":
        return ToolResponse.nothing_to_do(result.reason, result.message)
    value["failures"] = result.failures
    if result.outcome == "needs_human":
        return ToolResponse.needs_human(result.reason, result.message, value)
    return ToolResponse(False, data=value, error=result.message, reason=result.reason)
