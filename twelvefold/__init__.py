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
    from .agents.agent_settings import AgentSettings as AgentSettings
    from .agents.assessment import analyze_complexity as analyze_complexity
    from .agents.assessment import decompose as decompose
    from .agents.engines.engine import Engine as Engine
    from .agents.engines.engine import FixResult as FixResult
    from .agents.engines.engine import FixTask as FixTask
    from .agents.fixer import IssueFixerAgent as IssueFixerAgent
    from .agents.intelligent_issue import IntelligentIssueAgent as IntelligentIssueAgent
    from .agents.model_loop import ModelLoop as ModelLoop
    from .agents.models.calls import Answer as Answer
    from .agents.models.calls import ask as ask_model
    from .agents.models.choose import model_from as model_from
    from .agents.models.model import Message as Message
    from .agents.models.model import Model as Model
    from .agents.models.model import Reply as Reply
    from .agents.models.model import ToolCall as ToolCall
    from .agents.models.model import ToolSpec as ToolSpec
    from .agents.models.model import Usage as Usage
    from .agents.models.scripted import ScriptedModel as ScriptedModel
    from .agents.pr_review import PRReviewAgent as PRReviewAgent
    from .agents.primary import PrimaryAgent as PrimaryAgent
    from .agents.prompt import Prompt as Prompt
    from .agents.prompt import load_prompt as load_prompt
    from .agents.publisher import PublisherAgent as PublisherAgent
    from .agents.repositories.cross_repo import CrossRepoContextManager as CrossRepoContextManager
    from .agents.research_agent import ResearchAgent as ResearchAgent
    from .agents.secondary import SecondaryAgent as SecondaryAgent
    from .agents.smart_issue import SmartIssueAgent as SmartIssueAgent
    from .agents.testing import TestingAgent as TestingAgent
    from .agents.tool import tool as tool
    from .agents.tools import workspace_tools as workspace_tools
    from .agents.tools.rules import CommandRules as CommandRules
    from .async_connection import Connection as Connection
    from .background import BackgroundExecutor as BackgroundExecutor
    from .bus.wire import Delivery as Delivery
    from .config_manager import ConfigManager as ConfigManager
    from .connection import SyncConnection as SyncConnection
    from .connection import connect as connect
    from .connection import connect_sync as connect_sync
    from .event_system import LocalEventSystem as LocalEventSystem
    from .eventstore.errors import DuplicateConflict as DuplicateConflict
    from .eventstore.errors import TwelvefoldError as TwelvefoldError
    from .eventstore.errors import VersionConflict as VersionConflict
    from .eventstore.event import Event as Event
    from .eventstore.event import new_event as NewEvent  # noqa: N812  made as an instance is, with data not yet JSON
    from .external import ExternalIssueProcessor as ExternalIssueProcessor
    from .health import HealthChecker as HealthChecker
    from .hierarchy import HierarchicalOrchestrator as HierarchicalOrchestrator
    from .hierarchy import OrchestrationResult as OrchestrationResult
    from .metrics import MetricsCollector as MetricsCollector
    from .orchestration.complexity import Assessment as Assessment
    from .orchestration.complexity import Complexity as Complexity
    from .orchestration.critique import Critique as Critique
    from .orchestration.decomposition import Decomposition as Decomposition
    from .orchestration.decomposition import Subtask as Subtask
    from .orchestration.fork_join import ForkJoin as ForkJoin
    from .orchestration.graph import Graph as Graph
    from .orchestration.hierarchy_view import SubtaskResult as SubtaskResult
    from .orchestration.map_reduce import MapReduce as MapReduce
    from .orchestration.multi_stage import MultiStagePipeline as MultiStagePipeline
    from .orchestration.multi_stage import PipelineResult as PipelineResult
    from .orchestration.multi_stage import PipelineStage as PipelineStage
    from .orchestration.multi_stage import StageResult as StageResult
    from .orchestration.orchestration_pattern import OrchestrationPattern as OrchestrationPattern
    from .orchestration.orchestration_pattern import register_orchestration_pattern as register_orchestration_pattern
    from .orchestration.pattern_result import PatternResult as PatternResult
    from .orchestration.pattern_result import SliceResult as SliceResult
    from .orchestration.pipeline import Pipeline as Pipeline
    from .orchestration.pipeline_telemetry import PipelineTelemetry as PipelineTelemetry
    from .orchestration.plan import Retry as Retry
    from .orchestration.plan import Task as Task
    from .orchestration.race import Race as Race
    from .orchestration.recommendation import Recommendation as Recommendation
    from .orchestration.resource_context import ResourceContext as ResourceContext
    from .orchestration.resources import ResourceManager as ResourceManager
    from .orchestration.result import RunResult as RunResult
    from .orchestration.result import TaskResult as TaskResult
    from .orchestration.saga import Saga as Saga
    from .orchestration.scatter_gather import ScatterGather as ScatterGather
    from .orchestration.stage_calls import StageExit as StageExit
    from .orchestration.task_slices import TaskSlice as TaskSlice
    from .pattern_executor import PatternExecutor as PatternExecutor
    from .projections.agent_health import HealthStatus as HealthStatus
    from .projections.health import Limits as HealthLimits
    from .projections.health import SystemHealthStatus as SystemHealthStatus
    from .projections.projection import Projection as Projection
    from .settings import Settings as Settings
    from .settings import load_settings as load_settings

