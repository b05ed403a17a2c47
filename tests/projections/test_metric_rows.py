"""The read model of metrics: what events come to, whatever stands in them and however they are folded."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from twelvefold.eventstore.event import Event, NewEvent, new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.projections.folding import Fold, fold_log
from twelvefold.projections.metric_families import Buckets, Family, LogSums, log_families, log_sums
from twelvefold.projections.metrics import Metrics
from twelvefold.projections.projection import state_type

RUN, OTHER = "a" * 32, "b" * 32
SECOND = 1_000_000_000


class Story:
    """A log to which things happen, a second after each other unless told otherwise."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND
        self.log = MemoryLog(clock=lambda: self.now)
        self._ids = random.Random(7)

    def say(self, type: str, data: Any = None, *, after_s: float = 1.0, source: str = "s", **fields: Any) -> Event:
        self.now += int(after_s * SECOND)
        fields.setdefault("id", self._ids.randbytes(16))
        event = new_event(type, data, **fields)
        return self.log.append(Append(events=[event], source=source)).events[0]

    def request(self, agent: str = "fixer", *, attempt: int = 1, run: str = RUN) -> Event:
        data = {"path": "0", "agent": agent, "attempt": attempt}
        return self.say("task.requested", data, stream=f"run.{run}", to=agent, run=run)

    def holder(self, request: Event, type: str, data: Any = None, **options: Any) -> Event:
        stream = f"task.{request.run}.0"
        return self.say(type, data, stream=stream, run=request.run, cause=request.id, **options)

    @property
    def sums(self) -> LogSums:
        return log_sums(fold_log(Metrics(), self.log))

    @property
    def values(self) -> dict[tuple[str, ...], Any]:
        """Each value by the metric's short name and its labels."""
        return {
            (family.name.removeprefix("twelvefold_"), *labels): value
            for family in log_families(self.sums)
            for labels, value in family.samples
        }


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_task_is_counted_from_its_request_to_its_outcome(story: Story) -> None:
    """Requests, waits, durations and outcomes are told by the queue that the task was requested for."""
    request = story.request()
    story.holder(request, "task.started", after_s=2)
    story.holder(request, "task.succeeded", after_s=30)
    values = story.values
    assert values["tasks_requested_total", "fixer"] == 1
    assert values["tasks_ended_total", "fixer", "succeeded"] == 1
    assert values["tasks_open", "fixer", "waiting"] == values["tasks_open", "fixer", "running"] == 0
    assert (values["task_wait_seconds", "fixer"].count, values["task_wait_seconds", "fixer"].sum) == (1, 2.0)
    assert values["task_seconds", "fixer"].sum == 30.0
    assert dict(values["task_seconds", "fixer"].bounds)[15.0] == 0
    assert dict(values["task_seconds", "fixer"].bounds)[60.0] == 1


def test_what_is_open_is_waiting_or_running(story: Story) -> None:
    """A request counts as waiting until somebody starts it, and as running until its outcome."""
    first, _ = story.request(), story.request()
    story.holder(first, "task.started")
    values = story.values
    assert (values["tasks_open", "fixer", "waiting"], values["tasks_open", "fixer", "running"]) == (1, 1)


def test_retries_and_redeliveries_are_told_apart(story: Story) -> None:
    """A retry is a request of a later attempt; a redelivery a second start of one request."""
    first = story.request()
    story.holder(first, "task.started")
    story.holder(first, "task.started")
    story.holder(first, "task.failed")
    again = story.request(attempt=2)
    story.holder(again, "task.started")
    values = story.values
    assert values["task_retries_total", "fixer"] == 1
    assert values["task_redeliveries_total", "fixer"] == 1
    assert values["task_wait_seconds", "fixer"].count == 2


def test_the_bus_ends_tasks_too(story: Story) -> None:
    """A task whose delivery was parked or withdrawn is open no longer, and counts under that end."""
    parked, withdrawn = story.request(), story.request()
    facts = {"group": "fixer", "queue": True}
    story.say("delivery.parked", facts, stream="group.fixer", cause=parked.id, run=RUN)
    story.say("delivery.withdrawn", facts, stream="group.fixer", cause=withdrawn.id, run=RUN)
    values = story.values
    assert values["tasks_ended_total", "fixer", "parked"] == values["tasks_ended_total", "fixer", "withdrawn"] == 1
    assert values["tasks_open", "fixer", "waiting"] == 0
    assert values["parked_total", "delivery", "fixer"] == 1


