"""The one entry point for an issue: it is understood, and answered with the plan by which it is worked on.

Owns the decision whether and how; what is understood is `understanding`'s, the plan's shape `issue_saga`'s, and what
came of it is read off the log by `job_report`. Keeps: an issue that can't be acted on gets no plan; nothing in its text
changes what is done with it but the edits and requirements that it states.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from ..eventstore.check import PAYLOAD_SIZE_MAX
from .agent_settings import AgentSettings
from .base import BaseAgent
from .context import TaskContext
from .engines.engine import AUTO
from .intelligent_issue import answer, with_answers
from .issue_saga import EXACT, JobTask, is_exact, parts_of, saga, with_scope
from .job import branch_ref, resolve_request
from .repositories.allowed import require_job
from .repositories.several import SeveralTask, decide_several, several_task
from .response import ToolResponse

#: What a plan's event takes beside the plan.
_ROOM = 16 << 10


class SmartIssueAgent(BaseAgent):
    """Decides how an issue is worked on, and answers with that plan."""

    workflow_stages = ("read", "decide")

    def execute_task(self, task: dict[str, Any] | str, context: TaskContext) -> ToolResponse:
        """Answer with the saga fix, test, review, publish; or say why an issue gets none."""
        self.current_stage = "read"
        given = _given(task, context)
        job = several_task(given, context) if given.get("repos") else msgspec.convert(given, JobTask)
        job = msgspec.structs.replace(job, issue=with_answers(job.issue, context))
        decided = context.effect("git", "decide", _asked(job), lambda: _decide(job, context), effect="read")
        self.current_stage = "decide"
        if decided["plan"] is None:
            return answer(decided["issue"])
        if len(msgspec.json.encode(decided["plan"])) > PAYLOAD_SIZE_MAX - _ROOM:
            return ToolResponse.needs_human("issue_too_long", "the issue is too long to be worked on")
        return ToolResponse.planned(decided["plan"], decided["message"])


def _given(task: dict[str, Any] | str, context: TaskContext) -> dict[str, Any]:
    """Return a task with all that it needs: a bare sentence or `text` is an issue, and `base` a full commit."""
    given: dict[str, Any] = {"issue": task} if isinstance(task, str) else dict(task)
    if "issue" not in given and "text" in given:
        given["issue"] = {"name": str(given.pop("name", "") or ""), "text": given.pop("text")}
    if isinstance(given.get("issue"), str):
        given["issue"] = {"name": "", "text": given["issue"]}
    repo = given.get("repo")
    if isinstance(repo, str) and not _is_full(given.get("base")):
        # So that a task delivered again works on the same commit, whatever has been committed meanwhile.
        revision = given.get("base")

        def find() -> dict[str, str]:
            found = resolve_request(Path(repo), revision)
            return {"repo": found.repo, "base": found.base}

        given |= context.effect("git", "find base", {"repo": repo, "base": revision}, find, effect="idempotent")
    return given


def _is_full(base: Any) -> bool:
    from .git import is_commit

    return isinstance(base, str) and is_commit(base)


def _asked(job: JobTask | SeveralTask) -> dict[str, Any]:
    """Return what tells one decision from another."""
    text = hashlib.sha256(job.issue.text.encode("utf-8", "surrogatepass")).hexdigest()
    return {**msgspec.to_builtins(job), "issue": {"name": job.issue.name, "sha256": text}}


def _decide(job: JobTask | SeveralTask, context: TaskContext) -> dict[str, Any]:
    """Return the structured issue, the plan as data (None where there is to be none) and why, in a sentence."""
    if isinstance(job, SeveralTask):
        able = open_engines(job.engine, context.settings, job.command)
        return decide_several(job, context, open_engines=able)
    require_job(context, Path(job.repo), job.test_command, untested=job.allow_untested, publish=job.publish)
    return decide(job, context.run, open_engines=open_engines(job.engine, context.settings, job.command))


def decide(job: JobTask, run: str, *, open_engines: bool) -> dict[str, Any]:
    """Decide how an issue is worked on; the run's id names the branch.

    `left` are the requirements that nobody would work on: those beside explicit edits, where no engine takes them.
    """
    from .assessment import Origin
    from .issue_saga import saga_data
    from .understanding.structure import understand_issue

    found = understand_issue(job.issue.name, job.issue.text, Origin(job.repo, job.base))
    issue: dict[str, Any] = msgspec.to_builtins(found.issue)
    if found.issue.outcome != "actionable":
        return {"issue": issue, "plan": None, "parts": [], "left": [], "message": found.issue.message}
    parts = parts_of(found, job.engine, open_engines=open_engines and job.parts)
    ref = job.ref or branch_ref(run, job.issue.name, job.issue.text)
    plan = saga_data(saga(job, parts, ref, with_scope(found.issue)))
    return {
        "issue": issue,
        "plan": plan,
        "parts": [part.title for part in parts],
        "left": list(found.issue.further) if is_exact(parts, open_engines=open_engines) else [],
        "message": told(found.issue.kind, found.issue.level, len(parts)),
    }


def told(kind: str, level: str, parts: int) -> str:
    """Say a decision in a sentence."""
    how = "fixed as a whole" if parts == 1 else f"fixed in {parts} parts, one after the other"
    return f"{kind}, {level}: {how}, then tested, reviewed and published once"


def open_engines(engine: str, settings: AgentSettings, command: str | None = None) -> bool:
    """Tell whether there is an engine for work that an issue doesn't state edit by edit."""
    if engine == EXACT:
        return False
    if engine != AUTO:
        return True
    from .engines.engine import engine_names

    built_in = {EXACT, "model", "command"}
    others = any(name not in built_in for name in engine_names())
    return others or bool(command or settings.fixer_command or settings.model or settings.model_url)
