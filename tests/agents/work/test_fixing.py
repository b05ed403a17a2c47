"""IssueFixerAgent: from an issue's text to a commit, or to a truthful reason; and its stores and workspaces."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.engines import engine
from twelvefold.agents.engines.patch import PatchEngine
from twelvefold.agents.fixer import IssueFixerAgent
from twelvefold.agents.git import Git, Identity
from twelvefold.agents.store import find_repository
from twelvefold.agents.work_errors import CommitMissing

from .conftest import Job, UserRepo

SOURCE = "def add(a, b):\n    return a - b\n"


def issue(old: str = "    return a - b", new: str = "    return a + b", path: str = "calc.py") -> str:
    return f"# Sum is wrong\n\n### 1. `{path}`\nCurrent:\n```\n{old}\n```\nShould be:\n```\n{new}\n```\n"


def test_an_edit_becomes_a_commit(user: UserRepo, job: Job) -> None:
    """The value names repository, base, commit, files and places, and the commit is the evidence."""
    base = user.commit({"calc.py": SOURCE})
    outcome = job.fix(issue())
    assert outcome.outcome == "succeeded", outcome
    commit = outcome.value["commit"]
    assert outcome.value == {
        "repo": str(user.folder),
        "base": base,
        "commit": commit,
        "files_changed": ["calc.py"],
        "edits": [{"path": "calc.py", "lines": [2]}],
        "engine": "patch",
        "tried": [],
    }
    assert job.text(commit, "calc.py") == SOURCE.replace("-", "+").encode()
    proof = [piece for piece in outcome.evidence if piece.kind == "commit"]
    assert [piece.ref for piece in proof] == [commit]
    assert commit not in user.git("rev-list", "--all").split()


def test_events_name_what_was_made(user: UserRepo, job: Job) -> None:
    """The workspace's events tell folder, store, commit and hidden ref, in the order in which things happened."""
    base = user.commit({"calc.py": SOURCE})
    commit = job.fix(issue()).value["commit"]
    events = [(event.type, event.data) for event in job.trial.events("workspace.*")]
    assert [type for type, _ in events] == [
        "workspace.fetched",
        "workspace.created",
        "workspace.committed",
        "workspace.removed",
    ]
    assert events[1][1]["commit"] == base
    assert events[2][1]["commit"] == commit
    assert events[2][1]["ref"] == f"refs/twelvefold/{job.run}/0.0/1"
    completed = [event.data for event in job.trial.events("effect.completed") if event.data["kind"] == "git"]
    assert [data["commit"] for data in completed] == [commit]
    intended = next(event for event in job.trial.events("effect.intended"))
    assert intended.position < job.trial.events("workspace.created")[0].position


REFUSALS: dict[str, tuple[str, str, str, str]] = {
    "missing": (issue("    return a * b"), "failed", "old_text_missing", "line 2"),
    "other indentation": (issue("  return a - b"), "failed", "old_text_missing", "indentation"),
    "ambiguous": (issue("x = 1", "x = 2", "twice.py"), "failed", "old_text_ambiguous", "lines 1, 3"),
    "no such file": (issue(path="src/gone.py"), "failed", "file_missing", "src/gone.py is not in the repository"),
    "namesake": (issue(path="calc.md"), "failed", "file_missing", "did it mean docs/calc.md?"),
    "out of the repository": (issue(path="../calc.py"), "failed", "unsafe_path", "leads out"),
    "absolute": (issue(path="/etc/hosts.conf"), "failed", "unsafe_path", "not relative"),
    "inside .git": (issue(path=".git/info/x.txt"), "failed", "unsafe_path", "inside .git"),
    "link": (issue("root", "x", "link.conf"), "failed", "unsafe_path", "symbolic link"),
    "below a link": (issue("root", "x", "folder/passwd.txt"), "failed", "unsafe_path", "not a folder"),
    "binary": (issue("x", "y", "data.bin.md"), "failed", "not_text", "not a text file"),
    "python that breaks": (
        issue("    return a - b", "    return (a"),
        "failed",
        "syntax_broken",
        "no longer be Python",
    ),
    "empty": ("", "failed", "empty_issue", "is empty"),
    "white space": ("\ufeff \n\t\n", "failed", "empty_issue", "is empty"),
    "plain": ("# Sum\nadd(2, 1) gives 1\n", "needs_human", "no_explicit_edits", "states no explicit edits"),
    "no file": (issue().replace("1. `calc.py`", "add"), "needs_human", "edits_incomplete", "no file is named"),
    "closed": (f"{issue()}\n## Status\nRESOLVED in 2.0\n", "nothing_to_do", "issue_closed", "RESOLVED in 2.0"),
    "made": (issue("    return a * b", "    return a - b"), "nothing_to_do", "already_applied", "calc.py:2"),
}


