"""Fixing and publishing on real repositories: what comes out, and what of the user's stays byte for byte."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from twelvefold.agents.fixer import IssueFixerAgent
from twelvefold.agents.git import Git
from twelvefold.agents.publisher import publish_ref
from twelvefold.agents.store import find_repository
from twelvefold.agents.work_errors import IncompleteRepository, RefTaken

from .conftest import Job, Picture, UserRepo

SOURCE = "def add(a, b):\n    return a - b\n"
ISSUE = """# Sum is wrong

### 1. `calc.py`: add
Current:
```python
    return a - b
```
Should be:
```python
    return a + b
```
"""


def ref_of(job: Job) -> str:
    return f"refs/heads/twelvefold/sum-is-wrong-{job.run}"


def differences(before: Picture, after: Picture) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def published(job: Job, base: str | None = None) -> tuple[str, str]:
    """Fix and publish; returns base and commit."""
    base = base or job.user.git("rev-parse", "HEAD")
    fixed = job.fix(ISSUE, base)
    assert fixed.outcome == "succeeded", fixed
    outcome = job.publish(fixed.value["commit"], base, ref_of(job))
    assert outcome.outcome == "succeeded", outcome
    return base, fixed.value["commit"]


def test_publishing_changes_one_ref(user: UserRepo, job: Job) -> None:
    """Publishing adds a ref, its reflog and objects, and changes nothing else of repository and checkout."""
    user.commit({"calc.py": SOURCE, "other.txt": "x\n"})
    user.git("tag", "v1")
    before, refs = user.picture(), user.refs()
    _, commit = published(job)
    assert user.refs() == {**refs, ref_of(job): commit}
    changed = differences(before, user.picture())
    allowed = (".git/objects", ".git/refs/heads", ".git/logs/refs/heads")
    assert {name for name in changed if not name.startswith(allowed)} == {".git"} & changed
    assert user.git("show", f"{commit}:calc.py") == "def add(a, b):\n    return a + b"
    assert user.git("status", "--porcelain") == ""
    user.git("fsck", "--strict")


def test_commit_tells_where_it_comes_from(user: UserRepo, job: Job) -> None:
    """The commit has the issue's title, our identity, the base as its only parent, and the run in a trailer."""
    base = user.commit({"calc.py": SOURCE})
    _, commit = published(job)
    title, name, parent = user.git("log", "-1", "--format=%s%n%an <%ae>%n%P", commit).splitlines()
    assert (title, name, parent) == ("Sum is wrong", "Twelvefold <twelvefold@localhost>", base)
    trailers = user.git("log", "-1", "--format=%(trailers:only,unfold)", commit)
    assert f"Twelvefold-Run: {job.run}" in trailers
    assert "Twelvefold-Issue: 12.md" in trailers


def test_patch_applies_with_git_am(user: UserRepo, job: Job) -> None:
    """The patch file alone brings the change into another clone."""
    user.commit({"calc.py": SOURCE})
    base = user.git("rev-parse", "HEAD")
    fixed = job.fix(ISSUE)
    outcome = job.publish(fixed.value["commit"], base, ref_of(job))
    clone = user.folder.parent / "clone"
    user.git("clone", "-q", str(user.folder), str(clone))
    user.git("am", "-q", outcome.value["patch"], at=clone)
    assert (clone / "calc.py").read_text() == SOURCE.replace("-", "+")


def test_no_planted_program_runs(user: UserRepo, job: Job) -> None:
    """No hook, filter, monitor or program that the repository's settings name runs, and none of them has a say."""
    user.commit({"calc.py": SOURCE, ".gitattributes": "* filter=evil diff=evil\n"})
    user.plant()
    base, commit = published(job)
    assert job.unpublish(commit, ref_of(job)).outcome == "succeeded"
    assert user.alarmed() == []
    assert job.text(commit, "calc.py") == SOURCE.replace("-", "+").encode()
    assert user.refs()["refs/heads/main"] == base


def test_the_alarms_work(user: UserRepo) -> None:
    """The planted programs do raise an alarm when plain git is used, so their silence elsewhere means something."""
    user.commit({"calc.py": SOURCE})
    user.plant()
    user.git("update-ref", "refs/heads/x", "HEAD")
    assert any("reference-transaction" in name for name in user.alarmed())


