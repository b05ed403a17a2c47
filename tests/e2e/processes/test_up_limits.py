"""Processes that take more than they may: they end, the event says why, siblings live, the work is told truthfully."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from twelvefold.orchestration.proc_files import all_pids, group_of, parent_and_session

pytestmark = pytest.mark.e2e

GREEDY = '''
import os, resource, subprocess, sys, time
import twelvefold as tf


def limits():
    return {
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "cpu": resource.getrlimit(resource.RLIMIT_CPU)[0],
        "data": resource.getrlimit(resource.RLIMIT_DATA)[0],
        "cores": len(os.sched_getaffinity(0)),
        "nice": os.nice(0),
    }


AT_IMPORT = limits()


class Greedy(tf.BaseAgent):
    """Takes as much as it is asked to."""

    def execute_task(self, task):
        return tf.ToolResponse.succeeded(getattr(self, task)())

    def limits(self):
        return {"at_import": AT_IMPORT, "now": limits()}

    def eat_slowly(self):
        kept = []
        while True:
            kept.append(b"x" * (4 << 20))
            time.sleep(0.01)

    def eat_at_once(self):
        kept = b"x" * (700 << 20)
        time.sleep(600)
        return len(kept)

    def eat_in_children(self):
        eat = "import time; kept = b'x' * (60 << 20); time.sleep(600)"
        children = [subprocess.Popen([sys.executable, "-c", eat]) for _ in range(3)]
        return [child.wait() for child in children]

    def eat_the_impossible(self):
        return len(b"x" * (64 << 30))

    def reserve(self):
        """Ask for much address space and threads, and touch little of it, as any program may."""
        import mmap, threading
        spaces = [mmap.mmap(-1, 1 << 30, prot=mmap.PROT_READ) for _ in range(8)]
        done = threading.Event()
        threads = [threading.Thread(target=done.wait) for _ in range(40)]
        [thread.start() for thread in threads]
        done.set()
        [thread.join() for thread in threads]
        return len(spaces)

    def bomb(self):
        """A fork bomb, but for its end: no more than 400."""
        for _ in range(400):
            if not os.fork():
                time.sleep(600)
                os._exit(0)
        time.sleep(600)

    def open_files(self):
        kept = []
        try:
            while len(kept) < 10_000:
                kept.append(open("/dev/null"))
        except OSError as error:
            found = (len(kept), error.errno)
            kept.clear()
            return found

    def burn(self):
        while True:
            pass

    def burn_in_children(self):
        while True:
            subprocess.run([sys.executable, "-c", "sum(range(10_000_000))"], check=True)
'''
ASK = """
import json, sys
import twelvefold as tf

with tf.connect_sync() as bus:
    run = bus.submit(tf.Task(sys.argv[1], sys.argv[2]))
    if len(sys.argv) > 3:
        print(run)
    else:
        result = bus.wait(run, timeout_s=90)
        print(json.dumps({"outcome": result.outcome, "value": result.value, "error": result.error}, default=str))
