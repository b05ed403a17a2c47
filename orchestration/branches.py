"""Branches beside each other: what the patterns have in common that run several parts at once. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from .plan import Part, PatternFields, Plan
from .run_state import Joined
from .turn import At, Outcome, Turn
from .undoing import take_back

IsDue = Callable[[int, "Ended"], bool]
Judge = Callable[["Ended"], Joined | None]
_QUORUM = re.compile(r"quorum\(([1-9]\d{0,5})\)")


class Branching(PatternFields, frozen=True):
    """The fields of a pattern whose parts are branches that know nothing of each other."""

    branches: Sequence[Plan]

    def parts(self) -> Iterator[Part]:
        """Yield the branches."""
        for n, branch in enumerate(cast("Sequence[PatternFields]", self.branches)):
            yield Part(f"branches[{n}]", branch, str(n), after=False)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the branches."""
        if not self.branches:
            yield "branches", "has no branches"


class Ended(dict[int, Outcome]):
    """The outcomes of the parts that have ended, by number, and how many there are of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.count = {"succeeded": 0, "nothing_to_do": 0, "failed": 0}

    def note(self, n: int, outcome: Outcome | None) -> None:
        """Note how a part has ended, or that it is open (again)."""
        before = self.pop(n, None)
        if before is not None:
            self.count[before.kind] -= 1
        if outcome is not None:
            self[n] = outcome
            self.count[outcome.kind] += 1


def quorum_of(word: str) -> int | None:
    """Return n of `quorum(n)`, None for any other word."""
    found = _QUORUM.fullmatch(word)
    return int(found[1]) if found else None


def numbers(count: int, turn: Turn) -> Iterator[int]:
    """Yield the numbers of the parts that have to be looked at in this turn, in order."""
    if turn.changed is None:
        yield from range(count)
    else:
        yield from sorted({int(path.partition(".")[0]) for path in turn.changed})


def bring_forward(
    parts: Sequence[PatternFields], plan: PatternFields, at: At, turn: Turn, is_due: IsDue | None = None
) -> Ended:
    """Bring the parts of a node forward that have changed; return the outcomes of all that have ended, by number.

    With `is_due` they begin in their order, and none before that says so.
    """
    ended = turn.notes(at, Ended)
    for n in numbers(len(parts), turn) if is_due is None else range(len(parts)):
        if is_due is not None and not is_due(n, ended):
            break
        ended.note(n, turn.advance(parts[n], at.part(plan, n)))
    return ended


def in_order_of_success(ended: Ended) -> list[int]:
    """Return the numbers of the parts that succeeded, the first one to do so first."""
    done = [n for n, outcome in ended.items() if outcome.kind == "succeeded"]
    return sorted(done, key=lambda n: (ended[n].position, n))


def join(
    parts: Sequence[PatternFields], plan: PatternFields, at: At, turn: Turn, judge: Judge, is_due: IsDue | None = None
) -> tuple[Joined, Ended] | None:
    """Bring the parts of a node forward until `judge` says that its outcome stands, then end what is not needed.

    `judge` gets the outcomes of the parts that have ended, and returns None while the node is open. What it says is
    recorded before anything is taken back, so that a part that ends on the way changes nothing. Returns that, with the
    outcomes that were known, once nothing of the others is at work any more.
    """
    joined = turn.run.joined.get(at.path)
    if joined is None:
        ended = bring_forward(parts, plan, at, turn, is_due)
        joined = judge(ended)
        if joined is None:
            return None
        if not joined.unneeded:
            return joined, ended
        turn.decide("task.joined", at.path, counted=joined.counted, unneeded=joined.unneeded)
    unneeded = {*joined.unneeded}
    if not take_back([(parts[n], at.part(plan, n)) for n in joined.unneeded], at, turn, "not_needed"):
        return None
    needed = Ended()
    for n in range(len(parts)):
        if n not in unneeded:
            needed.note(n, turn.advance(parts[n], at.part(plan, n)))
    return joined, needed


def failures(ended: Ended) -> list[dict[str, Any]]:
    """Say of each part that failed why it did."""
    failed = [ended[n] for n in sorted(ended) if ended[n].kind == "failed"]
    return [{"path": outcome.path, "reason": outcome.reason, "error": outcome.error} for outcome in failed]


def first_failure(ended: Ended) -> Outcome:
    """Return the failure that came first, by where it stands in the log."""
    failed = [n for n in ended if ended[n].kind == "failed"]
    return ended[min(failed, key=lambda n: (ended[n].position, n))]
