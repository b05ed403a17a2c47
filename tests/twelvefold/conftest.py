"""The real `twelvefold` command in a place of its own: no test sees the user's home, settings or sockets."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.command_server import run_command

COMMAND = Path(sys.executable).with_name("twelvefold")
DEADLINE_S = 120


@dataclass
class Ended:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str = ""

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def jsonl(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def help(self) -> str:
        """What the error's help line says."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("help: ")]
        return line.removeprefix("help: ")


@dataclass
class CommandLine:
    """Runs `twelvefold` in `cwd` with an environment that holds nothing of the tester's."""

    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, cwd: Path | None = None, stdin: str = "", **variables: str) -> Ended:
        """Run to the end, its standard output and error kept."""
        environment = self.environment | variables
        return Ended(
            *run_command(
                COMMAND,
                arguments,
                cwd=cwd or self.cwd,
                environment=environment,
                stdin=stdin,
                timeout_s=DEADLINE_S,
            )
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start the command and leave it running."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        return subprocess.Popen([COMMAND, *arguments], cwd=self.cwd, env=self.environment, **options)

    def on_terminal(self, *arguments: str, columns: int = 120, **variables: str) -> Ended:
        """Run with a terminal of its own as standard input, output and error."""
        variables = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40"} | variables
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.cwd,
            env=self.environment | variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        shown = b""
        while select.select([ours], [], [], DEADLINE_S)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says EIO once the other side has been closed
                break
            if not piece:
                break
            shown += piece
        os.close(ours)
        return Ended(process.wait(DEADLINE_S), shown.decode().replace("\r\n", "\n"))

    def shell(self, line: str, cwd: Path | None = None, **variables: str) -> Ended:
        """Run a line as a user would type it into a shell."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=cwd or self.cwd,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def twelvefold(tmp_path: Path, runtime_dir: Path) -> CommandLine:
    """The command, run in an empty folder below a user folder of its own."""
    work = tmp_path / "work"
    work.mkdir()
    environment = {
        "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "TWELVEFOLD_RUNTIME_DIR": str(runtime_dir),
        "GIT_CONFIG_NOSYSTEM": "1",
        "LANG": "C.UTF-8",
    }
    return CommandLine(work, environment)


def git(folder: Path, *arguments: str) -> str:
    """Run git with an identity of its own."""
    identity: Sequence[str] = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org")
    environment: Mapping[str, str] = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def make_repository() -> Any:
    """A function that makes a repository with one commit."""

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", "main")
        (folder / "README").write_text("hello\n")
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", "first")
        return folder

    return make


@pytest.fixture
def bus(twelvefold: CommandLine) -> Iterator[subprocess.Popen[str]]:
    """A running `twelvefold bus` on the home in the command's folder."""
    twelvefold("init")
    process = twelvefold.start("bus")
    assert process.stderr is not None
    try:
        ready = process.stderr.readline()
        assert "bus ready" in ready, ready
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=DEADLINE_S)
