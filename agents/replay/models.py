"""The model of a task that is run again, where the one that it had can't be had here: a key, a file or a package is
missing, and nothing but its name is needed, as each reply is served from the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..context import current_task
from ..models.errors import NoSuchReply
from ..models.model import Message, Model, Reply, ToolSpec
from .record import data_of
from .rerun import ReplayContext


class NamedModel:
    """Has a model's name, and no reply of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def complete(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), schema: dict[str, Any] | None = None
    ) -> Reply:
        """Raise NoSuchReply: what is recorded is served before anybody asks."""
        raise NoSuchReply(self.name, "only what was recorded is answered here")


def recorded_model() -> Model | None:
    """Return the model that the task at hand had asked when it was recorded; None where it had asked none."""
    context = current_task()
    if not isinstance(context, ReplayContext):
        return None
    for event in context.record_of_task.own:
        data = data_of(event)
        if event.type.startswith("effect.") and data.get("kind") == "model":
            return NamedModel(str(data.get("name")))
    return None
