"""`twelvefold run ISSUE --repo A --repo B`: one issue over several repositories, all published or none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..tracing.caller import caller_traceparent
from .issue_target import issue_of
from .output import note, write, write_json
from .run_end import end_of, exit_of_outcome


def run_several(
    target: str,
    folders: Sequence[Path],
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
    key: str = "",
) -> int:
    """Do the built-in job on an issue in several repositories, or show what it would change."""
    from .. import jobs
    from ..agents.job_report import refusal_report
    from ..eventstore.errors import TwelvefoldError
    from ..settings import load_settings
    from ..several import SeveralJob, look_at_all, rehearse_all, start

    settings = load_settings()
    name, text = issue_of(target)
    try:
        repos = look_at_all(
            folders, settings, Path.cwd(), base=base, test_command=test_command, untested=allow_untested
        )
    except TwelvefoldError as error:
        if not as_json:
            raise
        write_json({**refusal_report(error, ""), "repo": None, "repos": []})
        return 1
    job = SeveralJob(
        issue_name=name,
        issue_text=text,
        repos=repos,
        engine=engine,
        test_command=test_command,
        allow_untested=allow_untested,
        timeout_s=timeout,
        budget=budget,
        path=os.environ.get("PATH"),
        command=settings.fixer_command or None,
        key=key,
    )
    if dry_run:
        found = rehearse_all(job, settings, os.environ)
        if as_json:
            write_json(found)
        else:
            write("".join(one["diff"] for one in found["repos"]).rstrip("\n")) if found["repos"] else None
            note(f"dry run: {found['outcome'] or 'open'}: {found['message']}")
            _note_all(found["repos"])
        return 0 if found["outcome"] is None else exit_of_outcome(found["outcome"])
    owned = jobs.ground(settings, os.environ)
    with jobs.connect(settings) as client:
        jobs.require_agents(client, settings, owned=owned)
        run = start(client, job, trace=caller_traceparent())
        return end_of(client, run, owned=owned, detach=detach, as_json=as_json, report=jobs.report)


def _note_all(repos: list[dict[str, Any]]) -> None:
    """Show what nobody would work on, for each repository."""
    for one in repos:
        for told in one["notes"]:
            note(f"{one['name']}: {told}")
