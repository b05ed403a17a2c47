"""The pipeline: steps one after the other, until one fails."""

from __future__ import annotations

from .plan import register_pattern
from .steps import Stepping, advance_steps
from .turn import At, Outcome, Turn, register_decider
from .undoing import undo_parts

VERSION = 2


@register_pattern
class Pipeline(Stepping, frozen=True, tag_field="pattern", tag="pipeline"):
    """Steps one after the other; the first that fails ends it. Its value is its last step's.

    A step without an input gets the value of the step before it.
    """


def advance(plan: Pipeline, at: At, turn: Turn) -> Outcome | None:
    """Bring the first open step forward; the first failure is the pipeline's."""
    return advance_steps(plan, at, turn, hand_on=True)[0]


register_decider(Pipeline, VERSION, advance, undo_parts)
