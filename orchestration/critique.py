"""Critique: a worker and a critic in turns, until the critic accepts the work or the rounds are used up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from .plan import Part, PatternFields, Task, register_pattern
from .turn import At, Outcome, Turn, register_decider
from .undoing import undo_in_reverse

VERSION = 1
ROUNDS_MAX = 1000


@register_pattern
class Critique(PatternFields, frozen=True, tag_field="pattern", tag="critique"):
    """A worker does something, a critic judges it: `{accepted: bool, feedback: anything}`, and so on until it accepts.

    The worker may refer to `round` (from 1) and `feedback` (the critic's last, null at first), the critic to `item`,
    the work, as well. A worker without an input gets `{round, feedback, work, given}` (its last work, and what is
    given from around), a critic `{round, work}`. Its value is the accepted work. Not accepted after `rounds_max` rounds
    it fails, with the last work and feedback in its error.
    """

    worker: Task
    critic: Task
    rounds_max: int = 3

    def parts(self) -> Iterator[Part]:
        """Yield worker and critic."""
        yield Part("worker", self.worker, sees=("round", "feedback"), after=False)
        yield Part("critic", self.critic, sees=("round", "feedback", "item"), after=False)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with it."""
        if not 1 <= self.rounds_max <= ROUNDS_MAX:
            yield "rounds_max", f"must be from 1 to {ROUNDS_MAX}, is {self.rounds_max}"


def advance(plan: Critique, at: At, turn: Turn) -> Outcome | None:
    """Bring the open task of the open round forward."""
    done: list[Outcome] = turn.notes(at, list)
    while len(done) < 2 * plan.rounds_max:
        task, place = _next(plan, at, done)
        outcome = turn.advance(task, place)
        if outcome is None or outcome.kind == "failed":
            return outcome
        if len(done) % 2 == 0:
            if outcome.kind == "nothing_to_do":
                return outcome
        else:
            accepted = _accepted(outcome)
            if accepted is None:
                error = 'a critic answers with {"accepted": true or false, "feedback": anything}'
                return Outcome("failed", outcome.path, reason="critic", error=error, position=outcome.position)
            if accepted:
                return _work(done, outcome)
        done.append(outcome)
    last = done[-1]
    facts = {"work": done[-2].value, "feedback": last.value.get("feedback")}
    return Outcome("failed", last.path, reason="not_accepted", error=facts, position=last.position)


def undo(plan: Critique, at: At, turn: Turn) -> bool:
    """Undo what the rounds have done, last first."""
    places = []
    n = 0
    while f"{at.path}.{n}" in turn.run.tasks:
        places.append((plan.critic if n % 2 else plan.worker, at.part(plan, n)))
        n += 1
    return undo_in_reverse(places, at, turn)


def _next(plan: Critique, at: At, done: list[Outcome]) -> tuple[Task, At]:
    """Return the task whose turn it is, and its place."""
    number, round = len(done), len(done) // 2 + 1
    work = done[-1 if number % 2 else -2].value if done else None
    feedback = next((one.value.get("feedback") for one in reversed(done[1::2])), None)
    bound: dict[str, Any] = {"round": round, "feedback": feedback}
    if number % 2:
        return plan.critic, at.part(plan, number, {"round": round, "work": work}, {**bound, "item": work})
    given = None if at.given is msgspec.UNSET else at.given
    return plan.worker, at.part(plan, number, {**bound, "work": work, "given": given}, bound)


def _accepted(outcome: Outcome) -> bool | None:
    value = outcome.value
    accepted = value.get("accepted") if outcome.kind == "succeeded" and isinstance(value, dict) else None
    return accepted if isinstance(accepted, bool) else None


def _work(done: list[Outcome], verdict: Outcome) -> Outcome:
    work = done[-1]
    evidence = (*work.evidence, *verdict.evidence)
    return Outcome(
        "succeeded",
        work.path,
        work.value,
        evidence,
        message=work.message,
        position=max(work.position, verdict.position),
    )


register_decider(Critique, VERSION, advance, undo)
