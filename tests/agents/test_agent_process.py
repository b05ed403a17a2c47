"""Agent processes on a real bus: outcomes, effects, large values, draining, withdrawal, a bus that dies."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.agents.conftest import Crew
from tests.conftest import eventually
from twelvefold.agents import process
from twelvefold.agents.errors import AgentNotLoadable, AgentUsage

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def handles(pid: int, number: int) -> bool:
    """Tell whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("kind", ["Echo", "AsyncEcho"])
def test_a_task_is_done_and_settled_in_its_own_stream(crew: Crew, kind: str) -> None:
    """Sync and async agents answer; events carry run, cause, trace and the instance that wrote them."""
    agent = crew.start(kind)
    request = crew.request(crew.queue(kind), "hello", trace=TRACE)
    outcome = crew.outcome(request)
    assert outcome.type == "task.succeeded"
    assert outcome.data["value"] == "hello"
    events = crew.events(request)
    assert [event.type for event in events] == ["task.started", "task.succeeded"]
    for event in events:
        assert (event.run, event.cause, event.trace, event.source) == (request.run, request.id, TRACE, agent.instance)
    code = events[0].data["code"]
    assert re.fullmatch(rf"agents_at_work:{kind}@[0-9a-f]{{12}}", code)
    assert events[0].data == {"instance": agent.instance, "attempt": 1, "delivery": 1, "code": code}


def test_failures_of_every_sort_are_recorded_and_the_agent_goes_on(crew: Crew) -> None:
    """An exception, missing evidence and wrong input each fail their own task; the same process does the next."""
    agent = crew.start("Worker")
    raised = crew.outcome(crew.request("worker", {"do": "raise"}))
    assert (raised.type, raised.data["reason"]) == ("task.failed", "exception")
    assert raised.data["error"]["class"] == "ZeroDivisionError"
    assert "agents_at_work.py" in raised.data["error"]["at"]
    lied = crew.outcome(crew.request("worker", {"do": "lie"}))
    assert (lied.type, lied.data["reason"]) == ("task.failed", "evidence")
    wrong = crew.outcome(crew.request("worker", 5))
    assert (wrong.type, wrong.data["reason"]) == ("task.failed", "invalid_task")
    exited = crew.outcome(crew.request("worker", {"do": "exit"}))
    assert (exited.type, exited.data["error"]["class"]) == ("task.failed", "SystemExit")
    fine = crew.outcome(crew.request("worker", {"do": "nothing"}))
    assert (fine.type, fine.source) == ("task.succeeded", agent.instance)
    assert "ZeroDivisionError" in agent.log()


def test_effects_are_recorded_in_order_with_reads_among_them(crew: Crew) -> None:
    """Reads travel with what follows them, never after it; progress is there before the outcome."""
    crew.start("Worker")
    request = crew.request("worker", {"do": "effects"})
    outcome = crew.outcome(request)
    facts = [(event.type, event.data.get("name")) for event in crew.events(request)]
    assert facts == [
        ("task.started", None),
        ("task.progressed", None),
        ("effect.completed", "look"),
        ("effect.intended", "append"),
        ("effect.completed", "append"),
        ("effect.completed", "look"),
        ("task.succeeded", None),
    ]
    effect = crew.events(request)[4].id.hex()
    assert {"kind": "effect", "ref": effect} in outcome.data["evidence"]


def test_queued_facts_do_not_wait_for_the_end_of_a_task(crew: Crew) -> None:
    """Progress of a task that then works in silence is in the log while it still works."""
    crew.start("Worker")
    request = crew.request("worker", {"do": "wait", "progress": 0.5})
    reported = eventually(lambda: [e for e in crew.events(request) if e.type == "task.progressed"])
    assert reported[0].data["progress"] == 0.5
    assert not crew.outcomes(request)
    crew.go()
    assert crew.outcome(request).type == "task.succeeded"


def test_results_beyond_the_size_of_an_event_are_handed_on_whole(crew: Crew) -> None:
    """A value of 3 MiB goes into a blob before its event, and the next task gets the value itself."""
    crew.start("Worker")
    outcome = crew.outcome(crew.request("worker", {"do": "large", "size": 3 << 20}))
    assert outcome.type == "task.succeeded"
    reference = outcome.data["value"]
    assert reference.keys() == {"blob", "size"}
    blob = crew.bus.home / "blobs" / reference["blob"][:2] / reference["blob"]
    assert blob.stat().st_size == reference["size"]
    measured = crew.outcome(crew.request("worker", {"do": "measure", "value": reference}))
    assert measured.data["value"] == 3 << 20


def test_an_idle_agent_ends_at_once_when_asked(crew: Crew) -> None:
    """SIGTERM ends an agent without a task, with status 0, and nothing is lost for the next one."""
    agent = crew.start("Echo")
    crew.outcome(crew.request("echo", "before"))
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(10) == 0
    crew.buried(agent)
    request = crew.request("echo", "after")
    crew.start("Echo")
    assert crew.outcome(request).data["value"] == "after"


def test_an_agent_finishes_its_task_before_it_ends(crew: Crew) -> None:
    """SIGTERM in the middle of a task: it is done and settled by the same instance, others wait for another."""
    agent = crew.start("Worker")
    request = crew.request("worker", {"do": "wait"})
    eventually(crew.waiting)
    agent.process.send_signal(signal.SIGTERM)
    second = crew.request("worker", {"do": "nothing"})
    crew.go()
    assert agent.process.wait(10) == 0
    crew.buried(agent)
    assert crew.outcome(request).source == agent.instance
    other = crew.start("Worker")
    assert crew.outcome(second).source == other.instance