_PLACES = {
    "AgentSettings": "agents.agent_settings",
    "AgentTelemetry": "agents.telemetry",
    "Answer": "agents.models.calls",
    "Assessment": "orchestration.complexity",
    "BackgroundExecutor": "background",
    "BaseAgent": "agents.base",
    "CommandRules": "agents.tools.rules",
    "Complexity": "orchestration.complexity",
    "ConfigManager": "config_manager",
    "Connection": "async_connection",
    "Critique": "orchestration.critique",
    "CrossRepoContextManager": "agents.repositories.cross_repo",
    "Decomposition": "orchestration.decomposition",
    "Delivery": "bus.wire",
    "DuplicateConflict": "eventstore.errors",
    "Engine": "agents.engines.engine",
    "Event": "eventstore.event",
    "Evidence": "agents.response",
    "ExternalIssueProcessor": "external",
    "FixResult": "agents.engines.engine",
    "FixTask": "agents.engines.engine",
    "ForkJoin": "orchestration.fork_join",
    "Graph": "orchestration.graph",
    "HealthChecker": "health",
    "HealthLimits": "projections.health:Limits",
    "HealthStatus": "projections.agent_health",
    "HierarchicalOrchestrator": "hierarchy",
    "IntelligentIssueAgent": "agents.intelligent_issue",
    "IssueFixerAgent": "agents.fixer",
    "LocalEventSystem": "event_system",
    "MapReduce": "orchestration.map_reduce",
    "Message": "agents.models.model",
    "MetricsCollector": "metrics",
    "Model": "agents.models.model",
    "ModelLoop": "agents.model_loop",
    "MultiStagePipeline": "orchestration.multi_stage",
    "NewEvent": "eventstore.event:new_event",
    "OrchestrationPattern": "orchestration.orchestration_pattern",
    "OrchestrationResult": "hierarchy",
    "PRReviewAgent": "agents.pr_review",
    "PatternExecutor": "pattern_executor",
    "PatternResult": "orchestration.pattern_result",
    "Pipeline": "orchestration.pipeline",
    "PipelineResult": "orchestration.multi_stage",
    "PipelineStage": "orchestration.multi_stage",
    "PipelineTelemetry": "orchestration.pipeline_telemetry",
    "Projection": "projections.projection",
    "PrimaryAgent": "agents.primary",
    "Prompt": "agents.prompt",
    "PublisherAgent": "agents.publisher",
    "Race": "orchestration.race",
    "Recommendation": "orchestration.recommendation",
    "Reply": "agents.models.model",
    "ResearchAgent": "agents.research_agent",
    "ResourceContext": "orchestration.resource_context",
    "ResourceManager": "orchestration.resources",
    "Retry": "orchestration.plan",
    "RunResult": "orchestration.result",
    "Saga": "orchestration.saga",
    "ScatterGather": "orchestration.scatter_gather",
    "ScriptedModel": "agents.models.scripted",
    "SecondaryAgent": "agents.secondary",
    "Settings": "settings",
    "SliceResult": "orchestration.pattern_result",
    "SmartIssueAgent": "agents.smart_issue",
    "StageExit": "orchestration.stage_calls",
    "StageResult": "orchestration.multi_stage",
    "Subtask": "orchestration.decomposition",
    "SubtaskResult": "orchestration.hierarchy_view",
    "SyncConnection": "connection",
    "SystemHealthStatus": "projections.health",
    "Task": "orchestration.plan",
    "TaskContext": "agents.context",
    "TaskResult": "orchestration.result",
    "TaskSlice": "orchestration.task_slices",
    "TestingAgent": "agents.testing",
    "Tool": "agents.tool",
    "ToolCall": "agents.models.model",
    "ToolResponse": "agents.response",
    "ToolSpec": "agents.models.model",
    "Trial": "agents.trial",
    "TwelvefoldError": "eventstore.errors",
    "Usage": "agents.models.model",
    "VersionConflict": "eventstore.errors",
    "analyze_complexity": "agents.assessment",
    "ask_model": "agents.models.calls:ask",
    "connect": "connection",
    "connect_sync": "connection",
    "decompose": "agents.assessment",
    "load_prompt": "agents.prompt",
    "load_settings": "settings",
    "model_from": "agents.models.choose",
    "register_orchestration_pattern": "orchestration.orchestration_pattern",
    "run_task": "agents.trial",
    "tool": "agents.tool",
    "workspace_tools": "agents.tools",
}

