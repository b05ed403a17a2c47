"""Jobs on a user's own `up`: what is used, what is refused, and who goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from twelvefold.orchestration.submit import wait

from ..conftest import eventually
from .conftest import CALC, RIGHT, JobHome, git, make_repo
from .test_job_interrupted import waiting_repo

pytestmark = pytest.mark.e2e


def test_ctrl_c_stops_following_and_the_run_goes_on(own_home: JobHome, tmp_path: Path) -> None:
    """Under an `up`, `run` is an onlooker: interrupted, it says how to follow again, and the branch comes."""
    project = tmp_path / "project"
    assert own_home("init", str(project), cwd=tmp_path).status == 0
    repo, begun, go = waiting_repo(own_home, tmp_path)
    up = own_home("up", "-d", "--wait", cwd=project)
    assert up.status == 0, up.err
    (tmp_path / "issue.md").write_text(RIGHT)
    process = own_home.start("run", str(tmp_path / "issue.md"), cwd=repo)
    eventually(begun.exists, 60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    go.touch()
    with own_home.client() as client:
        (requested,) = client.read(type="run.requested")
        assert f"twelvefold tree {requested.run} -f" in err
        assert wait(client, requested.run, 120.0).outcome == "succeeded"
    assert requested.run in git(repo, "branch", "--all")


@pytest.mark.long
def test_an_up_without_the_jobs_agents_is_told_at_once(own_home: JobHome, tmp_path: Path) -> None:
    """A run that nobody could work on is refused with the missing queues and two ways out; nothing is requested."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "Procfile").write_text("other: sleep 600\n")
    assert own_home("up", "-d", "--wait", cwd=project).status == 0
    ended = own_home.job(make_repo(tmp_path / "repo", CALC), RIGHT)
    assert ended.status == 5
    assert "E013" in ended.err
    assert "issue_fixer" in ended.err
    with own_home.client() as client:
        assert list(client.read(type="run.requested")) == []
    assert own_home("down", cwd=project).status == 0
    # The way out that the help names: without that `up`, `run` starts what it needs.
    assert own_home.job(tmp_path / "repo", RIGHT).status == 0
