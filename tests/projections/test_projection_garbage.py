"""Whatever clients and agents write, no built-in projection parks, and every state comes back from JSON as it was."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from twelvefold.eventstore.event import Event
from twelvefold.projections.folding import Fold
from twelvefold.projections.projection import Projection, state_type
from twelvefold.projections.registry import BUILT_IN, projection_named

RUN = "0190a0b0c0d0e0f00000000000000001"
FIELDS = (
    "path", "agent", "attempt", "reason", "message", "plan", "labels", "kind", "name", "key", "effect", "usage",
    "elapsed_s", "timer", "question", "answer", "takes", "since", "expires", "default", "repo", "store", "ref",
    "commit",
    "files_changed", "pid", "exit", "signal", "expected", "ran_s", "rss_bytes", "parent", "at", "not_undone", "error",
    "queue", "undo", "steps", "pattern", "tokens_in", "usd", "projection", "position", "group",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 3, 1.5, 10**30, -(10**25), 1e308, "", "x", "0.1", "0", "retry", "done", "saga", "\u0000é", [],
    {},
    [1, [2]], [[], {}], {"a": {"b": [10**40]}}, ["retry", ["done"]], "0" * 3000,
    {"pattern": "saga", "steps": [{"undo": {}}]},
    {"pattern": "saga", "steps": 7}, [{"agent": "x"}], {"tokens_in": "many", "usd": 10**30},
    {"tokens_in": 1, "usd": 0.5}, {"tokens_in": 1.5, "usd": 2},
)  # fmt: skip
TYPES = (
    "run.requested", "run.forked", "run.started", "run.succeeded", "run.failed", "run.rolled_back", "run.needs_human",
    "run.resumed", "run.paused", "run.rolling_back", "run.forgotten", "task.requested", "task.started",
    "task.progressed",
    "task.planned", "task.succeeded", "task.failed", "task.nothing_to_do", "task.needs_human", "task.cancelled",
    "task.parked", "task.compensated", "task.joined", "timer.set", "timer.fired", "timer.cancelled", "human.requested",
    "human.answered", "human.expired", "effect.intended", "effect.completed", "effect.failed", "effect.in_doubt",
    "workspace.fetched", "workspace.created", "workspace.committed", "workspace.published", "workspace.unpublished",
    "workspace.removed", "process.started", "process.ready", "process.exited", "process.restarted", "process.crashed",
    "process.odd", "delivery.parked", "delivery.withdrawn", "watch.parked", "projection.parked", "projection.resumed",
    "telemetry.sampled", "demo.happened",
)  # fmt: skip
STREAMS = (
    f"run.{RUN}", f"task.{RUN}.0", f"task.{RUN}.0.1", f"request.{RUN}", "process.fixer.1", "process", "group.fixer",
    "projection.x", "run.x", "task", "task.x", "run", "demo.1", "request",
)  # fmt: skip


def garbage(seed: int, count: int) -> Iterator[Event]:
    """Yield events that no writer of ours would write, beside some that are nearly right."""
    chance = random.Random(f"garbage {seed}")
    ids = [chance.randbytes(16) for _ in range(8)]
    for position in range(1, count + 1):
        data: Any = {chance.choice(FIELDS): chance.choice(VALUES) for _ in range(chance.randrange(9))}
        if chance.random() < 0.5:
            data["path"] = chance.choice(("0", "0.1", "0.1.undo"))
        if chance.random() < 0.4:
            data |= {"key": "tool:x:1", "plan": {"pattern": "saga", "steps": [{"undo": {}}, {"pivot": True}]}}
        if chance.random() < 0.15:
            data = chance.choice(VALUES)
        payload = None if chance.random() < 0.1 else json.dumps(data)
        type = chance.choice(TYPES)
        fits = [stream for stream in STREAMS if stream.startswith(type.partition(".")[0] + ".")]
        stream = chance.choice(fits if fits and chance.random() < 0.6 else STREAMS)
        run, to = chance.choice((RUN, RUN, "")), chance.choice(("", "fixer"))
        seen = chance.choice((0, max(0, position - 1), position // 2))
        ends = (stream, position, ids[position % 8], type, 1, to, position * 1000, "fixer.1", run)
        yield Event(position, *ends, chance.choice((b"", *ids)), "", seen, payload, b"", b"")


def kept(projection: Projection[Any], fold: Fold) -> dict[str, bytes]:
    encode = msgspec.json.Encoder(order="deterministic").encode
    return {key: encode(state) for key, state in fold.rows()}


@pytest.mark.parametrize("name", BUILT_IN)
def test_garbage_neither_parks_nor_changes_on_its_way(name: str) -> None:
    """Folded at once, or from JSON after each event: the rows are the same, can be shown, and nothing is raised."""
    projection = projection_named(name)
    decode = msgspec.json.Decoder(state_type(projection)).decode
    encode = msgspec.json.Encoder(order="deterministic").encode
    for seed in range(6):
        at_once, again = Fold(projection), Fold(projection)
        for event in garbage(seed, 400):
            at_once.take([event])
            again.take([event])
            for key in again.changed:
                if again.states[key] is not None:
                    again.states[key] = decode(encode(again.states[key]))
            again.changed.clear()
        rows = kept(projection, at_once)
        assert rows == kept(projection, again)
        shown = [row for key, state in at_once.rows() for row in projection.shown(key, state)]
        json.loads(msgspec.json.encode(shown))
    assert rows
