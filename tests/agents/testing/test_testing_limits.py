"""Tests that misbehave: they hang, flood, fork daemons, are killed, write where they shouldn't."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from twelvefold.agents.guarded import Execution, Limits, alone, run_guarded

ADD = "def add(a, b):\n    return a + b\n"
PASSING = "from calc import add\n\ndef test_add():\n    assert add(2, 1) == 3\n"


def run(tmp_path: Path, code: str, **options: Any) -> Execution:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    limits = Limits(**{"timeout_s": 60.0, **options.pop("limits", {})})
    argv = [sys.executable, "-c", textwrap.dedent(code)]
    return run_guarded(argv, folder=tmp_path, env=dict(os.environ), scratch=scratch, limits=limits, **options)


def marked(mark: str) -> list[int]:
    """Processes whose command line bears a mark."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if any(mark in word for word in process.info["cmdline"] or []):
            found.append(process.pid)
    return found


def test_exit_code_output_and_folder(tmp_path: Path) -> None:
    """A command runs in its folder with no input; its exit code and both kinds of output come back."""
    code = "import os, sys; print(os.getcwd(), sys.stdin.read() == ''); print('err', file=sys.stderr); sys.exit(3)"
    done = run(tmp_path, code)
    assert (done.exit_code, done.stopped, done.problem) == (3, "", "")
    assert f"{tmp_path} True" in done.tail
    assert "err" in done.tail


def test_signal_and_missing_program(tmp_path: Path) -> None:
    """A signal is told from an exit code, and a program that isn't there from both."""
    assert run(tmp_path, "import os; os.kill(os.getpid(), 11)").exit_code == -11
    scratch = tmp_path / "scratch"
    env = {"PATH": os.environ["PATH"]}
    gone = run_guarded(["no-such-program"], folder=tmp_path, env=env, scratch=scratch, limits=Limits())
    assert "No such file" in gone.problem


def test_hanging_is_ended(tmp_path: Path) -> None:
    """A command that ignores SIGTERM and hangs with its children is over when its time is."""
    mark = f"hang-{tmp_path.name}-{os.getpid()}"
    code = f"""
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", {mark!r}])
        print("begun", flush=True)
        time.sleep(600)
    """
    done = run(tmp_path, code, limits={"timeout_s": 2.0})
    assert (done.exit_code, done.stopped) == (None, "timeout")
    assert "begun" in done.tail
    assert marked(mark) == []


def test_daemons_are_ended_and_named(tmp_path: Path) -> None:
    """A daemon with a session of its own, that closed its descriptors and lost its parent, is ended all the same."""
    mark = f"daemon-{tmp_path.name}-{os.getpid()}"
    daemon = "import os,time; os.closerange(0, 64); time.sleep(600)"
    code = f"""
        import os, subprocess, sys
        if os.fork() == 0:
            os.setsid()
            subprocess.Popen([sys.executable, "-c", {daemon!r}, {mark!r}], start_new_session=True)
            os._exit(0)
        os.wait()
    """
    done = run(tmp_path, code)
    assert done.exit_code == 0
    assert any(mark in line for line in done.left_behind)
    assert marked(mark) == []


def test_flood_is_bounded(tmp_path: Path) -> None:
    """Output beyond the bounds is counted and not held; its end is what people get to see."""
    code = "import sys\nfor n in range(3000): sys.stdout.write('x' * 9999 + chr(10))\nprint('the end')"
    done = run(tmp_path, code, limits={"output_bytes_max": 1 << 20, "tail_bytes_max": 100})
    assert done.output_bytes == 3000 * 10_000 + len("the end\n")
    assert (tmp_path / "scratch" / "output").stat().st_size == 1 << 20
    assert done.tail.endswith("the end\n")
    assert len(done.tail) == 100


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A process that takes more memory than allowed gets an error for it, not the machine's memory."""
    code = "try:\n    x = bytearray(1 << 30)\nexcept MemoryError:\n    print('refused')"
    done = run(tmp_path, code, limits={"memory_bytes_max": 256 << 20})
    assert "refused" in done.tail


