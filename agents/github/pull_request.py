"""The last step of a job whose result is asked for on GitHub: the branch is pushed, and a draft pull request opened.

Owns that step. Runs after the branch was published in the user's repository, with the evidence of the steps before it.
Keeps: what is there already (branch, pull request) is found before anything is made, so that a step that is done again
makes nothing twice; the pull request says what was tested and what was not, and is a draft.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ..base import BaseAgent
from ..context import TaskContext
from ..fork_stores import own_ref
from ..git import Git, check_branch, check_commit
from ..response import Evidence, ToolResponse
from ..store import Stores
from ..work_errors import CommitMissing
from .access import Access, access_from, environment_for
from .address import RepositoryName, repository_name
from .client import GitHub
from .errors import REASONS, GitHubRefused, GitHubUnavailable, NotOnGitHub, PushRefused
from .push import Pusher, remote_of
from .reach import open_github

_TITLE_MAX = 240


class PullRequestTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be offered: `commit`, published as `ref` of the repository at `repo`, for an issue of `repository`.

    `earlier` is what the repository was called where it was asked for by another name.
    `api_url` and `web_url` are the server that the issue was read from (the agent's own where they are empty).
    `tests` is what the step before has found; `branch` is what the checkout was on, `base` what was worked from.
    """

    repo: str
    commit: str
    ref: str
    repository: str
    earlier: str = ""
    api_url: str = ""
    web_url: str = ""
    issue: int | None = None
    title: str = ""
    branch: str | None = None
    tests: dict[str, Any] | None = None
    base: str | None = None


class PullRequestAgent(BaseAgent):
    """Pushes a published branch to GitHub and opens a draft pull request for it."""

    workflow_stages = ("push", "pull request")

    def execute_task(self, task: PullRequestTask, context: TaskContext) -> ToolResponse:
        """Answer with `{repository, branch, commit, pull_request, number, draft}`; what is refused fails the task."""
        if context.undo:
            return ToolResponse.succeeded({"closed": False}, message="what was pushed stays; nothing was taken back")
        check_commit(task.commit)
        task = msgspec.structs.replace(task, ref=own_ref(task.ref, context))
        branch = check_branch(task.ref).removeprefix("refs/heads/")
        access = _access(task, context)
        repository = repository_name(task.repository, access.host)
        if repository is None:
            return ToolResponse.failed("repository_invalid", f"{task.repository!r} is no owner/repo")
        try:
            self.current_stage = "push"
            parameters = {"repository": str(repository), "commit": task.commit, "ref": task.ref}
            context.effect(
                "git", "push", parameters, lambda: _push(task, repository, access, context), effect="idempotent"
            )
            self.current_stage = "pull request"
            made = context.effect(
                "tool",
                "open_pull_request",
                parameters,
                lambda: _open(task, repository, access, context),
                effect="idempotent",
            )
        except tuple(REASONS) as error:
            kept = f"the branch {branch} stays in {task.repo}"
            return ToolResponse.failed(REASONS[type(error)], f"{error.message()}; {kept}. {error.help()}")
        value = {"repository": str(repository), "branch": branch, "commit": task.commit, **made}
        evidence = [Evidence("commit", task.commit, {"repo": task.repo, "ref": task.ref})]
        return ToolResponse.succeeded(value, evidence, f"draft pull request: {made['pull_request']}")


def _access(task: PullRequestTask, context: TaskContext) -> Access:
    """Return access to the issue's server; without a token, where the agent was told of another one."""
    access = access_from(_environ(task, context))
    if task.api_url in ("", access.api_url):
        return access
    return msgspec.structs.replace(
        access, api_url=task.api_url, web_url=task.web_url or access.web_url, token="", token_from=""
    )


def _environ(task: PullRequestTask, context: TaskContext) -> Mapping[str, str]:
    host = urlsplit(task.web_url).netloc
    return environment_for(host, context.settings.environ)


def _push(task: PullRequestTask, repository: RepositoryName, access: Access, context: TaskContext) -> dict[str, Any]:
    git, repo = Git(), Path(task.repo)
    branch = task.ref.removeprefix("refs/heads/")
    at = git.run("rev-parse", "--verify", "--quiet", task.ref, at=repo, expect=(0, 1)).text
    if at != task.commit:
        raise PushRefused(task.repo, branch, f"in {task.repo} it is at {at[:12] or 'nothing'}, not at what was tested")
    earlier = repository_name(task.earlier, repository.host)
    url = remote_of(git, repo, repository, access, earlier)
    if url is None:
        raise PushRefused(task.repo, branch, f"no remote of {task.repo} leads to {repository.host}/{repository}")
    stores = Stores(git, context.places.stores)
    store = stores.find_run(context.run, task.commit)
    if store is None:
        raise CommitMissing(str(context.places.stores), task.commit)
    return {"made": Pusher(url, access, _environ(task, context), task.repo).push(store.git_dir, task.commit, task.ref)}


