"""Stored runs of real processes against today's code: what is the same, what would be different, and no side effect."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from twelvefold.bus.client import BusClient
from twelvefold.orchestration.plan import Task, plan_from
from twelvefold.orchestration.submit import cancel, submit, wait

from ..conftest import eventually
from .conftest import CALC, JobHome, git, make_repo

pytestmark = pytest.mark.e2e

AGENTS = '''
import asyncio
import os
import time
from pathlib import Path

import twelvefold as tf


class Counter(tf.BaseAgent):
    """Counts letters, by tools that leave traces."""

    @tf.tool(effect="read")
    def count(self, text: str) -> int:
        """Count the letters of a text."""
        Path(os.environ["TRACES"]).open("a").write(f"count {text}\\n")
        return len(text)

    @tf.tool(effect="once")
    async def tell(self, n: int) -> str:
        """Tell a number."""
        Path(os.environ["TRACES"]).open("a").write(f"tell {n}\\n")
        return f"told {n}"

    async def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        self.current_stage = "count"
        n = (await context.call_async("count", text=task)).data
        if n > 3:
            context.emit("counter.impressed", {"n": n})
        self.current_stage = "tell"
        said = (await context.call_async("tell", n=n)).data
        return tf.ToolResponse(True, data={"n": n, "said": said})


class Dying(tf.BaseAgent):
    """Is killed in its first delivery, after it has done something."""

    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        first = context.effect("process", "first", task, lambda: 1, effect="idempotent")
        if not context.redelivered:
            Path(task).write_text(str(os.getpid()))
            time.sleep(600)
        return tf.ToolResponse(True, data=first + context.effect("process", "second", task, lambda: 2))


class Reader(tf.BaseAgent):
    """Reads and changes files of a repository, also beside its effects."""

    def execute_task(self, task: dict, context: tf.TaskContext) -> tf.ToolResponse:
        with context.workspace(task["repo"], task["commit"]) as workspace:
            file = workspace.folder / "calc.py"
            before = file.read_text()
            context.effect(
                "process", "subtract", str(file), lambda: file.write_text(before.replace("+", "-")), effect="idempotent"
            )
            return tf.ToolResponse(True, data=[before, file.read_text(), sorted(workspace.files()), str(file)])


class Failing(tf.BaseAgent):
    """Fails, and is undone."""

    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        if context.undo:
            return tf.ToolResponse(True, data="undone")
        raise ValueError(f"no {task}")


class Waiting(tf.BaseAgent):
    """Does something, and waits for ever."""

    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        context.effect("process", "begin", task, lambda: 1, effect="idempotent")
        while not context.cancelled:
            time.sleep(0.01)
        while True:
            time.sleep(600)


class Asking(tf.BaseAgent):
    """Asks a person."""

    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        return tf.ToolResponse(True, data=context.ask("how many?"))
'''
#: Whether a number is that of a pipe to write to.
PIPES_OUT = """\
os.path.exists(f"/proc/self/fd/{n}") and __import__("fcntl").fcntl(int(n), 3) & 1 \
and os.readlink(f"/proc/self/fd/{n}").startswith("pipe")"""
GUIDE = Path(__file__).parents[2] / "docs" / "replay.md"
BLOCKS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL))
NAMES = ("Counter", "Dying", "Reader", "Failing", "Waiting", "Asking")
LINES_OF_OURS = "".join(f"{name.lower()}: twelvefold agent my_agents:{name}\n" for name in NAMES)
PROCFILE = f"greeter: twelvefold agent greeters:Greeter\n{LINES_OF_OURS}"


class Project:
    """A project with runs of every sort in its home."""

    def __init__(self, home: JobHome) -> None:
        self.home = home
        self.folder = home.folder / "project"
        self.folder.mkdir()
        self.module = self.folder / "my_agents.py"
        self.module.write_text(AGENTS)
        (self.folder / "greeters.py").write_text(BLOCKS["greeters.py"])
        (self.folder / "Procfile").write_text(PROCFILE)
        self.traces = self.folder / "traces"
        home.environment["TRACES"] = str(self.traces)
        self.repo = make_repo(home.folder / "calc", CALC)
        self.runs: dict[str, str] = {}

    def run(self, client: BusClient, name: str, plan: dict[str, Any]) -> None:
        """Have a plan carried out, and keep its run under a name."""
        self.runs[name] = submit(client, plan_from(plan))
        wait(client, self.runs[name], 120)

    def dying(self, client: BusClient) -> None:
        """Have an agent killed in the middle of its task, which another one then ends."""
        mark = self.folder / "mark"
        self.runs["dying"] = submit(client, Task("dying", str(mark)))
        eventually(lambda: mark.exists() and mark.read_text(), 60)
        os.kill(int(mark.read_text()), signal.SIGKILL)
        assert wait(client, self.runs["dying"], 120).outcome == "succeeded"

    def check(self, *arguments: str) -> tuple[int, Any]:
        """Check runs; returns exit status and document."""
        ended = self.home("replay", "--check", "--json", *arguments, cwd=self.folder)
        assert ended.out, ended.err
        return ended.status, ended.json

    def differing(self) -> dict[str, Any]:
        """Check all runs and return, by the names of those that differ, where each does first."""
        status, found = self.check("--all")
        differing = {one["run"]: one["difference"] for one in found["runs"] if one["status"] == "different"}
        assert found["different"] == len(differing)
        assert status == (1 if differing else 0)
        return {name: differing[run] for name, run in self.runs.items() if run in differing}

    @contextmanager
    def changed(self, old: str, new: str) -> Iterator[None]:
        """Have one line of the agents changed for a while."""
        assert AGENTS.count(old) == 1
        self.module.write_text(AGENTS.replace(old, new))
        try:
            yield
        finally:
            self.module.write_text(AGENTS)

    def state(self) -> dict[str, bytes]:
        """Everything that a replay could change: home, project, repository and traces."""
        files = [path for path in self.home.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return {str(path): path.read_bytes() for path in files if not path.name.endswith(("-shm", "-wal"))}


@pytest.fixture(scope="module")
def kept(shared_home: JobHome) -> Project:
    """Runs that were done by real processes, which are gone now."""
    made = Project(shared_home)
    up = shared_home("up", "-d", "--wait", cwd=made.folder)
    assert up.status == 0, up.err
    both = [{"agent": "counter", "input": "ab"}, {"agent": "counter", "input": "a long one"}]
    counted = {"agent": "counter", "input": "abc", "undo": {"agent": "failing"}}
    commit = git(made.repo, "rev-parse", "HEAD").strip()
    with shared_home.client() as client:
        made.run(client, "short", {"agent": "counter", "input": "abc"})
        made.run(client, "long", {"agent": "counter", "input": "abcdef"})
        made.run(client, "both", {"pattern": "pipeline", "steps": both})
        made.run(client, "undone", {"pattern": "saga", "steps": [counted, {"agent": "failing", "input": "x"}]})
        made.run(client, "greeter", {"agent": "greeter", "input": "Anna"})
        made.run(client, "asking", {"agent": "asking", "input": ""})
        made.run(client, "reader", {"agent": "reader", "input": {"repo": str(made.repo), "commit": commit}})
        made.runs["waiting"] = submit(client, Task("waiting", ""))
        eventually(lambda: list(client.read(run=made.runs["waiting"], type="effect.completed")), 60)
        cancel(client, made.runs["waiting"])
        made.dying(client)
        second = next(event for event in client.read(run=made.runs["both"], type="task.requested") if event.version > 3)
        cut = ("--at", str(second.position), "--live", "tools", "--yes", "--json")
        forked = shared_home("fork", made.runs["both"], *cut, cwd=made.folder)
        assert forked.status == 0, forked.err
        made.runs["fork"] = forked.json["run"]
        wait(client, made.runs["fork"], 120)
    down = shared_home("down", cwd=made.folder)
    assert down.status == 0, down.err
    return made


def test_unchanged_code_would_do_the_same_everywhere(kept: Project) -> None:
    """All runs are the same, whatever became of them; not one byte changes, and no tool is called."""
    before = kept.state()
    status, found = kept.check("--all")
    assert (status, found["same"], found["runs"][0]["difference"]) == (0, len(kept.runs), None)
    assert {one["run"] for one in found["runs"]} == set(kept.runs.values())
    tasks = {task["agent"]: task for one in found["runs"] for task in one["tasks"]}
    assert all(task["status"] == "ok" for task in tasks.values())
    for task in tasks.values():
        assert task["code"]["recorded"] == task["code"]["today"]
    assert tasks["dying"]["effects"] == 2
    assert kept.state() == before


#: A line, what becomes of it, the runs that this changes, and where that shows first.
LINES: dict[str, tuple[str, set[str], str, str]] = {
    'context.emit("counter.impressed", {"n": n})': (
        'context.emit("counter.impressed", {"n": n + 1})', {"long", "both", "fork"}, "counter.impressed", "data.n",
    ),
    "if n > 3:": ("if n > 6:", {"long"}, "counter.impressed", "fact"),
    'raise ValueError(f"no {task}")': (
        'raise ValueError(f"never {task}")', {"undone"}, "task.failed", "data.error.message",
    ),
    'context.ask("how many?")': ('context.ask("how much?")', {"asking"}, "task.needs_human", "data.question"),
    'before.replace("+", "-")': ('before.replace("+", "/")', set(), "", ""),
    "lambda: 2)": ("lambda: 2) * 2", {"dying"}, "task.succeeded", "data.value"),
    '"said": said}': (
        '"said": said.upper()}', {"short", "long", "both", "undone", "fork"}, "task.succeeded", "data.value.said",
    ),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_a_changed_line_is_found_in_exactly_the_runs_that_it_changes(kept: Project, line: str) -> None:
    """Runs that go through the line and come out otherwise differ; all others, and what an effect does, don't."""
    new, expected, event, field = LINES[line]
    with kept.changed(line, new):
        differing = kept.differing()
    assert set(differing) == expected
    for told in differing.values():
        assert (told["event"], told["field"], told["steady"]) == (event, field, True)
        assert told["expected"] != told["got"]
        assert told["code"]["recorded"] != told["code"]["today"]
        assert told["code"]["today"].startswith("my_agents:")


