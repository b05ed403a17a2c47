"""`twelvefold watch`: files that appear in a folder become runs; so do the project file's schedules and folders."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..stopping import Stop
from .output import note, write, write_jsonl

if TYPE_CHECKING:
    from ..project_file import Schedule, WatchedFolder
    from ..triggers.serving import Told


def watch(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The folder; else what twelvefold.toml says.")
    ] = None,
    repo: Annotated[
        Path, typer.Option("--repo", metavar="DIR", help="The issues' repository; the current folder.")
    ] = Path(),
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Do this plan with each file, instead of a job.")
    ] = None,
    pattern: Annotated[
        list[str] | None, typer.Option("--pattern", metavar="GLOB", help="Which names count; may be given repeatedly.")
    ] = None,
    engine: Annotated[str, typer.Option("--engine", metavar="NAME", help="How issues are worked on.")] = "auto",
    test_command: Annotated[
        str | None, typer.Option("--test-command", metavar="CMD", help="Test with this instead of what is found.")
    ] = None,
    allow_untested: Annotated[
        bool, typer.Option("--allow-untested", help="Publish although no test result counts.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Do what is there now, and end with its end.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
) -> int:
    """Start a run for every new issue file in a folder, once.

    A file counts once it is whole: nobody writes it, and it stays as it is. It is known by its path and its content, so
    that restarts start nothing again, and a file with other words is a new issue. Names count that end in .md,
    .markdown, .txt or .rst, or any with --plan; hidden and temporary files never do, nor links.

    Without DIR it serves the schedules and folders of `twelvefold.toml` (docs/triggers.md), as `up` does by itself
    where there are any. Ends at SIGTERM or Ctrl-C; runs go on under an `up`. With --once exit status 1 says that a run
    did not end well. The keys with --jsonl are what, run, key, new, outcome, problem; what there is not is left out.
    """
    given = None
    if folder is not None:
        given = _given(folder, repo, plan, pattern, engine, test_command, allow_untested)
    return _serve(given, once=once, as_jsonl=as_jsonl)


def _serve(given: WatchedFolder | None, *, once: bool, as_jsonl: bool) -> int:
    """Look after a folder, or after what the project file says, until a signal; return the exit status."""
    from ..agent_environment import agent_environment
    from ..project_file import read_project_file
    from ..settings import load_settings
    from ..triggers.serving import Triggers

    settings = load_settings()
    base, folders = Path.cwd(), []
    schedules: tuple[Schedule, ...] = ()
    if given is not None:
        folders = [given]
    else:
        project = read_project_file(settings.project)
        _refuse_empty(project.has_triggers)
        base, folders, schedules = settings.project, list(project.folders), project.schedules
    triggers = Triggers(
        settings,
        agent_environment(settings, os.environ),
        base,
        folders=folders,
        schedules=schedules,
        tell=lambda told: _tell(told, as_jsonl=as_jsonl),
    )
    triggers.check()
    stop = Stop()
    # Whether somebody writes a file is asked by a lease on it, whose breaking is told by this signal.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    note(f"watching {', '.join(str(one.path) for one in folders) or 'the clock'}")
    triggers.serve(stop, once=once)
    if stop.status:
        return stop.status
    return 1 if once and triggers.failed else 0


def _given(
    folder: Path,
    repo: Path,
    plan: Path | None,
    pattern: list[str] | None,
    engine: str,
    test_command: str | None,
    allow_untested: bool,
) -> WatchedFolder:
    """Return what the command line says as a folder of a project file."""
    from ..project_file import ISSUE_PATTERNS, WatchedFolder

    return WatchedFolder(
        name="watch",
        path=str(folder.absolute()),
        pattern=tuple(pattern) if pattern else ("*",) if plan is not None else ISSUE_PATTERNS,
        repo=str(repo.absolute()),
        plan=None if plan is None else str(plan.absolute()),
        engine=engine,
        test_command=test_command,
        allow_untested=allow_untested,
    )


def _refuse_empty(has_triggers: bool) -> None:
    """Raise UsageInvalid where there is nothing to watch."""
    if not has_triggers:
        from ..errors import UsageInvalid

        problem = "a DIR is needed, as there is no twelvefold.toml with a [[schedule]] or [[folder]]"
        raise UsageInvalid(problem, "twelvefold watch")


def _tell(told: Told, *, as_jsonl: bool) -> None:
    """Write a line, at once: whoever reads it may wait for the next one for days."""
    if as_jsonl:
        import msgspec

        write_jsonl({name: value for name, value in msgspec.to_builtins(told).items() if value is not None})
    elif told.problem is not None:
        note(f"{told.what}: {told.problem}")
    elif told.outcome is not None:
        write(f"{told.outcome}  {told.run}  {told.what}")
    elif told.new:
        write(f"started  {told.run}  {told.what}")
    sys.stdout.flush()
