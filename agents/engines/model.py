"""The engine `model`: a model changes the files by tools of the workspace, step by step, until it says that it is done.

Owns what the model is told of the task and what its end means for the issue. The steps are `model_loop`'s, and the
user's to replace: set `loop`, override a method, or offer an engine named `model` of your own. Keeps: the issue's text
is data between marks that it can't hold, never an instruction to us; nothing is done without a change that is committed
and looked at; what a model says of its own success proves nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AgentSettingInvalid
from ..model_context import cut
from ..model_loop import Ended, ModelLoop
from ..models.choose import model_from
from ..models.errors import (
    ModelAnswerInvalid,
    ModelNotUsable,
    ModelRefused,
    ModelReplyUnreadable,
    ModelTimeout,
    ModelUnreachable,
    NoSuchReply,
)
from ..models.model import Message, Model, ToolCall
from ..prompt import Prompt, load_prompt
from ..response import ToolResponse
from ..tool import Tool
from ..turn import reason_of
from .engine import FixResult, FixTask
from .finish import issue_hash, trailers, wrong_change

if TYPE_CHECKING:
    from ..context import TaskContext
    from ..issue import Issue
    from ..workspace import Workspace

#: The tools of the workspace that a model isn't offered: the engine commits, once and at the end.
_NOT_OFFERED = frozenset({"git_commit"})
#: How many paths of the repository are listed in the opening.
_LISTED_MAX = 300
#: The share of the model's room that the issue may take.
_ISSUE_SHARE = 0.3
_REASONS = {"ask_human": "question", "give_up": "model_gave_up", "errors": "model_errors", "steps": "model_steps"}
_FAILURES = (
    ModelAnswerInvalid,
    ModelNotUsable,
    ModelRefused,
    ModelReplyUnreadable,
    ModelTimeout,
    ModelUnreachable,
    NoSuchReply,
    AgentSettingInvalid,
)


class FixLoop(ModelLoop):
    """The loop for an issue: `done` counts only where files differ, and only those that the task may change."""

    def __init__(self, *args: Any, task: FixTask, workspace: Workspace, **more: Any) -> None:
        super().__init__(*args, **more)
        self.task = task
        self.workspace = workspace

    def ended(self, action: ToolCall, number: int) -> Ended | ToolResponse:
        """Refuse a `done` that changed nothing, or something else."""
        if action.name == "done":
            changed = self.context.record("changed", self._changed)
            if not changed:
                return ToolResponse.failed("nothing_changed", "no file differs from how it was: change it, or give_up")
            beyond = [path for path in changed if self.task.files and path not in self.task.files]
            if beyond:
                said = (
                    f"{', '.join(beyond[:10])} may not be changed, only {', '.join(self.task.files[:20])}: put it back"
                )
                return ToolResponse.failed("outside_scope", said)
        return super().ended(action, number)

    def _changed(self) -> list[str]:
        return self.workspace.changed(self.task.origin, self.workspace.commit)


class ModelEngine:
    """Has a model change the files."""

    name = "model"
    #: The loop that the model works in.
    loop: type[FixLoop] = FixLoop

    def fix(self, task: FixTask, issue: Issue, workspace: Workspace, context: TaskContext) -> FixResult | None:
        """Let the model of the settings work on the issue, and commit what it did as one commit."""
        try:
            model = self.model(context)
            if model is None:
                message = "no model is set (TWELVEFOLD_MODEL says which)"
                return FixResult(outcome="needs_human", reason="no_model", message=message, mine=False)
            return self._fixed(task, issue, workspace, context, model)
        except _FAILURES as error:
            message = f"{error.message()}{f' ({error.help()})' if error.help() else ''}"
            return FixResult(outcome="failed", reason=reason_of(error), message=message)

    def model(self, context: TaskContext) -> Model | None:
        """Return the model to work with, None where there is none; raises ModelNotUsable."""
        return model_from(context.settings)

    def tools(self, task: FixTask, workspace: Workspace, context: TaskContext) -> list[Tool]:
        """Return the tools that the model is offered."""
        from ..tools import workspace_tools

        made = workspace_tools(workspace, context, repo=Path(task.repo))
        return [tool for tool in made if tool.name not in _NOT_OFFERED]

    def opening(self, task: FixTask, tools: Sequence[Tool], context: TaskContext) -> tuple[list[Message], list[Prompt]]:
        """Return what the model is told first, and the prompts that this was rendered from."""
        folders = context.settings.prompts
        told, asked = load_prompt("fixer", folders), load_prompt("fixer_task", folders)
        text = _original(task, context)
        # Nobody can write a text that holds its own hash.
        fence = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        answers = [f"Asked: {one.question}\nAnswered: {one.answer}" for one in context.answers]
        room = int(context.settings.model_context * _ISSUE_SHARE)
        user = asked.render(
            fence=fence,
            issue=cut(text, room),
            requirement=task.requirement or "(all of it)",
            scope=", ".join(task.files) or "(any)",
            files=_listed(tools, context),
            answers=cut("\n\n".join(answers), room // 2) or "(nothing was asked so far)",
        )
        return [Message("system", told.render()), Message("user", user)], [told, asked]

    def _fixed(
        self, task: FixTask, issue: Issue, workspace: Workspace, context: TaskContext, model: Model
    ) -> FixResult:
        self._begin(task, workspace, context)
        tools = self.tools(task, workspace, context)
        opening, prompts = self.opening(task, tools, context)
        loop = self.loop(context, model, tools, opening, prompt=prompts, task=task, workspace=workspace)
        ended = loop.run()
        if ended.how != "done":
            said = ended.message if ended.how in ("ask_human", "give_up") else f"{ended.message}. What shall be done?"
            notes = [f"model {model.name}, {ended.steps} steps"]
            return FixResult(outcome="needs_human", reason=_REASONS[ended.how], message=said, notes=notes)
        return self._committed(task, issue, workspace, context, model, ended)

    def _begin(self, task: FixTask, workspace: Workspace, context: TaskContext) -> None:
        """Start from the task's own commit, whatever an engine before has left, and have that recorded."""

        def begin() -> str:
            if workspace.commit != task.origin or not workspace.is_clean():
                workspace.reset(task.origin)
            return task.origin

        context.attach_workspace(lambda: task.origin)
        context.effect("git", "start", {"engine": self.name, "commit": task.origin}, begin, effect="idempotent")

    def _committed(
        self, task: FixTask, issue: Issue, workspace: Workspace, context: TaskContext, model: Model, ended: Ended
    ) -> FixResult:
        """Make one commit of all steps on top of what the task started from."""
        time_s = context.record("time_s", lambda: int(time.time()))
        title = " ".join(issue.title.split()) or task.issue.name
        # Trailers are ours to write.
        said = "\n".join(line for line in ended.message.splitlines() if not line.lstrip().startswith("Twelvefold-"))
        lines = [
            title,
            "",
            said,
            "",
            *trailers(task.issue.name, context.run),
            f"Twelvefold-Model: {model.name}",
        ]
        made: list[str] = []

        def work() -> FixResult:
            if problem := wrong_change(task, workspace):
                return problem
            commit = workspace.recommit(task.origin, "\n".join(lines), time_s)
            made.append(commit)
            changed = workspace.changed(task.origin, commit)
            notes = [f"model {model.name}, {ended.steps} steps"]
            return FixResult(
                outcome="succeeded", commit=commit, files_changed=changed, message=ended.message, notes=notes
            )

        context.attach_workspace(lambda: made[0] if made else None)
        parameters = {"issue": issue_hash(task), "repo": task.repo, "base": task.origin, "time_s": time_s}
        found = context.effect("git", "commit", parameters, work, effect="idempotent", result=FixResult)
        assert isinstance(found, FixResult)
        return found


def _original(task: FixTask, context: TaskContext) -> str:
    """Return the issue as it was first asked for: what people answered since then is shown beside it."""
    given = context.input.get("issue") if isinstance(context.input, dict) else None
    text = given.get("text") if isinstance(given, dict) else None
    return text if context.answers and isinstance(text, str) else task.issue.text


def _listed(tools: Sequence[Tool], context: TaskContext) -> str:
    """Return the paths of the repository's files, as the model's own tool lists them; a recorded look."""
    lister = next((tool for tool in tools if tool.name == "list_files"), None)
    if lister is None:
        return "(list them by a tool)"
    response = context.call(lister, {"limit": _LISTED_MAX})
    data = response.data if response.success and isinstance(response.data, dict) else {}
    files: list[str] = data.get("files") or []
    more = f"\n… and {data['total'] - len(files)} more" if data.get("truncated") else ""
    return cut("\n".join(files), 2000) + more
