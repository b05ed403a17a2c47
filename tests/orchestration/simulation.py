"""A whole system in one process, with a clock that jumps and a bus that loses hints: every schedule can be played.

The log is the real one in memory; orchestrators are the real ones, driven as `process` drives them. Bus and agents are
played here, with what the real ones promise: a delivery has one holder, moves only when that is dead or its lease is
over, and is settled once; what is committed is kept, what is only told may get lost, come twice, or late. Everything
random comes from the seed. The kill after an event sits here, in a wrapper of the log.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from twelvefold.bus import run_marks
from twelvefold.eventstore.errors import TwelvefoldError
from twelvefold.eventstore.event import Event, NewEvent, new_event
from twelvefold.eventstore.ids import derived_id
from twelvefold.eventstore.log import Append, Appended
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.eventstore.run import read_run
from twelvefold.orchestration.orchestrator import ASKED, Batch, Orchestrator
from twelvefold.orchestration.run_fold import fold_run
from twelvefold.orchestration.run_state import Run

RUN = "0190a0b0c0d0e0f00000000000000001"
SECOND = 1_000_000_000
REPORTS = frozenset({"task.succeeded", "task.nothing_to_do", "task.failed", "task.needs_human", "task.planned"})
_WITHDRAWN = "withdrawn/"
Answering = Callable[[dict[str, Any], str], tuple[str, dict[str, Any]] | None]


class Killed(BaseException):
    """The bus was killed right after it had committed: whoever had asked for it hears nothing."""


class MortalLog(MemoryLog):
    """A log in memory that calls `then` once the event `after` (counted from 1) has been committed."""

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__(clock=clock)
        self.after = 0
        self.then: Callable[[], None] | None = None

    def append_many(self, requests: Sequence[Append]) -> list[Appended | TwelvefoldError]:
        results = super().append_many(requests)
        if self.then is not None and self.head >= self.after:
            then, self.then = self.then, None
            then()
        return results


class Link:
    """What a watcher of the log hears: hints, each with the position before it, which may be lost, doubled or late."""

    def __init__(self, known: int) -> None:
        self.known = known
        self.hints: list[Event] = []


class Manager:
    """An orchestrator's process."""

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self.core = Orchestrator()
        log = world.log
        marks, head = log.marks(run_marks.PREFIX), log.head
        seen = int(marks.pop(run_marks.SEEN, "0"))
        runs = {name.removeprefix(run_marks.PREFIX): run_marks.first_of(mark) for name, mark in marks.items()}
        for type in ASKED:
            for event in log.read(after=seen, type=type, limit=10**6):
                runs.setdefault(event.run, event.position)
        self.loaded = sorted(runs, key=lambda run: runs[run])
        for run in self.loaded:
            self.core.load(run, read_run(log, run))
        self.link = Link(head)
        self.waiting: list[Batch] = []

    def hear(self, count: int = 1) -> bool:
        """Take in hints; where one before them is missing, read the log instead."""
        moved = False
        while self.link.hints and count > 0:
            event = self.link.hints.pop(0)
            count -= 1
            if event.position == self.link.known + 1:
                self._receive(event)
                moved = True
            elif event.position > self.link.known:
                moved = self.look(1000) or moved
        return moved

    def look(self, limit: int = 1000) -> bool:
        """Ask for what has been missed."""
        events = self._world.log.read(after=self.link.known, limit=limit)
        for event in events:
            self._receive(event)
        return bool(events)

    def _receive(self, event: Event) -> None:
        self.core.receive(event)
        self.link.known = event.position

    def append(self, most: int = 10**6) -> bool:
        """Append what was decided, `most` batches of it; a run whose append is refused is loaded anew."""
        self.waiting += self.core.take()
        moved = False
        while self.waiting and most > 0 and self in self._world.managers:
            batch = self.waiting.pop(0)
            most -= 1
            moved = True
            result = self._world.bus.append(batch.events, batch.expected_version, batch.marks, batch.withdrawn)
            if isinstance(result, TwelvefoldError):
                self.core.refused(batch.run)
                self.waiting = [one for one in self.waiting if one.run != batch.run]
        for run in sorted(self.core.stale) if self in self._world.managers else ():
            moved = True
            self.core.load(run, read_run(self._world.log, run))
        return moved

    def restore(self, limit: int = 1) -> bool:
        """Say of files that were to be restored that they are, as whoever lays them out would."""
        moved = bool(self.core.restores)
        while self.core.restores:
            _, restore = self.core.restores.popitem()
            self.core.restored(restore, {"workspaces": [], "branches": self._world.branches})
        return moved

    def fire(self) -> None:
        """Fire the timers that are due by the clock."""
        self.core.fire_due(self._world.clock())


