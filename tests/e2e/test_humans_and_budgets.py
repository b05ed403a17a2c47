"""Runs that wait for humans, are paused, and have budgets, over restarts of everything and kill -9."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import eventually
from .conftest import CALC, RIGHT, Ended, JobHome, git, make_repo

pytestmark = pytest.mark.e2e

AGENTS = """
import os
import signal
import time
from pathlib import Path

import twelvefold as tf

HERE = Path(__file__).parent


class Echo(tf.BaseAgent):
    def execute_task(self, task, context):
        return tf.ToolResponse.succeeded(task)


class Flaky(tf.BaseAgent):
    def execute_task(self, task, context):
        return tf.ToolResponse.failed("flaky", "never any luck")


class Painter(tf.BaseAgent):
    def execute_task(self, task, context):
        colour = context.ask("Which colour?", **(task or {}))
        return tf.ToolResponse.succeeded({"colour": colour, "notes": [one.note for one in context.answers]})


class Slow(tf.BaseAgent):
    def execute_task(self, task, context):
        while not (HERE / task).exists():
            time.sleep(0.01)
        return tf.ToolResponse.succeeded(task)


class Thinker(tf.BaseAgent):
    def execute_task(self, task, context):
        for n in range(task):
            used = {"text": "hm", "usage": {"tokens_in": 30, "tokens_out": 10, "usd": 0.01}}
            context.effect("model", "think", {"n": n}, lambda: used, effect="idempotent")
        return tf.ToolResponse.succeeded("thought")


class Payer(tf.BaseAgent):
    def execute_task(self, task, context):
        def pay():
            with (HERE / "paid").open("a") as file:
                file.write("5\\n")
            os.kill(os.getpid(), signal.SIGKILL)

        return tf.ToolResponse.succeeded(context.effect("tool", "pay", {"sum": 5}, pay, effect="once"))
"""
NAMES = ("Echo", "Flaky", "Painter", "Slow", "Thinker", "Payer")


class Project:
    """A project of one's own, up, with plans that are run from the command line."""

    def __init__(self, home: JobHome, folder: Path) -> None:
        self.home = home
        self.folder = folder
        folder.mkdir()
        home.environment["TWELVEFOLD_WRITABLE"] = str(folder)  # for what the agents tell the test
        (folder / "my_agents.py").write_text(AGENTS)
        lines = [f"{name.lower()}: twelvefold agent my_agents:{name}" for name in NAMES]
        (folder / "Procfile").write_text("\n".join(lines) + "\n")
        self.up()

    def __call__(self, *arguments: str) -> Ended:
        return self.home(*arguments, cwd=self.folder)

    def up(self) -> None:
        started = self("up", "-d", "--wait")
        assert started.status == 0, started.err

    def run(self, plan: dict[str, Any], *options: str) -> Ended:
        (self.folder / "plan.json").write_text(json.dumps(plan))
        return self("run", "plan.json", "--json", *options)

    def detached(self, plan: dict[str, Any], *options: str) -> str:
        run: str = self.run(plan, "--detach", *options).json["run"]
        return run

    def status(self, run: str) -> dict[str, Any]:
        document: dict[str, Any] = self("status", run, "--json").json
        return document

    def asked(self) -> dict[str, Any]:
        (one,) = self("inbox", "--json").json
        return dict(one)

    def ended(self, run: str) -> dict[str, Any]:
        """Follow a run to its end, and return how it stands then."""
        self("tree", run, "-f")
        return self.status(run)

    def kill_orchestrator(self) -> None:
        """kill -9 it, and wait until the supervisor has another one."""

        def place() -> dict[str, Any]:
            return next(one for one in self("ps", "--json").json if one["name"].startswith("orchestrator"))

        before = place()
        os.kill(before["pid"], signal.SIGKILL)
        eventually(lambda: (now := place())["pid"] not in (None, before["pid"]) and now["state"] == "ready", 60)


@pytest.fixture
def project(own_home: JobHome, tmp_path: Path) -> Iterator[Project]:
    """A project that is up."""
    yield Project(own_home, tmp_path / "project")


def steps(*tasks: dict[str, Any], pattern: str = "pipeline") -> dict[str, Any]:
    return {"pattern": pattern, "steps": list(tasks)}


def test_an_answer_after_everything_was_restarted(project: Project) -> None:
    """A question outlives `down` and `up`: its id is the same, and the answer reaches the agent with its note."""
    plan = steps(
        {"agent": "painter", "input": {"choices": ["red", "blue"]}, "name": "p"},
        {"agent": "echo", "input": {"$from": "p"}},
    )
    asked = project.run(plan)
    assert asked.status == 7
    (waiting,) = asked.json["waiting"]
    assert project("down").status == 0
    assert project.asked() == waiting
    assert project("answer", waiting["id"], "red").status == 5
    project.up()
    assert project("answer", waiting["id"], "red", "--note", "like a fire engine").status == 0
    status = project.ended(asked.json["run"])
    assert (status["outcome"], status["value"]) == ("succeeded", {"colour": "red", "notes": ["like a fire engine"]})
    assert project("answer", waiting["id"], "blue").status == 4


def test_approval_and_rejection(project: Project) -> None:
    """What must be approved waits for it; a rejection fails it with the note, and the saga takes back what it did."""
    plan = steps(
        {"agent": "echo", "undo": {"agent": "echo"}}, {"agent": "echo", "approval": "Ship it?"}, pattern="saga"
    )
    first, second = project.run(plan), project.run(plan)
    assert (first.status, second.status) == (7, 7)
    one, other = project("inbox", "--json").json
    assert project("approve", one["id"]).status == 0
    assert project.ended(first.json["run"])["outcome"] == "succeeded"
    assert project("reject", other["id"], "--note", "not on a Friday").status == 0
    failed = project.ended(second.json["run"])
    assert (failed["reason"], failed["error"], failed["undone"]) == ("rejected", "not on a Friday", ["0.0"])
    assert project("inbox", "--json").json == []


