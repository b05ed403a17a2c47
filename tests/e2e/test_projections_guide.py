"""The guide to read models: every block of it is run, beside a projector and without one."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually

GUIDE = Path(__file__).parents[2] / "docs" / "projections.md"
SCRIPTS = Path(sys.executable).parent


def blocks() -> dict[str, str]:
    """Return the guide's code blocks by the name that stands beside the language."""
    found = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return {name: text for _, name, text in found}


class Reader:
    """Somebody who follows the guide in a folder, with the guide's distribution installed there."""

    def __init__(self, folder: Path, bus_home: Any) -> None:
        self.folder = folder
        self.home: Path = bus_home.home
        for name, text in blocks().items():
            (folder / name).write_text(text)
        info = folder / "greetings-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[twelvefold.projections]\ngreetings = greetings:Greetings\n")
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TWELVEFOLD_")},
            "TWELVEFOLD_HOME": str(bus_home.home),
            "TWELVEFOLD_RUNTIME_DIR": str(bus_home.runtime),
            "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
        }

    def run(self, *command: str, status: int = 0, **environ: str) -> str:
        """Run a command to its end, and return what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    def projector(self) -> subprocess.Popen[bytes]:
        """Start a projector of its own."""
        return subprocess.Popen(["twelvefold", "projector"], cwd=self.folder, env=self.environ)

    def standing(self, name: str = "greetings") -> dict[str, Any]:
        """How far a projection is folded."""
        rows = json.loads(self.run("twelvefold", "state", "--json"))["projections"]
        found: dict[str, Any] = next(row for row in rows if row["projection"] == name)
        return found


@pytest.fixture
def reader(tmp_path: Path, bus_home: Any) -> Reader:
    """Somebody at a home where a bus runs."""
    return Reader(tmp_path, bus_home)


def test_every_code_block_has_a_name_by_which_it_is_run() -> None:
    """No block of the guide but the one for SQLite escapes the tests below."""
    assert {*blocks()} == {"look.sh", "greetings.py", "pyproject.toml", "greet.sh", "ask.py"}
    entry = 'greetings = "greetings:Greetings"'
    assert entry in blocks()["pyproject.toml"]
    assert len(re.findall(r"^```\w", GUIDE.read_text(), re.MULTILINE)) == len(blocks()) + 1


def test_a_projection_of_ones_own_lives_beside_a_projector(reader: Reader, bus_home: Any) -> None:
    """It is found by its entry point and kept up to date, over kill -9 and the loss of its file; SQL reads its rows."""
    projector = reader.projector()
    try:
        printed = reader.run("sh", "-e", "greet.sh")
        assert re.search(r"^Ada +2 ", printed, re.MULTILINE), printed
        assert reader.run(sys.executable, "ask.py", str(reader.home)) == "2\n"
        projector.send_signal(signal.SIGKILL)
        projector.wait(30)
        reader.run("sh", "-e", "greet.sh")
        assert json.loads(reader.run("twelvefold", "state", "greetings", "--json"))["rows"][0]["times"] == 4
        projector = reader.projector()
        assert reader.run(sys.executable, "ask.py", str(reader.home)) == "4\n"
        (reader.home / "projections.db").unlink()
        reader.run("sh", "-e", "greet.sh")
        eventually(lambda: reader.standing()["state"] == "live")
        assert reader.run(sys.executable, "ask.py", str(reader.home)) == "6\n"
        database = sqlite3.connect(reader.home / "projections.db")
        rows = database.execute("SELECT key, state FROM live_rows WHERE projection = 'greetings'").fetchall()
        database.close()
        assert [(key, json.loads(state)["times"]) for key, state in rows] == [("Ada", 6)]
        assert json.loads(reader.run("twelvefold", "verify", "--json"))["projections"] >= 10
    finally:
        projector.terminate()
        assert projector.wait(30) == 0


def test_a_projection_that_fails_is_told_of_and_resumes(reader: Reader, bus_home: Any) -> None:
    """An event that it can't fold parks it, with an alert in the log and the inbox; mended code goes on from there."""
    projector = reader.projector()
    try:
        reader.run("sh", "-e", "greet.sh")
        at = int(reader.run("twelvefold", "emit", "greeting.said", "--data", '{"nobody": 1}'))
        eventually(lambda: reader.standing()["state"] == "parked")
        assert reader.standing()["parked_at"] == at
        assert "KeyError" in reader.standing()["error"]
        assert reader.standing("runs")["state"] == "live"
        assert "KeyError" in reader.run("twelvefold", "state", "greetings", status=1)
        assert "Ada" in reader.run("twelvefold", "state", "greetings", "--at", str(at - 1))
        asked = eventually(lambda: json.loads(reader.run("twelvefold", "state", "inbox", "--json"))["rows"])
        assert [(one["kind"], one["path"]) for one in asked] == [("parked", "projection.greetings")]
        source = (reader.folder / "greetings.py").read_text()
        (reader.folder / "greetings.py").write_text(source.replace('event.data["who"]', 'event.data.get("who", "?")'))
    finally:
        projector.terminate()
        projector.wait(30)
    projector = reader.projector()
    try:
        eventually(lambda: reader.standing()["state"] == "live")
        eventually(lambda: json.loads(reader.run("twelvefold", "state", "inbox", "--json"))["rows"] == [])
        assert json.loads(reader.run("twelvefold", "state", "greetings", "--json"))["rows"][0]["who"] == "?"
    finally:
        projector.terminate()
        projector.wait(30)


def test_looking_at_state_as_the_guide_says(reader: Reader, bus_home: Any) -> None:
    """Each line of the first block works on a home with a run."""
    run = "0190a0b0c0d0e0f00000000000000001"
    with bus_home.client(role="orchestrator", instance="orchestrator.1") as client:
        client.emit("run.requested", {"plan": {"agent": "echo"}}, stream=f"run.{run}", run=run)
        client.emit("run.started", {}, stream=f"run.{run}", run=run, seen=1)
        about = {"path": "0", "agent": "echo", "attempt": 1}
        client.emit("task.requested", about, stream=f"run.{run}", run=run, seen=1, to="echo")
        client.emit("run.paused", {}, stream=f"run.{run}", run=run, seen=1)
    printed = reader.run("sh", "-e", "look.sh", RUN=run[:31])
    assert "+ runs" in printed
    tasks = json.loads((reader.folder / "tasks.json").read_text())
    assert (tasks["position"], tasks["run"]) == (4, run)
    assert [(row["path"], row["agent"], row["state"]) for row in tasks["rows"]] == [("0", "echo", "requested")]
