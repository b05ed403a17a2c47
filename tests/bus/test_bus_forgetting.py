"""Forgetting runs through the bus, which may be killed at any moment of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from twelvefold.bus.client import BusClient
from twelvefold.bus.errors import ReservedFamily
from twelvefold.eventstore.event import NewEvent, new_event
from twelvefold.eventstore.forgotten import DONE, REQUESTED, RunForgotten, RunNotForgettable, forgotten
from twelvefold.eventstore.integrity import verify_home

from ..conftest import eventually

RUN, FORK = "a" * 32, "b" * 32
FACTS = 4000


def make_run(bus_home: Any, run: str = RUN, *, ended: bool = True) -> BusClient:
    """Write a run with a blob; return the orchestrator's client."""
    client: BusClient = bus_home.client(role="orchestrator", instance="orchestrator.1")
    client.emit("run.requested", {"secret": "hush"}, stream=f"run.{run}", run=run)
    blob = client.blobs.put(b'"hush"')
    held = {"value": {"blob": blob, "size": 6}}
    for n in range(FACTS):
        client.emit_soon(new_event("task.requested", {"n": n, "secret": "hush"}, stream=f"run.{run}", run=run))
    client.emit_soon(new_event("task.parked", held, stream=f"run.{run}", run=run))
    if ended:
        client.emit_soon(new_event("run.succeeded", {"value": "hush"}, stream=f"run.{run}", run=run))
    client.flush()
    return client


def wish(run: str = RUN) -> NewEvent:
    """The request to forget a run."""
    return new_event(REQUESTED, {"outcome": "succeeded"}, stream=f"request.{run}", run=run)


def is_done(client: BusClient, run: str = RUN) -> bool:
    found = forgotten(client, run)
    return found is not None and found.done


@pytest.mark.parametrize("deaths", [0, 3])
def test_a_run_is_forgotten_although_the_bus_dies_meanwhile(bus_home: Any, deaths: int) -> None:
    """kill -9 on the way, again and again: the next bus goes on, and the end is the same to the byte."""
    make_run(bus_home)
    client = bus_home.client(instance="asker")
    client.emit_many([wish()])
    for _ in range(deaths):
        bus_home.restart()
    eventually(lambda: is_done(client))
    eventually(lambda: not client.stats()["forgetting"]["busy"])
    assert {event.type for event in client.read(run=RUN) if event.payload is not None} == {REQUESTED, DONE}
    found = forgotten(client, RUN)
    assert found is not None
    assert (found.by, found.facts["outcome"]) == ("asker", "succeeded")
    assert (found.freed["payloads"], found.freed["blobs"]) == (FACTS + 3, 1)
    sha256 = hashlib.sha256(b'"hush"').hexdigest()
    assert not (bus_home.home / "blobs" / sha256[:2] / sha256).exists()
    bus_home.kill(15)
    left = b"".join(file.read_bytes() for file in Path(bus_home.home).glob("log.db*"))
    assert b"hush" not in left
    assert verify_home(bus_home.home).forgotten == FACTS + 3


def test_others_are_served_while_a_run_is_forgotten(bus_home: Any) -> None:
    """Between two steps of it the bus answers: an event is appended before the run is done with."""
    make_run(bus_home)
    client = bus_home.client()
    client.emit_many([wish()])
    served = client.emit("demo.happened", 1)
    done = next(iter(client.watch(DONE, after=0)))
    assert served.position < done.position


def test_what_may_not_be_forgotten_is_refused(bus_home: Any) -> None:
    """An open run, and the parent of a fork that lives; nobody but the bus says that a run was forgotten."""
    make_run(bus_home, ended=False)
    client = bus_home.client()
    with pytest.raises(RunNotForgettable, match="has not ended"):
        client.emit_many([wish()])
    with pytest.raises(ReservedFamily):
        client.emit(DONE, {}, stream=f"request.{RUN}", run=RUN)
    with pytest.raises(ReservedFamily):
        bus_home.client(role="agent", instance="agent.1").emit_many([wish()])
    orchestrator = bus_home.client(role="orchestrator", instance="orchestrator.2")
    orchestrator.emit("run.failed", {}, stream=f"run.{RUN}", run=RUN)
    client.emit("run.forked", {"parent": RUN, "at": 3}, stream=f"run.{FORK}", run=FORK)
    orchestrator.emit("run.cancelled", {}, stream=f"run.{FORK}", run=FORK)
    with pytest.raises(RunNotForgettable) as caught:
        client.emit_many([wish()])
    assert list(caught.value.forks) == [FORK]
    client.emit_many([wish(), wish(FORK)])
    for type, stream in (("run.forked", f"run.{'c' * 32}"), ("run.rollback_requested", f"request.{RUN}")):
        with pytest.raises(RunForgotten):
            client.emit(type, {"parent": RUN, "at": 3}, stream=stream, run=stream.rpartition(".")[2])
