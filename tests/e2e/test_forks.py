"""Forks of real runs: files as of the cut, today's code above it, recorded or live, while everything is killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf
from twelvefold.eventstore.event import Event
from twelvefold.eventstore.run import read_run
from twelvefold.orchestration.fork_errors import ForkEnded
from twelvefold.orchestration.redecide import redecide

from .conftest import RIGHT, JobHome, git, make_repo

pytestmark = pytest.mark.e2e
WAIT_S = 120.0
STEPS = 5

AGENTS = '''
"""Agents that leave traces."""

import time

import twelvefold as tf

WORD = "old"


class Writer(tf.BaseAgent):
    """Writes a file in each step, and tells what the workspace holds in the end."""

    def execute_task(self, task, context: tf.TaskContext) -> tf.ToolResponse:
        with context.workspace(task["repo"], task["base"]) as workspace:
            for n in range(task["steps"]):

                def do(n=n):
                    time.sleep(task.get("pause", 0))
                    (workspace.folder / f"step{n}").write_text(f"{WORD} {n}")
                    return n

                context.effect("tool", "write", {"n": n}, do, effect="idempotent")
            files = {path.name: path.read_text() for path in workspace.folder.glob("step*")}
            proof = [tf.Evidence("commit", context.recorded_commit)]
        return tf.ToolResponse.succeeded(files, proof)
'''
OWN = ("writer: twelvefold agent traces:Writer", "drafter: twelvefold agent drafts:Drafter")
BUILT_IN = {
    "smart_issue": "smart_issue:SmartIssueAgent", "fixer": "fixer:IssueFixerAgent", "testing": "testing:TestingAgent",
    "review": "pr_review:PRReviewAgent", "publisher": "publisher:PublisherAgent",
}  # fmt: skip


GUIDE = Path(__file__).parents[2] / "docs" / "fork.md"


def blocks() -> dict[str, str]:
    """The guide's blocks by the names that stand beside the language."""
    return dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def home() -> Iterator[JobHome]:
    """A project that is up, with an agent of its own and the built-in ones."""
    folder, runtime = Path(tempfile.mkdtemp(prefix="tf-fork-")), Path(tempfile.mkdtemp(prefix="tf-"))
    (folder / "traces.py").write_text(AGENTS)
    for name, text in blocks().items():
        (folder / name).write_text(text)
    lines = [f"{name}: twelvefold agent twelvefold.agents.{where}" for name, where in BUILT_IN.items()]
    (folder / "Procfile").write_text("\n".join([*OWN, *lines, ""]))
    home = JobHome(folder, runtime)
    started = home("up", "-d", "--wait", "-c", "writer=2", cwd=folder)
    assert started.status == 0, started.err
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TWELVEFOLD_RUNTIME_DIR", str(runtime))
            yield home
    finally:
        home.close()
        shutil.rmtree(folder)
        shutil.rmtree(runtime)


@pytest.fixture(scope="module")
def written(home: JobHome) -> tuple[str, list[Event]]:
    """A run of the writer that has ended, and its events."""
    repo = make_repo(home.folder / "repo", {"kept.txt": "kept\n"})
    with tf.connect_sync(home.home) as bus:
        run = bus.submit(tf.Task("writer", input=writing(repo)), labels={"of": "traces"})
        assert bus.wait(run, WAIT_S).outcome == "succeeded"
        return run, list(bus.read(run=run))


def writing(repo: Path, **more: Any) -> dict[str, Any]:
    return {"repo": str(repo), "base": git(repo, "rev-parse", "HEAD").strip(), "steps": STEPS, **more}


def lines(home: JobHome, run: str) -> list[dict[str, Any]]:
    """What `log --run` has for a run."""
    ended = home("log", "--run", run, "--jsonl", cwd=home.folder)
    assert ended.status == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def content(word: str, numbers: range) -> dict[str, str]:
    return {f"step{n}": f"{word} {n}" for n in numbers}


