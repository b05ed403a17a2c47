"""The guide to jobs: its commands work as printed, on the issue that it shows."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from .conftest import CALC, JobHome, make_repo, snapshot

pytestmark = pytest.mark.e2e
GUIDE = Path(__file__).parents[2] / "docs" / "jobs.md"


def blocks() -> dict[str, str]:
    """The guide's blocks by the names behind their fences; those of Markdown hold blocks of their own."""
    found = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)
    return dict(found)


def test_the_commands_of_the_guide(shared_home: JobHome, tmp_path: Path) -> None:
    """The job, its rehearsal, its analysis, and agents alone: each ends as the guide says."""
    repo = make_repo(tmp_path / "calc", CALC)
    before = snapshot(repo)
    (tmp_path / "issue.md").write_text(blocks()["issue.md"])
    shown = {}
    for name in ("first", "alone"):
        command = ["bash", "-e", "-c", blocks()[name]]
        environ = shared_home.environment
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        shown[name] = done.stdout
    ended = json.loads((tmp_path / "ended.json").read_text())
    assert (ended["outcome"], ended["files_changed"]) == ("succeeded", ["calc.py"])
    assert [task["path"] for task in ended["tasks"]] == ["0", "0.0", "0.1", "0.2", "0.3"]
    assert [task["agent"] for task in ended["tasks"][1:]] == ["issue_fixer", "testing", "pr_review", "publisher"]
    assert "+    return n * 2" in shown["first"]
    assert "atomic" in shown["first"]
    understood = json.loads((tmp_path / "understood.json").read_text())["value"]
    fields = set(
        re.findall(r"`(\w+)`", GUIDE.read_text().split("## What is made of an issue")[1].split("| verdict |")[0])
    )
    assert fields - {"smart_issue", "intelligent_issue", "repository", "view", "summary", "questions", "risks"} <= set(
        understood
    ) | {"repository#number"}
    assert json.loads((tmp_path / "fixed.json").read_text())["value"]["engine"] == "patch"
    assert json.loads((tmp_path / "tested.json").read_text())["outcome"] == "succeeded"
    after = {name: content for name, content in snapshot(repo).items() if "refs/heads/twelvefold" not in name}
    assert after == before
