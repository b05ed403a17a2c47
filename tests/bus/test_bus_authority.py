"""Who may write what: each rule of the reserved families, from both sides."""

from __future__ import annotations

import pytest

from twelvefold.bus.authority import cut_fault, judge, task_stream
from twelvefold.eventstore.event import Event, new_event

RUN = "0" * 31 + "1"
TASK = f"task.{RUN}.0.1"


@pytest.mark.parametrize(
    ("role", "type", "stream", "holding", "allowed"),
    [
        ("client", "demo.happened", "demo.1", False, True),
        ("agent", "demo.happened", "", False, True),
        ("client", "run.requested", f"run.{RUN}", False, True),
        ("client", "run.requested", "demo.1", False, False),
        ("client", "run.forked", f"run.{RUN}", False, True),
        ("client", "run.forked", "demo.1", False, False),
        ("agent", "run.forked", f"run.{RUN}", False, False),
        ("client", "run.forked", f"run.{RUN}", True, False),
        ("client", "run.started", f"run.{RUN}", False, False),
        ("client", "demo.happened", f"run.{RUN}", False, False),
        ("orchestrator", "run.started", f"run.{RUN}", False, True),
        ("orchestrator", "task.requested", f"run.{RUN}", False, True),
        ("orchestrator", "timer.set", f"run.{RUN}", False, True),
        ("orchestrator", "task.succeeded", TASK, False, False),
        ("orchestrator", "process.started", "process.a.1", False, False),
        ("supervisor", "process.started", "process.a.1", False, True),
        ("supervisor", "run.started", f"run.{RUN}", False, False),
        ("agent", "process.started", "process.a.1", False, False),
        ("agent", "task.succeeded", TASK, True, True),
        ("agent", "effect.intended", TASK, True, True),
        ("agent", "workspace.committed", TASK, True, True),
        ("agent", "human.requested", TASK, True, True),
        ("agent", "human.answered", TASK, True, False),
        ("agent", "task.requested", TASK, True, False),
        ("agent", "demo.happened", TASK, True, False),
        ("agent", "task.succeeded", TASK, False, False),
        ("agent", "task.succeeded", f"task.{RUN}.0.2", True, False),
        ("agent", "task.succeeded", "demo.1", True, False),
        ("client", "run.cancel_requested", f"request.{RUN}", False, True),
        ("client", "human.answered", f"request.{RUN}", False, True),
        ("client", "run.started", f"request.{RUN}", False, False),
        ("agent", "run.cancel_requested", f"request.{RUN}", False, False),
        ("client", "run.cancel_requested", f"request.{RUN}", True, False),
        ("orchestrator", "delivery.parked", "group.work", False, False),
        ("client", "demo.happened", "group.work", False, False),
    ],
)
def test_reserved_families(role: str, type: str, stream: str, holding: bool, allowed: bool) -> None:
    """One line of the table of who may write what."""
    holds = {("q/worker", 1): TASK} if holding else {}
    refused = judge(role, [new_event(type, stream=stream)], holds)
    assert (refused is None) == allowed


@pytest.mark.parametrize(
    ("data", "fits"),
    [
        ({"parent": "a" * 32, "at": 7}, True),
        ({"parent": "a" * 32, "at": 8}, False),
        ({"parent": "a" * 32, "at": 0}, False),
        ({"parent": "a" * 32, "at": "7"}, False),
        ({"parent": "a" * 32}, False),
        ({"parent": "A" * 32, "at": 7}, False),
        ({"parent": RUN, "at": 7}, False),
        (None, False),
    ],
)
def test_a_fork_begins_at_a_cut_that_the_log_has(data: object, fits: bool) -> None:
    """Of another run, at a position up to the head: whatever reads runs relies on that."""
    event = new_event("run.forked", data, stream=f"run.{RUN}")
    assert (cut_fault([new_event("demo.happened"), event], head=7) is None) == fits


def test_one_forbidden_event_refuses_the_batch() -> None:
    """A batch is judged as a whole, and the error names the event at fault."""
    refused = judge("client", [new_event("demo.happened"), new_event("timer.set", stream=f"run.{RUN}")], {})
    assert refused is not None
    assert (refused.type, refused.role) == ("timer.set", "client")


def test_only_a_real_task_request_opens_a_stream() -> None:
    """The stream follows from run and path of a task.requested in its run's stream, and from nothing else."""

    def opened(type: str, stream: str, run: str, payload: str | None) -> str | None:
        return task_stream(Event(1, stream, 1, b"", type, 1, "a", 0, "", run, b"", "", 0, payload, b"", b""))

    assert opened("task.requested", f"run.{RUN}", RUN, '{"path": "0.1", "agent": "a"}') == TASK
    assert opened("task.requested", "demo.1", RUN, '{"path": "0.1"}') is None
    assert opened("work.wanted", f"run.{RUN}", RUN, '{"path": "0.1"}') is None
    assert opened("task.requested", f"run.{RUN}", RUN, '{"path": 1}') is None
    assert opened("task.requested", f"run.{RUN}", RUN, None) is None
