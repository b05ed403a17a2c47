"""Reading a run: everything of it, in order, through forks of forks."""

from __future__ import annotations

from typing import Any

import pytest

from twelvefold.eventstore.log import Append, EventLog
from twelvefold.eventstore.run import parts_of, read_run
from twelvefold.eventstore.storage_errors import CorruptLog

A, B, C = "a" * 32, "b" * 32, "c" * 32


def test_a_run_is_its_streams_and_whatever_carries_its_id(log: EventLog, fact: Any) -> None:
    """Run, task and request streams and events with the run's id come in the order of positions, each once."""
    log.append_many([
        Append(events=[event])
        for event in (
            fact("run.requested", stream=f"run.{A}"),
            fact("run.requested", stream=f"run.{B}"),
            fact("task.started", stream=f"task.{A}.0.1", run=A),
            fact("run.cancel_requested", stream=f"request.{A}"),
            fact("effect.completed", stream=f"task.{A}.0"),
            fact("task.started", stream=f"task.{B}.0", run=B),
            fact("demo.happened", run=A),
            fact("run.started", stream=f"run.{A}", run=A),
        )
    ])  # fmt: skip
    assert [event.position for event in read_run(log, A)] == [1, 3, 4, 5, 7, 8]
    assert [event.position for event in read_run(log, A, until=4)] == [1, 3, 4]
    assert list(read_run(log, C)) == []


def test_a_fork_begins_with_its_parents_part(log: EventLog, fact: Any) -> None:
    """The parent's events up to the cut come first, recursively; what the parent did later does not."""

    def run(id: str, count: int) -> None:
        log.append(Append(events=[fact("task.requested", stream=f"run.{id}", run=id) for _ in range(count)]))

    run(A, 3)
    log.append(Append(events=[fact("run.forked", f'{{"parent": "{A}", "at": 2}}', stream=f"run.{B}")]))
    run(A, 1)
    run(B, 2)
    log.append(Append(events=[fact("run.forked", f'{{"parent": "{B}", "at": 6}}', stream=f"run.{C}")]))
    run(B, 1)
    run(C, 1)
    assert [event.position for event in read_run(log, B)] == [1, 2, 4, 6, 7, 9]
    assert [event.position for event in read_run(log, C)] == [1, 2, 4, 6, 8, 10]


def test_a_fork_as_of_before_it_was_forked_is_what_its_parent_was(log: EventLog, fact: Any) -> None:
    """Also between the cut and the fork's own beginning, where the parent's later events are none of it."""
    log.append(Append(events=[fact("run.requested", stream=f"run.{A}", run=A) for _ in range(4)]))
    log.append(Append(events=[fact("run.forked", f'{{"parent": "{A}", "at": 2}}', stream=f"run.{B}", run=B)]))
    log.append(Append(events=[fact("run.forked", f'{{"parent": "{B}", "at": 1}}', stream=f"run.{C}", run=C)]))
    read = {until: [event.position for event in read_run(log, B, until=until)] for until in range(7)}
    assert read == {0: [], 1: [1], 2: [1, 2], 3: [1, 2], 4: [1, 2], 5: [1, 2, 5], 6: [1, 2, 5]}
    assert [event.position for event in read_run(log, C)] == [1, 6]
    assert [(part.run, part.until, part.first) for part in parts_of(log, C, 6)] == [(C, 6, 6), (B, 1, 5), (A, 1, 1)]


def test_forks_of_each_other_have_an_end(log: EventLog, fact: Any) -> None:
    """A parent that begins after its fork is none; one without events neither."""
    log.append(Append(events=[fact("demo.happened")]))
    log.append(Append(events=[fact("run.forked", f'{{"parent": "{B}", "at": 1}}', stream=f"run.{A}")]))
    log.append(Append(events=[fact("run.forked", f'{{"parent": "{A}", "at": 2}}', stream=f"run.{B}")]))
    log.append(Append(events=[fact("run.forked", f'{{"parent": "{"f" * 32}", "at": 2}}', stream=f"run.{C}")]))
    assert [event.position for event in read_run(log, A)] == [2]
    assert [event.position for event in read_run(log, B)] == [2, 3]
    assert [event.position for event in read_run(log, C)] == [4]


def test_a_long_run_is_read_in_pages(log: EventLog, fact: Any) -> None:
    """Longer than any page, spread over its streams."""
    for start in range(0, 2500, 500):
        streams = [f"run.{A}", f"task.{A}.0", f"task.{A}.1", "demo"]
        log.append(
            Append(events=[fact(stream=streams[n % 4], run=A if n % 3 else "") for n in range(start, start + 500)])
        )
    expected = [n + 1 for n in range(2500) if n % 4 != 3 or n % 3]
    assert [event.position for event in read_run(log, A)] == expected


def test_a_fork_of_the_future_is_corrupt(log: EventLog, fact: Any) -> None:
    """A run that claims to be forked after its own beginning would never end."""
    log.append(Append(events=[fact("run.forked", f'{{"parent": "{A}", "at": 9}}', stream=f"run.{A}")]))
    with pytest.raises(CorruptLog, match="forked at position 9"):
        list(read_run(log, A))
