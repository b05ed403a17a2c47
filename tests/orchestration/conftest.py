"""A world in one process for orchestration: a log in memory, an orchestrator, and agents that are functions.

It plays the bus (queues, withdrawals) and the clock, so that every interleaving and every crash can be tried. Its
`Story` is the given-when-then of deciders.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from twelvefold.bus import run_marks
from twelvefold.eventstore.errors import TwelvefoldError
from twelvefold.eventstore.event import Event, NewEvent, new_event
from twelvefold.eventstore.ids import derived_id
from twelvefold.eventstore.large_values import inflate
from twelvefold.eventstore.log import Append, Appended
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.eventstore.run import read_run
from twelvefold.orchestration.decider import Decision, decide
from twelvefold.orchestration.forking import fork_steps
from twelvefold.orchestration.large_decisions import shrunk
from twelvefold.orchestration.memo import Memo
from twelvefold.orchestration.orchestrator import ASKED, Orchestrator
from twelvefold.orchestration.plan import Plan, plan_data
from twelvefold.orchestration.run_fold import RunFold, fold_run
from twelvefold.orchestration.run_state import Fact, Run

RUN = "0190a0b0c0d0e0f00000000000000001"
SECOND = 1_000_000_000
Answer = tuple[str, dict[str, Any]]
Agent = Callable[[dict[str, Any]], Answer | None]


class Story:
    """Given a plan and what has been reported, when something is reported, then this is decided."""

    def __init__(self, plan: Plan, **requested: Any) -> None:
        self.now = 1_000 * SECOND
        self.position = 0
        self.run = Run(RUN)
        self.memo = Memo()
        self.last: Decision = self._decide("run.requested", {"plan": plan_data(plan), **requested})

    def given(self, *told: tuple[Any, ...]) -> Story:
        for type, path, *data in told:
            self.when(type, path, **(data[0] if data else {}))
        return self

    def when(self, type: str, path: str = "", **data: Any) -> Story:
        if type == "timer.fired":
            timer = next(
                timer for timer in self.run.timers.values() if (timer.kind, timer.path) == (data["kind"], path)
            )
            self.now = max(self.now, timer.due)
            data = {"timer": timer.name}
        self.last = self._decide(type, data, path)
        return self

    def then(self, *expected: str) -> Story:
        made = [" ".join(filter(None, (event.type, _data(event).get("path", "")))) for event in self.last.events]
        assert made == list(expected)
        return self

    def decided(self, type: str) -> dict[str, Any]:
        """The data of the only decision of a type in the last turn."""
        (found,) = [event for event in self.last.events if event.type == type]
        return _data(found)

    def _decide(self, type: str, data: dict[str, Any], path: str = "") -> Decision:
        self.position += 1
        fact = Fact(type, data, path, self.position.to_bytes(16, "big"), self.position, self.now)
        cause = data.pop("cause", b"")
        if type.startswith("delivery."):
            cause, path = self.run.tasks[path].request, ""
        if cause:
            fact = Fact(type, data, path, fact.id, fact.position, fact.time, cause)
        decision = decide(self.run, fact, memo=self.memo)
        # What was worked out before only saves work: without it the same is decided.
        again = decide(self.run, fact)
        assert [*map(_told, again.events)] == [*map(_told, decision.events)]
        assert again.withdrawn == decision.withdrawn
        self.run = decision.run
        return decision


def _told(event: Any) -> tuple[Any, ...]:
    return event.id, event.type, event.payload


def _data(event: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(event.payload)
    return found


class World:
    """The log, one orchestrator that may be killed at any step, and agents."""

    def __init__(self, agents: dict[str, Agent] | None = None, *, seed: int | None = None) -> None:
        self.now = 1_000 * SECOND
        self.log = MemoryLog(clock=lambda: self.now)
        self.agents = agents or {}
        self.random = random.Random(seed)
        self.out: dict[bytes, Event] = {}
        self.fed = 0
        self.blobs: dict[str, bytes] = {}
        self.orchestrator = Orchestrator(load=self.load)
        self.kills = 0
        self.lost = 0

    def submit(self, plan: Plan | dict[str, Any], run: str = RUN, **data: Any) -> str:
        data = {"plan": plan_data(plan) if isinstance(plan, Plan) else plan, **data}
        self.append("run.requested", data, stream=f"run.{run}", run=run)
        return run

    def append(self, type: str, data: Any, *, stream: str, run: str = RUN, **fields: Any) -> Event:
        id = derived_id(run, stream, type, self.log.head)
        event = new_event(type, data, stream=stream, run=run, id=id, **fields)
        return self.log.append(Append(events=[*shrunk([event], self.put)])).events[0]

    def put(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self.blobs[sha256] = content
        return sha256

    def load(self, value: Any) -> Any:
        return inflate(value, self.blobs.get)

    def cancel(self, run: str = RUN, **data: Any) -> None:
        self.append("run.cancel_requested", data, stream=f"request.{run}", run=run)

    def roll_back(self, run: str = RUN, **data: Any) -> None:
        self.append("run.rollback_requested", data, stream=f"request.{run}", run=run)

    def answer(self, answer: Any, path: str = "", run: str = RUN, **data: Any) -> None:
        self.append("human.answered", {"answer": answer, "path": path, **data}, stream=f"request.{run}", run=run)

    def fork(self, run: str = RUN, *, at: int, **asked: Any) -> str:
        """Fork a run, and return the new one's id."""
        steps = fork_steps(run, at, new=f"{self.log.head:032x}", load=self.load, **asked)
        try:
            found = next(steps)
            while True:
                found = steps.send(self.log.read(**found))
        except StopIteration as made:
            event: NewEvent = made.value
        return self.log.append(Append(events=[event], expected_version={event.stream: 0})).events[0].run

    # --- the orchestrator's process

    def feed(self, limit: int = 1000) -> bool:
        """Hand the next events of the log to the orchestrator."""
        events = self.log.read(after=self.fed, limit=limit)
        for event in events:
            self.orchestrator.receive(event)
            self.fed = event.position
        return bool(events)

    def flush(self, *, lose_after: int | None = None) -> None:
        """Append what was decided; `lose_after` dies after that many batches."""
        while self.orchestrator.restores:
            _, restore = self.orchestrator.restores.popitem()
            self.orchestrator.restored(restore, {"workspaces": [], "branches": []})
        for n, batch in enumerate(self.orchestrator.take()):
            if lose_after is not None and n >= lose_after:
                self.lost += 1
                continue
            events = [*shrunk(batch.events, self.put)]
            append = Append(events=events, expected_version=batch.expected_version, marks=batch.marks)
            (result,) = self.log.append_many([append])
            if isinstance(result, TwelvefoldError):
                self.orchestrator.refused(batch.run)
                continue
            assert isinstance(result, Appended)
            if result.fresh:
                self._deliver(result.events, batch.withdrawn)
        for run in [*self.orchestrator.stale]:
            self.orchestrator.load(run, read_run(self.log, run))

    def _deliver(self, events: Sequence[Event], withdrawn: Sequence[bytes]) -> None:
        for event in events:
            if event.to:
                self.out[event.id] = event
        for id in withdrawn:
            held = self.out.pop(id, None)
            if held is not None:
                facts = {"event": id.hex(), "queue": True}
                self.append("delivery.withdrawn", facts, stream="group.q", run=held.run, cause=id)

    def kill(self) -> None:
        """kill -9 of the orchestrator, and its start from the marks."""
        self.kills += 1
        self.orchestrator = Orchestrator(load=self.load)
        marks, head = self.log.marks(run_marks.PREFIX), self.log.head
        seen = int(marks.pop(run_marks.SEEN, "0"))
        runs = {name.removeprefix(run_marks.PREFIX) for name in marks}
        for type in ASKED:
            runs |= {event.run for event in self.log.read(after=seen, type=type, limit=10**6)}
        for run in sorted(runs):
            self.orchestrator.load(run, read_run(self.log, run))
        self.fed = head

    # --- agents and the clock

    def work(self, id: bytes | None = None) -> bool:
        """Let an agent do one task that is out, if there is one that it answers."""
        for key in [id] if id else [*self.out]:
            event = self.out[key]
            agent = self.agents.get(event.to)
            answer = agent(self.load(event.data)) if agent else None
            if answer is not None:
                self.out.pop(key)
                self.report(event, *answer)
                return True
        return False

    def report(self, event: Event, type: str, data: dict[str, Any]) -> None:
        stream = f"task.{event.run}.{event.data['path']}"
        self.append(type, data, stream=stream, run=event.run, cause=event.id)

    def tick(self) -> bool:
        """Move the clock on to the next timer and fire it."""
        due = self.orchestrator.next_due
        if due is None:
            return False
        self.now = max(self.now, due)
        self.orchestrator.fire_due(self.now)
        return True

    def settle_down(self) -> World:
        """Go on until nothing moves any more."""
        for _ in range(2000):
            moved = self.feed()
            self.flush()
            if not (moved or self.log.head > self.fed or self.work() or self.tick()):
                return self
            self.flush()
        raise AssertionError("it never comes to rest")

    def storm(self, steps: int = 400, *, settle: bool = True) -> World:
        """Take random steps, kills among them, then settle down, unless that is to come later."""
        for _ in range(steps):
            choice = self.random.random()
            if choice < 0.4:
                self.feed(self.random.choice((1, 1, 2, 1000)))
            elif choice < 0.7:
                self.flush(lose_after=None)
            elif choice < 0.8:
                self.feed(1)
                self.flush(lose_after=self.random.randrange(2))
                self.kill()
            elif choice < 0.95:
                if self.out:
                    self.work(self.random.choice([*self.out]))
            else:
                self.tick()
        return self.settle_down() if settle else self

    # --- what there is to look at

    def fold(self, run: str = RUN) -> RunFold:
        return fold_run(run, read_run(self.log, run), self.load)

    def end(self, run: str = RUN) -> dict[str, Any]:
        """The outcome and what the end says, without what only tells how it was decided."""
        state = self.fold(run).at_head
        return {"outcome": state.outcome, **{key: value for key, value in state.end.items() if key != "decider"}}

    def told(self, run: str = RUN) -> list[str]:
        """Every event of the run as `type path`."""
        found = []
        for event in read_run(self.log, run):
            data = event.data or {}
            path = event.stream.split(".", 2)[-1] if event.stream.startswith("task.") else data.get("path", "")
            found.append(" ".join(filter(None, (event.type, path))))
        return found


@pytest.fixture(scope="session")
def story() -> type[Story]:
    return Story


@pytest.fixture(scope="session")
def world() -> type[World]:
    return World
