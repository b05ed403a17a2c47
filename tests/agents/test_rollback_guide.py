"""The guide to rollbacks: every block of it is run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "rollback.md"


def blocks() -> dict[str, str]:
    """Return the guide's code blocks by the name that stands beside the language."""
    found = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return {name: text for _, name, text in found}


def test_every_code_block_has_a_name_by_which_it_is_run() -> None:
    """No block of the guide escapes the test below."""
    assert len(re.findall(r"^```\w", GUIDE.read_text(), re.MULTILINE)) == len(blocks())
    assert set(blocks()) == {"steps.py", "back.py", "back.sh"}


@pytest.mark.e2e
def test_the_guide_holds_what_it_says(tmp_path: Path, runtime_dir: Path) -> None:
    """Agents are up, a trip is booked and taken back in two steps, and once more by the command line."""
    for name, text in blocks().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "Procfile").write_text("seat: twelvefold agent steps:Seat\nnotes: twelvefold agent steps:Notes\n")
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TWELVEFOLD_HOME": str(tmp_path / "home"),
        "TWELVEFOLD_RUNTIME_DIR": str(runtime_dir),
    }

    def succeed(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        succeed("twelvefold", "up", "-d", "--wait")
        succeed(sys.executable, "back.py")
        printed = succeed("bash", "-euo", "pipefail", "back.sh")
    finally:
        subprocess.run(["twelvefold", "down"], cwd=tmp_path, env=environ, capture_output=True, check=False)
    document = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    assert (document["state"], document["outcome"]) == ("done", "rolled_back")
