"""The agent that reviews a change: a commit against its base, or a patch, offline.

Owns the task: what is looked at, in which order, and what follows from what is found. The checks are `review`'s. Keeps:
a review writes nothing in the user's repository; nothing is approved that could not be looked at; and changes are asked
for only by findings that are both bad and sure, on what the change brings.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from .base import BaseAgent
from .context import TaskContext
from .errors import TaskWithdrawn
from .git import Git
from .guarded import alone
from .response import Evidence, ToolResponse
from .review.analysis import Bench, ToolRun, analyze, clear
from .review.analyzers import Side, configuration
from .review.brought import brought
from .review.change import Change, read_change
from .review.finding import Finding, Review, ToolReport, conclude
from .review.model_view import model_view
from .review.own_checks import own_findings
from .review.rules import Rules
from .review.target import commit_patch, open_store
from .sandbox.confine import available
from .store import RunStore, Stores
from .workspace import Workspaces


class ReviewIssue(msgspec.Struct, frozen=True):
    """The issue that a change is for."""

    name: str = ""
    text: str = ""


class ReviewTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be reviewed, of the repository at `repo`: `commit` against `base`, or `patch` on `base`, its
    text, or base64 of it.

    `base` and `commit` are full ids. `scope_files` are the files that the change may touch (None: any; one that ends in
    `/` is a folder); with `scope_strict` any other is a reason to refuse. `path` is the caller's PATH, on which
    analyzers are looked for. With `report_only` the task succeeds once the review is made, whatever its verdict.
    """

    repo: str
    base: str
    commit: str | None = None
    patch: str | None = None
    patch_encoding: Literal["utf-8", "base64"] = "utf-8"
    scope_files: list[str] | None = None
    scope_strict: bool = False
    issue: ReviewIssue | None = None
    path: str | None = None
    timeout_s: float = 300.0
    report_only: bool = False


class _Looked(msgspec.Struct):
    """What the own checks came to; what the log keeps of them."""

    files: list[str]
    findings: list[Finding]
    unseen: list[str] = []


