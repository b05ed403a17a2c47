"""Agents with workspace tools as real processes: confined, killed in the middle, and none the wiser."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.agents.conftest import Crew
from tests.agents.tools.conftest import picture
from tests.agents.work.conftest import UserRepo
from tests.conftest import eventually
from twelvefold.eventstore.event import Event

EDITOR = '''

import twelvefold as tf


class Editor(tf.BaseAgent):
    """Does the calls that its task lists, one after the other, and answers with what came of each."""

    def execute_task(self, task: dict, context: tf.TaskContext) -> tf.ToolResponse:
        answers = []
        with context.workspace(task["repo"], task["commit"]) as workspace:
            tools = {tool.name: tool for tool in tf.workspace_tools(workspace, context)}
            for name, parameters in task["calls"]:
                answer = context.call(tools[name], parameters)
                answers.append([answer.reason, answer.data])
            made = context.call(tools["git_commit"], message="All")
            return tf.ToolResponse.succeeded(
                {"answers": answers, "contained": context.contained, **made.data},
                evidence=[tf.Evidence("commit", made.data["commit"])],
            )
'''

#: Counts how often it ran, tells that it runs, and waits for the test where it is told to.
COUNTING = """
import os, sys, time
count = open("count.txt", "a")
count.write(sys.argv[1] + "\\n")
count.flush()
open("running-" + sys.argv[1], "w").close()
while sys.argv[2] == "wait" and not os.path.exists(sys.argv[3]):
    time.sleep(0.01)
os.remove("running-" + sys.argv[1])
"""


@pytest.fixture
def editors(crew: Crew) -> Crew:
    """A crew that knows the agent above."""
    with (crew.folder / "agents_at_work.py").open("a") as file:
        file.write(EDITOR)
    return crew


def ask(crew: Crew, user: UserRepo, calls: list[Any]) -> Event:
    """Request a task of these calls."""
    task = {"repo": str(user.folder), "commit": user.git("rev-parse", "HEAD"), "calls": calls}
    return crew.request("editor", task)


@pytest.mark.e2e
def test_every_tool_works_in_a_confined_process(editors: Crew, user: UserRepo) -> None:
    """As it does without; and what it does to the world is the workspace's."""
    editors.start("Editor")
    before = user.picture()
    calls = [
        ["read_file", {"path": "README.md"}],
        ["search_files", {"pattern": "def "}],
        ["edit_file", {"path": "src/shop/prices.py", "old_text": "def tax(n", "new_text": "def tax(net"}],
        ["write_file", {"path": "src/shop/prices.py", "text": "def price(n: int) -> int:\n    return n + n\n"}],
        ["run_command", {"command": ["python3", "-c", "print(open('README.md').read())"]}],
        ["run_tests", {"compare": True}],
        ["git_diff", {}],
    ]
    outcome = editors.outcome(ask(editors, user, calls))
    assert outcome.type == "task.succeeded", outcome.data
    value = outcome.data["value"]
    assert [reason for reason, _ in value["answers"]] == [None] * len(calls)
    assert value["answers"][5][1]["status"] == "passed"
    assert value["files_changed"] == ["src/shop/prices.py"]
    assert user.picture() == before
    assert not list((editors.bus.home / "workspaces").glob("*/*"))


@pytest.mark.e2e
def test_a_holder_killed_in_the_middle_of_a_command_leaves_no_trace(
    editors: Crew, user: UserRepo, tmp_path: Path
) -> None:
    """Its command is ended; the next holder begins with the files as recorded, and does only what isn't."""
    go = tmp_path / "go"
    counted = ["python3", "-c", COUNTING]
    calls = [
        ["write_file", {"path": "README.md", "text": "new\n"}],
        ["run_command", {"command": [*counted, "first", "go", str(go)]}],
        ["run_command", {"command": [*counted, "second", "wait", str(go)]}],
        ["write_file", {"path": "last.txt", "text": "last\n"}],
    ]
    first = editors.start("Editor")
    request = ask(editors, user, calls)
    folder = editors.bus.home / "workspaces" / request.run / "0"
    eventually((folder / "running-second").exists)
    os.killpg(first.process.pid, signal.SIGKILL)
    eventually(lambda: not [p for p in psutil.process_iter(["cmdline"]) if str(go) in (p.info["cmdline"] or [])])
    go.touch()
    editors.buried(first)
    editors.start("Editor")
    outcome = editors.outcome(request)
    assert outcome.type == "task.succeeded", outcome.data
    store = next((editors.bus.home / "stores").glob(f"*/{request.run}.git"))
    shown = user.git("--git-dir", str(store), "show", f"{outcome.data['value']['commit']}:count.txt")
    assert shown.split() == ["first", "second"]
    assert outcome.data["value"]["files_changed"] == ["README.md", "count.txt", "last.txt"]
    completed = [event.data["key"] for event in editors.events(request) if event.type == "effect.completed"]
    assert len(completed) == len(set(completed)) == 5
    assert not list((editors.bus.home / "workspaces").glob("*/*"))
    assert "README.md" in picture(user.folder) and user.git("status", "--porcelain") == ""
