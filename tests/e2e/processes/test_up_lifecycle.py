"""`up` from its start to its end: order, environment, states, drain and kill."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

STUBBORN = "trap '' TERM INT; while :; do sleep 1; done"


def test_up_runs_everything_and_down_ends_everything(project: Any, eventually: Any) -> None:
    """`up -d --wait` returns with all processes ready, `ps --json` has the promised keys, `down` leaves nothing."""
    project.write("Procfile", "echo: twelvefold agent echo_agents:Echo\nplain: sleep 4711\n")
    project.run("up", "-d", "--wait", "-c", "echo=2")
    rows = json.loads(project.run("ps", "--json").stdout)
    assert [row["name"] for row in rows] == ["bus.1", "orchestrator.1", "echo.1", "echo.2", "plain.1", "projector.1"]
    assert {row["state"] for row in rows} == {"ready"}
    keys = {"name", "pid", "state", "since", "restarts", "exit", "rss_bytes", "pss_bytes", "lag", "reason", "paused"}
    for row in rows:
        assert set(row) == keys
        assert (row["restarts"], row["exit"]) == (0, None)
        assert 0 < row["pss_bytes"] <= row["rss_bytes"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["since"])
        os.kill(row["pid"], 0)
    assert [row["lag"] for row in rows if row["name"].startswith("echo")] == [0, 0]
    project.run("down")
    assert project.of_this_home() == []
    assert "E307" in project.run("ps", status=5).stderr
    assert "E307" in project.run("down", status=5).stderr


def test_starts_and_exits_are_events(project: Any) -> None:
    """Each process's start, readiness and exit stand in its own stream, with pid, exit and memory; the bus is first."""
    project.write("Procfile", "Echo: twelvefold agent echo_agents:Echo\n")
    project.run("up", "-d", "--wait")
    pid = project.ps()["Echo.1"]["pid"]
    project.run("down")
    events = project.events("process.*")
    assert events[0].stream == "process.bus.1"
    told = [event for event in events if event.stream == "process.echo.1"]
    assert [event.type for event in told] == ["process.started", "process.ready", "process.exited"]
    assert {event.data["pid"] for event in told} == {pid}
    assert told[-1].data["exit"] == 0
    assert told[-1].data["expected"] is True
    assert told[-1].data["rss_bytes"] > 1_000_000
    assert all(event.source.startswith("supervisor.") for event in events)
    ended = [event.stream for event in events if event.type == "process.exited"]
    assert {*ended[:-1]} == {"process.echo.1", "process.projector.1"}
    assert ended[-1] == "process.orchestrator.1"


def test_ctrl_c_lets_processes_finish_and_ends_with_130(project: Any, eventually: Any) -> None:
    """The first Ctrl-C asks each process to stop and waits for what it still does."""
    slow = "trap 'sleep 1; echo finished; exit 0' TERM; echo here; while :; do sleep 0.1; done"
    project.write("Procfile", f"slow: {slow}\n")
    up = project.start("up", "-t", "30")
    eventually(lambda: "here" in project.said("slow"))
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 130
    assert project.said("slow")[-1] == "finished"
    assert project.of_this_home() == []


def test_a_second_ctrl_c_kills(project: Any, eventually: Any) -> None:
    """The second Ctrl-C ends at once what would have had an hour to stop."""
    project.write("Procfile", f"stubborn: echo here; {STUBBORN}\n")
    up = project.start("up", "-t", "3600")
    eventually(lambda: "here" in project.said("stubborn"))
    up.send_signal(signal.SIGINT)
    eventually(lambda: project.states().get("stubborn.1") == "stopping")
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 130
    assert project.of_this_home() == []


def test_what_does_not_stop_in_time_is_killed(project: Any, eventually: Any) -> None:
    """A process that ignores its stop signal is killed after its time, and its exit says so."""
    project.write("Procfile", f"stubborn: echo here; {STUBBORN}\n")
    project.write("Procfile.options", '[stubborn]\nstop_timeout_s = 0.3\nstop_signal = "INT"\n')
    project.run("up", "-d", "--wait")
    eventually(lambda: "here" in project.said("stubborn"))
    project.run("stop", "stubborn")
    [row] = [row for row in project.ps().values() if row["name"] == "stubborn.1"]
    assert (row["state"], row["exit"], row["pid"]) == ("stopped", -9, None)
    project.run("down")


def test_one_up_a_home(project: Any) -> None:
    """A second `up` is refused with the pid of the first, which goes on undisturbed."""
    project.write("Procfile", "plain: sleep 4711\n")
    project.run("up", "-d", "--wait")
    pid = int(project.run("up", "-d", status=4).stderr.split("by process ")[1].split()[0])
    assert Path(f"/proc/{pid}").exists()
    assert "error[E306]" in project.run("up", status=4).stderr
    assert set(project.states().values()) == {"ready"}


