"""`twelvefold fork`: a new run that goes on from a position of another."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from ..bus.errors import BusNotRunning
from ..connection import connect_sync
from ..errors import UsageInvalid
from ..orchestration.errors import NotUp
from ..orchestration.fork_changes import untaken
from ..orchestration.fork_preview import ForkPreview, preview_fork
from ..orchestration.forking import as_value, checked_layers, fork_request
from ..orchestration.home_lock import holder_of
from ..plan_runs import revive
from ..run_log import RunLog
from ..run_place import open_own_run
from ..settings import load_settings
from .confirmation import confirmed
from .output import Style, note, write, write_json
from .run_documents import listed

_RUN = Annotated[str, typer.Argument(metavar="RUN", help="The run to fork: its id, or the first digits of it.")]


def fork(
    run: _RUN,
    at: Annotated[int, typer.Option("--at", metavar="POS", help="Go on from how it was after the event there.")],
    live: Annotated[
        str, typer.Option("--live", metavar="LAYERS", help="Do these for real: model, tools, or model,tools.")
    ] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="K=V", help="Change what was asked for: input.NAME, budget.tokens, plan.…"),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the fork to its end.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before effects may be repeated.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Fork a run: a new one goes on from a position of it, with today's code.

    What the run did up to there is shared, not copied, and stays done; what was open is requested anew, and what was
    recorded for it is not done again. From there on, models and tools are answered from what the run recorded later,
    strictly: a task that asks for anything else fails, reason recorded_miss. With --live they are done for real, which
    may repeat effects: that is shown first and asked. Nothing of the forked run changes. `twelvefold log --run RUN`
    shows positions.

    --set changes what was asked for, and may be given several times: a field of the input (NAME or input.NAME), a
    place in the plan (plan.steps.1.input), a bound (budget.tokens), labels.NAME, levels.NAME, settings.NAME of agents
    (settings.model), timeout_s, depth_max. Values are JSON, or else text.

    Returns once the fork is in the log, with --follow at its end, with the exit status of `twelvefold run`. The keys
    with --json are run (the fork), parent, at, live, set, anew (path and agent of what is requested once more), asks
    (paths of what a human is asked again), paused (as the run was there), served (recorded results of anew) and
    repeated (layer, kind, name, effect, count of what may happen again).
    """
    if follow and as_json:
        raise UsageInvalid("--follow has no end, so it cannot be combined with --json", "twelvefold fork")
    layers, given = checked_layers(live), dict(_change(text) for text in changes or ())
    parent, preview, untaken = _prepare(run, at, layers, given, shown=bool(layers) or as_json)
    for name in untaken:
        note(f"--set {name}: no task of the plan takes that of the run's input; what a task has of its own is plan.…")
    if layers and preview is not None:
        _show(preview, layers)
        line = f"twelvefold fork {run} --at {at} --live {live}"
        if not confirmed("Fork it so?", "a fork whose effects may be repeated", line, yes=yes):
            note("nothing was forked")
            return 1
    new = _fork(parent, at, layers, given)
    if as_json and preview is not None:
        write_json(_document(new, preview, layers, given))
        return 0
    write(new)
    if follow:
        from .status import tree

        return tree(new, follow=True)
    note(f"it goes on from position {at}; follow it with: twelvefold tree {new} -f")
    return 0


def _prepare(
    run: str, at: int, layers: tuple[str, ...], changes: dict[str, Any], *, shown: bool
) -> tuple[str, ForkPreview | None, tuple[str, ...]]:
    """Return the whole id of a run that can be forked so, what is to be shown of that, and the changes that no task
    takes; raises what can't be.
    """
    with open_own_run(load_settings().home, run, "twelvefold fork") as (log, parent):
        fork_request(log, parent, at, live=layers, set=changes, load=log.load)
        preview = preview_fork(log, parent, at, layers, log.load) if shown else None
        missed = untaken(log.view(parent)[0].state, changes) if changes else ()
    return parent, preview, missed


def _fork(run: str, at: int, layers: tuple[str, ...], changes: dict[str, Any]) -> str:
    """Fork a run and return the fork, having something run that goes on with it; raises NotUp where that is not ours
    to start.
    """
    settings = load_settings()
    if holder_of(settings.home) is None:
        with RunLog(settings.home) as log:
            revive(settings, os.environ, log.view(run)[0].state.plan)
    try:
        with connect_sync() as bus:
            return bus.fork(run, at, live=layers, set=changes)
    except BusNotRunning:
        raise NotUp(str(settings.home)) from None


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageInvalid(f"--set: {text!r} is not K=V", "twelvefold fork")
    return name, as_value(value)


def _show(preview: ForkPreview, layers: tuple[str, ...]) -> None:
    """Show on stderr what a fork with live layers will do, and may do again."""
    style = Style(sys.stderr)
    note(style.bold(f"a fork of {preview.run} after position {preview.at}, with {' and '.join(layers)} live"))
    rows = [
        ("stays done", listed(preview.done)),
        ("anew", listed([f"{path} {agent}" for path, agent in preview.anew])),
        ("recorded", _results(preview.served)),
        ("asks again", listed(preview.asks)),
        ("paused", "as the run was there, until it is resumed" if preview.paused else ""),
        *(
            (
                "may repeat" if n == 0 else "",
                f"{one.kind} {one.name} ({one.effect}), which the run did {_times(one.count)} later",
            )
            for n, one in enumerate(preview.repeated)
        ),
    ]
    for name, told in rows:
        if told:
            note(f"  {style.dim(name.ljust(10))} {told}")


def _results(count: int) -> str:
    if count == 1:
        return "1 result of these, which is not done again"
    return f"{count} results of these, which are not done again" if count else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _document(new: str, preview: ForkPreview, layers: tuple[str, ...], changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "run": new,
        "parent": preview.run,
        "at": preview.at,
        "live": list(layers),
        "set": changes,
        "anew": [{"path": path, "agent": agent} for path, agent in preview.anew],
        "asks": list(preview.asks),
        "paused": preview.paused,
        "served": preview.served,
        "repeated": [
            {"layer": one.layer, "kind": one.kind, "name": one.name, "effect": one.effect, "count": one.count}
            for one in preview.repeated
        ],
    }
