"""Whether a home does well: one look at it, judged check by check. Pure.

Owns what counts as wrong and how wrong. Keeps: a check that could not be made is never taken for one that is well, and
each finding says what is wrong in words, with a command that helps. What is not running and needn't be (an orchestrator
beside a bare bus, a projector) is not wrong; what has stopped answering is.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .agent_health import HealthStatus, Level, agents_seen, judged_agent
from .observed import Observed

WORST: tuple[Level, ...] = ("healthy", "degraded", "unhealthy")
#: What waits for a human and keeps work from going on, besides questions and approvals, which are in the plan.
_STUCK_KINDS = ("in_doubt", "compensation", "stuck")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is still well. Beyond `round_trip_s`, `lag_s` or `wal_bytes` a home is degraded; with less than `free_bytes`
    of disk, or work that nobody takes for `stuck_after_s`, unhealthy. The clock may be `clock_s` behind the log.
    """

    round_trip_s: float = 1.0
    lag_s: float = 30.0
    wal_bytes: int = 256 << 20
    free_bytes: int = 512 << 20
    stuck_after_s: float = 30.0
    clock_s: float = 1.0


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at: how it is, in words, and the command that helps (None where all is well)."""

    name: str
    status: Level
    message: str
    fix: str | None = None


class SystemHealthStatus(msgspec.Struct, frozen=True):
    """How a home does: the worst of its checks. `healthy` is true exactly for the status `healthy`.

    `ready` tells whether it takes work now: the bus answers and writes, and what an `up` has started is there.
    `agents` has each process of an `up` but bus and orchestrator, and each member of a queue. `time_ns` is when it was
    looked at.
    """

    status: Level
    healthy: bool
    ready: bool
    checks: tuple[Check, ...]
    agents: dict[str, HealthStatus]
    time_ns: int

    @property
    def problems(self) -> tuple[Check, ...]:
        """The checks that are not well."""
        return tuple(check for check in self.checks if check.status != "healthy")


def judged(seen: Observed, limits: Limits | None = None) -> SystemHealthStatus:
    """Judge one look at a home."""
    bounds = limits or Limits()
    agents = {name: judged_agent(seen, name) for name in agents_seen(seen)}
    # Of a log that can't be read nobody can tell what else is in it.
    can_read = not seen.log_problem
    checks = (
        *_bus(seen, bounds),
        *_log(seen),
        *_orchestrator(seen, bounds),
        *_agents(seen, agents),
        *_stuck(seen, bounds),
        *(_parked(seen) if can_read else ()),
        *(_projections(seen, bounds) if can_read else ()),
        *_traces(seen, bounds),
        *_disk(seen, bounds),
        *(_wal(seen, bounds) if can_read else ()),
        *(_clock(seen, bounds) if can_read else ()),
    )
    status = worst([check.status for check in checks])
    return SystemHealthStatus(status, status == "healthy", _is_ready(seen, checks), checks, agents, seen.now_ns)


def worst(levels: list[Level]) -> Level:
    """Return the worst of some levels, `healthy` where there is none."""
    return max(levels, key=WORST.index, default="healthy")


def _is_ready(seen: Observed, checks: tuple[Check, ...]) -> bool:
    if any(check.status == "unhealthy" for check in checks if check.name in ("bus", "log", "orchestrator", "disk")):
        return False
    return not any(one.state in ("starting", "backoff", "crashed") for one in seen.processes or ())


def _bus(seen: Observed, limits: Limits) -> Iterator[Check]:
    if seen.stats is None:
        running = seen.processes is not None or bool(seen.up_problem)
        fix = "twelvefold logs bus" if running else "twelvefold up"
        yield Check("bus", "unhealthy", seen.bus_problem or "the bus does not answer", fix)
        return
    took = seen.round_trip_s or 0.0
    words = f"answers in {took * 1000:.1f} ms, {seen.stats.get('sessions', 0)} connected"
    if took > limits.round_trip_s:
        yield Check("bus", "degraded", f"{words}; more than {limits.round_trip_s:g} s is slow", "twelvefold metrics")
    else:
        yield Check("bus", "healthy", words)


def _log(seen: Observed) -> Iterator[Check]:
    failure = (seen.stats or {}).get("log", {}).get("failure", "")
    if failure:
        yield Check("log", "unhealthy", f"the bus writes no more: {failure}", "twelvefold doctor")
    elif seen.log_problem:
        yield Check("log", "unhealthy", seen.log_problem, "twelvefold verify")
    else:
        words = f"{seen.head} events in {_size(seen.log_bytes)}" if seen.head else "no events yet"
        beside = f", beside {seen.imported} imported run{'' if seen.imported == 1 else 's'}" if seen.imported else ""
        yield Check("log", "healthy", words + beside)


def _orchestrator(seen: Observed, limits: Limits) -> Iterator[Check]:
    """Judge whether somebody decides: needed where an `up` runs, and where runs are open."""
    if seen.stats is None:
        return
    connected = seen.stats.get("roles", {}).get("orchestrator", 0) > 0
    silences = seen.stats.get("silent_s", {})
    silent = min((silence for name, silence in silences.items() if name.startswith("orchestrator")), default=0.0)
    open_runs = seen.stats.get("open_runs", 0)
    lease = seen.stats.get("lease_s", 10.0)
    if seen.undecided_s > limits.stuck_after_s:
        words = f"a run has waited for {_span(seen.undecided_s)} to be begun"
        yield Check("orchestrator", "unhealthy", words if connected else f"{words}, and none is connected",
                    "twelvefold logs orchestrator")  # fmt: skip
    elif connected and silent > lease:
        yield Check("orchestrator", "unhealthy", f"silent for {_span(silent)}", "twelvefold restart orchestrator")
    elif connected:
        yield Check("orchestrator", "healthy", f"connected, {open_runs} runs at work")
    elif seen.processes is not None or open_runs:
        fix = "twelvefold logs orchestrator" if seen.processes is not None else "twelvefold up"
        yield Check("orchestrator", "unhealthy", f"none is connected, {open_runs} runs at work", fix)
    else:
        yield Check("orchestrator", "healthy", "none is connected, and no run is at work")


def _agents(seen: Observed, agents: dict[str, HealthStatus]) -> Iterator[Check]:
    if seen.up_problem:
        yield Check("up", "unhealthy", f"the supervisor does not answer: {seen.up_problem}", "twelvefold down")
    for name, one in agents.items():
        if not one.healthy and one.state != "stopped":
            level: Level = "degraded" if one.status == "degraded" else "unhealthy"
            what = f"process {name}" if one.supervised else f"agent {name}"
            # One that runs and isn't heard has printed nothing that would tell why.
            order = "restart" if one.state in ("ready", "busy") else "logs"
            yield Check(what, level, one.message, f"twelvefold {order} {name}" if one.supervised else None)
    if seen.stats is None and seen.processes is None:
        return  # nobody can tell
    if all(one.healthy or one.state == "stopped" for one in agents.values()):
        busy = sum(one.held > 0 for one in agents.values())
        yield Check("agents", "healthy", f"{len(agents)} processes do well, {busy} at work" if agents else "none")


def _stuck(seen: Observed, limits: Limits) -> Iterator[Check]:
    """Judge whether work waits that nobody will take, or that only a human can set going again."""
    found = False
    for _, group in sorted(seen.groups.items()):
        if not group["members"] and group["waiting"] and group["oldest_age_s"] > limits.stuck_after_s:
            found = True
            kind = "queue" if group["queue"] else "group"
            words = f"nobody takes from {kind} {group['name']}: {group['waiting']} waiting, the oldest for "
            # A task has been promised to somebody; whoever follows a pattern may do it now and then.
            level: Level = "unhealthy" if group["queue"] else "degraded"
            yield Check("work", level, words + _span(group["oldest_age_s"]), "twelvefold ps")
    stuck = {kind: seen.waiting[kind] for kind in _STUCK_KINDS if seen.waiting.get(kind)}
    if stuck:
        found = True
        words = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in stuck.items())
        yield Check("work", "degraded", f"stuck until a human says how to go on: {words}", "twelvefold inbox")
    if not found and seen.stats is not None and not seen.log_problem:
        waiting = sum(group["waiting"] for group in seen.groups.values())
        yield Check("work", "healthy", f"{waiting} waiting, {sum(seen.waiting.values())} with a human")


def _parked(seen: Observed) -> Iterator[Check]:
    if not seen.parked:
        yield Check("parked", "healthy", "nothing was parked in the last hour")
        return
    last = seen.parked[0]
    words = f"{len(seen.parked)} in the last hour; the last one {_span(last.age_s)} ago, a {last.kind} of {last.name}"
    reason = f": {last.error.splitlines()[0][:200]}" if last.error else ""
    yield Check("parked", "degraded", words + reason, f"twelvefold log --after {last.position - 1} --limit 1 --data")


def _projections(seen: Observed, limits: Limits) -> Iterator[Check]:
    wrong = False
    followed = seen.processes is not None and any(one.name.startswith("projector.") for one in seen.processes)
    for one in seen.projections:
        if one.parked is not None:
            wrong = True
            words = f"{one.name} is parked before position {one.parked}: {one.error}"
            yield Check("projections", "degraded", words, f"twelvefold log --after {one.parked - 1} --limit 1 --data")
        elif one.behind_s > limits.lag_s and followed:
            wrong = True
            words = f"{one.name} is {seen.head - one.position} events and {_span(one.behind_s)} behind"
            yield Check("projections", "degraded", words, "twelvefold logs projector")
    if not wrong:
        behind = max((seen.head - one.position for one in seen.projections), default=0)
        words = f"{len(seen.projections)} folded, at most {behind} events behind" if seen.projections else "none folded"
        yield Check("projections", "healthy", words)


def _traces(seen: Observed, limits: Limits) -> Iterator[Check]:
    """Judge whether spans arrive where a process exports them to; how far others once came is nobody's trouble."""
    running = [one for one in seen.exports if one.is_running]
    failing = [one for one in running if one.failing_s is not None and one.failing_s > limits.lag_s]
    for one in failing:
        words = f"{one.target} has taken no spans for {_span(one.failing_s or 0.0)}, {one.undelivered} wait"
        yield Check("traces", "degraded", f"{words}: {one.reason}", "twelvefold trace export --status")
    if running and not failing:
        delivered, rejected = sum(one.delivered for one in running), sum(one.rejected for one in running)
        refused = f", {rejected} refused for good" if rejected else ""
        yield Check("traces", "healthy", f"{delivered} spans delivered{refused}")


