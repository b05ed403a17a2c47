"""Files and branches laid out as of each position of a run: on real repositories, from a real log."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.git import Git
from twelvefold.agents.journal import fresh_id
from twelvefold.agents.kept_files import FilesDamaged, FilesVerdict, verify_files
from twelvefold.agents.publisher import PATCH, delete_ref, patch_path, publish_ref, write_patch
from twelvefold.agents.restoring import branch_now, restore_run
from twelvefold.agents.store import Stores, find_repository
from twelvefold.agents.workspace import Workspace, Workspaces
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.run import read_run
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.projections.workspace_files import files_of

from .conftest import UserRepo

STEPS = 10
Files = dict[str, tuple[str, bytes]]


class Recorded:
    """A run whose tasks change files of one repository, as its events stand in the home's log."""

    def __init__(self, user: UserRepo, home: Path) -> None:
        home.mkdir()
        self.user, self.home, self.run = user, home, fresh_id().hex()
        self.log = SqliteLog(home / "log.db")
        self.path = "0.0"
        self.base = user.git("rev-parse", "HEAD")
        self.stores = Stores(Git(), home / "stores", self.emit)
        self.workspaces = Workspaces(self.stores, home / "workspaces", self.emit)
        #: What lay in the workspace as of each position at which that was recorded.
        self.pictures: dict[int, tuple[str, Files]] = {}
        self.tell("run.requested", f"run.{self.run}", plan={"agent": "x"})

    def tell(self, type: str, stream: str, **data: Any) -> int:
        event = new_event(type, data, stream=stream, id=fresh_id(), run=self.run)
        return self.log.append(Append(events=[event])).events[0].position

    def emit(self, type: str, data: dict[str, Any]) -> int:
        return self.tell(type, f"task.{self.run}.{self.path}", **data)

    def begin(self, commit: str, path: str) -> Workspace:
        self.path = path
        store = self.stores.open_run(find_repository(self.stores.git, self.user.folder), self.run, self.base)
        workspace = self.workspaces.create(store, path, commit)
        self.pictures[self.log.head] = (path, files_in(workspace.folder))
        return workspace

    def record(self, workspace: Workspace) -> None:
        before = files_in(workspace.folder)
        assert workspace.record("step", 1_000_000) is not None
        self.pictures[self.log.head] = (self.path, before)

    def restore(self, to: int) -> dict[str, Any]:
        """Roll the files back, and write what came of it into the log as the orchestrator does."""
        facts = restore_run(self.home, self.run, to)
        self.tell("run.restored", f"run.{self.run}", to=to, order=to, **facts)
        return facts

    def branch(self, commit: str, name: str = "x") -> str:
        """Publish a commit."""
        ref = f"refs/heads/twelvefold/{name}"
        repository = find_repository(self.stores.git, self.user.folder)
        store = self.stores.find_run(self.run)
        assert store is not None
        publish_ref(self.stores.git, repository, store, commit, ref)
        self.emit("workspace.published", {"repo": str(self.user.folder), "commit": commit, "ref": ref})
        return ref


def files_in(folder: Path) -> Files:
    """Every file below a folder with its mode and content, but what is git's."""
    found: Files = {}
    for top, folders, names in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        for name in names:
            path = Path(top, name)
            mode = path.lstat().st_mode
            kind = "link" if stat.S_ISLNK(mode) else "x" if mode & 0o100 else "file"
            content = os.fsencode(path.readlink()) if kind == "link" else path.read_bytes()
            found[str(path.relative_to(folder))] = (kind, content)
    return found


def change(folder: Path, n: int) -> None:
    """Do to files what shell commands do: write, make, remove, rename, link, and let be executed."""
    (folder / "counter.txt").write_text(f"{n}\n")
    (folder / f"made-{n}.bin").write_bytes(bytes(range(256)) * n)
    if n > 2:
        (folder / f"made-{n - 2}.bin").unlink()
    if n == 4:
        (folder / "link").symlink_to("counter.txt")
        (folder / "run.sh").write_text("#!/bin/sh\r\nexit 0\r\n")
        (folder / "run.sh").chmod(0o755)
    if n == 6:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "counter.txt").rename(folder / "deep" / "er" / "counter ü.txt")
        (folder / "link").unlink()
    if n == 8:
        (folder / "run.sh").chmod(0o644)


