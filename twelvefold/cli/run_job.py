"""`twelvefold run ISSUE`: the built-in job on an issue, or what it would change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..tracing.caller import caller_traceparent
from .issue_target import external_issue, issue_of, show_refusal
from .output import note, write, write_json
from .run_end import end_of, exit_of_outcome

if TYPE_CHECKING:
    from ..jobs import Job


def run_job(
    target: str,
    repo: Path,
    base: str | None,
    engine: str,
    test_command: str | None,
    allow_untested: bool,
    *,
    budget: dict[str, float],
    timeout: float | None,
    detach: bool,
    dry_run: bool,
    as_json: bool,
    publish: bool = False,
    key: str = "",
) -> int:
    """Do the built-in job on an issue: one of a file, of a sentence, or of a repository on GitHub."""
    from ..agents.job import resolve_request
    from ..agents.job_report import refusal_report
    from ..agents.repository_errors import RepositoryForbidden
    from ..agents.work_errors import BareRepository, NoCommits, NotARepository, UnknownRevision
    from ..jobs import Job
    from ..settings import load_settings
    from ..sisters import require_job

    external = external_issue(target, publish=publish)
    name, text = issue_of(target) if external is None else (external.name, external.text)
    try:
        request = resolve_request(repo, base)
        require_job(load_settings(), Path(request.repo), test_command=test_command, untested=allow_untested)
    except (BareRepository, NoCommits, NotARepository, RepositoryForbidden, UnknownRevision) as error:
        # The job has failed, truthfully: scripts get the same document as from a run that began.
        if not as_json:
            raise
        write_json(refusal_report(error, str(repo.absolute())))
        return 1
    if external is not None and external.refusal is not None:
        return show_refusal(external.refusal, request, as_json=as_json)
    job = Job(
        issue_name=name,
        issue_text=text,
        request=request,
        engine=engine,
        test_command=test_command,
        allow_untested=allow_untested,
        timeout_s=timeout,
        budget=budget,
        path=os.environ.get("PATH"),
        command=load_settings().fixer_command or None,
        key=key,
        offer=None if external is None else external.offer(request),
        notes=() if external is None else external.notes(request),
    )
    if dry_run:
        return _show_plan(job, as_json)
    return _do(job, detach=detach, as_json=as_json)


def _show_plan(job: Job, as_json: bool) -> int:
    """Show the change that would be made, as a diff against the base commit."""
    from ..agent_environment import agent_settings_of
    from ..agents.dry_fix import as_job, rehearse
    from ..settings import load_settings

    asked = as_job((job.issue_name, job.issue_text), job.request, engine=job.engine, command=job.command)
    found = rehearse(asked, job.request, agent_settings_of(load_settings(), os.environ))
    if as_json:
        write_json({"repo": job.request.repo, "base_commit": job.request.base, **found})
    else:
        if found["diff"]:
            write(found["diff"].rstrip("\n"))
        note(f"dry run: {found['outcome'] or 'open'}: {found['message']}")
        for told in found["notes"]:
            note(told)
    return 0 if found["outcome"] is None else exit_of_outcome(found["outcome"])


def _do(job: Job, *, detach: bool, as_json: bool) -> int:
    """Submit a job, follow it and show its end; return the exit status."""
    from .. import jobs
    from ..settings import load_settings

    settings = load_settings()
    owned = jobs.ground(settings, os.environ, job.queues)
    with jobs.connect(settings) as client:
        jobs.require_agents(client, settings, owned=owned, queues=job.queues)
        run = jobs.start(client, job, trace=caller_traceparent())
        return end_of(client, run, owned=owned, detach=detach, as_json=as_json, report=jobs.report)