def test_tokens_and_cost_count_by_model_and_by_agent(story: Story) -> None:
    """What a model call used counts once for its model, and once for the agent that called it."""
    for agent, tokens in (("fixer", 100), ("review", 10)):
        request = story.request(agent)
        usage = {"tokens_in": tokens, "tokens_out": 5, "usd": 0.25}
        data = {"kind": "model", "name": "local/7b", "usage": usage, "elapsed_s": 1.5}
        story.holder(request, "effect.completed", data)
        story.holder(request, "effect.failed", {"kind": "model", "name": "local/7b", "elapsed_s": 0.5})
    values = story.values
    assert values["model_tokens_total", "local/7b", "in"] == 110
    assert values["model_cost_usd_total", "local/7b"] == 0.5
    assert values["agent_tokens_total", "fixer", "in"] == 100
    assert values["agent_cost_usd_total", "review"] == 0.25
    assert values["agent_model_calls_total", "fixer"] == 1
    assert values["effects_total", "model", "local/7b", "failed"] == 2
    assert values["effect_seconds_total", "model", "local/7b"] == 4.0


def test_runs_count_by_outcome_with_how_long_they_took(story: Story) -> None:
    """A run is open from its request, or its fork, until its end."""
    story.say("run.requested", {}, stream=f"run.{RUN}", run=RUN)
    story.say("run.forked", {"parent": RUN, "at": 1}, stream=f"run.{OTHER}", run=OTHER)
    assert story.values[("runs_open",)] == 2
    story.say("run.succeeded", {}, stream=f"run.{RUN}", run=RUN, after_s=9)
    values = story.values
    assert values[("runs_open",)] == 1
    assert values["runs_ended_total", "succeeded"] == 1
    assert values[("run_seconds",)].sum == 10.0


def test_processes_are_told_by_their_place(story: Story) -> None:
    """Starts, restarts, ends that nobody asked for and giving up count for the place in the Procfile."""
    stream = "process.fixer.1"
    for type, data in (
        ("process.started", {}),
        ("process.exited", {"expected": False, "exit": 1}),
        ("process.started", {}),
        ("process.restarted", {"restarts": 1}),
        ("process.exited", {"expected": True}),
        ("process.crashed", {}),
    ):
        story.say(type, data, stream=stream)
    values = story.values
    found = [values[f"process_{what}_total", "fixer.1"] for what in ("starts", "restarts", "unexpected_exits")]
    assert found == [2, 1, 1]
    assert values["process_given_up_total", "fixer.1"] == 1


def test_agents_own_counters_are_those_of_their_last_samples(story: Story) -> None:
    """Samples count from the start of a process: the last of each process stands, and processes are added up."""
    for source, count in (("fixer.1.aa", 3), ("fixer.1.aa", 5), ("fixer.1.bb", 2)):
        data = {"counters": {"edits": count}, "timers": {"t": {"count": 1, "total_s": 0.5}}, "gauges": {"g": count}}
        story.say("telemetry.sampled", data, stream="telemetry.fixer", source=source)
    sums = story.sums
    assert {key: row.counters["edits"] for key, row in sums.telemetry.items()} == {
        ("fixer", "fixer.1.aa"): 5.0,
        ("fixer", "fixer.1.bb"): 2.0,
    }


HOSTILE = [
    None, 7, "text", [], [1], {}, {"kind": 7, "name": [], "usage": "much"}, {"kind": "model", "name": "x" * 5000},
    {"kind": "model", "usage": {"tokens_in": -5, "tokens_out": "many", "usd": True}, "elapsed_s": "long"},
    {"kind": "model", "usage": {"tokens_in": 10**30, "usd": 1e300}}, {"attempt": {"deep": [1]}}, {"expected": "yes"},
    {"counters": [1], "timers": {"a": 3, "b": {"count": "x"}}, "gauges": {"g": "high", "h": 1e200}},
]  # fmt: skip
TYPES = (
    "task.requested", "task.started", "task.succeeded", "task.weird", "effect.completed", "effect.failed",
    "effect.in_doubt", "effect.unheard_of", "run.requested", "run.failed", "process.exited", "delivery.parked",
    "delivery.withdrawn", "watch.parked", "telemetry.sampled", "who.knows", "run.forked", "projection.parked",
)  # fmt: skip