def test_files_are_as_of_the_cut_and_today_s_code_goes_on(home: JobHome, written: tuple[str, list[Event]]) -> None:
    """What was written below the cut is there as it was; above it the changed agent writes, and the parent stays."""
    run, events = written
    done = [event.position for event in events if event.type == "effect.completed"]
    within = next(
        event.position for event in events if event.type == "workspace.committed" and event.position > done[1]
    )
    source = home.folder / "traces.py"
    source.write_text(AGENTS.replace('"old"', '"new"'))
    assert home("restart", "writer", cwd=home.folder).status == 0
    try:
        for at, kept in ((done[1], 2), (within, 2), (events[2].position, 0)):
            ended = home("fork", run, "--at", str(at), "--live", "tools", "--yes", "--json", cwd=home.folder)
            assert ended.status == 0, ended.err
            assert [one["path"] for one in ended.json["anew"]] == ["0"]
            with tf.connect_sync(home.home) as bus:
                result = bus.wait(ended.json["run"], WAIT_S)
            assert result.value == {**content("old", range(kept)), **content("new", range(kept, STEPS))}
            assert (result.parent, result.at) == (run, at)
            commit = next(one["ref"] for one in result.evidence if one["kind"] == "commit")
            store = next((home.home / "stores").glob(f"*/{result.run}.git"))
            assert git(store, "show", f"{commit}:step{STEPS - 1}") == f"new {STEPS - 1}"
            assert git(store, "show", f"{commit}:kept.txt") == "kept\n"
        shared = [line for line in lines(home, result.run) if line["run"] == run]
        assert shared == [line for line in lines(home, run) if line["position"] <= at]
        missed = home("fork", run, "--at", str(done[1]), "--set", "plan.input.steps=9", cwd=home.folder)
        with tf.connect_sync(home.home) as bus:
            assert bus.wait(missed.out.strip(), WAIT_S).reason == "recorded_miss"
        shown = home("status", missed.out.strip(), cwd=home.folder)
        assert shown.status == 1
        assert f"{run} after position {done[1]}, answered from its record" in shown.out
        assert "--live tools" in home("log", "--run", missed.out.strip(), "--data", cwd=home.folder).out
    finally:
        source.write_text(AGENTS)
        assert home("restart", "writer", cwd=home.folder).status == 0


def test_a_fork_without_live_layers_touches_nothing(home: JobHome, written: tuple[str, list[Event]]) -> None:
    """It comes to the same, from the record alone; forks of it do so, too, and have the same past by every hash."""
    run, events = written
    parent, at = run, [event.position for event in events if event.type == "effect.completed"][2]
    with tf.connect_sync(home.home) as bus:
        for depth in range(7):
            fork = bus.fork(parent, at)
            result = bus.wait(fork, WAIT_S)
            assert result.value == content("old", range(STEPS)), depth
            own = list(bus.read(run=fork))
            assert not [event for event in own if event.type == "effect.intended"]
            assert all(event.data["recorded"] for event in own if event.type == "effect.completed")
            # Beyond the depth to which git would follow stores that borrow from each other.
            parent, at = fork, next(event.position for event in own if event.type == "workspace.created")
        old = bus.fork(parent, events[2].position)
        assert bus.wait(old, WAIT_S).value == content("old", range(STEPS))


def test_both_connections_fork(home: JobHome, written: tuple[str, list[Event]]) -> None:
    """A program forks, waits and lists; the same fork asked for twice is one run; what can't be is refused."""
    run, events = written
    at = next(event.position for event in events if event.type == "task.requested")

    async def program() -> None:
        async with tf.connect(home.home) as bus:
            new = "7" * 32
            assert [await bus.fork(run, at, new=new) for _ in range(2)] == [new, new]
            result = await bus.wait(new, WAIT_S)
            assert (result.outcome, result.parent, result.at) == ("succeeded", run, at)
            assert result.cost.model_calls == 0
            with pytest.raises(ForkEnded):
                await bus.fork(run, events[-1].position)

    asyncio.run(program())
    with tf.connect_sync(home.home) as bus:
        fork = bus.fork(run, at, live=["model"], set={"labels.team": "blue"})
        assert bus.wait(fork, WAIT_S).outcome == "succeeded"
        head = [event.type for event in bus.follow(fork, WAIT_S)]
        assert head[:3] == ["run.requested", "run.started", "task.requested"]
    (listed,) = [one for one in home("runs", "--json", cwd=home.folder).json if one["run"] == fork]
    assert listed["fork"] == {"parent": run, "at": at}
    assert listed["labels"] == {"of": "traces", "team": "blue"}
    assert listed["pattern"] == "task"


def test_refusals_of_the_command(home: JobHome, written: tuple[str, list[Event]]) -> None:
    """Nothing is asked twice or guessed: each refusal has its exit status and leaves the log as it is."""
    run, events = written
    first, last = events[0].position, events[-1].position

    def said(*arguments: str) -> tuple[int, str]:
        ended = home("fork", *arguments, cwd=home.folder)
        return ended.status, ended.err

    def forks() -> list[str]:
        with tf.connect_sync(home.home) as bus:
            return [event.run for event in bus.read(type="run.forked")]

    before = forks()
    asked = said(run, "--at", str(first), "--live", "tools")
    assert asked[0] == 2
    assert "may repeat tool write" in asked[1]
    assert "--yes" in asked[1]
    assert said(run, "--at", str(last))[0] == 4
    assert said(run, "--at", str(first - 1))[0] == 2
    assert said(run, "--at", str(first), "--live", "world")[0] == 2
    assert said(run, "--at", str(first), "--set", "budget.gold=1")[0] == 2
    assert said("0123", "--at", "1")[0] == 3
    assert "--set word: no task" in said(run, "--at", str(first), "--live", "tools", "--set", "word=new")[1]
    assert forks() == before