__all__ = [
    "AgentSettings",
    "AgentTelemetry",
    "Answer",
    "Assessment",
    "BackgroundExecutor",
    "BaseAgent",
    "CommandRules",
    "Complexity",
    "ConfigManager",
    "Connection",
    "Critique",
    "CrossRepoContextManager",
    "Decomposition",
    "Delivery",
    "DuplicateConflict",
    "Engine",
    "Event",
    "Evidence",
    "ExternalIssueProcessor",
    "FixResult",
    "FixTask",
    "ForkJoin",
    "Graph",
    "HealthChecker",
    "HealthLimits",
    "HealthStatus",
    "HierarchicalOrchestrator",
    "IntelligentIssueAgent",
    "IssueFixerAgent",
    "LocalEventSystem",
    "MapReduce",
    "Message",
    "MetricsCollector",
    "Model",
    "ModelLoop",
    "MultiStagePipeline",
    "NewEvent",
    "OrchestrationPattern",
    "OrchestrationResult",
    "PRReviewAgent",
    "PatternExecutor",
    "PatternResult",
    "Pipeline",
    "PipelineResult",
    "PipelineStage",
    "PipelineTelemetry",
    "PrimaryAgent",
    "Projection",
    "Prompt",
    "PublisherAgent",
    "Race",
    "Recommendation",
    "Reply",
    "ResearchAgent",
    "ResourceContext",
    "ResourceManager",
    "Retry",
    "RunResult",
    "Saga",
    "ScatterGather",
    "ScriptedModel",
    "SecondaryAgent",
    "Settings",
    "SliceResult",
    "SmartIssueAgent",
    "StageExit",
    "StageResult",
    "Subtask",
    "SubtaskResult",
    "SyncConnection",
    "SystemHealthStatus",
    "Task",
    "TaskContext",
    "TaskResult",
    "TaskSlice",
    "TestingAgent",
    "Tool",
    "ToolCall",
    "ToolResponse",
    "ToolSpec",
    "Trial",
    "TwelvefoldError",
    "Usage",
    "VersionConflict",
    "__version__",
    "analyze_complexity",
    "ask_model",
    "connect",
    "connect_sync",
    "decompose",
    "load_prompt",
    "load_settings",
    "model_from",
    "register_orchestration_pattern",
    "run_task",
    "tool",
    "workspace_tools",
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
