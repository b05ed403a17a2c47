"""Issues over pairs of three sisters at once, while agents are killed at random: every end is true, nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from .conftest import CALC, JobHome, git, make_repo
from .test_several_repositories import section

pytestmark = pytest.mark.e2e

KILLS = 12


@pytest.mark.long
def test_agents_killed_at_random(own_home: JobHome, tmp_path: Path) -> None:
    """Each run over two repositories publishes both of its branches or none, and each branch is what its issue asks."""
    side = tmp_path / "side"
    names = ("one", "two", "three")
    repos = {name: make_repo(side / name, CALC) for name in names}
    heads = {name: git(repo, "rev-parse", "main").strip() for name, repo in repos.items()}
    running = []
    for number, pair in enumerate((names[:2], names[1:], (names[2], names[0])), 1):
        text = f"# Multiply, part {number}\n\n"
        text += "".join(
            section(f"{name}: calc.py", "    return n + 2", f"    return n * 2 + {number} - {number}") for name in pair
        )
        (side / f"{number}.md").write_text(text)
        options = [word for name in pair for word in ("--repo", name)]
        running.append((number, pair, own_home.start("run", f"{number}.md", *options, "--json", cwd=side)))
    chance = random.Random(4)
    killed = 0
    deadline = time.monotonic() + 120
    while killed < KILLS and any(process.poll() is None for _, _, process in running) and time.monotonic() < deadline:
        listed = own_home("ps", "--json", cwd=side)
        agents = [
            one for one in (json.loads(listed.out) if listed.status == 0 else []) if one["state"] in ("busy", "ready")
        ]
        chosen = [
            one
            for one in agents
            if one["name"].split(".")[0] in ("fixer", "testing", "publisher", "smart_issue", "review")
        ]
        if chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(chosen)["pid"], signal.SIGKILL)
                killed += 1
    assert killed >= 3, "hardly anything was killed"
    ends = {}
    for number, pair, process in running:
        out, err = process.communicate(timeout=240)
        assert out, err
        ends[number] = (pair, json.loads(out))
    for number, (pair, document) in ends.items():
        there = {name: [one for one in _branches(repos[name]) if one.endswith(document["run"])] for name in pair}
        told = {one["name"]: one["branch"] for one in document.get("repos", ())}
        if document["outcome"] == "succeeded":
            assert there == {name: [told[name]] for name in pair}
            for name in pair:
                changed = git(repos[name], "show", f"{told[name]}:calc.py")
                assert f"return n * 2 + {number} - {number}" in changed
        else:
            assert there == {name: [] for name in pair}, document["reason"]
    assert [document["outcome"] for _, document in ends.values()] == ["succeeded"] * 3, ends
    assert {name: git(repo, "rev-parse", "main").strip() for name, repo in repos.items()} == heads
    assert all(git(repo, "status", "--porcelain") == "" for repo in repos.values())
    assert own_home.workspaces() == []


def _branches(repo: Path) -> list[str]:
    return [name for name in git(repo, "branch", "--format=%(refname:short)").split() if name != "main"]
