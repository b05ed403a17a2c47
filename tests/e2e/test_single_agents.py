"""Each of the agents alone: from the command line, from a plan, and over the bus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf

from .conftest import BREAKING, CALC, RIGHT, JobHome, git, make_repo, snapshot
from .test_job import published

pytestmark = pytest.mark.e2e


def value(document: dict[str, Any]) -> Any:
    """What a run of one task has answered."""
    assert document["outcome"] == "succeeded", document
    return document["value"]


def test_each_alone_from_the_command_line(shared_home: JobHome, tmp_path: Path) -> None:
    """An issue, a range or a question goes to one agent, whose answer is the run's; nothing is published."""
    repo = make_repo(tmp_path / "alone", CALC)
    before = snapshot(repo)
    (tmp_path / "issue.md").write_text(RIGHT)
    target = str(tmp_path / "issue.md")
    understood = shared_home("run", "--agent", "intelligent_issue", target, "--json", cwd=repo)
    assert understood.status == 0, understood.err
    found = value(understood.json)
    assert (found["kind"], found["outcome"], found["target_files"]) == ("bug", "actionable", ["calc.py"])
    fixed = shared_home("run", "--agent", "issue_fixer", target, "--json", cwd=repo)
    assert value(fixed.json)["engine"] == "patch"
    assert value(fixed.json)["files_changed"] == ["calc.py"]
    sentence = "Make it better, please"
    asked = shared_home("run", "--agent", "intelligent_issue", sentence, "--json", cwd=repo)
    assert (asked.status, asked.json["outcome"]) == (7, "needs_human")
    assert snapshot(repo) == before
    assert shared_home.workspaces() == []


def test_a_change_for_one_agent(shared_home: JobHome, tmp_path: Path) -> None:
    """Tests and review of a commit of the repository: before it and after it, without a branch of ours."""
    repo = make_repo(tmp_path / "change", CALC)
    (repo / "calc.py").write_text(CALC["calc.py"].replace("n / 2", "n // 3"))
    git(repo, "commit", "--quiet", "-am", "Halve otherwise")
    tested = shared_home("run", "--agent", "testing", "HEAD", "--json", cwd=repo)
    assert (tested.status, tested.json["outcome"]) == (1, "failed"), tested.out
    assert "test_half" in json.dumps(tested.json)
    reviewed = shared_home("run", "--agent", "pr_review", "HEAD~1..HEAD", "--json", cwd=repo)
    assert reviewed.json["outcome"] in ("succeeded", "failed"), reviewed.out
    assert published(repo) == []


def test_the_entry_point_is_the_job(shared_home: JobHome, tmp_path: Path) -> None:
    """Given to the agent that plans, an issue is done as a whole."""
    repo = make_repo(tmp_path / "entry", CALC)
    (tmp_path / "issue.md").write_text(BREAKING)
    broken = shared_home("run", "--agent", "smart_issue", str(tmp_path / "issue.md"), "--json", cwd=repo)
    assert (broken.status, broken.json["outcome"]) == (1, "failed"), broken.out
    (tmp_path / "issue.md").write_text(RIGHT)
    done = shared_home("run", "--agent", "smart_issue", str(tmp_path / "issue.md"), "--json", cwd=repo)
    assert published(repo) == [value(done.json)["branch"]]


def test_from_a_plan(shared_home: JobHome, tmp_path: Path) -> None:
    """A plan of the user's own names them like any other agent, and hands on what they have found."""
    repo = make_repo(tmp_path / "planned", CALC)
    base = git(repo, "rev-parse", "HEAD").strip()
    plan = {
        "pattern": "pipeline",
        "steps": [
            {"name": "look", "agent": "intelligent_issue", "input": {"text": RIGHT, "repo": str(repo)}},
            {
                "name": "fix",
                "agent": "issue_fixer",
                "input": {"issue": {"name": "a.md", "text": RIGHT}, "repo": str(repo), "base": base},
            },
        ],
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    ended = shared_home("run", str(tmp_path / "plan.json"), "--json", cwd=tmp_path)
    assert value(ended.json)["files_changed"] == ["calc.py"]


async def over_the_bus(home: JobHome, repo: Path) -> tf.RunResult:
    """Submit a task for one agent to a running bus, and wait for its end."""
    async with tf.connect(home=home.home) as bus:
        run = await bus.submit(tf.Task("smart_issue", {"text": RIGHT, "repo": str(repo)}))
        return await bus.wait(run)


def test_over_the_bus(shared_home: JobHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program submits a task to what runs already: the agent plans, and the run ends as the job does."""
    import asyncio

    monkeypatch.setenv("TWELVEFOLD_RUNTIME_DIR", str(shared_home.runtime))
    repo = make_repo(tmp_path / "bus", CALC)
    assert shared_home.job(repo, BREAKING).status == 1
    result = asyncio.run(over_the_bus(shared_home, repo))
    assert result.outcome == "succeeded", result
    assert published(repo) == [result.value["branch"]]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--agent", "publisher", "HEAD"], "--input"),
        (["--agent", "intelligent_issue"], "TARGET"),
        (["--agent", "issue_fixer", "fix the bug now", "--dry-run"], "--dry-run"),
        (["--agent", "issue_fixer", "fix the bug now", "--engine", "magic"], "magic"),
    ],
)
def test_what_makes_no_sense_is_refused(own_home: JobHome, tmp_path: Path, arguments: list[str], told: str) -> None:
    """What an agent can't be given on the command line is an error of usage, and starts nothing."""
    repo = make_repo(tmp_path / "refused", CALC)
    ended = own_home("run", *arguments, cwd=repo)
    assert ended.status == 2, ended.err
    assert told in ended.err
    assert not own_home.home.exists()
