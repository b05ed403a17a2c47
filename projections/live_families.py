"""What one look at a home tells as metrics: the bus's counters, queues, agents, disk, projections. Pure.

Counters of the bus begin anew with it, as every exporter's do with its process. Where the bus does not answer, only
that is told of it (`twelvefold_bus_up` is 0), and nothing is made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .metric_families import PREFIX, Buckets, Family, buckets_of, counter, gauge
from .observed import Observed

_NONE: tuple[str, ...] = ()


def live_families(seen: Observed) -> Iterator[Family]:
    """Yield what is seen now."""
    yield gauge("bus_up", "1 if the bus answers, else 0.", _NONE, [((), int(seen.stats is not None))])
    if seen.round_trip_s is not None:
        yield gauge("bus_round_trip_seconds", "How long the bus took to answer a question.", _NONE,
                    [((), seen.round_trip_s)])  # fmt: skip
    if seen.stats is not None:
        yield from _bus_families(seen.stats)
        yield from _queue_families(seen.groups)
        yield from _agent_families(seen.stats)
    yield from _storage_families(seen)
    yield from _projection_families(seen)
    yield gauge("human_waiting", "What waits for a human in open runs, by kind.", ("kind",),
                (((kind,), count) for kind, count in sorted(seen.waiting.items())))  # fmt: skip
    yield from _export_families(seen)
    if seen.processes is not None:
        yield from _process_families(seen)


def _bus_families(stats: Mapping[str, Any]) -> Iterator[Family]:
    rate, ends = stats.get("throughput", {}), stats.get("deliveries", {})
    yield _one("bus_uptime_seconds", "How long this bus has been running.", stats.get("uptime_s"))
    yield _one("bus_sessions", "Connections of clients, agents among them.", stats.get("sessions"))
    yield _one("bus_memory_max_bytes", "The most memory that this bus has held.", stats.get("rss_max_bytes"))
    yield _one("events_per_second", "Events appended a second, over the last ten seconds.", rate.get("events_per_s"))
    yield _one("deliveries_settled_per_second", "Deliveries settled a second, over the last ten seconds.",
               rate.get("settled_per_s"))  # fmt: skip
    for name, what, value in (
        ("bus_events", "Events that this bus has appended.", stats.get("events")),
        ("bus_commits", "Transactions that this bus has committed.", stats.get("commits")),
        ("bus_commit_failures", "Transactions that failed; nothing of them was acknowledged.",
         stats.get("commit_failures")),
        ("bus_requests_refused", "Requests that this bus has refused.", stats.get("requests_refused")),
    ):  # fmt: skip
        yield counter(f"{name}_total", what, _NONE, [((), value)] if value is not None else [])
    yield _measured("bus_commit_seconds", "How long transactions took, the sync to the disk included.",
                    _NONE, [((), stats.get("commit_s"))])  # fmt: skip
    yield _measured(
        "bus_commit_events", "How many events a transaction held.", _NONE, [((), stats.get("batch_events"))]
    )
    yield counter("deliveries_total", "Deliveries by what became of them: settled, redelivered, parked, …",
                  ("end",), (((end,), count) for end, count in sorted(ends.items())))  # fmt: skip
    dropped = sorted(stats.get("dropped", {}).items())
    yield counter("bus_dropped_total", "Messages that were no messages, or that a stopped peer did not take.",
                  ("what",), (((what,), count) for what, count in dropped))  # fmt: skip
    runs = (("at_work", stats.get("open_runs", 0)), ("resting", stats.get("resting_runs", 0)))
    yield gauge("runs_begun", "Runs that are begun and not ended, by whether they rest until a human answers.",
                ("state",), (((state,), count) for state, count in runs))  # fmt: skip


def _queue_families(groups: Mapping[str, Mapping[str, Any]]) -> Iterator[Family]:
    labels = ("queue", "kind")
    found = [((group["name"], "queue" if group["queue"] else "group"), group) for _, group in sorted(groups.items())]
    yield gauge(
        "queue_depth",
        "Events of a queue or group that are not settled, by state: waiting, delayed (to be tried again), held.",
        (*labels, "state"),
        (((*key, state), group[state]) for key, group in found for state in ("waiting", "delayed", "held")),
    )
    yield gauge("queue_behind", "1 where more of a queue waits in the log than its depth counts.", labels,
                ((key, int(group["behind"])) for key, group in found))  # fmt: skip
    yield gauge("queue_oldest_age_seconds", "How long the oldest event of a queue has waited.", labels,
                ((key, group["oldest_age_s"]) for key, group in found))  # fmt: skip
    yield gauge("queue_members", "Who takes from a queue.", labels,
                ((key, group["members"]) for key, group in found))  # fmt: skip
    yield _measured("dispatch_seconds", "From the append of an event until it was first handed to a member.", labels,
                    ((key, group.get("dispatch_s")) for key, group in found))  # fmt: skip


def _agent_families(stats: Mapping[str, Any]) -> Iterator[Family]:
    silent, held = stats.get("silent_s", {}), stats.get("held_by", {})
    yield gauge("instance_silence_seconds", "How long the bus has heard nothing of a process.", ("instance",),
                (((instance,), value) for instance, value in sorted(silent.items())))  # fmt: skip
    yield gauge("instance_held", "Deliveries that a process holds.", ("instance",),
                (((instance,), held.get(instance, 0)) for instance in sorted(silent)))  # fmt: skip


def _storage_families(seen: Observed) -> Iterator[Family]:
    log = (seen.stats or {}).get("log", {})
    yield _one("log_position", "The position of the last event in the log.", seen.head)
    yield _one("log_bytes", "The size of the log's file.", seen.log_bytes)
    yield _one("log_wal_bytes", "The size of the log's write-ahead file.", seen.wal_bytes)
    yield _one("log_pending_bytes", "About what waits to be moved from the write-ahead file into the log's file.",
               log.get("pending_bytes"))  # fmt: skip
    if log:
        yield _one("log_writes_stopped", "1 if the bus writes no more after an error of the disk.",
                   int(bool(log.get("failure"))))  # fmt: skip
    yield _one("disk_free_bytes", "Free space on the disk of the home.", seen.free_bytes)
    yield _one("disk_size_bytes", "The size of the disk of the home.", seen.total_bytes)


def _projection_families(seen: Observed) -> Iterator[Family]:
    label, found = ("projection",), sorted(seen.projections, key=lambda one: one.name)
    yield gauge("projection_lag_events", "Events that a projection has not folded yet.", label,
                (((one.name,), max(0, seen.head - one.position)) for one in found))  # fmt: skip
    yield gauge("projection_lag_seconds", "How long the first of those events has been in the log.", label,
                (((one.name,), one.behind_s) for one in found))  # fmt: skip
    yield gauge("projection_parked", "1 if a projection can't fold an event and waits before it.", label,
                (((one.name,), int(one.parked is not None)) for one in found))  # fmt: skip


def _export_families(seen: Observed) -> Iterator[Family]:
    label, found = ("target",), sorted(seen.exports, key=lambda one: one.target)
    for name, what, value in (
        ("delivered", "Spans that a place to which traces are exported live has taken.", "delivered"),
        ("rejected", "Spans that it will never take.", "rejected"),
    ):
        samples = (((one.target,), getattr(one, value)) for one in found)
        yield counter(f"trace_spans_{name}_total", what, label, samples)
    yield gauge("trace_spans_undelivered", "Spans that wait for a place that doesn't take them now.", label,
                (((one.target,), one.undelivered) for one in found))  # fmt: skip
    yield gauge("trace_export_running", "1 if a process exports to the place now.", label,
                (((one.target,), int(one.is_running)) for one in found))  # fmt: skip
    yield gauge("trace_export_lag_events", "Events whose spans were not sent there yet.", label,
                (((one.target,), one.behind) for one in found))  # fmt: skip


def _process_families(seen: Observed) -> Iterator[Family]:
    found = sorted(seen.processes or (), key=lambda one: one.name)
    yield gauge("process_up", "1 if the process of a place in the Procfile works.", ("process",),
                (((one.name,), int(one.state in ("ready", "busy"))) for one in found))  # fmt: skip
    yield gauge("process_state", "1 for the state of each process: starting, ready, busy, stopping, stopped, …",
                ("process", "state"), (((one.name, one.state), 1) for one in found))  # fmt: skip
    yield gauge("process_resident_bytes", "Memory that a process holds, with what it has started.", ("process",),
                (((one.name,), one.rss_bytes) for one in found if one.rss_bytes is not None))  # fmt: skip
    yield gauge("process_proportional_bytes", "The same, with shared memory counted in parts.", ("process",),
                (((one.name,), one.pss_bytes) for one in found if one.pss_bytes is not None))  # fmt: skip


def _one(name: str, help: str, value: Any) -> Family:
    return gauge(name, help, _NONE, [] if value is None else [((), value)])


def _measured(name: str, help: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], Any]]) -> Family:
    """Return what the bus has measured; of a bus of another release, or where nothing was, nothing."""
    made: list[tuple[tuple[str, ...], Buckets]] = [
        (values, buckets_of(facts["bounds"], facts["counts"], facts["sum"])) for values, facts in samples if facts
    ]
    return Family(f"{PREFIX}{name}", "histogram", help, labels, tuple(made))