@pytest.fixture
def recorded(user: UserRepo, tmp_path: Path) -> Iterator[Recorded]:
    """A run on a repository with one commit."""
    user.commit({"counter.txt": "0\n", "crlf.txt": "a\r\nb\r\n", ".gitattributes": "* text=auto\n"})
    made = Recorded(user, tmp_path / "home")
    yield made
    made.log.close()


def work(recorded: Recorded, steps: int) -> Recorded:
    """Do tasks, each in a workspace of its own, from the commit that the one before has left."""
    commit = recorded.base
    for n in range(1, steps + 1):
        workspace = recorded.begin(commit, f"0.{n}")
        change(workspace.folder, n)
        recorded.record(workspace)
        commit = workspace.commit
        workspace.remove()
    return recorded


@pytest.fixture
def ten_steps(recorded: Recorded) -> Recorded:
    """A run of ten tasks."""
    return work(recorded, STEPS)


@pytest.fixture
def two_steps(recorded: Recorded) -> Recorded:
    """A run of two tasks."""
    return work(recorded, 2)


def test_each_position_of_ten_steps_gives_the_exact_tree(ten_steps: Recorded) -> None:
    """Whatever the position: the files are byte for byte those that were recorded there, and so is the tree's hash."""
    head = ten_steps.log.head
    events = list(read_run(ten_steps.log, ten_steps.run))
    for to in range(1, head + 1):
        (found,) = ten_steps.restore(to)["workspaces"] or (None,)
        known = [position for position in ten_steps.pictures if position <= to]
        if not known:
            assert found is None
            assert not (ten_steps.home / "workspaces" / ten_steps.run).exists()
            continue
        path, expected = ten_steps.pictures[max(known)]
        assert (found["state"], found["key"]) == ("restored", path)
        folder = ten_steps.home / "workspaces" / ten_steps.run / path
        assert files_in(folder) == expected, to
        recorded_commit = files_of(events, to).workspaces[path].commit
        tree = ten_steps.user.git("rev-parse", f"{recorded_commit}^{{tree}}", at=folder)
        assert tree == found["tree"] == ten_steps.user.git("write-tree", at=folder)
        assert ten_steps.user.git("status", "--porcelain", at=folder) == ""
        hidden = f"refs/twelvefold/{ten_steps.run}/at/{to}/{path}"
        assert ten_steps.user.git("rev-parse", hidden, at=Path(found["store"])) == recorded_commit
        assert [one.name for one in folder.parent.iterdir()] == [path]


def test_the_folded_files_are_those_restored(two_steps: Recorded) -> None:
    """After a rollback the log says that what it laid out is there, and nothing else."""
    to = sorted(two_steps.pictures)[1]
    two_steps.restore(to)
    files = files_of(read_run(two_steps.log, two_steps.run))
    assert [one.key for one in files.workspaces.values() if one.is_open] == [two_steps.pictures[to][0]]


def test_what_a_killed_task_left_is_overwritten(recorded: Recorded) -> None:
    """Files that were never recorded, read-only folders and links out of the workspace are gone; nothing else is."""
    outside = recorded.home.parent / "precious"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    workspace = recorded.begin(recorded.user.git("rev-parse", "HEAD"), "0.0")
    change(workspace.folder, 1)
    recorded.record(workspace)
    position = recorded.log.head
    (workspace.folder / "junk").mkdir()
    (workspace.folder / "junk" / "x").write_text("x")
    (workspace.folder / "junk").chmod(0o500)
    (workspace.folder / "out").symlink_to(outside)
    (workspace.folder / "counter.txt").unlink()
    (workspace.folder.parent / "0.9").symlink_to(outside)
    for _ in range(2):
        # A rollback was killed while it wrote the hidden ref and the index.
        hidden = workspace.store.git_dir / f"refs/twelvefold/{recorded.run}/at/{position}/0.0.lock"
        hidden.parent.mkdir(parents=True, exist_ok=True)
        hidden.touch()
        (workspace.store.git_dir / "indexes" / "0.0.lock").touch()
        assert [one["state"] for one in recorded.restore(position)["workspaces"]] == ["restored"]
        assert files_in(workspace.folder) == recorded.pictures[position][1]
    assert [one.name for one in workspace.folder.parent.iterdir()] == ["0.0"]
    assert (outside / "kept.txt").read_text() == "kept"


