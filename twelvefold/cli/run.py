"""`twelvefold run`: an issue file and a repository in; a tested branch, or a truthful failure, out.

Leaves finding or starting processes to `jobs`, and what is shown meanwhile to `run_progress`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .issue_target import issue_of
from .output import note, write, write_json

if TYPE_CHECKING:
    from ..bus.client import BusClient
    from ..jobs import Job

EXIT_SIGINT = 130
_EXITS = {"succeeded": 0, "nothing_to_do": 0, "needs_human": 7}


_Target = Annotated[
    str | None, typer.Argument(metavar="TARGET", help="An issue file, a sentence in quotes, or a plan file.")
]
_Repo = Annotated[Path, typer.Option("--repo", metavar="DIR", help="The repository; the current folder.")]
_Base = Annotated[str | None, typer.Option("--base", metavar="REV", help="Start from this revision; HEAD.")]
_Plan = Annotated[
    Path | None, typer.Option("--plan", metavar="FILE", help="Do this plan (TOML or JSON); TARGET is its input.")
]
_Input = Annotated[
    str | None, typer.Option("--input", metavar="JSON|@FILE", help="The plan's input, instead of TARGET.")
]
_Engine = Annotated[
    str,
    typer.Option(
        "--engine", metavar="auto|patch|model|command", help="How the issue is worked on; auto tries each in turn."
    ),
]
_Agent = Annotated[
    str | None, typer.Option("--agent", metavar="NAME", help="Give TARGET to this agent alone, by its queue's name.")
]
_TestCommand = Annotated[
    str | None, typer.Option("--test-command", metavar="CMD", help="Test with this instead of what is found.")
]
_AllowUntested = Annotated[bool, typer.Option("--allow-untested", help="Publish although no test result counts.")]
_Detach = Annotated[bool, typer.Option("--detach", help="Print the run's id and don't wait for its end.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be changed, and start nothing.")]
_Budget = Annotated[
    str | None,
    typer.Option("--budget", metavar="K=V,…", help="What it may spend: tasks, wall_s, tokens, usd."),
]
_Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="S", help="Seconds after which the run fails.", min=0.001)
]
_AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON document.")]


def run(
    target: _Target = None,
    repo: _Repo = Path(),
    base: _Base = None,
    plan: _Plan = None,
    input: _Input = None,
    agent: _Agent = None,
    engine: _Engine = "auto",
    test_command: _TestCommand = None,
    allow_untested: _AllowUntested = False,
    detach: _Detach = False,
    dry_run: _DryRun = False,
    budget: _Budget = None,
    timeout: _Timeout = None,
    as_json: _AsJson = False,
) -> int:
    """Do a job: an issue file in, a tested branch out.

    Follows the run to its end. Exit status: 0 succeeded or nothing to do, 1 failed, 7 needs a human, 124 timed out.
    Nothing of the repository changes but the published branch `twelvefold/<issue>-<run>`. Without an `up`, what the
    job needs is started, and ends by itself 10 s after the last run. Over its --budget a run is failed.

    The issue is understood first, then fixed, tested, reviewed and published (docs/jobs.md). --engine says by what it
    is fixed: `patch` makes the edits that it states, `model` asks a model, `command` starts TWELVEFOLD_FIXER_COMMAND;
    `auto` takes the first of them that can. --dry-run shows the change that would be made, and asks no model.

    A plan (docs/plans.md) needs no repository, and its own agents must be up. Its input is the JSON of --input, or name
    and text of TARGET. --dry-run checks and shows it. --agent gives TARGET to one agent: smart_issue,
    intelligent_issue, issue_fixer, testing, pr_review (TARGET is a range), research (a question), or one that is up.

    The document of --json has the keys run, outcome (succeeded, nothing_to_do, failed, needs_human, cancelled), reason,
    repo, base_commit, branch, commit, patch, files_changed, tests (status, command, before and after with passed and
    failed, newly_failing), review, notes, evidence (kind, ref), tasks (path, agent, outcome), cost (model_calls,
    tokens_in, tokens_out, usd), positions (first, last), elapsed_s; what there is not is null. With --detach it has
    only run; with --dry-run repo, base_commit, outcome, message, files_changed, diff, kind, level, parts. That of a
    plan or an --agent is the one of `twelvefold status`; with --dry-run it has plan and queues.
    """
    from .run_plan import budget_of, input_of, run_plan

    _refuse_unknown(engine, test_command)
    if agent is not None:
        from .run_agent import AgentRun, run_agent

        _refuse_mixed(plan, dry_run=dry_run)
        asked = AgentRun(agent, target, input, repo, base, engine, test_command, allow_untested)
        more = {"budget": budget_of(budget), "timeout_s": timeout, "detach": detach, "as_json": as_json}
        return run_agent(asked, **more)  # type: ignore[arg-type]
    file = _plan_file(target, plan, input, given=bool(base or test_command or allow_untested or engine != "auto"))
    if file is not None:
        data = input_of(input, target if plan is not None else None)
        return run_plan(
            file,
            input=data,
            budget=budget_of(budget),
            timeout_s=timeout,
            detach=detach,
            dry_run=dry_run,
            as_json=as_json,
        )
    assert target is not None  # _plan_file has looked
    return _run_job(
        target,
        repo,
        base,
        engine,
        test_command,
        allow_untested,
        budget_of(budget),
        timeout,
        detach=detach,
        dry_run=dry_run,
        as_json=as_json,
    )


def _plan_file(target: str | None, plan: Path | None, input: str | None, *, given: bool) -> Path | None:
    """Return the plan file that is meant, None for a job; raises UsageInvalid where the two are mixed."""
    from ..errors import UsageInvalid
    from ..plan_runs import is_plan_file

    file = plan if plan is not None else Path(target) if target is not None and is_plan_file(target) else None
    problem = ""
    if file is None and target is None:
        problem = "a TARGET or --plan FILE is needed"
    elif file is None and input is not None:
        problem = "--input is a plan's, and there is no --plan"
    elif file is not None and given:
        problem = "--base, --engine, --test-command and --allow-untested are for issues, not for plans"
    elif plan is not None and target is not None and input is not None:
        problem = "--input and TARGET are two inputs, choose one"
    if problem:
        raise UsageInvalid(problem, "twelvefold run")
    return file


def _run_job(
    target: str,
    repo: Path,
    base: str | None,
    engine: str,
    test_command: str | None,
    allow_untested: bool,
    budget: dict[str, float],
    timeout: float | None,
    *,
    detach: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Do the built-in job on an issue."""
    from ..agents.job import resolve_request
    from ..agents.job_report import refusal_report
    from ..agents.work_errors import BareRepository, NoCommits, NotARepository, UnknownRevision
    from ..jobs import Job
    from ..settings import load_settings

    name, text = issue_of(target)
    try:
        request = resolve_request(repo, base)
    except (BareRepository, NoCommits, NotARepository, UnknownRevision) as error:
        # The job has failed, truthfully: scripts get the same document as from a run that began.
        if not as_json:
            raise
        write_json(refusal_report(error, str(repo.absolute())))
        return 1
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
    )
    if dry_run:
        return _show_plan(job, as_json)
    return _do(job, detach=detach, as_json=as_json)