"""


@pytest.fixture
def greedy(project: Any) -> Any:
    """A project with the greedy agent and a sibling that must live."""
    project.write("greedy_agents.py", GREEDY)
    project.write("ask.py", ASK)
    agents = {"greedy": "greedy_agents:Greedy", "echo": "echo_agents:Echo"}
    project.write("Procfile", "".join(f"{name}: twelvefold agent {agent}\n" for name, agent in agents.items()))
    return project


def descendants_of_session(leader: int) -> list[int]:
    """The processes that are left of the session that a process led."""
    return [pid for pid in all_pids() if parent_and_session(pid)[1] == leader and group_of(pid)]


def ask(project: Any, *arguments: str) -> str:
    """Ask an agent of the project for a task, and return what the asking program printed."""
    done = subprocess.run(
        [sys.executable, "ask.py", *arguments], cwd=project.folder, env=project.environ, check=True, timeout=120,
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("limits", "task", "reason", "limit"),
    [
        ('memory = "120MB"', "eat_slowly", "memory", 120 << 20),
        ('memory = "120MB"', "eat_at_once", "memory", 120 << 20),
        ('memory = "120MB"', "eat_in_children", "memory", 120 << 20),
        ("processes = 20", "bomb", "processes", 20),
        ("cpu_seconds = 1", "burn", "cpu_seconds", 1),
        ("cpu_seconds = 1.5", "burn_in_children", "cpu_seconds", 1.5),
    ],
)
def test_what_is_over_a_limit_ends_and_the_event_says_why(
    greedy: Any, eventually: Any, limits: str, task: str, reason: str, limit: float
) -> None:
    """Each limit ends the agent and all that it started; the event names limit and use; bus and sibling live on."""
    greedy.write("Procfile.options", f"[greedy]\n{limits}\n")
    greedy.environ["TWELVEFOLD_ATTEMPTS_MAX"] = "1"
    greedy.run("up", "-d", "--wait")
    before = greedy.ps()
    run = ask(greedy, "greedy", task, "only start")
    [exited] = eventually(lambda: greedy.events("process.exited", "process.greedy.1"))
    assert (exited.data["reason"], exited.data["limit"], exited.data["expected"]) == (reason, limit, False)
    assert exited.data["used"] > limit or (reason == "cpu_seconds" and exited.data["used"] == limit)
    # The only attempt is over with its process: nobody gets it again, and the run says so.
    [failed] = eventually(lambda: greedy.events("run.failed"))
    assert (failed.run, failed.data["reason"]) == (run, "parked")
    assert "its process ended" in failed.data["error"]
    after = greedy.wait_ready("greedy.1", "echo.1")
    assert after["greedy.1"]["pid"] != before["greedy.1"]["pid"]
    assert after["greedy.1"]["reason"] == reason
    for name in ("bus.1", "orchestrator.1", "echo.1"):
        assert (after[name]["pid"], after[name]["restarts"]) == (before[name]["pid"], 0)
    eventually(lambda: not descendants_of_session(before["greedy.1"]["pid"]))
    assert any(f"over {reason}" in line for line in greedy.said("supervisor"))
    assert ask(greedy, "echo", "still here").startswith('{"outcome": "succeeded", "value": "still here"')


def test_what_the_kernel_refuses_is_the_tasks_own_failure(greedy: Any) -> None:
    """Files beyond the limit and memory that could never be are refused; the agent lives, and its task says so."""
    greedy.write("Procfile.options", '[greedy]\nopen_files = 64\nmemory = "200MB"\n')
    greedy.run("up", "-d", "--wait")
    before = greedy.ps()["greedy.1"]["pid"]
    answer = ask(greedy, "greedy", "open_files")
    assert '"outcome": "succeeded"' in answer
    assert ", 24]" in answer  # EMFILE
    answer = ask(greedy, "greedy", "eat_the_impossible")
    assert '"outcome": "failed"' in answer
    assert "MemoryError" in answer
    assert '"value": 8' in ask(greedy, "greedy", "reserve")
    assert greedy.ps()["greedy.1"]["pid"] == before
    assert greedy.events("process.exited", "process.greedy.1") == []


@pytest.mark.parametrize("command", ["twelvefold agent", "exec twelvefold agent"])
def test_limits_hold_before_any_code_of_the_user_runs(greedy: Any, command: str) -> None:
    """Forked from the zygote or started by a shell: the module sees its limits while it is imported, and so after."""
    greedy.write("Procfile", f"greedy: {command} greedy_agents:Greedy\n")
    options = 'open_files = 128\ncpu_seconds = 600\nmemory = "300MB"\ncpus = 1\nnice = 5\n'
    greedy.write("Procfile.options", f"[greedy]\n{options}")
    greedy.run("up", "-d", "--wait")
    answer = ask(greedy, "greedy", "limits")
    value = json.loads(answer)["value"]
    assert value["at_import"] == value["now"]
    assert (value["now"]["files"], value["now"]["cpu"], value["now"]["cores"]) == (128, 600, 1)
    assert value["now"]["nice"] == 5
    assert 300 << 20 < value["now"]["data"] < 3 << 30


def test_a_limit_that_cannot_be_put_on_keeps_the_process_from_starting(greedy: Any) -> None:
    """A core that the machine lacks: the process never runs unlimited, is given up, and its output says why."""
    greedy.write("Procfile", "plain: sleep 4711\n")
    greedy.write("Procfile.options", "[plain]\ncpus = [4000]\nrestart = {attempts_max = 1, delay_s = 0.01}\n")
    greedy.run("up", "-d", "--wait", status=1)
    assert greedy.ps()["plain.1"]["state"] == "crashed"
    assert any("cannot be limited as asked" in line for line in greedy.said("plain"))
    assert greedy.pids("4711") == []


def test_one_that_is_over_again_and_again_is_given_up_with_the_reason(greedy: Any, eventually: Any) -> None:
    """The restart policy counts these ends like others; `process.crashed` says what it was."""
    greedy.write("Procfile", "hog: python -c \"import time; x = b'x' * (200 << 20); time.sleep(600)\"\n")
    greedy.write("Procfile.options", '[hog]\nmemory = "64MB"\nrestart = {attempts_max = 1, delay_s = 0.01}\n')
    greedy.run("up", "-d")
    greedy.wait_ready("bus.1")
    [event] = eventually(lambda: greedy.events("process.crashed"))
    assert (event.data["reason"], event.data["limit"]) == ("memory", 64 << 20)
    assert event.data["used"] > 64 << 20
    assert "was over memory" in greedy.run("ps").stdout
    greedy.run("down")