def test_undo_restores_every_byte(user: UserRepo, job: Job) -> None:
    """Taking a branch back leaves nothing but the objects: no ref, no reflog, no folder, no patch file."""
    user.commit({"calc.py": SOURCE})
    user.git("pack-refs", "--all")
    before = {name: what for name, what in user.picture().items() if not (user.folder / name).is_dir()}
    _, commit = published(job)
    outcome = job.unpublish(commit, ref_of(job))
    assert (outcome.outcome, outcome.value) == ("succeeded", {"deleted": True})
    after = {name: what for name, what in user.picture().items() if not (user.folder / name).is_dir()}
    assert {name for name in differences(before, after) if not name.startswith(".git/objects/")} == set()
    assert not (user.folder / ".git/refs/heads/twelvefold").exists()
    assert not list((job.home / "patches").rglob("*.patch"))


def test_undo_leaves_a_branch_that_moved(user: UserRepo, job: Job) -> None:
    """A published branch on which somebody worked on stays; the undoing has failed, which is left to a human."""
    user.commit({"calc.py": SOURCE})
    _, commit = published(job)
    user.git("checkout", "-q", ref_of(job).removeprefix("refs/heads/"))
    newer = user.commit({"more.txt": "y\n"})
    user.git("checkout", "-q", "main")
    outcome = job.unpublish(commit, ref_of(job))
    assert (outcome.outcome, outcome.reason) == ("failed", "ref_moved")
    assert user.refs()[ref_of(job)] == newer


def test_undo_leaves_a_branch_that_is_checked_out(user: UserRepo, job: Job) -> None:
    """A branch that is somebody's HEAD isn't deleted under them."""
    user.commit({"calc.py": SOURCE})
    _, commit = published(job)
    user.git("checkout", "-q", ref_of(job).removeprefix("refs/heads/"))
    assert job.unpublish(commit, ref_of(job)).reason == "ref_moved"
    assert user.refs()[ref_of(job)] == commit


def test_publishing_twice_is_once(user: UserRepo, job: Job) -> None:
    """Publishing what is there already changes nothing; undoing twice doesn't either."""
    user.commit({"calc.py": SOURCE})
    base, commit = published(job)
    before = user.picture()
    assert job.publish(commit, base, ref_of(job)).outcome == "succeeded"
    assert user.picture() == before
    assert job.unpublish(commit, ref_of(job)).value == {"deleted": True}
    assert job.unpublish(commit, ref_of(job)).value == {"deleted": False}
    assert job.unpublish(None, ref_of(job)).outcome == "succeeded"


@pytest.mark.parametrize("there", ["main", "main~1"])
def test_an_existing_branch_is_never_moved(user: UserRepo, job: Job, there: str) -> None:
    """A branch of the same name stays where it is, even where the new commit would be a fast-forward of it."""
    user.commit({"calc.py": "x = 1\n"})
    base = user.commit({"calc.py": SOURCE})
    fixed = job.fix(ISSUE)
    user.git("branch", ref_of(job).removeprefix("refs/heads/"), there)
    before = user.picture()
    outcome = job.publish(fixed.value["commit"], base, ref_of(job))
    assert (outcome.outcome, outcome.reason) == ("failed", "ref_taken")
    assert user.picture() == before


def test_a_branch_named_twelvefold_is_in_the_way(user: UserRepo, job: Job) -> None:
    """A branch that takes the folder's name is reported, not worked around."""
    base = user.commit({"calc.py": SOURCE})
    user.git("branch", "twelvefold")
    refs = user.refs()
    outcome = job.publish(job.fix(ISSUE).value["commit"], base, ref_of(job))
    assert outcome.reason == "ref_taken"
    assert "twelvefold" in str(outcome.message)
    assert user.refs() == refs


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/main",
        "refs/heads/twelvefold/../main",
        "refs/heads/twelvefold/x.lock",
        "refs/heads/twelvefold/-x/y",
        "refs/heads/twelvefold/x:refs/heads/main",
        "--upload-pack=touch x",
        "refs/heads/twelvefold/a b",
        "refs/heads/twelvefold/x\n",
        "HEAD",
        "refs/tags/twelvefold/x",
    ],
)
def test_only_own_branches_are_published(user: UserRepo, job: Job, ref: str) -> None:
    """Whatever is given as ref, nothing outside of refs/heads/twelvefold/ can be written or deleted."""
    base = user.commit({"calc.py": SOURCE})
    commit = job.fix(ISSUE).value["commit"]
    before = user.picture()
    for outcome in (job.publish(commit, base, ref), job.unpublish(commit, ref)):
        assert (outcome.outcome, outcome.reason) == ("failed", "invalid_ref")
    assert user.picture() == before


