"""A job over several repositories from the outside: looking at each, submitting it, or showing what it would change.

Leaves what each repository is to do to `agents/repositories/several.py`, and how a run is followed to `jobs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .agents.job import ENTRY, Request, resolve_request
from .agents.repository_errors import RepositoryNameTaken
from .bus.client import BusClient
from .jobs import caller_of
from .orchestration import submit
from .orchestration.plan import Task
from .settings import Settings, load_settings
from .sisters import known_sisters, require_job


class Named(msgspec.Struct, frozen=True):
    """A repository as it was found, by the name by which an issue may call it."""

    name: str
    request: Request


class SeveralJob(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: an issue's name and text, the repositories, and how to go about it."""

    issue_name: str
    issue_text: str
    repos: Sequence[Named]
    engine: str = "auto"
    test_command: str | None = None
    allow_untested: bool = False
    timeout_s: float | None = None
    budget: Mapping[str, float] = {}
    path: str | None = None
    command: str | None = None
    key: str = ""

    def input(self) -> dict[str, Any]:
        """Return what `smart_issue` is asked."""
        given: dict[str, Any] = {
            "issue": {"name": self.issue_name, "text": self.issue_text},
            "repos": [{"name": one.name, "repo": one.request.repo, "base": one.request.base} for one in self.repos],
            "engine": self.engine,
            "test_command": self.test_command,
            "allow_untested": self.allow_untested,
            "path": self.path,
        }
        return given | ({"command": self.command} if self.command is not None else {})


def look_at_all(
    folders: Sequence[Path],
    settings: Settings,
    cwd: Path,
    *,
    base: str | None,
    test_command: str | None,
    untested: bool,
) -> list[Named]:
    """Look at each repository before work starts; their names are the sisters' names, else those of their folders.

    Raises what looking at one raises, RepositoryForbidden, RepositoryNameTaken.
    """
    names = {one.path.resolve(): one.name for one in known_sisters(settings, cwd)}
    found: dict[str, Named] = {}
    for folder in folders:
        request = resolve_request(folder, base)
        require_job(settings, Path(request.repo), test_command=test_command, untested=untested)
        top = Path(request.repo).resolve()
        name = names.get(top, top.name)
        other = found.setdefault(name, Named(name, request))
        if other.request.repo != request.repo:
            raise RepositoryNameTaken(name, (other.request.repo, request.repo))
    return list(found.values())


def start(client: BusClient, job: SeveralJob, trace: str = "") -> str:
    """Submit a job and return the run's id, once that is durable."""
    notes = [f"{one.name}: {note}" for one in job.repos for note in one.request.notes()]
    return submit.submit(
        client,
        Task(agent=ENTRY, input=job.input()),
        key=job.key,
        input={"notes": notes},
        labels={"job": "issue", "issue": job.issue_name, "repos": ", ".join(one.request.repo for one in job.repos)},
        timeout_s=job.timeout_s,
        budget=job.budget,
        caller=caller_of(load_settings()),
        trace=trace,
    )


def rehearse_all(job: SeveralJob, settings: Settings, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what a run would begin with in each repository, without a run: `{outcome, message, repos: […]}`."""
    from .agent_environment import agent_settings_of
    from .agents.dry_fix import as_job, rehearse
    from .agents.repositories.issue_split import split_issue
    from .agents.repositories.several import RepositoryRequest, files_of

    known = [RepositoryRequest(name=one.name, repo=one.request.repo, base=one.request.base) for one in job.repos]
    split = split_issue(job.issue_text, {one.name: files_of(one) for one in known})
    if split.problems:
        return {"outcome": "needs_human", "message": "; ".join(split.problems), "repos": []}
    told = []
    for one in job.repos:
        if one.name in split.texts:
            issue = (job.issue_name, split.texts[one.name])
            asked = as_job(issue, one.request, engine=job.engine, command=job.command)
            found = rehearse(asked, one.request, agent_settings_of(settings, environ))
            told.append({"name": one.name, "repo": one.request.repo, "base_commit": one.request.base, **found})
    outcomes = {one["outcome"] for one in told}
    worst = next((word for word in ("failed", "needs_human", None, "succeeded") if word in outcomes), "nothing_to_do")
    message = "; ".join(f"{one['name']}: {one['message']}" for one in told)
    return {"outcome": worst, "message": message, "repos": told}
