"""The agent that has an issue fixed by an engine, and answers with the commit.

Owns what is asked before an engine is chosen, and how its result becomes an answer; `engines` own the ways of fixing.
Leaves tests to `testing` and the branch to `publisher`. Keeps: work starts from the commit that the task names, never
from the user's checkout; no workspace is left, however the task ends; and no success without a commit. Work beside
explicit edits that can't be done is answered by `nothing_to_do: not_done`, so that the edits stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from .base import BaseAgent
from .context import TaskContext
from .engines.auto import fix_with
from .engines.engine import FixResult, FixTask, IssueText
from .engines.task_workspace import remove_workspace, task_workspace
from .git import Git
from .issue import Issue, parse_issue
from .journal import HumanAnswer
from .response import Evidence, ToolResponse
from .store import Stores
from .workspace import Workspaces

#: An issue beyond this many characters is not read.
ISSUE_LENGTH_MAX = 1_000_000
#: The reason of a task that did nothing as it couldn't, where what was done before it stands without it.
NOT_DONE = "not_done"


class IssueFixerAgent(BaseAgent):
    """Has an issue fixed in a workspace by an engine, and leaves the commit in the run's store."""

    workflow_stages = ("read", "edit")

    def execute_task(self, task: dict[str, Any], context: TaskContext) -> ToolResponse:
        """Answer with `{repo, base, commit, files_changed, edits, engine, tried}`, proved by the commit; or undo it."""
        if context.undo:
            return self._undo(context)
        return self._fix(msgspec.convert(task, FixTask), context)

    def _fix(self, task: FixTask, context: TaskContext) -> ToolResponse:
        self.current_stage = "read"
        task = msgspec.structs.replace(task, issue=with_answers(task.issue, context.answers))
        issue, refusal = read_issue_text(task.issue)
        if issue is None:
            return _answer(refusal, task)
        if task.beside and None in task.needs:
            message = "what it goes on with was not done"
            return _answer(FixResult(outcome="failed", reason="part_not_done", message=message), task)
        self.current_stage = "edit"
        workspace = task_workspace(task, context)
        try:
            return _answer(fix_with(task, issue, context, workspace), task)
        finally:
            remove_workspace(workspace, context)

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
    """Return an issue that asks for something; or None, and how its text alone ends the work."""
    if not text.text.strip("\ufeff \t\r\n"):
        return None, FixResult(outcome="failed", reason="empty_issue", message=f"the issue {text.name} is empty")
    if len(text.text) > ISSUE_LENGTH_MAX:
        message = f"the issue has more than {ISSUE_LENGTH_MAX} characters"
        return None, FixResult(outcome="failed", reason="issue_too_long", message=message)
    issue = parse_issue(text.text, text.name)
    if issue.over:
        message = f"the issue's status says: {issue.over}"
        return None, FixResult(outcome="nothing_to_do", reason="issue_closed", message=message)
    return issue, FixResult(outcome="")


def _answer(result: FixResult, task: FixTask) -> ToolResponse:
    value = {
        "repo": task.repo,
        "base": task.base,
        "commit": result.commit or None,
        "files_changed": result.files_changed,
        "edits": result.edits,
        "engine": result.engine or None,
        "tried": result.tried,
    }
    value |= {"start": task.start} if task.start else {}
    value |= {"transcript": result.transcript} if result.transcript is not None else {}
    value |= {"notes": result.notes} if result.notes else {}
    if result.outcome == "succeeded":
        count = len(result.files_changed)
        message = f"{count} file{'s' if count != 1 else ''} changed in {result.commit[:12]} by `{result.engine}`"
        return ToolResponse.succeeded(value, [Evidence("commit", result.commit)], message)
    if result.outcome == "nothing_to_do":
        return ToolResponse.nothing_to_do(result.reason, result.message)
    if task.beside and task.origin != task.base and (result.outcome == "failed" or not result.mine):
        value |= {"not_done": task.requirement, "why": result.reason}
        own = next((one["message"] for one in result.tried if one["engine"] == result.engine), result.message)
        return ToolResponse(True, value, message=own, outcome="nothing_to_do", reason=NOT_DONE)
    value["failures"] = result.failures
    if result.outcome == "needs_human":
        return ToolResponse.needs_human(result.reason, result.message, value)
    return ToolResponse(False, data=value, error=result.message, reason=result.reason)