def _refuse_mixed(plan: Path | None, *, dry_run: bool) -> None:
    """Raise UsageInvalid for what doesn't go with --agent."""
    from ..errors import UsageInvalid

    if plan is not None:
        raise UsageInvalid("--agent and --plan are two ways to say what is to be done, choose one", "twelvefold run")
    if dry_run:
        raise UsageInvalid("--dry-run shows what a job or a plan would do, and --agent is neither", "twelvefold run")


def _refuse_unknown(engine: str, test_command: str | None) -> None:
    """Raise UsageInvalid for an engine that there is not, or a test command that no shell could read."""
    from ..errors import UsageInvalid

    if engine != "auto":
        from ..agents.engines.engine import engine_names

        if engine not in (names := engine_names()):
            problem = f"there is no engine {engine!r}, only auto, {', '.join(names)}"
            raise UsageInvalid(problem, "twelvefold run")
    if test_command is not None:
        from ..agents.test_runner import given_command

        try:
            given_command(test_command)
        except ValueError as error:
            raise UsageInvalid(f"--test-command: {str(error).lower()}", "twelvefold run") from error


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
    return 0 if found["outcome"] is None else _EXITS.get(found["outcome"], 1)


def _do(job: Job, *, detach: bool, as_json: bool) -> int:
    """Submit a job, follow it and show its end; return the exit status."""
    from .. import jobs
    from ..settings import load_settings

    settings = load_settings()
    owned = jobs.ground(settings, os.environ)
    with jobs.connect(settings) as client:
        jobs.require_agents(client, settings, owned=owned)
        run = jobs.start(client, job, trace=os.environ.get("TRACEPARENT", ""))
        return end_of(client, run, owned=owned, detach=detach, as_json=as_json, report=jobs.report)


