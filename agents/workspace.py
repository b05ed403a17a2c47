"""Workspaces: the folder in which one task changes files, and the commits made of it.

Owns the folders under `<home>/workspaces`. Each is a `git clone --shared` of the run's store at a recorded commit; its
files are the commit's, byte for byte. Leaves the edits to agents. Keeps: nothing that foreign code did inside a
workspace can steer our git, as its commits are made from outside (git folder and index in the run's store; the
workspace's own `.git` is there for agents and never read); and a commit is synced before its event is appended.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from .git import Answer, Git
from .spread import spread
from .store import ATTRIBUTES, Emit, RunStore, Stores

#: What follows a workspace's key in the name of a folder that is to become it.
_UNFINISHED = "~new"
#: Names of what we ourselves put beside workspaces: each begins with a task's path.
_OURS = re.compile(r"\d[\w.~]*")


class Workspace:
    """One laid-out workspace. `folder` holds the files, `commit` is what they were at last.

    `start` is the commit that the task's work began from, whenever this folder was laid out; `repo` the top of the
    user's repository, where that is known.
    """

    def __init__(self, stores: Stores, store: RunStore, path: str, folder: Path, commit: str, emit: Emit) -> None:
        self.git: Git = stores.git
        self.stores = stores
        self.store = store
        self.path = path
        self.folder = folder
        self.commit = commit
        self.start = commit
        self.repo: Path | None = None
        self._emit = emit

    def files(self) -> dict[str, str]:
        """Return the mode of each path in the last commit: 100644, 100755, 120000 a link, 160000 a submodule."""
        listed = self.git.run("ls-tree", "-r", "-z", self.commit, git_dir=self.store.git_dir).out
        rows = (row.split(b"\t", 1) for row in listed.split(b"\0") if row)
        return {os.fsdecode(name): facts[:6].decode() for facts, name in rows}

    def visible(self, leave: Iterable[str] = ()) -> set[str]:
        """Return the paths that are committed, or would be by `record`, whether or not a file is there."""
        found = self._listed("--cached", "--others", "--exclude-standard", *_left(leave))
        return {os.fsdecode(name) for name in found}

    def record(self, message: str, time_s: int, also: Iterable[str] = (), leave: Iterable[str] = ()) -> str | None:
        """Commit the files as they are now; return the commit, or None where nothing has changed.

        Files that the repository's own `.gitignore` or a pattern in `leave` names are left out unless they were
        committed before or stand in `also`. The commit stands under a hidden ref of the run's store, and
        `workspace.committed` is appended.
        """
        self._take_up_files(also, leave)
        tree = self._git("write-tree").text
        if tree == self._git("rev-parse", f"{self.commit}^{{tree}}").text:
            return None
        return self._committed(tree, self.commit, message, time_s)

    def recommit(self, parent: str, message: str, time_s: int) -> str:
        """Commit the last commit's files once more, as the child of another commit; return the new commit."""
        tree = self._git("rev-parse", f"{self.commit}^{{tree}}").text
        return self._committed(tree, parent, message, time_s)

    def _committed(self, tree: str, parent: str, message: str, time_s: int) -> str:
        made = self._git("commit-tree", "-p", parent, "-F", "-", tree, stdin=_message(message), time_s=time_s)
        with self.stores.writing(self.store):
            ref = self._next_ref()
            self._git("update-ref", "--no-deref", ref, made.text)
        files = self.changed(parent, made.text)
        self.commit = made.text
        facts = {"store": str(self.store.git_dir), "commit": made.text, "ref": ref, "files_changed": files}
        self._emit("workspace.committed", facts)
        return made.text

    def changed(self, old: str, new: str) -> list[str]:
        """Return the paths that differ between two commits, sorted; bytes that aren't UTF-8 are written as `\\xff`."""
        listed = self._git("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new).out
        return [name.decode("utf-8", "backslashreplace") for name in sorted(listed.split(b"\0")) if name]

    def is_clean(self) -> bool:
        """Tell whether the files are those of the last commit, apart from what the repository ignores."""
        submodules = {os.fsencode(path) for path, mode in self.files().items() if mode == "160000"}
        found = [name for options in (("--modified",), ("--deleted",)) for name in self._listed(*options)]
        return set(found) <= submodules and not self._listed("--others", "--exclude-standard")

    def reset(self, commit: str) -> None:
        """Lay all files out anew as they are in a commit of the run's store."""
        self.stores.require(self.store, commit)
        clear_folder(self.folder)
        lay_out(self.git, self.store, self.path, self.folder, commit)
        self.commit = commit

    def bring_to(self, commit: str) -> None:
        """Lay the files out as in a commit of the run's store, if they aren't."""
        if self.commit != commit or not self.is_clean():
            self.reset(commit)

    def remove(self) -> None:
        """Remove the folder and its index, and append `workspace.removed`; commits stay."""
        existed = os.path.lexists(self.folder)
        _discard(self.store, self.path, self.folder)
        if existed:
            self._emit("workspace.removed", {"folder": str(self.folder)})

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _git(self, *args: str, stdin: bytes = b"", time_s: int | None = None) -> Answer:
        return self.git.run(
            *args,
            git_dir=self.store.git_dir,
            work_tree=self.folder,
            index=self.store.index(self.path),
            # A git that looks for its repository from here would meet the workspace's own `.git`.
            at=self.folder,
            stdin=stdin,
            time_s=time_s,
        )

    def _take_up_files(self, also: Iterable[str], leave: Iterable[str]) -> None:
        """Bring the index to what lies in the folder; `git add` would run git in repositories nested in it."""
        staged = (row.split(b"\t", 1) for row in self._listed("--stage"))
        submodules = {name for facts, name in staged if facts.startswith(b"160000 ")}
        gone = [name for name in self._listed("--deleted") if name not in submodules]
        self._git("update-index", "-z", "--force-remove", "--stdin", stdin=b"\0".join(gone))
        others = self._listed("--others", "--exclude-standard", *_left(leave))
        new = [name for name in others if not name.endswith(b"/")]
        new += [os.fsencode(name) for name in also if os.path.lexists(self.folder / name)]
        self._git("update-index", "-z", "--add", "--replace", "--stdin", stdin=b"\0".join(new))
        altered = [name for name in self._listed("--modified") if name not in submodules]
        self._git("update-index", "-z", "--add", "--remove", "--replace", "--stdin", stdin=b"\0".join(altered))

    def _listed(self, *options: str) -> list[bytes]:
        out: bytes = self._git("ls-files", "-z", *options).out
        return [row for row in out.split(b"\0") if row]

    def _next_ref(self) -> str:
        refs = self._git("for-each-ref", "--format=%(refname:lstrip=-1)", self.store.ref(self.path, "0")[:-1]).text
        return self.store.ref(
            self.path, str(1 + max((int(name) for name in refs.split() if name.isdigit()), default=0))
        )


class Workspaces:
    """All workspaces under one folder (`<home>/workspaces`), as `<run>/<path>`."""

    def __init__(self, stores: Stores, root: Path, emit: Emit) -> None:
        self.stores = stores
        self.root = root.absolute()
        self._emit = emit

    def create(self, store: RunStore, path: str, commit: str, name: str = "") -> Workspace:
        """Lay out a workspace for the task at `path` and append `workspace.created`.

        What an earlier holder of the task left there is removed. `name` (small letters and digits) tells several
        workspaces of one task apart. Raises CommitMissing where the run's store lacks the commit, ValueError for a
        path or name that is none.
        """
        key = f"{path}.{name}" if name else path
        folder = self.lay_out(store, key, commit, store.run)
        facts = {"folder": str(folder), "store": str(store.git_dir), "commit": commit}
        self._emit("workspace.created", facts)
        return Workspace(self.stores, store, key, folder, commit, self._emit)

    def lay_out(self, store: RunStore, key: str, commit: str, run: str) -> Path:
        """Lay the files of a commit out as a run's workspace `key` and return the folder; tells nobody.

        Whatever was there is removed. Raises CommitMissing, InvalidRef, ValueError for what can't be a workspace's key.
        """
        self.stores.require(store, commit)
        store.ref(key, "1")
        folder = self.root / run / key
        _discard(store, key, folder)
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lay_out(self.stores.git, store, key, folder, commit)
        return folder

    def remove_all(self, run: str) -> list[str]:
        """Remove every workspace of a run, appending `workspace.removed` for each; return their folders."""
        top = self.root / run
        stores = self.stores.run_stores(run)
        found = sorted(top.iterdir()) if run.isalnum() and top.is_dir() else []
        for folder in found:
            clear_folder(folder)
            for store in stores:
                _discard(store, folder.name, folder)
        removed = [str(folder) for folder in found if _UNFINISHED not in folder.name]
        for name in removed:
            self._emit("workspace.removed", {"folder": name})
        return removed


def lay_out(git: Git, store: RunStore, key: str, folder: Path, commit: str) -> None:
    """Make a folder with the files of a commit of a run's store, a clone of it, and its index in the store.

    It gets its name when all of it is there, so what has the name is whole.
    """
    spread(folder.parent)
    made = folder.with_name(f"{key}{_UNFINISHED}{uuid4().hex}")
    options = ("--quiet", "--shared", "--no-checkout", "--no-tags", "--template=")
    git.run("clone", *options, "--", str(store.git_dir), str(made), at=store.git_dir)
    own = made / ".git"
    for name in ("info/attributes", "objects/info/alternates"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
    (own / "info/attributes").write_text(ATTRIBUTES)
    if (store.git_dir / "shallow").exists():
        # git ignores --shared for a shallow repository.
        (own / "objects/info/alternates").write_bytes(os.fsencode(store.git_dir / "objects") + b"\n")
        shutil.copyfile(store.git_dir / "shallow", own / "shallow")
    git.run("update-ref", "--no-deref", "HEAD", commit, git_dir=own)
    index = store.index(key)
    git.run("read-tree", "--reset", "-u", commit, git_dir=store.git_dir, work_tree=made, index=index, at=made)
    shutil.copyfile(index, own / "index")
    made.rename(folder)


def _discard(store: RunStore, key: str, folder: Path) -> None:
    for left in folder.parent.glob(f"{key}{_UNFINISHED}*"):
        clear_folder(left)
    discard_folder(folder)
    for index in (store.index(key), store.index(f"{key}.lock")):
        index.unlink(missing_ok=True)


def discard_folder(folder: Path) -> bool:
    """Remove a workspace's folder, and its run's where it was the last one; tell whether it was there."""
    existed = os.path.lexists(folder)
    clear_folder(folder)
    with suppress(OSError):  # there is more in it, by now too
        folder.parent.rmdir()
    return existed


def clear_strays(top: Path) -> None:
    """Remove what foreign code has put beside the workspaces of a run."""
    for entry in [*top.iterdir()]:
        if not _OURS.fullmatch(entry.name):
            clear_folder(entry)


def clear_folder(folder: Path) -> None:
    """Remove a folder whatever foreign code made of it: a link isn't followed, read-only folders are opened first."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except PermissionError:
        folder.chmod(0o700)
        for top, names, _ in os.walk(folder):
            for name in names:
                if not Path(top, name).is_symlink():
                    Path(top, name).chmod(0o700)
        shutil.rmtree(folder)


def _left(patterns: Iterable[str]) -> list[str]:
    return [f"--exclude={pattern}" for pattern in patterns]


def _message(text: str) -> bytes:
    """Encode a commit message: a NUL would end it early, and bytes that aren't UTF-8 can't stand in it."""
    return (text.replace("\0", "").strip() + "\n").encode("utf-8", "replace")
