"""Makes a log of many realistic runs, for benchmarks of what is read from logs: by default 1,000,000 events of 2,000.

    large_log.py HOME [--events N] [--runs N] [--seed S]

The runs are decided by the real deciders; what agents would have written is written here, in the shapes that they
write. Runs overlap, as they do in life; most succeed, some fail and are undone, are cancelled, or are still open.
The same arguments always give the same log, but for nothing. Written straight into the file, so no bus may have it.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twelvefold.eventstore.event import Event, NewEvent, new_event
from twelvefold.eventstore.ids import derived_id, uuid7
from twelvefold.eventstore.log import Append, Appended
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.orchestrator import Orchestrator
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Retry, Task
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.submit import cancel_request, run_request

MS = 1_000_000
#: 1 June 2026.
BEGIN_NS = 1_780_272_000_000_000_000
#: Runs that are under way at the same time, and nanoseconds from the first such lot to the last.
TOGETHER = 25
SPAN_NS = 160 * 86_400 * 1000 * MS
#: Events of a run whose tasks are as long as they are written below.
USUAL = 350
REPOSITORIES = ("/home/ada/work/cite", "/home/ada/work/paper", "/home/ada/work/figures", "/home/ada/work/press")
FILES = (
    "cite.py",
    "README.md",
    "tests/test_cite.py",
    "paper/pages.py",
    "paper/index.py",
    "figures/axes.py",
    "docs/use.md",
)
SENTENCE = "the page order of a name that starts with two full stops is not kept when an index is made anew"
WORDS = SENTENCE.split()


def make_log(home: Path, events: int = 1_000_000, runs: int = 2_000, seed: int = 0) -> Counter[str]:
    """Write `<home>/log.db` with about so many events (at least) of so many runs; return how many there are by type."""
    home.mkdir(parents=True, exist_ok=True)
    return _Making(home, events, runs, seed).make()


class _Making:
    """One log while it is made."""

    def __init__(self, home: Path, events: int, runs: int, seed: int) -> None:
        self._chance = random.Random(seed)
        self._now = BEGIN_NS
        self._log = SqliteLog(home / "log.db", durability="relaxed", clock=lambda: self._now)
        self._core = Orchestrator({"twelvefold": "0.1.0"})
        self._events, self._runs = events, runs
        self._begun = self._lot_at = 0
        self._counted: Counter[str] = Counter()
        #: What each open run's agents still have to write, task by task.
        self._work: dict[str, deque[Iterator[list[NewEvent]]]] = {}
        self._left_open = {runs - n for n in range(min(8, runs // 10))}
        #: How long tasks are, so that the log gets its size.
        self._scale = events / runs / USUAL

    def make(self) -> Counter[str]:
        """Play all runs to their ends, but for those that are left open."""
        self._append([Append(events=list(_processes()), source="supervisor.0")])
        while self._begun < self._runs:
            self._begin_lot()
            while self._step():
                pass
        self._fill()
        self._log.close()
        return self._counted

    def _begin_lot(self) -> None:
        """Request the next runs, some time after those before them have ended."""
        before, many = self._log.head, min(TOGETHER, self._runs - self._begun)
        if self._begun:
            per_run, left = (before - self._lot_at) / TOGETHER, self._runs - self._begun
            self._scale *= min(2.0, max(0.5, (self._events - before) / left / per_run))
            self._now = max(self._now, BEGIN_NS + SPAN_NS * self._begun // self._runs)
        self._lot_at = before
        for n in range(self._begun + 1, self._begun + many + 1):
            self._append([Append(events=[self._request(n)], source=f"client-{4000 + n}")])
            self._now += 50 * MS
        self._begun += many

    def _step(self) -> bool:
        """Let every run under way move by one step, in one transaction; False where none moves any more."""
        chance = self._chance
        appends = []
        moving = [(run, tasks) for run, tasks in self._work.items() if tasks]
        for run, tasks in moving:
            task = tasks.popleft()
            told = next(task, None)
            if told is not None:
                tasks.append(task)
                appends.append(Append(events=told, source=_source(told[0])))
            if chance.random() < 0.0001:
                asked = cancel_request(run, "not wanted any more")
                named = NewEvent(**{f: getattr(asked, f) for f in asked.__struct_fields__} | {"id": self._id()})
                appends.append(Append(events=[named], source="client-7"))
        self._now += int(chance.expovariate(1 / 400) * MS) + 1
        if not moving:
            if self._core.next_due is None:
                return False
            self._now = max(self._now, self._core.next_due)
        self._core.fire_due(self._now)
        self._append(appends)
        return True

    def _append(self, appends: list[Append]) -> None:
        appends += self._decided()
        while appends:
            for result in self._log.append_many(appends):
                assert isinstance(result, Appended), result
                for event in result.events:
                    self._take(event)
            appends = self._decided()

    def _decided(self) -> list[Append]:
        return [
            Append(events=one.events, expected_version=one.expected_version, marks=one.marks, source="orchestrator.1")
            for one in self._core.take()
        ]

    def _take(self, event: Event) -> None:
        self._counted[event.type] += 1
        self._core.receive(event)
        if event.type == "task.requested":
            work = self._work.get(event.run)
            if work is not None:
                work.append(_task(event, random.Random(event.id), self._scale))
        elif event.type in ("run.succeeded", "run.failed", "run.cancelled", "run.needs_human", "run.nothing_to_do"):
            self._work.pop(event.run, None)

    def _request(self, n: int) -> NewEvent:
        run = self._id().hex()
        self._work[run] = deque()
        repo = self._chance.choice(REPOSITORIES)
        labels = {"job": "issue", "issue": f"{n}.md", "repo": repo}
        if n in self._left_open:
            # Its agents are at work for ever.
            del self._work[run]
        plan = _plan(self._chance, repo, n)
        return run_request(
            run, plan, labels=labels, input={"notes": []}, caller={"program": "twelvefold", "pid": 4000 + n}
        )

    def _id(self) -> bytes:
        return uuid7(self._now // MS, self._chance.randbytes(10))

    def _fill(self) -> None:
        """Add facts of processes until the log has its size: idle machines write those."""
        n = 0
        while self._log.head < self._events:
            many = min(200, self._events - self._log.head)
            facts = [
                new_event(
                    "sensor.read",
                    {"n": n + k, "value": self._chance.random()},
                    stream=f"sensor.{n // 200}",
                    id=self._id(),
                )
                for k in range(many)
            ]
            n += many
            self._now += 100 * MS
            self._append([Append(events=facts, source="sensor.1")])


def _processes() -> Iterator[NewEvent]:
    for name in ("bus", "orchestrator", "fixer", "testing", "review", "publisher"):
        for n in (1, 2):
            about = {"process": f"{name}.{n}", "pid": 3000 + n, "instance": f"{name}.{n}.0"}
            for type, more in (("started", {"command": f"twelvefold {name}"}), ("ready", {"after_s": 0.2})):
                id = derived_id("", f"{name}.{n}", type)
                yield new_event(f"process.{type}", about | more, stream=f"process.{name}.{n}", id=id)


def _plan(chance: random.Random, repo: str, n: int) -> Plan:
    kind = chance.random()
    about = {"issue": {"name": f"{n}.md", "text": _text(chance, 60)}, "repo": repo, "base": _commit(chance)}
    undo = Task("issue_fixer") if kind < 0.6 else None
    fixing = Task("issue_fixer", about, undo=undo, name="fix", retry=Retry(2), requires=["commit"])
    if kind < 0.6:
        testing = Task("testing", {"repo": repo, "commit": {"$from": "fix", "key": "commit"}}, name="test")
        review = Task("pr_review", {"repo": repo, "commit": {"$from": "fix", "key": "commit"}}, name="review")
        publish = Task(
            "publisher", {"repo": repo, "commit": {"$from": "fix", "key": "commit"}}, name="publish", pivot=True
        )
        return Saga([fixing, testing, review, publish])
    if kind < 0.8:
        items = [{"file": chance.choice(FILES), "part": part} for part in range(chance.randrange(4, 14))]
        return MapReduce(items=items, map=Task("research"), reduce=Task("research"))
    return Pipeline([Task("research", about), fixing, Task("testing", {"repo": repo})])


def _task(request: Event, chance: random.Random, scale: float) -> Iterator[list[NewEvent]]:
    """Yield what the holder of a task writes, append by append, up to its outcome."""
    writer = _Writer(request, chance)
    path, agent = str(request.data["path"]), request.to
    yield [writer.event("task.started", {"instance": f"{agent}.1.0", "attempt": 1, "delivery": 1})]
    if path.endswith("undo"):
        yield from writer.effect("git", "remove workspaces", {"run": request.run}, {"removed": 1})
        yield [writer.event("task.succeeded", {"value": None, "evidence": [], "message": None})]
        return
    yield [writer.workspace("workspace.created", {"commit": _commit(chance)})]
    mean = {"issue_fixer": 60, "testing": 12, "pr_review": 12, "publisher": 3}.get(agent, 12) * scale
    for n in range(1 + int(chance.expovariate(1 / mean)) if chance.random() < 0.8 else int(mean)):
        if n % 5 == 0:
            yield [writer.event("task.progressed", {"progress": min(1.0, n / mean), "stage": chance.choice(WORDS)})]
        if agent in ("issue_fixer", "pr_review", "research") and chance.random() < 0.5:
            yield from writer.model_call()
        else:
            yield from writer.tool_call(changes=agent == "issue_fixer" and chance.random() < 0.5)
    yield [writer.workspace("workspace.removed", {})]
    yield [writer.outcome(0.04 if agent in ("testing", "issue_fixer") else 0.005)]


class _Writer:
    """Writes the events of one task's holder."""

    def __init__(self, request: Event, chance: random.Random) -> None:
        self._request = request
        self._chance = chance
        self._path = str(request.data["path"])
        self._count = 0
        self._commits = 0
        self._last = ""
        self._store = f"/home/ada/.local/state/twelvefold/0a1b/stores/85710b0a/{request.run}.git"

    def event(self, type: str, data: dict[str, Any]) -> NewEvent:
        self._count += 1
        of = self._request
        id = derived_id(of.run, self._path, f"{of.id.hex()}:{type}", self._count)
        return new_event(
            type, data, stream=f"task.{of.run}.{self._path}", id=id, run=of.run, cause=of.id, trace=of.trace
        )

    def workspace(self, type: str, facts: dict[str, Any]) -> NewEvent:
        folder = f"/home/ada/.local/state/twelvefold/0a1b/workspaces/{self._request.run}/{self._path}"
        return self.event(type, {"folder": folder, "store": self._store, **facts})

    def effect(
        self, kind: str, name: str, parameters: dict[str, Any], result: Any, effect: str = "idempotent", **facts: Any
    ) -> Iterator[list[NewEvent]]:
        digest = hashlib.sha256(repr(parameters).encode()).hexdigest()[:32]
        about = {"kind": kind, "name": name, "effect": effect, "key": f"{kind}:{name}:{digest}:{self._count}"}
        if effect == "read":
            yield [
                self.event(
                    "effect.completed", {**about, "result": result, "elapsed_s": 0.002, "parameters": parameters}
                )
            ]
            return
        yield [self.event("effect.intended", {**about, "parameters": parameters})]
        made: list[NewEvent] = []
        if facts.get("commit"):
            self._commits += 1
            ref = f"refs/twelvefold/{self._request.run}/{self._path}/{self._commits}"
            committed = {
                "store": self._store,
                "commit": facts["commit"],
                "ref": ref,
                "files_changed": facts.pop("files"),
            }
            made.append(self.event("workspace.committed", committed))
            self._last = facts["commit"]
        elapsed = round(self._chance.expovariate(2), 6)
        yield [*made, self.event("effect.completed", {**about, "result": result, "elapsed_s": elapsed, **facts})]

    def model_call(self) -> Iterator[list[NewEvent]]:
        chance = self._chance
        asked = {
            "model": "local/coder-7b",
            "prompts": [{"name": "fixer", "hash": _commit(chance)}],
            "request": _commit(chance),
            "since": self._count,
            "messages": [{"role": "user", "content": _text(chance, 40)}],
            "tools": ["edit", "read"],
        }
        usage = {"tokens_in": chance.randrange(500, 9000), "tokens_out": chance.randrange(20, 900), "usd": 0.000125}
        reply = {"text": _text(chance, 30), "tool_calls": [], "usage": usage, "stop": "stop", "model": "local/coder-7b"}
        yield from self.effect("model", "local/coder-7b", asked, reply, usage=usage)

    def tool_call(self, *, changes: bool) -> Iterator[list[NewEvent]]:
        chance = self._chance
        file = chance.choice(FILES)
        if changes:
            edit = {"path": file, "old": _text(chance, 8), "new": _text(chance, 8)}
            yield from self.effect("tool", "edit", edit, {"replaced": 1}, commit=_commit(chance), files=[file])
        elif chance.random() < 0.5:
            yield from self.effect("tool", "read", {"path": file}, {"text": _text(chance, 50)}, "read")
        else:
            command = {"command": ["python", "-m", "pytest", "-q", file]}
            yield from self.effect("process", "tests", command, {"exit_code": 0, "tail": _text(chance, 20)})

    def outcome(self, failing: float) -> NewEvent:
        chance = self._chance
        if chance.random() < failing:
            error = {"message": "1 newly failing: tests.test_cite.Names", "class": "AssertionError"}
            return self.event("task.failed", {"reason": "newly_failing", "error": error, "evidence": [], "value": None})
        commit = self._last or _commit(chance)
        proof = [{"kind": "commit", "ref": commit, "details": {"store": self._store}}]
        value = {"commit": commit, "files_changed": [chance.choice(FILES)], "status": "passed"}
        return self.event("task.succeeded", {"value": value, "evidence": proof, "message": None})


def _source(event: NewEvent) -> str:
    return f"agent.{int(event.run[-4:], 16) % 6}.0"


def _text(chance: random.Random, words: int) -> str:
    start = chance.randrange(len(WORDS))
    return " ".join(WORDS[(start + n * 7) % len(WORDS)] for n in range(chance.randrange(words // 2, words)))


def _commit(chance: random.Random) -> str:
    return chance.randbytes(20).hex()


def main() -> int:
    """Make the log that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, metavar="HOME")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counted = make_log(given.home, given.events, given.runs, given.seed)
    for type, count in counted.most_common():
        print(f"{count:9} {type}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