class Worker:
    """An agent's process: holds at most one delivery. `told` is whether it was told that its work is withdrawn."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: Event | None = None
        self.told = False


class Bus:
    """Queues, holders and withdrawals. A restart makes them of the log, its marks, and what living holders say."""

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self.start()

    def start(self) -> None:
        log = self._world.log
        self.queued: dict[bytes, Event] = {}
        self.holders: dict[bytes, Worker] = {}
        self.handed: set[bytes] = set()
        for event in log.read(limit=10**6):
            if event.to:
                self.queued[event.id] = event
            elif event.type in REPORTS:
                self.queued.pop(event.cause, None)
        for name in log.marks(_WITHDRAWN):
            self.queued.pop(bytes.fromhex(name.removeprefix(_WITHDRAWN)), None)
        for worker in self._world.workers:
            if worker.held is not None:
                if worker.held.id in self.queued:
                    self.holders[worker.held.id] = worker
                    self.queued.pop(worker.held.id)
                elif f"{_WITHDRAWN}{worker.held.id.hex()}" in log.marks(_WITHDRAWN):
                    worker.told = True
        for manager in self._world.managers:
            manager.link.hints.clear()

    def append(
        self,
        events: Sequence[NewEvent],
        expected: dict[str, int] | None = None,
        marks: dict[str, str | None] | None = None,
        withdrawn: Sequence[bytes] = (),
    ) -> Appended | TwelvefoldError:
        """Commit, then tell: whoever is killed between the two has lost only what was told."""
        known = {id for id in withdrawn if id in self.queued or id in self.holders}
        marks = {**(marks or {}), **{f"{_WITHDRAWN}{id.hex()}": "1" for id in known}}
        request = Append(events=events, expected_version=expected or {}, marks=marks)
        (result,) = self._world.log.append_many([request])
        if isinstance(result, Appended) and result.fresh:
            for event in result.events:
                if event.to:
                    self.queued[event.id] = event
                self._publish(event)
            for id in withdrawn:
                self._withdraw(id)
        self._world.after_append()
        return result

    def _withdraw(self, id: bytes) -> None:
        event, holder = self.queued.pop(id, None), self.holders.pop(id, None)
        if holder is not None:
            holder.told = True
        elif event is not None:
            self.released(event)

    def released(self, event: Event) -> None:
        """Say that nobody works on a withdrawn request any more."""
        facts = {"event": event.id.hex(), "queue": True, "delivered": event.id in self.handed}
        id = derived_id(event.run, event.id.hex(), "delivery.withdrawn")
        told = new_event("delivery.withdrawn", facts, stream=f"group.{event.to}", id=id, run=event.run, cause=event.id)
        self.append([told])

    def _publish(self, event: Event) -> None:
        world = self._world
        for manager in world.managers:
            hints, luck = manager.link.hints, world.chance.random() if world.lossy else 1.0
            if luck < 0.15:
                continue
            if luck < 0.25:
                hints.append(event)
            if luck < 0.35 and hints:
                hints.insert(world.chance.randrange(len(hints) + 1), event)
            else:
                hints.append(event)

    def hand_out(self, worker: Worker, id: bytes) -> None:
        worker.held = self.queued.pop(id)
        worker.told = False
        self.holders[id] = worker
        self.handed.add(id)

    def give_back(self, worker: Worker) -> None:
        """A holder is dead, or its lease is over: what it held waits for another, or is known to have ended."""
        event, worker.held = worker.held, None
        if event is None:
            return
        if self.holders.get(event.id) is worker:
            del self.holders[event.id]
            self.queued[event.id] = event
        elif worker.told:
            self.released(event)

    def settle(self, worker: Worker, type: str, data: dict[str, Any]) -> bool:
        """Take a holder's report; that of one who is no holder any more is refused."""
        event = worker.held
        assert event is not None
        if self.holders.get(event.id) is not worker:
            return False
        path = event.data["path"]
        id = derived_id(event.run, event.id.hex(), "report")
        report = new_event(type, data, stream=f"task.{event.run}.{path}", id=id, run=event.run, cause=event.id)
        # What settles a delivery and what is reported commit together; whoever is killed now asks again.
        del self.holders[event.id]
        worker.held = None
        self.append([report])
        return True


