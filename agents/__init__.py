"""Level 3: agents, their processes, tools and workspaces. Names are loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import BaseAgent as BaseAgent
    from .context import TaskContext as TaskContext
    from .response import Evidence as Evidence
    from .response import ToolResponse as ToolResponse
    from .telemetry import AgentTelemetry as AgentTelemetry
    from .tool import Tool as Tool
    from .trial import Trial as Trial
    from .trial import run_task as run_task

_PLACES = {
    "AgentTelemetry": "telemetry",
    "BaseAgent": "base",
    "Evidence": "response",
    "TaskContext": "context",
    "Tool": "tool",
    "ToolResponse": "response",
    "Trial": "trial",
    "run_task": "trial",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
