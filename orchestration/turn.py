"""One turn of deciding: what a pattern's decider sees of its run, and how it says what is to happen.

A decider is two pure functions over a node of the plan. `advance` brings the node forward and tells its outcome, None
while it is open: it asks for whatever isn't recorded yet, so that asking again changes nothing. It is called when
something in the node has changed, and calls `turn.advance` for its parts, which costs nothing where nothing has.
`undo` brings the undoing of what the node has done forward, and tells whether that is over. A decision that is made is
folded at once, so what is read afterwards includes it. Patterns' deciders are registered here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from ..eventstore.event import NewEvent, new_event
from ..eventstore.ids import derived_id
from .errors import PatternUnknown
from .evolve import evolve
from .levels import row_of
from .memo import NOTHING, Held, Memo
from .place import At as At
from .place import Outcome as Outcome
from .place import Question as Question
from .plan import PatternFields, pattern_of
from .run_state import HELD_SIZE_MAX, Fact, Run, TaskState, Timer, tree_order
from .values import INPUT, Absent, Reference

T = TypeVar("T")
NS = 1_000_000_000
#: How long the bus may take to say that a withdrawn task's holder has let go (or was killed), before it is believed.
RELEASE_S = 60.0
#: What is decided for one input is one append: when a turn counts as long, in events and bytes of payloads.
LONG_EVENTS = 1000
LONG_BYTES = 1024 * 1024
#: What humans may answer where work is stuck: try it again, it is done, let it be.
STUCK = ("retry", "done", "give_up")


class Decider(NamedTuple):
    """What a pattern does. `version` changes whenever the same state would be decided otherwise."""

    pattern: str
    version: int
    advance: Callable[[Any, At, Turn], Outcome | None]
    undo: Callable[[Any, At, Turn], bool]


DECIDERS: dict[type[PatternFields], Decider] = {}


def register_decider(
    pattern: type[PatternFields],
    version: int,
    advance: Callable[[Any, At, Turn], Outcome | None],
    undo: Callable[[Any, At, Turn], bool],
) -> None:
    """Say what a pattern does (see `plan.register_pattern` for how it is written)."""
    DECIDERS[pattern] = Decider(pattern_of(pattern), version, advance, undo)


def decider_of(plan: PatternFields) -> Decider:
    """Return the decider of a plan's pattern; raises PatternUnknown."""
    try:
        return DECIDERS[type(plan)]
    except KeyError:
        known = tuple(sorted(decider.pattern for decider in DECIDERS.values()))
        raise PatternUnknown(pattern_of(plan), known) from None


class _Frame:
    """A decider at work: the node that it brings forward, and what of it has changed since the last time."""

    __slots__ = ("_by", "_decider", "_outer", "changed", "key")

    def __init__(self, key: tuple[str, int], changed: Set[str] | None, decider: Decider, outer: _Frame | None) -> None:
        self.key = key
        self.changed = changed
        self._decider = decider
        self._outer = outer
        self._by: dict[str, int] | None = None

    @property
    def by(self) -> dict[str, int]:
        """Its version and those of the deciders around it, as all of them have a part in what it decides."""
        if self._by is None:
            outer = self._outer.by if self._outer is not None else {}
            self._by = {**outer, self._decider.pattern: self._decider.version}
        return self._by


#: The version of what is decided for no pattern: it changes as those of patterns do.
RUN_VERSION = 2
_RUN = Decider("run", RUN_VERSION, lambda plan, at, turn: None, lambda plan, at, turn: True)


