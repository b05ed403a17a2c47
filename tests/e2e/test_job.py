"""The whole job from the command line, on real repositories: what comes out, and what stays untouched."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from twelvefold import ground, jobs
from twelvefold.settings import load_settings

from .conftest import BREAKING, CALC, RIGHT, JobHome, git, issue, make_repo, snapshot

pytestmark = pytest.mark.e2e

KEYS = [
    "run", "outcome", "reason", "repo", "base_commit", "branch", "commit", "patch", "files_changed", "tests", "review",
    "notes", "evidence", "tasks", "cost", "positions", "elapsed_s",
]  # fmt: skip


def published(repo: Path) -> list[str]:
    """The branches of a repository besides main."""
    return [name for name in git(repo, "branch", "--format=%(refname:short)").split() if name != "main"]


def without_branch(found: dict[str, bytes | str]) -> dict[str, bytes | str]:
    """A snapshot without what publishing a branch is allowed to write."""
    return {name: content for name, content in found.items() if "refs/heads/twelvefold" not in name}


def test_an_explicit_issue_becomes_a_tested_branch(shared_home: JobHome, tmp_path: Path) -> None:
    """The edit is on a branch of its own, tested before and after; nothing else of the repository has changed."""
    repo = make_repo(
        tmp_path / "right", {**CALC, "tests/test_calc.py": CALC["tests/test_calc.py"].replace("(2), 4", "(3), 6")}
    )
    before = snapshot(repo)
    ended = shared_home.job(repo, RIGHT)
    document = ended.json
    assert ended.status == 0, ended.err
    assert list(document) == KEYS
    assert document["outcome"] == "succeeded"
    assert document["branch"] in published(repo)
    assert document["base_commit"] == git(repo, "rev-parse", "main").strip()
    assert document["commit"] == git(repo, "rev-parse", document["branch"]).strip()
    assert document["files_changed"] == ["calc.py"]
    tests = document["tests"]
    assert (tests["before"], tests["after"]) == ({"passed": 1, "failed": 1}, {"passed": 2, "failed": 0})
    assert tests["status"] == "passed"
    assert git(repo, "diff", "--numstat", "main", document["branch"]).split() == ["1", "1", "calc.py"]
    assert without_branch(snapshot(repo)) == before
    assert {item["kind"] for item in document["evidence"]} >= {"commit", "tests"}
    assert shared_home.workspaces() == []
    # The patch is what git made of the commit: applied to a clone it gives the same tree.
    git(tmp_path, "clone", "--quiet", "--branch=main", str(repo), "clone")
    git(tmp_path / "clone", "am", "--quiet", document["patch"])
    assert git(tmp_path / "clone", "rev-parse", "HEAD^{tree}") == git(
        repo, "rev-parse", f"{document['branch']}^{{tree}}"
    )


def test_an_edit_that_breaks_a_test_leaves_nothing(shared_home: JobHome, tmp_path: Path) -> None:
    """The failure names the test that newly fails; no branch, no workspace, every byte as it was."""
    repo = make_repo(tmp_path / "breaking", CALC)
    before = snapshot(repo)
    ended = shared_home.job(repo, BREAKING)
    assert ended.status == 1
    assert ended.json["outcome"] == "failed"
    assert ended.json["branch"] is None
    assert any("test_half" in name for name in ended.json["tests"]["newly_failing"])
    assert "test_half" in ended.json["reason"]
    assert snapshot(repo) == before
    assert shared_home.workspaces() == []


@pytest.mark.parametrize(
    ("text", "outcome", "word"),
    [
        pytest.param(issue("calc.py", "    return n - 2", "    return n"), "failed", "calc.py", id="missing"),
        pytest.param(issue("calc.py", "    return n", "    return m"), "failed", "calc.py", id="ambiguous"),
        pytest.param(issue("lost.py", "a = 1", "a = 2"), "failed", "lost.py", id="no-such-file"),
        pytest.param("", "failed", "empty", id="empty"),
        pytest.param("# It is slow\n\nPlease improve.\n", "needs_human", "explicit", id="no-edits"),
        pytest.param(issue("calc.py", "    return n * 2", "    return n + 2"), "nothing_to_do", "already", id="done"),
    ],
)
def test_what_cannot_be_done_is_said(
    shared_home: JobHome, tmp_path: Path, text: str, outcome: str, word: str, request: pytest.FixtureRequest
) -> None:
    """An issue that can't be applied ends with its reason, and with every byte of the repository as it was."""
    repo = make_repo(tmp_path / "untouched", CALC)
    before = snapshot(repo)
    ended = shared_home.job(repo, text)
    document = ended.json
    allowed = {outcome, "needs_human"} if outcome == "failed" else {outcome}
    assert document["outcome"] in allowed, document
    assert ended.status == {"failed": 1, "needs_human": 7, "nothing_to_do": 0}[document["outcome"]]
    assert word in document["reason"]
    assert document["branch"] is None
    assert snapshot(repo) == before
    assert shared_home.workspaces() == []


