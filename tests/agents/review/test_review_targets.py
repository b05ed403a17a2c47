"""What is reviewed: ranges as people name them, patches, and what can't be reviewed at all."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from tests.agents.review.conftest import Reviewed, findings, picture
from twelvefold.agents.review.range import resolve_range
from twelvefold.agents.work_errors import NoCommits, NotARepository, UnknownRevision

GOOD, BAD = {"a.py": "x = 1\n"}, {"a.py": "x = 1\nbreakpoint()\n"}


def history(reviewed: Reviewed) -> dict[str, str]:
    """A main branch with three commits, and a branch of two commits that left it at the second."""
    commits = {"one": reviewed.commit({"a": "1\n"}), "two": reviewed.commit({"a": "2\n"})}
    reviewed.git("checkout", "-q", "-b", "topic")
    commits |= {"t1": reviewed.commit({"b": "1\n"}), "t2": reviewed.commit({"b": "2\n"})}
    reviewed.git("checkout", "-q", "main")
    commits["three"] = reviewed.commit({"a": "3\n"})
    return commits


@pytest.mark.parametrize(
    ("text", "at", "base", "commit"),
    [
        ("main..topic", "main", "two", "t2"),
        ("main...topic", "main", "two", "t2"),
        ("topic", "main", "two", "t2"),
        ("topic~1", "main", "two", "t1"),
        (None, "topic", "two", "t2"),
        ("HEAD~1..", "topic", "t1", "t2"),
        ("..topic", "main", "two", "t2"),
        ("HEAD", "main", "two", "three"),
        ("main~1", "main", "one", "two"),
        (None, "main", "three", "three"),
    ],
)
def test_a_range_means_what_a_pull_request_would_show(
    reviewed: Reviewed, text: str | None, at: str, base: str, commit: str
) -> None:
    """The base is where both parted; a commit of the main branch itself means that one commit."""
    commits = history(reviewed)
    reviewed.git("checkout", "-q", at)
    found = resolve_range(reviewed.repo, text)
    assert (found.base, found.commit) == (commits[base], commits[commit])
    assert found.empty is (base == commit)


def test_on_the_main_branch_what_is_not_pushed_is_meant(reviewed: Reviewed, tmp_path: Path) -> None:
    """Its own remote branch is the base there."""
    commits = history(reviewed)
    subprocess.run(["git", "clone", "-q", str(reviewed.repo), str(tmp_path / "clone")], check=True)
    clone = tmp_path / "clone"
    (clone / "c").write_text("c\n")
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(clone), "add", "c"], check=True)
    subprocess.run(["git", "-C", str(clone), *identity, "commit", "-q", "-m", "c"], check=True)
    before = picture(clone)
    assert resolve_range(clone).base == commits["three"]
    assert picture(clone) == before


def test_what_names_no_commit_is_told(reviewed: Reviewed, tmp_path: Path) -> None:
    """An unknown revision, an option in its place, an empty repository, and no repository."""
    with pytest.raises(NoCommits):
        resolve_range(reviewed.repo)
    history(reviewed)
    for text in ("nope", "main..nope", "--upload-pack=touch", "--output=x..main"):
        with pytest.raises(UnknownRevision):
            resolve_range(reviewed.repo, text)
    with pytest.raises(NotARepository):
        resolve_range(tmp_path)


@pytest.mark.parametrize("form", ["diff", "mailbox", "base64"])
def test_a_patch_is_reviewed_on_its_base(reviewed: Reviewed, form: str) -> None:
    """Plain or as a mailbox; the repository and its index stay as they are."""
    base = reviewed.commit(GOOD)
    reviewed.git("checkout", "-q", "-b", "other")
    reviewed.commit({"a.py": BAD["a.py"], "caf\u00e9.py": "import pdb; pdb.set_trace()\n"})
    shown = ["format-patch", "-1", "--stdout"] if form == "mailbox" else ["diff", "HEAD~1", "HEAD"]
    patch = subprocess.run(["git", *shown], cwd=reviewed.repo, capture_output=True, check=True).stdout
    reviewed.git("checkout", "-q", "main")
    encoded = {"patch": base64.b64encode(patch).decode(), "patch_encoding": "base64"}
    task = encoded if form == "base64" else {"patch": patch.decode()}
    outcome = reviewed.task(base=base, **task)
    assert (outcome.outcome, outcome.reason) == ("failed", "changes_requested")
    assert {one["file"] for one in findings(outcome) if one["rule"] == "debug-leftover"} == {"a.py", "caf\u00e9.py"}
    assert outcome.value["commit"]


ESCAPE = "diff --git a/../x b/../x\nnew file mode 100644\n--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n"
INSIDE = ESCAPE.replace("../x", ".git/hooks/x")
MISFIT = "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-y = 1\n+y = 2\n"


@pytest.mark.parametrize("patch", [ESCAPE, INSIDE, MISFIT, "no patch at all\n", "\0"])
def test_a_patch_that_cannot_be_applied_is_unreviewed(reviewed: Reviewed, patch: str) -> None:
    """It is neither approved nor refused, whatever is wrong with it, and nothing of it reaches the disk."""
    base = reviewed.commit(GOOD)
    outcome = reviewed.task(base=base, patch=patch)
    assert (outcome.outcome, outcome.value["verdict"]) == ("needs_human", "unreviewed")
    assert "can't be applied" in outcome.value["reason"]
    told = reviewed.task(base=base, patch=patch, report_only=True)
    assert (told.outcome, told.reason) == ("failed", "unreviewed")


def test_a_report_succeeds_with_any_verdict(reviewed: Reviewed) -> None:
    """Asked for a report only, the review itself is what succeeds, and its value says the verdict."""
    outcome = reviewed.review(GOOD, BAD, report_only=True)
    assert (outcome.outcome, outcome.value["verdict"]) == ("succeeded", "changes_requested")


def test_a_task_names_either_a_commit_or_a_patch(reviewed: Reviewed) -> None:
    """Neither and both are mistakes."""
    base = reviewed.commit(GOOD)
    for task in ({}, {"commit": base, "patch": "x"}):
        assert reviewed.task(base=base, **task).reason == "invalid_task"