@pytest.mark.parametrize(("text", "outcome", "reason", "part"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_cannot_be_done_is_said(user: UserRepo, job: Job, text: str, outcome: str, reason: str, part: str) -> None:
    """Each way in which an issue can't be applied has its word and a sentence, and leaves nothing behind."""
    for name, target in (("link.conf", "/etc/passwd"), ("folder", "/etc")):
        (user.folder / name).symlink_to(target)
    user.commit({"calc.py": SOURCE, "twice.py": "x = 1\ny = 1\nx = 1\n", "data.bin.md": b"x\0y", "docs/calc.md": "#\n"})
    result = job.fix(text)
    assert (result.outcome, result.reason) == (outcome, reason), result
    assert part in str(result.message)
    assert not job.trial.events("workspace.committed")


def test_all_or_none(user: UserRepo, job: Job) -> None:
    """One block that doesn't occur keeps the others from being made."""
    user.commit({"calc.py": SOURCE, "b.py": "x = 1\n"})
    result = job.fix(issue() + issue("nope", "y", "b.py").removeprefix("# Sum is wrong\n"))
    assert result.reason == "old_text_missing"
    assert [failure["path"] for failure in result.value["failures"]] == ["b.py"]
    assert not job.trial.events("workspace.committed")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"repo": "/nonexistent/x"}, "not_a_repository"),
        ({"base": "0" * 40}, "commit_missing"),
        ({"base": "HEAD"}, "invalid_ref"),
        ({"base": "--upload-pack=false"}, "invalid_ref"),
        ({"engine": "magic"}, "unknown_engine"),
    ],
)
def test_what_is_asked_wrongly_fails(user: UserRepo, job: Job, change: dict[str, Any], reason: str) -> None:
    """A repository or commit that isn't there, and an engine that doesn't exist, fail with their reason."""
    base = user.commit({"calc.py": SOURCE})
    given = {"issue": {"name": "x.md", "text": issue()}, "repo": str(user.folder), "base": base, **change}
    outcome = job.deliver(IssueFixerAgent(), given, "0.0")
    assert (outcome.outcome, outcome.reason) == ("failed", reason), outcome
    assert not list(job.trial.places.workspaces.glob("*"))


def test_text_of_an_issue_never_becomes_an_option(user: UserRepo, job: Job) -> None:
    """Titles, names and paths that look like options, refs or shell reach git as plain text."""
    user.commit({"calc.py": SOURCE, "--upload-pack=x.py": SOURCE, "-rf": "x\n", ":(top)a.py": SOURCE})
    for path in ("--upload-pack=x.py", ":(top)a.py"):
        title = "--author=$(touch /tmp/owned) `x` ; \0 --amend"
        text = (
            f"# {title}\n\n### 1. `{path}`\nCurrent:\n```\n    return a - b\n```\nShould be:\n```\n    return b\n```\n"
        )
        outcome = job.fix(text)
        assert outcome.outcome in ("succeeded", "needs_human", "failed")
        if outcome.outcome == "succeeded":
            assert outcome.value["files_changed"] == [path]


