"""`twelvefold status` and `tree`: one run as it stands, or while it goes on.

Both read the log's file, so they need no bus and disturb none.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from ..errors import UsageInvalid
from ..orchestration.errors import RunNotFound
from ..orchestration.inbox import waiting_in
from ..orchestration.result import RunView
from ..orchestration.run_state import Run
from ..orchestration.task_tree import task_tree, walk
from ..run_log import RunLog
from ..run_place import open_run
from ..settings import load_settings
from .output import Style, note, redraws, write, write_json, write_jsonl
from .run_documents import (
    asked_line,
    exit_of,
    in_short,
    listed,
    run_state,
    status_document,
    taken_back_rows,
    tree_document,
    tree_lines,
)

#: How often a followed run is looked at.
FOLLOW_INTERVAL_S = 0.1
#: How many children of one node are shown before the others are only counted.
CHILDREN_MAX = 30

_RUN = Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the first digits of it.")]


def status(
    run: _RUN,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Show one run: outcome, tasks, evidence, cost, and what it waits for.

    Exit status: that of `twelvefold run` for a run that has ended or needs a human, else 0. The keys with --json are
    those of `twelvefold run --json`, and state (requested, open, paused, resting, stopping, ended), message, error,
    value, pattern, labels, fork (null, or parent, at, live and lineage: run and until), requested, ended, undone,
    not_undone (paths), budget (tasks, wall_s, tokens, usd: each with limit and spent), waiting (as `twelvefold inbox`
    has it), forgotten (null, or since, by, why, done and freed, see `twelvefold forget`; what is gone is null then);
    each of tasks has state, reason, attempts and undo, too. Cost and time of a fork are its own.
    """
    with open_run(load_settings().home, run, "twelvefold status") as (log, id, _):
        known, document = document_of(log, id)
    if as_json:
        write_json(document)
    else:
        _show(known, document)
    return exit_of(document["outcome"], known.end.get("reason"))


def document_of(log: RunLog, run: str) -> tuple[Run, dict[str, Any]]:
    """Return a run as it stands, and the document that says so; raises RunNotFound."""
    from ..agents.job_report import job_report

    view, events = log.view(run)
    known = view.state
    if known.status == "unknown":
        raise RunNotFound(run)
    report = job_report(run, events, log.load)
    if view.forgotten is not None:
        report["cost"] = msgspec.to_builtins(view.result().cost)
    return known, status_document(known, report, waiting_in(known), view.forgotten)


def tree(
    run: _RUN,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends or needs a human.")] = False,
    all_nodes: Annotated[bool, typer.Option("--all", help="Show every child of nodes that have many.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print each change of a node as a JSON object.")] = False,
) -> int:
    """Show the tree of a run's tasks.

    With --follow it is redrawn on a terminal; elsewhere each change of a node is a line. Exit status: that of
    `twelvefold run` for a run that has ended or needs a human, else 0. The document of --json has the keys run, state,
    outcome, reason and tree: a node with path, pattern (task, undo, a plan's word, or null for what only groups), name,
    agent, state (waiting, requested, backoff, ready, stopping, needs_human or its outcome; of a pattern also open and
    ended), attempts, reason, message, undone and children. A line of --jsonl is a node without its children.
    """
    if follow and as_json:
        raise UsageInvalid("--follow has no end, so it cannot be combined with --json; use --jsonl", "twelvefold tree")
    if as_json and as_jsonl:
        raise UsageInvalid("--json and --jsonl are two forms, choose one", "twelvefold tree")
    with open_run(load_settings().home, run, "twelvefold tree") as (log, id, _):
        view, _ = log.view(id)
        if view.status == "unknown":
            raise RunNotFound(run)
        most = None if all_nodes else CHILDREN_MAX
        if follow and not as_jsonl and redraws(sys.stdout):
            _live(log, view, most)
        elif follow or as_jsonl:
            _changes(log, view, as_jsonl=as_jsonl, follow=follow)
        elif as_json:
            write_json({**_head(view.state), "tree": tree_document(task_tree(view.state))})
        else:
            write("\n".join(_picture(view.state, Style(sys.stdout), most)))
    return exit_of(view.state.outcome, view.state.end.get("reason"))


def _head(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "state": run_state(run),
        "outcome": run.outcome or None,
        "reason": run.end.get("reason") or None,
    }


