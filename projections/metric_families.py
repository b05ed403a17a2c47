"""What is told as metrics: families with their names, labels and values, of read model and one look at a home. Pure.

Owns the names, which are a promise once somebody has drawn a graph of them: prefix `twelvefold_`, base units, counters
end in `_total`. How they are written (Prometheus text) is the collector's; `live_families` tells what a look at the
home adds. Keeps: counters of the log never fall, whatever is restarted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from .metric_sums import SECONDS, AgentSum, EffectSum, ForgottenSum, ParkedSum, ProcessSum, Spread, TelemetrySum, summed
from .metrics import RunsShard, TasksShard
from .observed import Observed

Kind = Literal["counter", "gauge", "histogram", "summary"]
#: Beyond so many event types the rest is told as `other`: each is a series in whatever collects them.
TYPES_MAX = 500
PREFIX = "twelvefold_"


class Buckets(msgspec.Struct, frozen=True):
    """A histogram's value: each upper bound with how many values lay up to it, the number of all, and their sum."""

    bounds: tuple[tuple[float, int], ...]
    count: int
    sum: float


class Family(msgspec.Struct, frozen=True):
    """One metric: its name with the prefix, what it is, and a value for each set of labels.

    A value is a number; that of a histogram Buckets, of a summary a pair of count and sum.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    samples: tuple[tuple[tuple[str, ...], Any], ...] = ()


class LogSums(msgspec.Struct, frozen=True):
    """What the read model of metrics comes to, its shards added up."""

    types: dict[str, int]
    agents: dict[str, AgentSum]
    #: Requests of tasks without an outcome by agent: those not begun, and those begun.
    waiting: dict[str, int]
    running: dict[str, int]
    runs: dict[str, int]
    runs_open: int
    run_seconds: Spread
    effects: dict[tuple[str, str], EffectSum]
    processes: dict[str, ProcessSum]
    parked: dict[tuple[str, str], ParkedSum]
    telemetry: dict[tuple[str, str], TelemetrySum]
    forgotten: ForgottenSum = ForgottenSum()


def log_sums(rows: Mapping[str, Any]) -> LogSums:
    """Add up the rows of the projection `metrics`."""
    sums = LogSums({}, {}, {}, {}, {}, 0, Spread(), {}, {}, {}, {})
    runs_open, run_seconds, run_ends = 0, Spread(), []
    for key, row in rows.items():
        name = key.partition("/")[2]
        first, _, second = name.partition("/")
        if isinstance(row, int):
            sums.types[name] = row
        elif isinstance(row, TasksShard):
            _add_tasks(sums, row)
        elif isinstance(row, RunsShard):
            runs_open += len(row.open)
            run_seconds = run_seconds.plus(row.seconds)
            run_ends.append(row.ended)
        elif isinstance(row, EffectSum):
            sums.effects[first, second] = row
        elif isinstance(row, ProcessSum):
            sums.processes[name] = row
        elif isinstance(row, ParkedSum):
            sums.parked[first, second] = row
        elif isinstance(row, TelemetrySum):
            sums.telemetry[first, second] = row
    forgotten = rows.get("forgotten/", ForgottenSum())
    return msgspec.structs.replace(
        sums, runs=summed(run_ends), runs_open=runs_open, run_seconds=run_seconds, forgotten=forgotten
    )


def _add_tasks(sums: LogSums, shard: TasksShard) -> None:
    for agent, one in shard.agents.items():
        before = sums.agents.get(agent)
        sums.agents[agent] = one if before is None else before.plus(one)
    for task in shard.open.values():
        counts = sums.running if task.started else sums.waiting
        counts[task.agent] = counts.get(task.agent, 0) + 1


def log_families(sums: LogSums) -> Iterator[Family]:
    """Yield what the log tells."""
    yield counter("events_total", "Events in the log, by type.", ("type",), _types(sums.types))
    yield from _run_families(sums)
    yield from _task_families(sums)
    yield from _effect_families(sums)
    places = sorted(sums.processes.items())
    for name, what, values in (
        ("process_starts", "Processes that were started, by place in the Procfile.", "started"),
        ("process_restarts", "Restarts of processes, by place.", "restarted"),
        ("process_unexpected_exits", "Processes that ended without being asked to, by place.", "unexpected"),
        ("process_given_up", "Processes that were given up after too many restarts, by place.", "given_up"),
    ):
        samples = (((place,), getattr(row, values)) for place, row in places)
        yield counter(f"{name}_total", what, ("process",), samples)
    parked = (((kind, name), row.count) for (kind, name), row in sorted(sums.parked.items()))
    yield counter("parked_total", "Events that were parked, by where: group, watch or projection.",
                   ("kind", "name"), parked)  # fmt: skip
    yield from _forgotten_families(sums.forgotten)


def _forgotten_families(gone: ForgottenSum) -> Iterator[Family]:
    yield counter("forgotten_runs_total", "Runs that were forgotten.", (), [((), gone.runs)])
    yield counter("forgotten_tokens_total", "Tokens of forgotten runs: no model and no agent counts them any more.",
                  ("direction",), [(("in",), gone.tokens_in), (("out",), gone.tokens_out)])  # fmt: skip
    yield counter("forgotten_cost_usd_total", "What the models of forgotten runs cost, in US dollars.",
                  (), [((), gone.usd)])  # fmt: skip


def _types(counts: Mapping[str, int]) -> Iterator[tuple[tuple[str, ...], int]]:
    kept = sorted(sorted(counts, key=lambda type: -counts[type])[:TYPES_MAX])
    for type in kept:
        yield (type,), counts[type]
    if len(counts) > len(kept):
        yield ("other",), sum(counts.values()) - sum(counts[type] for type in kept)


def _run_families(sums: LogSums) -> Iterator[Family]:
    requested = sums.types.get("run.requested", 0)
    yield counter("runs_requested_total", "Runs that were asked for.", (), [((), requested)])
    ends = (((outcome,), count) for outcome, count in sorted(sums.runs.items()))
    yield counter("runs_ended_total", "Runs that have ended, by outcome.", ("outcome",), ends)
    yield gauge("runs_open", "Runs that have not ended, those that wait for a human included.",
                 (), [((), sums.runs_open)])  # fmt: skip
    yield _spread("run_seconds", "From the request of a run to its end.", (), [((), sums.run_seconds)])


def _task_families(sums: LogSums) -> Iterator[Family]:
    agents = sorted(sums.agents.items())
    label = ("agent",)
    for name, what, field in (
        ("tasks_requested_total", "Requests of tasks, retries included, by agent.", "requested"),
        ("task_retries_total", "Requests of tasks after their first attempt, by agent.", "retried"),
        ("task_redeliveries_total", "Tasks that were started again, as whoever worked on them was gone.",
         "redelivered"),
        ("agent_model_calls_total", "Answers of models that were paid for, by agent.", "model_calls"),
        ("agent_cost_usd_total", "What the answers of models cost, in US dollars, by agent.", "usd"),
    ):  # fmt: skip
        yield counter(name, what, label, (((agent,), getattr(one, field)) for agent, one in agents))
    yield counter(
        "tasks_ended_total",
        "Tasks by agent and outcome; `parked` and `withdrawn` are ends that the bus tells of.",
        ("agent", "outcome"),
        (((agent, outcome), count) for agent, one in agents for outcome, count in sorted(one.outcomes.items())),
    )
    yield counter(
        "agent_tokens_total",
        "Tokens of models, by agent and direction (in, out).",
        ("agent", "direction"),
        (
            sample
            for agent, one in agents
            for sample in (((agent, "in"), one.tokens_in), ((agent, "out"), one.tokens_out))
        ),
    )
    yield gauge(
        "tasks_open",
        "Tasks without an outcome, by agent and state: waiting, or running.",
        ("agent", "state"),
        (
            sample
            for agent, _ in agents
            for sample in (
                ((agent, "waiting"), sums.waiting.get(agent, 0)),
                ((agent, "running"), sums.running.get(agent, 0)),
            )
        ),
    )
    yield _spread("task_wait_seconds", "From the request of a task to its start, by agent.",
                  label, (((agent,), one.waits) for agent, one in agents))  # fmt: skip
    yield _spread("task_seconds", "From the start of a task to its outcome, by agent.",
                  label, (((agent,), one.seconds) for agent, one in agents))  # fmt: skip


def _effect_families(sums: LogSums) -> Iterator[Family]:
    effects = sorted(sums.effects.items())
    labels = ("kind", "name")
    yield counter(
        "effects_total",
        "Effects (calls of tools and models, processes, git) by how they ended.",
        (*labels, "outcome"),
        (((*key, outcome), count) for key, row in effects for outcome, count in sorted(row.ended.items())),
    )
    yield counter("effect_seconds_total", "How long effects took in all.",
                   labels, ((key, row.elapsed_s) for key, row in effects))  # fmt: skip
    models = [(name, row) for (kind, name), row in effects if kind == "model"]
    yield counter(
        "model_tokens_total",
        "Tokens by model and direction (in, out).",
        ("model", "direction"),
        (sample for name, row in models for sample in (((name, "in"), row.tokens_in), ((name, "out"), row.tokens_out))),
    )
    yield counter("model_cost_usd_total", "What the answers of a model cost, in US dollars.",
                   ("model",), (((name,), row.usd) for name, row in models))  # fmt: skip


def telemetry_families(sums: LogSums, seen: Observed) -> Iterator[Family]:
    """Yield what agents have counted themselves (`AgentTelemetry`): sums over all processes, gauges of those alive."""
    counters: dict[tuple[str, str], float] = {}
    timers: dict[tuple[str, str], tuple[float, float]] = {}
    gauges = []
    alive = (seen.stats or {}).get("silent_s", {})
    for (agent, instance), row in sums.telemetry.items():
        for name, value in row.counters.items():
            counters[agent, name] = counters.get((agent, name), 0.0) + value
        for name, (count, total) in row.timers.items():
            before = timers.get((agent, name), (0.0, 0.0))
            timers[agent, name] = (before[0] + count, before[1] + total)
        if instance in alive:
            gauges += [((agent, instance, name), value) for name, value in row.gauges.items()]
    yield counter("agent_telemetry_total", "Counters of agents' own, by agent and name.",
                   ("agent", "name"), sorted(counters.items()))  # fmt: skip
    yield Family(f"{PREFIX}agent_telemetry_seconds", "summary", "Timers of agents' own, by agent and name.",
                 ("agent", "name"), tuple(sorted(timers.items())))  # fmt: skip
    yield gauge("agent_telemetry_value", "Gauges of agents' own, by agent, process and name, as last sampled.",
                 ("agent", "instance", "name"), sorted(gauges))  # fmt: skip


def counter(name: str, help: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], Any]]) -> Family:
    """Return a counter, its name with the prefix."""
    return Family(f"{PREFIX}{name}", "counter", help, labels, tuple(samples))


def gauge(name: str, help: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], Any]]) -> Family:
    """Return a gauge, its name with the prefix."""
    return Family(f"{PREFIX}{name}", "gauge", help, labels, tuple(samples))


def _spread(name: str, help: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], Spread]]) -> Family:
    made = ((values, buckets_of(SECONDS, one.counts, one.sum)) for values, one in samples)
    return Family(f"{PREFIX}{name}", "histogram", help, labels, tuple(made))


def buckets_of(bounds: Iterable[float], counts: Iterable[int], sum: float) -> Buckets:
    """Return a histogram's value of counts of its single buckets, which are one more than bounds (or none: zeros)."""
    made, total, given = [], 0, list(counts)
    for n, bound in enumerate(bounds):
        total += given[n] if given else 0
        made.append((bound, total))
    return Buckets(tuple(made), total + (given[-1] if given else 0), sum)