def test_a_fork_is_not_rolled_back_into_its_parent(home: JobHome, written: tuple[str, list[Event]]) -> None:
    """A position of the shared past is refused, and told to be the parent's, as that is what `log` shows there."""
    run, events = written
    first, middle = events[0].position, events[3].position
    forked = home("fork", run, "--at", str(middle), "--json", cwd=home.folder)
    assert forked.status == 0, forked.err
    refused = home("rollback", forked.json["run"], "--to", str(first), "--reason", "x", "--yes", cwd=home.folder)
    assert refused.status == 2
    assert f"{first} too, was done by run {run}" in refused.err
    assert f"twelvefold fork {run} --at {first}" in refused.err


def test_a_running_run_is_forked_while_all_are_killed(home: JobHome) -> None:
    """kill -9 of bus, orchestrator and agents while a run is at work and is forked: it and its forks end well."""
    repo = make_repo(home.folder / "killed", {"kept.txt": "kept\n"})
    forks: list[str] = []
    with tf.connect_sync(home.home) as bus:
        run = bus.submit(tf.Task("writer", input=writing(repo, steps=8, pause=0.3)))
        deadline = time.monotonic() + WAIT_S
        for n, victim in enumerate(("orchestrator", "writer", "bus")):
            while len(done := list(bus.read(run=run, type="effect.completed"))) < 2 * n + 1:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            forks.append(bus.fork(run, done[-1].position, live="model,tools"))
            kill(home, victim)
        for one in (run, *forks):
            result = bus.wait(one, WAIT_S)
            assert (result.outcome, result.value) == ("succeeded", content("old", range(8))), one
            assert result.parent == (None if one == run else run)
        for fork in forks:
            events = list(bus.read(run=fork))
            assert sum(event.type == "run.forked" for event in events) == 1
            assert sum(event.type == "run.succeeded" for event in events) == 1
            assert redecide(fork, read_run(bus, fork)).agrees
    verified = home("verify", cwd=home.folder)
    assert verified.status == 0, verified.out + verified.err


def kill(home: JobHome, name: str) -> None:
    """kill -9 of the processes of a line."""
    for process in home("ps", "--json", cwd=home.folder).json:
        if process["name"].partition(".")[0] == name and process["pid"]:
            os.kill(process["pid"], signal.SIGKILL)


def test_a_job_is_forked_at_its_steps(home: JobHome) -> None:
    """Recorded it tells the same; for real it publishes a branch of its own, and the parent's stays where it is."""
    repo = make_repo(home.folder / "calc", {"calc.py": "def double(n):\n    return n + 2\n"})
    ended = home.job(repo, RIGHT, "--allow-untested")
    assert ended.status == 0, ended.err
    job = ended.json
    with tf.connect_sync(home.home) as bus:
        events = list(bus.read(run=job["run"]))
        asked = {event.data["path"]: event.position for event in events if event.type == "task.requested"}
        fixing = next(event.position for event in events if event.type == "workspace.created")
        for at in (asked["0"], fixing, asked["0.3"]):
            result = bus.wait(bus.fork(job["run"], at), WAIT_S)
            assert result.outcome == "succeeded", (at, result)
        branches = git(repo, "branch", "--format=%(refname:short) %(objectname)").splitlines()
        assert sorted(branches) == sorted([f"main {job['base_commit']}", f"{job['branch']} {job['commit']}"])
        first = bus.fork(job["run"], fixing, live="tools")
        assert bus.wait(first, WAIT_S).outcome == "succeeded"
        published = next(iter(bus.read(run=first, type="task.requested", reverse=True))).position
        second = bus.fork(first, published, live="tools")
        assert bus.wait(second, WAIT_S).outcome == "succeeded"
    for fork in (first, second):
        told = home("status", fork, "--json", cwd=repo).json
        assert told["branch"].endswith(fork)
        assert git(repo, "show", f"{told['branch']}:calc.py").endswith("return n * 2\n")
        assert told["tests"] == job["tests"]
        assert told["fork"]["parent"] in (job["run"], first)
    assert git(repo, "rev-parse", job["branch"]).strip() == job["commit"]


def test_the_guide_holds_what_it_says(home: JobHome) -> None:
    """Every block of docs/fork.md is run as it is printed."""
    assert set(blocks()) == {"drafts.py", "fork.py", "fork.sh"}
    assert len(re.findall(r"^```\w", GUIDE.read_text(), re.MULTILINE)) == len(blocks())
    for command in ([sys.executable, "fork.py"], ["bash", "-e", "fork.sh"]):
        environment = home.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            command, cwd=home.folder, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "tools live" in done.stdout
    assert "LEAF MEANS SOMETHING?" in done.stdout
