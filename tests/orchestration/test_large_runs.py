"""Values too large for an event, through a whole run: deciders see them whole, the log holds references."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from twelvefold.eventstore.check import PAYLOAD_SIZE_MAX
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.large_values import LOADED_BYTES_MAX, inflate, is_reference
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.large_decisions import APPEND_SIZE_MAX, shrunk
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Retry, Task, plan_data
from twelvefold.orchestration.redecide import redecide
from twelvefold.orchestration.result import result_of
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.scatter_gather import ScatterGather
from twelvefold.orchestration.submit import run_request

BIG = 3 << 20
GONE = {"blob": "0" * 64, "size": BIG}
HUGE = {"blob": "1" * 64, "size": LOADED_BYTES_MAX + 1}


def big(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Answer with a commit and three megabytes."""
    return "task.succeeded", {"value": {"commit": "c0ffee", "log": "x" * BIG}, "evidence": []}


def echo(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Answer with the input."""
    return "task.succeeded", {"value": data["input"], "evidence": []}


def refused(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Fail, with a large account of it."""
    return "task.failed", {"reason": "as told", "error": ["e" * BIG]}


AGENTS = {"big": big, "echo": echo, "refused": refused}


def events_of(here: Any) -> list[Any]:
    found: list[Any] = here.log.read(run="0190a0b0c0d0e0f00000000000000001", limit=10**6)
    return found


def redecided(here: Any) -> None:
    """Deciding again over the recorded inputs says what was recorded, whichever way it is held."""
    for remember in (True, False):
        found = redecide("0190a0b0c0d0e0f00000000000000001", events_of(here), load=here.load, remember=remember)
        assert found.agrees, found
        assert found.decisions > 3
        assert not found.older


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_keys_and_values_of_large_results(world: Any, seed: int | None) -> None:
    """A field of a large value is found, a value made of large ones is passed on whole, and the end tells all."""
    here = world(AGENTS, seed=seed)
    steps = [
        Task("big", name="fix"),
        Task("echo", {"$from": "fix", "key": "commit"}, name="commit"),
        Task("echo", [{"$from": "fix"}, {"$from": "fix"}, {"$from": "commit"}]),
    ]
    here.submit(Pipeline(steps))
    here.settle_down() if seed is None else here.storm(60)
    fix = {"commit": "c0ffee", "log": "x" * BIG}
    assert here.end()["value"] == [fix, fix, "c0ffee"]
    assert all(len(event.payload) <= PAYLOAD_SIZE_MAX for event in events_of(here))
    told = result_of("0190a0b0c0d0e0f00000000000000001", events_of(here), here.load)
    assert told.value == [fix, fix, "c0ffee"]
    assert [task.value for task in told.tasks] == [fix, "c0ffee", [fix, fix, "c0ffee"]]
    assert is_reference(result_of("0190a0b0c0d0e0f00000000000000001", events_of(here)).value)
    redecided(here)


@pytest.mark.parametrize("seed", [None, 4, 5])
def test_large_inputs_plans_and_failures(world: Any, seed: int | None) -> None:
    """A plan, an input and an error beyond an event's size are as good as small ones, retries and undoing included."""
    here = world(AGENTS, seed=seed)
    undo = Task("echo", {"was": {"$from": "first", "key": "log"}})
    plan = Saga(
        [
            Task("big", ["p" * BIG], name="first", undo=undo),
            Task("refused", {"$from": "input"}, retry=Retry(attempts_max=2, backoff_s=0.1)),
        ]
    )
    here.submit(plan, input={"text": "i" * BIG})
    here.settle_down() if seed is None else here.storm(80)
    end = here.end()
    assert (end["outcome"], end["reason"], end["error"], end["undone"]) == ("failed", "as told", ["e" * BIG], ["0.0"])
    asked = {event.data["path"]: here.load(event.data) for event in events_of(here) if event.type == "task.requested"}
    assert asked["0.0"]["input"] == ["p" * BIG]
    assert asked["0.1"]["input"] == {"text": "i" * BIG}
    assert asked["0.0.undo"]["input"] == {"was": "x" * BIG}
    redecided(here)


def test_a_plan_that_a_task_answers_with_may_be_large(world: Any) -> None:
    """A plan of many tasks in an answer becomes the task's subtree."""
    plan = plan_data(ForkJoin([Task("echo", "y" * 6_000) for _ in range(200)]))
    here = world({**AGENTS, "planner": lambda _: ("task.planned", {"plan": plan})})
    here.submit(Task("planner"))
    here.settle_down()
    assert here.end()["value"] == ["y" * 6_000] * 200


def test_a_run_request_of_any_size(world: Any) -> None:
    """A request whose plan and input are each too large for an event is one that the log takes, the same each time."""
    here = world(AGENTS)
    plan = ForkJoin([Task("echo", f"{n:0300}") for n in range(5_000)])
    request = run_request("a" * 32, plan, input="i" * BIG, put=here.put)
    assert len(request.payload) < 1000
    assert request == run_request("a" * 32, plan, input="i" * BIG, put=here.put)
    assert len(run_request("a" * 32, plan).payload) > PAYLOAD_SIZE_MAX
    assert inflate(msgspec.json.decode(request.payload), here.blobs.get)["input"] == "i" * BIG


@pytest.mark.parametrize("reference", [GONE, HUGE])
def test_what_cannot_be_loaded_is_passed_on_and_never_guessed(world: Any, reference: dict[str, Any]) -> None:
    """A value whose blob is gone, or too large to load, goes to the next task as it is; nobody looks into it."""
    here = world({**AGENTS, "lost": lambda _: ("task.succeeded", {"value": reference})})
    here.submit(Pipeline([Task("lost", name="lost"), Task("echo", {"$from": "lost"})]))
    here.settle_down()
    assert here.end()["value"] == reference

    here = world({**AGENTS, "lost": lambda _: ("task.succeeded", {"value": reference})})
    wanted = {"$from": "lost", "key": "size", "default": "never"}
    here.submit(Pipeline([Task("lost", name="lost"), Task("echo", wanted)]))
    here.settle_down()
    end = here.end()
    assert (end["outcome"], end["reason"]) == ("failed", "reference")
    assert "'size'" in end["error"]
    assert reference["blob"] in end["error"]
    assert ("more than" in end["error"]) == (reference is HUGE)


def test_an_answer_that_cannot_be_read_has_no_score(world: Any) -> None:
    """Nothing is judged by what a reference says of itself, however well that would do."""
    here = world({**AGENTS, "lost": lambda _: ("task.succeeded", {"value": GONE})})
    here.submit(ScatterGather(["lost", "echo"], {"size": 1, "is": "known"}, gather="best(size)"))
    here.settle_down()
    assert here.end()["value"]["value"] == {"size": 1, "is": "known"}


def test_a_compensation_is_not_given_null_for_what_cannot_be_read(world: Any) -> None:
    """Undoing rests for a human where what it needs is there but unreadable: null would mean nothing to undo."""
    here = world({**AGENTS, "lost": lambda _: ("task.succeeded", {"value": GONE})})
    here.submit(Saga([Task("lost", name="lost", undo=Task("echo", {"$from": "lost", "key": "ref"})), Task("refused")]))
    here.settle_down()
    end = here.end()
    assert (end["outcome"], end["undone"], end["not_undone"]) == ("needs_human", [], ["0.0"])
    assert "task.requested 0.0.undo" not in here.told()
    failed = next(event for event in events_of(here) if event.type == "task.failed" and event.seen)
    assert "there is no looking for 'ref'" in failed.data["error"]


def test_a_lost_plan_fails_the_run_in_words(world: Any) -> None:
    """A run whose plan was a blob that is gone fails, and says so; others go on."""
    here = world(AGENTS)
    here.submit(GONE)
    here.submit(Task("echo", 1), run="b" * 32)
    here.settle_down()
    end = here.end()
    assert (end["outcome"], end["reason"]) == ("failed", "plan")
    assert "which is missing, damaged or no JSON" in end["error"]
    assert here.end("b" * 32)["value"] == 1


def test_blobs_that_go_while_a_run_is_open_do_not_stop_the_orchestrator(world: Any) -> None:
    """Everything that was held as a blob is lost between two orchestrators: the run ends truthfully."""
    here = world(AGENTS)
    here.submit(Pipeline([Task("big", name="fix"), Task("echo"), Task("echo", {"$from": "fix", "key": "commit"})]))
    for _ in range(3):
        here.feed()
        here.flush()
        here.work()
        if any(event.type == "task.succeeded" for event in here.log.read(limit=10**6)):
            break
    here.blobs.clear()
    here.kill()
    here.settle_down()
    end = here.end()
    assert (end["outcome"], end["reason"]) == ("failed", "reference")
    assert "which is missing" in end["error"]


def test_an_append_larger_than_a_message_is_made_to_fit() -> None:
    """Many requests that are each small enough, but not together, go into one append as references."""
    blobs: dict[str, bytes] = {}

    def put(content: bytes) -> str:
        blobs[str(len(blobs)).zfill(64)] = content
        return str(len(blobs) - 1).zfill(64)

    events = [new_event("task.requested", {"path": f"0.{n}", "input": "x" * 20_000}) for n in range(1000)]
    small = shrunk(events, put)
    assert sum(len(event.payload) for event in small) <= APPEND_SIZE_MAX
    assert [msgspec.json.decode(event.payload)["path"] for event in small] == [f"0.{n}" for n in range(1000)]
    assert 300 < len(blobs) < 500
    few = events[:10]
    assert shrunk(few, put) is few


def test_a_run_that_holds_too_much_is_stopped_and_undone(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one run may hold in memory is bounded, so that it can't end the others; after a restart as before it."""
    monkeypatch.setattr("twelvefold.orchestration.turn.HELD_SIZE_MAX", 8 << 20)
    monkeypatch.setattr("twelvefold.orchestration.decider.HELD_SIZE_MAX", 8 << 20)
    for seed in (None, 1, 2):
        here = world(AGENTS, seed=seed)
        here.submit(Saga([Task("big", undo=Task("echo")) for _ in range(4)]))
        here.settle_down() if seed is None else here.storm(40)
        end = here.end()
        assert (end["outcome"], end["reason"]) == ("failed", "budget")
        assert "one run may hold 8388608" in end["error"]
        assert end["undone"] == ["0.0", "0.1", "0.2"]
        assert here.told().count("task.requested 0.3") == 0
        redecided(here)
