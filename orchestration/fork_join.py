"""The fork and join: branches at once, until all, any or enough of them have succeeded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, cast

from .branches import Branching, Ended, failures, first_failure, in_order_of_success, join, quorum_of
from .joined_evidence import join_evidence
from .plan import PatternFields, register_pattern
from .run_state import Joined
from .turn import At, Outcome, Turn, register_decider
from .undoing import undo_parts

VERSION = 1


@register_pattern
class ForkJoin(Branching, frozen=True, tag_field="pattern", tag="fork_join"):
    """Branches at once. `join` says when it is done: `all`, `any`, or `quorum(n)` of them have succeeded.

    `rest` says what then becomes of the others: they are cancelled, and what they have done is undone, or awaited. Its
    value is the list of the branches' values, in their order, null for those that do not count; that of the first to
    succeed for `any`. When it can't be done any more it fails, and what is open is cancelled.
    """

    join: str = "all"
    rest: Literal["cancel", "await"] = "cancel"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with it."""
        yield from super().problems()
        quorum = quorum_of(self.join)
        if quorum is None and self.join not in ("all", "any"):
            yield "join", f"{self.join!r} is not one of all, any, quorum(n)"
        if quorum is not None and quorum > len(self.branches):
            yield "join", f"{self.join} of {len(self.branches)} branches can't be reached"


def advance(plan: ForkJoin, at: At, turn: Turn) -> Outcome | None:
    """Bring all branches forward, and join them when enough have ended."""
    branches = cast("Sequence[PatternFields]", plan.branches)
    found = join(branches, plan, at, turn, lambda ended: _judge(plan, ended))
    return None if found is None else _outcome(plan, *found)


def _judge(plan: ForkJoin, ended: Ended) -> Joined | None:
    """Say which branches count, once enough have succeeded, or enough have failed (then none does)."""
    count = len(plan.branches)
    needed = {"all": count, "any": 1}.get(plan.join) or quorum_of(plan.join) or count
    # Having nothing to do is as good as done, but where any one shall do it.
    done = ended.count["succeeded"] + (ended.count["nothing_to_do"] if plan.join != "any" else 0)
    if done >= needed:
        good = in_order_of_success(ended)
        good += [n for n in sorted(ended) if ended[n].kind == "nothing_to_do"] if plan.join != "any" else []
        if plan.rest == "await":
            return Joined(tuple(sorted(good)), ()) if len(ended) == count else None
        counted = {*good[:needed]}
        return Joined(tuple(sorted(counted)), tuple(n for n in range(count) if n not in counted))
    if len(ended) - done > count - needed or len(ended) == count:
        return Joined((), tuple(n for n in range(count) if n not in ended))
    return None


def _outcome(plan: ForkJoin, joined: Joined, ended: Ended) -> Outcome:
    counted = {*joined.counted}
    good = [n for n in in_order_of_success(ended) if n in counted]
    if not good:
        failed = failures(ended)
        if counted or not failed:
            return ended[min(ended)]
        first = first_failure(ended)
        many = Outcome("failed", first.path, reason="quorum", error=failed, position=first.position)
        return first if plan.join == "all" else many
    chosen, last = {*good}, ended[good[-1]]
    evidence = join_evidence(ended[n].evidence for n in sorted(good))
    values = [ended[n].value if n in chosen else None for n in range(len(plan.branches))]
    value = ended[good[0]].value if plan.join == "any" else values
    return Outcome("succeeded", last.path, value, evidence, message=last.message, position=last.position)


register_decider(ForkJoin, VERSION, advance, undo_parts)
