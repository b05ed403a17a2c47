"""What metrics come to as plain data, for programs: by agent, and for orchestration and the bus as a whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .metric_families import LogSums
from .metric_sums import AgentSum, Spread, TelemetrySum
from .observed import Observed, ProcessSeen


def agent_document(sums: LogSums, seen: Observed) -> dict[str, Any]:
    """Return `agents` (sums by the queue from which an agent takes its tasks), `instances` (each process that lives
    now) and `totals` over all agents.
    """
    telemetry: dict[str, list[tuple[str, TelemetrySum]]] = {}
    for (agent, instance), row in sums.telemetry.items():
        telemetry.setdefault(agent, []).append((instance, row))
    names = sorted({*sums.agents, *telemetry, *_queues_served(seen)})
    agents = {
        name: {
            **_sums(sums.agents.get(name) or AgentSum()),
            "waiting": sums.waiting.get(name, 0),
            "running": sums.running.get(name, 0),
            "members": int(seen.groups.get(f"q/{name}", {}).get("members", 0)),
            "counters": _counters([row for _, row in telemetry.get(name, [])]),
            "timers": _timers([row for _, row in telemetry.get(name, [])]),
        }
        for name in names
    }
    total = AgentSum()
    for one in sums.agents.values():
        total = total.plus(one)
    return {
        "agents": agents,
        "instances": _instances(sums, seen),
        "totals": {
            **_sums(total),
            "waiting": sum(sums.waiting.values()),
            "running": sum(sums.running.values()),
            "agents": len(names),
            "instances": len(_instances(sums, seen)),
        },
    }


def orchestration_document(sums: LogSums, seen: Observed) -> dict[str, Any]:
    """Return `events`, `runs`, `tasks`, `deliveries`, `queues`, `processes`, `models`, `parked`, `waiting` (for a
    human), `projections`, `exports` (of traces), `bus` and `log`. What only a running bus knows is None without one.
    """
    stats: Mapping[str, Any] = seen.stats or {}
    rate = stats.get("throughput", {})
    total = AgentSum()
    for one in sums.agents.values():
        total = total.plus(one)
    return {
        "events": {
            "total": sum(sums.types.values()),
            "by_type": dict(sorted(sums.types.items())),
            "per_s": rate.get("events_per_s"),
        },
        "runs": {
            "requested": sums.types.get("run.requested", 0),
            "open": sums.runs_open,
            "ended": dict(sorted(sums.runs.items())),
            "seconds": _spread(sums.run_seconds),
        },
        "tasks": {
            **_sums(total),
            "waiting": sum(sums.waiting.values()),
            "running": sum(sums.running.values()),
        },
        "deliveries": dict(stats["deliveries"]) if "deliveries" in stats else None,
        "queues": {key: _queue(group) for key, group in sorted(seen.groups.items())} if stats else None,
        "processes": _places(sums, seen),
        "models": {
            name: {
                "calls": row.ended.get("completed", 0),
                "tokens_in": row.tokens_in,
                "tokens_out": row.tokens_out,
                "usd": row.usd,
            }
            for (kind, name), row in sorted(sums.effects.items())
            if kind == "model"
        },
        "parked": {
            f"{kind}/{name}": {"count": row.count, "position": row.position}
            for (kind, name), row in sorted(sums.parked.items())
        },
        "waiting": dict(sorted(seen.waiting.items())),
        "projections": {
            one.name: {
                "position": one.position,
                "lag": max(0, seen.head - one.position),
                "lag_s": one.behind_s,
                "parked": one.parked,
            }
            for one in seen.projections
        },
        "exports": _exports(seen),
        "bus": _bus(stats, seen) if stats else None,
        "log": {"position": seen.head, "bytes": seen.log_bytes, "wal_bytes": seen.wal_bytes,
                "free_bytes": seen.free_bytes},
    }  # fmt: skip


def _sums(one: AgentSum) -> dict[str, Any]:
    return {
        "requested": one.requested,
        "retries": one.retried,
        "redeliveries": one.redelivered,
        "outcomes": dict(sorted(one.outcomes.items())),
        "wait_s": _spread(one.waits),
        "task_s": _spread(one.seconds),
        "model_calls": one.model_calls,
        "tokens_in": one.tokens_in,
        "tokens_out": one.tokens_out,
        "usd": one.usd,
    }


def _spread(one: Spread) -> dict[str, Any]:
    count = one.total
    return {"count": count, "total_s": one.sum, "mean_s": one.sum / count if count else None}


def _queues_served(seen: Observed) -> list[str]:
    return [group["name"] for group in seen.groups.values() if group["queue"] and group["members"]]


def _instances(sums: LogSums, seen: Observed) -> dict[str, Any]:
    """Return the processes that take from queues or groups, as bus and supervisor see them."""
    stats: Mapping[str, Any] = seen.stats or {}
    silent, held = stats.get("silent_s", {}), stats.get("held_by", {})
    places: dict[str, ProcessSeen] = {one.instance: one for one in seen.processes or () if one.instance}
    gauges = {instance: row.gauges for (_, instance), row in sums.telemetry.items()}
    found = {}
    for instance, groups in sorted(stats.get("groups_of", {}).items()):
        place = places.get(instance)
        found[instance] = {
            "queues": [key.partition("/")[2] for key in groups],
            "silent_s": silent.get(instance),
            "held": held.get(instance, 0),
            "gauges": gauges.get(instance, {}),
            "process": place.name if place else None,
            "state": place.state if place else None,
            "restarts": place.restarts if place else None,
            "pid": place.pid if place else None,
            "rss_bytes": place.rss_bytes if place else None,
            "pss_bytes": place.pss_bytes if place else None,
        }
    return found


def _counters(rows: list[TelemetrySum]) -> dict[str, float]:
    total: dict[str, float] = {}
    for row in rows:
        for name, value in row.counters.items():
            total[name] = total.get(name, 0.0) + value
    return total


def _timers(rows: list[TelemetrySum]) -> dict[str, dict[str, float]]:
    total: dict[str, dict[str, float]] = {}
    for row in rows:
        for name, (count, seconds) in row.timers.items():
            one = total.setdefault(name, {"count": 0.0, "total_s": 0.0})
            one["count"] += count
            one["total_s"] += seconds
    return total


def _queue(group: Mapping[str, Any]) -> dict[str, Any]:
    waits = group.get("dispatch_s")
    count = sum(waits["counts"]) if waits else 0
    return {
        "name": group["name"],
        "kind": "queue" if group["queue"] else "group",
        "members": group["members"],
        "waiting": group["waiting"],
        "delayed": group["delayed"],
        "held": group["held"],
        "more_in_log": group["behind"],
        "oldest_age_s": group["oldest_age_s"],
        "dispatch_s": {"count": count, "mean_s": waits["sum"] / count if waits and count else None},
    }


def _places(sums: LogSums, seen: Observed) -> dict[str, Any]:
    states = {one.name.lower(): one.state for one in seen.processes or ()}
    return {
        place: {
            "state": states.get(place),
            "starts": row.started,
            "restarts": row.restarted,
            "unexpected_exits": row.unexpected,
            "given_up": row.given_up,
        }
        for place, row in sorted(sums.processes.items())
    }


def _exports(seen: Observed) -> dict[str, Any]:
    return {
        one.target: {
            "running": one.is_running,
            "delivered": one.delivered,
            "rejected": one.rejected,
            "undelivered": one.undelivered,
            "lag": one.behind,
            "failing_s": one.failing_s,
        }
        for one in seen.exports
    }


def _bus(stats: Mapping[str, Any], seen: Observed) -> dict[str, Any]:
    took, sizes = stats.get("commit_s", {}), stats.get("batch_events", {})
    count = sum(took.get("counts", ()))
    return {
        "pid": stats.get("pid"),
        "uptime_s": stats.get("uptime_s"),
        "round_trip_s": seen.round_trip_s,
        "sessions": stats.get("sessions"),
        "events": stats.get("events"),
        "commits": stats.get("commits"),
        "commit_failures": stats.get("commit_failures"),
        "commit_mean_s": took["sum"] / count if count else None,
        "batch_events_mean": sizes["sum"] / count if count else None,
        "batch_events_max": stats.get("batch_events_max"),
        "rss_max_bytes": stats.get("rss_max_bytes"),
        "requests_refused": stats.get("requests_refused"),
    }
