"""Rollbacks from the command line, on real repositories, and with kill -9 of all who have a part in them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.orchestration.checking import check_decisions
from tests.orchestration.plans_to_kill import GOOD, UNDO, UNDO_FLAKY
from twelvefold import connect_sync
from twelvefold.eventstore.run import read_run
from twelvefold.orchestration.errors import RunNotFound
from twelvefold.orchestration.plan import plan_from
from twelvefold.orchestration.rollback_request import RollbackOutside
from twelvefold.orchestration.submit import rollback, submit

from .conftest import CALC, RIGHT, JobHome, git, make_repo, snapshot
from .test_kill_after_each_event import VICTIMS, Scene
from .test_kill_after_each_event import scene as scene

pytestmark = pytest.mark.e2e
STEPS = 10
#: Its steps need retries to be undone, so that timers have a part in it, too.
SAGA: dict[str, Any] = {
    "pattern": "saga",
    "steps": [{**GOOD, "undo": UNDO}, {**GOOD, "undo": UNDO_FLAKY}, {**GOOD, "undo": UNDO}],
}

AGENT = '''
import subprocess
import twelvefold as tf


class Step(tf.BaseAgent):
    """Runs a shell command in a workspace, as any program may."""

    def execute_task(self, task: dict, context: tf.TaskContext) -> tf.ToolResponse:
        with context.workspace(task["repo"], task.get("commit") or task["base"]) as workspace:
            def shell() -> int:
                return subprocess.run(["sh", "-euc", task["command"]], cwd=workspace.folder, check=True).returncode
            context.effect("process", "shell", {"command": task["command"]}, shell, effect="once")
            return tf.ToolResponse.succeeded({"commit": workspace.commit}, [tf.Evidence("commit", workspace.commit)])
'''


def test_a_published_job_is_taken_back(shared_home: JobHome, tmp_path: Path) -> None:
    """Shown first, done once it is confirmed, and done once: the repository is byte for byte as before the job."""
    repo = make_repo(
        tmp_path / "back", {**CALC, "tests/test_calc.py": CALC["tests/test_calc.py"].replace("(2), 4", "(3), 6")}
    )
    before = snapshot(repo)
    job = shared_home.job(repo, RIGHT).json
    assert job["branch"]
    shown = shared_home("rollback", job["run"][:16], "--reason", "wrong", cwd=repo)
    assert shown.status == 2
    assert "--yes" in shown.err
    assert f"{job['branch']} is deleted" in shown.out
    assert job["branch"] in git(repo, "branch", "--all")
    ended = shared_home("rollback", job["run"], "--reason", "wrong", "--yes", "--json", cwd=repo)
    assert ended.status == 0, ended.err
    document = ended.json
    assert (document["outcome"], document["reason"], document["state"]) == ("rolled_back", "wrong", "new")
    assert [one["by"] for one in document["preview"]["compensations"]] == ["publisher", "issue_fixer"]
    assert [one["path"] for one in document["preview"]["not_undone"]] == document["not_undone"]
    assert snapshot(repo) == before
    assert not Path(job["patch"]).exists()
    again = shared_home("rollback", job["run"], "--reason", "again", "--yes", "--json", cwd=repo)
    assert (again.status, again.json["state"], again.json["reason"]) == (0, "done", "wrong")
    assert again.json["position"] == document["position"]
    status = shared_home("status", job["run"], "--json", cwd=repo)
    assert (status.status, status.json["outcome"]) == (1, "rolled_back")
    assert shared_home("verify", cwd=repo).status == 0
    with shared_home.client() as client:
        check_decisions(job["run"], [*read_run(client, job["run"])])


def test_a_branch_that_was_worked_on_stays_and_the_inbox_says_so(shared_home: JobHome, tmp_path: Path) -> None:
    """Somebody's commit is never lost: the rollback rests until they have said what is to become of it."""
    repo = make_repo(tmp_path / "moved", CALC)
    job = shared_home.job(repo, RIGHT, "--allow-untested").json
    git(repo, "checkout", "--quiet", job["branch"])
    (repo / "mine.txt").write_text("mine\n")
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "-m", "Mine")
    git(repo, "checkout", "--quiet", "main")
    mine = git(repo, "rev-parse", job["branch"]).strip()
    with shared_home.client() as client:
        fixed = next(event for event in client.read(run=job["run"], type="task.succeeded"))
    to = ("--to", str(fixed.position))
    ended = shared_home("rollback", job["run"], *to, "--reason", "wrong", "--yes", "--json", cwd=repo)
    assert (ended.status, ended.json["outcome"]) == (7, "needs_human")
    (waiting,) = shared_home("inbox", "--json", cwd=repo).json
    assert (waiting["run"], waiting["kind"]) == (job["run"], "compensation")
    assert mine[:12] in waiting["question"]
    assert shared_home("answer", waiting["id"], "give_up", cwd=repo).status == 0
    with shared_home.client() as client:
        watch = client.watch("run.rolled_back", after=0)
        found = next(event for event in watch if event.run == job["run"])
    assert found.data["branches"][0]["state"] == "moved"
    again = shared_home("replay", job["run"], "--check", cwd=repo)
    assert again.status == 0, again.out  # whatever the rollback has laid out
    assert "0.3" in found.data["not_undone"]
    (files,) = found.data["workspaces"]
    assert "n * 2" in Path(files["folder"], "calc.py").read_text()
    assert git(repo, "rev-parse", job["branch"]).strip() == mine
    refused = shared_home("rollback", job["run"], "--to", str(10**9), "--reason", "x", "--yes", cwd=repo)
    assert (refused.status, "E530" in refused.err) == (2, True)


