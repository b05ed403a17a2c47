"""Steps one after the other: what pipelines and sagas have in common. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

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


def advance_steps(plan: Stepping, at: At, turn: Turn, *, hand_on: bool) -> tuple[Outcome | None, At]:
    """Bring the first open step forward; the outcome of all, or of the first that failed, and where that is.

    `hand_on`: a step without an input gets the value of the last one before it that had something to do.
    """
    done: list[Outcome] = turn.notes(at, list)
    steps = steps_of(plan)
    while len(done) < len(steps):
        place = at.part(plan, len(done), _value_before(done) if hand_on else msgspec.UNSET)
        outcome = turn.advance(steps[len(done)], place)
        if outcome is None or outcome.kind == "failed":
            return outcome, place
        done.append(outcome)
    return join(done), at


def join(outcomes: Sequence[Outcome]) -> Outcome:
    """Join the outcomes of steps that all ended well: the last value, all evidence.

    Nothing to do is the outcome only where no step had anything to do.
    """
    done = [outcome for outcome in outcomes if outcome.kind == "succeeded"]
    if not done:
        return outcomes[0]
    last = done[-1]
    evidence = tuple(item for outcome in done for item in outcome.evidence)
    return Outcome("succeeded", last.path, last.value, evidence, message=last.message, position=last.position)


def _value_before(done: Sequence[Outcome]) -> Any:
    for outcome in reversed(done):
        if outcome.kind == "succeeded":
            return outcome.value
    return msgspec.UNSET
