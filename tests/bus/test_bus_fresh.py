"""What a delivery says of the stream that it opens: whether there is anything to read in it."""

from __future__ import annotations

from typing import Any

from twelvefold.eventstore.event import NewEvent, new_event

RUN = "0" * 31 + "1"


def test_a_delivery_tells_whether_something_was_recorded_before(bus_home: Any) -> None:
    """Nothing was at the first; what a holder wrote before it gave up is seen by the next, over a restart too."""
    orchestrator = bus_home.client(role="orchestrator")
    data = {"path": "0", "agent": "worker", "input": None, "attempt": 1}
    orchestrator.emit("task.requested", data, stream=f"run.{RUN}", run=RUN, to="worker")
    worker = bus_home.client(role="agent", instance="first")
    deliveries = worker.consume("worker")
    delivery = next(deliveries)
    assert (delivery.fresh, delivery.attempt) == (True, 1)
    worker.fail(delivery, "not begun", retry_in_s=0.0)
    delivery = next(deliveries)
    assert (delivery.fresh, delivery.attempt) == (True, 2)
    worker.emit_many([NewEvent(type="task.started", stream=f"task.{RUN}.0", run=RUN)])
    worker.fail(delivery, "given up", retry_in_s=0.0)
    delivery = next(deliveries)
    assert (delivery.fresh, delivery.attempt) == (False, 3)
    worker.close()
    bus_home.restart()
    again = next(bus_home.client(role="agent", instance="second").consume("worker"))
    assert not again.fresh


def test_a_delivery_that_opens_no_stream_is_never_fresh(bus_home: Any) -> None:
    """Plain events have no task's stream that could be empty."""
    client = bus_home.client()
    client.emit_many([new_event("work.wanted", 1, to="worker")])
    assert not next(bus_home.client().consume("worker")).fresh
