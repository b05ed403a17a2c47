"""`twelvefold pause`, `resume` and `cancel`: what people ask of a run that is open."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from ..connection import SyncConnection, connect_sync
from ..orchestration.errors import RunNotFound
from ..orchestration.run_errors import RunHasEnded
from ..orchestration.run_state import Run
from ..plan_runs import revive
from ..run_place import open_own_run
from ..settings import load_settings
from .output import note, write, write_json

_RUN = Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the first digits of it.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def pause(run: _RUN, as_json: _JSON = False) -> None:
    """Pause a run: it starts nothing new until it is resumed.

    What agents are at goes on, and its outcome counts; what must be undone is undone; timeouts and budgets go on. A
    pause holds over restarts of everything. The keys with --json are run, asked (pause) and position (of the request).
    """
    known = _open_run(run, "pause", "paused")
    _ask(known, "pause", as_json, "is paused already" if known.pause_asked else "starts nothing new")


def resume(run: _RUN, as_json: _JSON = False) -> None:
    """Resume a run that is paused.

    The keys with --json are run, asked (resume) and position (of the request).
    """
    known = _open_run(run, "resume", "resumed")
    _ask(known, "resume", as_json, "goes on" if known.pause_asked else "was not paused")


def cancel(
    run: _RUN,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the run's end.")] = "",
    as_json: _JSON = False,
) -> None:
    """Cancel a run: what is open is taken back, what was done is undone.

    Returns as soon as the request is in the log; `twelvefold tree RUN -f` follows the run to its end. The keys with
    --json are run, asked (cancel) and position (of the request).
    """
    known = _open_run(run, "cancel", "cancelled")
    _ask(known, "cancel", as_json, "is taken back", reason=reason)


def _open_run(given: str, command: str, asked: str) -> Run:
    """Return the run that is meant, as it stands; raises RunNotFound, PrefixAmbiguous, RunReadOnly, RunHasEnded."""
    with open_own_run(load_settings().home, given, f"twelvefold {command}") as (log, id):
        run = log.view(id)[0].state
    if run.status == "unknown":
        raise RunNotFound(given)
    if run.status == "ended":
        raise RunHasEnded(run.id, run.outcome, asked)
    return run


def _ask(run: Run, what: str, as_json: bool, words: str, **about: Any) -> None:
    revive(load_settings(), os.environ, run.plan)
    with connect_sync() as bus:
        call = getattr(SyncConnection, what)
        event = call(bus, run.id, **about)
    if as_json:
        write_json({"run": run.id, "asked": what, "position": event.position})
    else:
        write(run.id)
        note(f"the run {words}; follow it with: twelvefold tree {run.id} -f")
