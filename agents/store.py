"""Stores: bare repositories under the home that hold what runs read and make.

Owns one *base store* for each repository (`stores/<hash>.git`: commits fetched from it, which nothing here ever
prunes) and one *run store* for each run (`stores/<hash>/<run>.git`, the base store as its alternate), in which the
run's commits stand under hidden refs. Leaves the files to `workspace` and the way back to `publisher`. Keeps two
invariants: the user's repository is only read, not one byte of it changes; and a commit is synced in its store before
the caller learns its id.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from .git import UPLOAD_PACK, Git, check_commit, is_commit
from .work_errors import BareRepository, CommitMissing, GitFailed, IncompleteRepository, NotARepository

#: Files are laid out and taken in byte for byte: no line-end conversion, no keyword expansion, no filter program.
ATTRIBUTES = "* -text -ident !filter !working-tree-encoding !eol\n"
_FETCH_OPTIONS = (
    "--quiet",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-tags",
    "--no-recurse-submodules",
    "--no-prune",
)


_TASK_PATH = re.compile(r"[0-9]+(\.[0-9a-z]+)*(?<!\.lock)")


#: Appends a fact to the stream of the task, durably: `TaskContext.emit`.
Emit = Callable[[str, dict[str, Any]], object]


class Repository(msgspec.Struct, frozen=True):
    """A user's repository as it was found: its working tree's top, its (shared) git folder, its object format."""

    top: Path
    common_dir: Path
    object_format: str
    shallow: bool

    @property
    def key(self) -> str:
        """The name of its stores: all working trees of one repository share them."""
        identity = os.fsencode(self.common_dir) + b"\0" + self.object_format.encode()
        return hashlib.sha256(identity).hexdigest()[:24]


class RecordedRepository(Repository, frozen=True):
    """A repository as a run knew it, of which only its stores are here, under the name that they have."""

    stored_as: str

    @property
    def key(self) -> str:
        """The recorded name of its stores."""
        return self.stored_as


def find_repository(git: Git, folder: Path) -> Repository:
    """Return the repository whose working tree has its top at `folder`; raises NotARepository or BareRepository.

    In a replay one that isn't there any more is as the run knew it.
    """
    if not folder.is_dir():
        if (stored := Stores.recorded.get(str(folder))) is not None:
            form = git.run("rev-parse", "--show-object-format", git_dir=stored).text
            return RecordedRepository(folder, stored, form, (stored / "shallow").exists(), stored.parent.name)
        raise NotARepository(str(folder), exists=False)
    asked = ("--is-bare-repository", "--is-inside-git-dir", "--show-object-format", "--is-shallow-repository")
    found = git.run("rev-parse", "--path-format=absolute", *asked, "--git-common-dir", at=folder, expect=(0, 128))
    if found.status:
        raise NotARepository(str(folder))
    bare, inside, object_format, shallow, common = found.text.split("\n", 4)
    if bare == "true":
        raise BareRepository(str(folder))
    if inside == "true":
        raise NotARepository(str(folder), top=str(Path(common).parent))
    top = git.run("rev-parse", "--path-format=absolute", "--show-toplevel", at=folder).text
    if Path(top).resolve() != folder.resolve():
        raise NotARepository(str(folder), top=top)
    return Repository(Path(top), Path(common).resolve(), object_format, shallow == "true")


class RunStore(msgspec.Struct, frozen=True):
    """The bare repository that holds one run's commits; its git folder also holds the indexes of workspaces."""

    run: str
    git_dir: Path

    def ref(self, path: str, name: str) -> str:
        """Return the hidden ref for a commit of the task at `path`; raises ValueError where that is no task path."""
        if not _TASK_PATH.fullmatch(path) or not name.isalnum():
            raise ValueError(f"{path}/{name} is not the path of a task and a name")
        return f"refs/twelvefold/{self.run}/{path}/{name}"

    def index(self, path: str) -> Path:
        """Return where the index of the task's workspace lies: outside the workspace, which foreign code writes."""
        return self.git_dir / "indexes" / path


