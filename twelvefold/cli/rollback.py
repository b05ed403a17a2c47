"""`twelvefold rollback`: takes a run back to how it was at a position, shown before it is done."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from .confirmation import NotConfirmed, confirmed
from .output import Style, note, write, write_json

if TYPE_CHECKING:
    from ..orchestration.rollback_preview import Undone
    from ..rollback import Rollback

_COMMAND = "twelvefold rollback"
_EXITS = {"rolled_back": 0, "needs_human": 7}
#: How many lines of one kind are shown.
_SHOWN_MAX = 20


def rollback(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the first digits of it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the run's end.")],
    to: Annotated[
        int | None, typer.Option("--to", metavar="POS", help="To how it was after this event; its beginning.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would do, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Don't wait for its end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Take a run back to how it was: compensate, restore files.

    Whether it is open or has ended: what is at work is withdrawn, what was done since is compensated in reverse, its
    workspaces and published branches become what they were at the position, and the run ends as rolled_back. Nothing
    is deleted from the log; to go on from there, fork. What it would do is shown first, with what can't be undone. A
    branch that somebody has moved stays where it is, and the inbox says so. Files that the repository ignores are not
    recorded, so they don't come back. Asking twice changes nothing.

    Exit status: 0 rolled back, 7 needs a human. The keys with --json are run, to, state (new, under_way, done, again),
    reason, outcome (null before), preview (withdrawn, compensations, not_undone, undone_before, effects, workspaces,
    branches, forks, unrecorded), undone and not_undone (paths), workspaces (key, folder, store, commit, tree, state),
    branches (repo, ref, was, commit, at, state: restored, moved, failed), waiting (as `inbox` has it), position (of its
    end); with --detach run, to and asked (the position of the request).
    """
    from ..rollback import plan_rollback
    from ..settings import load_settings

    found = plan_rollback(load_settings().home, run, to)
    if not as_json:
        _show(found)
    if dry_run or found.state == "done":
        if as_json:
            write_json(_document(found))
        elif found.state == "done":
            note("it was rolled back to there before: nothing is left to do")
        return 0
    what = f"Roll run {found.run.id[:13]} back to position {found.to}?"
    try:
        go_on = confirmed(what, "rolling a run back", _command_line(run, to, reason), yes=yes)
    except NotConfirmed:
        if as_json:
            write_json(_document(found))
        raise
    if not go_on:
        note("nothing was done")
        return 1
    return _order(found, reason, detach=detach, as_json=as_json)


def _command_line(run: str, to: int | None, reason: str) -> str:
    import shlex

    return " ".join([_COMMAND, run, *([] if to is None else ["--to", str(to)]), "--reason", shlex.quote(reason)])


def _order(found: Rollback, reason: str, *, detach: bool, as_json: bool) -> int:
    """Ask for the rollback, follow it to its end, and show what came of it."""
    from .. import jobs
    from ..left_alone import Watchman
    from ..orchestration import submit
    from ..plan_runs import ground
    from ..settings import load_settings
    from .run_progress import progress

    settings, run = load_settings(), found.run.id
    owned = ground(settings, os.environ, found.queues)
    with jobs.connect(settings) as client:
        jobs.require_agents(client, settings, owned=owned, queues=found.queues)
        again = found.state == "again"
        asked = submit.rollback(client, run, found.to, reason, again=again).position
        if detach:
            write_json({"run": run, "to": found.to, "asked": asked}) if as_json else write(run)
            note(f"follow it with: twelvefold tree {run} -f")
            return 0
        with progress(run, quiet=as_json) as show:
            for event in submit.follow(client, run, on_idle=Watchman(client, settings, run).look):
                if event.position > asked:
                    show(event)
    document = _document(found, _ended(run))
    if as_json:
        write_json(document)
    else:
        _show_end(document)
    return _EXITS.get(document["outcome"], 1)


def _ended(run: str) -> dict[str, Any]:
    """Return what the log says of how it ended, or where it rests."""
    from ..orchestration.inbox import waiting_in
    from ..run_log import RunLog
    from ..settings import load_settings
    from .run_documents import waiting_document

    with RunLog(load_settings().home) as log:
        view = log.view(run)[0]
    state = view.state
    files = (state.rollback.files if state.rollback is not None else None) or {}
    return {
        "outcome": state.outcome or None,
        "undone": list(state.end.get("undone") or ()),
        "not_undone": list(state.end.get("not_undone") or ()),
        "workspaces": list(files.get("workspaces") or ()),
        "branches": list(files.get("branches") or ()),
        "waiting": [waiting_document(one) for one in waiting_in(state)],
        "position": view.last,
        "reason": state.end.get("reason") or None,
    }