@pytest.mark.parametrize("commit", ["HEAD", "--all", "main", "0" * 40, "e" * 39, ""])
def test_only_commits_of_the_run_are_published(user: UserRepo, job: Job, commit: str) -> None:
    """A commit that isn't a full id in the run's store is refused before the repository is touched."""
    base = user.commit({"calc.py": SOURCE})
    job.fix(ISSUE)
    before = user.picture()
    assert job.publish(commit, base, ref_of(job)).reason in ("invalid_ref", "commit_missing")
    assert user.picture() == before


def test_a_killed_publisher_leaves_no_lock(user: UserRepo, job: Job) -> None:
    """The lock of a publisher that was killed while it wrote the ref doesn't keep the next one from it."""
    user.commit({"calc.py": SOURCE})
    lock = user.folder / ".git" / f"{ref_of(job)}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    _, commit = published(job)
    assert user.refs()[ref_of(job)] == commit
    assert not lock.exists()


def test_dirty_checkout_is_left_out(user: UserRepo, job: Job) -> None:
    """Staged, unstaged and untracked changes neither get into the branch nor get lost."""
    user.commit({"calc.py": SOURCE, "b.py": "b = 1\n", "c.py": "c = 1\n"})
    (user.folder / "b.py").write_text("b = 2\n")
    user.git("add", "b.py")
    (user.folder / "c.py").write_text("c = 2\n")
    (user.folder / "new.py").write_text("n = 1\n")
    (user.folder / "calc.py").write_text("broken")
    status = user.git("status", "--porcelain")
    base, commit = published(job)
    assert user.git("diff", "--name-only", base, commit) == "calc.py"
    assert user.git("status", "--porcelain") == status
    assert (user.folder / "calc.py").read_text() == "broken"


def test_detached_head(user: UserRepo, job: Job) -> None:
    """A detached HEAD is as good a base as any, and stays detached where it is."""
    base = user.commit({"calc.py": SOURCE})
    user.commit({"calc.py": "other = 1\n"})
    user.git("checkout", "-q", "--detach", base)
    before = user.refs()
    _, commit = published(job)
    assert user.refs() == {**before, ref_of(job): commit}


def test_linked_worktree(user: UserRepo, job_on: Callable[[Path], Job]) -> None:
    """A linked working tree is a repository like any other; its main one isn't touched."""
    user.commit({"calc.py": SOURCE})
    linked = user.folder.parent / "linked"
    user.git("worktree", "add", "-q", "-b", "side", str(linked))
    job = job_on(linked)
    _, commit = published(job)
    assert user.git("rev-parse", ref_of(job)) == commit
    assert user.git("rev-parse", "--abbrev-ref", "HEAD", at=linked) == "side"
    assert user.git("status", "--porcelain") == user.git("status", "--porcelain", at=linked) == ""


def test_shallow_clone(user: UserRepo, job_on: Callable[[Path], Job]) -> None:
    """A shallow clone works, and is exactly as shallow afterwards."""
    user.commit({"calc.py": "first = 1\n"})
    user.commit({"calc.py": SOURCE})
    clone = user.folder.parent / "shallow"
    user.git("clone", "-q", "--depth=1", f"file://{user.folder}", str(clone))
    shallow = (clone / ".git/shallow").read_bytes()
    job = job_on(clone)
    base, commit = published(job)
    assert (clone / ".git/shallow").read_bytes() == shallow
    assert user.git("log", "--format=%H", commit, at=clone).split() == [commit, base]
    user.git("fsck", at=clone)


