"""Twelvefold: a durable, event-sourced runtime for AI agents on one machine. This is its public face.

Everything that a program may use is in `__all__`; a name's module is imported when the name is first used, so that
`import twelvefold` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .agents import AgentTelemetry as AgentTelemetry
    from .agents import BaseAgent as BaseAgent
    from .agents import Evidence as Evidence
    from .agents import TaskContext as TaskContext
    from .agents import Tool as Tool
    from .agents import ToolResponse as ToolResponse
    from .agents import Trial as Trial
    from .agents import run_task as run_task
    from .agents.assessment import analyze_complexity as analyze_complexity
    from .agents.assessment import decompose as decompose
    from .agents.fixer import IssueFixerAgent as IssueFixerAgent
    from .agents.publisher import PublisherAgent as PublisherAgent
    from .agents.testing import TestingAgent as TestingAgent
    from .agents.tool import tool as tool
    from .async_connection import Connection as Connection
    from .bus.wire import Delivery as Delivery
    from .connection import SyncConnection as SyncConnection
    from .connection import connect as connect
    from .connection import connect_sync as connect_sync
    from .event_system import LocalEventSystem as LocalEventSystem
    from .eventstore.errors import DuplicateConflict as DuplicateConflict
    from .eventstore.errors import TwelvefoldError as TwelvefoldError
    from .eventstore.errors import VersionConflict as VersionConflict
    from .eventstore.event import Event as Event
    from .eventstore.event import new_event as NewEvent  # noqa: N812  made as an instance is, with data not yet JSON
    from .orchestration.complexity import Assessment as Assessment
    from .orchestration.complexity import Complexity as Complexity
    from .orchestration.critique import Critique as Critique
    from .orchestration.decomposition import Decomposition as Decomposition
    from .orchestration.decomposition import Subtask as Subtask
    from .orchestration.fork_join import ForkJoin as ForkJoin
    from .orchestration.map_reduce import MapReduce as MapReduce
    from .orchestration.pipeline import Pipeline as Pipeline
    from .orchestration.plan import Retry as Retry
    from .orchestration.plan import Task as Task
    from .orchestration.race import Race as Race
    from .orchestration.resource_context import ResourceContext as ResourceContext
    from .orchestration.resources import ResourceManager as ResourceManager
    from .orchestration.result import RunResult as RunResult
    from .orchestration.result import TaskResult as TaskResult
    from .orchestration.saga import Saga as Saga
    from .orchestration.scatter_gather import ScatterGather as ScatterGather
    from .settings import ConfigManager as ConfigManager
    from .settings import Settings as Settings
    from .settings import load_settings as load_settings

_PLACES = {
    "AgentTelemetry": "agents.telemetry",
    "Assessment": "orchestration.complexity",
    "BaseAgent": "agents.base",
    "Complexity": "orchestration.complexity",
    "ConfigManager": "settings",
    "Connection": "async_connection",
    "Critique": "orchestration.critique",
    "Decomposition": "orchestration.decomposition",
    "Delivery": "bus.wire",
    "DuplicateConflict": "eventstore.errors",
    "Event": "eventstore.event",
    "Evidence": "agents.response",
    "ForkJoin": "orchestration.fork_join",
    "IssueFixerAgent": "agents.fixer",
    "LocalEventSystem": "event_system",
    "MapReduce": "orchestration.map_reduce",
    "NewEvent": "eventstore.event:new_event",
    "Pipeline": "orchestration.pipeline",
    "PublisherAgent": "agents.publisher",
    "Race": "orchestration.race",
    "ResourceContext": "orchestration.resource_context",
    "ResourceManager": "orchestration.resources",
    "Retry": "orchestration.plan",
    "RunResult": "orchestration.result",
    "Saga": "orchestration.saga",
    "ScatterGather": "orchestration.scatter_gather",
    "Settings": "settings",
    "Subtask": "orchestration.decomposition",
    "SyncConnection": "connection",
    "Task": "orchestration.plan",
    "TaskContext": "agents.context",
    "TaskResult": "orchestration.result",
    "TestingAgent": "agents.testing",
    "Tool": "agents.tool",
    "ToolResponse": "agents.response",
    "Trial": "agents.trial",
    "TwelvefoldError": "eventstore.errors",
    "VersionConflict": "eventstore.errors",
    "analyze_complexity": "agents.assessment",
    "connect": "connection",
    "connect_sync": "connection",
    "decompose": "agents.assessment",
    "load_settings": "settings",
    "run_task": "agents.trial",
    "tool": "agents.tool",
}

__all__ = [
    "AgentTelemetry",
    "Assessment",
    "BaseAgent",
    "Complexity",
    "ConfigManager",
    "Connection",
    "Critique",
    "Decomposition",
    "Delivery",
    "DuplicateConflict",
    "Event",
    "Evidence",
    "ForkJoin",
    "IssueFixerAgent",
    "LocalEventSystem",
    "MapReduce",
    "NewEvent",
    "Pipeline",
    "PublisherAgent",
    "Race",
    "ResourceContext",
    "ResourceManager",
    "Retry",
    "RunResult",
    "Saga",
    "ScatterGather",
    "Settings",
    "Subtask",
    "SyncConnection",
    "Task",
    "TaskContext",
    "TaskResult",
    "TestingAgent",
    "Tool",
    "ToolResponse",
    "Trial",
    "TwelvefoldError",
    "VersionConflict",
    "__version__",
    "analyze_complexity",
    "connect",
    "connect_sync",
    "decompose",
    "load_settings",
    "run_task",
    "tool",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, other_name = place.partition(":")
    value = getattr(import_module(f".{module}", __name__), other_name or name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
