"""One turn of deciding: what a pattern's decider sees of its run, and how it says what is to happen.

A decider is two pure functions over a node of the plan. `advance` brings the node forward and tells its outcome, None
while it is open: it asks for whatever isn't recorded yet, so that asking again changes nothing. `undo` brings the
undoing of what the node has done forward, and tells whether that is over. A decision that is made is folded at once,
so what is read afterwards includes it. Patterns' deciders are registered here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from ..eventstore.event import NewEvent, new_event
from ..eventstore.ids import derived_id
from .errors import PatternUnknown
from .evolve import evolve
from .plan import PatternFields, Task, pattern_of, steps_of
from .run_state import Fact, Run, TaskState
from .values import INPUT, Absent, Reference

NS = 1_000_000_000
#: How long the bus may take to say that a withdrawn task's holder has let go (or was killed), before it is believed.
RELEASE_S = 60.0


class Outcome(msgspec.Struct, frozen=True):
    """How a node of the plan ended; `path` is the task that decided it."""

    kind: Literal["succeeded", "nothing_to_do", "failed"]
    path: str
    value: Any = None
    evidence: tuple[dict[str, Any], ...] = ()
    reason: str = ""
    error: Any = None
    message: str = ""


class At(msgspec.Struct, frozen=True):
    """A place in the tree of a run: its path, the pattern it is a step of, how many tasks above it are plans."""

    path: str
    parent: At | None = None
    within: PatternFields | None = None
    depth: int = 0

    def step(self, pattern: PatternFields, n: int) -> At:
        """Return the place of a pattern's n-th step."""
        return At(f"{self.path}.{n}", self, pattern, self.depth)

    def undo(self) -> At:
        """Return the place of the task that compensates this step."""
        return At(f"{self.path}.undo", self.parent, self.within, self.depth)

    def planned(self, plan: PatternFields) -> At:
        """Return the place of the plan that the task here answered with; its steps follow the task's own path."""
        return At(f"{self.path}.0" if isinstance(plan, Task) else self.path, self, None, self.depth + 1)


class Question(msgspec.Struct, frozen=True):
    """What a human has to say before a task goes on."""

    path: str
    reason: str
    question: Any = None


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


class Turn:
    """The decisions for one input. `stopping` means: nothing new is started, only what is open is brought to an end."""

    def __init__(self, run: Run, fact: Fact) -> None:
        self.run = run
        self.fact = fact
        self.stopping = run.stop is not None
        self.withdrawn: list[bytes] = []
        self.questions: list[Question] = []
        self.outcomes: dict[str, Outcome] = {}
        self._versions: dict[str, int] = {}
        self._made: list[tuple[str, dict[str, Any], str, bytes]] = []

    def advance(self, plan: PatternFields, at: At) -> Outcome | None:
        """Bring a node forward by its pattern's decider; its outcome, None while it is open."""
        decider = decider_of(plan)
        self._versions[decider.pattern] = decider.version
        outcome = decider.advance(plan, at, self)
        if outcome is not None:
            self.outcomes[at.path] = outcome
        return outcome

    def undo(self, plan: PatternFields, at: At) -> bool:
        """Bring the undoing of a node forward; True once all that can be undone is."""
        decider = decider_of(plan)
        self._versions[decider.pattern] = decider.version
        return decider.undo(plan, at, self)

    def decide(self, type: str, path: str = "", *, to: str = "", what: str = "", **data: Any) -> bytes:
        """Record a decision; its id is derived from the run, the path, what it is, and the input it answers."""
        id = derived_id(self.run.id, path, what or type, self.fact.position)
        if path:
            data = {"path": path, **data}
        self._made.append((type, data, to, id))
        self.run = evolve(self.run, Fact(type, data, path, id, decided=True))
        return id

    def set_timer(self, kind: str, path: str, due: int, attempt: int = 0) -> None:
        """Set the timer of a kind for an attempt, due at wall-clock nanoseconds."""
        timer = f"{kind}/{path}/{attempt}" if path else kind
        self.decide("timer.set", path, what=f"timer.set/{kind}", timer=timer, kind=kind, due=due, attempt=attempt)

    def cancel_timers(self, path: str | None = None, kinds: tuple[str, ...] = ()) -> None:
        """Cancel the open timers of a task (of the whole run where path is None), of these kinds or of all."""
        for timer in [*self.run.timers.values()]:
            if (path is None or timer.path == path) and (not kinds or timer.kind in kinds):
                self.decide("timer.cancelled", timer.path, what=f"timer.cancelled/{timer.name}", timer=timer.name)

    def cancel(self, task: TaskState, reason: str) -> None:
        """End an attempt; a request that is out is withdrawn, and nothing follows before its holder has let go."""
        out = task.phase in ("requested", "expired")
        self.decide("task.cancelled", task.path, reason=reason, attempt=task.attempt)
        self.cancel_timers(task.path, ("timeout", "retry"))
        if out:
            self.withdrawn.append(task.request)
            self.set_timer("release", task.path, self.fact.time + int(RELEASE_S * NS), task.attempt)

    def ask(self, path: str, reason: str, question: Any = None) -> None:
        """Say that a human's word is needed for a task."""
        self.questions.append(Question(path, reason, question))

    def look_up(self, reference: Reference, at: At) -> Any:
        """Return the value that a reference at a place means, or Absent."""
        if reference.name == INPUT:
            return self.run.input
        path = reference.path or _path_of(reference.name, at)
        outcome = self.outcomes.get(path or "")
        if outcome is None:
            return Absent(f"{reference.name or reference.path} has no value")
        if outcome.kind == "nothing_to_do":
            return Absent(f"{reference.name or reference.path} had nothing to do", idle=True)
        return outcome.value if outcome.kind == "succeeded" else Absent(f"{reference.name or reference.path} failed")

    def events(self) -> list[NewEvent]:
        """Return the decisions as events of one append, in the order in which they were made."""
        fact, run = self.fact, self.run
        return [
            new_event(
                type,
                {**data, "decider": self._versions},
                stream=f"run.{run.id}",
                id=id,
                to=to,
                run=run.id,
                cause=fact.id,
                trace=run.trace,
                seen=fact.position,
            )
            for type, data, to, id in self._made
        ]


def _path_of(name: str, at: At) -> str | None:
    """Find the step with a name among those before a place, innermost pattern first; an undo sees its own step too."""
    here: At | None = at
    while here is not None and here.parent is not None:
        if here.within is not None:
            for n, step in enumerate(steps_of(here.within)):
                if step.name == name:
                    return f"{here.parent.path}.{n}"
        here = here.parent
    return None