def test_deeper_history_after_a_shallow_one(user: UserRepo, job_on: Callable[[Path], Job]) -> None:
    """A clone that was shallow in one run and whole in the next gives both runs a sound base."""
    user.commit({"calc.py": "first = 1\n"})
    user.commit({"calc.py": SOURCE})
    clone = user.folder.parent / "clone"
    user.git("clone", "-q", "--depth=1", f"file://{user.folder}", str(clone))
    published(job_on(clone))
    user.git("fetch", "-q", "--unshallow", at=clone)
    user.commit({"third.txt": "3\n"})
    user.git("pull", "-q", "--ff-only", "origin", "main", at=clone)
    job = job_on(clone)
    _, commit = published(job)
    assert len(user.git("log", "--format=%H", commit, at=clone).split()) == 4
    assert not (clone / ".git/shallow").exists()


def test_partial_clone(user: UserRepo, job_on: Callable[[Path], Job]) -> None:
    """A partial clone works on what its checkout has, and nothing is fetched behind the user's back."""
    user.commit({"calc.py": "first = 1\n", "old.bin": "x" * 5000})
    user.git("rm", "-q", "old.bin")
    user.commit({"calc.py": SOURCE})
    user.git("config", "uploadpack.allowFilter", "true")
    clone = user.folder.parent / "partial"
    user.git("clone", "-q", "--filter=blob:none", f"file://{user.folder}", str(clone))
    job = job_on(clone)
    _, commit = published(job)
    assert user.git("rev-parse", ref_of(job), at=clone) == commit
    missing = user.git("rev-list", "--objects", "--all", "--missing=print", at=clone)
    assert "?" in missing, "objects were fetched from the promisor"


def test_partial_clone_without_its_files(user: UserRepo, job_on: Callable[[Path], Job]) -> None:
    """A partial clone that lacks files of the base is refused with a way out, and stays as it is."""
    base = user.commit({"calc.py": SOURCE})
    user.git("config", "uploadpack.allowFilter", "true")
    clone = user.folder.parent / "partial"
    user.git("clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{user.folder}", str(clone))
    job = job_on(clone)
    outcome = job.fix(ISSUE, base)
    assert (outcome.outcome, outcome.reason) == ("failed", "incomplete_repository")
    with pytest.raises(IncompleteRepository):
        job.open_run(base)


def test_sha256_repository(tmp_path: Path, job_on: Callable[[Path], Job]) -> None:
    """A repository with SHA-256 ids gets stores of the same kind."""
    user = UserRepo(tmp_path / "sha256" / "repo").init("--object-format=sha256")
    user.commit({"calc.py": SOURCE})
    job = job_on(user.folder)
    _, commit = published(job)
    assert len(commit) == 64
    assert user.git("rev-parse", ref_of(job)) == commit


def test_submodule_is_left_alone(user: UserRepo, job: Job, tmp_path: Path) -> None:
    """A submodule stays at its commit; neither its repository nor its checkout is touched or needed."""
    other = UserRepo(tmp_path / "other" / "repo").init()
    inner = other.commit({"lib.py": "x = 1\n"})
    user.commit({"calc.py": SOURCE})
    user.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.folder), "lib")
    user.commit({})
    base, commit = published(job)
    assert user.git("ls-tree", commit, "lib") == f"160000 commit {inner}\tlib"
    assert user.git("diff", "--name-only", base, commit) == "calc.py"


def test_a_repository_of_another_owner(user: UserRepo, job: Job) -> None:
    """Whoever owns the files, a repository that the user names is read; its settings start nothing."""
    if os.geteuid() != 0:
        pytest.skip("giving files away needs root")
    user.commit({"calc.py": SOURCE})
    subprocess.run(["chown", "-R", "12345:12345", str(user.folder)], check=True)
    repository = find_repository(Git(), user.folder)
    assert repository.top == user.folder
    given = {"issue": {"name": "12.md", "text": ISSUE}, "repo": str(user.folder)}
    base = Git().run("rev-parse", "HEAD", at=user.folder).text
    outcome = job.deliver(IssueFixerAgent(), {**given, "base": base}, "0.0")
    assert outcome.outcome == "succeeded", outcome
    assert job.publish(outcome.value["commit"], base, ref_of(job)).outcome == "succeeded"


