"""Tasks that wait in an agent's hands behind a long one: begun at once after it, and asked back for whoever is idle."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import eventually
from twelvefold.bus.client import BusClient
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import submit, wait

from .conftest import JobHome

pytestmark = pytest.mark.e2e

AGENT = """
import os, time
from pathlib import Path
import twelvefold as tf

HERE = Path(__file__).parent

class Patient(tf.BaseAgent):
    "Waits for a file where the task names one."
    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        if task:
            (HERE / f"{task}.begun").write_text(str(os.getpid()))
            while not (HERE / task).exists() and not context.wait_cancelled(0.01):
                pass
        return tf.ToolResponse.succeeded([os.getpid(), task])
"""


@pytest.fixture
def project(own_home: JobHome, tmp_path: Path) -> Iterator[Path]:
    """A running `up` with two of them."""
    folder = tmp_path / "project"
    own_home.environment["TWELVEFOLD_WRITABLE"] = str(folder)  # for what the agents tell the test
    folder.mkdir()
    (folder / "patient.py").write_text(AGENT)
    (folder / "Procfile").write_text("patient: twelvefold agent patient:Patient\n")
    (folder / ".env").write_text(f"TWELVEFOLD_WRITABLE={folder}\n")
    up = own_home("up", "-d", "--wait", "-c", "patient=2", cwd=folder)
    assert up.status == 0, up.err
    yield folder


def both_at_work(client: BusClient, project: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Two long runs, each on an agent of its own, and two short ones behind them; the ids, and who works on which."""
    runs = {name: submit(client, Task("patient", name)) for name in ("one", "two")}
    for name in runs:
        eventually(lambda name=name: (project / f"{name}.begun").exists())
    for name in ("third", "fourth"):
        runs[name] = submit(client, Task("patient", ""))

    def queue() -> tuple[int, int]:
        found = client.stats()["groups"]["q/patient"]
        return found["held"], found["waiting"]

    eventually(lambda: queue() == (2, 2))
    return runs, {name: int((project / f"{name}.begun").read_text()) for name in ("one", "two")}


def test_nothing_waits_behind_a_long_task_while_another_agent_is_idle(own_home: JobHome, project: Path) -> None:
    """One agent ends its long task: it does both short ones, also the one that waited in the other's hands."""
    with own_home.client() as client:
        runs, pids = both_at_work(client, project)
        (project / "one").touch()
        done = [wait(client, runs[name], 60).value for name in ("one", "third", "fourth")]
        assert {pid for pid, _ in done} == {pids["one"]}
        assert not list(client.read(run=runs["two"], type="task.succeeded"))
        (project / "two").touch()
        assert wait(client, runs["two"], 60).value == [pids["two"], "two"]
        attempts = [event.data["delivery"] for event in client.read(type="task.started")]
        assert attempts == [1, 1, 1, 1], "what was never begun was not tried"


def test_a_dead_agent_takes_nothing_with_it_that_waited_in_its_hands(own_home: JobHome, project: Path) -> None:
    """Killed in its long task: another instance does that one anew, and what waited behind it is done as well."""
    with own_home.client() as client:
        runs, pids = both_at_work(client, project)
        os.kill(pids["two"], signal.SIGKILL)
        for name in ("one", "two"):
            (project / name).touch()
        assert [wait(client, run, 60).outcome for run in runs.values()] == ["succeeded"] * 4
        # The one that was at work, and at most the one that waited there, were handed out twice.
        deliveries = [event.data["delivery"] for event in client.read(type="task.started")]
        assert sorted(deliveries)[-1] == 2


def test_an_agent_that_is_asked_to_stop_gives_back_what_it_has_not_begun(own_home: JobHome, project: Path) -> None:
    """It finishes its long task, and meanwhile another does what waited behind that."""
    with own_home.client() as client:
        runs, pids = both_at_work(client, project)
        os.kill(pids["two"], signal.SIGTERM)
        (project / "one").touch()
        for name in ("third", "fourth"):
            assert wait(client, runs[name], 60).outcome == "succeeded"
        assert not list(client.read(run=runs["two"], type="task.succeeded"))
        (project / "two").touch()
        assert wait(client, runs["two"], 60).value == [pids["two"], "two"]
