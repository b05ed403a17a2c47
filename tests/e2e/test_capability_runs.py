"""Runs whose tasks name a capability that agents of several types share, under a real `up`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import eventually
from twelvefold.orchestration.plan import Task
from twelvefold.orchestration.submit import submit, wait

from .conftest import JobHome

pytestmark = pytest.mark.e2e

AGENTS = """
import time
from pathlib import Path
import twelvefold as tf

HERE = Path(__file__).parent

class Style(tf.BaseAgent):
    "Reviews, and waits for the test where it is told to."
    capabilities = ("review",)
    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        if task == "wait":
            (HERE / f"{type(self).__name__}.waits").touch()
            while not (HERE / "go").exists():
                time.sleep(0.01)
        return tf.ToolResponse.succeeded([type(self).__name__, context.asked_as])

class Security(Style):
    "The other type."
"""
PROCFILE = "style: twelvefold agent reviewers:Style\nsecurity: twelvefold agent reviewers:Security\n"


@pytest.fixture
def project(own_home: JobHome, tmp_path: Path) -> Iterator[Path]:
    """A running `up` with both types."""
    folder = tmp_path / "project"
    own_home.environment["TWELVEFOLD_WRITABLE"] = str(folder)  # for what the agents tell the test
    folder.mkdir()
    (folder / "reviewers.py").write_text(AGENTS)
    (folder / "Procfile").write_text(PROCFILE)
    (folder / "plan.toml").write_text('agent = "review"\ninput = "now"\n')
    up = own_home("up", "-d", "--wait", cwd=folder)
    assert up.status == 0, up.err
    yield folder


def test_the_idle_one_of_two_types_does_what_a_capability_is_asked_for(own_home: JobHome, project: Path) -> None:
    """While one type works for its own queue, the other reviews; with both at work the next review waits for either."""
    with own_home.client() as client:
        busy = submit(client, Task("style", "wait"))
        eventually(lambda: (project / "Style.waits").exists())
        for _ in range(3):
            ended = own_home("run", "--plan", "plan.toml", "--json", cwd=project)
            assert (ended.status, ended.json["value"]) == (0, ["Security", "review"]), ended.err
        second = submit(client, Task("review", "wait"))
        eventually(lambda: (project / "Security.waits").exists())
        third = submit(client, Task("review", "now"))
        eventually(lambda: client.stats()["groups"]["q/review"]["waiting"] == 1)
        (project / "go").touch()
        assert wait(client, busy, 60).value == ["Style", "style"]
        assert wait(client, second, 60).value == ["Security", "review"]
        assert wait(client, third, 60).value[1] == "review"


@pytest.mark.long
def test_a_capability_that_nobody_serves_any_more_is_missed_as_a_type_is(own_home: JobHome, project: Path) -> None:
    """One of its types is enough; without any, a run that needs it is refused with its name."""
    assert own_home("stop", "style", cwd=project).status == 0
    ended = own_home("run", "--plan", "plan.toml", "--json", cwd=project)
    assert ended.json["value"] == ["Security", "review"], ended.err
    assert own_home("stop", "security", cwd=project).status == 0
    refused = own_home("run", "--plan", "plan.toml", "--json", cwd=project)
    assert refused.status == 5, refused.err
    assert "review" in refused.err