def test_cancelled(tmp_path: Path) -> None:
    """A withdrawn run ends soon, with everything that it started."""
    mark = f"cancel-{tmp_path.name}-{os.getpid()}"
    begun = tmp_path / "begun"
    code = f"""
        import subprocess, sys, time, pathlib
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", {mark!r}])
        pathlib.Path({str(begun)!r}).touch()
        time.sleep(600)
    """
    done = run(tmp_path, code, cancelled=begun.exists)
    assert done.stopped == "cancelled"
    assert marked(mark) == []


def test_killed_caller_leaves_nothing(tmp_path: Path) -> None:
    """When the agent's process is killed with SIGKILL, the tests that it ran end, daemons included."""
    mark = f"orphan-{tmp_path.name}-{os.getpid()}"
    begun = tmp_path / "begun"
    inner = f"""
import os, pathlib, subprocess, sys, time
child = [sys.executable, "-c", "import time; time.sleep(600)", {mark!r}]
subprocess.Popen(child, start_new_session=True)
pathlib.Path({str(begun)!r}).touch()
time.sleep(600)
"""
    outer = f"""
import sys
from pathlib import Path
from twelvefold.agents.guarded import Limits, alone, run_guarded
here = Path({str(tmp_path)!r})
with alone({mark!r}) as held:
    run_guarded([sys.executable, "-c", {inner!r}], folder=here, env={{}}, scratch=here, limits=Limits(), held=[held])
"""
    caller = subprocess.Popen([sys.executable, "-c", outer])
    until(begun.exists)
    assert marked(mark)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    with alone(mark):
        assert not marked(mark), "the name was free before the last process had ended"


def until(condition: Any, timeout_s: float = 60.0) -> None:
    """Wait for a condition; fails when it doesn't come."""
    deadline = time.monotonic() + timeout_s
    waited = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        waited.wait(0.05)


def test_hanging_after_the_change(project: Any) -> None:
    """A change that makes the tests hang fails, as they had ended before."""
    project.commit({"check.sh": "exit 0\n"})
    outcome = project.test({"check.sh": "sleep 600\n"}, test_command="sh check.sh", timeout_s=10.0)
    assert outcome.reason == "newly_failing", outcome
    assert "had not ended after" in outcome.value["reason"]


def test_hanging_before_and_after(project: Any) -> None:
    """Tests that hang with and without the change prove nothing about it."""
    project.commit({"calc.py": ADD, "test_calc.py": "import time\ndef test_it():\n    time.sleep(600)\n"})
    outcome = project.test({"calc.py": ADD + "#\n"}, timeout_s=2.0)
    assert (outcome.outcome, outcome.value["status"]) == ("needs_human", "unusable")


def test_dying_after_the_change(project: Any) -> None:
    """A crash of the interpreter in the middle of the tests is a failure of the change, not a shorter list of tests."""
    project.commit({"calc.py": ADD, "test_a.py": "def test_a(): pass\n", "test_calc.py": PASSING})
    outcome = project.test({"calc.py": "import os\ndef add(a, b):\n    os.abort()\n"})
    assert outcome.reason == "newly_failing", outcome
    assert "signal 6" in outcome.value["reason"]


def test_exit_in_the_middle(project: Any) -> None:
    """`os._exit(0)` in a test ends the run with a good exit code; the tests that didn't run are named as gone."""
    project.commit({"calc.py": ADD, "test_calc.py": PASSING, "test_z.py": "def test_z(): pass\n"})
    outcome = project.test({"calc.py": "import os\ndef add(a, b):\n    os._exit(0)\n"})
    assert outcome.outcome != "succeeded", outcome


def test_writes_around_the_workspace(project: Any) -> None:
    """What tests write beside and above their folder by relative paths is inside the home, and is cleared away."""
    stray = "from pathlib import Path\ndef test_it():\n    Path('..', 'stray').mkdir(); Path('../stray/x').touch()\n"
    closed = "def test_closed():\n    p = Path('closed'); p.mkdir(); (p / 'x').touch(); p.chmod(0)\n"
    project.commit({"calc.py": ADD, "test_stray.py": stray + closed})
    outcome = project.test({"calc.py": ADD + "#\n"})
    assert outcome.outcome == "succeeded", outcome