def test_a_branch_goes_back_to_where_it_was(two_steps: Recorded) -> None:
    """It is deleted where there was none, and made again where the run itself had taken it back."""
    user = two_steps.user
    before = two_steps.log.head
    commit = files_of(read_run(two_steps.log, two_steps.run)).workspaces["0.2"].commit
    ref = two_steps.branch(commit)
    published = two_steps.log.head
    refs = user.refs()
    (told,) = two_steps.restore(before)["branches"]
    assert (told["state"], told["was"], told["commit"]) == ("restored", commit, None)
    assert user.refs() == {name: value for name, value in refs.items() if name != ref}
    (told,) = two_steps.restore(published)["branches"]
    assert (told["state"], told["commit"]) == ("restored", commit)
    assert user.refs() == refs
    delete_ref(two_steps.stores.git, find_repository(two_steps.stores.git, user.folder), ref, commit)
    facts = {"repo": str(user.folder), "commit": commit, "ref": ref}
    two_steps.emit("workspace.unpublished", facts)
    two_steps.restore(published)
    assert user.refs() == refs


def test_the_patch_file_of_a_branch_comes_and_goes_with_it(two_steps: Recorded) -> None:
    """Taken back it is gone, and forward again it has every byte that it had."""
    before, git = two_steps.log.head, two_steps.stores.git
    commit = files_of(read_run(two_steps.log, two_steps.run)).workspaces["0.2"].commit
    ref = two_steps.branch(commit)
    alone = two_steps.log.head
    file = patch_path(two_steps.home / "patches", str(two_steps.user.folder), ref)
    store = two_steps.stores.find_run(two_steps.run)
    assert store is not None
    parameters = {"base": two_steps.base, "commit": commit, "file": str(file)}
    two_steps.emit("effect.intended", {"kind": "git", "name": PATCH, "key": "k", "parameters": parameters})
    write_patch(git, store, two_steps.base, commit, file)
    content, published = file.read_bytes(), two_steps.log.head
    assert content
    for to, there in ((before, False), (published, True), (alone, False), (published, True), (published, True)):
        two_steps.restore(to)
        assert file.exists() == there
    assert file.read_bytes() == content


def test_a_branch_that_somebody_moved_deleted_or_has_checked_out_stays(two_steps: Recorded) -> None:
    """Only where the run has put it is it the run's to move; what stays is told with where it is."""
    user, before = two_steps.user, two_steps.log.head
    commit = files_of(read_run(two_steps.log, two_steps.run)).workspaces["0.2"].commit
    ref = two_steps.branch(commit)
    published = two_steps.log.head
    user.git("checkout", "-q", "twelvefold/x")
    one = files_of(read_run(two_steps.log, two_steps.run)).published[str(user.folder), ref]
    shown = branch_now(Git(), one, "")
    (told,) = two_steps.restore(before)["branches"]
    assert (told["state"], told["at"]) == ("moved", commit)
    assert (shown["state"], shown["problem"]) == ("moved", told["problem"])
    newer = user.commit({"mine.txt": "mine\n"})
    user.git("checkout", "-q", "main")
    (told,) = restore_run(two_steps.home, two_steps.run, before)["branches"]
    assert (told["state"], told["at"]) == ("moved", newer)
    assert newer[:12] in told["problem"]
    assert user.refs()[ref] == newer
    user.git("update-ref", "-d", ref)
    (told,) = two_steps.restore(before)["branches"]
    assert told["state"] == "restored"
    (told,) = two_steps.restore(published)["branches"]
    assert ref in user.refs()  # the rollback before had it gone, so it is the run's to make again
    user.git("update-ref", "-d", ref)
    (told,) = two_steps.restore(published)["branches"]
    assert (told["state"], told["at"]) == ("moved", None)
    assert ref not in user.refs()


