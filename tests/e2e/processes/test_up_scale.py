"""Scaling, restarting and stopping parts of a running `up`; and supervisors that belong to nobody."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints

pytestmark = pytest.mark.e2e


def test_scale_adds_and_takes_away_the_last_ones(project: Any) -> None:
    """`scale` returns when the line has its count; first ones keep their pids, new ones get the next ports."""
    project.write("Procfile", "first: sleep 4711\nWeb: echo port $PORT; exec sleep 4711\n")
    project.run("up", "-d", "--wait")
    pid = project.ps()["Web.1"]["pid"]
    project.run("scale", "web=3")
    rows = project.ps()
    assert [name for name in rows if name.startswith("Web")] == ["Web.1", "Web.2", "Web.3"]
    assert rows["Web.1"]["pid"] == pid
    assert project.said("Web.3") == ["port 5102"]
    project.run("scale", "Web=1", "first=0")
    assert sorted(project.states()) == ["Web.1", "bus.1", "orchestrator.1", "projector.1"]
    project.run("scale", "Web=2")
    assert project.states()["Web.2"] == "ready"


def test_scale_refuses_what_makes_no_sense(project: Any) -> None:
    """Unknown names, counts that are none, and a second bus are refused with their code; nothing changes."""
    project.write("Procfile", "web: exec sleep 4711\n")
    project.run("up", "-d", "--wait")
    before = project.ps().keys()
    assert "error[E305]" in project.run("scale", "nobody=2", status=3).stderr
    assert "error[E304]" in project.run("scale", "web", status=2).stderr
    assert "always exactly one bus" in project.run("scale", "bus=2", status=2).stderr
    assert "error[E305]" in project.run("stop", "nobody", status=3).stderr
    assert project.ps().keys() == before


def test_stop_restart_and_start_again(project: Any) -> None:
    """`stop NAME.N` stops one and it stays so; `restart NAME` brings all of a line up, each as a new process."""
    project.write("Procfile", "web: exec sleep 4711\n")
    project.run("up", "-d", "--wait", "-c", "web=2")
    before = project.ps()
    project.run("stop", "WEB.2")
    assert project.states() == {**dict.fromkeys(before, "ready"), "web.2": "stopped"}
    project.run("restart", "web")
    after = project.ps()
    assert {after[name]["state"] for name in ("web.1", "web.2")} == {"ready"}
    assert not {before[f"web.{n}"]["pid"] for n in (1, 2)} & {after[f"web.{n}"]["pid"] for n in (1, 2)}
    assert after["bus.1"]["pid"] == before["bus.1"]["pid"]


@pytest.mark.long
def test_a_line_without_a_process_is_still_known(project: Any) -> None:
    """Scaled to 0, a line is listed as nothing, may be stopped, says how to have one again, and keeps its place."""
    project.write("Procfile", "web: exec sleep 4711\nlast: exec sleep 4711\n")
    project.run("up", "-d", "--wait", "-c", "web=0")
    assert json.loads(project.run("ps", "web", "--json").stdout) == []
    project.run("stop", "web")
    assert "twelvefold scale web=1" in project.run("restart", "web", status=2).stderr
    project.run("scale", "web=1")
    assert list(project.ps()) == ["bus.1", "orchestrator.1", "web.1", "last.1", "projector.1"]
    project.run("stop", "web.1")
    project.run("stop", "web.1")
    assert project.states()["web.1"] == "stopped"


def test_restart_of_the_bus_leaves_agents_running(project: Any) -> None:
    """`restart bus` replaces the bus alone; agents are members of the new one."""
    project.write("Procfile", "echo: twelvefold agent echo_agents:Echo\n")
    project.run("up", "-d", "--wait")
    before = project.ps()
    project.run("restart", "bus")
    after = project.wait_ready("bus.1", "echo.1")
    assert after["bus.1"]["pid"] != before["bus.1"]["pid"]
    assert after["echo.1"]["pid"] == before["echo.1"]["pid"]
    project.run("emit", "demo.happened")


def test_garbage_on_the_control_socket_is_dropped(project: Any) -> None:
    """Frames that are no request are dropped, and the supervisor goes on answering."""
    import zmq

    project.write("Procfile", "web: exec sleep 4711\n")
    project.run("up", "-d", "--wait")
    [control] = list(Path(project.runtime).rglob("control"))
    context: Any = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(f"ipc://{control}")
    for frames in ([b""], [b"", b"{"], [b"x" * 1000], [b"", b'{"op":"destroy"}'], [b"", b"\xff"], [b"", b"{}", b""]):
        socket.send_multipart(frames)
    socket.close()
    context.term()
    assert project.states()["web.1"] == "ready"


def test_a_supervisor_dies_quietly_with_its_terminal(project: Any, eventually: Any) -> None:
    """SIGHUP, as when a terminal closes, ends a foreground `up` like Ctrl-C; a detached one is out of its reach."""
    project.write("Procfile", "web: exec sleep 4711\n")
    up = project.start("up")
    project.wait_ready("web.1")
    up.send_signal(signal.SIGHUP)
    assert up.wait(60) == 129
    assert project.of_this_home() == []


EPHEMERAL = """
import os, sys
from pathlib import Path
from twelvefold.orchestration.procfile import ProcfileLine
from twelvefold.orchestration.supervising import join_or_start
from twelvefold.orchestration.supervisor_plan import SupervisorPlan
home, runtime, idle_s = sys.argv[1:]
Path(home).mkdir(mode=0o700, exist_ok=True)
plan = SupervisorPlan(
    home=home, runtime_dir=runtime, cwd=os.getcwd(), environ=dict(os.environ), idle_s=float(idle_s),
    lines=(ProcfileLine("echo", "twelvefold agent echo_agents:Echo"),),
)
pid, ours = join_or_start(plan)
print(pid, ours)
"""


def ephemeral(project: Any, idle_s: float) -> subprocess.Popen[str]:
    script = project.folder / "ephemeral.py"
    if not script.exists():  # written once: an interpreter that finds it empty for a moment does nothing, and well
        project.write(script.name, EPHEMERAL)
    arguments = [sys.executable, str(script), str(project.home), str(project.runtime), str(idle_s)]
    return subprocess.Popen(
        arguments, cwd=project.folder, env=project.environ, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def test_runs_at_the_same_moment_share_one_supervisor(project: Any, eventually: Any) -> None:
    """However many ask at once, one supervisor is started, all are told its pid, and it outlives who started it."""
    asking = [ephemeral(project, 60) for _ in range(4)]
    answers = [process.communicate(timeout=60)[0].split() for process in asking]
    assert [process.returncode for process in asking] == [0] * 4
    assert len({pid for pid, _ in answers}) == 1
    assert [ours for _, ours in answers].count("True") == 1
    project.wait_ready("echo.1", "orchestrator.1")
    os.kill(int(answers[0][0]), 0)
    project.run("down")
    assert project.of_this_home() == []


def test_what_belongs_to_nobody_ends_by_itself(project: Any, eventually: Any) -> None:
    """A shared supervisor ends once there has been neither a client nor an open run for its time, and not before."""
    pid = int(ephemeral(project, 3).communicate(timeout=60)[0].split()[0])
    # Connected as soon as there is a bus, and longer than the time without use that is allowed.
    with BusClient(endpoints(project.home, project.runtime), timeout_s=60) as client:
        began = client.emit("demo.began")
        until = time.monotonic() + 6
        eventually(lambda: client.head() >= began.position and time.monotonic() > until)
        assert not any("ending" in line for line in project.said("supervisor"))
    eventually(lambda: not Path(f"/proc/{pid}").exists() or project.of_this_home() == [])
    assert project.said("supervisor")[-1].startswith("bus.1 ended")
    assert any("ending" in line for line in project.said("supervisor"))


def test_what_belongs_to_nobody_ends_with_its_home(project: Any, eventually: Any) -> None:
    """A shared supervisor whose home was removed can't be reached by any command, so it ends by itself."""
    pid = int(ephemeral(project, 600).communicate(timeout=60)[0].split()[0])
    project.wait_ready("echo.1", "orchestrator.1")

    def removed() -> bool:
        shutil.rmtree(project.home, ignore_errors=True)  # somebody may be writing a file there
        return not project.home.exists()

    eventually(removed)
    eventually(lambda: not Path(f"/proc/{pid}").exists() and project.of_this_home() == [])
