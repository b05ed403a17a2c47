"""How a background agent's class becomes a line that another process can run: its name, its folder, its command."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from pathlib import Path

from .agents.base import BaseAgent, queue_name
from .orchestration.resource_errors import BackgroundAgentInvalid


def target_of(agent: str | type[BaseAgent], folder: str | os.PathLike[str] | None) -> tuple[str, Path]:
    """Return an agent's MODULE:CLASS, and the folder in which its module is found; raises BackgroundAgentInvalid."""
    if isinstance(agent, str):
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", agent):
            raise BackgroundAgentInvalid(f"{agent!r} is not of the form module:Class")
        return agent, Path.cwd() if folder is None else Path(folder).absolute()
    if not (isinstance(agent, type) and issubclass(agent, BaseAgent)):
        raise BackgroundAgentInvalid(f"{agent!r} is neither a class of an agent nor its name")
    if agent.__qualname__ != agent.__name__:
        raise BackgroundAgentInvalid(
            f"{agent.__qualname__} lies within another name: put the class at its module's top"
        )
    try:
        file = Path(inspect.getfile(agent)).absolute()
    except (OSError, TypeError) as error:
        raise BackgroundAgentInvalid(f"{agent.__name__} lies in no file that another process could import") from error
    module = file.stem if agent.__module__ == "__main__" else agent.__module__
    depth = len(module.split(".")) - (file.stem != "__init__")
    root = file.parents[depth]
    return f"{module}:{agent.__name__}", root if folder is None else Path(folder).absolute()


def command_of(target: str, folder: Path, queue: str, *, only: bool = False) -> str:
    """Return the line that runs an agent (`only` for that queue); in words that need no shell, where possible."""
    name = f" --name {queue}" if queue else ""
    return f"twelvefold agent {target}{name}{' --only' if only else ''} --folder {shlex.quote(str(folder))}"


def word_of(target: str) -> str:
    """Return what an agent's generated id begins with."""
    return queue_name(type(target.partition(":")[2], (), {})).lstrip("_0123456789") or "agent"
