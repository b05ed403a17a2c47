"""Laying out files for a replay: recorded commits in a folder that exists for as long as the replay does.

Done by the process that started the replay, for the sealed one, which only reads them. Keeps: the stores of runs are
only read; each workspace gets an index and a store of its own beside it, whose objects are the run's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from ...eventstore.errors import TwelvefoldError
from ..git import Git, is_commit
from ..store import ATTRIBUTES, RunStore
from ..workspace import clear_folder, lay_out
from .kept import find_store
from .wire import LaidOut, LayOutFiles

#: Nothing here outlives the replay, so nothing is synced.
_FLEETING = {"core.fsync": "none"}


class LayingOut:
    """Workspaces under one temporary folder."""

    def __init__(self) -> None:
        self._git = Git()
        self._root: Path | None = None
        self._count = 0
        self._made: set[str] = set()

    def answer(self, asked: LayOutFiles, run: str, place: Path) -> LaidOut:
        """Lay out what is asked for, of a run that is kept at `place`; why that can't be is part of the answer."""
        try:
            if not is_commit(asked.commit):
                return LaidOut(problem=f"{asked.commit!r} is no commit")
            store = find_store(place, asked.store)
            if store is None:
                return LaidOut(problem=f"the store {asked.store} is not there any more")
            if asked.folder:
                if asked.folder not in self._made:  # whoever asks can't write, and has nothing written elsewhere
                    return LaidOut(problem=f"{asked.folder!r} was not laid out here")
                return self._move(Path(asked.folder), asked.commit)
            return self._new(store, run, asked.key, asked.commit)
        except (TwelvefoldError, OSError) as error:
            said = error.message() if isinstance(error, TwelvefoldError) else str(error)
            return LaidOut(problem=f"the files of commit {asked.commit[:12]} can't be laid out: {said}")

    def forget(self) -> None:
        """Remove what was laid out so far."""
        root, self._root = self._root, None
        self._made.clear()
        if root is not None:
            for folder in root.iterdir():
                clear_folder(folder)
            shutil.rmtree(root)

    def _new(self, store: Path, run: str, key: str, commit: str) -> LaidOut:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="twelvefold-replay-"))
        self._count += 1
        place = self._root / str(self._count)
        folder, own = place / Path(key).name, RunStore(run, place / "store.git")
        place.mkdir()
        self._make_store(store, own.git_dir, commit)
        lay_out(self._git, own, key, folder, commit)
        self._made.add(str(folder))
        return LaidOut(str(folder), str(own.git_dir))

    def _make_store(self, source: Path, target: Path, commit: str) -> None:
        form = self._git.run("rev-parse", "--show-object-format", git_dir=source).text
        options = ("--quiet", "--bare", "--template=", f"--object-format={form}")
        self._git.run("init", *options, "--", str(target), at=target.parent, settings=_FLEETING)
        files = {
            "info/attributes": ATTRIBUTES.encode(),
            "objects/info/alternates": os.fsencode(source / "objects") + b"\n",
            "refs/heads/base": f"{commit}\n".encode(),
            "HEAD": b"ref: refs/heads/base\n",
        }
        if (source / "shallow").exists():
            files["shallow"] = (source / "shallow").read_bytes()
        for name, content in files.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(content)
        (target / "indexes").mkdir()

    def _move(self, folder: Path, commit: str) -> LaidOut:
        store = folder.parent / "store.git"
        index = next((store / "indexes").iterdir())
        read = ("read-tree", "--reset", "-u", commit)
        self._git.run(*read, git_dir=store, work_tree=folder, index=index, at=folder, settings=_FLEETING)
        own = folder / ".git"
        self._git.run("update-ref", "--no-deref", "HEAD", commit, git_dir=own, settings=_FLEETING)
        shutil.copyfile(index, own / "index")
        return LaidOut(str(folder), str(store))
