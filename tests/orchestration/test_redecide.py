"""Deciding stored runs again: what was recorded comes out, and whatever was changed is found and named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from twelvefold.eventstore.event import Event, NewEvent
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.orchestration.plan import PATTERNS, Retry, Task, register_pattern
from twelvefold.orchestration.redecide import redecide, redecide_all
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.steps import Stepping, advance_steps
from twelvefold.orchestration.turn import DECIDERS, RUN_VERSION, At, Outcome, Turn, register_decider
from twelvefold.orchestration.undoing import undo_parts

RUN = "0190a0b0c0d0e0f00000000000000001"
GOOD = Task("good", {"n": 1}, undo=Task("undo"))
PLAN = Saga([GOOD, Task("bad", retry=Retry(attempts_max=2, backoff_s=1), timeout_s=60)])
AGENTS = {
    "good": lambda request: ("task.succeeded", {"value": request["path"]}),
    "undo": lambda request: ("task.succeeded", {}),
    "bad": lambda request: ("task.failed", {"reason": "bad"}),
}


def stored(world: Any, plan: Any = PLAN) -> list[Event]:
    """The events of a run that failed, and was undone."""
    here = world(AGENTS)
    here.submit(plan)
    here.settle_down()
    found: list[Event] = here.log.read(run=RUN, limit=10**6)
    return found


def changed(event: Event, **data: Any) -> Event:
    return replace(event, payload=msgspec.json.encode({**event.data, **data}).decode())


def where(events: list[Event], type: str, path: str | None = None) -> int:
    return next(
        n for n, event in enumerate(events) if event.type == type and path in (None, (event.data or {}).get("path"))
    )


def test_a_stored_run_gives_the_recorded_decisions(world: Any) -> None:
    """Every decision comes out again, whether or not anything is remembered from one input to the next."""
    events = stored(world)
    for remember in (True, False):
        found = redecide(RUN, events, remember=remember)
        assert found.agrees
        assert found.decisions == sum(event.seen > 0 for event in events) > 8
        assert (found.older, found.pending) == (0, 0)


def test_an_open_run_agrees_as_far_as_it_was_decided(world: Any) -> None:
    """Every prefix of a run agrees; inputs that no decision has answered yet are counted."""
    events = stored(world)
    ends = [n for n, event in enumerate(events) if n and not (event.seen and event.seen == events[n - 1].seen)]
    found = [
        redecide(RUN, events[:n]) for n in ends if not (events[n].seen and events[n - 1].position != events[n].seen)
    ]
    assert all(one.agrees for one in found)
    assert redecide(RUN, events[:1]).pending == 1


@pytest.mark.parametrize(
    ("type", "path", "change", "field", "expected", "got"),
    [
        ("task.requested", "0.0", {"input": {"n": 2}}, "data.input.n", 1, 2),
        ("task.requested", "0.1", {"attempt": 7}, "data.attempt", 1, 7),
        ("run.failed", None, {"undone": []}, "data.undone", ["0.0"], []),
        ("task.requested", "0.0", {"more": True}, "data.more", None, True),
    ],
)
def test_a_changed_decision_is_named(
    world: Any, type: str, path: str | None, change: dict[str, Any], field: str, expected: Any, got: Any
) -> None:
    """The first difference says where in the log, which field, what should stand there, what does, and who decided."""
    events = stored(world)
    n = where(events, type, path)
    events[n] = changed(events[n], **change)
    found = redecide(RUN, events).difference
    assert found is not None
    assert (found.position, found.field, found.expected, found.got) == (events[n].position, field, expected, got)
    assert found.decider == events[n].data["decider"]


@pytest.mark.parametrize(("field", "value"), [("to", "other"), ("type", "task.failed"), ("id", b"x" * 16)])
def test_a_changed_header_is_named(world: Any, field: str, value: Any) -> None:
    """A decision that went elsewhere, says something else or has an id of its own is not what was decided."""
    events = stored(world)
    n = where(events, "task.requested", "0.1")
    events[n] = replace(events[n], **{field: value})
    found = redecide(RUN, events).difference
    assert found is not None
    assert (found.position, found.field) == (events[n].position, field)


def test_a_decision_too_many_or_too_few_is_named(world: Any) -> None:
    """A decision that is missing shows at its place, and one that nothing asked for as well."""
    events = stored(world)
    n = where(events, "task.requested", "0.0.undo")
    found = redecide(RUN, events[:n] + events[n + 1 :]).difference  # positions count from 1
    assert found is not None
    assert (found.position, found.field, found.expected) == (n, "decision", "task.requested 0.0.undo")
    double = replace(events[n], position=events[n].position, id=b"y" * 16)
    found = redecide(RUN, [*events[: n + 1], double, *events[n + 1 :]]).difference
    assert found is not None
    assert (found.field, found.got) == ("decision", "task.requested 0.0.undo")


def test_a_changed_input_shows_in_what_follows(world: Any) -> None:
    """A report that says otherwise now than it did makes the next decision another."""
    events = stored(world)
    n = next(n for n, event in enumerate(events) if event.type == "task.failed" and not event.seen)
    events[n] = replace(events[n], type="task.succeeded")
    found = redecide(RUN, events)
    assert not found.agrees
    assert found.difference is not None
    assert found.difference.position > events[n].position


def test_a_decision_for_an_input_that_is_not_there_is_named(world: Any) -> None:
    """Each decision answers an input that stands before it."""
    events = stored(world)
    n = where(events, "task.requested", "0.1")
    events[n] = replace(events[n], seen=events[n].seen + 1)
    found = redecide(RUN, events).difference
    assert found is not None
    assert found.field in ("seen", "decision")


class Relay(Stepping, frozen=True, tag_field="pattern", tag="test_relay"):
    """Steps one after the other, as version 1 does it; version 2 ends with the first success."""


def _first(plan: Relay, at: At, turn: Turn) -> Outcome | None:
    return advance_steps(plan, at, turn, hand_on=True)[0]


def _second(plan: Relay, at: At, turn: Turn) -> Outcome | None:
    step = next(iter(plan.parts())).plan
    return turn.advance(step, at.part(plan, 0))


@pytest.fixture
def relay() -> Iterator[type[Relay]]:
    register_pattern(Relay)
    register_decider(Relay, 1, _first, undo_parts)
    yield Relay
    del DECIDERS[Relay], PATTERNS["test_relay"]


def test_what_another_version_decided_is_counted_and_no_failure(world: Any, relay: Any) -> None:
    """A changed decider with a version of its own would decide otherwise: that is told apart from a difference."""
    events = stored(world, relay([Task("good"), Task("good")]))
    assert redecide(RUN, events).agrees
    register_decider(Relay, 2, _second, undo_parts)
    found = redecide(RUN, events)
    assert found.agrees
    assert (found.older, found.decisions) == (4, 0)  # start and request, request, end: a turn is compared as a whole
    assert found.decisions + found.older == sum(event.seen > 0 for event in events)


def test_a_changed_decider_that_kept_its_version_is_found(world: Any, relay: Any) -> None:
    """Someone has changed what a pattern decides and forgot its version: the check says so."""
    events = stored(world, relay([Task("good"), Task("good")]))
    register_decider(Relay, 1, _second, undo_parts)
    found = redecide(RUN, events).difference
    assert found is not None
    assert (found.field, found.expected, found.got) == ("type", "run.succeeded", "task.requested")
    assert found.decider == {"run": RUN_VERSION, "test_relay": 1, "task": DECIDERS[Task].version}


def test_deciding_nothing_is_a_version_s_own_as_well(world: Any, relay: Any) -> None:
    """Where an older decider said nothing and today's would, the pinned versions tell that it was an older one."""
    register_decider(Relay, 2, _second, undo_parts)
    events = [event for event in stored(world, relay([Task("good"), Task("good")])) if event.type != "run.succeeded"]
    n = where(events, "run.started")
    pinned = events[n].data["versions"]
    events[n] = changed(events[n], versions={**pinned, "deciders": {**pinned["deciders"], "test_relay": 1}})
    requested = where(events, "task.requested")
    events[requested] = changed(
        events[requested], decider={"run": RUN_VERSION, "test_relay": 1, "task": DECIDERS[Task].version}
    )
    extra = replace(events[-1], position=99, type="run.cancel_requested", stream=f"request.{RUN}", id=b"z" * 16)
    found = redecide(RUN, [*events, extra])
    assert found.difference is None


