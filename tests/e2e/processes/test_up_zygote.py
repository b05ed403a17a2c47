"""Agents forked from the zygote: adopted, unhurt by its death, fresh code; and lines that cannot be forked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from twelvefold.orchestration.home_lock import holder_of
from twelvefold.orchestration.proc_files import environment_of, parent_and_session

pytestmark = pytest.mark.e2e

ENTRY = "echo_agents:Echo"


def title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().strip("\0 ")
    return ""


def supervisor_of(project: Any) -> int:
    holder = holder_of(project.home)
    assert holder is not None
    return holder.pid


def zygotes(project: Any) -> list[int]:
    return [pid for pid in project.of_this_home() if title(pid) == "twelvefold zygote"]


def test_agents_are_forked_and_adopted(project: Any) -> None:
    """Agents are children of the supervisor, lead sessions of their own, and are called by what they are."""
    project.write("Procfile", f"echo: twelvefold agent {ENTRY} --name repeat\n")
    project.run("up", "-d", "--wait", "-c", "echo=5")
    supervisor = supervisor_of(project)
    rows = [row for name, row in project.ps().items() if name.startswith("echo")]
    assert len(rows) == 5
    for row in rows:
        assert parent_and_session(row["pid"]) == (supervisor, row["pid"])
        assert title(row["pid"]) == f"twelvefold agent {row['name']} {ENTRY} --name repeat"
        assert b"TWELVEFOLD_INCARNATION" in environment_of(row["pid"])
        status = Path(f"/proc/{row['pid']}/status").read_text()
        ignored = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")), 16)
        assert not ignored & 1 << (signal.SIGCHLD - 1)
    [zygote] = zygotes(project)
    assert len(list(Path(f"/proc/{zygote}/task").iterdir())) == 1


def test_a_killed_zygote_hurts_no_agent_and_comes_back_when_needed(project: Any, eventually: Any) -> None:
    """kill -9 of the zygote: every agent lives on, and the next ones are forked from a new zygote."""
    project.write("Procfile", f"echo: twelvefold agent {ENTRY}\n")
    project.run("up", "-d", "--wait", "-c", "echo=3")
    before = project.ps()
    [zygote] = zygotes(project)
    os.kill(zygote, signal.SIGKILL)
    eventually(lambda: not zygotes(project))
    project.run("scale", "echo=4")
    after = project.ps()
    assert {name: after[name]["pid"] for name in before} == {name: row["pid"] for name, row in before.items()}
    assert after["echo.4"]["state"] == "ready"
    [new] = zygotes(project)
    assert new != zygote
    assert parent_and_session(after["echo.4"]["pid"])[0] == supervisor_of(project)


def test_a_zygote_that_dies_again_and_again_never_keeps_agents_from_starting(project: Any, eventually: Any) -> None:
    """Whenever the zygote is killed while agents are asked for, each place ends up with exactly one ready agent."""
    project.write("Procfile", f"echo: twelvefold agent {ENTRY}\n")
    project.run("up", "-d", "--wait")
    scaling = project.start("scale", "echo=25")
    killed = 0
    while scaling.poll() is None:
        for pid in zygotes(project):
            if killed < 4:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed += 1
    assert scaling.wait() == 0
    assert killed > 0
    rows = project.wait_ready(*(f"echo.{number}" for number in range(1, 26)))
    agents = {row["pid"] for name, row in rows.items() if name.startswith("echo")}
    named = {pid for pid in project.of_this_home() if ENTRY in title(pid)}
    assert len(agents) == 25
    assert named == agents


def test_a_stopped_zygote_is_replaced(project: Any) -> None:
    """SIGSTOP of the zygote: `scale` ends with every agent ready, born by another one, and no old agent is hurt."""
    project.write("Procfile", f"echo: twelvefold agent {ENTRY}\n")
    project.run("up", "-d", "--wait")
    old = project.ps()["echo.1"]["pid"]
    [zygote] = zygotes(project)
    os.kill(zygote, signal.SIGSTOP)
    project.run("scale", "echo=3")
    assert project.ps()["echo.1"]["pid"] == old
    [new] = zygotes(project)
    assert new != zygote
    os.kill(new, signal.SIGSTOP)
    project.run("down")
    assert project.of_this_home() == []


def test_a_process_that_is_stopped_while_it_bears_agents_is_replaced(project: Any, eventually: Any) -> None:
    """SIGSTOP of the process between zygote and agents: every place ends up with one ready agent, adopted."""
    project.write("Procfile", f"echo: twelvefold agent {ENTRY}\n")
    project.run("up", "-d", "--wait")
    [zygote] = zygotes(project)
    scaling = project.start("scale", "echo=40")
    children = Path(f"/proc/{zygote}/task/{zygote}/children")
    stopped = 0
    while scaling.poll() is None:
        with contextlib.suppress(OSError):
            for pid in children.read_text().split() if not stopped else ():
                os.kill(int(pid), signal.SIGSTOP)
                stopped += 1
    assert scaling.wait() == 0
    rows = project.wait_ready(*(f"echo.{number}" for number in range(1, 41)))
    agents = {row["pid"] for name, row in rows.items() if name.startswith("echo")}
    eventually(lambda: {pid for pid in project.of_this_home() if ENTRY in title(pid)} == agents)
    assert {parent_and_session(pid)[0] for pid in agents} == {supervisor_of(project)}
    assert stopped > 0


def test_nothing_of_chance_is_shared_by_agents(project: Any) -> None:
    """Agents of one zygote draw different lots, have nothing open but their output, and find TMPDIR by themselves."""
    project.write(
        "lots.py",
        """
