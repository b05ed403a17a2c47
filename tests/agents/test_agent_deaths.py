"""Agents that die, stop or hang in the middle of a task: another takes over, and nothing happens twice."""

from __future__ import annotations

import os
import signal

import pytest

from tests.agents.conftest import Crew
from tests.conftest import eventually, stopped
from twelvefold.agents.working import BROKEN

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("supervised", [True, False])
def test_another_instance_takes_over_and_repeats_no_recorded_effect(crew: Crew, supervised: bool) -> None:
    """kill -9 inside the second effect: the first is served, the second (idempotent, in doubt) repeated."""
    first = crew.start("Worker", supervised=supervised)
    request = crew.request("worker", {"do": "steps", "effect": "idempotent"})
    eventually(crew.waiting)
    second = crew.start("Worker", supervised=supervised)
    os.killpg(first.process.pid, signal.SIGKILL)
    if supervised:
        crew.buried(first)
    outcome = crew.outcome(request)
    assert (outcome.type, outcome.source) == ("task.succeeded", second.instance)
    assert crew.lines() == ["one", "two", "two", "three"]
    facts = [(event.type, event.source) for event in crew.events(request) if event.type.startswith("effect.")]
    one, two = first.instance, second.instance
    assert facts == [
        ("effect.intended", one),
        ("effect.completed", one),
        ("effect.intended", one),
        ("effect.intended", two),
        ("effect.completed", two),
        ("effect.intended", two),
        ("effect.completed", two),
    ]
    assert [e.data["delivery"] for e in crew.events(request) if e.type == "task.started"] == [1, 2]


def test_an_effect_that_must_happen_once_goes_to_a_human_when_in_doubt(crew: Crew) -> None:
    """kill -9 inside a `once` effect: it isn't repeated, the task needs a human, and the doubt is in the log."""
    first = crew.start("Worker")
    request = crew.request("worker", {"do": "steps", "effect": "once"})
    eventually(crew.waiting)
    crew.start("Worker")
    first.process.kill()
    crew.buried(first)
    outcome = crew.outcome(request)
    assert (outcome.type, outcome.data["reason"]) == ("task.needs_human", "in_doubt")
    assert crew.lines() == ["one", "two"]
    assert [e.data["parameters"] for e in crew.events(request) if e.type == "effect.in_doubt"] == [{"line": "two"}]


def test_a_stopped_agent_is_killed_before_its_task_moves(crew: Crew) -> None:
    """SIGSTOP in the middle of a task: the supervisor is asked to kill it first, so two never hold one task."""
    first = crew.start("Worker")
    request = crew.request("worker", {"do": "steps", "effect": "idempotent"})
    eventually(crew.waiting)
    second = crew.start("Worker")
    first.process.send_signal(signal.SIGSTOP)
    outcome = crew.outcome(request)
    assert crew.kills == [first.instance]
    assert first.process.poll() == -signal.SIGKILL
    assert outcome.source == second.instance


def test_the_late_settle_of_an_agent_taken_for_dead_is_refused(crew: Crew) -> None:
    """An unsupervised agent that wakes after its lease can neither record effects nor settle; one outcome stands."""
    first = crew.start("Worker", supervised=False)
    request = crew.request("worker", {"do": "steps", "effect": "idempotent"})
    eventually(crew.waiting)
    with stopped(first.process.pid):
        second = crew.start("Worker", supervised=False)
        assert crew.outcome(request).source == second.instance
        crew.go()
    eventually(lambda: "dropped" in first.log() or "can't be settled" in first.log())
    assert [event.source for event in crew.outcomes(request)] == [second.instance]
    late = [
        e for e in crew.events(request) if e.source == first.instance and e.position > crew.outcome(request).position
    ]
    assert late == []


def test_a_handler_that_holds_every_thread_is_killed_and_its_task_moves(crew: Crew) -> None:
    """A regular expression without end stops the heartbeat too: the process is killed, another does the task."""
    first = crew.start("Worker")
    request = crew.request("worker", {"do": "backtrack"})
    eventually(crew.waiting)
    second = crew.start("Worker")
    outcome = crew.outcome(request)
    assert crew.kills == [first.instance]
    assert (outcome.type, outcome.source) == ("task.succeeded", second.instance)


def test_what_no_handler_should_raise_ends_the_process_not_the_task(crew: Crew) -> None:
    """KeyboardInterrupt and the like are no outcome: the process ends, visibly, and another does the task."""
    first = crew.start("Worker")
    request = crew.request("worker", {"do": "interrupt"})
    assert first.process.wait(20) == BROKEN
    assert "KeyboardInterrupt" in first.log()
    crew.buried(first)
    second = crew.start("Worker")
    assert crew.outcome(request).source == second.instance


def test_a_task_whose_holders_all_die_is_parked(crew: Crew) -> None:
    """After the allowed attempts the delivery is parked by an event, and other tasks go on."""
    request = crew.request("worker", {"do": "wait"})
    for _ in range(2):
        (crew.folder / "waiting").unlink(missing_ok=True)
        agent = crew.start("Worker")
        eventually(crew.waiting)
        agent.process.kill()
        crew.buried(agent)
    parked = eventually(lambda: list(crew.orchestrator.read(type="delivery.parked")))
    assert parked[0].data["event"] == request.id.hex()
    agent = crew.start("Worker")
    assert crew.outcome(crew.request("worker", {"do": "nothing"})).source == agent.instance
    assert crew.outcomes(request) == []