def test_places_that_are_no_repository_fail_truthfully(shared_home: JobHome, tmp_path: Path) -> None:
    """A folder without a repository, and a repository without a commit, give the document of a failure."""
    plain, unborn = tmp_path / "plain", tmp_path / "unborn"
    plain.mkdir()
    unborn.mkdir()
    git(unborn, "init", "--quiet")
    for folder, word in ((plain, "repository"), (unborn, "commit")):
        before = snapshot(folder)
        ended = shared_home.job(folder, RIGHT)
        assert ended.status == 1
        assert list(ended.json) == KEYS
        assert ended.json["outcome"] == "failed"
        assert word in ended.json["reason"]
        assert snapshot(folder) == before


def test_uncommitted_changes_are_left_out_and_said(shared_home: JobHome, tmp_path: Path) -> None:
    """Work starts from HEAD; what is dirty stays as it is, out of the branch, and the result says so."""
    repo = make_repo(tmp_path / "dirty", CALC)
    (repo / "calc.py").write_text(CALC["calc.py"] + "\n\nUNFINISHED = True\n")
    (repo / "notes.txt").write_text("mine\n")
    git(repo, "add", "notes.txt")
    before = snapshot(repo)
    ended = shared_home.job(repo, RIGHT)
    assert ended.status == 0, ended.err
    assert any("left out" in note for note in ended.json["notes"])
    assert "UNFINISHED" not in git(repo, "show", f"{ended.json['branch']}:calc.py")
    assert without_branch(snapshot(repo)) == before


def test_base_is_where_work_starts(shared_home: JobHome, tmp_path: Path) -> None:
    """With --base the branch grows from that commit, though HEAD has moved on."""
    repo = make_repo(tmp_path / "base", CALC)
    first = git(repo, "rev-parse", "HEAD").strip()
    (repo / "calc.py").write_text("VALUE = 1\n")
    git(repo, "commit", "--quiet", "-am", "Replace all")
    ended = shared_home.job(repo, RIGHT, "--base", "HEAD~1")
    assert ended.status == 0, ended.err
    assert ended.json["base_commit"] == first
    assert git(repo, "rev-parse", f"{ended.json['branch']}~1").strip() == first
    unknown = shared_home.job(repo, RIGHT, "--base", "no-such-revision")
    assert unknown.status == 1
    assert "no-such-revision" in unknown.json["reason"]


def test_without_tests_the_result_says_that_nothing_was_tested(shared_home: JobHome, tmp_path: Path) -> None:
    """A repository without tests gives a branch, `tests` is null, and the reason says so."""
    repo = make_repo(tmp_path / "untested", {"notes.md": "# Notes\n\nTeh end.\n"})
    ended = shared_home.job(repo, issue("notes.md", "Teh end.", "The end.", "Typo"))
    assert ended.status == 0, ended.err
    assert ended.json["tests"] is None
    assert "tested" in ended.json["reason"]
    assert ended.json["branch"] in published(repo)


def test_a_run_that_tested_something_else_does_not_count(shared_home: JobHome, tmp_path: Path) -> None:
    """Tests that import the user's checkout prove nothing: a human is asked, unless untested is allowed."""
    repo = tmp_path / "elsewhere"
    forced = f"import sys\nsys.path.insert(0, {str(repo)!r})\n" + CALC["tests/test_calc.py"]
    make_repo(repo, {**CALC, "tests/test_calc.py": forced})
    before = snapshot(repo)
    ended = shared_home.job(repo, RIGHT)
    assert ended.status == 7, ended.out
    assert ended.json["tests"]["status"] == "unusable"
    assert published(repo) == []
    assert snapshot(repo) == before
    allowed = shared_home.job(repo, RIGHT, "--allow-untested")
    assert allowed.status == 0, allowed.out
    assert allowed.json["branch"] in published(repo)
    assert "elsewhere" in allowed.json["reason"] or "workspace" in allowed.json["reason"]


