"""`twelvefold forget`: frees payloads, blobs and commits of runs, previewed, for good."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Any

import msgspec
import typer

from ..agents.forgetting import Kept
from ..errors import UsageInvalid
from ..eventstore.presence import is_there
from ..forget_preview import Candidate, candidates, imported_copy, older_than, unfinished
from ..forgetting import Done, forget_runs, nothing_freed
from ..moments import parse_moment
from ..run_ids import resolve_run
from ..run_import import remove_import
from ..run_log import RunLog
from ..run_place import KnownRuns, imported_runs
from ..settings import load_settings
from .confirmation import NotConfirmed, confirmed
from .output import Style, in_units, note, redraws, rfc3339, write, write_json, write_table
from .run_documents import age

_COMMAND = "twelvefold forget"
_COLUMNS = ("run", "outcome", "ended", "payloads", "bytes", "blobs", "stores", "disk", "note")


def forget(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Their ids, or the first digits of them.")
    ] = None,
    older: Annotated[
        str | None, typer.Option("--older-than", metavar="T", help="All that ended before: 90d, 2026-01-31.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stays in the log.")] = "",
    compact: Annotated[
        bool | None,
        typer.Option("--compact/--no-compact", help="Write the log's file anew to give space back, or don't."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be freed, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Free what the log and the disk hold of runs; headers and outcomes stay.

    Freed are the payloads of a run's events, blobs that nothing else names, its stores with all their commits, its
    workspaces and patches. What stays are the events' headers and hashes, so that the log still verifies, and of the
    run its outcome, reason and cost. It can't be replayed, forked, rolled back or compared any more, and an export of
    it has no more than that. A run that has not ended is refused, and one whose fork isn't forgotten with it;
    --older-than leaves those out. Works while a bus runs and when none does. Freed space is given back by writing the
    log's file anew: at once where no bus runs or the file is small (128 MiB), else with --compact only, as the bus does
    nothing else meanwhile.

    The keys with --json are runs (each with run, outcome, ended, payloads, bytes, blobs, blob_bytes, stores,
    workspaces, patches, disk_bytes, already, imported, refused), done, freed (runs, payloads, bytes, blobs, blob_bytes,
    stores, workspaces, patches, disk_bytes; null before), log (bytes_before, bytes_after, compacted, problem, by).
    """
    if not runs and older is None and compact is not True:
        raise UsageInvalid("name runs, or say --older-than", _COMMAND)
    found = _found(list(runs or ()), older)
    due = [one for one in found if one.is_due]
    if not as_json:
        if runs or older:
            _preview(found)
    elif not yes and not dry_run:
        note(f"{_count(len(due), 'run')} would be forgotten")
    if dry_run or (not due and compact is not True):
        done = None
    elif not _go_on(due, found, _command_line(runs, older), yes=yes, as_json=as_json):
        note("nothing was forgotten")
        return 1
    else:
        done = _carried_out(due, reason, compact)
    if as_json:
        write_json(_document(found, done))
    elif done is not None:
        _told(done)
    return 0


def _go_on(due: list[Candidate], found: list[Candidate], command: str, *, yes: bool, as_json: bool) -> bool:
    """Ask, unless that was answered; raises NotConfirmed, after the document of what would be freed."""
    what = _count(len(due), "run")
    if not due:
        return True  # nothing is lost by writing the log's file anew
    try:
        return confirmed(f"Forget {what}, for good?", f"forgetting {what}", command, yes=yes)
    except NotConfirmed:
        if as_json:
            write_json(_document(found, None))
        raise


def _carried_out(due: list[Candidate], reason: str, compact: bool | None) -> Done:
    settings = load_settings()
    own = [one.run for one in due if not one.imported]
    copies = [one for one in due if one.imported]
    for one in copies:
        remove_import(settings.home, one.run)
    if own or not copies or compact:
        done = forget_runs(settings, own, reason=reason, compact=compact, progress=_progress())
    else:
        done = nothing_freed(settings.home)
    freed = done.kept.plus(Kept(bytes=sum(one.kept.bytes for one in copies)))
    return msgspec.structs.replace(done, runs=done.runs + len(copies), kept=freed)


