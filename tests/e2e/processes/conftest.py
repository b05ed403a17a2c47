"""A project with a Procfile and a home of its own, its `twelvefold` commands, and nothing of it left afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_server import run_command
from twelvefold.eventstore.event import Event
from twelvefold.eventstore.reader import LogReader

SCRIPTS = Path(sys.executable).parent
COMMAND = SCRIPTS / "twelvefold"
ECHO = '''
import os
import twelvefold as tf

class Echo(tf.BaseAgent):
    """Answers with what it was asked."""

    def register_tools(self):
        return []

    async def execute_task(self, task, context):
        return tf.ToolResponse(success=True, data=task, evidence=[tf.Evidence("value", task)])
'''


class Project:
    """One project. Commands run as a user runs them: the installed script, a working folder, an environment."""

    def __init__(self, root: Path, runtime: Path) -> None:
        self.folder = root / "project"
        self.folder.mkdir()
        self.home = root / "home"
        self.runtime = runtime
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TWELVEFOLD_")},
            "TWELVEFOLD_HOME": str(self.home),
            "TWELVEFOLD_RUNTIME_DIR": str(runtime),
            "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
            "PYTHONWARNINGS": "ignore",
            # Agents of these tests leave marks where the tests see them.
            "TWELVEFOLD_WRITABLE": str(self.folder),
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.folder / name
        path.write_text(text)
        return path

    def run(self, *arguments: str, status: int = 0, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which must have this status."""
        done = self._ended(*arguments, timeout_s=timeout_s)
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def _ended(self, *arguments: str, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        status, out, err = run_command(
            COMMAND, arguments, cwd=self.folder, environment=self.environ, timeout_s=timeout_s, errors="replace"
        )
        return subprocess.CompletedProcess(arguments, status, out, err)

    def start(self, *arguments: str, stdout: Any = None) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own, its output in `out.txt` and `err.txt` of the project."""
        with (self.folder / "out.txt").open("ab") as out, (self.folder / "err.txt").open("ab") as err:
            process = subprocess.Popen(
                [COMMAND, *arguments],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=err,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def ps(self) -> dict[str, dict[str, Any]]:
        """What `ps --json` says, by name; nothing while there is no answer."""
        done = self._ended("ps", "--json")
        return {row["name"]: row for row in json.loads(done.stdout)} if done.returncode == 0 else {}

    def states(self) -> dict[str, str]:
        """The states of all processes by name."""
        return {name: row["state"] for name, row in self.ps().items()}

    def wait_ready(self, *names: str) -> dict[str, dict[str, Any]]:
        """Wait until these processes are ready; return what `ps` says then."""

        def ready() -> dict[str, dict[str, Any]] | None:
            rows = self.ps()
            return rows if rows and all(rows.get(n, {}).get("state") in ("ready", "busy") for n in names) else None

        found: dict[str, dict[str, Any]] = eventually(ready)
        return found

    def events(self, type: str, stream: str | None = None) -> list[Event]:
        """Read events from the log, as a local tool does."""
        with contextlib.closing(LogReader(self.home / "log.db")) as log:
            return log.read(type=type, stream=stream)

    def said(self, name: str) -> list[str]:
        """The lines that a process has printed so far."""
        done = self._ended("logs", name, "--jsonl")
        return [json.loads(line)["text"] for line in done.stdout.splitlines()]

    def pids(self, word: str) -> list[int]:
        """The pids of living processes that have a word among their arguments."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if word.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def of_this_home(self) -> list[int]:
        """The pids of living processes that carry this home in their environment."""
        found = []
        mark = f"TWELVEFOLD_HOME={self.home}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def close(self) -> None:
        """End whatever is left."""
        for process in self._running:
            process.kill()
            process.wait()
        deadline = time.monotonic() + 10
        while (left := self.of_this_home()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def eventually(check: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Return the first true value of check(), polled until a deadline; fails the test after it."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"never came true: {check}")
        time.sleep(0.02)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    """The polling helper."""
    return eventually


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project without a Procfile yet."""
    runtime = Path(tempfile.mkdtemp(prefix="tf-up-"))
    found = Project(tmp_path, runtime)
    found.write("echo_agents.py", ECHO)
    try:
        yield found
    finally:
        found.close()
        shutil.rmtree(runtime, ignore_errors=True)
