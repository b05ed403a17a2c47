"""Runs whose agents die for good: whoever follows them is told, instead of waiting for ever."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import eventually
from twelvefold import jobs
from twelvefold.agent_errors import AgentsGone
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import submit, wait
from twelvefold.settings import load_settings

from .conftest import JobHome

pytestmark = pytest.mark.e2e

#: An agent that lives until its first task, and can't be loaded any more after that.
MORTAL = """
import os
from pathlib import Path
import twelvefold as tf

HEALTHY = Path(__file__).with_name("healthy")
if not HEALTHY.exists():
    raise RuntimeError("the model is not there any more")

class Mortal(tf.BaseAgent):
    "Dies of its first task."
    def register_tools(self): return []
    def execute_task(self, task):
        HEALTHY.unlink(missing_ok=True)
        os._exit(3)
"""
OPTIONS = '[mortal]\nrestart = {policy = "always", attempts_max = 3, delay_s = 0.05}\n'


@pytest.fixture
def project(own_home: JobHome, tmp_path: Path) -> Iterator[Path]:
    """A running `up` with that agent."""
    folder = tmp_path / "project"
    own_home.environment["TWELVEFOLD_WRITABLE"] = str(folder)  # for what the agents tell the test
    folder.mkdir()
    (folder / "mortal.py").write_text(MORTAL)
    (folder / "healthy").touch()
    (folder / "Procfile").write_text("mortal: twelvefold agent mortal:Mortal\n")
    (folder / "Procfile.options").write_text(OPTIONS)
    (folder / "plan.toml").write_text('agent = "mortal"\ninput = 1\n')
    up = own_home("up", "-d", "--wait", cwd=folder)
    assert up.status == 0, up.err
    yield folder


def test_who_follows_a_run_that_nobody_will_work_on_is_told(own_home: JobHome, project: Path) -> None:
    """The agent dies of the task and at each start: the command ends, says why and how to mend it; the run stays."""
    ended = own_home("run", "--plan", "plan.toml", "--json", cwd=project)
    assert ended.status == 5, ended.err
    assert "E017" in ended.err
    assert "mortal" in ended.err
    assert "the model is not there any more" in ended.err, ended.err
    assert "stays open" in ended.err
    assert ended.json["outcome"] is None
    (project / "mortal.py").write_text(MORTAL.replace("os._exit(3)", 'return tf.ToolResponse.succeeded("done")'))
    (project / "healthy").touch()
    # What the help says.
    assert own_home("restart", "mortal", cwd=project).status == 0
    with own_home.client() as client:
        assert wait(client, ended.json["run"], 60).value == "done"


def test_a_run_that_begins_when_all_were_given_up_is_refused_at_once(own_home: JobHome, project: Path) -> None:
    """A plan whose agents are dead for good is not begun, and the reason is named."""
    assert own_home("run", "--plan", "plan.toml", cwd=project).status == 5
    ended = own_home("run", "--plan", "plan.toml", cwd=project)
    assert (ended.status, "E017" in ended.err) == (5, True), ended.err
    with own_home.client() as client:
        assert len([*client.read(type="run.requested")]) == 1


def test_a_run_on_what_belongs_to_nobody_is_cancelled(own_home: JobHome, project: Path) -> None:
    """Where nobody would ever start other agents, the run is not left behind."""
    settings = load_settings(environ={**os.environ, **own_home.environment})
    with own_home.client() as client:
        run = submit(client, Task("mortal"))
        with pytest.raises(AgentsGone) as caught:
            for _ in jobs.follow(client, run, settings, owned=True):
                pass
        assert caught.value.cancelled
        assert "was cancelled" in caught.value.message()
        assert wait(client, run, 30).outcome == "cancelled"


def test_who_follows_a_run_whose_home_is_removed_is_told(own_home: JobHome, project: Path) -> None:
    """All was brought down and the home deleted: the command that waits for the run ends, and says so."""
    (project / "mortal.py").write_text(MORTAL.replace("os._exit(3)", "import time; time.sleep(600)"))
    assert own_home("restart", "mortal", cwd=project).status == 0
    following = own_home.start("run", "--plan", "plan.toml", cwd=project)
    with own_home.client() as client:
        eventually(lambda: [*client.read(type="task.started")])
    assert own_home("down", cwd=project).status == 0
    shutil.rmtree(own_home.home)
    _, err = following.communicate(timeout=60)
    assert (following.returncode, "E003" in err, "was removed" in err) == (1, True, True), err


def test_a_run_with_a_deadline_of_its_own_is_waited_for(own_home: JobHome, project: Path) -> None:
    """Nobody serves the queue, but the run ends by itself: that end is waited for and told."""
    settings = load_settings(environ={**os.environ, **own_home.environment})
    with own_home.client() as client:
        run = submit(client, Task("nobody"), timeout_s=12)
        types = [event.type for event in jobs.follow(client, run, settings, owned=True)]
    assert types[-1] == "run.failed"