class Simulation:
    """Log, bus, agents and orchestrators; `step` does something at random, `settle_down` all that there is to do."""

    def __init__(
        self, answering: Answering, seed: object = 0, *, managers: int = 1, lossy: bool = True, workers: int = 4
    ) -> None:
        self.chance = random.Random(f"schedule {seed}")
        self.lossy = lossy
        self.now = 1_000 * SECOND
        self.log = MortalLog(self.clock)
        self.workers = [Worker(f"worker.{n}") for n in range(workers)]
        self.answering = answering
        self.managers: list[Manager] = []
        self.bus = Bus(self)
        self.managers = [Manager(self) for _ in range(managers)]
        self.doomed = ""
        self.refused = 0
        self.given_up: set[str] = set()
        #: What is said of branches where files are restored.
        self.branches: list[dict[str, Any]] = []

    def clock(self) -> int:
        return self.now

    def request(self, type: str, data: dict[str, Any], run: str = RUN) -> None:
        """What a client asks for."""
        stream = f"run.{run}" if type == "run.requested" else f"request.{run}"
        self._tell(lambda: new_event(type, data, stream=stream, run=run, id=derived_id(run, type, "", self.log.head)))

    def _tell(self, make: Callable[[], NewEvent]) -> None:
        try:
            self.bus.append([make()])
        except Killed:
            self.bus.start()

    # --- deaths

    def kill_after(self, event: int, victim: str) -> None:
        """Kill the bus, the orchestrators or the working agents right after an event of the log."""

        def then() -> None:
            if victim == "bus":
                raise Killed
            self.doomed = victim

        self.log.after, self.log.then = event, then

    def after_append(self) -> None:
        """Kill whoever is to die now."""
        doomed, self.doomed = self.doomed, ""
        if doomed == "orchestrator":
            self.managers = [Manager(self) for _ in self.managers]
        elif doomed == "agent":
            for worker in self.workers:
                self.bus.give_back(worker)

    def safely(self, act: Callable[[], Any]) -> Any:
        """Do something; where the bus dies of it, start it again: clients reconnect and ask what has become of it."""
        try:
            return act()
        except Killed:
            self.bus.start()
            for manager in self.managers:
                # Acks were lost: what was not acknowledged is sent again, and known.
                for run in {batch.run for batch in manager.waiting}:
                    manager.core.refused(run)
                manager.waiting = []
                for run in [*manager.core.stale]:
                    manager.core.load(run, read_run(self.log, run))
            return True

    # --- what may happen next

    def step(self) -> None:
        """Let one thing happen that may happen."""
        manager = self.chance.choice(self.managers)
        acts: list[tuple[float, Callable[[], Any]]] = [
            (4, lambda: manager.hear(self.chance.choice((1, 1, 2, 50)))),
            (1, lambda: manager.look(self.chance.choice((1, 3, 1000)))),
            (1, manager.restore),
            (4, lambda: manager.append(self.chance.choice((1, 1, 1000)))),
            (1, self._tick),
            (5, self._work),
            (0.3, self._jump),
            (0.4, self._die),
            (0.2, self._overrun),
            (0.2, self.bus.start),
            (0.3, lambda: self._replace(manager)),
            (0.4, self._human),
        ]
        weights = [weight for weight, _ in acts]
        self.safely(self.chance.choices([act for _, act in acts], weights)[0])

    def _replace(self, manager: Manager) -> None:
        """kill -9 of an orchestrator, and its successor."""
        self.managers[self.managers.index(manager)] = Manager(self)

    def _work(self, *, all: bool = False) -> bool:
        """Let a worker take something, or say what came of it."""
        moved = False
        for worker in self.workers if all else [self.chance.choice(self.workers)]:
            if worker.held is None:
                wanted = (id for id, event in self.bus.queued.items() if self._answer(event) is not None)
                found = list(islice(wanted, 1 if all else None))
                if found:
                    self.bus.hand_out(worker, self.chance.choice(found))
                    moved = True
            elif worker.told:
                self.bus.give_back(worker)
                moved = True
            else:
                answer = self._answer(worker.held)
                assert answer is not None
                moved = True
                if not self.bus.settle(worker, *answer):
                    # Another has it by now: the late report is refused, and the worker drops it.
                    self.refused += 1
                    worker.held = None
        return moved

    def _answer(self, event: Event) -> tuple[str, dict[str, Any]] | None:
        return self.answering(event.data, event.to)

    def _die(self) -> None:
        """kill -9 of an agent: its supervisor says that it is gone."""
        self.bus.give_back(self.chance.choice(self.workers))

    def _overrun(self) -> None:
        """The lease of an agent without a supervisor ends, while it works on."""
        worker = self.chance.choice(self.workers)
        if worker.held is not None and self.bus.holders.get(worker.held.id) is worker:
            self.bus.queued[worker.held.id] = worker.held
            del self.bus.holders[worker.held.id]

    def _jump(self) -> None:
        """Someone sets the clock."""
        self.now = max(SECOND, self.now + int(self.chance.uniform(-100, 100) * SECOND))

    def _tick(self) -> bool:
        """Let the time come at which the next timer is due, and fire it."""
        due = [manager.core.next_due for manager in self.managers if manager.core.next_due is not None]
        if not due:
            return False
        if min(due) > self.now:
            self.now = min(due)
        for manager in self.managers:
            manager.fire()
        return True

    def _human(self) -> bool:
        """Answer the first question of each run that rests; what is asked again is answered again."""
        moved = False
        for run in sorted({event.run for event in self.log.read(type="run.needs_human", limit=10**6)}):
            state = self.state(run)
            for question in state.end.get("questions", ())[:1] if state.status == "resting" else ():
                path, reason = question["path"], question["reason"]
                task = state.tasks[path]
                answer = "A" if task.phase != "parked" else "approve" if reason == "approval" else "retry"
                if reason in ("beyond_pivot", "in_doubt") or (task.phase == "parked" and task.failures > 6):
                    answer = "give_up"
                    self.given_up.add(path)
                self.request("human.answered", {"path": path, "answer": answer}, run)
                moved = True
        return moved

    def settle_down(self, rounds: int = 5000) -> Simulation:
        """Do whatever there is to do, in a fixed order, until nothing moves any more."""
        for _ in range(rounds):
            moved = False
            for n in range(len(self.managers)):
                for act in ("hear", "look", "append", "restore"):
                    manager = self.managers[n]
                    if self.safely(lambda act=act, manager=manager: getattr(manager, act)(1000)):  # type: ignore[misc]
                        moved = True
            moved = self.safely(lambda: self._work(all=True)) or moved
            if not moved and not self.safely(self._human) and not self.safely(self._tick):
                return self
        raise AssertionError(f"it never comes to rest: {self.told()[-20:]}")

    # --- what there is to look at

    def state(self, run: str = RUN) -> Run:
        return fold_run(run, read_run(self.log, run)).at_head

    def end(self, run: str = RUN) -> tuple[str, Any]:
        """The outcome and the value."""
        state = self.state(run)
        return state.outcome, state.end.get("value")

    def told(self, run: str = RUN) -> list[str]:
        """Every event of a run as `type path`."""
        found = []
        for event in read_run(self.log, run):
            data = event.data or {}
            path = event.stream.split(".", 2)[-1] if event.stream.startswith("task.") else data.get("path", "")
            found.append(f"{event.type} {path}".strip())
        return found
