"""The guide to the sandbox: its example is run, and what it says of secrets is what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from twelvefold.agents.sandbox.rules import secret_places

GUIDE = Path(__file__).parents[3] / "docs" / "sandbox.md"


def blocks() -> dict[str, str]:
    """The guide's code blocks by the names beside their languages."""
    found = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return dict(found)


@pytest.mark.e2e
def test_the_example_prints_what_the_guide_says(tmp_path: Path, runtime_dir: Path) -> None:
    """The agent writes where its line lets it, and is told how to be let elsewhere."""
    saved = blocks()
    saved[".env"] = saved[".env"].replace("/var/tmp/results", str(tmp_path / "results"))
    project = tmp_path / "project"
    project.mkdir()
    for name, text in saved.items():
        (project / name).write_text(text)
    environ = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TWELVEFOLD_HOME": str(tmp_path / "home"),
        "TWELVEFOLD_RUNTIME_DIR": str(runtime_dir),
    }
    done = subprocess.run(
        ["bash", "-e", "run.sh"], cwd=project, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == saved["printed"], done.stdout + done.stderr
    assert (tmp_path / "results" / "also.txt").read_text() == "a line\n"
    assert not (tmp_path / "outside.txt").exists()
    assert subprocess.run(["twelvefold", "check"], cwd=project, env=environ, check=False).returncode == 0


def test_secrets_of_the_guide_are_kept() -> None:
    """Every place that the guide names as a secret is one of those that are kept from agents."""
    row = next(line for line in GUIDE.read_text().splitlines() if line.startswith("| read |"))
    named = re.findall(r"`~/([^`]+)`", row)
    assert len(named) > 8
    places = secret_places([Path("/home/u")], {})
    assert {f"/home/u/{name}" for name in named} <= {str(place) for place in places}


def test_what_is_readable_is_no_secret() -> None:
    """A place that the user opens is left out, with all in it, and variables name more places."""
    environ = {"GNUPGHOME": "/keys/gpg", "NETRC": "relative"}
    places = secret_places([Path("/home/u")], environ, [Path("/home/u/.config")])
    assert Path("/keys/gpg") in places
    assert Path("/home/u/.ssh") in places
    assert not any(place.is_relative_to("/home/u/.config") for place in places)
