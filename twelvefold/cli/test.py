"""`twelvefold test`: a repository's tests, at a commit or compared with another, in workspaces of their own.

Leaves the work to the agent `testing`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Style, note, write, write_json

if TYPE_CHECKING:
    from ..orchestration.result import RunResult

#: How many names are shown of each kind; --json has all.
_SHOWN_MAX = 20


def test(
    revision: Annotated[str, typer.Argument(metavar="[REV]", help="What to test.")] = "HEAD",
    repo: Annotated[Path, typer.Option("--repo", metavar="DIR", help="The repository; the current folder.")] = Path(),
    base: Annotated[
        str | None, typer.Option("--base", metavar="REV", help="Compare with the tests of this revision.")
    ] = None,
    test_command: Annotated[
        str | None, typer.Option("--test-command", metavar="CMD", help="Test with this instead of what is found.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", help="Seconds that one run of the tests may take.", min=1)
    ] = 900.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Run a repository's tests at a commit, or compare them with another's.

    The runner is found by the repository's files (pytest, unittest, tox, nox, npm with jest, vitest, mocha or node, go,
    cargo, maven, make) and runs in a workspace of its own: the repository is not written to, and uncommitted changes
    aren't tested. A result counts only where it is proved that the workspace was tested. docs/testing.md tells more.

    Exit status: 0 where the tests passed; 1 where some failed (with --base: newly failed), nothing was tested, or the
    result proves nothing.

    The keys with --json are run, repo, base, commit, status (passed, failed, unusable, none), reason, command, kind,
    contained, before (null without --base) and after: each with commit, passed, failed, skipped, failures, exit_code,
    elapsed_s, cached (null, or run and time of the run that they are from) and proof; newly_failing, newly_passing,
    disappeared, unsteady, flaky.
    """
    from ..agents.job import resolve_request
    from ..agents.test_runner import given_command
    from ..errors import UsageInvalid
    from ..one_task import do_task
    from ..settings import load_settings
    from .run_progress import progress

    if test_command is not None:
        try:
            given_command(test_command)
        except ValueError as error:
            raise UsageInvalid(f"--test-command: {str(error).lower()}", "twelvefold test") from error
    request = resolve_request(repo, revision)
    compared = resolve_request(repo, base).base if base is not None else None
    if (left_out := request.note()) and revision == "HEAD":
        note(left_out.replace("work started from", "tested is"))
    task: dict[str, Any] = {"repo": request.repo, "commit": request.base, "base": compared, "ask": False}
    task |= {"test_command": test_command, "timeout_s": timeout, "path": os.environ.get("PATH")}
    result = do_task(
        "testing",
        task,
        settings=load_settings(),
        environ=os.environ,
        labels={"job": "test", "repo": request.repo},
        progress=lambda run: progress(run, quiet=as_json),
    )
    return _show(result, request.repo, compared, request.base, as_json=as_json)


def _show(result: RunResult, repo: str, base: str | None, commit: str, *, as_json: bool) -> int:
    """Show what became of it, and return the exit status."""
    task = result.tasks[0] if result.tasks else None
    value = task.value if task is not None and isinstance(task.value, dict) else None
    if value is None:
        error = task.error if task is not None else result.error
        said = error.get("message", "") if isinstance(error, dict) else str(error or result.message or result.reason)
        value = {"status": "unusable", "reason": said, "command": None, "before": None, "after": None}
    named = ("newly_failing", "newly_passing", "disappeared", "unsteady", "flaky")
    keys = ("status", "reason", "command", "kind", "contained", "before", "after", *named)
    document = {"run": result.run, "repo": repo, "base": base, "commit": commit}
    document |= {key: value.get(key, [] if key in named else None) for key in keys}
    if as_json:
        write_json(document)
    else:
        _write(document)
    return 0 if document["status"] == "passed" else 1


def _write(document: dict[str, Any]) -> None:
    style = Style(sys.stdout)
    paint = {"passed": style.green, "failed": style.red}.get(document["status"], style.yellow)
    head = f"{paint(document['status'])}  {document['commit'][:12]}"
    write(head + (f" against {document['base'][:12]}" if document["base"] else ""))
    after, before = document["after"], document["before"]
    failures = after["failures"] if after is not None else []
    rows = [
        ("command", document["command"]),
        ("reason", document["reason"]),
        ("before", _counts(before)),
        ("after" if document["base"] else "tests", _counts(after)),
        *(("new", f"{name} fails") for name in document["newly_failing"][:_SHOWN_MAX]),
        *(("fails", name) for name in failures[:_SHOWN_MAX] if name not in document["newly_failing"]),
        *(("mended", name) for name in document["newly_passing"][:_SHOWN_MAX]),
        *(("flaky", name) for name in document["flaky"][:_SHOWN_MAX]),
    ]
    for name, value in rows:
        if value:
            write(f"  {style.dim(name.ljust(8))} {value}")
    if document["contained"] is False:
        note("the tests were not contained: this machine or its settings can't hold them to their workspace")


def _counts(side: dict[str, Any] | None) -> str | None:
    if side is None:
        return None
    if side["passed"] is None:
        return f"exit code {side['exit_code']}, {side['elapsed_s']:.1f} s"
    text = f"{side['passed']} passed, {side['failed']} failed, {side['skipped']} skipped, {side['elapsed_s']:.1f} s"
    return f"{text} (as of run {side['cached']['run'][:12]})" if side.get("cached") else text
