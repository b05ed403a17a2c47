"""Steps one after the other: what pipelines and sagas have in common. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from .joined_evidence import join_evidence
from .plan import Part, PatternFields, Plan
from .turn import At, Outcome, Turn


class Stepping(PatternFields, frozen=True):
    """The fields of a pattern whose parts are steps, each run once, in their order."""

    steps: Sequence[Plan]

    def parts(self) -> Iterator[Part]:
        """Yield the steps."""
        for n, step in enumerate(cast("Sequence[PatternFields]", self.steps)):
            yield Part(f"steps[{n}]", step, str(n))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the steps."""
        if not self.steps:
            yield "steps", "has no steps"


def steps_of(plan: Plan) -> Sequence[PatternFields]:
    """Return the steps of a pattern that has steps, none of another one."""
    return cast("Sequence[PatternFields]", getattr(plan, "steps", ()))


class _Progress:
    """How far the steps of one node have come: how they ended, what is handed on, and in the end what came of all."""

    __slots__ = ("done", "given", "outcome")

    def __init__(self) -> None:
        self.done: list[Outcome] = []
        self.given: Any = msgspec.UNSET
        self.outcome: Outcome | None = None


def advance_steps(plan: Stepping, at: At, turn: Turn, *, hand_on: bool) -> tuple[Outcome | None, At]:
    """Bring the first open step forward; the outcome of all, or of the first that failed, and where that is.

    `hand_on`: a step without an input gets the value of the last one before it that had something to do.
    """
    progress = turn.notes(at, _Progress)
    done, steps = progress.done, steps_of(plan)
    while len(done) < len(steps):
        place = at.part(plan, len(done), progress.given)
        outcome = turn.advance(steps[len(done)], place)
        if outcome is None or outcome.kind == "failed":
            return outcome, place
        done.append(outcome)
        if hand_on and outcome.kind == "succeeded":
            progress.given = outcome.value
    if progress.outcome is None:
        progress.outcome = join(done)
    return progress.outcome, at


def join(outcomes: Sequence[Outcome]) -> Outcome:
    """Join the outcomes of steps that all ended well: the last value, all evidence.

    Nothing to do is the outcome only where no step had anything to do.
    """
    done = [outcome for outcome in outcomes if outcome.kind == "succeeded"]
    if len(outcomes) == 1 or not done:
        return outcomes[0]
    last = done[-1]
    evidence = join_evidence(outcome.evidence for outcome in done)
    return Outcome("succeeded", last.path, last.value, evidence, message=last.message, position=last.position)
