"""The bus's counters, as one plain value for health and metrics."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import run_marks
from .groups import Group
from .sessions import Session

if TYPE_CHECKING:
    from .broker import Broker
    from .desk import Desk

#: Over how long a throughput is measured, in seconds.
RATE_OVER_S = 10.0


class Throughput:
    """How many events were appended and deliveries settled lately; `tick` is called about once a second."""

    def __init__(self, now: float) -> None:
        self._past: deque[tuple[float, int, int]] = deque([(now, 0, 0)])

    def tick(self, now: float, events: int, settled: int) -> None:
        """Note both counters."""
        past = self._past
        past.append((now, events, settled))
        while now - past[1][0] >= RATE_OVER_S:
            past.popleft()

    def facts(self, now: float, events: int, settled: int) -> dict[str, float]:
        """Return events and settled deliveries a second, over RATE_OVER_S or since the bus has begun."""
        then, events_then, settled_then = self._past[0]
        seconds = max(now - then, 0.001)
        return {
            "over_s": round(seconds, 3),
            "events_per_s": (events - events_then) / seconds,
            "settled_per_s": (settled - settled_then) / seconds,
        }


def stats_of(broker: Broker) -> dict[str, Any]:
    """Return everything the bus counts; counters are since its start, ages in seconds."""
    now_ns, now = time.time_ns(), broker.clock()
    commit, settling, publisher = broker.commit, broker.settling, broker.publisher
    runs = broker.log.marks(run_marks.PREFIX)
    sessions = broker.sessions.by_identity.values()
    return {
        "pid": os.getpid(),
        "incarnation": broker.incarnation,
        "uptime_s": now - broker.started,
        "time_ns": now_ns,
        "lease_s": broker.requests.greeting.lease_s,
        "head": broker.log.head,
        "rss_max_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "events_by_type": dict(publisher.by_type),
        "events": commit.events,
        "commits": commit.commits,
        "commit_failures": commit.failures,
        "batch_events_mean": commit.events / commit.commits if commit.commits else 0.0,
        "batch_events_max": commit.batch_max,
        "commit_s": commit.seconds.facts(),
        "batch_events": commit.sizes.facts(),
        "throughput": broker.throughput.facts(now, commit.events, settling.settled),
        "hints": publisher.hints,
        "sessions": len(sessions),
        "roles": dict(Counter(session.role for session in sessions)),
        "held_by": {session.instance: len(session.holds) for session in sessions if session.holds},
        "groups_of": {session.instance: sorted(session.groups) for session in sessions if session.groups},
        "silent_s": _silences(sessions, now),
        "open_runs": run_marks.at_work(runs),
        "resting_runs": run_marks.resting(runs),
        "instances": sorted({session.instance for session in sessions if session.role in ("agent", "supervisor")}),
        "supervised": broker.sessions.supervisor() is not None,
        "awaited": broker.liveness.awaited,
        "dropped": {
            "garbage": broker.garbage,
            "egress_garbage": publisher.garbage,
            "unsent": broker.sessions.unsent,
        },
        "connections_closed": broker.connections_closed,
        "requests_refused": broker.requests.refused + broker.requests.greeting.refused,
        "deliveries": {
            "settled": settling.settled,
            "redelivered": settling.redelivered,
            "parked": settling.parked,
            "withdrawn": broker.withdrawing.withdrawn,
            "refused": settling.refused,
            "kills_asked": broker.liveness.kills,
            "leases_lost": broker.liveness.lost,
        },
        "groups": {group.key: _group(group, broker.desk, now_ns) for group in broker.desk.groups.values()},
        "forgetting": broker.requests.forgets.stats,
        "log": broker.log.stats(),
    }


def _silences(sessions: Iterable[Session], now: float) -> dict[str, float]:
    """Return for how long nothing was heard of each instance that is more than a passing client."""
    found: dict[str, float] = {}
    for session in sessions:
        if session.role != "client" or session.groups:
            silence = round(now - session.heard, 3)
            found[session.instance] = min(silence, found.get(session.instance, silence))
    return found


def _group(group: Group, desk: Desk, now_ns: int) -> dict[str, Any]:
    oldest, in_hands = group.oldest(), group.in_hands
    waits = desk.waits.get(group.key)
    return {
        "name": group.name,
        "queue": group.is_queue,
        "pattern": group.progress.pattern,
        "members": len(group.members),
        # What lies in the hands of a member that works on another is not begun either.
        "waiting": len(group.pending) + in_hands,
        "delayed": len(group.delayed),
        "held": len(group.held) - in_hands,
        # More than what is counted as waiting lies in the log.
        "behind": group.behind,
        "oldest_age_s": (now_ns - oldest.time) / 1e9 if oldest else 0.0,
        # Until they were first handed out; None where none was since the bus has begun.
        "dispatch_s": waits.facts() if waits else None,
    }