class Stores:
    """All stores under one folder (`<home>/stores`). Each fetch from a user's repository is told to `emit`.

    Where they are `read_only`, as in a replay, what is there is found, and nothing is fetched, made or locked.
    """

    read_only: ClassVar[bool] = False
    #: In a replay: run stores by the repositories that they were made for.
    recorded: ClassVar[dict[str, Path]] = {}

    def __init__(self, git: Git, root: Path, emit: Emit | None = None) -> None:
        self.git = git
        self._emit = emit
        # Alternates are absolute, wherever the caller's working folder is.
        self.root = root.absolute()

    def base_store(self, repository: Repository) -> Path:
        """Return where the commits of a repository are kept, whether or not it exists yet."""
        return self.root / f"{repository.key}.git"

    def keep_base(self, repository: Repository, commit: str) -> Path:
        """Have a commit of the user's repository, with its history, in the base store; return that store.

        Raises IncompleteRepository for a partial clone that lacks files of the commit, CommitMissing, GitFailed.
        """
        check_commit(commit)
        if self.read_only:
            return self.base_store(repository)
        known = self.git.run("cat-file", "-e", f"{commit}^{{commit}}", at=repository.top, expect=(0, 1, 128))
        if known.status:
            raise CommitMissing(str(repository.top), commit)
        store = self.base_store(repository)
        ref = f"refs/twelvefold/bases/{commit}"
        with self.locked(repository.key):
            if not store.exists():
                self.create(store, repository.object_format, {})
            _remove_stale_locks(store)
            if not self.has(store, commit) or self._ref(store, ref) != commit:
                self._fetch_base(repository, store, commit, ref)
        return store

    def open_run(self, repository: Repository, run: str, base: str) -> RunStore:
        """Return the run's store, made with the base commit in it where it does not exist yet."""
        base_store = self.keep_base(repository, base)
        if not run.isalnum():
            raise ValueError(f"{run!r} is not the id of a run")
        store = RunStore(run, self.root / repository.key / f"{run}.git")
        if self.read_only:
            self.require(store, base)
            return store
        with self.locked(repository.key):
            if not store.git_dir.exists():
                files = {"objects/info/alternates": f"{base_store / 'objects'}\n".encode("utf-8", "surrogateescape")}
                if (base_store / "shallow").exists():
                    files["shallow"] = (base_store / "shallow").read_bytes()
                # A branch and a HEAD: a clone of a repository without any would not know its object format.
                files |= {"refs/heads/base": f"{base}\n".encode(), "HEAD": b"ref: refs/heads/base\n"}
                self.create(store.git_dir, repository.object_format, files)
            _remove_stale_locks(store.git_dir)
        return store

    def find_run(self, run: str, commit: str = "") -> RunStore | None:
        """Return the run's store, wherever its repository is now, or None.

        A run over several repositories has one for each of them: with `commit`, the one that holds it.
        """
        found = self.run_stores(run)
        if commit:
            return next((store for store in found if self.has(store.git_dir, commit)), None)
        return found[0] if found else None

    def run_stores(self, run: str) -> list[RunStore]:
        """Return every store of a run: one for each repository that it works on."""
        found = sorted(self.root.glob(f"*/{run}.git")) if run.isalnum() else []
        return [RunStore(run, folder) for folder in found]

    def run_store_of(self, repository: Repository, run: str) -> RunStore | None:
        """Return the run's store for one repository, or None.

        A repository that was moved meanwhile is found again where the run has no other one, so that what was made for
        one repository is never taken for another's.
        """
        found = self.run_stores(run)
        own = [store for store in found if store.git_dir.parent.name == repository.key]
        return next(iter(own or (found if len(found) == 1 else [])), None)

    def has(self, git_dir: Path, commit: str) -> bool:
        """Tell whether a commit is in a store or its alternate."""
        return (
            is_commit(commit)
            and not self.git.run("cat-file", "-e", f"{commit}^{{commit}}", git_dir=git_dir, expect=(0, 1, 128)).status
        )

    def require(self, store: RunStore, commit: str) -> str:
        """Return a commit that is in a run's store; raises CommitMissing, InvalidRef for what is no commit id."""
        if not self.has(store.git_dir, check_commit(commit)):
            raise CommitMissing(str(store.git_dir), commit)
        return commit

    @contextmanager
    def writing(self, store: RunStore) -> Iterator[None]:
        """Hold the right to change a run's store."""
        with self.locked(store.git_dir.parent.name):
            yield

    @contextmanager
    def mending(self, store: RunStore) -> Iterator[None]:
        """Hold the right to change a run's store, free of what somebody who was killed in it has left."""
        with self.writing(store):
            _remove_stale_locks(store.git_dir)
            yield

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Hold the only right to change a repository's stores; the lock ends with the process, however it ends."""
        if self.read_only:
            yield
            return
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.root / f"{key}.guard").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _ref(self, git_dir: Path, ref: str) -> str:
        return self.git.run("rev-parse", "--verify", "--quiet", ref, git_dir=git_dir, expect=(0, 1)).text

    def create(self, target: Path, object_format: str, files: dict[str, bytes]) -> None:
        """Make a bare repository elsewhere, sync it and move it to its place: there is never half of one."""
        making = target.with_name(f".making-{target.name}")
        shutil.rmtree(making, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        form = f"--object-format={object_format}"
        self.git.run("init", "--quiet", "--bare", "--template=", form, "--", str(making), at=target.parent)
        for name, content in {"info/attributes": ATTRIBUTES.encode(), **files}.items():
            (making / name).parent.mkdir(parents=True, exist_ok=True)
            (making / name).write_bytes(content)
        (making / "indexes").mkdir()
        _sync_tree(making)
        making.rename(target)
        sync(target.parent)

    def _fetch_base(self, repository: Repository, store: Path, commit: str, ref: str) -> None:
        command = ["fetch", *_FETCH_OPTIONS, "--update-shallow", "--upload-pack", UPLOAD_PACK]
        source = [*command, "--", str(repository.common_dir), f"{commit}:{ref}"]
        # One pack is synced once, a hundred loose objects a hundred times.
        settings = {"fetch.unpackLimit": "1"}
        try:
            self.git.run(*source, git_dir=store, settings=settings)
        except GitFailed as error:
            if not _is_partial(self.git, repository):
                raise
            # What a partial clone has checked out it has whole; only its history may lack files.
            try:
                self.git.run("fetch", "--depth=1", *source[1:], git_dir=store, settings=settings)
            except GitFailed:
                raise IncompleteRepository(str(repository.top), commit) from error
        if not self.has(store, commit):
            raise CommitMissing(str(store), commit)
        if self._emit is not None:
            self._emit("workspace.fetched", {"repo": str(repository.top), "store": str(store), "commit": commit})


def _is_partial(git: Git, repository: Repository) -> bool:
    found = git.run("config", "--get-regexp", r"^remote\..*\.promisor$", at=repository.top, expect=(0, 1))
    return not found.status


def _remove_stale_locks(git_dir: Path) -> None:
    """Remove git's lock files, which only a killed holder of our own lock can have left."""
    for lock in [*git_dir.glob("*.lock"), *(git_dir / "refs").rglob("*.lock")]:
        lock.unlink(missing_ok=True)


def _sync_tree(top: Path) -> None:
    for folder, _, files in os.walk(top):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