def test_files_that_are_ignored_or_new(user: UserRepo, job: Job) -> None:
    """A file that a diff makes is committed even where `.gitignore` names it, in folders that didn't exist."""
    user.commit({"calc.py": SOURCE, ".gitignore": "build/\n*.log\n"})
    new = "--- /dev/null\n+++ b/build/deep/x.py\n@@ -0,0 +1 @@\n+x = 1\n"
    gone = "--- a/calc.py\n+++ /dev/null\n@@ -1,2 +0,0 @@\n" + "".join(f"-{line}\n" for line in SOURCE.splitlines())
    outcome = job.fix(f"```diff\n{new}{gone}```\n")
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == ["build/deep/x.py", "calc.py"]
    assert job.text(outcome.value["commit"], "build/deep/x.py") == b"x = 1\n"


def test_modes_are_kept(user: UserRepo, job: Job) -> None:
    """An executable file stays executable when it is edited."""
    (user.folder / "run.sh").write_text("echo 1\n")
    (user.folder / "run.sh").chmod(0o755)
    base = user.commit({})
    commit = job.fix(issue("echo 1", "echo 2", "run.sh")).value["commit"]
    store = job.stores.find_run(job.run)
    assert store is not None
    raw = job.stores.git.run("diff-tree", base, commit, git_dir=store.git_dir).text
    assert raw.startswith(":100755 100755 ")


