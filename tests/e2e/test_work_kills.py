"""kill -9 of an agent and its git at any moment: the next one ends the work as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = 25
ISSUE = "# Sum\n\n### `calc.py`\nCurrent:\n```\nx = 1\n```\nShould be:\n```\nx = 2\n```\n"
WORK = """
import json, sys
from pathlib import Path
from twelvefold.agents.engines import patch
from twelvefold.agents.fixer import IssueFixerAgent
from twelvefold.agents.publisher import PublisherAgent
from twelvefold.agents.trial import Trial
home, repo, base, issue, run, ref = sys.argv[1:]
patch.time.time = lambda: 1_700_000_000.0  # the log, which would have recorded it, isn't part of this
trial = Trial(Path(home))
print("begun", flush=True)
given = {"issue": {"name": "1.md", "text": issue}, "repo": repo, "base": base}
fixed = trial.deliver(IssueFixerAgent(), trial.request(IssueFixerAgent(), given, run=run, path="0.0"))
assert fixed.outcome == "succeeded", fixed
given = {"repo": repo, "base": base, "commit": fixed.value["commit"], "ref": ref}
done = trial.deliver(PublisherAgent(), trial.request(PublisherAgent(), given, run=run, path="0.2"))
assert done.outcome == "succeeded", done
print(json.dumps(done.value), flush=True)
"""


def git(repo: Path, *args: str) -> str:
    names = {f"GIT_{who}_{what}": "x@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", *args], cwd=repo, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.e2e
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Killed at random moments with all its git processes, the job still ends in one sound branch and nothing else."""
    repo, home = tmp_path / "repo", tmp_path / "home"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    (repo / "calc.py").write_text("x = 1\n")
    for number in range(300):
        (repo / f"f{number}.txt").write_text(f"{number}\n" * 50)
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "State")
    base, run = git(repo, "rev-parse", "HEAD"), "ab" * 16
    ref = f"refs/heads/twelvefold/sum-{run}"
    argv = [sys.executable, "-c", WORK, str(home), str(repo), base, ISSUE, run, ref]
    moments = random.Random(12)
    killed = 0
    for _ in range(ROUNDS):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        try:
            process.wait(moments.uniform(0.0, 0.8))
        except subprocess.TimeoutExpired:
            killed += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert killed, "nothing was killed: the moments are too late"
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout.splitlines()[-1])
    assert git(repo, "rev-parse", ref) == value["commit"]
    assert git(repo, "diff", "--name-only", base, value["commit"]) == "calc.py"
    assert git(repo, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main", ref]
    assert git(repo, "status", "--porcelain") == ""
    git(repo, "fsck", "--strict", "--no-dangling")
    assert not list((home / "workspaces").glob("*"))
    assert not [path for folder in (home, repo / ".git") for path in folder.rglob("*.lock")]
    for store in home.glob("stores/**/*.git"):
        git(store, "fsck", "--strict", "--no-dangling", "--connectivity-only")