def test_a_handler_that_acts_beside_its_effects_cannot(kept: Project) -> None:
    """What today's code would write and whom it would reach stays as it was, and the run is told to differ."""
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        target = kept.home.folder / "written"
        write = f'open({str(target)!r}, "w"); self.current_stage = "tell"'
        connect = f'__import__("socket").create_connection({server.getsockname()!r}); self.current_stage = "tell"'
        for act in (write, connect):
            with kept.changed('self.current_stage = "tell"', act):
                _, found = kept.check(kept.runs["short"])
            told = found["difference"]
            assert (told["event"], told["field"]) == ("effect.intended", "effect")
            assert "ermi" in told["note"]
        with pytest.raises(TimeoutError):
            server.accept()
            reached.set()
    assert not target.exists()
    assert not reached.is_set()


def test_what_cannot_be_run_again_is_no_pass(kept: Project) -> None:
    """Code that can't be loaded, that comes to no end or ends its process fails the check, and says which it is."""
    with kept.changed("import asyncio", "import asyncio, nowhere_to_be_found"):
        status, found = kept.check("--all")
        assert (status, found["same"], found["unchecked"]) == (1, 1, len(kept.runs) - 1)
        assert "nowhere_to_be_found" in found["runs"][0]["problems"][0]
    with kept.changed('self.current_stage = "tell"', "while True: pass"):
        status, found = kept.check(kept.runs["both"], "--timeout", "1")
        assert (status, found["status"]) == (1, "unchecked")
        assert [task["status"] for task in found["tasks"]] == ["stuck", "stuck"]
    with kept.changed('context.ask("how many?")', "os._exit(3)"):
        status, found = kept.check("--all")
        assert (status, found["unchecked"], found["same"]) == (1, 1, len(kept.runs) - 1)
    noise = f'[os.write(int(n), b"noise!!!") for n in os.listdir("/proc/self/fd") if {PIPES_OUT}]'
    with kept.changed('context.ask("how many?")', noise):
        status, found = kept.check("--all")
        assert (status, found["unchecked"], found["same"]) == (1, 1, len(kept.runs) - 1)
        problems = [problem for one in found["runs"] for problem in one["problems"]]
        assert len(problems) == 1
        assert "no answer" in problems[0]
    elsewhere = kept.home("replay", "--check", kept.runs["short"], cwd=kept.repo)
    assert elsewhere.status == 1
    assert "my_agents" in elsewhere.out
    there = ("--folder", str(kept.folder))
    assert kept.home("replay", "--check", kept.runs["short"], *there, cwd=kept.repo).status == 0


