"""Agents that a program starts beside itself: real processes of the home's supervisor, which outlive it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf
from twelvefold.orchestration.control import ControlRequest, ask
from twelvefold.orchestration.home_lock import holder_of
from twelvefold.orchestration.resource_errors import BackgroundAgentInvalid, BackgroundAgentUnknown

pytestmark = pytest.mark.e2e

AGENTS = '''
import os
import time
from pathlib import Path

import twelvefold as tf


class Patient(tf.BaseAgent):
    """Says who it is once the file that its task names is there."""

    def execute_task(self, task, context):
        Path(task + ".begun").touch()
        while not Path(task).exists() and not context.cancelled:
            time.sleep(0.02)
        return tf.ToolResponse.succeeded(os.getpid())


class Hog(tf.BaseAgent):
    """Takes memory."""

    def execute_task(self, task):
        kept = b"x" * (task << 20)
        time.sleep(600)
        return tf.ToolResponse.succeeded(len(kept))


class Broken(tf.BaseAgent):
    def __init__(self):
        raise RuntimeError("not today")

    def execute_task(self, task):
        return None
'''

MAIN_PROGRAM = """
import json, os
import twelvefold as tf

class Doubler(tf.BaseAgent):
    def execute_task(self, task: int):
        return tf.ToolResponse.succeeded([task * 2, os.getpid()])

if __name__ == "__main__":
    with tf.BackgroundExecutor() as executor:
        ids = [executor.spawn_background_agent(Doubler, n) for n in range(3)]
    print(json.dumps([[executor.get_agent_status(id)[key] for key in ("state", "value")] for id in ids]))
    executor.close()
"""


@pytest.fixture
def executor(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An executor on the project's home, in the project's folder."""
    project.write("patient_agents.py", AGENTS)
    monkeypatch.setenv("TWELVEFOLD_HOME", str(project.home))
    monkeypatch.setenv("TWELVEFOLD_RUNTIME_DIR", str(project.runtime))
    monkeypatch.setenv("PATH", project.environ["PATH"])
    monkeypatch.chdir(project.folder)
    found = tf.BackgroundExecutor()
    yield found
    found.close()
    if holder_of(project.home) is not None:
        project.run("down")


def go(project: Any, name: str) -> str:
    """Let a patient task end."""
    return str(project.write(name, ""))


def test_an_agent_works_on_its_task_in_a_process_of_its_own_and_ends_with_it(
    project: Any, executor: tf.BackgroundExecutor, eventually: Any
) -> None:
    """Without an `up`: it is started, busy, seen in `ps`, its value comes back, and its process is no more."""
    wanted = project.folder / "go"
    id = executor.spawn_background_agent("patient_agents:Patient", str(wanted))
    eventually(lambda: (project.folder / "go.begun").exists())
    status = executor.get_agent_status(id)
    assert (status["state"], status["outcome"], status["run"] is not None) == ("busy", "open", True)
    assert status["pss_bytes"] > 0
    row = project.ps()[f"{id}.1"]
    assert (row["pid"], row["state"]) == (status["pid"], "busy")
    assert status["pid"] != os.getpid()
    go(project, "go")
    result = executor.wait(id, timeout_s=60)
    assert (result.outcome, result.value) == ("succeeded", status["pid"])
    eventually(lambda: f"{id}.1" not in project.ps())
    status = executor.get_agent_status(id)
    assert (status["state"], status["outcome"], status["value"]) == ("ended", "succeeded", result.value)
    [exited] = project.events("process.exited", f"process.{id}.1")
    assert (exited.data["expected"], exited.data["exit"]) == (True, 0)
    assert list((project.home / "background").iterdir()) == []


def test_the_same_id_is_the_same_work(project: Any, executor: tf.BackgroundExecutor) -> None:
    """Asked for twice, and again when it is done, the work is done once."""
    go(project, "go")
    task = str(project.folder / "go")
    for _ in range(2):
        assert executor.spawn_background_agent("patient_agents:Patient", task, agent_id="nightly") == "nightly"
    executor.wait("nightly", timeout_s=60)
    executor.spawn_background_agent("patient_agents:Patient", task, agent_id="nightly")
    assert len(project.events("run.requested")) == 1
    assert len(project.events("task.started")) == 1


def test_other_work_cannot_have_the_same_id(project: Any, executor: tf.BackgroundExecutor) -> None:
    """An id that is taken by another task, or another class, is refused; the first work goes on."""
    executor.spawn_background_agent("patient_agents:Patient", str(project.folder / "go"), agent_id="nightly")
    with pytest.raises(tf.DuplicateConflict):
        executor.spawn_background_agent("patient_agents:Patient", "other", agent_id="nightly")
    with pytest.raises(BackgroundAgentInvalid, match="is there already"):
        executor.spawn_background_agent("patient_agents:Hog", "other", agent_id="nightly")
    go(project, "go")
    assert executor.wait("nightly", timeout_s=60).outcome == "succeeded"


