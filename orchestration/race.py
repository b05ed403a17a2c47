"""The race: several ways to the same end, of which the first to succeed counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from .branches import Branching, Ended, failures, first_failure, in_order_of_success, join
from .plan import PatternFields, out_of_range, register_pattern
from .run_state import Joined
from .turn import At, Outcome, Turn, register_decider
from .undoing import undo_parts

VERSION = 1


@register_pattern
class Race(Branching, frozen=True, tag_field="pattern", tag="race"):
    """Branches of which the first to succeed counts; the others are cancelled, and what they have done is undone.

    With `stagger_s` a branch starts only when those before it have been at work for so long without a success, or
    have failed: a cheap way first, a dear one when it takes too long. It fails when all have failed.
    """

    stagger_s: float = 0.0

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with it."""
        yield from super().problems()
        yield from out_of_range("stagger_s", self.stagger_s)


def advance(plan: Race, at: At, turn: Turn) -> Outcome | None:
    """Start the branches that are due, and end all when one has succeeded."""
    branches = cast("Sequence[PatternFields]", plan.branches)
    count = len(branches)
    found = join(
        branches,
        plan,
        at,
        turn,
        judge=lambda ended: _judge(count, ended),
        is_due=lambda n, ended: _is_due(n, plan, at, turn, ended),
    )
    if found is None:
        return None
    for n in range(1, count) if plan.stagger_s else ():
        turn.cancel_timers(at.path, n, ("stagger",))
    joined, ended = found
    if joined.counted:
        return ended[joined.counted[0]]
    failed = failures(ended)
    if not failed:
        return ended[0]
    first = first_failure(ended)
    return Outcome("failed", first.path, reason="all_failed", error=failed, position=first.position)


def _judge(count: int, ended: Ended) -> Joined | None:
    if ended.count["succeeded"]:
        first = in_order_of_success(ended)[0]
        return Joined((first,), tuple(n for n in range(count) if n != first))
    return Joined((), ()) if len(ended) == count else None


def _is_due(n: int, plan: Race, at: At, turn: Turn, ended: Ended) -> bool:
    """Tell whether a branch has started, or is to start now."""
    if n == 0 or not plan.stagger_s or n in ended:
        return True
    if all(before in ended and ended[before].kind != "succeeded" for before in range(n)):
        return True
    return turn.rang(at, "stagger", plan.stagger_s, n)


register_decider(Race, VERSION, advance, undo_parts)
