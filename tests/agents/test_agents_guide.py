"""The guide to a first agent: every block of it is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "agents.md"


def blocks() -> dict[str, str]:
    """Return the guide's code blocks by the name that stands beside the language."""
    found = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return {name: text for _, name, text in found}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every block of the guide saved under its name."""
    for name, text in blocks().items():
        (tmp_path / name).write_text(text)
    return tmp_path


def succeed(command: list[str], folder: Path, **environ: str) -> str:
    """Run a command in the folder and return what it printed."""
    scripts = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": scripts, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_code_block_has_a_name_by_which_it_is_run() -> None:
    """No block of the guide escapes the tests below."""
    assert len(re.findall(r"^```\w", GUIDE.read_text(), re.MULTILINE)) == len(blocks())
    assert set(blocks()) == {
        "my_agents.py", "test_my_agents.py", "Procfile", "ask.py", "run.sh", "side_by_side.py", "actions.py",
        ".env", "Procfile.options", "background.py", "resources.py", "reviewers.py", "review.py",
    }  # fmt: skip


def test_the_first_agent_and_its_tests_work_as_printed(folder: Path) -> None:
    """The agent and its tests, saved in an empty folder as the guide says, pass."""
    printed = succeed([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_agents.py"], folder)
    assert "3 passed" in printed


@pytest.mark.parametrize("name", ["side_by_side.py", "actions.py", "resources.py"])
def test_the_shorter_examples_hold_what_they_assert(folder: Path, name: str) -> None:
    """The examples of async tools and of actions run as printed."""
    succeed([sys.executable, name], folder)


@pytest.mark.e2e
def test_the_first_agent_runs_as_the_guide_says(folder: Path, runtime_dir: Path) -> None:
    """Up, ask, log, down, with the real commands: the entry is written and everything is recorded."""
    environ = {"TWELVEFOLD_HOME": str(folder / "home"), "TWELVEFOLD_RUNTIME_DIR": str(runtime_dir)}
    try:
        printed = succeed(["bash", "-e", "run.sh"], folder, **environ)
    finally:
        subprocess.run(
            [Path(sys.executable).with_name("twelvefold"), "down"],
            cwd=folder,
            env={**os.environ, **environ},
            capture_output=True,
            check=False,
        )
    assert (folder / "diaries/diary.txt").read_text() == "rain\n"
    assert "succeeded 1" in printed
    for recorded in ("effect.intended", "effect.completed", "task.succeeded", "takes tasks of queue diary"):
        assert recorded in printed


@pytest.mark.e2e
def test_the_background_agents_run_as_the_guide_says(folder: Path, runtime_dir: Path) -> None:
    """Without an `up`: one agent does its task under its limit, another is paused, resumed and terminated."""
    environ = {"TWELVEFOLD_HOME": str(folder / "home"), "TWELVEFOLD_RUNTIME_DIR": str(runtime_dir)}
    try:
        assert succeed([sys.executable, "background.py"], folder, **environ) == "1\n"
        printed = succeed([str(Path(sys.executable).with_name("twelvefold")), "ps", "--json"], folder, **environ)
        assert "diary" not in printed
    finally:
        subprocess.run(
            [Path(sys.executable).with_name("twelvefold"), "down"],
            cwd=folder,
            env={**os.environ, **environ},
            capture_output=True,
            check=False,
        )
    assert (folder / "diaries/background.txt").read_text() == "snow\n"


@pytest.mark.e2e
def test_the_capabilities_of_the_guide_are_served(folder: Path, runtime_dir: Path) -> None:
    """Two types share a capability: the tasks for it, for another and for a type are all done, by their names."""
    environ = {"TWELVEFOLD_HOME": str(folder / "home"), "TWELVEFOLD_RUNTIME_DIR": str(runtime_dir)}
    try:
        printed = succeed([sys.executable, "review.py"], folder, **environ)
        assert printed == "a.py for review\nb.py for audit\nc.py for style\n"
    finally:
        subprocess.run(
            [Path(sys.executable).with_name("twelvefold"), "down"],
            cwd=folder,
            env={**os.environ, **environ},
            capture_output=True,
            check=False,
        )


def test_the_limits_of_the_guide_are_taken(folder: Path, runtime_dir: Path) -> None:
    """`twelvefold check` reads the guide's Procfile with its options."""
    environ = {"TWELVEFOLD_HOME": str(folder / "home"), "TWELVEFOLD_RUNTIME_DIR": str(runtime_dir)}
    succeed([str(Path(sys.executable).with_name("twelvefold")), "check"], folder, **environ)
