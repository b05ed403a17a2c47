"""An issue over several repositories: what each is to do, and one saga over all of them.

Owns the joined plan: every repository is fixed in a workspace of its own, then all are tested and reviewed, side by
side, then each branch is published, one after the other. Leaves the steps of one repository to `issue_saga`. Keeps: the
last branch to be published is the point of no return, so that a failure anywhere takes back every branch before it, by
compare-and-swap; a repository in which there was nothing to do has no branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ...orchestration.fork_join import ForkJoin
from ...orchestration.plan import PatternFields, Plan, Task, plan_data
from ...orchestration.saga import Saga
from ...orchestration.steps import steps_of
from ..assessment import Origin
from ..context import TaskContext
from ..engines.engine import AUTO, IssueText
from ..git import Git, is_commit
from ..issue_saga import JobTask, Part, is_exact, parts_of, saga, with_scope
from ..job import branch_ref, resolve_request
from ..repository_errors import RepositoryNameTaken
from ..understanding.structure import LENGTH_MAX, understand_issue
from .allowed import require_job
from .issue_split import split_issue


class RepositoryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One of the repositories of a job: what the issue calls it, where it is, and the full commit to start from."""

    name: str
    repo: str
    base: str


class SeveralTask(msgspec.Struct, frozen=True, kw_only=True):
    """What `smart_issue` is asked for several repositories; the fields are those of a job in one."""

    issue: IssueText
    repos: list[RepositoryRequest]
    engine: str = AUTO
    test_command: str | None = None
    allow_untested: bool = False
    path: str | None = None
    command: str | None = None
    test_timeout_s: float = 900.0
    parts: bool = True
    publish: bool = True

    def job(self, one: RepositoryRequest, text: str) -> JobTask:
        """Return the job in one of the repositories, with what the issue says to it."""
        shared = {name: getattr(self, name) for name in self.__struct_fields__ if name not in ("issue", "repos")}
        return JobTask(issue=IssueText(self.issue.name, text), repo=one.repo, base=one.base, **shared)


def several_task(given: dict[str, Any], context: TaskContext) -> SeveralTask:
    """Return a job in several repositories; each of `repos` is a folder, or has `repo` and if it likes name and base.

    What isn't a full commit is looked up, and recorded. Raises what looking up raises, RepositoryNameTaken.
    """
    repos: list[dict[str, str]] = []
    for one in given["repos"]:
        asked = {"repo": one} if isinstance(one, str) else dict(one)
        if not is_commit(asked.get("base")):
            find = partial(_look_up, str(asked["repo"]), asked.get("base"))
            wanted = {"repo": asked["repo"], "base": asked.get("base")}
            asked |= context.effect("git", "find base", wanted, find, effect="idempotent")
        asked.setdefault("name", Path(asked["repo"]).name)
        if other := next((known["repo"] for known in repos if known["name"] == asked["name"]), None):
            raise RepositoryNameTaken(asked["name"], (other, asked["repo"]))
        repos.append(asked)
    return msgspec.convert({**given, "repos": repos}, SeveralTask)


def _look_up(repo: str, revision: str | None) -> dict[str, str]:
    found = resolve_request(Path(repo), revision)
    return {"repo": found.repo, "base": found.base}


class RepositoryPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one repository is to do: its job, the parts in which it is fixed, the branch, the files to expect."""

    name: str
    job: JobTask
    parts: Sequence[Part]
    ref: str
    scope: Sequence[str] = ()


def multi_repo_plan(parts: Sequence[RepositoryPart]) -> Plan:
    """Return one saga over all repositories; its steps are `fix-1`, `fix-2`, …, `tests`, `reviews`, `publish-1`, …"""
    sagas = [steps_of(saga(one.job, one.parts, one.ref, one.scope)) for one in parts]
    numbered = [[_numbered(step, n) for step in steps] for n, steps in enumerate(sagas, 1)]
    fixes, tests, reviews = ([steps[n] for steps in numbered] for n in range(3))
    publish = [step for steps in numbered for step in steps[3:]]
    # Only from the last one on nothing can fail any more; those before it are taken back with all the rest.
    publish = [msgspec.structs.replace(step, pivot=step is publish[-1]) for step in publish]
    return Saga(steps=[*fixes, ForkJoin(tests, name="tests"), ForkJoin(reviews, name="reviews"), *publish])


def decide_several(task: SeveralTask, context: TaskContext, *, open_engines: bool) -> dict[str, Any]:
    """Decide how an issue is worked on in several repositories; the keys are those of a decision for one, and `repos`.

    Raises RepositoryForbidden where one may not be read, published into, or run commands in.
    """
    for one in task.repos:
        require_job(context, Path(one.repo), task.test_command, untested=task.allow_untested, publish=task.publish)
    if len(task.issue.text) > LENGTH_MAX:
        return _asked_back("issue_too_long", f"the issue has more than {LENGTH_MAX} characters")
    split = split_issue(task.issue.text, {one.name: files_of(one) for one in task.repos})
    if split.problems:
        return _asked_back("which_repository", "; ".join(split.problems[:5]))
    parts, issues = [], []
    undone: list[str] = []
    for one in task.repos:
        if one.name not in split.texts:
            continue
        issue, part = _part(task, one, split.texts[one.name], context.run, open_engines=open_engines)
        issues.append((one.name, issue))
        parts += [part] if part is not None else []
        if part is not None and is_exact(part.parts, open_engines=open_engines):
            undone += [f"{one.name}: {wish}" for wish in issue["further"]]
    refused = [(name, issue) for name, issue in issues if issue["outcome"] not in ("actionable", "nothing_to_do")]
    if refused or not parts:
        name, issue = (refused or issues)[0]
        return {**_asked_back(issue["reason"], f"{name}: {issue['message']}"), "issue": issue}
    left = [one.name for one in task.repos if one.name not in {part.name for part in parts}]
    return {
        "issue": issues[0][1],
        "plan": plan_data(multi_repo_plan(parts)),
        "parts": [part.name for part in parts],
        "repos": [{"name": part.name, "repo": part.job.repo, "base": part.job.base} for part in parts],
        "left": undone,
        "idle": left,
        "message": f"fixed in {' and '.join(part.name for part in parts)}, tested, reviewed and published together",
    }


def _part(
    task: SeveralTask, one: RepositoryRequest, text: str, run: str, *, open_engines: bool
) -> tuple[dict[str, Any], RepositoryPart | None]:
    job = task.job(one, text)
    found = understand_issue(task.issue.name, text, Origin(one.repo, one.base))
    issue: dict[str, Any] = msgspec.to_builtins(found.issue)
    if found.issue.outcome != "actionable":
        return issue, None
    parts = parts_of(found, task.engine, open_engines=open_engines and task.parts)
    # One name in all repositories, so that branches that belong together are seen to.
    ref = branch_ref(run, task.issue.name, task.issue.text)
    return issue, RepositoryPart(name=one.name, job=job, parts=parts, ref=ref, scope=with_scope(found.issue))


def _asked_back(reason: str, message: str) -> dict[str, Any]:
    issue = {"outcome": "needs_information", "reason": reason, "message": message, "kind": "", "level": ""}
    return {"issue": issue, "plan": None, "parts": [], "left": [], "message": message}


def files_of(one: RepositoryRequest) -> list[str]:
    """Return the paths of a repository's files at its base."""
    out = Git().run("ls-tree", "-r", "-z", "--name-only", "--full-tree", one.base, at=Path(one.repo)).out
    return [name for name in out.decode("utf-8", "surrogateescape").split("\0") if name]


def _numbered(step: PatternFields, number: int) -> PatternFields:
    """Return a step of one repository's saga under a name of its own, referring to its own repository's steps."""
    changes: dict[str, Any] = {"name": f"{step.name}-{number}"}
    if isinstance(step, Task):
        changes["input"] = _referring(step.input, number)
    if isinstance(step.undo, Task):
        changes["undo"] = msgspec.structs.replace(step.undo, input=_referring(step.undo.input, number))
    if step.name in ("test", "review"):
        changes["undo"] = None
    return msgspec.structs.replace(step, **changes)


def _referring(value: Any, number: int) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("$from"), str):
            return {**value, "$from": f"{value['$from']}-{number}"}
        return {key: _referring(inner, number) for key, inner in value.items()}
    return [_referring(inner, number) for inner in value] if isinstance(value, list | tuple) else value
