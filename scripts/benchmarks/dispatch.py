"""Benchmark of steady work: many agents, each with one task a second, and how long a task waits for its agent."""

from __future__ import annotations

import time
from collections.abc import Callable

from fleets import Figures, fleet
from roles import percentile

from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import new_run_id, run_request

SECONDS = 60

TARGETS: dict[str, dict[str, Callable[[Figures], bool]]] = {
    "dispatch": {
        "nothing lost": lambda f: f["lost_of_100"] == 0 and f["lost_of_300"] == 0,
        "p99 under 100 ms at 100 agents": lambda f: f["p99_ms_of_100"] < 100,
    }
}


def dispatch(_: int) -> Figures:
    """100 and 300 agents for a minute; milliseconds from a run's request to the start of its task, by the log."""
    return {**_steady(100), **_steady(300)}


def _steady(agents: int) -> Figures:
    count = agents * SECONDS
    with fleet("step: twelvefold agent bench_agents:Step\n", f"step={agents}") as running, running.client() as client:
        plan = Task(agent="step", input="x")
        watch = client.watch("run.succeeded", after=client.head())
        before, begun = running.cpu_s(), time.monotonic()
        ended = 0
        for number in range(count):
            client.emit_soon(run_request(new_run_id(), plan))
            # One every so often, not all at each full second.
            while (due := begun + (number + 1) / agents - time.monotonic()) > 0:
                ended += len(watch.take(due))
        client.flush()
        deadline = time.monotonic() + 60
        while ended < count and time.monotonic() < deadline:
            ended += len(watch.take(1))
        cpu_s = running.cpu_s() - before
        requested = {event.run: event.time for event in client.read(type="run.requested")}
        started = {event.run: event.time for event in client.read(type="task.started")}
        succeeded = [event.run for event in client.read(type="run.succeeded")]
    waits = [(started[run] - requested[run]) / 1e6 for run in requested if run in started]
    return {
        f"p50_ms_of_{agents}": percentile(waits, 0.5),
        f"p99_ms_of_{agents}": percentile(waits, 0.99),
        f"lost_of_{agents}": count - len(set(succeeded)) + len(succeeded) - len(set(succeeded)),
        f"cpu_percent_of_{agents}": 100 * cpu_s / SECONDS,
    }
