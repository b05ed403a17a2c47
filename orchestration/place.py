"""Places in the tree of a run: where a node of the plan stands, how it ended, and what a human is asked there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from .plan import PatternFields, Task


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How a node of the plan ended; `path` is the task that decided it, `position` where in the log that was said."""

    kind: Literal["succeeded", "nothing_to_do", "failed"]
    path: str
    value: Any = None
    evidence: tuple[dict[str, Any], ...] = ()
    reason: str = ""
    error: Any = None
    message: str = ""
    position: int = 0


class At(msgspec.Struct, frozen=True, gc=False):
    """A place in the tree of a run: its path, the pattern it is a part of, how many tasks above it are plans.

    `given` is what a task here gets that has no input of its own, `bound` the values of names that the pattern binds.
    """

    path: str
    parent: At | None = None
    within: PatternFields | None = None
    depth: int = 0
    given: Any = msgspec.UNSET
    bound: Mapping[str, Any] | None = None

    def part(
        self,
        within: PatternFields,
        number: str | int,
        given: Any = msgspec.UNSET,
        bound: Mapping[str, Any] | None = None,
    ) -> At:
        """Return the place of a part of the pattern here; what is `given` here is given to it, if nothing else is."""
        given = self.given if given is msgspec.UNSET else given
        return At(f"{self.path}.{number}", self, within, self.depth, given, bound)

    def undo(self) -> At:
        """Return the place of the task that compensates this step."""
        return At(f"{self.path}.undo", self.parent, self.within, self.depth, self.given, self.bound)

    def planned(self, plan: PatternFields) -> At:
        """Return the place of the plan that the task here answered with; its steps follow the task's own path."""
        return At(f"{self.path}.0" if isinstance(plan, Task) else self.path, self, None, self.depth + 1)


class Question(msgspec.Struct, frozen=True):
    """What a human has to say before a task goes on."""

    path: str
    reason: str
    question: Any = None
