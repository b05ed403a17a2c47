"""`twelvefold runs`: the runs in the log, the latest first.

Reads the file itself, so it works whether anything runs or not; a page costs the same however long the log is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageInvalid
from ..eventstore.reader import LogReader
from ..moments import parse_moment
from ..orchestration.run_index import RunSummary, list_runs, matches, summary_of
from ..run_ids import resolve_run
from ..run_place import imported_runs, imports_folder, open_own_log
from ..settings import load_settings
from .output import note, write_json, write_jsonl, write_table
from .run_documents import age, summary_document

_STATES = ("requested", "open", "paused", "resting", "ended")
_OUTCOMES = ("succeeded", "nothing_to_do", "failed", "cancelled", "rolled_back", "needs_human")


def runs(
    state: Annotated[
        list[str] | None, typer.Option("--state", metavar="S", help=f"Only those: {', '.join(_STATES)}.")
    ] = None,
    outcome: Annotated[
        list[str] | None, typer.Option("--outcome", metavar="O", help=f"Only those: {', '.join(_OUTCOMES)}.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="Only those with this label.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="T", help="Only those requested from a moment on: 5m, 2026-01-31T12:00Z.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 20,
    before: Annotated[
        str | None, typer.Option(metavar="RUN", help="Only those before this one: the next page.")
    ] = None,
    imported: Annotated[bool, typer.Option("--imported", help="Those that were imported instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
) -> None:
    """List runs, the latest first.

    --state, --outcome and --label may be given several times. Works while a bus runs and when none does. The keys with
    --json are run, state (requested: not decided yet, open, paused, resting: needs a human, ended), outcome (null while
    open), reason, pattern (of its plan), labels, fork (null, or parent and at), requested, ended, elapsed_s, positions
    (first, last), forgotten (see `twelvefold forget`).
    """
    for what, given, known in (("--state", state, _STATES), ("--outcome", outcome, _OUTCOMES)):
        for word in given or ():
            if word not in known:
                raise UsageInvalid(f"{what}: there is no {word!r}, only {', '.join(known)}", "twelvefold runs")
    labels = dict(_label(text) for text in label or ())
    now = time.time_ns()
    low = 0 if since is None else parse_moment(since, now)
    home, fits = load_settings().home, matches(state or (), outcome or (), labels)
    if imported:
        found = _imported(home, before or "", fits, low)[: limit + 1]
    else:
        with open_own_log(home) as reader:
            start = "" if before is None else resolve_run(reader, before, "twelvefold runs --before")
            begun = bool(state) and set(state or ()) <= {"open", "paused", "resting"}
            fitting = list_runs(reader, before=start, only=fits, until_ns=low, begun=begun)
            found = list(islice(fitting, limit + 1))
    rows = [summary_document(one, now) for one in found[:limit]]
    if as_json:
        write_json(rows)
    elif as_jsonl:
        for row in rows:
            write_jsonl(row)
    else:
        table = [_row(row, one.requested_ns, now) for row, one in zip(rows, found, strict=False)]
        write_table(table, ("run", "state", "requested", "elapsed", "what", "reason"), empty="no runs match")
    if len(found) > limit:
        note(f"there are more: twelvefold runs{' --imported' if imported else ''} --before {rows[-1]['run']}")


def _imported(home: Path, before: str, fits: Callable[[RunSummary], bool], low: int) -> list[RunSummary]:
    """Return the imported runs that fit, the one requested last first; those before one whose id begins so."""
    summaries = []
    for run in imported_runs(home):
        with LogReader(imports_folder(home) / run / "log.db") as reader:
            summaries.append(summary_of(reader, run, {}))
    known = sorted((one for one in summaries if one is not None), key=lambda one: one.requested_ns, reverse=True)
    start = next((n for n, one in enumerate(known, 1) if before and one.run.startswith(before)), 0)
    return [one for one in known[start:] if one.requested_ns >= low and fits(one)]


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageInvalid(f"--label: {text!r} is not NAME=VALUE", "twelvefold runs")
    return name, value


def _row(row: dict[str, Any], requested_ns: int, now: int) -> dict[str, Any]:
    labels = row["labels"]
    what = labels.get("issue") or " ".join(f"{name}={value}" for name, value in labels.items()) or row["pattern"]
    if row["forgotten"]:
        what = "(forgotten)"
    if row["fork"] is not None:
        what = f"fork of {row['fork']['parent'][:12]} at {row['fork']['at']}: {what or ''}".rstrip(": ")
    return {
        "run": row["run"],
        "state": row["outcome"] or row["state"],
        "requested": f"{age(requested_ns, now)} ago",
        "elapsed": f"{row['elapsed_s']:.1f}s",
        "what": what,
        "reason": row["reason"],
    }