def test_an_agent_asked_twice_ends_at_once(crew: Crew) -> None:
    """A second signal doesn't wait for the handler; the task goes to another instance."""
    agent = crew.start("Worker")
    request = crew.request("worker", {"do": "wait"})
    eventually(crew.waiting)
    agent.process.send_signal(signal.SIGINT)
    eventually(lambda: "finishing" in agent.log())
    agent.process.send_signal(signal.SIGINT)
    assert agent.process.wait(10) == 130
    crew.buried(agent)
    crew.go()
    other = crew.start("Worker")
    assert crew.outcome(request).source == other.instance


def test_a_withdrawn_task_is_stopped_and_its_result_dropped(crew: Crew) -> None:
    """The handler sees the withdrawal, whatever it answers is dropped, and the agent takes the next task."""
    agent = crew.start("Worker")
    request = crew.request("worker", {"do": "heed"})
    eventually(crew.waiting)
    crew.orchestrator.withdraw([request.id])
    eventually(lambda: "heeded" in agent.log())
    assert crew.outcome(crew.request("worker", {"do": "nothing"})).source == agent.instance
    assert crew.outcomes(request) == []


def test_a_handler_that_ignores_withdrawal_ends_with_its_process(crew: Crew) -> None:
    """After the grace period the process and its children are gone, so nobody works on a withdrawn task."""
    agent = crew.start("Worker", stop_timeout_s=0.3)
    request = crew.request("worker", {"do": "ignore", "child": str(crew.folder / "child")})
    eventually(crew.waiting)
    child = int((crew.folder / "child").read_text())
    crew.orchestrator.withdraw([request.id])
    assert agent.process.wait(20) != 0
    eventually(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())
    assert crew.outcomes(request) == []


def test_a_bus_that_dies_in_the_middle_of_a_task_costs_nothing(crew: Crew) -> None:
    """The bus is killed and restarted while a handler works: the task is settled once, by the same instance."""
    agent = crew.start("Worker")
    request = crew.request("worker", {"do": "wait", "append": "line"})
    eventually(crew.waiting)
    crew.bus.restart()
    crew.go()
    assert crew.outcome(request).source == agent.instance
    assert [event.type for event in crew.events(request)].count("task.succeeded") == 1
    assert crew.lines() == ["line"]


def test_what_is_no_task_is_parked_in_sight(crew: Crew) -> None:
    """An event that isn't a task, or has no path, is refused by the agent and parked; the agent lives on."""
    agent = crew.start("Echo")
    note = crew.orchestrator.emit("note.added", {"text": "hi"}, to="echo")
    eventually(lambda: [e for e in crew.orchestrator.read(type="delivery.parked") if e.data["event"] == note.id.hex()])
    assert crew.outcome(crew.request("echo", "still there")).source == agent.instance


def test_telemetry_is_sampled_into_the_log_not_written_at_each_increment(crew: Crew) -> None:
    """Hundreds of increments are one sample, and the last ones are there after the process ended."""
    agent = crew.start("Worker")
    for _ in range(3):
        crew.outcome(crew.request("worker", {"do": "count", "times": 500}))
    agent.process.send_signal(signal.SIGTERM)
    agent.process.wait(10)
    samples = eventually(lambda: list(crew.orchestrator.read(type="telemetry.sampled")))
    assert len(samples) <= 2
    assert samples[-1].data["counters"] == {"n": 1500}
    assert samples[-1].stream == "telemetry.worker"


def test_an_agent_without_a_bus_can_be_stopped_while_it_waits(crew: Crew) -> None:
    """SIGTERM before the bus has answered ends the agent at once, with the status of the signal."""
    crew.supervisor.stop()
    crew.bus.kill()
    agent = crew.start("Echo", supervised=False, ready=False)
    eventually(lambda: handles(agent.process.pid, signal.SIGTERM))
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(10) == 128 + signal.SIGTERM
    crew.bus.start()


def test_an_agent_that_cannot_be_loaded_says_so_and_exits(crew: Crew) -> None:
    """A wrong name ends with its error's status and a line of help, before any task is taken."""
    agent = crew.start("NoSuchAgent", ready=False)
    assert agent.process.wait(20) == AgentNotLoadable.exit_code
    assert f"error[{AgentNotLoadable.code}]" in agent.log()
    assert "help:" in agent.log()


@pytest.mark.parametrize("arguments", [[], ["a:B", "c:D"], ["a:B", "--name"], ["a:B", "--speed", "9"]])
def test_a_wrong_command_line_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Usage errors have status 2 and say what the command looks like."""
    assert process.main(arguments, {"TWELVEFOLD_HOME": "/nonexistent"}) == 2
    assert f"error[{AgentUsage.code}]" in capsys.readouterr().err


def test_an_agent_takes_another_queue_when_told(crew: Crew) -> None:
    """`--name` decides the queue, so that one class can serve several."""
    agent = crew.start("Echo", "--name", "parrot")
    assert crew.outcome(crew.request("parrot", 1)).source == agent.instance


def test_an_agent_process_loads_neither_sqlite_nor_asyncio(crew: Crew) -> None:
    """What each of 150 agents would pay for isn't imported by a plain one."""
    crew.start("Worker")
    outcome = crew.outcome(crew.request("worker", {"do": "modules"}))
    loaded = set(outcome.data["value"])
    assert loaded.isdisjoint({"sqlite3", "pysqlite3", "asyncio", "typer", "git", "opentelemetry", "rich", "psutil"})
