"""`twelvefold bus`, `orchestrator` and `agent`: the processes themselves, as lines of a Procfile call them.

Each is a thin call: settings are read here and handed down as plain values.
"""

from __future__ import annotations

import gc
import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..home import make_home
from ..settings import load_settings
from .output import note

#: Folding makes much that stays for a while and little that only a search can free: after so many objects it is made.
_GARBAGE_AFTER_OBJECTS = 20_000


def _fold_ready(name: str) -> None:
    """Say that a process which folds is ready; what it is made of stays for good, and need not be searched."""
    gc.freeze()
    gc.set_threshold(_GARBAGE_AFTER_OBJECTS)
    note(f"{name} ready")


def bus() -> int:
    """Run the bus: the process that owns the log.

    Ends at SIGTERM or Ctrl-C. A home has one bus; `twelvefold up` starts it by itself.
    """
    from ..bus.broker import Options
    from ..bus.endpoints import endpoints
    from ..bus.keys import KEYS_VARIABLE, told_keys
    from ..bus.process import main

    settings = load_settings()
    home = make_home(settings.home)
    options = Options(
        lease_s=settings.lease_s, stop_timeout_s=settings.stop_timeout_s, attempts_max=settings.attempts_max
    )
    places = endpoints(home, settings.runtime_dir)
    keys = told_keys(os.environ.pop(KEYS_VARIABLE, ""))
    ready = partial(note, f"bus ready at {places.ingress}")
    return main(home, places, settings.durability, options, ready=ready, keys=keys)


def orchestrator() -> int:
    """Run the orchestrator: the process that decides.

    Ends at SIGTERM or Ctrl-C. A second one on the same home does no harm; `twelvefold up` starts it by itself.
    """
    from .. import __version__
    from ..bus.endpoints import endpoints
    from ..bus.keys import KEYS_VARIABLE, told_keys
    from ..orchestration.process import main

    settings = load_settings()
    return main(
        endpoints(settings.home, settings.runtime_dir),
        settings.home,
        instance=os.environ.get("TWELVEFOLD_INSTANCE") or "orchestrator",
        versions={"twelvefold": __version__},
        ready=partial(_fold_ready, "orchestrator"),
        timeout_s=settings.timeout_s,
        keys=told_keys(os.environ.pop(KEYS_VARIABLE, "")),
    )


def projector() -> int:
    """Run the projector: the process that keeps read models up to date.

    Ends at SIGTERM or Ctrl-C. `twelvefold up` starts it by itself, unless the Procfile has a line of its name. Without
    one everything works: read models are folded when they are asked for.
    """
    from ..bus.endpoints import endpoints
    from ..orchestration.projector import main

    settings = load_settings()
    return main(
        endpoints(settings.home, settings.runtime_dir),
        settings.home,
        instance=os.environ.get("TWELVEFOLD_INSTANCE") or "projector",
        ready=partial(_fold_ready, "projector"),
        say=note,
    )


def agent(
    target: Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="The agent's class; MODULE from this folder.")],
    name: Annotated[
        str, typer.Option("--name", metavar="QUEUE", help="The queue it takes tasks from; else its class's own.")
    ] = "",
    only: Annotated[bool, typer.Option("--only", help="Take tasks from no queue of the class's capabilities.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="Where MODULE is; else this folder.")
    ] = None,
) -> int:
    """Run one agent: `agent MODULE:CLASS`.

    It takes tasks from its queue one at a time: `issue_fixer` for a class IssueFixerAgent, unless --name says
    otherwise; and from those of the class's `capabilities`. Ends at SIGTERM or Ctrl-C after the task at hand; asked
    twice, at once.
    """
    from ..agent_environment import agent_environment, agent_settings_of
    from ..agents.process import run_agent

    settings = load_settings()
    return run_agent(
        target,
        home=settings.home,
        runtime_dir=settings.runtime_dir,
        folder=folder or Path.cwd(),
        name=name,
        only=only,
        instance=os.environ.get("TWELVEFOLD_INSTANCE", ""),
        stop_timeout_s=settings.stop_timeout_s,
        timeout_s=settings.timeout_s,
        settings=agent_settings_of(settings, agent_environment(settings, os.environ)),
    )