def _document(found: Rollback, ended: dict[str, Any] | None = None) -> dict[str, Any]:
    tasks = msgspec.to_builtins(found.tasks)
    names = ("withdrawn", "compensations", "not_undone", "undone_before", "effects")
    told = {name: tasks[name] for name in names}
    told |= {name: getattr(found, name) for name in ("workspaces", "branches", "forks", "unrecorded")}
    document = {"run": found.run.id, "to": found.to, "state": found.state, "reason": None, "outcome": None}
    if ended is None and found.state == "done":
        ended = _ended(found.run.id)
    lacking: dict[str, Any] = {
        "undone": [],
        "not_undone": [],
        "workspaces": [],
        "branches": [],
        "waiting": [],
        "position": None,
    }
    return {**document, "preview": told, **(lacking if ended is None else ended)}


def _show(found: Rollback) -> None:
    """Show what it would do: what is undone, what can't be, files and branches."""
    style, tasks = Style(sys.stdout), found.tasks
    there = f", after {found.event.type}" if found.event is not None else ""
    write(f"{style.bold(f'rollback to position {found.to}')}{there}  {found.run.id}")
    _rows("withdraws", style.yellow, [f"{one.path} {one.agent}" for one in tasks.withdrawn])
    _rows("undoes", style.green, [_undone(one) for one in tasks.compensations])
    _stays(found, style)
    since = [f"{one.path} {one.agent}: was undone since, and stays so" for one in tasks.undone_before]
    _rows("can't redo", style.red, since)
    files = [f"{one['key']} at {one['commit'][:12]} in {one['folder']}" for one in found.workspaces]
    _rows("files", style.green, files)
    _rows("loses", style.red, [f"changes that nothing has recorded in {folder}" for folder in found.unrecorded])
    for one in found.branches:
        branch, to = str(one["ref"]).removeprefix("refs/heads/"), one["commit"]
        if one["state"] == "ready":
            _rows(
                "branch",
                style.green,
                [f"{branch} {'goes back to ' + to[:12] if to else 'is deleted'} in {one['repo']}"],
            )
        elif one["state"] != "restored":
            _rows("branch", style.red, [f"stays, for you to look at: {one['problem']}"])
    _rows("forks", style.yellow, [f"{one} goes on from what is undone here" for one in found.forks])
    if not (tasks.withdrawn or tasks.compensations or found.workspaces or found.branches):
        note("there is nothing to undo")
    if found.workspaces:
        note("files come back as they were committed; those that the repository ignores don't")


def _stays(found: Rollback, style: Style) -> None:
    """Show what has no compensation: in red what was done to the world and may not be done twice."""
    effects: dict[str, list[str]] = {}
    for effect in found.tasks.effects:
        effects.setdefault(effect.path, []).append(f"{effect.kind} {effect.name} at {effect.position}")
    once = {effect.path for effect in found.tasks.effects if effect.effect == "once"}
    for one in found.tasks.not_undone:
        name, paint = ("can't undo", style.red) if one.path in once else ("keeps", style.dim)
        why = "its undoing was given up" if f"{one.path}.undo" in found.run.tasks else "has no compensation"
        _rows(name, paint, [f"{one.path} {one.agent}: {why}" + _added(effects.get(one.path))])


def _undone(one: Undone) -> str:
    where = f", done at {one.position}" if one.position is not None else ""
    return f"{one.path} {one.agent}".rstrip() + f": by {one.by}{where}"


def _added(effects: list[str] | None) -> str:
    if not effects:
        return ""
    more = f" and {len(effects) - _SHOWN_MAX} more" if len(effects) > _SHOWN_MAX else ""
    return f"; it did {', '.join(effects[:_SHOWN_MAX])}{more}"


def _rows(name: str, paint: Any, rows: list[str]) -> None:
    for row in rows[:_SHOWN_MAX]:
        write(f"  {paint(name.ljust(10))} {row}")
    if len(rows) > _SHOWN_MAX:
        write(f"  {' ' * 10} and {len(rows) - _SHOWN_MAX} more")


def _show_end(document: dict[str, Any]) -> None:
    from .run_documents import asked_line

    style, outcome = Style(sys.stdout), document["outcome"]
    paint = style.green if outcome == "rolled_back" else style.yellow
    write(f"{paint(outcome or 'open')}  {document['run']}  to position {document['to']}")
    _rows("undone", style.dim, [", ".join(document["undone"])] if document["undone"] else [])
    _rows("not undone", style.red, [", ".join(document["not_undone"])] if document["not_undone"] else [])
    for one in (*document["workspaces"], *document["branches"]):
        if one.get("state") == "restored" and "folder" in one:
            _rows("files", style.dim, [f"{one['key']} at {one['commit'][:12]} in {one['folder']}"])
        elif one.get("state") == "restored":
            at = f"at {one['at'][:12]}" if one.get("at") else "is not there"
            _rows("branch", style.dim, [f"{str(one['ref']).removeprefix('refs/heads/')} {at} in {one['repo']}"])
        elif one.get("state") != "restored":
            _rows("stays", style.red, [str(one.get("problem"))])
    _rows("asks", style.yellow, [f"{one['id']} {one['path']}: {asked_line(one)}" for one in document["waiting"]])
    if document["waiting"]:
        note("answer it: twelvefold inbox")