def test_an_editable_install_is_no_obstacle(shared_home: JobHome, tmp_path: Path) -> None:
    """The repository's own environment points at the user's checkout; the workspace is tested all the same."""
    files = {
        "src/calc.py": CALC["calc.py"],
        "tests/__init__.py": "",
        "tests/test_calc.py": CALC["tests/test_calc.py"].replace("(2), 4", "(3), 6"),
        ".gitignore": ".venv/\n",
    }
    repo = make_repo(tmp_path / "editable", files)
    import venv

    venv.create(repo / ".venv", symlinks=True)
    (packages,) = (repo / ".venv").glob("lib/python*/site-packages")
    (packages / "calc.pth").write_text(f"{repo / 'src'}\n")
    before = snapshot(repo)
    ended = shared_home.job(repo, issue("src/calc.py", "    return n + 2", "    return n * 2"))
    assert ended.status == 0, ended.out
    assert ended.json["tests"]["before"] == {"passed": 1, "failed": 1}
    assert ended.json["tests"]["after"] == {"passed": 2, "failed": 0}
    assert without_branch(snapshot(repo)) == before


def test_a_dry_run_starts_nothing(own_home: JobHome, tmp_path: Path) -> None:
    """The diff is shown, no home is made and no process started."""
    repo = make_repo(tmp_path / "dry", CALC)
    before = snapshot(repo)
    ended = own_home.job(repo, RIGHT, "--dry-run")
    assert ended.status == 0
    assert "+    return n * 2" in ended.json["diff"]
    assert not own_home.home.exists()
    assert snapshot(repo) == before


def test_a_dry_run_says_what_a_run_would_say(shared_home: JobHome, tmp_path: Path) -> None:
    """Where nothing can be done, both end alike and for the same reason."""
    repo = make_repo(tmp_path / "same", CALC)
    (repo / "link.py").symlink_to("calc.py")
    git(repo, "add", "link.py")
    git(repo, "commit", "--quiet", "-m", "Link")
    for text in (issue("link.py", "    return n + 2", "    return n"), " \n", "# Wish\n\nFaster!\n"):
        dry, real = shared_home.job(repo, text, "--dry-run"), shared_home.job(repo, text)
        assert (dry.status, dry.json["outcome"]) == (real.status, real.json["outcome"])
        assert dry.json["message"] == real.json["reason"]


def test_tests_without_results_are_not_counted(shared_home: JobHome, tmp_path: Path) -> None:
    """A command that reports no tests has no number of passed ones, not even in words."""
    repo = make_repo(tmp_path / "uncounted", CALC)
    file = shared_home.folder / "uncounted.md"
    file.write_text(RIGHT)
    ended = shared_home("run", str(file), "--test-command", "true", "--allow-untested", cwd=repo)
    assert ended.status == 0, ended.err
    assert "no results before; no results after" in ended.out
    assert "None" not in ended.out


def test_an_explicit_test_command_is_used(shared_home: JobHome, tmp_path: Path) -> None:
    """--test-command replaces what would be found, and the document names it."""
    repo = make_repo(tmp_path / "command", CALC)
    command = f"{sys.executable} -m unittest tests.test_calc"
    ended = shared_home.job(repo, RIGHT, "--test-command", command)
    assert ended.status == 0, ended.out
    assert ended.json["tests"]["command"] == command


@pytest.mark.parametrize("command", ["  ", "python -m pytest 'x"])
def test_a_command_that_is_none_is_refused_at_once(own_home: JobHome, tmp_path: Path, command: str) -> None:
    """A test command that no shell could read is an error of usage, and starts nothing."""
    repo = make_repo(tmp_path / "refused", CALC)
    ended = own_home.job(repo, RIGHT, "--test-command", command)
    assert ended.status == 2
    assert "--test-command" in ended.err
    assert not own_home.home.exists()


def test_what_a_job_starts_for_itself_is_waited_for(own_home: JobHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the agents come late: a command that started them itself doesn't tell its user to act."""
    monkeypatch.setattr(ground, "HELLO_WITHIN_S", 0.0)
    settings = load_settings(own_home.environment, own_home.folder)
    owned = jobs.ground(settings, own_home.environment)
    assert owned
    with jobs.connect(settings) as client:
        jobs.require_agents(client, settings, owned=owned)
        served = {group["name"] for group in client.stats()["groups"].values() if group["members"]}
    assert served >= set(jobs.JOB_QUEUES)