def test_a_killed_attempt_is_taken_over(user: UserRepo, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed holder left, half a workspace and git's locks, is cleared away, and the commit is the same."""
    base = user.commit({"calc.py": SOURCE})
    given = {"issue": {"name": "x.md", "text": issue()}, "repo": str(user.folder), "base": base, "engine": "killed"}
    request = job.trial.request(IssueFixerAgent(), given, run=job.run, path="0.0")

    class Killed(PatchEngine):
        def work(self, *args: Any) -> Any:
            super().work(*args)
            raise KeyboardInterrupt  # stands for SIGKILL: nothing of the handler runs after it

    monkeypatch.setitem(engine._registered, "killed", Killed)
    with pytest.raises(KeyboardInterrupt):
        job.trial.deliver(IssueFixerAgent(), request)
    monkeypatch.setitem(engine._registered, "killed", PatchEngine)
    first = job.trial.events("workspace.committed")[0].data["commit"]
    store = job.stores.find_run(job.run)
    assert store is not None
    left = job.trial.places.workspaces / job.run / "0.0"
    (left / "sub").mkdir(parents=True)
    (left / "calc.py").write_text("half")
    for lock in (store.index("0.0.lock"), store.git_dir / f"refs/twelvefold/{job.run}/0.0/2.lock"):
        lock.touch()
    (left / "sub").chmod(0o500)
    outcome = job.trial.deliver(IssueFixerAgent(), request, delivery=2)
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["commit"] == first
    assert not list(job.trial.places.workspaces.glob("*"))
    assert not list(job.trial.places.stores.rglob("*.git/**/*.lock"))


def test_a_recorded_result_is_not_made_again(user: UserRepo, job: Job) -> None:
    """A task that is delivered again after its commit was recorded answers with it, without a workspace."""
    base = user.commit({"calc.py": SOURCE})
    given = {"issue": {"name": "x.md", "text": issue()}, "repo": str(user.folder), "base": base}
    request = job.trial.request(IssueFixerAgent(), given, run=job.run, path="0.0")
    first = job.trial.deliver(IssueFixerAgent(), request)
    again = job.trial.deliver(IssueFixerAgent(), request, delivery=2)
    assert again.value == first.value
    assert len(job.trial.events("workspace.created")) == 1


def test_undo_removes_workspaces_and_keeps_commits(user: UserRepo, job: Job) -> None:
    """Undoing a fix removes every workspace of the run; the commit that the log names can still be read."""
    base = user.commit({"calc.py": SOURCE})
    commit = job.fix(issue()).value["commit"]
    job.workspace(base, "0.0")
    outcome = job.deliver(IssueFixerAgent(), {"repo": str(user.folder)}, "0.0.undo", undo=True)
    assert outcome.outcome == "succeeded", outcome
    assert not list(job.trial.places.workspaces.glob("*"))
    assert job.text(commit, "calc.py") == SOURCE.replace("-", "+").encode()


def test_a_workspace_is_the_commit(user: UserRepo, job: Job) -> None:
    """A workspace holds the commit's bytes, is clean for git, and shares objects with the store."""
    files = {"a.txt": "a\r\nb\n", "run.sh": "x\n", ".gitattributes": "* text eol=crlf\n*.txt filter=lfs\n"}
    (user.folder / "link").symlink_to("a.txt")
    base = user.commit(files)
    with job.workspace(base) as workspace:
        raw = user.git("cat-file", "-s", f"{base}:a.txt")
        assert len((workspace.folder / "a.txt").read_bytes()) == int(raw)
        assert (workspace.folder / "link").readlink() == Path("a.txt")
        assert user.git("status", "--porcelain", at=workspace.folder) == ""
        assert user.git("rev-parse", "HEAD", at=workspace.folder) == base
        assert not list((workspace.folder / ".git" / "hooks").glob("*"))
        assert user.git("count-objects", at=workspace.folder).startswith("0 objects")
        assert workspace.record("nothing", 1) is None


def test_every_kind_of_change_is_recorded(user: UserRepo, job: Job) -> None:
    """Files become folders and links, names have odd bytes, modes change; each state gets a ref of its own."""
    base = user.commit({"file": "x\n", "dir/a": "a\n", "dir/b": "b\n", "keep": "k\n", "mode": "m\n"})
    with job.workspace(base) as workspace:
        top = workspace.folder
        (top / "file").unlink()
        (top / "file").mkdir()
        (top / "file" / "inner").write_text("i\n")
        (top / "dir").rename(top / "moved")
        (top / "dir").symlink_to("moved")
        (top / "mode").chmod(0o755)
        (top / os.fsdecode(b"odd \xff\n")).write_text("o\n")
        first = workspace.record("One", 1)
        assert first is not None
        rows = job.stores.git.run("ls-tree", "-r", "-z", first, git_dir=workspace.store.git_dir).out.split(b"\0")
        modes = {row.split(b"\t")[1]: row[:6] for row in rows if row}
        assert modes == {
            b"dir": b"120000",
            b"file/inner": b"100644",
            b"keep": b"100644",
            b"mode": b"100755",
            b"moved/a": b"100644",
            b"moved/b": b"100644",
            b"odd \xff\n": b"100644",
        }
        (top / "keep").unlink()
        second = workspace.record("Two", 2)
        assert second is not None
        assert workspace.changed(first, second) == ["keep"]
        workspace.reset(base)
        assert sorted(path.name for path in top.iterdir()) == [".git", "dir", "file", "keep", "mode"]
        assert workspace.record("Back", 3) is None
    refs = job.stores.git.run("for-each-ref", "--format=%(refname:lstrip=3)", git_dir=workspace.store.git_dir).text
    assert refs.split() == ["0.0/1", "0.0/2"]


def test_foreign_code_in_a_workspace_cannot_steer_git(user: UserRepo, job: Job) -> None:
    """Hooks, filters, a false `.git`, nested repositories: what a workspace holds is content, never a command."""
    base = user.commit({"calc.py": SOURCE})
    main = user.picture()
    with job.workspace(base) as workspace:
        inside = UserRepo(workspace.folder)
        inside.alarms = user.alarms
        inside.alarms.parent.mkdir(exist_ok=True)
        inside.plant()
        nested = UserRepo(workspace.folder / "nested").init()
        nested.commit({"x": "x\n"})
        nested.alarms = user.alarms
        nested.plant()
        (workspace.folder / ".gitattributes").write_text("* filter=evil\n")
        (workspace.folder / "calc.py").write_text("y = 1\n")
        (workspace.folder / "sub").mkdir()
        (workspace.folder / "sub" / ".git").write_text(f"gitdir: {user.folder}/.git\n")
        (workspace.folder / "sub" / "s.py").write_text("s = 1\n")
        for name in [path.name for path in user.alarms.iterdir()]:
            (user.alarms / name).unlink()
        first = workspace.record("One", 1)
        subprocess.run(["rm", "-rf", str(workspace.folder / ".git")], check=True)
        (workspace.folder / ".git").write_text(f"gitdir: {user.folder}/.git\n")
        (workspace.folder / "calc.py").write_text("y = 2\n")
        second = workspace.record("Two", 2)
        assert first is not None
        assert second is not None
        assert workspace.changed(base, first) == [".gitattributes", "calc.py"]
        assert workspace.changed(first, second) == ["calc.py"]
    assert user.alarmed() == []
    assert user.picture() == main


def test_a_workspace_that_became_a_link_is_not_followed(user: UserRepo, job: Job) -> None:
    """Removing a workspace that was replaced by a link to the user's checkout removes the link."""
    base = user.commit({"calc.py": SOURCE})
    main = user.picture()
    workspace = job.workspace(base)
    subprocess.run(["rm", "-rf", str(workspace.folder)], check=True)
    workspace.folder.symlink_to(user.folder)
    workspace.remove()
    assert user.picture() == main
    assert not os.path.lexists(workspace.folder)


def test_stores_are_shared_and_kept_apart(user: UserRepo, job: Job, job_on: Callable[[Path], Job]) -> None:
    """Runs of one repository share its base store, and each has its own for commits; nothing is copied twice."""
    base = user.commit({"calc.py": SOURCE, "big.bin": os.urandom(300_000)})
    other = job_on(user.folder)
    one, two = job.open_run(base), other.open_run(base)
    assert one.git_dir.parent == two.git_dir.parent
    assert one.git_dir != two.git_dir
    commit = job.fix(issue()).value["commit"]
    with pytest.raises(CommitMissing):
        other.stores.require(two, commit)
    size = sum(path.stat().st_size for path in one.git_dir.rglob("*") if path.is_file())
    assert size < 100_000
    assert stat.S_IMODE(one.git_dir.parent.stat().st_mode) == 0o700


def test_a_store_that_was_being_made_is_made_again(user: UserRepo, job: Job) -> None:
    """A store is there whole or not at all; what a killed maker left is no obstacle."""
    base = user.commit({"calc.py": SOURCE})
    repository = find_repository(job.stores.git, user.folder)
    half = job.stores.root / f".making-{repository.key}.git"
    half.mkdir(parents=True)
    (half / "HEAD").write_text("garbage")
    assert job.stores.has(job.open_run(base).git_dir, base)
    assert not half.exists()


def test_identity_is_a_setting(user: UserRepo, job: Job) -> None:
    """Who commits is fixed by us and may be set; the author's time is the one that was recorded."""
    base = user.commit({"calc.py": SOURCE})
    job.stores.git = Git(Identity("Robot", "robot@example.org"))
    with job.workspace(base) as workspace:
        (workspace.folder / "calc.py").write_text("x = 1\n")
        commit = workspace.record("Change", 1_700_000_000)
        assert commit is not None
        shown = job.stores.git.run(
            "log", "-1", "--format=%an <%ae> %at %cn %ct", commit, git_dir=workspace.store.git_dir
        )
    assert shown.text == "Robot <robot@example.org> 1700000000 Robot 1700000000"


def test_moves_and_deletions_in_a_repository(user: UserRepo, job: Job) -> None:
    """A moved file keeps its mode and history as a rename, a deleted one is gone; both are in the commit's message."""
    (user.folder / "run.sh").write_text("".join(f"echo {n}\n" for n in range(20)))
    (user.folder / "run.sh").chmod(0o755)
    user.commit({"calc.py": SOURCE, "old.txt": "x\n"})
    outcome = job.fix(
        "# Tidy up\n\nMove `run.sh` to `bin/`.\n\nDelete `old.txt`.\n\nReplace `echo 3` with `echo three` in `run.sh`."
    )
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == ["bin/run.sh", "old.txt", "run.sh"]
    store = job.stores.find_run(job.run)
    assert store is not None
    shown = job.stores.git.run(
        "show", "-M", "--raw", "--format=%B", outcome.value["commit"], git_dir=store.git_dir
    ).text
    assert "R" in shown and "\trun.sh\tbin/run.sh" in shown
    assert ":100755 100755 " in shown
    assert "- bin/run.sh" in shown


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Move `calc.py` to `link/`.", "not a folder"),
        ("Move `calc.py` to `link/calc.conf`.", "not a folder"),
        ("Delete `alias.py`.", "symbolic link"),
        ("Rename `alias.py` to `other.py`.", "symbolic link"),
        ("Append `x = 1` to `alias.py`.", "symbolic link"),
        ("Set `x` to `2` in `alias.py`.", "symbolic link"),
        ("Rename `calc.py` to `docs`.", "no file is named"),
        ("Move `calc.py` to `docs/../../x.py`.", "leads out"),
        ("Rename `calc.py` to `calc.py/x.py`.", "not a folder"),
        ("Delete `.git/config.ini`.", "inside .git"),
        ("Rename `calc.py` to `.GIT/config.py`.", "inside .git"),
        ("Rename `calc.py` to `--upload-pack=touch.py`.", ""),
        ("Rename `calc.py` to `$(touch owned).py`.", ""),
    ],
)
def test_orders_never_leave_the_repository(user: UserRepo, job: Job, text: str, part: str) -> None:
    """Moves, deletions and insertions go through no link and out of no folder, whatever the paths look like."""
    (user.folder / "link").symlink_to("/tmp")
    (user.folder / "alias.py").symlink_to("calc.py")
    user.commit({"calc.py": SOURCE, "docs/a.md": "x\n"})
    outcome = job.fix(f"# T\n\n{text}\n")
    assert part in str(outcome.message)
    if part:
        assert outcome.outcome in ("failed", "needs_human"), outcome
        assert not job.trial.events("workspace.committed")
    assert not list(Path("/tmp").glob("calc.*"))
    assert not list(user.folder.parent.rglob("owned*"))


