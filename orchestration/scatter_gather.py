"""Scatter and gather: the same question to many, and what follows from their answers. Disagreement is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..eventstore.large_values import is_reference
from ..eventstore.names import is_name
from .branches import Ended, failures, first_failure, in_order_of_success, join, quorum_of
from .plan import Part, PatternFields, Retry, Task, out_of_range, register_pattern
from .run_state import Joined
from .turn import At, Outcome, Turn, register_decider
from .undoing import undo_parts

VERSION = 2
_BEST = re.compile(r"best\(([A-Za-z0-9_.-]{1,200})\)")
_canonical = msgspec.json.Encoder(order="deterministic").encode


@register_pattern
class ScatterGather(PatternFields, frozen=True, tag_field="pattern", tag="scatter_gather"):
    """The same question to several agents: `agents` names their queues, one name several times for several of a kind.

    `gather` says what is made of the answers: `all` of them; the `first`; the one that a `majority` of those asked, or
    `quorum(n)` of them, give; the `best(key)`, whose value has the highest number under this key. What is not needed
    any more is cancelled. At the deadline those count that have answered. Its value shows every answer:
    `{value, answers: [{agent, path, value | reason}], agreeing, asked}`; answers are equal if their JSON is. Without
    what is demanded it fails, with the answers in its error: `disagreement`, `deadline`, or the reason of a failure.
    """

    agents: Sequence[str]
    input: Any = None
    gather: str = "all"
    deadline_s: float | None = None
    timeout_s: float | None = None
    retry: Retry | None = None
    requires: Sequence[str] = ()

    def tasks(self) -> list[Task]:
        """Return the question as a task for each that is asked."""
        return [
            Task(agent, self.input, requires=self.requires, retry=self.retry, timeout_s=self.timeout_s, effect="read")
            for agent in self.agents
        ]

    def parts(self) -> Iterator[Part]:
        """Yield the tasks."""
        for n, task in enumerate(self.tasks()):
            yield Part(f"agents[{n}]", task, str(n), after=False)

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Yield the question."""
        yield "input", self.input

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with it."""
        if not self.agents:
            yield "agents", "has no agents to ask"
        for n, agent in enumerate(self.agents):
            if not is_name(agent):
                yield f"agents[{n}]", f"{agent!r} is not the name of a queue"
        quorum = quorum_of(self.gather)
        if quorum is None and self.gather not in ("all", "first", "majority") and not _BEST.fullmatch(self.gather):
            yield "gather", f"{self.gather!r} is not one of all, first, majority, quorum(n), best(key)"
        if quorum is not None and quorum > len(self.agents):
            yield "gather", f"{self.gather} of {len(self.agents)} agents can't be reached"
        if self.deadline_s is not None:
            yield from out_of_range("deadline_s", self.deadline_s, above=0)


def advance(plan: ScatterGather, at: At, turn: Turn) -> Outcome | None:
    """Ask all, and gather what they answer."""
    over = plan.deadline_s is not None and turn.rang(at, "gather", plan.deadline_s)
    found = join(plan.tasks(), plan, at, turn, judge=lambda ended: _judge(plan, ended, over=over))
    if found is not None or at.path in turn.run.joined:
        # What stands isn't late any more, however long it takes until those that are not needed have let go.
        turn.cancel_timers(at.path, 0, ("gather",))
    return None if found is None else _gathered(plan, at, *found, late=over)


def _judge(plan: ScatterGather, ended: Ended, *, over: bool) -> Joined | None:
    """Say which answers count, once that stands: none where what is demanded can't be reached any more."""
    asked, good = len(plan.agents), in_order_of_success(ended)
    rest = tuple(n for n in range(asked) if n not in ended)
    closed = over or not rest
    counted: Sequence[int] | None = None
    if plan.gather == "all":
        # Whoever has nothing to say has answered too; who fails spoils it.
        failed = any(outcome.kind == "failed" for outcome in ended.values())
        counted = () if failed or (over and rest) else good if not rest else None
    elif plan.gather == "first":
        counted = good[:1] or (() if closed else None)
    elif _BEST.fullmatch(plan.gather):
        counted = _best(plan, ended, good) if closed else None
    else:
        needed = quorum_of(plan.gather) or asked // 2 + 1
        groups = _groups(ended, good)
        largest = groups[0] if groups else []
        if len(largest) >= needed:
            counted = largest[:needed] if rest else largest
        elif closed or len(largest) + len(rest) < needed:
            counted = ()
    return None if counted is None else Joined(tuple(sorted(counted)), rest)


def _groups(ended: Ended, good: Sequence[int]) -> list[list[int]]:
    """Return who gave the same answers, the largest group first, then the one that began first."""
    groups: dict[bytes, list[int]] = {}
    for n in good:
        groups.setdefault(_canonical(ended[n].value), []).append(n)
    return sorted(groups.values(), key=lambda group: (-len(group), good.index(group[0])))


def _best(plan: ScatterGather, ended: Ended, good: Sequence[int]) -> Sequence[int]:
    scores = {n: score for n in good if (score := _score(plan, ended[n].value)) is not None}
    return [max(scores, key=lambda n: (scores[n], -n))] if scores else []


def _score(plan: ScatterGather, value: Any) -> float | None:
    found = _BEST.fullmatch(plan.gather)
    if is_reference(value):
        return None  # nobody has looked into it
    for key in found[1].split(".") if found else ():
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _gathered(plan: ScatterGather, at: At, joined: Joined, ended: Ended, *, late: bool) -> Outcome:
    answers = [_answer(plan, at, n, ended.get(n)) for n in range(len(plan.agents))]
    good = in_order_of_success(ended)
    largest = max((len(group) for group in _groups(ended, good)), default=0)
    facts = {"answers": answers, "agreeing": largest, "asked": len(answers)}
    if joined.counted:
        counted = [ended[n] for n in joined.counted]
        last = max(counted, key=lambda outcome: outcome.position)
        value = [answer.get("value") for answer in answers] if plan.gather == "all" else counted[0].value
        if plan.gather != "all":
            same = _canonical(value)
            facts["agreeing"] = sum(_canonical(ended[n].value) == same for n in good)
        evidence = tuple(item for outcome in counted for item in outcome.evidence)
        return Outcome("succeeded", last.path, {"value": value, **facts}, evidence, position=last.position)
    position = max((outcome.position for outcome in ended.values()), default=0)
    if ended and len(ended) == len(plan.agents) and all(one.kind == "nothing_to_do" for one in ended.values()):
        return ended[0]
    reason = "deadline" if late else "no_score" if _BEST.fullmatch(plan.gather) and good else "disagreement"
    if failures(ended) and not late and (plan.gather == "all" or not good):
        reason = first_failure(ended).reason or "failed"
    return Outcome("failed", f"{at.path}.0", reason=reason, error=facts, position=position)


def _answer(plan: ScatterGather, at: At, n: int, outcome: Outcome | None) -> dict[str, Any]:
    who = {"agent": plan.agents[n], "path": f"{at.path}.{n}"}
    if outcome is None:
        return {**who, "reason": "not_awaited"}
    if outcome.kind == "succeeded":
        return {**who, "value": outcome.value}
    return {**who, "reason": outcome.reason or outcome.kind}


register_decider(ScatterGather, VERSION, advance, undo_parts)
