"""Benchmarks of patterns: twenty slices on eight agents, coordination overhead, and a map over many items."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fleets import Figures, Fleet, fleet
from roles import median

from twelvefold.bus.client import BusClient
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import PatternFields, Task
from twelvefold.orchestration.result import RunResult
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.scatter_gather import ScatterGather
from twelvefold.orchestration.submit import submit, wait

AGENTS = 8
NAMES = [str(n) for n in range(20)]
#: Runs of each pattern: the first are not measured.
RUNS, WARM = 25, 5
TASKS = 200
ITEMS = 10_000

TARGETS: dict[str, dict[str, Callable[[Figures], bool]]] = {
    "patterns": {"p50 of each under 30 ms": lambda f: all(p50 < 30 for name, p50 in f.items() if name.endswith("_ms"))},
    "overhead": {
        "under 1 % for tasks of 100 ms": lambda f: f["of_100_ms_percent"] < 1,
        "under 5 % for tasks of 10 ms": lambda f: f["of_10_ms_percent"] < 5,
    },
    "map": {
        "at least 5,000 items/s": lambda f: f["items_per_s"] >= 5000,
        "orchestrator under 150 MB": lambda f: f["orchestrator_mb"] < 150,
    },
}


def _step(value: str) -> Task:
    return Task(agent="step", input=value)


PLANS: dict[str, PatternFields] = {
    "map_reduce": MapReduce(map=Task(agent="step"), items=NAMES),
    "pipeline": Pipeline([Task(agent="step")], items=NAMES),
    "fork_join": ForkJoin([_step(name) for name in NAMES]),
    "scatter_gather": ScatterGather(["step"] * len(NAMES), "question"),
    "saga": Saga([_step(name) for name in NAMES]),
}


@contextmanager
def _agents() -> Iterator[tuple[Fleet, BusClient]]:
    lines = "step: twelvefold agent bench_agents:Step\nsleep: twelvefold agent bench_agents:Sleep\n"
    with fleet(lines, f"step={AGENTS},sleep={AGENTS}") as running, running.client() as client:
        yield running, client


def _done(client: BusClient, plan: PatternFields) -> RunResult:
    """Do a plan to its end; whatever did not succeed measures nothing."""
    result = wait(client, submit(client, plan))
    if result.outcome != "succeeded":
        raise SystemExit(f"a run ended as {result.outcome}: {result.reason}")
    return result


def patterns(_: int) -> Figures:
    """Each pattern over twenty slices that do nothing: milliseconds from submitting to hearing of the end."""
    figures = {}
    with _agents() as (_running, client):
        for name, plan in PLANS.items():
            times = []
            for _number in range(RUNS):
                begun = time.monotonic()
                _done(client, plan)
                times.append((time.monotonic() - begun) * 1e3)
            figures[f"{name}_p50_ms"] = median(times[WARM:])
    return figures


def overhead(_: int) -> Figures:
    """(wall - ideal makespan) / wall of 200 tasks that sleep, in percent, by the run's own first and last event.

    The clock of the machine has its part: a sleep of 10 ms takes about 10.1 here, which `sleep` tells.
    """
    figures = {}
    with _agents() as (_running, client):
        _done(client, ForkJoin([Task(agent="sleep", input=0.001) for _ in range(AGENTS)]))
        for task_ms in (100, 10):
            result = _done(client, ForkJoin([Task(agent="sleep", input=task_ms / 1e3) for _ in range(TASKS)]))
            ideal_s = TASKS / AGENTS * task_ms / 1e3
            assert result.elapsed_s is not None
            figures[f"of_{task_ms}_ms_percent"] = 100 * (result.elapsed_s - ideal_s) / result.elapsed_s
            begun = time.monotonic()
            for _number in range(25):
                time.sleep(task_ms / 1e3)
            figures[f"sleep_of_{task_ms}_ms"] = (time.monotonic() - begun) * 1e3 / 25
    return figures


def map_items(_: int) -> Figures:
    """A map over ten thousand items: how many are done in a second, and the memory of the orchestrator."""
    with _agents() as (running, client):
        _done(client, MapReduce(map=Task(agent="step"), items=NAMES))
        items = [str(n) for n in range(ITEMS)]
        begun = time.monotonic()
        result = _done(client, MapReduce(map=Task(agent="step"), items=items))
        elapsed_s = time.monotonic() - begun
        if result.value != items:
            raise SystemExit("items were lost or doubled")
        (memory,) = [
            process.memory_info().rss
            for process in running.processes()
            if process.cmdline()[-1:] == ["orchestrator"] or "twelvefold orchestrator" in " ".join(process.cmdline())
        ]
    return {"items_per_s": ITEMS / elapsed_s, "orchestrator_mb": memory / 1e6}