class Turn:
    """The decisions for one input; `memo` is what is known of the plan's nodes from the turns before."""

    def __init__(self, run: Run, fact: Fact, memo: Memo) -> None:
        self.run = run
        self.fact = fact
        self.memo = memo
        self.withdrawn: list[bytes] = []
        self.timers: list[Timer] = []
        #: The path of the task that `levels` lets be requested next.
        self.admitted = ""
        self._winding_up = False
        self._frames = [_Frame(("", 0), None, _RUN, None)]
        self._made: list[NewEvent] = []
        self._requested: dict[bytes, int] = {}
        self._size = 0

    @property
    def stopping(self) -> bool:
        """Whether nothing new is started here, and what is open is only brought to an end."""
        return self._winding_up or self.run.stop is not None

    def advance(self, plan: PatternFields, at: At) -> Outcome | None:
        """Bring a node forward, if anything in it has changed; return its outcome, None while it is open."""
        node = self.memo.node(at.path, at.depth)
        if not node.dirty:
            return node.outcome
        decider, key = decider_of(plan), (at.path, at.depth)
        self._frames.append(_Frame(key, node.changed, decider, self._frames[-1]))
        node.changed = NOTHING
        self.memo.questions.pop(key, None)
        node.outcome = decider.advance(plan, at, self)
        # What the decider itself has changed elsewhere below it is to be looked at in the next turn.
        node.dirty = node.changed is None or bool(node.changed)
        self._frames.pop()
        return node.outcome

    def undo(self, plan: PatternFields, at: At) -> bool:
        """Bring the undoing of a node forward; True once all that can be undone is."""
        decider = decider_of(plan)
        frame = self._frames[-1]
        self._frames.append(_Frame(frame.key, frame.changed, decider, frame))
        over = decider.undo(plan, at, self)
        self._frames.pop()
        return over

    def wind_up(self, plan: PatternFields, at: At) -> None:
        """Bring a node that is being taken back forward as far as it goes without starting anything new."""
        before, self._winding_up = self._winding_up, True
        self.advance(plan, at)
        self._winding_up = before

    def outcome(self, at: At) -> Outcome | None:
        """Return the outcome of a node that has been brought forward before, None while it is open."""
        return self.memo.outcome(at.path)

    @property
    def changed(self) -> Set[str] | None:
        """The paths, below the node's own, of what has changed since its decider was last called; None for all."""
        return self._frames[-1].changed

    def notes(self, at: At, make: Callable[[], T]) -> T:
        """Return what the node's decider keeps from turn to turn: a cache that follows from the run's state alone."""
        node = self.memo.node(at.path, at.depth)
        if node.notes is None:
            node.notes = make()
        notes: T = node.notes
        return notes

    def decide(self, type: str, path: str = "", *, queue: str = "", what: str = "", **data: Any) -> bytes:
        """Record a decision; its id is derived from the run, the path, what it is, and the input it answers."""
        id = derived_id(self.run.id, path, what or type, self.fact.position)
        if path:
            data = {"path": path, **data}
        frame = self._frames[-1]
        ended = self.run.tasks.get(path) if type == "task.parked" else None
        if ended is not None and ended.phase == "reported" and not ended.undo:
            # What is known of the nodes that it belongs to says that it has ended; a human may set it going again.
            self.memo.reopen(path, frame.key[0])
        self._make(type, {**data, "decider": frame.by}, id, queue)
        self.run = evolve(self.run, Fact(type, data, path, id, self.fact.position, decided=True))
        if path and path != frame.key[0]:
            self.memo.touch(path)
        return id

    def set_timer(self, kind: str, path: str, due: int, attempt: int = 0) -> None:
        """Set the timer of a kind for an attempt, due at wall-clock nanoseconds."""
        timer = f"{kind}/{path}/{attempt}" if path else kind
        self.decide("timer.set", path, what=f"timer.set/{kind}", timer=timer, kind=kind, due=due, attempt=attempt)
        self.timers.append(self.run.timers[timer])

    def carry_timer(self, timer: Timer) -> None:
        """Set a timer that was set before the run was forked."""
        about: dict[str, Any] = {"timer": timer.name, "kind": timer.kind, "due": timer.due, "attempt": timer.attempt}
        self.decide("timer.set", timer.path, what=f"timer.set/{timer.name}", **about)
        self.timers.append(self.run.timers[timer.name])

    def cancel_timers(self, path: str, attempt: int, kinds: Sequence[str]) -> None:
        """Cancel the timers of these kinds that are set for a task or node; those of attempts are for this one."""
        timers = self.run.timers
        if not timers:
            return
        for kind in kinds:
            for number in {0, attempt}:
                if (timer := timers.get(f"{kind}/{path}/{number}")) is not None:
                    self.cancel_timer(timer)

    def cancel_all_timers(self) -> None:
        """Cancel every timer of the run."""
        for timer in self.timers_in_order():
            self.cancel_timer(timer)

    def timers_in_order(self) -> list[Timer]:
        """Return the timers that are set, in an order that is the same in every process."""
        return sorted(self.run.timers.values(), key=lambda timer: (timer.due, timer.name))

    def cancel_timer(self, timer: Timer) -> None:
        """Cancel a timer that is set."""
        self.decide("timer.cancelled", timer.path, what=f"timer.cancelled/{timer.name}", timer=timer.name)

    def rang(self, at: At, kind: str, after_s: float, attempt: int = 0) -> bool:
        """Tell whether a timer of the node has fired; it is set, seconds from now, when this is first asked."""
        fired = self.run.alarms.get(f"{kind}/{at.path}/{attempt}")
        if fired is None and not self.stopping:
            self.set_timer(kind, at.path, self.fact.time + int(after_s * NS), attempt)
        return bool(fired)

    def cancel(self, task: TaskState, reason: str) -> None:
        """End an attempt; a request that is out is withdrawn, and nothing follows before its holder has let go."""
        out = task.phase in ("requested", "expired")
        unsent: dict[str, Any] = {"unsent": True} if out and self._take_out(task.request) else {}
        self.decide("task.cancelled", task.path, reason=reason, attempt=task.attempt, **unsent)
        self.cancel_timers(task.path, task.attempt, ("timeout", "retry", "human"))
        if out and not unsent:
            self.withdrawn.append(task.request)
            self.set_timer("release", task.path, self.fact.time + int(RELEASE_S * NS), task.attempt)

    def _take_out(self, request: bytes) -> bool:
        """Let a request that was made in this turn wait in no queue; tell whether it was one."""
        n = self._requested.pop(request, None)
        if n is not None:
            self._made[n] = replace(self._made[n], to="")
        return n is not None

    def may_start(self, path: str, level: int) -> bool:
        """Tell whether another task may be requested now: it was admitted to its level, and the budget allows it.

        Where levels have limits it waits, and may be admitted before the turn is over.
        """
        run = self.run
        if run.paused:
            return False
        if run.levels and path != self.admitted:
            self.memo.held.setdefault(row_of(run, level), Held()).add(path)
            return False
        return not self._over_budget("tasks", run.budget.tasks, run.spent.tasks + 1)

    def check_budget(self) -> None:
        """Stop the run if what its model calls have used, or what it holds in memory, is more than it may."""
        budget, spent = self.run.budget, self.run.spent
        if not self._over_budget("tokens", budget.tokens, spent.tokens):
            self._over_budget("usd", budget.usd, spent.usd)
        self._over_budget("memory", HELD_SIZE_MAX, self.run.held)

    def _over_budget(self, what: str, limit: float | None, spent: float) -> bool:
        if limit is None or spent <= limit:
            return False
        if not self.stopping:
            self.decide("run.stopping", reason="budget", budget=what, limit=limit)
        return True

    def ask(self, path: str, reason: str, question: Any = None, takes: Sequence[Any] = STUCK, **more: Any) -> None:
        """Say that a human's word is needed for a task, until the node is looked at again; it is requested once.

        `takes` are the answers that count, () for any; `more` goes into `human.requested`.
        """
        task = self.run.tasks[path]
        if task.asking is None:
            since = self.fact.time
            about = {"reason": reason, "question": question, "takes": list(takes), "since": since, **more}
            self.decide("human.requested", path, agent=task.agent, attempt=task.attempt, **about)
        self.memo.questions.setdefault(self._frames[-1].key, []).append(Question(path, reason, question))

    @property
    def questions(self) -> list[Question]:
        """All that humans are asked, in the order of the tree."""
        asked = {one.path: one for questions in self.memo.questions.values() for one in questions}
        return sorted(asked.values(), key=lambda one: tree_order(one.path))

    def look_up(self, reference: Reference, at: At) -> Any:
        """Return the value that a reference at a place means, or Absent."""
        if reference.name == INPUT:
            return self.run.input
        path = reference.path
        if not path:
            here: At | None = at
            # The innermost pattern comes first; an undo sees its own step too.
            while here is not None and not path:
                if here.bound is not None and reference.name in here.bound:
                    return here.bound[reference.name]
                if here.within is not None and here.parent is not None:
                    number = self.memo.number_of(reference.name, here.within)
                    path = f"{here.parent.path}.{number}" if number else ""
                here = here.parent
        outcome = self.memo.outcome(path)
        if outcome is None:
            return Absent(f"{reference.name or reference.path} has no value")
        if outcome.kind == "nothing_to_do":
            return Absent(f"{reference.name or reference.path} had nothing to do", idle=True)
        return outcome.value if outcome.kind == "succeeded" else Absent(f"{reference.name or reference.path} failed")

    def events(self) -> list[NewEvent]:
        """Return the decisions as events of one append, in the order in which they were made."""
        return self._made

    @property
    def is_long(self) -> bool:
        """Whether so much has been decided that what can wait for the next input should: it is all one append."""
        return len(self._made) >= LONG_EVENTS or self._size >= LONG_BYTES

    def _make(self, type: str, data: dict[str, Any], id: bytes, to: str) -> None:
        fact, run = self.fact, self.run
        event = new_event(
            type,
            data,
            stream=f"run.{run.id}",
            id=id,
            to=to,
            run=run.id,
            cause=fact.id,
            trace=run.trace,
            seen=fact.position,
        )
        if to:
            self._requested[id] = len(self._made)
        self._made.append(event)
        self._size += len(event.payload)
