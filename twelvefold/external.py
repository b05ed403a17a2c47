"""Issues that lie on GitHub: read, worked on as an issue file is, and offered there only where that was asked for.

Owns what such an issue means for a job: its text, why it needs none, what a pull request for it needs to know. Leaves
talking to GitHub to `agents/github`, the job to `jobs`. Keeps: nothing is written on GitHub but by the job's last step,
after its evidence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .agent_environment import agent_environment
from .agents.github.access import Access, access_from, environment_for
from .agents.github.address import IssueAddress, repository_name
from .agents.github.issues import ExternalIssue, issue_text, read_issue
from .agents.job import Request, resolve_request
from .agents.response import Evidence, ToolResponse
from .eventstore.errors import TwelvefoldError
from .settings import Settings, load_settings


class IssueFromOutside(msgspec.Struct, frozen=True, kw_only=True):
    """An issue as a job takes it. `refusal` says why it gets no run; `offered` whether a pull request was asked for."""

    name: str
    text: str
    title: str
    address: IssueAddress
    asked: IssueAddress
    access: Access
    refusal: ToolResponse | None = None
    offered: bool = False

    def offer(self, request: Request) -> dict[str, Any] | None:
        """Return what the job's last step needs to know, None where nothing is to be offered."""
        if not self.offered:
            return None
        repository = self.address.repository
        return {
            "repository": str(repository),
            "earlier": str(self.asked.repository),
            "api_url": self.access.api_url,
            "web_url": self.access.web_url,
            "issue": self.address.number,
            "title": self.title,
            "branch": request.branch,
        }

    def notes(self, request: Request) -> tuple[str, ...]:
        """Say what is odd about working on this issue in that repository."""
        from .agents.git import Git
        from .agents.github.push import remote_of

        now, asked = self.address.repository, self.asked.repository
        if remote_of(Git(), Path(request.repo), now, self.access, asked) is not None:
            return ()
        return (f"no remote of {request.repo} leads to {self.address.repository}, whose issue this is",)


def issue_from_outside(
    address: IssueAddress, *, offered: bool = False, environ: Mapping[str, str] | None = None
) -> IssueFromOutside:
    """Read an issue from GitHub; raises AgentSettingInvalid and the errors of `agents/github/errors.py`.

    `environ` is where server and token come from: this process's environment over the project's `.env`, where None.
    """
    from .agents.github.reach import open_github

    if environ is None:
        environ = agent_environment(load_settings(), os.environ)
    environ = environment_for(address.repository.host, environ)
    access = access_from(environ)
    with open_github(environ, access) as github:
        issue = read_issue(github, address)
    return IssueFromOutside(
        name=str(issue.address),
        text=issue_text(issue),
        title=issue.title,
        address=issue.address,
        asked=address,
        access=access,
        refusal=_refusal(issue),
        offered=offered,
    )


def _refusal(issue: ExternalIssue) -> ToolResponse | None:
    """Return why an issue gets no run: it is a pull request, or closed."""
    if issue.is_pull_request:
        return ToolResponse.failed("pull_request", f"{issue.address} is a pull request, not an issue")
    if issue.state == "closed":
        why = f" as {issue.state_reason.replace('_', ' ')}" if issue.state_reason else ""
        return ToolResponse.nothing_to_do("closed", f"{issue.address} is closed{why}")
    return None


class ExternalIssueProcessor:
    """Works on issues of repositories on GitHub, each in a local repository of the caller's.

    What it runs on is the home's `up`, or is started for it. With `publish` the branch is pushed and a draft pull
    request opened in the end. `home` overrides the one that the command line would use.
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        publish: bool = False,
        engine: str = "auto",
        test_command: str | None = None,
        allow_untested: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        environ = {**os.environ, "TWELVEFOLD_HOME": str(Path(home).absolute())} if home is not None else None
        self._settings: Settings = load_settings(environ)
        self._environ = agent_environment(self._settings, os.environ if environ is None else environ)
        self._publish = publish
        self._given: dict[str, Any] = {
            "engine": engine, "test_command": test_command, "allow_untested": allow_untested, "timeout_s": timeout_s,
        }  # fmt: skip

    def process_external_issue(self, repo: str, issue_number: int, repo_path: str | os.PathLike[str]) -> ToolResponse:
        """Do the job on issue `issue_number` of `owner/repo`, in the repository at `repo_path`, to its end.

        The answer's `data` is the document of `twelvefold run --json`, its evidence the run's. A closed issue is
        `nothing_to_do`; what GitHub, the repository or the job refuses is `failed`, with the reason.
        """
        try:
            return self._process(repo, issue_number, Path(repo_path))
        except TwelvefoldError as error:
            return ToolResponse.failed(_reason(error), f"{error.message()}. {error.help()}".rstrip(". "))

    def _process(self, repo: str, number: int, folder: Path) -> ToolResponse:
        from . import jobs

        repository = repository_name(repo)
        if repository is None or isinstance(number, bool) or not isinstance(number, int) or number < 1:
            return ToolResponse.failed("address_invalid", f"{repo}#{number} is no issue: owner/repo and a number are")
        request = resolve_request(folder)
        found = issue_from_outside(IssueAddress(repository, number), offered=self._publish, environ=self._environ)
        if found.refusal is not None:
            return found.refusal
        job = jobs.Job(
            issue_name=found.name,
            issue_text=found.text,
            request=request,
            path=self._environ.get("PATH"),
            command=self._settings.fixer_command or None,
            offer=found.offer(request),
            notes=found.notes(request),
            trigger={"issue": found.name},
            **self._given,
        )
        owned = jobs.ground(self._settings, self._environ, job.queues)
        with jobs.connect(self._settings) as client:
            jobs.require_agents(client, self._settings, owned=owned, queues=job.queues)
            run = jobs.start(client, job)
            for _ in jobs.follow(client, run, self._settings, owned=owned):
                pass
            return response_of(jobs.report(client, run))


def response_of(document: Mapping[str, Any]) -> ToolResponse:
    """Return what became of a run as a response; `document` is that of `twelvefold run --json`."""
    outcome, reason = document["outcome"], document["reason"]
    evidence: Sequence[Evidence] = [Evidence(one["kind"], one["ref"]) for one in document["evidence"]]
    data = dict(document)
    if outcome == "succeeded":
        return ToolResponse.succeeded(data, evidence, f"published as {document['branch']}")
    if outcome == "nothing_to_do":
        return ToolResponse(True, data=data, message=reason, outcome="nothing_to_do", reason=reason)
    if outcome == "needs_human":
        return ToolResponse.needs_human(reason or "needs_human", reason or "it waits for a human", data)
    return ToolResponse(False, data=data, error=reason or outcome, reason=outcome, evidence=list(evidence))


def _reason(error: TwelvefoldError) -> str:
    """Return an error as a word for programs: `not_found`, …, else its class: `NoCommits` -> `no_commits`."""
    from .agents.base import queue_name
    from .agents.github.errors import REASONS

    return REASONS.get(type(error)) or queue_name(type(error))
