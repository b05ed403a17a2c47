"""Reading the repository's history, and committing to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.agents.tools.conftest import FILES, Desk
from tests.agents.work.conftest import UserRepo
from twelvefold.agents.tools.committing import settled_commit


@pytest.fixture
def aged(desk: Desk) -> Desk:
    """A desk that changed a file twice."""
    desk.did("edit_file", path="README.md", old_text="Sells", new_text="Buys")
    desk.did("write_file", path="more.md", text="more\n")
    return desk


def test_commits_are_listed(aged: Desk) -> None:
    """Of the whole repository and of a path, newest first, as many as asked for."""
    commits = aged.did("git_log")["commits"]
    assert len(commits) == 3 and commits[0]["commit"] == aged.workspace.commit
    assert (commits[-1]["author"], commits[-1]["message"]) == ("Owner", "State")
    assert len(aged.did("git_log", path="src")["commits"]) == 1
    assert aged.did("git_log", limit=2)["truncated"]
    assert [one["commit"] for one in aged.did("git_log", revision="START")["commits"]] == [aged.commit]


def test_changes_are_shown(aged: Desk) -> None:
    """Since the task began, between two commits, of one file, of one commit."""
    whole = aged.did("git_diff")
    assert whole["files"] == ["README.md", "more.md"] and "+Buys things." in whole["diff"]
    assert aged.did("git_diff", path="more.md")["files"] == ["more.md"]
    assert aged.did("git_diff", old="HEAD~1", new="HEAD")["files"] == ["more.md"]
    assert "+more" in aged.did("git_show")["diff"]
    assert aged.did("git_show", revision="START")["diff"].count("new file mode") == len(FILES)
    assert aged.did("git_show", revision="START", path="README.md")["text"] == FILES["README.md"]
    assert aged.refused("git_show", revision="START", path="more.md") == "file_missing"


def test_lines_are_blamed(aged: Desk) -> None:
    """Each line names its commit, and each commit its author."""
    data = aged.did("git_blame", path="README.md")
    assert [line["text"] for line in data["lines"]] == ["# Shop", "", "Buys things."]
    authors = [data["commits"][line["commit"]]["author"] for line in data["lines"]]
    assert authors == ["Owner", "Owner", "Twelvefold"]
    assert len(aged.did("git_blame", path="README.md", start_line=3, end_line=99)["lines"]) == 1
    assert aged.refused("git_blame", path="README.md", start_line=9) == "no_such_line"
    assert aged.refused("git_blame", path="src") == "file_missing"


@pytest.mark.parametrize("tool", ["git_log", "git_diff", "git_show", "git_blame"])
@pytest.mark.parametrize(
    "revision",
    ["--output=owned", "-p", "main", "HEAD@{0}", "HEAD:README.md", ":/State", "HEAD..START", "^HEAD", "0000", "HEAD~9",
     "--upload-pack=touch owned", "HEAD --", "$(id)", "refs/heads/base", "", "abc"],
)  # fmt: skip
def test_a_revision_is_an_id_or_nothing(desk: Desk, tool: str, revision: str) -> None:
    """No option, ref or expression of git's is taken."""
    given = {"old" if tool == "git_diff" else "revision": revision}
    given |= {"path": "README.md"} if tool == "git_blame" else {}
    assert desk.refused(tool, **given) == "unknown_revision"


def test_a_commit_replaces_the_snapshots_before_it(aged: Desk) -> None:
    """It holds all changes since the last commit, under its message, as that commit's child."""
    made = aged.did("git_commit", message="Buy things\n\nAnd more.")
    assert made["files_changed"] == ["README.md", "more.md"] and made["commit"] == aged.workspace.commit
    assert [one["message"] for one in aged.did("git_log")["commits"]] == ["Buy things\n\nAnd more.", "State"]
    assert aged.call("git_commit", message="Again").outcome == "nothing_to_do"
    aged.did("delete_file", path="more.md")
    again = aged.did("git_commit", message="Less")
    assert again["files_changed"] == ["more.md"]
    assert [one["message"] for one in aged.did("git_log")["commits"]][:2] == ["Less", "Buy things\n\nAnd more."]


def test_a_message_is_only_text(aged: Desk) -> None:
    """Not an option, not a snapshot's mark, not the end of anything."""
    message = "-F /etc/passwd\n\nTwelvefold-Snapshot: x 0"
    made = aged.did("git_commit", message=message)
    shown = aged.did("git_show", revision=made["commit"])
    assert shown["message"].startswith("-F /etc/passwd")
    assert settled_commit(aged.workspace) == made["commit"]


def test_the_workspace_s_own_git_has_no_say(aged: Desk) -> None:
    """Whatever foreign code writes into `.git` of the workspace, or however it removes it, nothing of it is run."""
    own = aged.folder / ".git"
    for name in ("post-commit", "pre-commit", "post-index-change", "reference-transaction"):
        (own / "hooks").mkdir(exist_ok=True)
        (own / "hooks" / name).write_text(f"#!/bin/sh\ntouch {aged.folder.parent}/owned\n")
        (own / "hooks" / name).chmod(0o755)
    (own / "config").write_text(
        "[core]\n\tfsmonitor = touch owned\n\tworktree = /etc\n[diff]\n\texternal = touch owned\n"
    )
    (aged.folder / ".gitattributes").write_text("* diff=evil filter=evil\n")
    aged.did("write_file", path="README.md", text="x\n")
    aged.did("git_diff")
    aged.did("git_commit", message="m")
    assert not list(aged.folder.parent.glob("owned")) and not (aged.folder / "owned").exists()


def test_a_history_written_to_confuse_is_read_as_it_is(desk_on: Callable[..., Desk], user: UserRepo) -> None:
    """Control characters, separators and other people's snapshot marks in messages and names."""
    message = "one\x01two\n\n\x1b[31mred\nTwelvefold-Snapshot: not ours"
    (user.folder / "x").write_text("x\n")
    user.git("add", "-A")
    user.git("commit", "-qm", message, "--author", "A\x01 B <a@b>")
    desk = desk_on()
    (found,) = desk.did("git_log", limit=1)["commits"]
    assert (found["message"], found["author"]) == (message, "A\x01 B")
    assert desk.did("git_show")["message"] == message
    desk.did("write_file", path="y", text="y\n")
    desk.did("git_commit", message="mine")
    assert [one["message"] for one in desk.did("git_log", limit=2)["commits"]] == ["mine", message]
