"""Freeing payloads, and forgetting whole runs, on a log of each kind."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore.blobs import BlobStore
from twelvefold.eventstore.event import NewEvent, new_event
from twelvefold.eventstore.forgetting import STEP_EVENTS, Forgetting, check_forgettable, forks_of, marks_of
from twelvefold.eventstore.forgotten import (
    DONE,
    REQUESTED,
    RunForgotten,
    RunNotForgettable,
    RunUnknown,
    forgotten,
    refuse_forgotten,
)
from twelvefold.eventstore.integrity import verify
from twelvefold.eventstore.log import Append, EventLog
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog

RUN, FORK, OTHER = "a" * 32, "b" * 32, "c" * 32


class Ids:
    """Ids that count up."""

    def __init__(self) -> None:
        self.last = 0

    def event(self, type: str, data: Any, **fields: Any) -> NewEvent:
        self.last += 1
        return new_event(type, data, id=self.last.to_bytes(16, "big"), **fields)


ids = Ids()


def add_run(log: EventLog, run: str = RUN, *, facts: int = 3, blob: str = "", end: str = "run.succeeded") -> None:
    """Append a run with so many facts of a task, one that names a blob, and an end."""
    held = {"value": {"blob": blob, "size": 3}} if blob else {}
    task = f"task.{run}.0"
    told = [ids.event("task.progressed", {"n": n, "secret": "hush"}, stream=task, run=run) for n in range(facts)]
    events = [
        ids.event("run.requested", {"plan": {}, "secret": "hush"}, stream=f"run.{run}", run=run),
        *told,
        ids.event("task.succeeded", {"secret": "hush", **held}, stream=task, run=run),
        ids.event("delivery.parked", {"error": "hush"}, stream="group.q", run=run),
        ids.event("cite.found", {"kept": "by its own stream"}, stream="cite.1", run=run),
        ids.event("task.noted", {"secret": "hush"}, stream=task),
        ids.event("human.answered", {"answer": "hush"}, stream=f"request.{run}", run=run),
    ]
    if end:
        events.append(ids.event(end, {"reason": "hush"}, stream=f"run.{run}", run=run))
    log.append(Append(events=events))


def ask(log: EventLog, *runs: str) -> None:
    """Ask for runs to be forgotten, as the bus takes such a request."""
    for run in runs:
        check_forgettable(log, run, runs)
    wishes = [ids.event(REQUESTED, {"outcome": "succeeded"}, stream=f"request.{run}", run=run) for run in runs]
    log.append(Append(events=wishes, marks=marks_of(log, wishes)))


def carry_out(log: EventLog, blobs: BlobStore | None = None, *, most: int = 10**6) -> int:
    """Take steps until all is forgotten, at most so many; return how many were taken."""
    forgetting, steps = Forgetting(log, blobs), 0
    while forgetting.pending and steps < most:
        append, committed = forgetting.step()
        log.append(append)
        committed()
        steps += 1
    return steps


def left(log: EventLog, run: str = RUN) -> list[str]:
    """The types of a run's events that still have a payload."""
    return [event.type for event in log.read(run=run, limit=10**6) if event.payload is not None]


def test_freed_payloads_are_gone_and_everything_else_stays(log: EventLog, fact: Any) -> None:
    """Only the payload of an event is freed; header, hashes, and the ids that tell a repetition, stay."""
    first = log.append(Append(events=[fact("a.b", '{"n":1}'), fact("a.b", '{"n":2}')]))
    log.append(Append(frees=[1, 1, 77]))
    freed, other = log.read()
    assert freed.payload is None
    assert freed.data is None
    assert other == first.events[1]
    assert (freed.id, freed.hash, freed.data_hash, freed.version) == (
        first.events[0].id, first.events[0].hash, first.events[0].data_hash, 1)  # fmt: skip
    assert log.event_of(freed.id) == freed == log.read(stream="a")[0]
    again = log.append(Append(events=[fact("a.b", '{"n":1}', id=freed.id)]))
    assert (again.fresh, again.events) == (False, [freed])


def test_what_is_freed_commits_with_the_events_beside_it(log: EventLog, fact: Any) -> None:
    """An append that is refused frees nothing."""
    log.append(Append(events=[fact(payload='"here"')]))
    (refused,) = log.append_many([Append(events=[fact()], expected_version={"demo": 7}, frees=[1])])
    assert isinstance(refused, Exception)
    assert log.read()[0].payload == '"here"'