def _picture(run: Run, style: Style, most: int | None) -> Iterator[str]:
    reason = run.end.get("reason")
    if run.outcome and run_state(run) == "paused":
        # Its answer alone would not let it go on.
        reason = f"{reason}, paused"
    yield f"{style.bold(run.outcome or run_state(run))}  {run.id}" + (f"  {style.dim(str(reason))}" if reason else "")
    yield from tree_lines(task_tree(run), style, most=most)


def _over(view: RunView) -> bool:
    return view.status in ("ended", "resting")


def _more(log: RunLog, view: RunView) -> Iterator[None]:
    """Yield each time that something more of a run has been taken, until it has ended or rests."""
    id = view.state.id
    while not _over(view):
        before = view.last
        while page := log.read(run=id, after=view.last, limit=1000):
            for event in page:
                view.take(event)
        if view.last > before:
            yield
        if not _over(view):
            # Also after news: a picture is dear where there are thousands of tasks.
            time.sleep(FOLLOW_INTERVAL_S)


def _live(log: RunLog, view: RunView, most: int | None) -> None:
    """Keep the tree on the terminal up to date; what doesn't fit is cut while it moves, and whole at the end."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    style = Style(sys.stdout)
    console = Console(highlight=False)

    def picture() -> Text:
        return Text.from_ansi("\n".join(_picture(view.state, style, most)), no_wrap=True)

    with Live(picture(), console=console, auto_refresh=False, transient=True) as live:
        for _ in _more(log, view):
            live.update(picture(), refresh=True)
    write("\n".join(_picture(view.state, style, most)))


def _changes(log: RunLog, view: RunView, *, as_jsonl: bool, follow: bool) -> None:
    """Write each node whose state has changed; at first, all that are not waiting."""
    told: dict[tuple[str, str], tuple[str, int]] = {}

    def tell() -> None:
        for node in walk(task_tree(view.state)):
            key, now = (node.path, node.pattern), (node.state, node.attempts)
            if node.state == "waiting" or told.get(key) == now:
                continue
            told[key] = now
            if as_jsonl:
                line = tree_document(node)
                del line["children"]
                write_jsonl(line)
            else:
                what = node.name or node.agent or node.pattern
                words = " ".join((node.message or node.reason).split())
                write("  ".join(filter(None, (node.path, what, node.state, words))))
        sys.stdout.flush()

    tell()
    if not follow:
        return
    for _ in _more(log, view):
        tell()
    note(f"run {view.state.id}: {view.state.outcome}")


def _origin(fork: dict[str, Any] | None) -> str:
    """Say in words where a fork comes from, and what of it is done for real."""
    if fork is None:
        return ""
    live = f", {' and '.join(fork['live'])} live" if fork["live"] else ", answered from its record"
    return f"{fork['parent']} after position {fork['at']}{live}"


def _show(run: Run, document: dict[str, Any]) -> None:
    """Write a run as people read it."""
    style = Style(sys.stdout)
    write("\n".join(_picture(run, style, CHILDREN_MAX)))
    bounds = [f"{name} {one['spent']:g}/{one['limit']:g}" for name, one in document["budget"].items() if one["limit"]]
    cost = document["cost"]
    tokens, usd = [cost["tokens_in"], cost["tokens_out"]], cost["usd"]
    spent = "+".join("?" if one is None else str(one) for one in tokens)
    used = f"{cost['model_calls']} model calls, {spent} tokens, {'?' if usd is None else f'{usd:g}'} USD"
    value = document["value"]
    rows = [
        ("fork of", _origin(document["fork"])),
        ("requested", document["requested"]),
        ("ended", document["ended"]),
        ("labels", ", ".join(f"{name}={value}" for name, value in document["labels"].items())),
        ("branch", document["branch"]),
        ("message", document["message"]),
        ("error", in_short(document["error"])),
        ("value", in_short(value)),
        *taken_back_rows(document),
        ("evidence", listed([f"{one['kind']} {in_short(one['ref'])[:40]}" for one in document["evidence"]])),
        ("budget", ", ".join(bounds)),
        ("cost", used if cost["model_calls"] else ""),
    ]
    for name, told in rows:
        if told:
            write(f"  {style.dim(name.ljust(9))} {told}")
    if document["forgotten"]:
        why = f": {document['forgotten']['why']}" if document["forgotten"]["why"] else ""
        note(f"the run was forgotten at {document['forgotten']['since']}{why}; payloads, blobs and commits are gone")
    for one in document["waiting"]:
        write(
            f"  {style.yellow('waits'.ljust(9))} {one['id']}  {one['kind']} {one['path']}: {in_short(asked_line(one))}"
        )
    if document["waiting"]:
        note("answer what it asks: twelvefold inbox")
