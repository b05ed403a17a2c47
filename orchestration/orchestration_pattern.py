"""The patterns into which slices of work can be arranged: five that are built in, and those that are registered.

Owns the names and who builds a plan for each. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from .errors import PatternUnknown

if TYPE_CHECKING:
    from .arrangement import Arrangement
    from .task_slices import Order

Build = Callable[["Order"], "Arrangement"]

BUILDERS: dict[str, Build] = {}


class OrchestrationPattern(StrEnum):
    """A way to arrange slices of work. `OrchestrationPattern("race")` is a registered one, once it is registered."""

    MAP_REDUCE = "map_reduce"
    PIPELINE = "pipeline"
    FORK_JOIN = "fork_join"
    SCATTER_GATHER = "scatter_gather"
    SAGA = "saga"

    @classmethod
    def _missing_(cls, value: object) -> OrchestrationPattern | None:
        """Make a member of a word that was registered."""
        if not isinstance(value, str) or value not in BUILDERS:
            return None
        member: Any = str.__new__(cls, value)
        member._name_, member._value_ = value.upper(), value
        return cls._value2member_map_.setdefault(value, member)  # type: ignore[return-value]


def pattern_named(word: OrchestrationPattern | str) -> OrchestrationPattern:
    """Return the pattern of a word; raises PatternUnknown, which lists those that there are."""
    try:
        return OrchestrationPattern(word)
    except ValueError:
        raise PatternUnknown(str(word), tuple(sorted(BUILDERS))) from None


def register_orchestration_pattern(word: str, build: Build) -> OrchestrationPattern:
    """Make a way to arrange slices known under a word, in lower case and with underscores; return its member.

    `build` gets the slices in their order and returns the plan, and where each slice stands in it. Raises ValueError
    for a word that is none.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", word):
        raise ValueError(f"{word!r} cannot name a pattern: use lower-case letters, digits and underscores")
    BUILDERS[word] = build
    return OrchestrationPattern(word)