def _open(task: PullRequestTask, repository: RepositoryName, access: Access, context: TaskContext) -> dict[str, Any]:
    """Find the pull request of the branch, else open it."""
    branch = task.ref.removeprefix("refs/heads/")
    with open_github(_environ(task, context), access) as github:
        found = _existing(github, repository, branch)
        if found is None:
            data = {
                "title": _title(task),
                "head": branch,
                "base": _base(github, repository, task.branch),
                "body": _body(task, _changed(task, context), context.run),
                "draft": True,
            }
            what = f"a draft pull request in {repository}"
            try:
                found = github.post(f"/repos/{repository}/pulls", what, data)
            except GitHubRefused:
                # Somebody was quicker, or it was made although the answer got lost.
                found = _existing(github, repository, branch)
                if found is None:
                    raise
        if not isinstance(found, dict) or not isinstance(found.get("number"), int):
            raise GitHubUnavailable("the pull request", access.api_url, "it answers with something that is none")
        return {
            "pull_request": str(found.get("html_url") or ""),
            "number": found["number"],
            "draft": bool(found.get("draft")),
            "state": str(found.get("state") or ""),
        }


def _existing(github: GitHub, repository: RepositoryName, branch: str) -> dict[str, Any] | None:
    what = f"the pull requests of {repository}"
    head = f"{repository.owner}:{branch}"
    for one in github.pages(f"/repos/{repository}/pulls", what, head=head, state="all"):
        # Some servers pass over a filter that they do not know.
        if isinstance(one, dict) and isinstance(one.get("head"), dict) and one["head"].get("ref") == branch:
            return one
    return None


def _base(github: GitHub, repository: RepositoryName, branch: str | None) -> str:
    """Return the branch to merge into: what the checkout was on, where GitHub has that one, else the default."""
    if branch and re.fullmatch(r"[A-Za-z0-9._/-]+", branch) and ".." not in branch:
        try:
            github.get(f"/repos/{repository}/branches/{branch.replace('/', '%2F')}", f"the branch {branch}")
        except NotOnGitHub:
            pass
        else:
            return branch
    found = github.get(f"/repos/{repository}", f"the repository {repository}")
    default = found.get("default_branch") if isinstance(found, dict) else None
    if not isinstance(default, str) or not default:
        raise GitHubUnavailable(f"the repository {repository}", github.access.api_url, "it names no default branch")
    return default


def _title(task: PullRequestTask) -> str:
    title = " ".join(task.title.split()) or f"Changes for issue {task.issue}"
    return title if len(title) <= _TITLE_MAX else f"{title[: _TITLE_MAX - 1]}…"


def _changed(task: PullRequestTask, context: TaskContext) -> list[str]:
    """Return the files that the commit changes."""
    stores = Stores(Git(), context.places.stores)
    store = stores.find_run(context.run, task.commit)
    if store is None or task.base is None:
        return []
    names = ("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", check_commit(task.base), task.commit)
    out = stores.git.run(*names, git_dir=store.git_dir).out
    return [name.decode("utf-8", "replace") for name in out.split(b"\0") if name]


def _body(task: PullRequestTask, changed: list[str], run: str) -> str:
    """Say what was done and what proves it, and nothing more than that."""
    lines = [f"For #{task.issue}.", ""] if task.issue else []
    lines += [f"Commit {task.commit}."]
    if changed:
        shown = ", ".join(map(_code, changed[:50]))
        more = len(changed) - 50
        lines += ["", f"Changed: {shown}" + (f" and {more} more." if more > 0 else ".")]
    lines += ["", _tests(task.tests)]
    lines += ["", f"Made by Twelvefold, run {run}, and reviewed by nobody yet."]
    return "\n".join(lines)


def _tests(tests: dict[str, Any] | None) -> str:
    if not tests or tests.get("status") in (None, "none", "unusable"):
        reason = str((tests or {}).get("reason") or "there is no test result")
        return f"**Nothing was tested**: {_code(reason)}."
    told = [f"Tests ({_code(tests.get('command') or 'no command')}): {tests['status']}."]
    for name in ("before", "after"):
        side = tests.get(name)
        if isinstance(side, dict):
            told.append(f"{name.capitalize()} the change: {side.get('passed')} passed, {side.get('failed')} failed.")
    newly = tests.get("newly_failing")
    if isinstance(newly, list) and newly:
        told.append(f"Newly failing: {', '.join(map(_code, newly[:20]))}.")
    return " ".join(told)


def _code(text: Any) -> str:
    """Return a text as code of a Markdown line: names of people and issues in it stay mere text."""
    return f"`{' '.join(str(text).replace('`', '').split())[:300]}`"
