"""Going through a run by keys, on a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from ..e2e.conftest import COMMAND
from .test_stored_logs import STORED, Stored


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """A log with runs in it."""
    return Stored(tmp_path, STORED[-1])


def test_keys_lead_through_a_run(stored: Stored) -> None:
    """Forward, back and an arrow show steps, s the state, g goes to a position, and q ends."""
    run = stored.expected["task"]["run"]
    environment = {**os.environ, "TWELVEFOLD_HOME": str(stored.home), "TERM": "xterm", "NO_COLOR": "1"}
    ours, theirs = pty.openpty()
    command = [COMMAND, "replay", run, "--step"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=stored.home)
    os.close(theirs)
    said = ""

    def until(text: str) -> None:
        nonlocal said
        deadline = time.monotonic() + 60
        while text not in said:
            ready, _, _ = select.select([ours], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{text!r} never came: {said}"
            said += os.read(ours, 65536).decode()
        said = said.partition(text)[2]

    try:
        for keys, expected in (
            ("", "q quit"),
            ("n", "run.requested"),
            ("\x1b[C", "run.started"),
            ("b", "-"),
            ("b", "-"),
            ("b", "this is the beginning"),
            ("g1000000\r", "run.succeeded"),
            ("n", "this is the end"),
            ("s", "outcome: "),
            ("?", "q quit"),
        ):
            os.write(ours, keys.encode())
            until(expected)
        os.write(ours, b"q")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