class PRReviewAgent(BaseAgent):
    """Reviews what a change brings, by its own checks, real analyzers, and a model where one is set."""

    workflow_stages = ("look", "check", "analyze", "ask", "conclude")

    def execute_task(self, task: ReviewTask, context: TaskContext) -> ToolResponse:
        """Review the change and answer with the verdict and every finding.

        The value: `verdict` (approved, changes_requested, unreviewed), `reason`, `base`, `commit`, `files`, `findings`
        (file, line, rule, severity, confidence, message, harm, tool, side), `tools` (name, version, status, reason),
        `omitted`. Outcome `failed`, reason `changes_requested`, where a finding is an error and sure; `needs_human`,
        reason `unreviewed`, where something could not be looked at.
        """
        if (task.commit is None) == (task.patch is None):
            return ToolResponse.failed("invalid_task", "a review needs a commit or a patch, and not both")
        self.current_stage = "look"
        stores = Stores(Git(), context.places.stores, context.emit)
        store = open_store(stores, task.repo, context.run, task.base, task.commit)
        commit, problem = self._commit(task, context, stores, store)
        if commit is None:
            return _answer(task, commit, [], conclude([], [], [problem]), context)
        change = read_change(stores.git, store.git_dir, task.base, commit)
        if not change.files:
            return ToolResponse.nothing_to_do("no_changes", "there is nothing to review: both states are the same")
        self.current_stage = "check"
        looked = self._look(task, context, change, commit)
        self.current_stage = "analyze"
        self.progress = 0.3
        analyzed, tools = self._analyze(task, context, stores, store, change, commit)
        self.current_stage = "ask"
        self.progress = 0.8
        issue = task.issue.text if task.issue is not None else ""
        said, models = model_view(context, change, issue, looked.findings)
        self.current_stage = "conclude"
        self.progress = 1.0
        review = conclude([*looked.findings, *analyzed, *said], [*tools, *models], looked.unseen)
        return _answer(task, commit, looked.files, review, context)

    def _analyze(
        self, task: ReviewTask, context: TaskContext, stores: Stores, store: RunStore, change: Change, commit: str
    ) -> tuple[list[Finding], list[ToolReport]]:
        """Run the analyzers after the change and, those that found something, before it; each side is one effect."""
        touched = [file for file in change.files if file.is_plain]
        if not touched:
            return [], []
        after = self._side(task, context, stores, store, "after", commit, [file.path for file in touched], None)
        found = [run.report.name for run in after if run.raws]
        before: list[ToolRun] = []
        old = [file.old_path for file in change.files if file.old_mode.startswith("100")]
        if found and old:
            before = self._side(task, context, stores, store, "before", task.base, old, found)
        return brought(change, after, {run.report.name: run for run in before}), [run.report for run in after]

    def _side(
        self,
        task: ReviewTask,
        context: TaskContext,
        stores: Stores,
        store: RunStore,
        name: str,
        commit: str,
        files: Sequence[str],
        tools: Sequence[str] | None,
    ) -> list[ToolRun]:
        def run() -> list[ToolRun]:
            workspaces = Workspaces(stores, context.places.workspaces, context.emit)
            with (
                alone(f"twelvefold-{context.run}-{context.path}") as held,
                workspaces.create(store, context.path, commit, name) as workspace,
            ):
                scratch = workspace.folder.with_name(f"{workspace.folder.name}.scratch")
                clear(scratch)
                scratch.mkdir(mode=0o700)
                try:
                    paths = frozenset(workspace.files())
                    texts = {path: (workspace.folder / path) for path in configuration(sorted(paths))}
                    contents = {
                        path: file.read_text("utf-8", "replace") for path, file in texts.items() if _is_own(file)
                    }
                    bench = Bench(
                        workspace=workspace.folder.resolve(),
                        repo=Path(task.repo).resolve(),
                        scratch=scratch.resolve(),
                        path=task.path or os.environ.get("PATH", os.defpath),
                        timeout_s=task.timeout_s,
                        contained=context.settings.sandbox != "off" and available().contained,
                        cancelled=lambda: context.cancelled,
                        held=[held],
                    )
                    runs = analyze(bench, Side(files=tuple(files), paths=paths, contents=contents), tools)
                finally:
                    clear(scratch)
            if context.cancelled:
                raise TaskWithdrawn(context.run, context.path)
            return runs

        parameters = {"side": name, "commit": commit, "files": [_printable(path) for path in files], "tools": tools}
        runs: list[ToolRun] = context.effect(
            "process", "analyze", parameters, run, effect="idempotent", result=list[ToolRun]
        )
        return runs

    def _commit(
        self, task: ReviewTask, context: TaskContext, stores: Stores, store: RunStore
    ) -> tuple[str | None, str]:
        if task.patch is None:
            return task.commit, ""
        raw = task.patch.encode("utf-8")
        patch = base64.b64decode(raw) if task.patch_encoding == "base64" else raw
        made: list[str | None] = context.effect(
            "git",
            "apply patch",
            {"base": task.base, "patch": task.patch},
            lambda: list(commit_patch(stores, store, context.path, task.base, patch)),
            effect="idempotent",
        )
        return made[0], made[1] or ""

    def _look(self, task: ReviewTask, context: TaskContext, change: Change, commit: str) -> _Looked:
        """Do the own checks as a recorded effect."""
        rules = Rules(
            scope_files=tuple(task.scope_files) if task.scope_files is not None else None,
            scope_strict=task.scope_strict,
            issue=task.issue.text if task.issue is not None else "",
        )

        def look() -> _Looked:
            files = [_printable(file.path) for file in change.files]
            return _Looked(files, own_findings(change, rules), change.unseen)

        parameters = {"base": task.base, "commit": commit, "scope": task.scope_files}
        looked: _Looked = context.effect("git", "review", parameters, look, effect="idempotent", result=_Looked)
        return looked


def _is_own(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()


def _printable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _answer(
    task: ReviewTask,
    commit: str | None,
    files: list[str],
    review: Review,
    context: TaskContext,
) -> ToolResponse:
    facts: dict[str, Any] = msgspec.to_builtins(review)
    value = {"base": task.base, "commit": commit, "files": files, **facts}
    evidence = [
        Evidence("review", recorded.id.hex(), {"verdict": review.verdict})
        for _, recorded in context.ledger.done
        if recorded.error is None
    ]
    if review.verdict == "approved" or (task.report_only and commit is not None and review.verdict != "unreviewed"):
        return ToolResponse.succeeded(value, evidence, review.reason)
    if review.verdict == "changes_requested":
        return ToolResponse(False, data=value, error=review.reason, reason="changes_requested", evidence=evidence)
    if task.report_only:
        return ToolResponse(False, data=value, error=review.reason, reason="unreviewed", evidence=evidence)
    if any(one.answer in ("accept", "approve") for one in context.answers):
        return ToolResponse.succeeded(value, evidence, f"accepted by a person without a whole review: {review.reason}")
    question = f"{review.reason}. Answer `accept` to go on without a whole review, or anything else to try it again"
    return ToolResponse(
        False, data=value, outcome="needs_human", reason="unreviewed", message=question, evidence=evidence
    )