def test_children_get_their_environment(project: Any, eventually: Any) -> None:
    """PORT, PS, the marks, `.env` and the trace context reach each process; what was set already wins over `.env`."""
    project.write("Procfile", "first: true\nWeb: env; sleep 4711\n")
    project.write(".env", "FROM_FILE='a b'\nWINS=file\n")
    project.environ |= {"WINS": "environment", "TRACEPARENT": "00-1-2-01", "TWELVEFOLD_INSTANCE": "outer"}
    project.run("up", "-d", "--wait", "-c", "Web=2,first=0", "-p", "7000")
    eventually(lambda: project.said("Web.2"))
    shown = dict(line.split("=", 1) for line in eventually(lambda: project.said("Web.2")) if "=" in line)
    assert shown["PORT"] == "7101"
    assert shown["PS"] == shown["TWELVEFOLD_PROCESS"] == "Web.2"
    assert (shown["FROM_FILE"], shown["WINS"]) == ("a b", "environment")
    assert shown["TRACEPARENT"] == "00-1-2-01"
    assert shown["TWELVEFOLD_INSTANCE"].startswith("web.2.")
    assert (shown["TWELVEFOLD_HOME"], shown["PWD"]) == (str(project.home), str(project.folder))
    # The bus and the orchestrator alone are told the secrets of roles.
    assert "TWELVEFOLD_KEYS" not in shown
    assert not (project.home / "keys").exists()


def test_order_tasks_and_waiting(project: Any, eventually: Any) -> None:
    """A line waits for the task that it comes after; a failed task keeps it waiting, and `ps` says for what."""
    project.write("Procfile", "web: echo up; sleep 4711\nmigrate: test -e done\n")
    project.write("Procfile.options", '[web]\nafter = ["migrate"]\n[migrate]\nkind = "task"\n')
    assert "migrate.1 is given up" in project.run("up", "-d", "--wait", status=1).stderr
    assert project.states()["migrate.1"] == "crashed"
    assert "starting (waits for migrate)" in project.run("ps").stdout
    project.write("done", "")
    project.run("restart", "migrate")
    rows = project.wait_ready("web.1")
    assert (rows["migrate.1"]["state"], rows["migrate.1"]["exit"]) == ("stopped", 0)


def test_exit_on_failure_ends_everything(project: Any) -> None:
    """With --exit-on-failure a process that is given up ends `up` with status 1; the others are stopped in order."""
    project.write("Procfile", "bad: exit 3\ngood: sleep 4711\n")
    project.write("Procfile.options", '[bad]\nrestart = {policy = "always", attempts_max = 1, delay_s = 0.01}\n')
    project.run("up", "--exit-on-failure", status=1)
    assert project.of_this_home() == []
    [crashed] = project.events("process.crashed")
    assert (crashed.stream, crashed.data["exit"]) == ("process.bad.1", 3)


def test_only_the_named_lines_run(project: Any) -> None:
    """`up NAME` runs that line, with the PORT that it always has, beside bus and orchestrator."""
    project.write("Procfile", "first: sleep 4711\nsecond: echo $PORT; sleep 4711\n")
    project.run("up", "-d", "--wait", "SECOND")
    assert sorted(project.states()) == ["bus.1", "orchestrator.1", "projector.1", "second.1"]
    project.run("scale", "first=1")
    assert project.states()["first.1"] == "ready"


def test_mistakes_are_refused_before_anything_starts(project: Any) -> None:
    """Unknown names, formations, options and malformed lines end with their code and place, and start nothing."""
    project.write("Procfile", "web: sleep 1\nWEB: sleep 2\n")
    assert "Procfile:2:1" in project.run("up", status=2).stderr
    project.write("Procfile", "web: sleep 4711\n")
    assert "error[E305]" in project.run("up", "nobody", status=3).stderr
    assert "error[E304]" in project.run("up", "-c", "nobody=1", status=2).stderr
    assert "error[E303]" in project.run("up", "-f", "nowhere", status=3).stderr
    assert "help: touch missing.env" in project.run("up", "-e", "missing.env", status=1).stderr
    project.write("broken.env", "NAME\n")
    assert "broken.env:1:1" in project.run("up", "-e", "broken.env", status=2).stderr
    project.write("Procfile.options", "[web]\nquantitty = 1\n")
    assert "Procfile.options:2:1" in project.run("check", status=2).stderr
    assert project.of_this_home() == []


def test_run_once_gives_the_line_its_terminal_and_status(project: Any) -> None:
    """`run-once` runs one line to its end with the environment of `up` and passes its status on."""
    project.write("Procfile", "web: true\njob: echo $PS $PORT; exit 7\nkilled: kill -TERM $$\n")
    assert project.run("run-once", "job", status=7).stdout == "job.1 5100\n"
    project.run("run-once", "killed", status=143)


def test_check_shows_what_would_run(project: Any) -> None:
    """`check` lists the processes of a valid Procfile, implied ones included, and starts nothing."""
    project.write("Procfile", "web: serve --port $PORT\nbus: twelvefold bus\n")
    found = json.loads(project.run("check", "-c", "web=2", "--json").stdout)
    shown = [(process["name"], process["port"]) for process in found["processes"]]
    assert shown == [("bus.1", 5100), ("orchestrator.1", None), ("web.1", 5000), ("web.2", 5001), ("projector.1", 5200)]
    assert not project.home.exists() or not list(project.home.iterdir())