def _disk(seen: Observed, limits: Limits) -> Iterator[Check]:
    if seen.free_bytes is None:
        yield Check("disk", "degraded", f"free space at {seen.home} can't be told", "twelvefold doctor")
        return
    words = f"{_size(seen.free_bytes)} free of {_size(seen.total_bytes or 0)}"
    if seen.free_bytes < limits.free_bytes:
        fix = "twelvefold forget --older-than 90d"
        yield Check("disk", "unhealthy", f"{words}; a full disk stops all writing", fix)
    else:
        yield Check("disk", "healthy", words)


def _wal(seen: Observed, limits: Limits) -> Iterator[Check]:
    words = f"{_size(seen.wal_bytes)} of write-ahead log"
    if seen.wal_bytes > limits.wal_bytes:
        words += "; some program holds the log open in a long read, and keeps it from being taken in"
        yield Check("wal", "degraded", words, f"fuser -v {seen.home}/log.db")
    else:
        yield Check("wal", "healthy", words)


def _clock(seen: Observed, limits: Limits) -> Iterator[Check]:
    """Judge whether the clock was set back: times in the log never fall, so they stand still until it has caught up."""
    ahead_s = (seen.head_ns - seen.now_ns) / 1e9
    if ahead_s > limits.clock_s:
        words = f"the clock is {_span(ahead_s)} behind the last event: until it has caught up, timers are late"
        yield Check("clock", "degraded", words, "date")
    else:
        yield Check("clock", "healthy", "not behind the log")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _size(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
