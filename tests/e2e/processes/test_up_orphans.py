"""Nobody outlives whoever started it: grandchildren, daemons, and all that a killed `up` leaves behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

#: Starts a grandchild in the group, one in a session of its own, and a daemon that hides its environment.
PARENT = "sleep 1001 & setsid sleep 1002 & (setsid env -i sleep 1003 &) ; echo ready; exec sleep 1004"


def alive(project: Any, *words: str) -> list[str]:
    return [word for word in words if project.pids(word)]


def words_of(n: int) -> list[str]:
    """Numbers that no other test's processes sleep for."""
    return [f"{os.getpid()}.{n}{k}" for k in (1, 2, 3, 4)]


def command(words: list[str]) -> str:
    text = PARENT
    for number, word in zip(("1001", "1002", "1003", "1004"), words, strict=True):
        text = text.replace(number, word)
    return text


@pytest.mark.parametrize("how", ["kill", "stop", "down", "scale"])
def test_grandchildren_die_with_their_process(project: Any, eventually: Any, how: str) -> None:
    """However a process ends, all that it has started ends with it, daemons in sessions of their own included."""
    words = words_of({"kill": 1, "stop": 2, "down": 3, "scale": 4}[how])
    project.write("Procfile", f"parent: {command(words)}\n")
    project.write("Procfile.options", '[parent]\nrestart = "never"\n')
    project.run("up", "-d", "--wait")
    eventually(lambda: alive(project, *words) == words)
    if how == "kill":
        os.kill(project.ps()["parent.1"]["pid"], signal.SIGKILL)
    else:
        project.run(*{"stop": ["stop", "parent"], "down": ["down"], "scale": ["scale", "parent=0"]}[how])
    eventually(lambda: not alive(project, *words))
    assert any("which parent.1 had left behind" in line for line in project.said("supervisor"))


def test_a_daemon_of_a_living_process_is_left_alone(project: Any, eventually: Any) -> None:
    """When a sibling dies, what a living process has sent into the background goes on."""
    word = words_of(5)[0]
    project.write("Procfile", f"one: (setsid sleep {word} &) ; exec sleep 4711\ntwo: exec sleep 4712\n")
    project.run("up", "-d", "--wait")
    [daemon] = eventually(lambda: project.pids(word))
    os.kill(project.ps()["two.1"]["pid"], signal.SIGKILL)
    eventually(lambda: project.ps()["two.1"]["restarts"] == 1)
    project.wait_ready("two.1")
    assert project.pids(word) == [daemon]


def test_a_killed_up_takes_its_children_along_and_the_next_one_finds_the_rest(project: Any, eventually: Any) -> None:
    """kill -9 of `up`: its children die with it; what hid from it is ended by the next `up`, which then works."""
    words = words_of(6)
    project.write("Procfile", f"parent: {command(words)}\necho: twelvefold agent echo_agents:Echo\n")
    up = project.start("up")
    rows = project.wait_ready("parent.1", "echo.1", "orchestrator.1")
    eventually(lambda: alive(project, *words) == words)
    up.kill()
    up.wait()
    eventually(lambda: not any(Path(f"/proc/{row['pid']}").exists() for row in rows.values()))
    project.run("ps", status=5)
    project.run("up", "-d", "--wait")
    eventually(lambda: len(project.pids(words[1])) == 1)
    eventually(lambda: len(project.pids(words[0])) == 1)
    fresh = project.ps()
    assert not {row["pid"] for row in fresh.values()} & {row["pid"] for row in rows.values()}
    assert any("had left behind" in line for line in project.said("supervisor"))
    project.run("down")
    # The one without any mark can be told from a stranger only by whoever adopted it: that `up` is dead.
    for pid in project.pids(words[2]):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: alive(project, *words) == [])


def test_other_homes_are_left_alone(project: Any, tmp_path: Path, eventually: Any) -> None:
    """Cleaning up after a killed `up` touches no process of another home."""
    word = words_of(7)[0]
    environ = {**project.environ, "TWELVEFOLD_HOME": str(tmp_path / "other"), "TWELVEFOLD_INCARNATION": "older"}
    pid = os.posix_spawnp("sleep", ["sleep", word], environ)
    try:
        project.write("Procfile", "plain: sleep 4711\n")
        project.run("up", "-d", "--wait")
        project.run("down")
        assert project.pids(word) == [pid]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
