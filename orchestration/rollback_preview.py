"""What a rollback would do, before anybody orders it: decided by the very deciders, on a run that nothing is done to.

Owns the playing of it: each task that is taken back lets go, each compensation succeeds, each human lets things pass.
Leaves files and branches, which the log knows only in part, to whoever can look at them. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from ..eventstore.event import Event, NewEvent
from .decider import decide
from .memo import Memo
from .run_state import Fact, Run, TaskState, fact_of, is_waiting, tree_order
from .undoing import accounts, done_at

#: Inputs after which a rollback that doesn't come to its end is given up on; each task takes a few.
INPUTS_PER_TASK = 20
#: Effects of one preview that are named.
EFFECTS_MAX = 100


class Undone(msgspec.Struct, frozen=True):
    """A task, or a step of several, that a rollback concerns: `position` is where it was done, None where it was not.

    `by` is the agent that undoes it.
    """

    path: str
    agent: str
    position: int | None = None
    by: str = ""


class Lasting(msgspec.Struct, frozen=True):
    """Something done to the world that nothing takes back, at a position of the log, by the task at a path."""

    position: int
    path: str
    kind: str
    name: str
    effect: str


class RollbackPreview(msgspec.Struct, frozen=True):
    """What a rollback to the position `to` does to the tasks of a run, in the order in which it does it.

    `withdrawn` are at work or wait for an agent, `compensations` the tasks that are undone. `not_undone` have no
    compensation and stay done; `undone_before` were done at the position, but are undone since, and stay so.
    `effects` are what tasks have done to the world since that no compensation is told to take back.
    """

    run: str
    to: int
    withdrawn: tuple[Undone, ...] = ()
    compensations: tuple[Undone, ...] = ()
    not_undone: tuple[Undone, ...] = ()
    undone_before: tuple[Undone, ...] = ()
    effects: tuple[Lasting, ...] = ()


def preview(run: Run, events: Iterable[Event], to: int) -> RollbackPreview:
    """Play a rollback of a run, as it stands after these events of it, and tell what it would do."""
    playing = _Playing(run, to)
    playing.play()
    after = playing.run
    lasting = set(accounts(after)["not_undone"])
    seen = list(events)
    return RollbackPreview(
        run.id,
        to,
        tuple(_told(run, path) for path in playing.withdrawn),
        tuple(_told(run, path, by) for path, by in playing.compensated.items()),
        tuple(_told(run, path) for path in sorted(lasting, key=tree_order) if path in run.tasks),
        tuple(_undone_before(run, seen, to)),
        tuple(_effects(run, seen, to, lasting)),
    )


class _Playing:
    """One rollback that is played; `run` is the state that it comes to."""

    def __init__(self, run: Run, to: int) -> None:
        self.run = run
        self.withdrawn: list[str] = []
        self.compensated: dict[str, str] = {}
        self._to = to
        self._memo = Memo()
        self._time = run.last_ns
        self._position = max(run.last, run.seen)
        self._facts: deque[Fact] = deque()

    def play(self) -> None:
        """Decide until nothing but files is left to restore."""
        open = list(self.run.out.items())
        self._say("run.rollback_requested", to=self._to, again=True)
        for request, path in sorted(open, key=lambda one: tree_order(one[1])):
            task = self.run.tasks[path]
            if task.undo:
                self._undo(path, task.agent)
                self._say("task.succeeded", path, request)
            elif task.phase == "stopping":
                self._say("delivery.withdrawn", cause=request, delivered=True)
        for _ in range(INPUTS_PER_TASK * (len(self.run.tasks) + 10)):
            if not self._facts and not self._go_on():
                return
            decision = decide(self.run, self._facts.popleft(), {}, self._memo)
            self.run = decision.run
            for event in decision.events:
                self._answer(event)
            for request in decision.withdrawn:
                self.withdrawn.append(decision.run.out[request])
                self._say("delivery.withdrawn", cause=request, delivered=True)

    def _answer(self, event: NewEvent) -> None:
        """Let a compensation that is asked for succeed."""
        if event.type == "task.requested":
            path = msgspec.json.decode(event.payload)["path"]
            self._undo(path, event.to)
            self._say("task.succeeded", path, event.id)

    def _undo(self, path: str, by: str) -> None:
        self.compensated.setdefault(path.removesuffix(".undo"), by)

    def _go_on(self) -> bool:
        """Let time pass, or a human speak, where nothing else moves; False where it is over."""
        run = self.run
        if run.rollback is None or run.rollback.restoring or run.status == "ended":
            return False
        for timer in sorted(run.timers.values(), key=lambda one: (one.due, one.name)):
            self._say("timer.fired", timer=timer.name)
            return True
        for path in sorted(run.open, key=tree_order):
            if is_waiting(run.tasks[path]):
                self._say("human.answered", path, answer="done" if run.tasks[path].phase == "parked" else "go on")
                return True
        return False

    def _say(self, type: str, path: str = "", cause: bytes = b"", **data: Any) -> None:
        self._position += 1
        id = self._position.to_bytes(16, "big")
        self._facts.append(Fact(type, data, path, id, self._position, self._time, cause))


def _told(run: Run, path: str, by: str = "") -> Undone:
    task = run.tasks.get(path)
    if task is not None:
        return Undone(path, task.agent, done_at(task) if _has_ended(task) else None, by)
    parts = [one for one in run.tasks.values() if one.path.startswith(f"{path}.") and not one.undo]
    return Undone(path, "", max((done_at(one) for one in parts if _has_ended(one)), default=None), by)


def _has_ended(task: TaskState) -> bool:
    return task.report is not None and bool(task.report.position or task.report.known_at)


def _undone_before(run: Run, events: Iterable[Event], to: int) -> Iterable[Undone]:
    """Yield what was done by the position and undone between then and now."""
    for event in events:
        if event.type == "task.compensated" and event.seen and event.position > to:
            task = run.tasks.get(fact_of(event).path)
            if task is not None and _has_ended(task) and done_at(task) <= to:
                yield _told(run, task.path)


def _effects(run: Run, events: Iterable[Event], to: int, lasting: set[str]) -> Iterable[Lasting]:
    """Yield what was done to the world since by tasks that nothing undoes, or may have been.

    What changed files only is restored with them; a model that was asked has changed nothing.
    """
    found = 0
    for event in events:
        if event.position <= to or event.type not in ("effect.completed", "effect.in_doubt"):
            continue
        fact = fact_of(event)
        word, kind = fact.data.get("effect"), fact.data.get("kind")
        files = fact.data.get("commit") or fact.data.get("commits")
        counts = fact.path in lasting and word in ("once", "idempotent") and kind not in ("value", "model")
        if counts and not files and found < EFFECTS_MAX:
            found += 1
            yield Lasting(event.position, fact.path, str(kind), str(fact.data.get("name")), str(word))