def test_whatever_stands_in_events_is_folded(story: Story) -> None:
    """No payload, stream or missing cause parks the read model, and nothing that is no number is added up."""
    for type in TYPES:
        for data in HOSTILE:
            for stream in (f"run.{RUN}", f"task.{RUN}.0", "odd", "run.xyz", "process.x.1"):
                story.say(type, data, stream=stream, to="q" if type == "task.requested" else "")
    values = story.values
    assert values["events_total", "task.requested"] == len(HOSTILE) * 5
    numbers = [v for v in values.values() if not isinstance(v, Buckets)]
    assert all(0 <= number < 1e9 for number in numbers)
    assert max(len(labels[2]) for labels in values if labels[0] == "effects_total") < 200


def test_forgotten_payloads_leave_what_headers_tell(story: Story) -> None:
    """After `forget` a task's payloads are gone, and its agent, outcome and duration are still counted."""
    request = story.request()
    story.holder(request, "task.started")
    story.holder(request, "effect.completed", {"kind": "model", "usage": {"tokens_in": 3}})
    story.holder(request, "task.succeeded")
    fold = Fold(Metrics())
    fold.take(msgspec.structs.replace(event, payload=None) for event in story.log.read())
    sums = log_sums(dict(fold.rows()))
    assert sums.agents["fixer"].outcomes == {"succeeded": 1}
    assert sums.agents["fixer"].seconds.total == 1
    assert sums.agents["fixer"].tokens_in == 0


def test_what_forgotten_runs_had_used_is_told_apart(story: Story) -> None:
    """What the asker told of a run when it was to be forgotten stays counted, as that of forgotten runs."""
    cost = {"model_calls": 2, "tokens_in": 70, "tokens_out": 7, "usd": 0.5}
    story.say("run.forget_requested", {"outcome": "succeeded", "cost": cost}, stream=f"request.{RUN}", run=RUN)
    story.say("run.forget_requested", {"cost": None}, stream=f"request.{OTHER}", run=OTHER)
    values = story.values
    assert values[("forgotten_runs_total",)] == 2
    assert values["forgotten_tokens_total", "in"] == 70
    assert values[("forgotten_cost_usd_total",)] == 0.5


def test_rows_come_out_the_same_however_they_are_folded(story: Story) -> None:
    """Rows that are stored as JSON and read again between any two events are those of one fold in memory."""
    chance = random.Random(3)
    requests: list[Event] = []
    for n in range(400):
        kind = chance.choice(("task.requested", *TYPES))
        if kind == "task.requested":
            requests.append(story.request(chance.choice("abc"), attempt=chance.randint(1, 3)))
        elif requests and kind.startswith(("task.", "effect.")):
            data = {"kind": "model", "name": "m", "usage": {"tokens_in": n, "usd": n / 7}}
            story.holder(chance.choice(requests), kind, data, after_s=chance.random())
        elif kind.startswith("run."):
            run = chance.choice("cdef") * 32
            story.say(kind, {}, stream=f"run.{run}", run=run)
        else:
            story.say(kind, chance.choice(HOSTILE), stream=f"process.p.{n % 3}")
    whole = fold_log(Metrics(), story.log)
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(state_type(Metrics())).decode
    stored: dict[str, bytes] = {}
    for event in story.log.read():
        fold = Fold(Metrics(), fetch=lambda key: decode(stored[key]) if key in stored else None)
        fold.take([event])
        stored.update((key, encode(fold.states[key])) for key in fold.changed)
    assert {key: decode(text) for key, text in stored.items()} == whole
    assert sum(row for key, row in whole.items() if key.startswith("type/")) == story.log.head


def test_rows_stay_small_where_much_is_open(story: Story) -> None:
    """Thousands of tasks in flight are spread over rows, so that each event copies few of them."""
    for _ in range(3000):
        story.request()
    rows = fold_log(Metrics(), story.log)
    assert max(len(row.open) for key, row in rows.items() if key.startswith("tasks/")) < 120
    assert log_sums(rows).waiting == {"fixer": 3000}


def test_too_many_event_types_are_told_together(story: Story) -> None:
    """Somebody who makes up event types makes no unbounded number of series, and no event is left out."""
    events = [NewEvent(type=f"made_up.t{n}", id=n.to_bytes(16, "big")) for n in range(700)]
    story.log.append(Append(events=events))
    (family,) = [one for one in log_families(story.sums) if one.name == "twelvefold_events_total"]
    assert len(family.samples) == 501
    assert sum(value for _, value in family.samples) == 700


def test_an_empty_log_has_every_total() -> None:
    """Nothing happened is told as zeros, not as gaps, where no label is needed to say so."""
    families: list[Family] = list(log_families(log_sums({})))
    plain = {one.name: one.samples for one in families if not one.labels}
    assert plain["twelvefold_runs_requested_total"] == (((), 0),)
    assert all(samples for samples in plain.values())
