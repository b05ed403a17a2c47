"""The decider of a pipeline: one step after the other, until one fails. Its joining of outcomes serves sagas too."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import Pipeline, steps_of
from .turn import At, Outcome, Turn, register_decider
from .undoing import undo_steps

VERSION = 1


def advance(plan: Pipeline, at: At, turn: Turn) -> Outcome | None:
    """Bring the first open step forward; the first failure is the pipeline's."""
    outcomes = []
    for n, step in enumerate(steps_of(plan)):
        outcome = turn.advance(step, at.step(plan, n))
        if outcome is None or outcome.kind == "failed":
            return outcome
        outcomes.append(outcome)
    return join(outcomes)


def join(outcomes: Sequence[Outcome]) -> Outcome:
    """Join the outcomes of steps that all ended well: the last value, all evidence.

    Nothing to do is the outcome only where no step had anything to do.
    """
    done = [outcome for outcome in outcomes if outcome.kind == "succeeded"]
    if not done:
        return outcomes[0]
    last = done[-1]
    evidence = tuple(item for outcome in done for item in outcome.evidence)
    return Outcome("succeeded", last.path, last.value, evidence, message=last.message)


register_decider(Pipeline, VERSION, advance, undo_steps)
