"""The agent that makes data of an issue: what it is, what it asks for and where, and whether it can be acted on.

Owns the task; what is understood, and how, is `understanding`'s. Keeps: an issue that is empty, contradictory, over or
harmful never counts as one to work on, whatever its text says of itself; and nothing in a text is ever carried out.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from .base import BaseAgent
from .context import TaskContext
from .engines.engine import IssueText
from .job import Request, resolve_request
from .response import Evidence, ToolResponse

#: The engine without a model.
EXACT = "patch"


class IssueTask(msgspec.Struct, frozen=True, kw_only=True):
    """An issue to be understood: its name and text (or only a sentence), and where there is one its repository.

    `base` is a revision of it, HEAD by default. `engine` "patch" leaves a model out, as everywhere.
    """

    issue: IssueText | str
    repo: str | None = None
    base: str | None = None
    engine: str = "auto"

    @property
    def text(self) -> IssueText:
        """The issue with its name."""
        return IssueText("", self.issue) if isinstance(self.issue, str) else self.issue


class IntelligentIssueAgent(BaseAgent):
    """Understands an issue: kind, requirements, files, edits, acceptance checks, dependencies, what is missing."""

    workflow_stages = ("read", "judge")

    def execute_task(self, task: dict[str, Any] | str, context: TaskContext) -> ToolResponse:
        """Answer with a StructuredIssue as data; one not to be acted on is `nothing_to_do` or `needs_human`."""
        given = msgspec.convert({"issue": task} if isinstance(task, str) else _given(task), IssueTask)
        self.current_stage = "read"
        issue = with_answers(given.text, context)
        found = structured(issue, given, context)
        self.current_stage = "judge"
        if found["outcome"] == "actionable" and given.engine != EXACT:
            from .understanding.model_view import model_view

            view = model_view(issue.text, found, context)
            found = {**found, "view": view} if view is not None else found
        return answer(found)


def structured(issue: IssueText, given: IssueTask, context: TaskContext) -> dict[str, Any]:
    """Return an issue as data, read together with its repository as one recorded effect."""
    text = hashlib.sha256(issue.text.encode("utf-8", "surrogatepass")).hexdigest()
    parameters = {"issue": {"name": issue.name, "sha256": text}, "repo": given.repo, "base": given.base}

    def read() -> dict[str, Any]:
        request = None if given.repo is None else resolve_request(Path(given.repo), given.base)
        return read_issue_data(issue, request)

    found: dict[str, Any] = context.effect("git", "read issue and repository", parameters, read, effect="read")
    return found


def read_issue_data(issue: IssueText, request: Request | None) -> dict[str, Any]:
    """Return a StructuredIssue as data, with `repo` and `base_commit`; its edits are looked up in the repository."""
    from .assessment import Origin
    from .understanding.structure import understand_issue

    origin = None if request is None else Origin(request.repo, request.base)
    found = understand_issue(issue.name, issue.text, origin)
    data: dict[str, Any] = msgspec.to_builtins(found.issue)
    if request is not None and found.issue.outcome == "actionable" and found.issue.edits:
        data |= _made_already(issue, request)
    return {**data, "repo": request and request.repo, "base_commit": request and request.base}


def _made_already(issue: IssueText, request: Request) -> dict[str, Any]:
    """Return the verdict on an issue whose edits are all there already; nothing for others."""
    from .dry_run import preview

    found = preview(issue.name, issue.text, request)
    if found["outcome"] != "nothing_to_do":
        return {}
    reason, _, message = str(found["message"]).partition(": ")
    return {"outcome": "nothing_to_do", "reason": reason, "message": message}


def answer(found: dict[str, Any]) -> ToolResponse:
    """Return the outcome that a structured issue means."""
    verdict, reason, message = found["outcome"], found["reason"], found["message"]
    if verdict == "nothing_to_do":
        return ToolResponse(True, data=found, message=message, outcome="nothing_to_do", reason=reason)
    if verdict != "actionable":
        return ToolResponse.needs_human(reason, message, found)
    files = len(found["target_files"])
    told = f"{found['kind']}: {len(found['requirements'])} requirements, {files} file{'' if files == 1 else 's'} named"
    return ToolResponse.succeeded(found, [Evidence("value", found)], told)


def with_answers(issue: IssueText, context: TaskContext) -> IssueText:
    """Return the issue as it stands after humans have answered."""
    from .fixer import with_answers as answered

    return answered(issue, context.answers)


def _given(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task whose issue may be given as `text`, `sentence` or the input of a run: `{name, text}`."""
    if "issue" in task or "text" not in task:
        return task
    issue = {"name": str(task.get("name") or ""), "text": task["text"]}
    return {**{key: value for key, value in task.items() if key not in ("name", "text")}, "issue": issue}
