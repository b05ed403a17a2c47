"""What agents keep of a run beside the log, and freeing it: its stores with all their commits, workspaces, patches.

Owns the folders under the home that bear a run's name; payloads and blobs are the log's. Whoever is killed meanwhile
leaves the rest to the next call. Keeps: the commits of users' own repositories that runs began from are shared, and go
only with the last run of a repository.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from .git import Git
from .journal import AgentPlaces
from .store import RunStore, Stores
from .workspace import clear_folder

_RUN = re.compile(r"[0-9a-f]{32}")
#: What a run's store is called from the moment on at which it is being freed.
_LEAVING = ".forgotten-"
#: Held while anything is freed: two calls never remove the same folder at once.
_LOCK = "forgetting"


class Kept(msgspec.Struct, frozen=True):
    """What lies beside the log: how many stores, workspaces and patches, and the bytes of all of them."""

    stores: int = 0
    workspaces: int = 0
    patches: int = 0
    bytes: int = 0

    def plus(self, other: Kept) -> Kept:
        """Return the sum."""
        return Kept(
            self.stores + other.stores,
            self.workspaces + other.workspaces,
            self.patches + other.patches,
            self.bytes + other.bytes,
        )


class RunFolders:
    """The folders of runs under a home."""

    def __init__(self, home: Path) -> None:
        self._places = AgentPlaces(home)
        self._stores = Stores(Git(), self._places.stores)

    def kept(self, run: str) -> Kept:
        """Return what lies there of a run."""
        stores, folders, patches = self._of(run)
        size = sum(map(size_on_disk, [*(store.git_dir for store in stores), *folders, *patches]))
        return Kept(len(stores), len(folders), len(patches), size)

    def runs(self) -> set[str]:
        """Return the runs of which anything lies there."""
        named = [folder.name for folder in self._places.workspaces.glob("*")]
        named += [folder.name.removesuffix(".git") for folder in self._places.stores.glob("*/*.git")]
        named += [run for patch in self._places.patches.rglob("*.patch") for run in _RUN.findall(patch.name)]
        return {run for run in named if _RUN.fullmatch(run)}

    def free(self, run: str) -> Kept:
        """Remove all of a run, and return what that was; what cannot be removed raises OSError.

        Whoever else is freeing something is waited for.
        """
        with self._stores.locked(_LOCK):
            return self._free(run)

    def _free(self, run: str) -> Kept:
        stores, folders, patches = self._of(run)
        freed = self.kept(run)
        for store in stores:
            with self._stores.writing(store):
                # At once no longer the run's; the rest may take its time, or a second call.
                store.git_dir.rename(store.git_dir.with_name(f"{_LEAVING}{store.git_dir.name}"))
        for folder in folders:
            clear_folder(folder)
        for patch in patches:
            patch.unlink(missing_ok=True)
        self._remove_leaving()
        return freed

    def free_bases(self) -> int:
        """Remove the commits of repositories of which no run is left; return the bytes freed.

        Only while no run is open: one that begins fetches what it needs into its repository's store.
        """
        with self._stores.locked(_LOCK):
            return self._free_bases()

    def _free_bases(self) -> int:
        self._remove_leaving()
        size = 0
        for store in sorted(self._places.stores.glob("*.git")):
            key = store.name.removesuffix(".git")
            with self._stores.locked(key):
                runs = self._places.stores / key
                if runs.is_dir() and any(runs.iterdir()):
                    continue
                size += size_on_disk(store)
                leaving = store.with_name(f"{_LEAVING}{store.name}")
                shutil.rmtree(leaving, ignore_errors=True)
                store.rename(leaving)
                shutil.rmtree(leaving)
                if runs.is_dir():
                    runs.rmdir()
        return size

    def _of(self, run: str) -> tuple[list[RunStore], list[Path], list[Path]]:
        workspace = self._places.workspaces / run
        patches = sorted(self._places.patches.rglob(f"*{run}*.patch")) if run.isalnum() else []
        return self._stores.run_stores(run), [workspace] if run.isalnum() and workspace.is_dir() else [], patches

    def _remove_leaving(self) -> None:
        for folder in [*self._places.stores.glob(f"*/{_LEAVING}*"), *self._places.stores.glob(f"{_LEAVING}*")]:
            shutil.rmtree(folder)


def free_leftovers(folders: RunFolders, is_forgotten: Callable[[str], bool]) -> Kept:
    """Free what is still there of runs that were forgotten: whoever did that was killed meanwhile."""
    freed = Kept()
    for run in sorted(folders.runs()):
        if is_forgotten(run):
            freed = freed.plus(folders.free(run))
    return freed


def size_on_disk(place: Path) -> int:
    """Return the bytes that a file or a folder's files take on the disk; what goes away meanwhile takes none."""
    size = 0
    for file in _files(place):
        with suppress(FileNotFoundError):
            size += file.lstat().st_blocks * 512
    return size


def _files(place: Path) -> Iterator[Path]:
    if place.is_file() or place.is_symlink():
        yield place
        return
    for top, folders, names in os.walk(place):
        links = [name for name in folders if Path(top, name).is_symlink()]
        yield from (Path(top, name) for name in (*names, *links))
