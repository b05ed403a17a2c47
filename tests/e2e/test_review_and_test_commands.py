"""`twelvefold review` and `twelvefold test` on real repositories: what they say, how they end, what stays untouched."""

from __future__ import annotations

import json
import venv
from pathlib import Path

import pytest

from .conftest import CALC, JobHome, git, make_repo, snapshot

pytestmark = pytest.mark.e2e

BROKEN = CALC["calc.py"].replace("    return n / 2", "    breakpoint()\n    return m / 2")
FAILING = {**CALC, "tests/test_calc.py": CALC["tests/test_calc.py"].replace("(2), 4", "(3), 6")}
FIXED = CALC["calc.py"].replace("n + 2", "n * 2")


def branch(repo: Path, files: dict[str, str]) -> Path:
    """Commit files on a branch `topic`, which is then checked out."""
    git(repo, "checkout", "--quiet", "-b", "topic")
    for name, text in files.items():
        (repo / name).write_text(text)
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "-m", "Change")
    return repo


def test_a_review_asks_for_changes(shared_home: JobHome, tmp_path: Path) -> None:
    """Exit 1 with file, line, severity and harm, in each of the three forms; no byte of the repository has changed."""
    repo = branch(make_repo(tmp_path / "bad", CALC), {"calc.py": BROKEN})
    before = snapshot(repo)
    text, document, sarif = (shared_home("review", "--format", form, cwd=repo) for form in ("text", "json", "sarif"))
    assert (text.status, document.status, sarif.status) == (1, 1, 1), text.err
    assert "changes requested" in text.out
    assert "calc.py:6" in text.out
    found = document.json
    assert list(found) == [
        "run", "repo", "range", "base", "commit", "verdict", "reason", "files", "findings", "omitted", "tools",
    ]  # fmt: skip
    assert (found["verdict"], found["range"], found["files"]) == ("changes_requested", "main..HEAD", ["calc.py"])
    assert found["base"] == git(repo, "rev-parse", "main").strip()
    assert found["commit"] == git(repo, "rev-parse", "topic").strip()
    first = found["findings"][0]
    assert (first["file"], first["line"], first["rule"]) == ("calc.py", 6, "debug-leftover")
    assert (first["severity"], first["confidence"]) == ("error", "high")
    assert first["harm"]
    assert sarif.json["runs"][0]["results"][0]["ruleId"] == "debug-leftover"
    assert snapshot(repo) == before
    assert shared_home.workspaces() == []


def test_a_review_approves(shared_home: JobHome, tmp_path: Path) -> None:
    """Exit 0 for a sound branch by its name, for a patch on standard input's place, and where there is nothing."""
    repo = branch(make_repo(tmp_path / "good", CALC), {"calc.py": FIXED})
    patch = tmp_path / "good.patch"
    patch.write_text(git(repo, "diff", "main", "topic"))
    git(repo, "checkout", "--quiet", "main")
    assert shared_home("review", "topic", "--format", "json", cwd=repo).json["verdict"] == "approved"
    ended = shared_home("review", "--patch", str(patch), "--repo", str(repo), "--format", "json", cwd=tmp_path)
    assert (ended.status, ended.json["verdict"], ended.json["files"]) == (0, "approved", ["calc.py"])
    nothing = shared_home("review", "--format", "json", cwd=repo)
    assert (nothing.status, nothing.json["verdict"], nothing.json["run"]) == (0, None, None)
    assert "nothing to review" in nothing.err


def test_a_review_that_cannot_be_made_is_no_approval(shared_home: JobHome, tmp_path: Path) -> None:
    """A patch that doesn't fit and a revision that isn't there: exits 1 and 3, and nothing waits for a person."""
    repo = make_repo(tmp_path / "misfit", CALC)
    patch = tmp_path / "misfit.patch"
    patch.write_text("--- a/calc.py\n+++ b/calc.py\n@@ -1 +1 @@\n-nothing like it\n+x\n")
    ended = shared_home("review", "--patch", str(patch), "--format", "json", cwd=repo)
    assert (ended.status, ended.json["verdict"]) == (1, "unreviewed")
    assert "can't be applied" in ended.json["reason"]
    assert shared_home("review", "no-such-branch", cwd=repo).status == 3
    assert shared_home("review", "--format", "xml", cwd=repo).status == 2
    assert json.loads(shared_home("inbox", "--json", cwd=repo).out) == []


def test_tests_of_a_commit(shared_home: JobHome, tmp_path: Path) -> None:
    """HEAD alone: what fails is named and the exit is 1; mended, it is 0; no byte of the repository has changed."""
    repo = make_repo(tmp_path / "tested", FAILING)
    before = snapshot(repo)
    failed = shared_home("test", "--json", cwd=repo)
    assert (failed.status, failed.json["status"]) == (1, "failed"), failed.err
    assert failed.json["before"] is None
    assert (failed.json["after"]["passed"], failed.json["after"]["failed"]) == (1, 1)
    assert any("test_double" in name for name in failed.json["after"]["failures"])
    assert snapshot(repo) == before
    branch(repo, {"calc.py": FIXED})
    passed = shared_home("test", "--repo", str(repo), cwd=tmp_path)
    assert passed.status == 0, passed.err
    assert passed.out.startswith("passed")
    assert "2 passed, 0 failed" in passed.out


@pytest.mark.long
def test_tests_compared_with_another_commit(shared_home: JobHome, tmp_path: Path) -> None:
    """What passes now that failed, and the other way round, is named; the base is known the second time."""
    repo = make_repo(tmp_path / "compared", {**FAILING, ".gitignore": ".venv\n"})
    venv.create(repo / ".venv", symlinks=True)  # of which everything is known
    branch(repo, {"calc.py": FIXED})
    better = shared_home("test", "--base", "main", "--json", cwd=repo)
    assert (better.status, better.json["status"]) == (0, "passed"), better.err
    assert any("test_double" in name for name in better.json["newly_passing"])
    again = shared_home("test", "--base", "main", "--json", cwd=repo)
    assert again.json["before"]["cached"]["run"] == better.json["run"]
    worse = shared_home("test", "main", "--base", "topic", "--json", cwd=repo)
    assert (worse.status, worse.json["status"]) == (1, "failed")
    assert any("test_double" in name for name in worse.json["newly_failing"])


def test_tests_that_prove_nothing(shared_home: JobHome, tmp_path: Path) -> None:
    """No tests at all, and a command that isn't there: exit 1 with the reason, and nothing waits for a person."""
    empty = make_repo(tmp_path / "empty", {"notes.txt": "x\n"})
    none = shared_home("test", "--json", cwd=empty)
    assert (none.status, none.json["status"]) == (1, "none")
    wrong = shared_home("test", "--test-command", "no-such-runner", "--json", cwd=make_repo(tmp_path / "w", CALC))
    assert (wrong.status, wrong.json["status"]) == (1, "unusable")
    assert "no-such-runner" in wrong.json["reason"]
    assert shared_home("test", "--test-command", "'", cwd=empty).status == 2
    assert json.loads(shared_home("inbox", "--json", cwd=empty).out) == []
