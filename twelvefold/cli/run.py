"""`twelvefold run`: an issue file and a repository in; a tested branch, or a truthful failure, out.

Owns what the options mean together. Leaves an issue to `run_job`, a plan to `run_plan`, one agent to `run_agent`, and
how a run is followed to `run_end`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer

_Target = Annotated[
    str | None,
    typer.Argument(metavar="TARGET", help="An issue file, owner/repo#12, a sentence in quotes, or a plan file."),
]
_Repo = Annotated[
    list[str] | None,
    typer.Option(
        "--repo", metavar="DIR|NAME", help="The repository, by folder or name; the current folder. Give several, too."
    ),
]
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
_RequireSandbox = Annotated[
    bool, typer.Option("--require-sandbox", help="Refuse to work where agents can't be contained.")
]
_Detach = Annotated[bool, typer.Option("--detach", help="Print the run's id and don't wait for its end.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be changed, and start nothing.")]
_Publish = Annotated[
    bool, typer.Option("--publish", help="Push the branch of a GitHub issue and open a draft pull request.")
]
_Key = Annotated[str, typer.Option("--key", metavar="TEXT", help="The same key gives the same run: start it once.")]
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
    repo: _Repo = None,
    base: _Base = None,
    plan: _Plan = None,
    input: _Input = None,
    agent: _Agent = None,
    engine: _Engine = "auto",
    test_command: _TestCommand = None,
    allow_untested: _AllowUntested = False,
    require_sandbox: _RequireSandbox = False,
    detach: _Detach = False,
    dry_run: _DryRun = False,
    publish: _Publish = False,
    key: _Key = "",
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

    With several --repo the issue says what belongs to which, and all branches are published, or none; their document
    has the key repos, too: for each its part of these keys, and its name (docs/repositories.md). owner/repo#12 is an
    issue on GitHub (docs/github.md): only read, unless --publish is given, which pushes the branch in the end and opens
    a draft pull request.

    A plan (docs/plans.md) needs no repository, and its own agents must be up. Its input is the JSON of --input, or name
    and text of TARGET. --dry-run checks and shows it. --agent gives TARGET to one agent: smart_issue,
    intelligent_issue, issue_fixer, testing, pr_review (TARGET is a range), research (a question), or one that is up.

    The document of --json has the keys run, outcome (succeeded, nothing_to_do, failed, needs_human, cancelled), reason,
    repo, base_commit, branch, commit, patch, files_changed, tests (status, command, before and after with passed and
    failed, newly_failing), review, notes, evidence (kind, ref), tasks (path, agent, outcome), cost (model_calls,
    tokens_in, tokens_out, usd), positions (first, last), elapsed_s; what there is not is null. With --detach it has
    only run; with --dry-run repo, base_commit, outcome, message, files_changed, diff, kind, level, parts, notes. That
    of a plan or an --agent is the one of `twelvefold status`; with --dry-run it has plan and queues.
    """
    from .run_plan import budget_of

    _refuse_unknown(engine, test_command, require_sandbox=require_sandbox)
    folders = _folders(repo)
    more: _More = {"budget": budget_of(budget), "detach": detach, "as_json": as_json, "key": key}
    how = (base, engine, test_command, allow_untested)
    if agent is not None:
        _refuse_mixed(plan, dry_run=dry_run, publish=publish)
        return _run_agent((agent, target, input, _only(folders, "--agent"), *how), timeout, more)
    given = bool(base or test_command or allow_untested or engine != "auto" or publish)
    file = _plan_file(target, plan, input, given=given)
    if file is not None:
        return _run_plan_file(file, input, target if plan is not None else None, timeout, dry_run, more)
    assert target is not None  # _plan_file has looked
    return _run_issue((target, folders, *how), timeout, more, dry_run=dry_run, publish=publish)


def _run_issue(asked: tuple[Any, ...], timeout: float | None, more: _More, *, dry_run: bool, publish: bool) -> int:
    """Do the built-in job, in one repository or in several."""
    target, folders, *how = asked
    if len(folders) > 1 and not publish:
        from .run_several import run_several

        return run_several(target, folders, *how, timeout=timeout, dry_run=dry_run, **more)
    from .run_job import run_job

    folder = _only(folders, "--publish")
    return run_job(target, folder, *how, timeout=timeout, dry_run=dry_run, publish=publish, **more)


def _run_agent(asked: tuple[Any, ...], timeout_s: float | None, more: _More) -> int:
    """Give a task to one agent."""
    from .run_agent import AgentRun, run_agent

    return run_agent(AgentRun(*asked), timeout_s=timeout_s, **more)


def _folders(repo: list[str] | None) -> list[Path]:
    """Return the folders that are meant by --repo, each once; raises RepositoryUnknown, RepositoryNameTaken."""
    from ..settings import load_settings
    from ..sisters import chosen

    if not repo:
        return [Path()]
    there = [Path(word) for word in repo]
    if not all(folder.is_dir() for folder in there):
        there = chosen(repo, load_settings(), Path.cwd())
    return list({folder.resolve(): folder for folder in there}.values())


def _only(folders: list[Path], option: str) -> Path:
    """Return the one folder there is to be; raises UsageInvalid."""
    from ..errors import UsageInvalid

    if len(folders) > 1:
        raise UsageInvalid(f"{option} is for one --repo, and {len(folders)} were given", "twelvefold run")
    return folders[0]


class _More(TypedDict):
    """The options that mean the same for whatever is run."""

    budget: dict[str, float]
    detach: bool
    as_json: bool
    key: str


def _run_plan_file(
    file: Path, input: str | None, target: str | None, timeout_s: float | None, dry_run: bool, more: _More
) -> int:
    """Do the plan in a file."""
    from .run_plan import input_of, run_plan

    return run_plan(file, input=input_of(input, target), timeout_s=timeout_s, dry_run=dry_run, **more)


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
        problem = "--base, --engine, --test-command, --allow-untested and --publish are for issues, not for plans"
    elif plan is not None and target is not None and input is not None:
        problem = "--input and TARGET are two inputs, choose one"
    if problem:
        raise UsageInvalid(problem, "twelvefold run")
    return file


def _refuse_mixed(plan: Path | None, *, dry_run: bool, publish: bool) -> None:
    """Raise UsageInvalid for what doesn't go with --agent."""
    from ..errors import UsageInvalid

    if plan is not None:
        raise UsageInvalid("--agent and --plan are two ways to say what is to be done, choose one", "twelvefold run")
    if publish:
        raise UsageInvalid("--publish is for jobs on issues of GitHub, and --agent is none", "twelvefold run")
    if dry_run:
        raise UsageInvalid("--dry-run shows what a job or a plan would do, and --agent is neither", "twelvefold run")


def _refuse_unknown(engine: str, test_command: str | None, *, require_sandbox: bool) -> None:
    """Raise UsageInvalid for an engine that there is not, or a test command that no shell could read.

    Raises NotContained where the sandbox is required and can't be had.
    """
    if require_sandbox:
        from .require_sandbox import refuse_uncontained

        refuse_uncontained()
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