def test_a_pattern_that_is_not_here_any_more_is_said(world: Any, relay: Any) -> None:
    """A run whose pattern nobody knows can't be decided again, and says so instead of agreeing."""
    events = stored(world, relay([Task("good")]))
    decider = DECIDERS.pop(relay)
    found = redecide(RUN, events)
    DECIDERS[relay] = decider
    assert not found.agrees
    assert "test_relay" in found.problem


def test_a_forgotten_payload_is_said(world: Any) -> None:
    """Where a payload was freed, what follows can't be decided again."""
    events = stored(world)
    events[3] = replace(events[3], payload=None)
    found = redecide(RUN, events)
    assert not found.agrees
    assert str(events[3].position) in found.problem


def test_a_run_that_could_not_be_decided_agrees(world: Any) -> None:
    """A run that was ended because the log refused its decisions is recorded as that, and comes out as that."""
    here = world(AGENTS)
    here.submit(PLAN)
    here.feed()
    here.flush()
    here.work()
    here.feed()
    (batch,) = here.orchestrator.take()
    here.orchestrator.refused(batch.run)
    here.orchestrator.load(batch.run, here.log.read(run=batch.run), unable="it is too large")
    here.flush()
    here.settle_down()
    assert here.end()["reason"] == "undecidable"
    found = redecide(RUN, here.log.read(run=RUN, limit=10**6))
    assert found.agrees, found


def test_every_run_of_a_file_is_decided_again(world: Any, tmp_path: Path) -> None:
    """All runs of a log's file, read while somebody may own it; the one that was changed is the one that is named."""
    here = world(AGENTS)
    runs = [here.submit(PLAN, run=f"{n:032x}") for n in range(7)]
    here.settle_down()
    times = iter([event.time for event in here.log.read(limit=10**6)])
    log = SqliteLog(tmp_path / "log.db", durability="relaxed", clock=lambda: next(times))
    for event in here.log.read(limit=10**6):
        if event.type == "task.requested" and event.run == runs[3]:
            event = changed(event, input={"n": 5})
        fields = {name: getattr(event, name) for name in NewEvent.__struct_fields__}
        log.append(Append(events=[NewEvent(**fields)]))
    with LogReader(tmp_path / "log.db") as reader:
        found = list(redecide_all(reader))
        until = list(redecide_all(reader, until=3))
    log.close()
    assert [one.run for one in found] == runs
    assert [one.run for one in found if not one.agrees] == [runs[3]]
    assert [one.run for one in until] == runs[:3]
    assert all(one.pending == 1 for one in until)
