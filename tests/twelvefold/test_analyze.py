"""`twelvefold analyze`: what it prints, its document, its exit statuses; and that it only looks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import twelvefold as tf

from .conftest import CommandLine, git
from .test_project_commands import snapshot

ISSUE = """# Let the client retry

- [ ] `retries=3` for `Client.fetch` in `client.py`
- [ ] option `--retries` of the command `get`
- [ ] both documented in `docs/usage.md`
- [x] agreed with everybody

Timeouts stay as they are; nothing else may change.
"""
KEYS = {
    "title",
    "repo",
    "base_commit",
    "level",
    "estimated",
    "overridden",
    "confidence",
    "levels",
    "places",
    "reasons",
    "target_files",
    "missing_files",
    "vague",
    "constraints",
    "subtasks",
    "issue",
}


@pytest.fixture
def issue(twelvefold: CommandLine) -> Path:
    file = twelvefold.cwd / "12.md"
    file.write_text(ISSUE)
    return file


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "src" / "pkg").mkdir(parents=True)
    (folder / "docs").mkdir()
    (folder / "src" / "pkg" / "client.py").write_text("class Client:\n    def fetch(self, url):\n        return url\n")
    (folder / "src" / "pkg" / "cli.py").write_text("from .client import Client\n")
    (folder / "docs" / "usage.md").write_text("# Usage\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def test_the_document(twelvefold: CommandLine, issue: Path) -> None:
    """--json has the documented keys: level, reasons, and subtasks with id, files, checks and dependencies."""
    ended = twelvefold("analyze", "12.md", "--json")
    assert ended.status == 0
    found = ended.json
    assert set(found) == KEYS
    assert found["title"] == "Let the client retry"
    assert (found["level"], found["estimated"], found["overridden"]) == ("moderate", "moderate", False)
    assert found["levels"] == 2
    assert 0 < found["confidence"] < 1
    assert found["target_files"] == ["client.py", "docs/usage.md"]
    assert (found["repo"], found["base_commit"], found["missing_files"]) == (None, None, [])
    assert {"signal", "text", "places"} == set(found["reasons"][0])
    assert any("imeouts" in text for text in found["constraints"])
    run = found["issue"]
    assert (run["kind"], run["verdict"], run["reason"], len(run["parts"])) == ("feature", "actionable", None, 1)
    first = found["subtasks"][0]
    assert set(first) == {"id", "title", "kind", "line", "files", "checks", "depends_on", "subtasks"}
    page = next(subtask for subtask in found["subtasks"] if subtask["files"] == ["docs/usage.md"])
    assert (page["kind"], page["line"]) == ("documentation", 5)
    assert found["subtasks"][-1]["kind"] == "verification"


def test_what_people_read(twelvefold: CommandLine, issue: Path) -> None:
    """Without --json the level, each reason, the tree with checks and what stays are shown, in plain text in a pipe."""
    shown = twelvefold("analyze", "12.md").out
    assert shown.startswith("moderate  confidence ")
    for words in ("Subtasks", "├─ 1 ", "✓ ", "docs/usage.md", "after ", "Stays as it is", "2 files named"):
        assert words in shown
    assert "\x1b" not in shown
    assert "\x1b[" in twelvefold.on_terminal("analyze", "12.md").out


def test_an_atomic_issue_and_a_vague_one(twelvefold: CommandLine) -> None:
    """A sentence is a target too; what is atomic or vague has no subtasks, and a hint says why."""
    typo = twelvefold("analyze", "Correct the typo in README.md")
    assert (typo.status, typo.out.split()[0]) == (0, "atomic")
    assert "not taken apart" in typo.err
    vague = twelvefold("analyze", "it is all so slow", "--json").json
    assert (vague["issue"]["verdict"], vague["issue"]["reason"], vague["issue"]["parts"]) == (
        "needs_information",
        "vague",
        [],
    )
    assert (vague["vague"], vague["subtasks"]) == (True, [])
    assert "ask its author" in twelvefold("analyze", "it is all so slow").err


def test_override(twelvefold: CommandLine, issue: Path) -> None:
    """A human's level decides how deeply the issue is taken apart; the estimate stays visible."""
    found = twelvefold("analyze", "12.md", "--override", "atomic", "--json").json
    assert (found["level"], found["estimated"], found["overridden"]) == ("atomic", "moderate", True)
    assert found["subtasks"] == []
    assert "set by --override" in twelvefold("analyze", "12.md", "--override", "simple").out


def test_a_repository_is_read_and_not_touched(twelvefold: CommandLine, issue: Path, repository: Path) -> None:
    """With --repo short paths become those of the commit, missing ones are named, and not one byte changes."""
    issue.write_text(ISSUE + "\nSee also `gone.py`, please adapt it.\n")
    (repository / "src" / "pkg" / "later.py").write_text("not committed\n")
    before = snapshot(repository)
    found = twelvefold("analyze", "12.md", "--repo", str(repository), "--json").json
    assert snapshot(repository) == before
    head = subprocess.run(["git", "-C", repository, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert (found["repo"], found["base_commit"]) == (str(repository), head.stdout.strip())
    assert "src/pkg/client.py" in found["target_files"]
    assert found["missing_files"] == ["gone.py"]
    older = twelvefold("analyze", "12.md", "--repo", str(repository), "--base", "HEAD", "--json").json
    assert older == found


def test_names_are_looked_up(twelvefold: CommandLine, repository: Path) -> None:
    """A subtask about a name gets the file of the commit that defines it."""
    sentence = "Please let `Client.fetch` return None for an empty address, and add a test for `Client.fetch`."
    found = twelvefold("analyze", sentence, "--repo", str(repository), "--json").json
    assert any("src/pkg/client.py" in subtask["files"] for subtask in found["subtasks"])


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("nothing.md",), 3, "there is no issue file"),
        (("12.md", "--override", "huge"), 2, "only atomic, simple, moderate, complex, enterprise"),
        (("12.md", "--base", "HEAD"), 2, "--base needs --repo"),
        (("12.md", "--repo", "nowhere"), 3, "nowhere"),
        ((), 2, "TARGET"),
    ],
)
def test_what_cannot_be_done(
    twelvefold: CommandLine, issue: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    """A wrong target, level or repository ends with its exit status and a help that works."""
    ended = twelvefold("analyze", *arguments)
    assert words in ended.err
    assert ended.help
    assert (ended.status, ended.out) == (status, "")


def test_the_same_from_a_program(repository: Path) -> None:
    """`tf.analyze_complexity` and `tf.decompose` give the level and the subtasks that the command prints."""
    judged = tf.analyze_complexity(ISSUE, repo=repository)
    assert isinstance(judged, tf.Assessment)
    assert judged.level is tf.Complexity.MODERATE
    found = tf.decompose(ISSUE, repo=repository, override=tf.Complexity.COMPLEX)
    assert isinstance(found, tf.Decomposition)
    assert found.assessment.level is tf.Complexity.COMPLEX
    assert all(isinstance(subtask, tf.Subtask) for subtask in found.walk())
    assert judged.level.levels == 2