@pytest.mark.long
def test_a_pause_holds_over_a_kill_of_the_orchestrator(project: Project) -> None:
    """Paused, the next step isn't requested, whoever dies meanwhile; resumed, the run goes on to its end."""
    run = project.detached(steps({"agent": "slow", "input": "go"}, {"agent": "echo"}))
    assert project("pause", run).status == 0
    project.kill_orchestrator()
    (project.folder / "go").touch()
    eventually(lambda: project.status(run)["tasks"][0]["outcome"] == "succeeded", 60)
    # The orchestrator takes inputs in their order, so once a later run has ended it has seen that success.
    assert project.run({"agent": "echo"}).status == 0
    project.kill_orchestrator()
    status = project.status(run)
    assert (status["state"], [task["path"] for task in status["tasks"]]) == ("paused", ["0.0"])
    assert [one["run"] for one in project("runs", "--state", "paused", "--json").json] == [run]
    following = project.home.start("tree", run, "-f", cwd=project.folder)
    assert project("resume", run).status == 0
    out, _ = following.communicate(timeout=120)
    assert following.returncode == 0
    assert "0.1  echo  succeeded" in out.splitlines()


def test_a_budget_of_tasks_survives_a_kill_of_the_orchestrator(project: Project) -> None:
    """What was spent before the kill counts after it: the run is failed for its budget after exactly so many tries."""
    retry = {"attempts_max": 1000, "backoff_s": 0.2, "factor": 1}
    run = project.detached({"agent": "flaky", "retry": retry}, "--budget", "tasks=6")
    eventually(lambda: project.status(run)["budget"]["tasks"]["spent"] >= 2, 60)
    project.kill_orchestrator()
    status = project.ended(run)
    assert (status["outcome"], status["reason"]) == ("failed", "budget")
    assert status["budget"]["tasks"] == {"limit": 6, "spent": 6}
    assert project("status", run).status == 1
    requested = [
        event for event in project("log", "--run", run, "--jsonl").out.splitlines() if '"task.requested"' in event
    ]
    assert len(requested) == 6


def test_a_budget_of_tokens_stops_a_run_that_thinks_too_much(project: Project) -> None:
    """Model calls that agents record are what is bounded: within it a run succeeds, beyond it is stopped."""
    assert project.run({"agent": "thinker", "input": 2}, "--budget", "tokens=100,usd=1").status == 0
    plan = steps({"agent": "thinker", "input": 3}, {"agent": "slow", "input": "never"})
    stopped = project.run(plan, "--budget", "tokens=100")
    assert (stopped.status, stopped.json["outcome"]) == (1, "failed")
    assert stopped.json["reason"] == "budget"
    assert stopped.json["cost"]["tokens_in"] + stopped.json["cost"]["tokens_out"] > 100


def test_a_default_counts_although_nobody_ran_when_it_fell_due(project: Project) -> None:
    """A question's time goes on while everything is down: its default is the answer after the next start."""
    asked = project.run({"agent": "painter", "input": {"expires_s": 2, "default": "grey"}})
    # On a busy machine its time may be over before the question was seen to wait.
    assert asked.status in (0, 7)
    assert project("down").status == 0
    project.up()
    eventually(lambda: project.status(asked.json["run"])["outcome"] == "succeeded", 60)
    assert project.status(asked.json["run"])["value"]["colour"] == "grey"
    assert project("inbox", "--json").json == []


def test_a_human_settles_an_effect_in_doubt(project: Project) -> None:
    """An agent killed in the middle of what must not happen twice: a human is asked, whose word is the result."""
    asked = project.run({"agent": "payer"})
    assert asked.status == 7
    one = project.asked()
    assert (one["kind"], one["takes"]) == ("in_doubt", ["retry", "done", "give_up"])
    assert project("approve", one["id"]).status == 2
    assert project("answer", one["id"], "done", "--value", '{"ref": 7}').status == 0
    assert project.ended(asked.json["run"])["value"] == {"ref": 7}
    assert (project.folder / "paid").read_text() == "5\n"


@pytest.mark.long
def test_a_job_goes_on_with_what_it_was_answered(own_home: JobHome, tmp_path: Path) -> None:
    """An issue that says too little rests; the answer is read in its place, though what it ran on has ended."""
    repo = make_repo(tmp_path / "repo", CALC)
    asked = own_home.job(repo, "# Double is wrong\n\nIt adds. Please multiply.\n")
    assert asked.status == 7
    assert own_home("down", cwd=repo).status == 0
    (one,) = own_home("inbox", "--json", cwd=repo).json
    assert one["reason"] == "vague"
    (tmp_path / "edits.md").write_text(RIGHT.partition("\n\n")[2])
    answered = own_home("answer", one["id"], f"@{tmp_path / 'edits.md'}", cwd=repo)
    assert answered.status == 0, answered.err
    assert own_home("tree", one["run"], "-f", cwd=repo).status == 0
    status = own_home("status", one["run"], "--json", cwd=repo).json
    assert status["tests"]["status"] == "passed"
    assert "double" in status["branch"]
    assert git(repo, "show", f"{status['branch']}:calc.py").startswith("def double(n):\n    return n * 2\n")
