"""Jobs that are stopped, killed, timed out, or many at once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from twelvefold.orchestration.home_lock import holder_of
from twelvefold.orchestration.submit import wait

from ..conftest import eventually
from .conftest import CALC, RIGHT, JobHome, git, make_repo, snapshot

pytestmark = pytest.mark.e2e


def waiting_repo(home: JobHome, folder: Path) -> tuple[Path, Path, Path]:
    """A repository whose tests say that they have begun, and go on when a file appears; both files are returned."""
    marks = folder / "marks"
    marks.mkdir()
    home.environment["TWELVEFOLD_WRITABLE"] = str(marks)  # for what the tests tell this one
    begun, go = marks / "begun", marks / "go"
    test = (
        "import os, time, unittest\n\nimport calc\n\n\nclass Calc(unittest.TestCase):\n    def test_double(self):\n"
        f"        open({str(begun)!r}, 'a').close()\n"
        f"        while not os.path.exists({str(go)!r}):\n            time.sleep(0.01)\n"
        "        self.assertEqual(calc.double(2), 4)\n"
    )
    repo = make_repo(folder / "waiting", {**CALC, "tests/test_calc.py": test})
    return repo, begun, go


def processes_of(home: JobHome) -> list[psutil.Process]:
    """Every process whose environment carries the home: supervisor, agents, and what they started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TWELVEFOLD_HOME") == str(home.home) and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_a_job_survives_the_death_of_everything(own_home: JobHome, tmp_path: Path) -> None:
    """The supervisor is killed in the middle of the tests; a new one ends the job, and nothing is left over."""
    repo, begun, go = waiting_repo(own_home, tmp_path)
    run = own_home.job(repo, RIGHT, "--detach").json["run"]
    eventually(begun.exists, 60)
    holder = holder_of(own_home.home)
    assert holder is not None
    old = processes_of(own_home)
    os.kill(holder.pid, signal.SIGKILL)
    eventually(lambda: holder_of(own_home.home) is None)
    go.touch()
    # Any command that needs a supervisor starts one; this one's own job goes on beside the old.
    other = make_repo(tmp_path / "other", CALC)
    assert own_home.job(other, RIGHT).status == 0
    with own_home.client() as client:
        result = wait(client, run, 120.0)
    assert result.outcome == "succeeded", (result.error, result.tasks)
    assert f"twelvefold/double-adds-instead-of-doubling-{run}" in git(repo, "branch", "--all")
    eventually(lambda: not [process for process in old if process.is_running()])
    assert own_home.workspaces() == []


def test_killing_the_command_that_waits_changes_nothing(own_home: JobHome, tmp_path: Path) -> None:
    """`run` is only an onlooker: killed, it takes neither the run nor what it runs on with it."""
    repo, begun, go = waiting_repo(own_home, tmp_path)
    (tmp_path / "issue.md").write_text(RIGHT)
    process = own_home.start("run", str(tmp_path / "issue.md"), "--json", cwd=repo)
    eventually(begun.exists, 60)
    process.kill()
    process.communicate()
    go.touch()
    with own_home.client() as client:
        (requested,) = client.read(type="run.requested")
        assert wait(client, requested.run, 120.0).outcome == "succeeded"


def test_ctrl_c_cancels_the_run(own_home: JobHome, tmp_path: Path) -> None:
    """Interrupted, a run that nobody's `up` carries is cancelled: its tests are killed, and nothing is published."""
    repo, begun, _ = waiting_repo(own_home, tmp_path)
    before = snapshot(repo)
    (tmp_path / "issue.md").write_text(RIGHT)
    process = own_home.start("run", str(tmp_path / "issue.md"), "--json", cwd=repo)
    eventually(begun.exists, 60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert out == ""
    with own_home.client() as client:
        (requested,) = client.read(type="run.requested")
        assert [event.type for event in client.read(type="run.cancelled")] == ["run.cancelled"], err
        assert wait(client, requested.run, 60.0).outcome == "cancelled"
    assert snapshot(repo) == before
    assert own_home.workspaces() == []
    eventually(lambda: not [p for p in processes_of(own_home) if "unittest" in " ".join(p.cmdline())])


def test_a_run_that_takes_too_long_fails_as_timed_out(own_home: JobHome, tmp_path: Path) -> None:
    """--timeout is the run's own deadline: status 124, reason `timeout`, nothing published, no process left."""
    repo, _, _ = waiting_repo(own_home, tmp_path)
    before = snapshot(repo)
    ended = own_home.job(repo, RIGHT, "--timeout", "4")
    assert ended.status == 124, ended.out
    assert ended.json["outcome"] == "failed"
    assert ended.json["reason"] == "timeout"
    assert snapshot(repo) == before
    eventually(lambda: not [p for p in processes_of(own_home) if "unittest" in " ".join(p.cmdline())])


def test_many_jobs_at_once_each_change_their_own_repository(own_home: JobHome, tmp_path: Path) -> None:
    """Eight runs over four repositories: each branch holds its own edit, on its own repository, and nothing else."""
    repos = [make_repo(tmp_path / f"repo{n}", {**CALC, "name.txt": f"repo {n}\n"}) for n in range(4)]
    before = [snapshot(repo) for repo in repos]
    runs = []
    for repo in repos * 2:
        ended = own_home.job(repo, RIGHT, "--detach")
        assert ended.status == 0, ended.err
        runs.append((repo, ended.json["run"]))
    with own_home.client() as client:
        for repo, run in runs:
            assert wait(client, run, 240.0).outcome == "succeeded"
            (branch,) = [
                name for name in git(repo, "branch", "--format=%(refname:short)").split() if name.endswith(run)
            ]
            assert git(repo, "diff", "--name-only", "main", branch).split() == ["calc.py"]
            assert git(repo, "show", f"{branch}:name.txt") == (repo / "name.txt").read_text()
    for repo, was in zip(repos, before, strict=True):
        now = snapshot(repo)
        assert {name: content for name, content in now.items() if "refs/heads/twelvefold" not in name} == was
    assert own_home.workspaces() == []


def test_what_run_started_ends_by_itself(own_home: JobHome, tmp_path: Path) -> None:
    """Some seconds after the last run and client nothing is left, though a run rests that waits for a human."""
    repo = make_repo(tmp_path / "resting", CALC)
    assert own_home.job(repo, "# It is slow\n\nPlease improve.\n").status == 7
    eventually(lambda: holder_of(own_home.home) is None, 60)
    eventually(lambda: not processes_of(own_home))