def _found(given: list[str], older: str | None) -> list[Candidate]:
    """Return the runs that are meant, the named ones first; raises what stands against forgetting a named one."""
    home = load_settings().home
    imported = imported_runs(home)
    found: list[Candidate] = []
    named: list[str] = []
    with ExitStack() as stack:
        has_log = is_there(home / "log.db") or not imported
        log = stack.enter_context(RunLog(home)) if has_log else None
        for run in dict.fromkeys(resolve_run(KnownRuns(log, imported), one, _COMMAND) for one in given):
            if log is None or (run in imported and not log.runs(run, 1)):
                found.append(imported_copy(home, run))
            else:
                named.append(run)
        if log is None:
            return found
        aged = [] if older is None else older_than(log, parse_moment(older, time.time_ns())) + unfinished(home, log)
        return found + candidates(home, log, named, [run for run in aged if run not in named])


def _command_line(runs: list[str] | None, older: str | None) -> str:
    return " ".join([_COMMAND, *(runs or ()), *([] if older is None else ["--older-than", older])])


def _preview(found: list[Candidate]) -> None:
    """Show what would be freed of each run, and of all together."""
    rows = [
        {
            "run": one.run,
            "outcome": one.outcome,
            "ended": f"{age(one.ended_ns)} ago" if one.ended_ns else None,
            "payloads": one.payloads,
            "bytes": in_units(one.bytes),
            "blobs": in_units(one.blob_bytes),
            "stores": one.kept.stores,
            "disk": in_units(one.kept.bytes),
            "note": _note(one),
        }
        for one in found
    ]
    write_table(rows, _COLUMNS, empty="no runs to forget")
    due = [one for one in found if one.is_due]
    if len(due) > 1:
        beside = sum(one.blob_bytes + one.kept.bytes for one in due)
        payloads, size = sum(one.payloads for one in due), sum(one.bytes for one in due)
        together = f"{payloads} payloads ({in_units(size)}), up to {in_units(beside)} beside the log"
        note(f"{_count(len(due), 'run')}: {together}")


def _note(one: Candidate) -> str | None:
    if one.refused:
        return f"stays: {one.refused}"
    if one.already:
        return "forgotten already" if one.done and not one.is_due else "forgotten already; the rest is freed"
    return "imported copy" if one.imported else None


def _document(found: list[Candidate], done: Done | None) -> dict[str, Any]:
    rows = [
        {
            "run": one.run,
            "outcome": one.outcome,
            "ended": rfc3339(one.ended_ns) if one.ended_ns else None,
            "payloads": one.payloads,
            "bytes": one.bytes,
            "blobs": one.blobs,
            "blob_bytes": one.blob_bytes,
            **_kept(one.kept),
            "already": one.already,
            "imported": one.imported,
            "refused": one.refused or None,
        }
        for one in found
    ]
    if done is None:
        return {"runs": rows, "done": False, "freed": None, "log": None}
    freed = {name: getattr(done, name) for name in ("runs", "payloads", "bytes", "blobs", "blob_bytes")}
    log = {
        "bytes_before": done.log_bytes_before,
        "bytes_after": done.log_bytes_after,
        "compacted": done.compacted,
        "problem": done.problem or None,
        "by": done.by,
    }
    return {"runs": rows, "done": True, "freed": {**freed, **_kept(done.kept)}, "log": log}


def _kept(kept: Kept) -> dict[str, int]:
    return {"stores": kept.stores, "workspaces": kept.workspaces, "patches": kept.patches, "disk_bytes": kept.bytes}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _told(done: Done) -> None:
    """Say what was freed, and what became of the log's file."""
    style = Style(sys.stdout)
    beside = done.blob_bytes + done.kept.bytes
    freed = f"{_count(done.payloads, 'payload')} ({in_units(done.bytes)}), {_count(done.blobs, 'blob')}"
    if done.runs or done.payloads or beside:
        write(
            f"{style.green('forgotten')}: {_count(done.runs, 'run')}; freed {freed} and "
            f"{_count(done.kept.stores, 'store')} ({in_units(beside)})"
        )
    before, after = in_units(done.log_bytes_before), in_units(done.log_bytes_after)
    if done.problem:
        note(f"the log's file keeps its size of {after}, as it could not be written anew: {done.problem}")
    elif done.compacted:
        note(f"the log's file had {before}, and has {after} now")
    elif done.bytes:
        note(f"the log's file keeps its size of {after}; to give the freed space back: {_COMMAND} --compact")


def _progress() -> Callable[[int, int], None]:
    """Return what tells on a terminal how far it is."""
    if not redraws(sys.stderr):
        return lambda done, all: None

    def tell(done: int, all: int) -> None:
        sys.stderr.write(f"\r\x1b[K{done} of {all} runs" if done < all else "\r\x1b[K")
        sys.stderr.flush()

    return tell