def test_a_scope_takes_its_own_edits(user: UserRepo, job: Job) -> None:
    """Of an issue for several tasks each makes the edits in its own files, and the next goes on from its commit."""
    base = user.commit({"calc.py": SOURCE, "b.py": "x = 1\n"})
    text = f"{issue()}\n### 2. `b.py`\nCurrent:\n```\nx = 1\n```\nShould be:\n```\nx = 2\n```\n"
    first = job.fix(text, files=["calc.py"])
    assert first.value["files_changed"] == ["calc.py"]
    second = job.fix(text, base=base, start=first.value["commit"], files=["b.py"])
    assert (second.value["files_changed"], second.value["start"]) == (["b.py"], first.value["commit"])
    assert job.text(second.value["commit"], "calc.py") == SOURCE.replace("-", "+").encode()
    assert job.fix(text, files=["c.py"]).outcome == "needs_human"


def test_a_name_in_the_whole_repository(user: UserRepo, job: Job) -> None:
    """A name that is said to stand so often in so many files is replaced in all; a link and a binary don't count."""
    (user.folder / "alias.py").symlink_to("calc.py")
    user.commit(
        {"calc.py": SOURCE, "use.py": "from calc import add\n\nadd(1, 2)\n", "d.bin": b"add\0", "additive.txt": "x"}
    )
    outcome = job.fix("# T\n\nRename `add` to `plus` everywhere in the repository (3 occurrences in 2 files).\n")
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == ["calc.py", "use.py"]
    assert job.text(outcome.value["commit"], "use.py") == b"from calc import plus\n\nplus(1, 2)\n"
    refused = job.fix("# T\n\nRename `add` to `plus` everywhere in the repository (4 occurrences).\n")
    assert (refused.outcome, refused.reason) == ("failed", "old_text_ambiguous")
    assert "occurs 3 times: calc.py (1), use.py (2)" in str(refused.message)
    for odd in ("--open-files-in-pager=touch", "-e x", "../x", "$(touch owned)"):
        assert job.fix(f"# T\n\nRename `{odd}` to `b` across the project (1 occurrence).\n").outcome != "succeeded"
    assert not list(user.folder.parent.rglob("owned*"))
