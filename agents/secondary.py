"""The secondary agent of a hierarchy: it coordinates one part of a task, whose subtasks tertiary agents do."""

from __future__ import annotations

from typing import Any

import msgspec

from ..orchestration.hierarchy import Brief, Roles, Work, secondary_plan
from .base import BaseAgent
from .context import TaskContext
from .response import ToolResponse


class SecondaryAgent(BaseAgent):
    """Answers with the plan of a part: each subtask begins as soon as those that it needs have ended."""

    def execute_task(self, task: dict[str, Any], context: TaskContext) -> ToolResponse:
        """Answer `{"do": "coordinate"}` with a plan."""
        part = msgspec.convert(task["part"], Work)
        roles = msgspec.convert(task["roles"], Roles)
        brief = msgspec.convert(task["brief"], Brief)
        return ToolResponse.planned(secondary_plan(brief, part, roles, task["results"], context.path))
