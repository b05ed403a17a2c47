"""Lays the files of a run out as they were recorded at a position, and brings its branches back there.

Owns what a rollback does to folders and refs; that it is done, and what follows, is orchestration's. Runs no foreign
code. Keeps: a branch is moved or deleted only from the commit that the run has put it at, by compare-and-swap; one that
somebody has worked on stays, and is told; nothing is removed but folders of the run's own workspaces; every commit
that a position stands for keeps a hidden ref. Doing it again, also after a kill half-way, comes to the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..eventstore.errors import TwelvefoldError
from ..eventstore.reader import LogReader
from ..eventstore.run import read_run
from ..projections.workspace_files import PublishedRef, RunFiles, WorkspaceFiles, apply, initial
from .git import Git, check_branch, is_commit
from .guarded import alone
from .journal import AgentPlaces
from .publisher import PATCH, commit_at, delete_ref, is_checked_out, move_ref, patch_path, write_patch
from .store import Repository, RunStore, Stores, find_repository
from .work_errors import CommitMissing, RefMoved
from .workspace import Workspaces, discard_folder

#: Held while files are restored: two orchestrators never lay out the same folder at once.
LOCK = "restoring"


def restore_run(home: Path, run: str, to: int) -> dict[str, Any]:
    """Restore the files and branches of a run of this home; return what came of it, as `run.restored` tells it.

    `workspaces` and `branches` each have a `state`: `restored`, or `moved` and `failed` with the `problem` in words.
    """
    then, now, patches = _then_and_now(home, run, to)
    restoring = _Restoring(home, run, to, patches)
    with restoring.stores.locked(LOCK):
        workspaces = [restoring.workspace(one) for one in then.latest()]
        restoring.clear({str(one["key"]) for one in workspaces})
        branches = [restoring.branch(one, then) for one in now.published.values()]
    if then.forgotten:
        problem = f"what the events at {', '.join(map(str, then.forgotten[:5]))} said of files was forgotten"
        workspaces.append({"state": "failed", "problem": problem})
    return {"workspaces": workspaces, "branches": branches}


def _then_and_now(home: Path, run: str, to: int) -> tuple[RunFiles, RunFiles, dict[str, Any]]:
    """Return the files of a run as of a position and as of now, and what patch files were made of by then, by name."""
    then = now = initial()
    patches: dict[str, Any] = {}
    with LogReader(home / "log.db") as log:
        for event in read_run(log, run):
            now = apply(now, event)
            if event.position > to:
                continue
            then = now
            data = event.data if event.type == "effect.intended" and event.payload is not None else None
            if isinstance(data, dict) and data.get("name") == PATCH and isinstance(data.get("parameters"), dict):
                patches[str(data["parameters"].get("file"))] = data["parameters"]
    return then, now, patches


def branch_now(git: Git, one: PublishedRef, wanted: str) -> dict[str, Any]:
    """Tell where a published branch is to go and whether it can: `state` is `restored`, `ready`, `moved`, `failed`."""
    told = _told(one, wanted)
    try:
        check_branch(one.ref)
        repository = find_repository(git, Path(one.repo))
        found = commit_at(git, repository, one.ref)
        stays = found != one.commit or (bool(found) and is_checked_out(git, repository, one.ref))
    except TwelvefoldError as error:
        return {**told, "state": "failed", "problem": error.message()}
    told["at"] = found or None
    if found == wanted or wanted == one.commit == "":
        return {**told, "state": "restored"}
    if not stays:
        return {**told, "state": "ready"}
    return {**told, "state": "moved", "problem": RefMoved(one.repo, one.ref, one.was, found).message()}


class _Restoring:
    """One rollback's way with files: the stores of the home, a run and a position, and its patch files by then."""

    def __init__(self, home: Path, run: str, to: int, patches: dict[str, Any]) -> None:
        self.places = AgentPlaces(home)
        self.stores = Stores(Git(), self.places.stores)
        self.run = run
        self.to = to
        self._patches = patches
        self._workspaces = Workspaces(self.stores, self.places.workspaces, _tell_nobody)

    def workspace(self, one: WorkspaceFiles) -> dict[str, Any]:
        """Lay one workspace out as it was."""
        told: dict[str, Any] = {"key": one.key, "path": one.path, "store": one.store, "commit": one.commit}
        return self._safely(told, lambda: self._lay_out(one))

    def clear(self, kept: set[str]) -> None:
        """Remove what else lies there of the run's workspaces."""
        folder = self.places.workspaces / self.run
        for found in sorted(folder.iterdir()) if folder.is_dir() else ():
            if found.name not in kept:
                with alone(f"twelvefold-{self.run}-{found.name}"):
                    discard_folder(found)

    def branch(self, one: PublishedRef, then: RunFiles) -> dict[str, Any]:
        """Bring one published branch back to where it was."""
        before = then.published.get((one.repo, one.ref))
        wanted = before.commit if before is not None else ""
        return self._safely(_told(one, wanted), lambda: self._bring_back(one, wanted))

    def _safely(self, told: dict[str, Any], act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do something, and say in words what has kept it from being done."""
        try:
            return {**told, **act(), "state": "restored"}
        except RefMoved as moved:
            return {**told, "at": moved.actual or None, "state": "moved", "problem": moved.message()}
        except TwelvefoldError as error:
            return {**told, "state": "failed", "problem": error.message()}
        except (ValueError, OSError) as error:  # ValueError: an event that names no workspace that there could be
            return {**told, "state": "failed", "problem": str(error)}

    def _lay_out(self, one: WorkspaceFiles) -> dict[str, Any]:
        store, git = self._store(one), self.stores.git
        with alone(f"twelvefold-{self.run}-{one.key}"):
            folder = self._workspaces.lay_out(store, one.key, one.commit, self.run)
        with self.stores.mending(store):
            git.run("update-ref", "--no-deref", self._hidden_ref(one), one.commit, git_dir=store.git_dir)
        tree = git.run("rev-parse", f"{one.commit}^{{tree}}", git_dir=store.git_dir).text
        return {"folder": str(folder), "store": str(store.git_dir), "tree": tree}

    def _hidden_ref(self, one: WorkspaceFiles) -> str:
        return f"refs/twelvefold/{self.run}/at/{self.to}/{one.key}"

    def _store(self, one: WorkspaceFiles) -> RunStore:
        """Return the run's own store where it has the commit, else the one that the log names: a parent's."""
        named = Path(one.store)
        folder = self.stores.root / named.parent.name
        for store in (RunStore(self.run, folder / f"{self.run}.git"), RunStore(named.stem, folder / named.name)):
            # Only of this home: whatever an agent has written into an event.
            known = named.parent.name.isalnum() and store.run.isalnum() and store.git_dir.is_dir()
            if known and self.stores.has(store.git_dir, one.commit):
                return store
        raise CommitMissing(one.store, one.commit)

    def _bring_back(self, one: PublishedRef, wanted: str) -> dict[str, Any]:
        git = self.stores.git
        check_branch(one.ref)
        repository = find_repository(git, Path(one.repo))
        if not wanted and not one.commit:
            return {
                "at": commit_at(git, repository, one.ref) or None
            }  # it was taken back before; what is there isn't ours
        if wanted:
            store = self.stores.find_run(self.run, wanted) or self._any_store(repository, wanted)
            move_ref(git, repository, store, one.ref, wanted, one.commit)
        else:
            delete_ref(git, repository, one.ref, one.commit)
        self._bring_patch_back(one, wanted, store if wanted else None)
        return {"at": wanted or None}

    def _bring_patch_back(self, one: PublishedRef, wanted: str, store: RunStore | None) -> None:
        """Write a branch's patch file as it was, or remove it where there was none."""
        file = patch_path(self.places.patches, one.repo, one.ref)
        made = self._patches.get(str(file), {})
        base = made.get("base")
        if store is not None and made.get("commit") == wanted and is_commit(base):
            write_patch(self.stores.git, store, base, wanted, file)
        else:
            file.unlink(missing_ok=True)

    def _any_store(self, repository: Repository, commit: str) -> RunStore:
        """Return any run's store of a repository that has a commit: that of a fork's parent."""
        for folder in sorted((self.stores.root / repository.key).glob("*.git")):
            if self.stores.has(folder, commit):
                return RunStore(folder.stem, folder)
        raise CommitMissing(str(self.stores.root / repository.key), commit)


def _told(one: PublishedRef, wanted: str) -> dict[str, Any]:
    return {"repo": one.repo, "ref": one.ref, "path": one.path, "was": one.was, "commit": wanted or None}


def _tell_nobody(type: str, data: dict[str, Any]) -> None:
    """Emit nothing: the one event that tells of all of it is the orchestrator's."""