def test_files_keep_their_kind(user: UserRepo, job: Job) -> None:
    """Executable bits, links, odd names, line ends, binary and large files come through as they were."""
    user.git("config", "core.autocrlf", "false")
    odd = os.fsdecode(b'odd \xff\t"name"\n.txt')
    files = {
        "calc.py": SOURCE.replace("\n", "\r\n"),
        "run.sh": "#!/bin/sh\n",
        odd: "odd\n",
        "big.bin": bytes(range(256)) * 20_000,
        ".gitattributes": "*.txt text eol=crlf\n*.py text\n*.bin filter=lfs -text\n*.md ident\n",
        "a.txt": "lf\n",
        "id.md": "$Id$\n",
    }
    for name, content in files.items():
        (user.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (user.folder / "run.sh").chmod(0o755)
    (user.folder / "link").symlink_to("/etc/passwd")
    # As an owner with other settings might have committed it: with \r\n in a file that attributes call text.
    blob = user.git("hash-object", "-w", "--no-filters", "calc.py")
    user.git("add", "-A")
    user.git("update-index", "--cacheinfo", f"100644,{blob},calc.py")
    user.git("commit", "-q", "-m", "State")
    base, commit = published(job)
    assert user.git("diff", "--name-only", base, commit) == "calc.py"
    assert job.text(commit, "calc.py") == SOURCE.replace("-", "+").replace("\n", "\r\n").encode()
    assert user.git("diff", "--numstat", base, commit) == "1\t1\tcalc.py"


def test_environment_is_not_inherited(user: UserRepo, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables by which the caller's git was led elsewhere have no say."""
    user.commit({"calc.py": SOURCE})
    other = user.folder.parent / "trap"
    Git().run("rev-parse", "HEAD", at=user.folder)  # GitPython asks git for its version once, as the caller would
    user.git("init", "-q", str(other))
    for name, value in {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / "index"),
        "GIT_OBJECT_DIRECTORY": str(other / "objects"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": str(other),
        "GIT_TRACE": str(other / "trace"),
        "GIT_NAMESPACE": "x",
        "GIT_EXTERNAL_DIFF": "false",
    }.items():
        monkeypatch.setenv(name, value)
    base = Git().run("rev-parse", "HEAD", at=user.folder).text
    _, commit = published(job, base)
    assert Git().run("rev-parse", ref_of(job), at=user.folder).text == commit
    assert sorted(path.name for path in other.iterdir()) == [".git"]


@pytest.mark.parametrize("name", ["o'dd $(touch x) `y`;&", 'say "hi"', "-n", "a:b=c", "größe", "#x", "new\nline"])
def test_odd_folders(tmp_path: Path, name: str) -> None:
    """Whatever the folders of repository and home are called, they are names and nothing else."""
    user = UserRepo(tmp_path / name / name).init()
    user.commit({"calc.py": SOURCE})
    home = tmp_path / ("home" if "\n" in name else f"{name} home")
    job = Job(user, home, "cd" * 16)
    _, commit = published(job)
    assert user.refs()[ref_of(job)] == commit
    assert job.unpublish(commit, ref_of(job)).outcome == "succeeded"
    assert user.alarmed() == []


def test_help_of_an_incomplete_clone_works(user: UserRepo, job_on: Callable[[Path], Job]) -> None:
    """What the error says about a partial clone does make it whole."""
    base = user.commit({"calc.py": SOURCE})
    user.git("config", "uploadpack.allowFilter", "true")
    clone = user.folder.parent / "partial"
    user.git("clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{user.folder}", str(clone))
    # Lest the owner's own git tidies up in the background while we look.
    user.git("config", "maintenance.auto", "false", at=clone)
    subprocess.run(["sh", "-c", IncompleteRepository(str(clone), base).help()], check=True, capture_output=True)
    assert job_on(clone).fix(ISSUE, base).outcome == "succeeded"


def test_publish_names_what_is_there(user: UserRepo, job: Job) -> None:
    """The error says where the branch stands, and its help is a command that shows it."""
    base = user.commit({"calc.py": SOURCE})
    commit = job.fix(ISSUE).value["commit"]
    user.git("branch", ref_of(job).removeprefix("refs/heads/"))
    store = job.stores.find_run(job.run)
    assert store is not None
    with pytest.raises(RefTaken) as caught:
        publish_ref(job.stores.git, find_repository(job.stores.git, user.folder), store, commit, ref_of(job))
    assert base[:12] in caught.value.message()
    shown = subprocess.run(["sh", "-c", caught.value.help()], capture_output=True, text=True, check=True)
    assert job.run in shown.stdout
