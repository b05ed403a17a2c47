"""The base of every agent: what an author overrides, and what an agent knows about itself.

Owns the promised attributes and the default that runs a tool for an action. The process around it is `process`, one
task from request to outcome is `turn`. Keeps: an agent holds no state of its own between tasks that matters; whatever
it knows comes from the task and the log, so that another instance can take over at any moment.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from .context import TaskContext
from .errors import EffectFailed, InvalidParameters, InvalidTool, UnknownTool
from .response import ToolResponse
from .telemetry import AgentTelemetry
from .tool import FunctionTool, Tool
from .tool_errors import ToolTimedOut

if TYPE_CHECKING:
    from ..orchestration.plan import Plan


def queue_name(cls: type) -> str:
    """Return the queue an agent class takes its tasks from: `PRReviewAgent` -> `pr_review`, `Echo` -> `echo`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()
    return words.removesuffix("_agent") or words


class BaseAgent(ABC):
    """An agent. Subclasses give `execute_task(self, task)` or `execute_task(self, task, context)`, sync or `async`.

    An agent class takes no constructor arguments; subclasses with a constructor need not call this one's. `tools` are
    those of `register_tools` and the methods marked with `@tool`. `progress` (0.0 to 1.0) and `current_stage` may be
    set while a task is worked on, and are reported; `context` is the task's, None between tasks. `capabilities` are
    queues that agents of several types may serve: an instance takes tasks from them too, one at a time of them all.
    """

    workflow_stages: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    context: TaskContext | None = None
    _tools: list[Tool] | None = None
    _progress: float = 0.0
    _current_stage: str | None = None
    _telemetry: AgentTelemetry | None = None

    @abstractmethod
    def execute_task(
        self, task: Any, *args: Any, **kwargs: Any
    ) -> ToolResponse | Plan | Awaitable[ToolResponse | Plan]:
        """Do one task and answer; what it raises makes the task failed. Typed `task`s are checked before the call.

        An answer may be a plan, which is then carried out in the task's place (see `ToolResponse.planned`).
        """

    def register_tools(self) -> list[Tool]:
        """Return the agent's tools, beside those made with `@tool`."""
        return []

    @property
    def tools(self) -> list[Tool]:
        """All tools of this agent; raises InvalidTool where two have one name or a type is missing."""
        if self._tools is None:
            self.tools = [*self.register_tools(), *self._marked_tools()]
        return self._tools or []

    @tools.setter
    def tools(self, tools: list[Tool]) -> None:
        """Set the tools; raises InvalidTool."""
        names: set[str] = set()
        for one in tools:
            if one.name in names:
                raise InvalidTool(one.name, "two tools have this name")
            names.add(one.name)
            one.schema()
        self._tools = list(tools)

    def _marked_tools(self) -> list[Tool]:
        marked = {
            name for cls in type(self).__mro__ for name, value in vars(cls).items() if isinstance(value, FunctionTool)
        }
        found = [getattr(self, name) for name in sorted(marked)]
        return [one for one in found if isinstance(one, FunctionTool)]

    def tool(self, name: str) -> Tool:
        """Return the tool with this name; raises UnknownTool."""
        for one in self.tools:
            if one.name == name:
                return one
        raise UnknownTool(name, tuple(one.name for one in self.tools))

    def _apply_action(self, action: dict[str, Any]) -> ToolResponse | Awaitable[ToolResponse]:
        """Run the tool that an action names: `{"tool": name, "parameters": {…}}` (`action` may stand for `tool`).

        For a model's eyes: an unknown tool, wrong parameters and a tool that raised come back as a failed response.
        Within a task the call is an effect; without one (a unit test) the tool is run plainly.
        """
        name = action.get("tool", action.get("action"))
        parameters = action.get("parameters", {})
        try:
            if not isinstance(name, str):
                raise UnknownTool(str(name), tuple(one.name for one in self.tools))
            actual = self.tool(name)
            if self.context is not None:
                return self.context.call(actual, parameters)
            actual.check(parameters)
            return actual.execute(parameters)
        except (UnknownTool, InvalidParameters, EffectFailed, ToolTimedOut) as error:
            return ToolResponse.failed(type(error).__name__, error.message())

    @property
    def progress(self) -> float:
        """How far the current task is, 0.0 to 1.0; setting it reports it."""
        return self._progress

    @progress.setter
    def progress(self, fraction: float) -> None:
        """Set and report it; beyond 0.0 and 1.0 it is cut off."""
        self._progress = min(max(float(fraction), 0.0), 1.0)
        if self.context is not None:
            self.context.progress(self._progress, self._current_stage)

    @property
    def current_stage(self) -> str | None:
        """The stage the current task is in, one of `workflow_stages` where those are given; setting it reports it."""
        return self._current_stage

    @current_stage.setter
    def current_stage(self, stage: str | None) -> None:
        """Set and report it; raises ValueError for one that `workflow_stages` doesn't name."""
        if stage is not None and self.workflow_stages and stage not in self.workflow_stages:
            raise ValueError(f"stage {stage!r} is none of {', '.join(self.workflow_stages)}")
        self._current_stage = stage
        if self.context is not None:
            self.context.progress(self._progress, stage)

    @property
    def telemetry(self) -> AgentTelemetry:
        """Counters, timers and gauges of this instance."""
        if self._telemetry is None:
            self._telemetry = AgentTelemetry(queue_name(type(self)))
        return self._telemetry
