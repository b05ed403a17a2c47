"""`twelvefold demo`: the whole job, offline, on two throw-away repositories; one of the issues would break a test."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Style, note, write, write_json

if TYPE_CHECKING:
    from ..demonstration import Example
    from ..settings import Settings


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the repositories and the log, and say where.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Run a whole job offline on a throw-away pair of repositories.

    Two issues are worked on at once: one ends in a tested branch, the other, whose edit would break a test, in a
    truthful failure that leaves nothing behind. Shows tree, patch and trace. Exit status 0 if both ended so.
    With --json it is a list of two documents with the keys of `twelvefold run --json`.
    """
    from ..settings import load_settings

    folder = Path(tempfile.mkdtemp(prefix="twelvefold-demo-"))
    settings = load_settings(command_line={"home": ("demo", str(folder / "home"))})
    try:
        documents, good = _show(folder, settings, as_json)
    finally:
        _end(settings)
        if not keep:
            shutil.rmtree(folder)
    if as_json:
        write_json(documents)
    if keep:
        note(f"kept in {folder}; look with: TWELVEFOLD_HOME={folder / 'home'} twelvefold log")
    return 0 if good else 1


def _show(folder: Path, settings: Settings, quiet: bool) -> tuple[list[dict[str, Any]], bool]:
    """Do both jobs at once and show each; return their documents, and whether they ended as they should."""
    from .. import jobs
    from ..agents.job import read_issue, resolve_request
    from ..demonstration import lay_out

    examples = lay_out(folder)
    note(f"two repositories in {folder}, an issue for each; starting a bus, an orchestrator and the agents …")
    owned = jobs.ground(settings, os.environ)
    documents, good = [], True
    with jobs.connect(settings) as client:
        jobs.require_agents(client, settings, owned=owned)
        runs = [
            jobs.start(
                client,
                jobs.Job(
                    issue_name=issue.name,
                    issue_text=read_issue(issue),
                    request=resolve_request(repository),
                    # The repositories need no environment, so this interpreter tests them.
                    path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
                ),
            )
            for _, repository, issue in examples
        ]
        for (example, _, issue), run in zip(examples, runs, strict=True):
            for _event in jobs.follow(client, run, settings, owned=owned):
                pass
            document = jobs.report(client, run)
            documents.append(document)
            good = good and document["outcome"] == example.expected
            if not quiet:
                _show_run(settings.home, example, issue, document)
    return documents, good


def _show_run(home: Path, example: Example, issue: Path, document: dict[str, Any]) -> None:
    """Show one job: issue, outcome, tree, patch and trace."""
    from ..orchestration.task_tree import task_tree
    from ..run_log import RunLog
    from ..tracing.span_source import run_spans
    from .run_documents import tree_lines
    from .run_end import show_document
    from .trace_lines import trace_lines

    style = Style(sys.stdout)
    write("")
    write(style.bold(f"── {example.name}: {issue.read_text().splitlines()[0].lstrip('# ')} ──"))
    show_document(document)
    with RunLog(home) as log:
        view, _ = log.view(document["run"])
        spans = list(run_spans(log, document["run"]))
    write(style.bold("tree"))
    for line in tree_lines(task_tree(view.state), style):
        write("  " + line)
    if document["patch"]:
        write(style.bold("patch"))
        for line in Path(document["patch"]).read_text().splitlines():
            paint = style.green if line.startswith("+") else style.red if line.startswith("-") else style.dim
            write("  " + paint(line))
    write(style.bold("trace") + style.dim("  (when each span began, and how long it took)"))
    for line in list(trace_lines(document["run"], spans, style))[1:]:
        write(line)


def _end(settings: Settings) -> None:
    """Stop what the demonstration started, and take away the folder of its sockets, which nobody will use again."""
    from ..bus.endpoints import endpoints
    from ..orchestration.control import ControlRequest, ask, await_end
    from ..orchestration.errors import NotUp

    try:
        pid = ask(settings.home, settings.runtime_dir, ControlRequest("down"))
        await_end(settings.home, pid, 30.0)
    except NotUp:
        pass  # it had not begun, or has ended by itself
    shutil.rmtree(endpoints(settings.home, settings.runtime_dir).folder)