@pytest.fixture
def shells(own_home: JobHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A run of ten shell commands in workspaces, that has ended, on a home that is up; and its repository."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "Procfile").write_text("step: twelvefold agent my_steps:Step\n")
    (project / "my_steps.py").write_text(AGENT)
    repo = make_repo(tmp_path / "repo", {"counter.txt": "0\n", "keep.txt": "kept\n"})
    base = git(repo, "rev-parse", "HEAD").strip()
    commands = [
        f"echo {n} > counter.txt; mkdir -p d{n % 3}; head -c {n * 1000} /dev/zero > d{n % 3}/made-{n}.bin"
        + ("; ln -s counter.txt link; chmod +x keep.txt" if n == 4 else "")
        + ("; rm -r d1 link; git mv keep.txt 'moved ü.txt'" if n == 7 else "")
        for n in range(1, STEPS + 1)
    ]
    steps = [
        {
            "agent": "step",
            "name": f"s{n}",
            "input": {"repo": str(repo), "base": base, "command": command}
            | ({"commit": {"$from": f"s{n - 1}", "key": "commit"}} if n else {}),
        }
        for n, command in enumerate(commands)
    ]
    assert own_home("up", "-d", "--wait", cwd=project).status == 0
    for name in ("TWELVEFOLD_HOME", "TWELVEFOLD_RUNTIME_DIR"):
        monkeypatch.setenv(name, own_home.environment[name])
    with connect_sync() as bus:
        run = bus.submit({"pattern": "pipeline", "steps": steps})
        assert bus.wait(run, 120).outcome == "succeeded"
    yield run, repo


def test_every_position_of_ten_shell_commands_can_be_had_back(shells: tuple[str, Path], own_home: JobHome) -> None:
    """What commands changed is recorded after each of them; a rollback to any of these gives that very tree."""
    run, repo = shells
    with connect_sync() as bus:
        commits = [*bus.read(type="workspace.committed", run=run)]
        assert len(commits) == STEPS
        for wrong in (0, 10**9):
            with pytest.raises(RollbackOutside):
                bus.rollback(run, to=wrong, reason="look")
        with pytest.raises(RunNotFound):
            bus.rollback("f" * 32, reason="look")
        for event in random.Random(7).sample(commits, STEPS):
            bus.rollback(run, to=event.position, reason="look")
            ended = bus.wait(run, 60)
            assert ended.outcome == "rolled_back"
            (end,) = bus.read(stream=f"run.{run}", limit=1, reverse=True)
            (files,) = end.data["workspaces"]
            assert (end.data["to"], files["commit"]) == (event.position, event.data["commit"])
            folder = Path(files["folder"])
            assert [one.name for one in folder.parent.iterdir()] == [folder.name]
            git(folder, "add", "--all")
            tree = git(folder, "write-tree").strip()
            assert tree == git(Path(files["store"]), "rev-parse", f"{event.data['commit']}^{{tree}}").strip()
        assert git(repo, "status", "--porcelain") == ""
        check_decisions(run, [*read_run(bus, run)])
    shown = own_home("rollback", run, "--reason", "look", "--dry-run", cwd=repo)
    assert "loses" not in shown.out
    (folder / "mine.txt").write_text("worked on since\n")
    shown = own_home("rollback", run, "--to", str(commits[0].position), "--reason", "look", "--dry-run", cwd=repo)
    assert f"loses      changes that nothing has recorded in {folder}" in shown.out
    assert "ignores don't" in shown.err
    (folder / "mine.txt").unlink()
    assert own_home("verify", cwd=repo).status == 0


def taken_back(scene: Scene, after: int = 0, victim: str = "") -> tuple[bool, list[str], dict[str, Any], int]:
    """Run a saga and take it back, with a kill after one of the rollback's events; tell how that ended."""
    labels = {"after": str(after), "victim": victim} if victim else {}
    run = submit(scene.client, plan_from(SAGA), labels=labels)
    _await(scene, run, "run.succeeded")
    done = [event for event in read_run(scene.client, run) if event.type == "task.succeeded"]
    count = sum(1 for _ in read_run(scene.client, run))
    rollback(scene.client, run, done[0].position, "wrong")
    end = _await(scene, run, "run.rolled_back")
    events = [*read_run(scene.client, run)]
    check_decisions(run, events, plainly=False)
    undone = [event.data["path"] for event in events if event.type == "task.compensated"]
    killed = run in (scene.bus.home / "killed").read_text().split()
    told = {name: end.data[name] for name in ("reason", "undone", "not_undone", "workspaces", "branches")}
    return killed, undone, told, count


def _await(scene: Scene, run: str, type: str, timeout_s: float = 120.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while True:
        (last,) = scene.client.read(stream=f"run.{run}", limit=1, reverse=True)
        if last.type == type:
            return last
        assert time.monotonic() < deadline, [f"{event.type} {event.stream}" for event in scene.client.read(run=run)]
        time.sleep(0.01)


@pytest.mark.long
def test_who_is_killed_changes_no_rollback(scene: Scene) -> None:
    """kill -9 of bus, orchestrator and agents right after an event of a rollback: it ends as without that."""
    _, undone, told, count = taken_back(scene)
    assert undone == ["0.2", "0.1"]
    chance = random.Random("a few")
    for victim in VICTIMS:
        for after in chance.sample(range(1, 12), 2):
            killed, *found = taken_back(scene, count + after, victim)
            assert killed, (victim, after)
            assert found[:2] == [undone, told], (victim, after)


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("victim", VICTIMS)
def test_who_is_killed_after_each_event_changes_no_rollback(scene: Scene, victim: str) -> None:
    """Each event of it, until there are no more."""
    _, undone, told, count = taken_back(scene)
    after = 0
    while True:
        killed, *found = taken_back(scene, count + (after := after + 1), victim)
        assert found[:2] == [undone, told], after
        if not killed:
            break
    assert after > 12
