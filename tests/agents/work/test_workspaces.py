"""Laying workspaces out: all of one or nothing, and each in a place of its own on the disk."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.git import Answer, Git
from twelvefold.agents.journal import fresh_id
from twelvefold.agents.spread import spread
from twelvefold.agents.store import RunStore, Stores, find_repository
from twelvefold.agents.workspace import Workspaces, clear_strays

from .conftest import UserRepo


class _Killed(BaseException):
    pass


class _GitThatDies(Git):
    """Comes to its end half-way through a checkout."""

    def run(self, *args: str, **options: Any) -> Answer:
        answer = super().run(*args, **options)
        if "read-tree" in args:
            # Another task of the run has its tests or program end meanwhile.
            clear_strays(options["work_tree"].parent)
            (options["work_tree"] / "b.txt").unlink()
            raise _Killed
        return answer


def opened(user: UserRepo, home: Path, run: str, git: Git) -> tuple[Workspaces, RunStore, str]:
    stores = Stores(git, home / "stores", lambda type, data: 0)
    base = user.git("rev-parse", "HEAD")
    store = stores.open_run(find_repository(Git(), user.folder), run, base)
    return Workspaces(stores, home / "workspaces", lambda type, data: 0), store, base


def test_a_workspace_has_its_name_only_when_it_is_whole(user: UserRepo, tmp_path: Path) -> None:
    """What a killed agent has begun to lay out never looks like a workspace, and goes with the next or the run."""
    user.commit({"a.txt": "a", "b.txt": "b"})
    run, folder = fresh_id().hex(), tmp_path / "home" / "workspaces"
    for _ in range(2):
        workspaces, store, base = opened(user, tmp_path / "home", run, _GitThatDies())
        with pytest.raises(_Killed):
            workspaces.create(store, "0.1", base)
        assert not (folder / run / "0.1").exists()
        assert len(list((folder / run).iterdir())) == 1  # what was left before is gone
    workspaces, store, base = opened(user, tmp_path / "home", run, Git())
    workspace = workspaces.create(store, "0.1", base)
    assert sorted(one.name for one in workspace.folder.iterdir()) == [".git", "a.txt", "b.txt"]
    assert [one.name for one in (folder / run).iterdir()] == ["0.1"]
    workspace.remove()
    workspaces, store, base = opened(user, tmp_path / "home", run, _GitThatDies())
    with pytest.raises(_Killed):
        workspaces.create(store, "0.1", base)
    assert workspaces.remove_all(run) == []
    assert not (folder / run).exists()


@pytest.mark.skipif(shutil.which("lsattr") is None, reason="e2fsprogs tells how folders are spread")
def test_folders_are_spread_where_the_file_system_can(tmp_path: Path) -> None:
    """Each folder of workspaces has the T of chattr(1) on ext4; elsewhere nothing happens, nor to what isn't there."""
    spread(tmp_path)
    spread(tmp_path)
    spread(tmp_path / "missing")
    told = subprocess.run(["lsattr", "-d", str(tmp_path)], capture_output=True, text=True, check=False)
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=True).stdout
    if "ext" not in kind:
        pytest.skip(f"{kind.strip()} has no such flag")
    assert told.returncode == 0, told.stderr
    assert "T" in told.stdout.split()[0]