def test_agents_and_their_work_outlive_the_program_that_started_them(
    project: Any, executor: tf.BackgroundExecutor, eventually: Any
) -> None:
    """A program ends, without a word, in the middle: the agent goes on, and anyone can see to it by its id."""
    script = """
        import os, twelvefold as tf
        executor = tf.BackgroundExecutor()
        print(executor.spawn_background_agent("patient_agents:Patient", os.path.abspath("go")), flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=project.folder, env=project.environ, check=False,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == -9
    id = done.stdout.strip()
    eventually(lambda: (project.folder / "go.begun").exists())
    before = executor.get_agent_status(id)
    assert before["state"] == "busy"
    go(project, "go")
    assert executor.wait(id, timeout_s=60).value == before["pid"]


def test_a_paused_agent_finishes_what_it_holds_and_takes_nothing_new(
    project: Any, executor: tf.BackgroundExecutor, eventually: Any
) -> None:
    """Pausing lets the task at hand end; the next one waits, over a kill and restart too, until it is resumed."""
    id = executor.spawn_background_agent("patient_agents:Patient")
    first, second = str(project.folder / "first"), go(project, "second")
    with tf.connect_sync() as bus:
        held = bus.submit(tf.Task("patient", first))
        eventually(lambda: (project.folder / "first.begun").exists())
        executor.pause_agent(id)
        status = executor.get_agent_status(id)
        assert (status["state"], status["paused"]) == ("busy", True)
        assert "paused" in project.run("ps", id).stdout
        waiting = bus.submit(tf.Task("patient", second))
        go(project, "first")
        assert bus.wait(held, timeout_s=60).value == status["pid"]
        eventually(lambda: executor.get_agent_status(id)["state"] == "paused")
        eventually(lambda: len(project.events("task.requested")) == 2)
        os.kill(status["pid"], signal.SIGKILL)
        eventually(lambda: executor.get_agent_status(id)["restarts"] == 1)
        eventually(lambda: executor.get_agent_status(id)["state"] == "paused")
        assert len(project.events("task.started")) == 1
        executor.resume_agent(id)
        result = bus.wait(waiting, timeout_s=60)
        assert result.outcome == "succeeded"
        assert result.value == executor.get_agent_status(id)["pid"] != status["pid"]
    executor.terminate_agent(id)
    assert executor.get_agent_status(id)["state"] == "ended"


def test_pausing_and_resuming_fast_ends_as_said_last(project: Any, executor: tf.BackgroundExecutor) -> None:
    """However fast the words come, the last one counts."""
    id = executor.spawn_background_agent("patient_agents:Patient")
    pid = executor.get_agent_status(id)["pid"]
    for _ in range(25):
        for op in ("pause", "resume", "resume", "pause"):
            ask(project.home, project.runtime, ControlRequest(op, (id,)))
    executor.pause_agent(id)
    assert executor.get_agent_status(id)["state"] == "paused"
    executor.resume_agent(id)
    with tf.connect_sync() as bus:
        assert bus.wait(bus.submit(tf.Task("patient", go(project, "go"))), timeout_s=60).value == pid


def test_terminating_cancels_the_work_and_leaves_no_process(
    project: Any, executor: tf.BackgroundExecutor, eventually: Any
) -> None:
    """The run is cancelled, the process is gone when the call returns, and a second call changes nothing."""
    id = executor.spawn_background_agent("patient_agents:Patient", str(project.folder / "never"))
    eventually(lambda: (project.folder / "never.begun").exists())
    pid = executor.get_agent_status(id)["pid"]
    executor.terminate_agent(id)
    assert not Path(f"/proc/{pid}").exists()
    assert executor.wait(id, timeout_s=60).outcome == "cancelled"
    assert executor.get_agent_status(id)["state"] == "ended"
    executor.terminate_agent(id)
    with pytest.raises(BackgroundAgentUnknown):
        executor.terminate_agent("nobody")
    with pytest.raises(BackgroundAgentUnknown):
        executor.get_agent_status("nobody")
    with pytest.raises(BackgroundAgentUnknown):
        executor.pause_agent("nobody")


def test_an_agent_over_its_memory_ends_and_the_status_says_why(
    project: Any, executor: tf.BackgroundExecutor, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A context's room binds the process: it is killed, its sibling lives, and its run fails as parked."""
    monkeypatch.setenv("TWELVEFOLD_ATTEMPTS_MAX", "2")
    sibling = executor.spawn_background_agent("patient_agents:Patient")
    before = executor.get_agent_status(sibling)["pid"]
    with tf.ResourceManager().allocate(1, "100MB") as context:
        id = executor.spawn_background_agent("patient_agents:Hog", 400, resources=context)
        result = executor.wait(id, timeout_s=90)
    assert (result.outcome, result.reason) == ("failed", "parked")
    status = eventually(lambda: (found := executor.get_agent_status(id))["state"] == "ended" and found)
    assert (status["reason"], status["limit"]) == ("memory", 100 << 20)
    assert status["used"] > 100 << 20
    ends = [event.data.get("reason") for event in project.events("process.exited", f"process.{id}.1")]
    assert ends[:2] == ["memory", "memory"]
    assert executor.get_agent_status(sibling)["pid"] == before