def test_forgetting_frees_a_runs_own_payloads(log: EventLog) -> None:
    """What stands in its streams, or tells of it, goes; what its agents emitted elsewhere and other runs stay."""
    add_run(log, facts=3 * STEP_EVENTS)
    add_run(log, OTHER)
    before = [(event.position, event.hash) for event in log.read(limit=10**6)]
    ask(log, RUN)
    assert forgotten(log, RUN) is not None
    carry_out(log)
    assert left(log) == ["cite.found", REQUESTED, DONE]
    assert len(left(log, OTHER)) == len(log.read(run=OTHER))
    assert [(event.position, event.hash) for event in log.read(limit=len(before))] == before
    found = forgotten(log, RUN)
    assert found is not None
    assert (found.done, found.facts) == (True, {"outcome": "succeeded"})
    assert found.freed["payloads"] == 3 * STEP_EVENTS + 6
    assert log.marks("forget/") == {}


@pytest.mark.parametrize("cut", range(6))
def test_whoever_is_killed_on_the_way_changes_nothing(cut: int, tmp_path: Path) -> None:
    """After a death at any step the next owner of the log goes on, and ends with the same log and the same figures."""
    content = b"[1]"
    blob = hashlib.sha256(content).hexdigest()
    ends = []
    for most in (cut, 10**6):
        log, blobs = MemoryLog(clock=lambda: 1), BlobStore(tmp_path / f"blobs-{most}")
        ids.last = 0
        blobs.offer("agent", content)
        blobs.admit("agent", f'{{"blob":"{blob}"}}')
        add_run(log, facts=2 * STEP_EVENTS, blob=blob)
        ask(log, RUN)
        carry_out(log, blobs, most=most)
        carry_out(log, blobs)
        assert list(blobs.stored()) == []
        ends.append(log.read(limit=10**6))
    assert ends[0] == ends[1]


def test_a_blob_that_another_event_names_stays(tmp_path: Path) -> None:
    """A blob goes with the last event that names it."""
    log, blobs = SqliteLog(tmp_path / "log.db"), BlobStore(tmp_path / "blobs")
    blob = blobs.offer("agent", b"[1]")
    blobs.admit("agent", f'{{"blob":"{blob}"}}')
    for run in (RUN, OTHER):
        add_run(log, run, blob=blob)
    ask(log, RUN)
    carry_out(log, blobs)
    assert blobs.read(blob) == b"[1]"
    ask(log, OTHER)
    carry_out(log, blobs)
    assert list(blobs.stored()) == []
    found = forgotten(log, OTHER)
    assert found is not None
    assert (found.freed["blobs"], found.freed["blob_bytes"]) == (1, 3)
    log.close()


def test_a_run_that_is_needed_is_refused(log: EventLog) -> None:
    """An open run, one that isn't there, and one whose fork lives, which reads its events."""
    add_run(log, OTHER, end="")
    with pytest.raises(RunNotForgettable, match="has not ended"):
        check_forgettable(log, OTHER)
    with pytest.raises(RunUnknown):
        check_forgettable(log, FORK)
    add_run(log)
    forked = [ids.event("run.forked", {"parent": RUN, "at": 2}, stream=f"run.{FORK}", run=FORK)]
    log.append(Append(events=forked, marks=marks_of(log, forked)))
    log.append(Append(events=[ids.event("run.failed", {}, stream=f"run.{FORK}", run=FORK)]))
    assert forks_of(log, RUN) == [FORK]
    with pytest.raises(RunNotForgettable) as caught:
        check_forgettable(log, RUN)
    assert f"twelvefold forget {FORK} {RUN}" in caught.value.help()
    check_forgettable(log, RUN, together=[FORK, RUN])
    ask(log, FORK)
    check_forgettable(log, RUN)


def test_who_needs_what_is_gone_is_told(log: EventLog) -> None:
    """The error names the run and what it cannot do any more; any other run passes."""
    add_run(log)
    refuse_forgotten(log, RUN, "be replayed")
    ask(log, RUN)
    with pytest.raises(RunForgotten, match=f"run {RUN} was forgotten .* cannot be replayed"):
        refuse_forgotten(log, RUN, "be replayed")


def test_what_is_forgotten_stands_nowhere_on_the_disk(tmp_path: Path) -> None:
    """Freed payloads are neither in the log's file nor beside it; written anew, the file is smaller, and verifies."""
    log = SqliteLog(tmp_path / "log.db")
    add_run(log, facts=3000)
    ask(log, RUN)
    carry_out(log)
    while not log.wipe():
        # The thread that checkpoints may be at it.
        pass
    size = (tmp_path / "log.db").stat().st_size
    log.compact()
    assert b"hush" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert (tmp_path / "log.db").stat().st_size < size
    log.append(Append(events=[ids.event("demo.happened", 1)]))
    with LogReader(tmp_path / "log.db") as reader:
        assert verify(reader).forgotten == 3006
    log.close()
