"""What agents are told by those who start them: the settings of this project as plain values, or as variables.

Paths are made absolute on the way, as agents start in other folders than the one they were set in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .agents.agent_settings import AgentSettings, pins
from .orchestration.home_lock import holder_of

if TYPE_CHECKING:
    from .settings import Settings


def agent_settings_of(settings: Settings, environ: Mapping[str, str]) -> AgentSettings:
    """Return the effective settings as agents see them; `environ` is where they look names of variables up."""
    price_in, price_out = settings.model_price or (None, None)
    return AgentSettings(
        model_url=settings.model_url or "",
        model=settings.model or "",
        model_key=settings.model_key or "",
        model_timeout_s=settings.model_timeout_s,
        model_context=settings.model_context,
        price_in=price_in,
        price_out=price_out,
        fixer_command=settings.fixer_command or "",
        fixer_timeout_s=settings.fixer_timeout_s,
        fixer_env=settings.fixer_env or (),
        prompts=settings.prompts,
        repos=settings.repos,
        repos_file=settings.repos_file,
        sandbox=settings.sandbox,
        writable=settings.writable,
        readable=settings.readable,
        environ=environ,
    )


def located(settings: Settings) -> dict[str, str]:
    """Return the variables that hold paths, made absolute, for processes that start in other folders."""
    found = {
        "TWELVEFOLD_MODEL": settings.model or "",
        "TWELVEFOLD_PROMPTS": os.pathsep.join(map(str, settings.prompts)),
        "TWELVEFOLD_REPOS": os.pathsep.join(settings.repos),
        "TWELVEFOLD_REPOS_FILE": str(settings.repos_file or ""),
        "TWELVEFOLD_WRITABLE": os.pathsep.join(map(str, settings.writable)),
        "TWELVEFOLD_READABLE": os.pathsep.join(map(str, settings.readable)),
    }
    return {name: value for name, value in found.items() if value}


def agent_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of agents that are started for this project: its project file's settings, its `.env`, then
    `environ`; the later ones count. Raises EnvFileInvalid, ProjectFileInvalid and NotAccessible.
    """
    from .project_file import FILE_NAME, project_settings
    from .settings import read_env_file

    from_file = {} if settings.env_file is None else read_env_file(settings.env_file)
    return {**project_settings(settings.project / FILE_NAME), **from_file, **environ, **located(settings)}


def pinned(settings: Settings) -> dict[str, Any]:
    """Return what a run's request says of settings, as agents that run already may have been told others.

    Under an `up`, which has settings of its own, that is what was set here; else it is all.
    """
    found = pins(agent_settings_of(settings, {}))
    holder = holder_of(settings.home)
    if holder is None or holder.ephemeral:
        return found
    names = {"price_in": "model_price", "price_out": "model_price"}
    return {name: value for name, value in found.items() if settings.origins[names.get(name, name)].kind != "default"}
