"""Benchmark of rollbacks: a run whose workspace has 1,000 files is taken back to each of two positions in turn."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from fleets import Figures, Fleet
from roles import stage

from twelvefold.agents.git import Git
from twelvefold.agents.journal import fresh_id
from twelvefold.agents.restoring import restore_run
from twelvefold.agents.store import Stores, find_repository
from twelvefold.agents.workspace import Workspaces
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.orchestration.orchestrator import Orchestrator
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import new_run_id, rollback, run_request

FILES = 1_000
ROLLBACKS = 8

TARGETS: dict[str, dict[str, Callable[[Figures], bool]]] = {
    "rollback": {"a rollback of 1,000 files under 300 ms": lambda f: f["rolled_back_ms"] < 300}
}


def rollbacks(_: int) -> Figures:
    """Milliseconds from the order of a rollback to its end in the log, by the clock of whoever orders it.

    `first_ms` is that of an orchestrator that has not called git before; `rolled_back_ms` the median of those after it.
    `cpu_ms` is what restoring the files takes of the processor, git included: that is the same on a busy machine.
    """
    run = new_run_id()
    with stage() as (folder, _):
        running = Fleet(folder, "step: twelvefold agent bench_agents:Step\n")
        places = make(running.home, folder / "user", run)
        running.command("up", "-d", "--wait", "-c", "step=0")
        took = []
        with running.client() as client:
            watch = client.watch("run.rolled_back", after=client.head())
            for n in range(ROLLBACKS + 1):
                begun = time.perf_counter()
                rollback(client, run, places[n % 2], "bench")
                while not watch.take(30):
                    pass
                took.append(time.perf_counter() - begun)
        running.command("down")
        cpu = [_cpu_ms(lambda n=n: restore_run(running.home, run, places[n % 2])) for n in range(ROLLBACKS)]
        files = sum(1 for path in (running.home / "workspaces" / run / "0").rglob("f*.txt"))
        assert files == FILES, files
    typical = {"rolled_back_ms": 1000 * sorted(took[1:])[ROLLBACKS // 2], "cpu_ms": sorted(cpu)[ROLLBACKS // 2]}
    return {"first_ms": 1000 * took[0], **typical}


def _cpu_ms(do: Callable[[], object]) -> float:
    """Return the milliseconds of processor that this takes, here and in the commands that it starts."""

    def used() -> float:
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in both)

    before = used()
    do()
    return 1000 * (used() - before)


def make(home: Path, user: Path, run: str) -> list[int]:
    """Write a log with one run that has ended, whose task changed every file once; return the two positions."""
    for n in range(FILES):
        file = user / f"d{n % 20}" / f"f{n}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{n}\n" * 50)
    git = ["git", "-C", str(user), "-c", "user.name=x", "-c", "user.email=x@example.invalid"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "begin"]):
        subprocess.run([*git, *command], check=True)
    log, core, fed = SqliteLog(home / "log.db", durability="relaxed"), Orchestrator(), 0

    def tell(type: str, data: dict[str, object]) -> int:
        event = new_event(type, data, stream=f"task.{run}.0", run=run, id=fresh_id(), cause=cause)
        return log.append(Append(events=[event])).events[0].position

    log.append(Append(events=[run_request(run, Task("step"))]))
    cause, ended = b"", False
    places: list[int] = []
    while not ended:
        for event in log.read(after=fed, limit=1000):
            fed = event.position
            core.receive(event)
            ended = ended or event.type == "run.succeeded"
            if event.type == "task.requested":
                cause = event.id
                stores = Stores(Git(), home / "stores", tell)
                base = stores.git.run("rev-parse", "HEAD", at=user).text
                store = stores.open_run(find_repository(stores.git, user), run, base)
                workspace = Workspaces(stores, home / "workspaces", tell).create(store, "0", base)
                places.append(log.head)
                for path in workspace.folder.rglob("f*.txt"):
                    path.write_text(path.read_text() + "more\n")
                workspace.record("step", 0)
                places.append(log.head)
                workspace.remove()
                tell("task.succeeded", {"value": 1, "evidence": []})
        for batch in core.take():
            log.append(Append(events=batch.events, expected_version=batch.expected_version, marks=batch.marks))
    log.close()
    return places