def test_no_program_of_the_repository_runs(two_steps: Recorded) -> None:
    """Neither hooks nor filters nor monitors have a say, and nothing of the user's but the one ref is written."""
    user, before = two_steps.user, two_steps.log.head
    commit = files_of(read_run(two_steps.log, two_steps.run)).workspaces["0.2"].commit
    two_steps.branch(commit)
    published = two_steps.log.head
    user.plant()
    refs = user.refs()
    two_steps.restore(before)
    two_steps.restore(published)
    assert user.alarmed() == []
    assert user.refs() == refs


def test_refs_and_stores_that_an_agent_made_up_are_left_alone(recorded: Recorded) -> None:
    """Only branches below `twelvefold/` and stores of this home are touched, whatever an event says."""
    user = recorded.user
    head = user.git("rev-parse", "HEAD")
    start = recorded.log.head
    other = UserRepo(recorded.home.parent / "other" / "repo").init()
    secret = other.commit({"secret.txt": "s"})
    recorded.emit("workspace.published", {"repo": str(user.folder), "commit": head, "ref": "refs/heads/main"})
    facts = {"folder": "/x/0.0", "store": str(other.folder / ".git"), "commit": secret}
    recorded.emit("workspace.created", facts)
    recorded.emit("workspace.created", {"folder": "/x/..", "store": f"{recorded.home}/stores/../..", "commit": secret})
    refs = user.refs()
    found = recorded.restore(recorded.log.head)
    assert {one["state"] for one in found["workspaces"]} == {"failed"}
    (told,) = recorded.restore(start)["branches"]
    assert told["state"] == "failed"
    assert user.refs() == refs
    assert other.refs() == other.refs()
    assert not list((recorded.home / "workspaces").glob("*/*"))


def test_what_lacks_is_told_and_the_rest_is_restored(two_steps: Recorded) -> None:
    """A repository that is gone, and a commit that no store has, are told in words."""
    user = two_steps.user
    commit = files_of(read_run(two_steps.log, two_steps.run)).workspaces["0.2"].commit
    before = two_steps.log.head
    two_steps.branch(commit)
    user.folder.rename(user.folder.with_name("elsewhere"))
    found = two_steps.restore(before)
    assert [one["state"] for one in found["workspaces"]] == ["restored"]
    (told,) = found["branches"]
    assert told["state"] == "failed"
    assert str(user.folder) in told["problem"]
    for store in (two_steps.home / "stores").glob(f"*/{two_steps.run}.git"):
        store.rename(store.with_suffix(".lost"))
    (found,) = two_steps.restore(before)["workspaces"]
    assert found["state"] == "failed"
    assert commit[:12] in found["problem"]


def test_before_anything_is_done_a_branch_is_judged_alike(two_steps: Recorded) -> None:
    """What a preview says of a branch is what becomes of it."""
    user = two_steps.user
    commit = files_of(read_run(two_steps.log, two_steps.run)).workspaces["0.2"].commit
    ref = two_steps.branch(commit)
    one = files_of(read_run(two_steps.log, two_steps.run)).published[str(user.folder), ref]
    git = Git()
    assert branch_now(git, one, "")["state"] == "ready"
    assert branch_now(git, one, commit)["state"] == "restored"
    user.git("update-ref", ref, "main")
    assert branch_now(git, one, "")["state"] == "moved"


def verified(recorded: Recorded) -> FilesVerdict:
    with LogReader(recorded.home / "log.db") as log:
        return verify_files(recorded.home, log)