def end_of(
    client: BusClient,
    run: str,
    *,
    owned: bool,
    detach: bool,
    as_json: bool,
    report: Callable[[BusClient, str], dict[str, Any]],
) -> int:
    """Follow a run that was submitted to its end, show that, and return the exit status."""
    from .. import jobs
    from ..agent_errors import AgentsGone
    from ..settings import load_settings
    from .run_progress import progress

    if detach:
        write_json({"run": run}) if as_json else write(run)
        note(f"follow it with: twelvefold tree {run} -f")
        return 0
    try:
        with progress(run, quiet=as_json) as show:
            for event in jobs.follow(client, run, load_settings(), owned=owned):
                show(event)
    except AgentsGone:
        if as_json:
            write_json(report(client, run))
        raise
    except KeyboardInterrupt:
        return _interrupted(client, run, owned)
    document = report(client, run)
    if as_json:
        write_json(document)
    else:
        show_document(document)
        if document["branch"]:
            note(f"see it with: git -C {document['repo']} diff {document['base_commit'][:12]} {document['branch']}")
        if document["outcome"] == "needs_human":
            note("answer what it asks: twelvefold inbox")
    return exit_of(document)


def _interrupted(client: BusClient, run: str, owned: bool) -> int:
    """Cancel the run if nobody else keeps what it runs on alive, else let it go on."""
    from ..orchestration import submit

    if not owned:
        note(f"the run goes on; follow it again with: twelvefold tree {run} -f")
        return EXIT_SIGINT
    note(f"cancelling run {run} …")
    submit.cancel(client, run, "interrupted")
    result = submit.wait(client, run)
    note(
        f"the run is {result.outcome}: nothing was published" if result.outcome == "cancelled" else str(result.outcome)
    )
    return EXIT_SIGINT


def exit_of(document: dict[str, Any]) -> int:
    """Return the exit status that a run's document means."""
    if document["reason"] == "timeout":
        return 124
    return _EXITS.get(document["outcome"], 1)


def show_document(document: dict[str, Any]) -> None:
    """Write a run's document as people read it."""
    import sys

    from .output import Style
    from .run_documents import in_short

    style = Style(sys.stdout)
    outcome = document["outcome"]
    paint = {"succeeded": style.green, "nothing_to_do": style.yellow, "needs_human": style.yellow}.get(
        outcome, style.red
    )
    write(
        f"{paint(outcome)}  {document['run']}" + (f"  {document['elapsed_s']:.1f} s" if document["elapsed_s"] else "")
    )
    tests = document["tests"]
    rows = [
        ("reason", document["reason"]),
        ("repo", document["repo"]),
        ("branch", document["branch"]),
        ("commit", document["commit"] and document["commit"][:12] if document["branch"] else None),
        ("patch", document["patch"]),
        ("files", ", ".join(document["files_changed"] or ()) if document["branch"] else None),
        ("tests", _tests_line(tests) if tests else None),
        ("failing", ", ".join(tests["newly_failing"][:20]) if tests and tests["newly_failing"] else None),
        *(("note", text) for text in document["notes"]),
        # Those of a plan: what it is about only its author knows.
        ("error", document.get("error")),
        ("value", document.get("value")),
        *(("asks", f"{one['id']} {one['path']}: {one['question']}") for one in document.get("waiting", ())),
    ]
    for name, value in rows:
        if value:
            write(f"  {style.dim(name.ljust(8))} {in_short(value)}")


def _tests_line(tests: dict[str, Any]) -> str:
    """Return before and after in one line."""

    def counts(side: dict[str, Any] | None) -> str:
        return "not run" if side is None else f"{side['passed']} passed, {side['failed']} failed"

    return f"{tests['status']}: {counts(tests['before'])} before; {counts(tests['after'])} after  ({tests['command']})"
