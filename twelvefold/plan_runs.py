"""Running a plan that a user has written: reading its file, and seeing to it that something runs which can do it.

What a plan means is orchestration's; what the command line shows of it, `cli/run_plan.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from . import jobs
from .built_in import QUEUES
from .errors import DataUnreadable
from .orchestration.errors import NotUp
from .orchestration.home_lock import holder_of
from .orchestration.plan import PatternFields, Task, nodes_of, parse_plan
from .settings import Settings

_FORMS: dict[str, Literal["json", "toml"]] = {".json": "json", ".toml": "toml"}


def is_plan_file(target: str) -> bool:
    """Tell whether a target on the command line means a plan file: one of TOML or JSON that is there."""
    path = Path(target)
    try:
        return path.suffix.lower() in _FORMS and path.is_file()
    except OSError:
        return False  # longer than a file's name can be


def read_plan(path: Path) -> PatternFields:
    """Read the plan in a file, JSON if it ends in .json and TOML otherwise; raises DataUnreadable and PlanInvalid."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataUnreadable(str(path), getattr(error, "strerror", None) or str(error)) from error
    return parse_plan(text, _FORMS.get(path.suffix.lower(), "toml"), str(path))


def queues_of(plan: PatternFields) -> tuple[str, ...]:
    """Return the queues that a plan's tasks go to, as far as they stand in it."""
    tasks = [one for node in nodes_of(plan) for one in (node, node.undo) if isinstance(one, Task)]
    return tuple(dict.fromkeys(task.agent for task in tasks))


def revive(settings: Settings, environ: Mapping[str, str], plan: PatternFields | None) -> None:
    """Start what an open run of the built-in agents goes on with, where nothing runs any more.

    What `run` starts by itself ends while a run rests, and whoever answers it need not know of that.
    """
    if plan is not None and set(queues_of(plan)) <= QUEUES and holder_of(settings.home) is None:
        jobs.ground(settings, environ, (*queues_of(plan), *_asked_later(plan)))


def _asked_later(plan: PatternFields) -> tuple[str, ...]:
    """Return the queues that a job's first task will ask for, beyond those of every job: whoever offers its result."""
    asked = [node.input for node in nodes_of(plan) if isinstance(node, Task) and isinstance(node.input, dict)]
    return ("pull_request",) if any(one.get("offer") for one in asked) else ()


def ground(settings: Settings, environ: Mapping[str, str], queues: tuple[str, ...]) -> bool:
    """See to it that something runs which may do a plan; tell whether it belongs to nobody.

    Only the built-in agents are started for it: raises NotUp where nothing runs and the plan needs others.
    """
    if holder_of(settings.home) is None and not set(queues) <= QUEUES:
        raise NotUp(str(settings.home))
    return jobs.ground(settings, environ, queues)