def test_stores_and_restored_workspaces_are_as_recorded(ten_steps: Recorded) -> None:
    """A run's commits are looked at wherever it stands; a workspace once a rollback has laid it out."""
    assert verified(ten_steps) == FilesVerdict(STEPS + 1, 0)  # the base, too
    ten_steps.restore(sorted(ten_steps.pictures)[7])
    assert verified(ten_steps) == FilesVerdict(STEPS + 1, 1)


def test_a_workspace_that_was_changed_since_is_named(ten_steps: Recorded) -> None:
    """A file that was changed, added or removed, a mode and the whole folder are noticed, each at the rollback."""
    to = sorted(ten_steps.pictures)[-1]
    folder = Path(ten_steps.restore(to)["workspaces"][0]["folder"])
    position = ten_steps.log.head
    counter = folder / "deep" / "er" / "counter ü.txt"
    text, facts = counter.read_bytes(), counter.stat()

    def same_size_and_time() -> None:
        counter.write_bytes(b"X" * len(text))
        os.utime(counter, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    changes = (
        same_size_and_time,
        lambda: (folder / "new.txt").write_text(""),
        counter.unlink,
        lambda: (folder / "run.sh").chmod(0o755),
        lambda: folder.rename(folder.with_name("gone")),
    )
    for change_it in changes:
        ten_steps.restore(to)
        assert verified(ten_steps).workspaces == 1
        change_it()
        with pytest.raises(FilesDamaged) as found:
            verified(ten_steps)
        assert found.value.position == ten_steps.log.head
        assert (found.value.run, found.value.to) == (ten_steps.run, to)
        assert found.value.exit_code == 6
    assert ten_steps.log.head > position


def test_a_commit_that_is_lost_is_named_by_its_first_position(ten_steps: Recorded) -> None:
    """A ref, an object and a single bit of one are missed, and so is the store."""
    files = files_of(read_run(ten_steps.log, ten_steps.run))
    one = files.workspaces["0.7"]
    store = Path(one.store)
    refs = ten_steps.user.git("for-each-ref", "--format=%(refname) %(objectname)", at=store).splitlines()
    (ref,) = [row.split()[0] for row in refs if row.endswith(one.commit)]
    blob = ten_steps.user.git("rev-parse", f"{one.commit}:made-7.bin", at=store)

    def object_file(name: str) -> Path:
        path = store / "objects" / name[:2] / name[2:]
        path.chmod(0o644)
        return path

    def found() -> tuple[int, str]:
        with pytest.raises(FilesDamaged) as damaged:
            verified(ten_steps)
        return damaged.value.position, damaged.value.problem

    ten_steps.user.git("update-ref", "-d", ref, at=store)
    assert found() == (one.position, f"has lost {ref}, which is to name commit {one.commit[:12]}")
    ten_steps.user.git("update-ref", ref, one.commit, at=store)
    for name in (one.commit, blob):
        content = object_file(name).read_bytes()
        object_file(name).unlink()
        assert found()[0] == one.position
        (store / "objects" / name[:2] / name[2:]).write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
        assert found()[0] == one.position
        object_file(name).write_bytes(content)
    assert verified(ten_steps).commits == STEPS + 1
    store.rename(store.with_suffix(".lost"))
    assert found()[1] == "is not there"


def test_what_is_at_work_or_forgotten_is_held_against_nobody(recorded: Recorded) -> None:
    """Files of a task that is at work are its own; a forgotten run's commits need not be there."""
    workspace = recorded.begin(recorded.base, "0.0")
    change(workspace.folder, 1)
    assert verified(recorded) == FilesVerdict(1, 0)
    recorded.record(workspace)
    workspace.store.git_dir.rename(workspace.store.git_dir.with_suffix(".freed"))
    with pytest.raises(FilesDamaged):
        verified(recorded)
    recorded.tell("run.forget_requested", f"request.{recorded.run}")
    assert verified(recorded).commits == 0
