"""The orchestrator as a process on a real bus: starting, following, stopping, many runs, refusals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from twelvefold.bus.client import BusClient
from twelvefold.eventstore.errors import TwelvefoldError
from twelvefold.eventstore.event import new_event
from twelvefold.orchestration.errors import PlanInvalid, RunNotFound, RunWaitTimedOut
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Retry, Task
from twelvefold.orchestration.saga import Saga
from twelvefold.orchestration.submit import answer, cancel, follow, new_run_id, result, submit, wait

ORCHESTRATOR = """
import sys
from pathlib import Path
from twelvefold.bus.endpoints import endpoints
from twelvefold.orchestration.process import main
home, runtime = map(Path, sys.argv[1:])
sys.exit(main(endpoints(home, runtime), home, ready=lambda: print("ready", flush=True)))
"""
Handler = Callable[[dict[str, Any]], tuple[str, dict[str, Any]] | None]


@pytest.fixture
def orchestrator(bus_home: Any) -> Iterator[subprocess.Popen[str]]:
    """A running orchestrator, asked to stop at the end."""
    process = start(bus_home)
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stdout is not None
    process.stdout.close()


def start(bus_home: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ORCHESTRATOR, str(bus_home.home), str(bus_home.runtime)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def agent(bus_home: Any) -> Iterator[Callable[[str, Handler], None]]:
    """Start agents: threads with a client each, that answer the tasks of a queue; None leaves a task open."""
    clients: list[BusClient] = []
    threads: list[threading.Thread] = []

    def work(client: BusClient, queue: str, handler: Handler) -> None:
        for delivery in client.consume(queue, credit=8):
            event = delivery.event
            data = event.data
            outcome = handler(data)
            if outcome is not None:
                stream = f"task.{event.run}.{data['path']}"
                client.settle(delivery, [new_event(*outcome, stream=stream, run=event.run, cause=event.id)])

    def begin(queue: str, handler: Handler) -> None:
        client = bus_home.client(role="agent", instance=f"{queue}.1")
        clients.append(client)
        threads.append(threading.Thread(target=work, args=(client, queue, handler)))
        threads[-1].start()

    yield begin
    for client in clients:
        client.stop()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def good(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "task.succeeded", {"value": data["input"], "evidence": [{"kind": "value", "ref": data["path"]}]}


def test_a_pipeline_from_end_to_end(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """A submitted plan is run by its agents, and its result can be waited for and read again."""
    agent("echo", good)
    client = bus_home.client()
    plan = Pipeline([Task("echo", "a", name="a"), Task("echo", [{"$from": "a"}, {"$from": "input"}])])
    run = submit(client, plan, input=1, labels={"x": "y"})
    told = wait(client, run, 20)
    assert (told.outcome, told.value) == ("succeeded", ["a", 1])
    assert [task.outcome for task in told.tasks] == ["succeeded", "succeeded"]
    assert result(client, run) == told
    assert wait(client, run, 0.001) == told


def test_following_shows_every_event_once(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """Following a run yields its events from the first to the last, in order, each once."""
    client = bus_home.client()
    run = submit(client, Task("echo", 1))
    events = follow(client, run, 20)
    seen = [next(events)]
    agent("echo", good)
    seen += events
    assert [event.type for event in seen] == [
        "run.requested", "run.started", "task.requested", "task.succeeded", "run.succeeded",
    ]  # fmt: skip
    assert [event.position for event in seen] == [event.position for event in client.read(run=run)]


def test_a_chain_of_causes_leads_back_to_the_request(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """Every event of a run names the event that caused it, back to the request; decisions name what they had seen."""
    agent("echo", good)
    client = bus_home.client()
    run = submit(client, Pipeline([Task("echo"), Task("echo")]))
    wait(client, run, 20)
    events = {event.id: event for event in client.read(run=run)}
    for event in events.values():
        if event.type != "run.requested":
            cause = events[event.cause]
            assert cause.position < event.position
            assert event.seen in (0, cause.position)


def test_a_cancelled_run_is_undone(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """Cancelling withdraws what waits, undoes what was done, and ends the run as cancelled."""
    agent("good", good)
    client = bus_home.client()
    run = submit(client, Saga([Task("good", undo=Task("good")), Task("nobody")]))
    for event in follow(client, run, 20):
        if event.type == "task.requested" and event.to == "nobody":
            cancel(client, run, "enough")
    told = wait(client, run, 20)
    assert (told.outcome, told.reason, told.undone, told.not_undone) == ("cancelled", "enough", ("0.0",), ())
    assert client.stats()["groups"]["q/nobody"]["waiting"] == 0


def test_a_timeout_fires_and_is_retried(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """A task that nobody takes runs out of time, is tried again, and then fails the run for the reason timeout."""
    client = bus_home.client()
    retry = Retry(attempts_max=2, backoff_s=0.01)
    run = submit(client, Task("nobody", timeout_s=0.05, retry=retry))
    told = wait(client, run, 20)
    assert (told.outcome, told.reason, told.tasks[0].attempts) == ("failed", "timeout", 2)
    run = submit(client, Task("nobody"), timeout_s=0.05)
    assert wait(client, run, 20).reason == "timeout"


def test_what_was_withdrawn_is_refused(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """A cancelled step is undone only after its holder has let go, and the holder's late word is refused."""
    order: list[str] = []
    taken, let_go = threading.Event(), threading.Event()

    def slow(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if not data["undo"]:
            taken.set()
            let_go.wait(20)
        order.append("undo" if data["undo"] else "do")
        return good(data)

    holder = bus_home.client(role="agent", instance="slow.1")
    client = bus_home.client()
    run = submit(client, Saga([Task("slow", undo=Task("slow"))]))
    refused: list[TwelvefoldError] = []

    def work() -> None:
        for done, delivery in enumerate(holder.consume("slow"), 1):
            outcome = slow(delivery.event.data)
            stream = f"task.{run}.{delivery.event.data['path']}"
            try:
                holder.settle(delivery, [new_event(*outcome, stream=stream, run=run, cause=delivery.event.id)])
            except TwelvefoldError as error:
                refused.append(error)
            if done == 2:
                return

    thread = threading.Thread(target=work)
    thread.start()
    assert taken.wait(20)
    cancel(client, run, "too slow")
    for event in follow(client, run, 20):
        if event.type == "task.cancelled":
            let_go.set()
    thread.join(20)
    told = wait(client, run, 20)
    assert (told.outcome, told.reason, told.undone) == ("cancelled", "too slow", ("0.0",))
    assert order == ["do", "undo"]
    assert [type(error).__name__ for error in refused] == ["StaleDelivery"]
    types = [event.type for event in client.read(run=run)]
    assert types.index("delivery.withdrawn") < types.index("task.compensated")


def test_a_human_is_asked_and_answers(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """A run that needs a human comes back from wait; the answer resumes it."""

    def curious(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if not data.get("answers"):
            return "task.needs_human", {"reason": "which", "question": "A or B?"}
        return "task.succeeded", {"value": data["answers"][0]}

    agent("curious", curious)
    client = bus_home.client()
    run = submit(client, Task("curious"))
    told = wait(client, run, 20)
    assert (told.outcome, told.questions[0]["question"]) == ("needs_human", "A or B?")
    answer(client, run, "B")
    for event in follow(client, run, 20):
        last = event
    assert wait(client, run, 20).outcome in ("needs_human", "succeeded")
    while last.type != "run.succeeded":
        for event in follow(client, run, 20):
            last = event
    assert wait(client, run, 20).value == {"question": "A or B?", "answer": "B"}


def test_many_runs_at_once(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """Two hundred sagas in flight all end as they should."""
    for queue in ("a", "b", "c"):
        agent(queue, good)
    client = bus_home.client()
    plan = Saga(
        [Task("a", 1, name="a", undo=Task("a")), Task("b", {"$from": "a"}, undo=Task("b")), Task("c", pivot=True)]
    )
    runs = [submit(client, plan) for _ in range(200)]
    assert {wait(client, run, 60).outcome for run in runs} == {"succeeded"}


def test_the_same_submission_twice_is_one_run(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """A submission repeated with its id starts nothing new."""
    agent("echo", good)
    client = bus_home.client()
    run = new_run_id()
    assert submit(client, Task("echo", 1), run=run) == submit(client, Task("echo", 1), run=run)
    wait(client, run, 20)
    assert len([*client.read(type="run.requested")]) == 1


def test_refusals_come_in_words(bus_home: Any, orchestrator: Any) -> None:
    """An invalid plan, an unknown run and a wait that takes too long are each said with their own error."""
    client = bus_home.client()
    with pytest.raises(PlanInvalid):
        submit(client, Pipeline([]))
    with pytest.raises(RunNotFound):
        wait(client, "0" * 32, 1)
    run = submit(client, Task("nobody"))
    with pytest.raises(RunWaitTimedOut):
        wait(client, run, 0.05)
    with pytest.raises(RunWaitTimedOut):
        list(follow(client, run, 0.05))


def test_a_decision_that_the_log_refuses_fails_the_run_only(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """A run whose next request would nest deeper than a payload may fails with words; the orchestrator goes on."""
    deep: Any = "x" * 600_000
    for _ in range(198):
        deep = [deep]
    agent("deep", lambda _: ("task.succeeded", {"value": deep}))
    agent("good", good)
    client = bus_home.client()
    for input in ([[{"$from": "deep"}]], [[{"$from": "deep"}, {"$from": "deep"}]]):
        told = wait(client, submit(client, Pipeline([Task("deep", name="deep"), Task("good", input)])), 20)
        assert (told.outcome, told.reason) == ("failed", "undecidable")
    assert wait(client, submit(client, Task("good", 1)), 20).value == 1


def test_two_orchestrators_do_no_harm(bus_home: Any, orchestrator: Any, agent: Any) -> None:
    """With a second orchestrator beside the first every run still ends once."""
    agent("good", good)
    second = start(bus_home)
    try:
        client = bus_home.client()
        runs = [submit(client, Saga([Task("good"), Task("good")])) for _ in range(50)]
        assert {wait(client, run, 60).outcome for run in runs} == {"succeeded"}
        for run in runs:
            types = [event.type for event in client.read(run=run)]
            assert types.count("run.succeeded") == 1
            assert types.count("task.requested") == 2
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
        assert second.stdout is not None
        second.stdout.close()