import json, os, random, signal, ssl, tempfile, threading, uuid
import twelvefold as tf
print(json.dumps({
    "lots": [random.random(), next(tempfile._get_candidate_names()), str(uuid.uuid1()), str(uuid.uuid4()),
             ssl.RAND_bytes(8).hex()],
    "tempdir": tempfile.tempdir,
    "open": sorted(fd for fd in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{fd}")),
    "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "wakeup": signal.set_wakeup_fd(-1),
    "thread": threading.main_thread().native_id - os.getpid(),
}), flush=True)
class Lots(tf.BaseAgent):
    def execute_task(self, task, context): return tf.ToolResponse(success=True)
""",
    )
    project.write("Procfile", "lots: twelvefold agent lots:Lots\n")
    project.run("up", "-d", "--wait", "-c", "lots=3")
    said = [json.loads(line) for line in project.said("lots") if line.startswith("{")]
    lots = [lot for one in said for lot in one.pop("lots")]
    assert len(lots) == len(set(lots)) == 15
    clean = {"tempdir": None, "open": [0, 1, 2], "blocked": 0, "wakeup": -1, "thread": 0}
    assert said == [clean] * 3


def test_a_zygote_killed_while_it_gets_ready_leaves_no_folder(project: Any, tmp_path: Path) -> None:
    """`up` that is ended at once leaves nothing among the temporary files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    project.environ["TMPDIR"] = str(temporary)
    project.write("Procfile", f"echo: twelvefold agent {ENTRY}\n")
    for _ in range(2):
        project.run("up", "-d")
        project.run("down")
    assert list(temporary.iterdir()) == []


def test_agents_run_the_code_that_is_there_when_they_start(project: Any, eventually: Any) -> None:
    """A restarted agent runs its module as it is now: user code is imported after the fork."""
    agents = "import twelvefold as tf\nprint('version {}', flush=True)\nclass Echo(tf.BaseAgent):\n    pass\n"
    body = "    def execute_task(self, task, context): return tf.ToolResponse(success=True)\n"
    project.write("mine.py", agents.format("one") + body)
    project.write("Procfile", "mine: twelvefold agent mine:Echo\n")
    project.run("up", "-d", "--wait")
    assert "version one" in project.said("mine")
    project.write("mine.py", agents.format("two and more") + body)
    project.run("restart", "mine")
    eventually(lambda: "version two and more" in project.said("mine"))


def test_lines_that_cannot_be_forked_are_spawned(project: Any, eventually: Any) -> None:
    """A pipeline, an assignment and another interpreter's `twelvefold` run through a shell, and get ready too."""
    other = project.folder / "other"
    other.mkdir()
    script = other / "twelvefold"
    script.write_text(f'#!/bin/sh\necho other interpreter\nexec {Path(sys.executable).with_name("twelvefold")} "$@"\n')
    script.chmod(0o755)
    project.write(
        "Procfile",
        f"piped: twelvefold agent {ENTRY} 2>&1 | cat\n"
        f"assigned: X=1 twelvefold agent {ENTRY}\n"
        f"plain: twelvefold agent {ENTRY}\n",
    )
    project.environ["PATH"] = f"{other}:{project.environ['PATH']}"
    project.run("up", "-d", "--wait")
    assert set(project.states().values()) == {"ready"}
    assert all("other interpreter" in project.said(name) for name in ("piped", "assigned", "plain"))
    assert zygotes(project) == []
    project.run("down")
    assert project.of_this_home() == []


def test_an_agent_that_cannot_start_says_why(project: Any) -> None:
    """A module that isn't there, or fails on import, is named in the agent's output, and the place is given up."""
    project.write("broken.py", "raise RuntimeError('not today')\n")
    project.write("Procfile", "lost: twelvefold agent nowhere:Echo\nbroken: twelvefold agent broken:Echo\n")
    once = '{policy = "always", attempts_max = 1, delay_s = 0.01}'
    project.write("Procfile.options", f"[lost]\nrestart = {once}\n[broken]\nrestart = {once}\n")
    project.run("up", "-d", "--wait", status=1)
    assert any("nowhere" in line for line in project.said("lost"))
    project.run("restart", "broken", status=1)
    assert any("not today" in line for line in project.said("broken"))


@pytest.mark.long
def test_an_agent_is_ready_even_if_it_is_heard_before_its_birth_is_told(project: Any) -> None:
    """Many agents born at once all become ready: the bus may tell of one before the zygote does."""
    project.write("Procfile", "echo: twelvefold agent echo_agents:Echo\n")
    for _ in range(3):
        project.run("up", "-d", "--wait", "-c", "echo=60")
        assert {row["state"] for row in project.ps().values()} == {"ready"}
        project.run("down")