def test_beside_an_up_and_over_its_death(project: Any, executor: tf.BackgroundExecutor, eventually: Any) -> None:
    """Agents join an `up`; killed -9, the next `up` starts those anew whose run is open, and the work is done."""
    project.write("Procfile", "echo: twelvefold agent echo_agents:Echo\n")
    project.run("up", "-d", "--wait")
    pooled = executor.spawn_background_agent("patient_agents:Patient", agent_id="pooled")
    id = executor.spawn_background_agent("patient_agents:Patient", str(project.folder / "go"), agent_id="working")
    eventually(lambda: (project.folder / "go.begun").exists())
    assert set(project.states()) == {"bus.1", "orchestrator.1", "projector.1", "echo.1", "pooled.1", "working.1"}
    holder = holder_of(project.home)
    assert holder is not None
    first = executor.get_agent_status(id)["pid"]
    os.kill(holder.pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{first}").exists())
    project.run("up", "-d", "--wait")
    assert set(project.states()) == {"bus.1", "orchestrator.1", "projector.1", "echo.1", "working.1"}
    go(project, "go")
    result = executor.wait(id, timeout_s=60)
    assert result.outcome == "succeeded"
    assert result.value != first
    eventually(lambda: "working.1" not in project.states())
    assert executor.get_agent_status(pooled)["state"] == "ended"


def test_waiting_starts_what_the_work_needs(project: Any, executor: tf.BackgroundExecutor, eventually: Any) -> None:
    """After `down` in the middle nothing runs, and asking says so; waiting for the work has it go on."""
    id = executor.spawn_background_agent("patient_agents:Patient", str(project.folder / "go"))
    eventually(lambda: (project.folder / "go.begun").exists())
    executor.close()
    project.run("down")
    with pytest.raises(tf.TwelvefoldError, match="no bus"):
        executor.get_agent_status(id)
    go(project, "go")
    assert executor.wait(id, timeout_s=90).outcome == "succeeded"


@pytest.mark.usefixtures("executor")
def test_leaving_the_block_waits_for_the_work_and_ends_the_agents(project: Any) -> None:
    """`with`: what was asked for is done, what was started is ended, classes of the program itself included."""
    project.write("main_program.py", MAIN_PROGRAM)
    done = subprocess.run(
        [sys.executable, "main_program.py"], cwd=project.folder, env=project.environ, check=False, timeout=120,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [value[0] for _, value in found] == [0, 2, 4]
    assert len({value[1] for _, value in found}) == 3
    assert {state for state, _ in found} == {"ended"}


@pytest.mark.parametrize(
    ("agent", "options", "words"),
    [
        ("nonsense", {}, "not of the form"),
        (object, {}, "neither a class"),
        ("patient_agents:Broken", {}, "did not start: it ended with"),
        ("patient_agents:Patient", {"agent_id": "Not Good"}, "is no id"),
        ("patient_agents:Patient", {"resources": {"memory": "1MB"}}, "no process starts in"),
        ("patient_agents:Patient", {"agent_id": "orchestrator"}, "there is a process"),
    ],
)
def test_what_cannot_be_started_is_refused(
    executor: tf.BackgroundExecutor, agent: Any, options: dict[str, Any], words: str
) -> None:
    """The reason is an error at the call, and nothing of it stays behind."""
    with pytest.raises(BackgroundAgentInvalid, match=words):
        executor.spawn_background_agent(agent, **options)


def test_any_agent_line_may_be_paused_and_nothing_else(project: Any, executor: tf.BackgroundExecutor) -> None:
    """A Procfile's agent is paused by its name; a line that is no agent is refused, and so is one that there is not."""
    project.write("Procfile", "echo: twelvefold agent echo_agents:Echo\nplain: sleep 4711\n")
    project.run("up", "-d", "--wait")
    executor.pause_agent("echo")
    assert executor.get_agent_status("echo")["state"] == "paused"
    executor.resume_agent("echo")
    assert executor.get_agent_status("echo")["state"] == "ready"
    with pytest.raises(tf.TwelvefoldError, match="is no agent"):
        executor.pause_agent("plain")
    with pytest.raises(BackgroundAgentUnknown):
        executor.terminate_agent("echo")
