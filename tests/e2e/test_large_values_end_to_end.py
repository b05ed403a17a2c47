"""Values of megabytes through real processes: a map of ten thousand items, kills between blob and append, a backup."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore.backup import backup_home
from twelvefold.eventstore.check import PAYLOAD_SIZE_MAX
from twelvefold.eventstore.integrity import verify_home
from twelvefold.orchestration.map_reduce import MapReduce
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import result, submit, wait

from ..conftest import eventually
from .conftest import JobHome

pytestmark = pytest.mark.e2e

#: An orchestrator that kills itself when it has offered its n-th blob, before it appends what names it; 0 lives on.
ORCHESTRATOR = """
import os, signal, sys
from pathlib import Path
from twelvefold.bus.endpoints import endpoints
from twelvefold.eventstore.blob_files import BlobFiles
from twelvefold.orchestration.process import main
home, runtime, n = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
put, count = BlobFiles.put, 0
def offer(files, content):
    global count
    count += 1
    sha256 = put(files, content)
    if count == n:
        os.kill(os.getpid(), signal.SIGKILL)
    return sha256
BlobFiles.put = offer
sys.exit(main(endpoints(home, runtime), home, ready=lambda: print("ready", flush=True)))
"""
#: An agent that answers with its input, or with as many letters as it is told.
AGENT = """
import sys
from pathlib import Path
from twelvefold.agents.base import BaseAgent
from twelvefold.agents.journal import AgentPlaces
from twelvefold.agents.response import ToolResponse
from twelvefold.agents.working import AgentProcess
from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
class Letters(BaseAgent):
    def execute_task(self, task):
        return ToolResponse(True, data={"commit": "c0ffee", "log": "x" * task} if isinstance(task, int) else task)
home, runtime = Path(sys.argv[1]), Path(sys.argv[2])
client = BusClient(endpoints(home, runtime), role="agent", instance="letters.1", keeper=False)
sys.exit(AgentProcess(Letters(), client, ("letters",), AgentPlaces(home), 10.0).run())
"""
PAD = '''
import twelvefold as tf

class Pad(tf.BaseAgent):
    """Answers with its item, made longer."""

    def execute_task(self, task):
        return tf.ToolResponse(True, data=task + "-done")
'''


@pytest.fixture
def processes(bus_home: Any) -> Iterator[Any]:
    """Start programs on the bus's home; all are ended afterwards."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(bus_home.home), str(bus_home.runtime), *args]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.long
def test_ten_thousand_items_and_a_result_of_megabytes(own_home: JobHome, tmp_path: Path) -> None:
    """Request, items and result are each larger than an event may be; the caller gets the whole value."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "my_agents.py").write_text(PAD)
    (project / "Procfile").write_text("pad: twelvefold agent my_agents:Pad\n")
    up = own_home("up", "-d", "--wait", "-c", "pad=4", cwd=project)
    assert up.status == 0, up.err
    items = [f"{n:0300}" for n in range(10_000)]
    with own_home.client() as client:
        run = submit(client, MapReduce(Task("pad"), items=items))
        told = wait(client, run, 300.0)
        assert told.outcome == "succeeded"
        assert told.value == [f"{item}-done" for item in items]
        events = list(client.read(stream=f"run.{run}"))
        assert max(len(event.payload or "") for event in events) <= PAYLOAD_SIZE_MAX
        assert events[0].data["plan"].keys() == {"blob", "size"}
        assert events[-1].data["value"]["size"] > 3_000_000
    assert own_home("verify", cwd=project).status == 0
    assert own_home("down", cwd=project).status == 0


def test_killed_between_a_blob_and_the_append_that_names_it(bus_home: Any, processes: Any) -> None:
    """An orchestrator that dies after it has offered a blob leaves nothing behind that hurts: the next one goes on."""
    client = bus_home.client()
    processes(AGENT)
    plan = Pipeline(
        [
            Task("letters", 2 << 20, name="fix"),
            Task("letters", {"$from": "fix", "key": "commit"}, name="commit"),
            Task("letters", [{"$from": "fix"}, {"$from": "commit"}]),
        ]
    )
    kills = 0
    for n in (1, 2):
        mortal = processes(ORCHESTRATOR, str(n))
        run = submit(client, plan)
        assert mortal.wait(60) == -signal.SIGKILL
        kills += 1
        before = [event.type for event in client.read(stream=f"run.{run}")]
        offered = [path.name for path in (bus_home.home / "blobs" / "incoming" / "orchestrator").iterdir()]
        assert len(offered) == 1
        heir = processes(ORCHESTRATOR, "0")
        told = wait(client, run, 60)
        assert (told.outcome, told.value) == ("succeeded", [{"commit": "c0ffee", "log": "x" * (2 << 20)}, "c0ffee"])
        after = [event.type for event in client.read(stream=f"run.{run}")]
        assert len(after) > len(before)
        assert after.count("task.requested") == 3
        heir.send_signal(signal.SIGTERM)
        assert heir.wait(20) == 0
    assert kills == 2


def test_a_blob_that_is_destroyed_fails_its_run_and_no_other(bus_home: Any, processes: Any) -> None:
    """Damage on the disk ends the run that needs the value in words; the orchestrator and other runs go on."""
    client = bus_home.client()
    processes(AGENT)
    mortal = processes(ORCHESTRATOR, "1")
    run = submit(client, Pipeline([Task("letters", 2 << 20, name="fix"), Task("letters", [{"$from": "fix"}])]))
    assert mortal.wait(60) == -signal.SIGKILL
    (reported,) = client.read(type="task.succeeded", run=run)
    sha256 = reported.data["value"]["blob"]
    place = bus_home.home / "blobs" / sha256[:2] / sha256
    place.chmod(0o600)
    place.write_text("overwritten")
    processes(ORCHESTRATOR, "0")
    told = wait(client, run, 60)
    # The task gets a reference to what is not there any more, and says so.
    assert told.outcome == "failed"
    assert sha256 in str(told.error)
    assert wait(client, submit(client, Task("letters", "fine")), 60).value == "fine"


def test_a_backup_has_the_blobs_and_verifies(bus_home: Any, processes: Any, tmp_path: Path) -> None:
    """A copy of the home is sound, and gives the same result; its values are there whole."""
    client = bus_home.client()
    processes(AGENT)
    processes(ORCHESTRATOR, "0")
    run = submit(client, Pipeline([Task("letters", "i" * (2 << 20)), Task("letters", 3 << 20)]), input="r" * (2 << 20))
    told = wait(client, run, 60)
    assert told.value == {"commit": "c0ffee", "log": "x" * (3 << 20)}
    made = backup_home(bus_home.home, tmp_path / "copy.db")
    assert made.blobs_folder is not None
    # The plan with its input, the run's input, the task's, and two values.
    assert made.blobs == 4
    restored = tmp_path / "restored"
    restored.mkdir(mode=0o700)
    shutil.copy(made.file, restored / "log.db")
    shutil.copytree(made.blobs_folder, restored / "blobs")
    assert verify_home(restored).blobs == made.blobs
    bus_home.kill(signal.SIGTERM)
    assert verify_home(bus_home.home).blobs == made.blobs
    shutil.rmtree(bus_home.home / "blobs")
    shutil.copytree(restored / "blobs", bus_home.home / "blobs")
    bus_home.start()
    again = eventually(lambda: result(bus_home.client(), run))
    assert again.value == told.value
