"""Whether an agent does well: what its supervisor and the bus see of its processes. Pure.

An agent is named by a process (`fixer.1`), by its line in the Procfile (`fixer`: all of them), by a queue that it takes
from, or by its instance as events name it.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .observed import Observed, ProcessSeen

Level = Literal["healthy", "degraded", "unhealthy"]
Status = Literal["healthy", "degraded", "unhealthy", "unknown"]
#: Other checks tell how these do.
_OWN = ("bus", "orchestrator")
#: A process that has not said hello for so long after its start doesn't come up.
_STARTING_S = 60.0


class HealthStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent does. `healthy` is true exactly for the status `healthy`; `unknown` is one that nothing knows.

    `state` is its supervisor's word (`connected` or `silent` for one without a supervisor), `silent_s` how long the bus
    has heard nothing of it, `held` how many deliveries it holds. For a name that stands for several processes,
    `instances` has each of them, and the rest is the sum or the worst.
    """

    agent_id: str
    status: Status
    healthy: bool
    message: str
    state: str = ""
    supervised: bool = False
    process: str | None = None
    instance: str | None = None
    pid: int | None = None
    queues: tuple[str, ...] = ()
    silent_s: float | None = None
    held: int = 0
    restarts: int = 0
    instances: tuple[HealthStatus, ...] = ()


def agents_seen(seen: Observed) -> list[str]:
    """Return the names of all: processes of an `up` but bus and orchestrator, and members without a supervisor."""
    places = [one for one in seen.processes or () if one.name.rpartition(".")[0].lower() not in _OWN]
    known = {one.instance for one in seen.processes or () if one.instance}
    others = [name for name in sorted(_members(seen)) if name not in known]
    return [*(one.name for one in places), *others]


def judged_agent(seen: Observed, agent_id: str) -> HealthStatus:
    """Judge one agent by any of its names."""
    wanted = agent_id.lower()
    places = list(seen.processes or ())
    found = [one for one in places if one.name.lower() == wanted or one.instance == agent_id]
    if found:
        return _of_place(seen, found[0], agent_id)
    silences: dict[str, float] = (seen.stats or {}).get("silent_s", {})
    if agent_id in silences:
        return _of_instance(seen, agent_id, agent_id)
    several = [one for one in places if one.name.rpartition(".")[0].lower() == wanted]
    parts = [_of_place(seen, one, one.name) for one in several] or _of_queue(seen, agent_id)
    if parts:
        return parts[0] if len(parts) == 1 and parts[0].agent_id == agent_id else _joined(agent_id, parts)
    words = "no process of an `up` and no member of a queue has this name"
    if seen.stats is None and seen.processes is None:
        words = f"nothing runs: {seen.bus_problem}"
    return HealthStatus(agent_id=agent_id, status="unknown", healthy=False, message=words)


def _members(seen: Observed) -> dict[str, list[str]]:
    found: dict[str, list[str]] = (seen.stats or {}).get("groups_of", {})
    return found


def _of_queue(seen: Observed, queue: str) -> list[HealthStatus]:
    """Judge each that takes from a queue."""
    instances = [name for name, keys in sorted(_members(seen).items()) if f"q/{queue}" in keys]
    places = {one.instance: one for one in seen.processes or () if one.instance}
    return [
        _of_place(seen, places[name], places[name].name) if name in places else _of_instance(seen, name, name)
        for name in instances
    ]


def _facts(seen: Observed, instance: str) -> dict[str, Any]:
    stats = seen.stats or {}
    return {
        "instance": instance or None,
        "queues": tuple(key.partition("/")[2] for key in _members(seen).get(instance, ())),
        "silent_s": stats.get("silent_s", {}).get(instance),
        "held": stats.get("held_by", {}).get(instance, 0),
    }


def _of_place(seen: Observed, place: ProcessSeen, agent_id: str) -> HealthStatus:
    facts = _facts(seen, place.instance)
    status, message = _place_verdict(seen, place, facts["silent_s"])
    return HealthStatus(
        agent_id=agent_id, status=status, healthy=status == "healthy", message=message, state=place.state,
        supervised=True, process=place.name, pid=place.pid, restarts=place.restarts, **facts,
    )  # fmt: skip


def _place_verdict(seen: Observed, place: ProcessSeen, silent_s: float | None) -> tuple[Level, str]:
    since_s = max(0.0, seen.now_ns / 1e9 - place.since)
    ended = _ending(place)
    if place.state == "crashed":
        return "unhealthy", f"given up after too many restarts{ended}"
    if place.state == "backoff":
        return "degraded", f"waits to be restarted{ended}"
    if place.state == "stopped":
        return "unhealthy", f"stopped{ended}"
    if place.state == "stopping":
        return "degraded", "is being stopped"
    if place.state == "starting":
        waits = f", waits for {place.waits_for}" if place.waits_for else ""
        level: Level = "unhealthy" if since_s > _STARTING_S else "degraded"
        return level, f"starting for {since_s:.0f} s{waits}"
    lease = (seen.stats or {}).get("lease_s", 10.0)
    if silent_s is not None and silent_s > lease:
        return "unhealthy", f"silent for {silent_s:.0f} s"
    if place.on_bus and silent_s is None and seen.stats is not None:
        # The bus forgets who is silent and holds nothing; after its own start they come back within a lease.
        fresh = seen.stats.get("uptime_s", lease) < lease
        return ("degraded", "not back at the bus yet") if fresh else ("unhealthy", "runs, and the bus doesn't hear it")
    words = "paused" if place.paused else f"{place.state} for {since_s:.0f} s"
    return "healthy", words + (f", restarted {place.restarts} times" if place.restarts else "")


def _ending(place: ProcessSeen) -> str:
    if place.reason:
        return f"; its last process was over its limit of {place.reason}"
    if place.exit is None:
        return ""
    how = f"by signal {-place.exit}" if place.exit < 0 else f"with status {place.exit}"
    return f"; its last process ended {how}"


def _of_instance(seen: Observed, instance: str, agent_id: str) -> HealthStatus:
    """Judge one that has no supervisor, by what the bus hears of it."""
    facts = _facts(seen, instance)
    lease, silent_s = (seen.stats or {}).get("lease_s", 10.0), facts["silent_s"] or 0.0
    silent = silent_s > lease
    return HealthStatus(
        agent_id=agent_id,
        status="unhealthy" if silent else "healthy",
        healthy=not silent,
        message=f"silent for {silent_s:.0f} s" if silent else f"connected, heard {silent_s:.1f} s ago",
        state="silent" if silent else "connected",
        **facts,
    )


def _joined(agent_id: str, parts: list[HealthStatus]) -> HealthStatus:
    """Judge several processes of one name: degraded while some do well, unhealthy once none does."""
    well = sum(one.healthy for one in parts)
    up = [one for one in parts if one.state != "stopped"] or parts
    status: Level = "healthy" if well == len(up) and well else "degraded" if well else "unhealthy"
    wrong = [f"{one.agent_id}: {one.message}" for one in up if not one.healthy]
    silences = [one.silent_s for one in parts if one.silent_s is not None]
    states = {one.state for one in parts}
    return HealthStatus(
        agent_id=agent_id,
        status=status,
        healthy=status == "healthy",
        message="; ".join([f"{well} of {len(parts)} do well", *wrong]),
        state=states.pop() if len(states) == 1 else "mixed",
        supervised=any(one.supervised for one in parts),
        queues=tuple(sorted({queue for one in parts for queue in one.queues})),
        silent_s=max(silences, default=None),
        held=sum(one.held for one in parts),
        restarts=sum(one.restarts for one in parts),
        instances=tuple(parts),
    )
