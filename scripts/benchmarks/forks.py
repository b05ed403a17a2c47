"""Benchmark of forks: of a run of 10,000 events near its end, until the fork is in the log, and until it is at work."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fleets import Figures, Fleet
from roles import stage

from twelvefold.eventstore.event import NewEvent, new_event
from twelvefold.eventstore.ids import derived_id
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.orchestration.forking import fork
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.orchestrator import Orchestrator
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import new_run_id, run_request

#: Each item is requested, started, has an effect, and succeeds.
ITEMS = 2_500
FORKS = 7

TARGETS: dict[str, dict[str, Callable[[Figures], bool]]] = {
    "fork": {
        "a fork of 10,000 events under 300 ms": lambda f: f["forked_ms"] < 300,
        "and at work in that time": lambda f: f["at_work_ms"] < 300,
    }
}


def forks(_: int) -> Figures:
    """Milliseconds until a fork is durable, and until its work is requested, by the clock of whoever forks; medians."""
    run = new_run_id()
    with stage() as (folder, _):
        running = Fleet(folder, "step: twelvefold agent bench_agents:Step\n")
        make(running.home, run)
        running.command("up", "-d", "--wait", "-c", "step=0")
        with running.client() as client:
            events = sum(1 for _ in client.read(run=run))
            at = max(event.position for event in client.read(run=run, type="task.requested")) + 3
            forked, at_work = [], []
            watch = client.watch("task.requested", after=client.head())
            for _ in range(FORKS):
                begun = time.perf_counter()
                new = fork(client, run, at)
                forked.append(time.perf_counter() - begun)
                while not any(event.run == new for event in watch.take(30)):
                    pass
                at_work.append(time.perf_counter() - begun)
        running.command("down")
    return {
        "events": events,
        "forked_ms": 1000 * sorted(forked)[FORKS // 2],
        "at_work_ms": 1000 * sorted(at_work)[FORKS // 2],
    }


def make(home: Path, run: str) -> None:
    """Write a log with one run, all of whose items but the last ones are done; decided by the real deciders."""
    log = SqliteLog(home / "log.db", durability="relaxed")
    core, fed = Orchestrator(), 0
    plan = MapReduce(items=list(range(ITEMS)), map=Task("step"), width=50)
    log.append(Append(events=[run_request(run, plan)]))
    done = 0
    while done < ITEMS - 20:
        reports: list[NewEvent] = []
        while page := log.read(after=fed, limit=1000):
            for event in page:
                core.receive(event)
                if event.type == "task.requested" and done < ITEMS - 20:
                    done += 1
                    reports += _reports(run, event.id, event.data["path"])
            fed = page[-1].position
        decided = [
            Append(events=batch.events, expected_version=batch.expected_version, marks=batch.marks)
            for batch in core.take()
        ]
        log.append_many([*decided, *([Append(events=reports)] if reports else [])])
    log.close()


def _reports(run: str, request: bytes, path: str) -> list[NewEvent]:
    about = {"stream": f"task.{run}.{path}", "run": run, "cause": request}
    effect = {"kind": "tool", "name": "step", "effect": "read", "key": f"tool:step:{path}:0", "result": "x" * 200}
    told = [("task.started", {"instance": "step.1", "attempt": 1}), ("effect.completed", effect)]
    told.append(("task.succeeded", {"value": path, "evidence": []}))
    return [new_event(type, data, id=derived_id(run, path, type), **about) for type, data in told]
