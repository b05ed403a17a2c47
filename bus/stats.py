"""The bus's counters, as one plain value for health and metrics."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from . import run_marks
from .groups import Group

if TYPE_CHECKING:
    from .broker import Broker


def stats_of(broker: Broker) -> dict[str, Any]:
    """Return everything the bus counts; counters are since its start, ages in seconds."""
    now_ns = time.time_ns()
    commit, settling, publisher = broker.commit, broker.settling, broker.publisher
    runs = broker.log.marks(run_marks.PREFIX)
    sessions = broker.sessions.by_identity.values()
    return {
        "pid": os.getpid(),
        "incarnation": broker.incarnation,
        "uptime_s": broker.clock() - broker.started,
        "head": broker.log.head,
        "rss_max_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "events_by_type": dict(publisher.by_type),
        "events": commit.events,
        "commits": commit.commits,
        "commit_failures": commit.failures,
        "batch_events_mean": commit.events / commit.commits if commit.commits else 0.0,
        "batch_events_max": commit.batch_max,
        "hints": publisher.hints,
        "sessions": len(sessions),
        "roles": dict(Counter(session.role for session in sessions)),
        "held_by": {session.instance: len(session.holds) for session in sessions if session.holds},
        "groups_of": {session.instance: sorted(session.groups) for session in sessions if session.groups},
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
            "withdrawn": settling.withdrawn,
            "refused": settling.refused,
            "kills_asked": broker.liveness.kills,
            "leases_lost": broker.liveness.lost,
        },
        "groups": {group.key: _group(group, now_ns) for group in broker.desk.groups.values()},
        "log": broker.log.stats(),
    }


def _group(group: Group, now_ns: int) -> dict[str, Any]:
    oldest, in_hands = group.oldest(), group.in_hands
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
    }
