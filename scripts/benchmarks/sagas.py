"""Benchmarks of sagas: three steps by real agents, one saga at a time and many at once, beside floor and LangGraph."""

from __future__ import annotations

import time
from collections.abc import Callable

from fleets import HERE, Figures, Fleet, fleet
from roles import Role, stage

from twelvefold.bus.client import BusClient
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.submit import new_run_id, run_request

AGENTS = 8
#: Sagas of one measurement, and those before it that are not measured.
ALONE, TOGETHER, WARM = 200, 3000, 50
WINDOW = 100
PLAN = Saga([Task("step", "x", undo=Task("step")), Task("step", "x", undo=Task("step")), Task("step", "x")])

#: Made by `scripts/bench --peers`.
PEERS = HERE.parent.parent / ".venv-peers/bin/python"

TARGETS: dict[str, dict[str, Callable[[Figures], bool | None]]] = {
    "saga": {
        "one at a time: at least 0.5 of the floor": lambda f: f["alone_per_s"] >= 0.5 * f["floor_alone_per_s"],
        "100 in flight: at least 2,000/s": lambda f: f["together_per_s"] >= 2000,
        "ahead of LangGraph": lambda f: f["alone_per_s"] > f["langgraph_per_s"] if "langgraph_per_s" in f else None,
    },
}


def saga(_: int) -> Figures:
    """A saga of three steps that do nothing: how many end in a second, and the CPU that one costs."""
    with fleet("step: twelvefold agent bench_agents:Step\n", f"step={AGENTS}") as running, running.client() as client:
        _flow(running, client, WARM, 1)
        alone, alone_us = _flow(running, client, ALONE, 1)
        together, together_us = _flow(running, client, TOGETHER, WINDOW)
    return {
        "alone_per_s": alone, "alone_cpu_us": alone_us, "floor_alone_per_s": _floor(ALONE, 1),
        "together_per_s": together, "together_cpu_us": together_us, "floor_together_per_s": _floor(TOGETHER, WINDOW),
        **_langgraph(),
    }  # fmt: skip


def _flow(running: Fleet, client: BusClient, count: int, window: int) -> tuple[float, float]:
    """Keep so many sagas under way; sagas ended a second, and microseconds of all processes' CPU for each."""
    watch = client.watch("run.succeeded", after=client.head())
    under_way: set[str] = set()
    left, before, begun = count, running.cpu_s(), time.monotonic()
    while left or under_way:
        for run in [new_run_id() for _ in range(min(window - len(under_way), left))]:
            client.emit_soon(run_request(run, PLAN))
            under_way.add(run)
            left -= 1
        events = watch.take()
        while events:
            under_way.difference_update(event.run for event in events)
            events = watch.take(0)
    per_s = count / (time.monotonic() - begun)
    return per_s, (running.cpu_s() - before) * 1e6 / count


def _floor(count: int, window: int) -> float:
    """The same hops by the smallest program."""
    script = str(HERE / "floor_saga.py")
    with stage() as (folder, roles):
        roles.append(Role(script, "writer", str(folder), str(AGENTS)))
        roles.append(Role(script, "decider", str(folder)))
        roles += [Role(script, "member", str(folder), str(n)) for n in range(AGENTS)]
        roles[0].hear("ready")
        roles.append(Role(script, "starter", str(folder), str(count), str(window)))
        (per_s,) = roles[-1].hear("done")
    return float(per_s)


def _langgraph() -> Figures:
    """The same by LangGraph with its SQLite saver, all in one process; nothing where it is not installed."""
    if not PEERS.exists():
        return {}
    with stage() as (folder, roles):
        roles.append(Role(str(HERE / "peer_langgraph.py"), str(folder), str(ALONE), python=str(PEERS)))
        (per_s,) = roles[0].hear("done")
    return {"langgraph_per_s": float(per_s)}