def test_chance_is_told_from_change(kept: Project) -> None:
    """Code that doesn't agree with itself is said to be unsteady."""
    with kept.changed('data={"n": n, "said": said}', 'data={"n": n, "said": os.urandom(8).hex()}'):
        _, found = kept.check(kept.runs["short"])
    assert found["difference"]["steady"] is False


def test_steps_go_forward_and_back(kept: Project) -> None:
    """Each event is shown with what it changed; going back shows the same, the other way round."""
    run = kept.runs["short"]
    steps = kept.home("replay", run, "--json", cwd=kept.folder).json
    assert steps["state"]["status"] == "ended"
    assert [one["number"] for one in steps["steps"]] == list(range(1, len(steps["steps"]) + 1))
    changes = {change["field"]: change for one in steps["steps"] for change in one["changes"]}
    assert (changes["tasks.0.phase"]["before"], changes["tasks.0.phase"]["after"]) == ("requested", "reported")
    middle = steps["steps"][3]["event"]["position"]
    until = kept.home("replay", run, "--to", str(middle), "--json", cwd=kept.folder).json
    assert until["steps"] == steps["steps"][:4]
    assert until["head"] == middle
    typed = kept.home.start("replay", run, "--step", cwd=kept.folder)
    typed.communicate(timeout=60)
    assert typed.returncode == 0


def test_the_guide_does_what_it_says(kept: Project) -> None:
    """Its commands work as they stand, and its changes show where it says."""
    run = kept.runs["greeter"]
    environment = kept.home.environment | {"RUN": run, "POSITION": "1000000"}
    for name in ("steps.sh", "check.sh"):
        command = ["sh", "-e", "-c", BLOCKS[name]]
        done = subprocess.run(
            command, cwd=kept.folder, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in (kept.folder / "steps.jsonl").read_text().splitlines()]
    assert "greeter.bowed" in {one["event"]["type"] for one in steps}
    assert json.loads((kept.folder / "checked.json").read_text())["same"] == len(kept.runs)
    module = kept.folder / "greeters.py"
    for old, new, field in (
        ('else "Hi"', 'else "Ho"', None),
        ('f"{word} {task}"', 'f"{task} {word}"', "data.value"),
        ('{"before": task}', '{"before": task.upper()}', "data.before"),
    ):
        module.write_text(BLOCKS["greeters.py"].replace(old, new))
        _, found = kept.check(run)
        assert (found["difference"] or {}).get("field") == field
    module.write_text(BLOCKS["greeters.py"])
