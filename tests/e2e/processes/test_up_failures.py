"""Processes that die, hang or come back: their siblings, the bus, and what `ps` and the log say of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def test_a_killed_process_comes_back_and_siblings_do_not_notice(project: Any, eventually: Any) -> None:
    """kill -9 of one process: a new one in its place, the event names the signal, all others keep their pids."""
    project.write("Procfile", "echo: twelvefold agent echo_agents:Echo\nplain: sleep 4711\n")
    project.run("up", "-d", "--wait", "-c", "echo=2")
    before = project.ps()
    os.kill(before["echo.1"]["pid"], signal.SIGKILL)
    eventually(lambda: project.ps()["echo.1"]["restarts"] == 1)
    after = project.wait_ready("echo.1")
    assert after["echo.1"]["pid"] != before["echo.1"]["pid"]
    assert after["echo.1"]["exit"] == -9
    for name in ("bus.1", "orchestrator.1", "echo.2", "plain.1"):
        assert after[name]["pid"] == before[name]["pid"]
    types = [event.type for event in project.events("process.*", "process.echo.1")]
    assert types == [
        "process.started", "process.ready", "process.exited", "process.started", "process.restarted", "process.ready",
    ]  # fmt: skip
    [exited] = project.events("process.exited")
    assert (exited.data["signal"], exited.data["exit"], exited.data["expected"]) == (9, None, False)


def test_giving_up_is_visible_and_restart_revives(project: Any, eventually: Any) -> None:
    """A process that fails again and again is `crashed`, told as an event; `restart` tries anew, and fails with 1."""
    project.write("Procfile", "bad: test -e good && sleep 4711\nfine: sleep 4711\n")
    project.write("Procfile.options", '[bad]\nrestart = {policy = "always", attempts_max = 3, delay_s = 0.01}\n')
    project.run("up", "-d", "--wait", status=1)
    row = project.ps()["bad.1"]
    assert (row["state"], row["exit"], row["restarts"], row["pid"]) == ("crashed", 1, 3, None)
    assert project.states()["fine.1"] == "ready"
    [crashed] = project.events("process.crashed")
    assert crashed.data["attempts"] == 4
    project.run("restart", "bad.1", status=0)
    eventually(lambda: project.states()["bad.1"] == "crashed")
    project.write("good", "")
    project.run("restart", "bad")
    eventually(lambda: project.states()["bad.1"] == "ready")


def test_the_bus_comes_back_first_and_agents_reconnect_by_themselves(project: Any, eventually: Any) -> None:
    """kill -9 of the bus: it is back without any other process having been restarted, and an agent takes work again."""
    project.write("Procfile", "echo: twelvefold agent echo_agents:Echo\n")
    project.run("up", "-d", "--wait")
    before = project.ps()
    os.kill(before["bus.1"]["pid"], signal.SIGKILL)
    eventually(lambda: project.ps().get("bus.1", {}).get("restarts") == 1)
    project.wait_ready("bus.1")
    project.run("emit", "demo.happened")
    eventually(lambda: project.ps()["echo.1"]["lag"] == 0)  # the bus knows it as a member of its queue again
    after = project.wait_ready("echo.1", "orchestrator.1")
    for name in ("echo.1", "orchestrator.1"):
        assert (after[name]["pid"], after[name]["restarts"]) == (before[name]["pid"], 0)


def test_what_dies_while_the_bus_is_down_is_told_afterwards(project: Any, eventually: Any) -> None:
    """Exits during an outage of the bus are kept and appended once it is back."""
    project.write("Procfile", "plain: sleep 4711\n")
    project.run("up", "-d", "--wait")
    before = project.ps()
    os.kill(before["bus.1"]["pid"], signal.SIGSTOP)
    os.kill(before["plain.1"]["pid"], signal.SIGKILL)
    eventually(lambda: project.states().get("plain.1") in ("ready", "starting") and project.pids("4711"))
    os.kill(before["bus.1"]["pid"], signal.SIGKILL)

    def told() -> list[str]:
        return [event.type for event in project.events("process.*", "process.plain.1")]

    eventually(lambda: len(told()) >= 6)
    assert told()[:3] == ["process.started", "process.ready", "process.exited"]
    eventually(lambda: [event.data["signal"] for event in project.events("process.exited")] == [9, 9])


def test_a_corrupt_log_is_not_tried_again_and_again(project: Any) -> None:
    """A bus that cannot be helped by starting it again is given up at once, and `up --wait` says so."""
    project.home.mkdir()
    (project.home / "log.db").write_bytes(b"This is not a database." * 1000)
    project.write("Procfile", "plain: sleep 4711\n")
    assert "bus.1 is given up" in project.run("up", "-d", "--wait", status=1).stderr
    row = project.ps()["bus.1"]
    assert (row["state"], row["restarts"]) == ("crashed", 0)
    assert project.states()["plain.1"] == "starting"
    project.run("down")
    assert project.of_this_home() == []


def test_a_slow_bus_is_told_of_every_end_before_its_own(project: Any, eventually: Any) -> None:
    """`down` while the bus takes nothing for a while: it ends as soon as that is over, and no exit is lost."""
    project.write("Procfile", "plain: sleep 4711\n")
    project.run("up", "-d", "--wait")
    before = project.ps()
    os.kill(before["bus.1"]["pid"], signal.SIGSTOP)
    down = project.start("down")
    eventually(lambda: any("orchestrator.1 ended" in line for line in project.said("supervisor")))
    time.sleep(3.0)  # longer than one try to send takes
    os.kill(before["bus.1"]["pid"], signal.SIGCONT)
    assert down.wait(60) == 0
    exited = {event.data["process"]: event.data["signal"] for event in project.events("process.exited")}
    assert exited == {"plain.1": 15, "orchestrator.1": None, "projector.1": None}
    assert not any("bus.1 (pid" in line for line in project.said("supervisor")), "it was killed"


def test_a_stopped_agent_that_holds_work_is_killed_and_replaced(project: Any, eventually: Any) -> None:
    """SIGSTOP of an agent in the middle of a task: the bus has it killed, and another process takes the task."""
    project.write(
        "slow_agents.py",
        "import os, time\nimport twelvefold as tf\n"
        "class Slow(tf.BaseAgent):\n"
        "    def register_tools(self): return []\n"
        "    def execute_task(self, task, context):\n"
        "        print('working', os.getpid(), flush=True)\n"
        "        while not os.path.exists(task): time.sleep(0.05)\n"
        "        return tf.ToolResponse(success=True, data=os.getpid())\n",
    )
    project.write("Procfile", "slow: twelvefold agent slow_agents:Slow\n")
    project.environ["TWELVEFOLD_LEASE_S"] = "1"
    project.run("up", "-d", "--wait")
    submit = (
        "import sys, twelvefold as tf\n"
        "with tf.connect_sync() as bus:\n"
        "    print(bus.submit(tf.Task('slow', sys.argv[1])))\n"
    )
    project.write("submit.py", submit)
    subprocess.run(
        [sys.executable, "submit.py", str(project.folder / "go")], cwd=project.folder, env=project.environ, check=True
    )
    first = project.ps()["slow.1"]["pid"]
    eventually(lambda: f"working {first}" in project.said("slow"))
    eventually(lambda: project.states()["slow.1"] == "busy")
    os.kill(first, signal.SIGSTOP)
    second = eventually(lambda: next((p for p in [project.ps()["slow.1"]["pid"]] if p not in (first, None)), None))
    eventually(lambda: f"working {second}" in project.said("slow"))
    project.write("go", "")
    [done] = eventually(lambda: project.events("run.succeeded"))
    assert str(second) in str(done.data)
    exited = [event for event in project.events("process.exited") if event.data["pid"] == first]
    assert [event.data["signal"] for event in exited] == [9]
