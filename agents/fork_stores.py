"""The stores and branches of a fork: beside each of a run that it comes from one of its own.

Owns making its stores, which borrow the commits of the ancestors', and what its branches are called. Leaves what a
store is to `store`. Keeps: no commit is copied, nothing is ever written into an ancestor's store, and no branch of an
ancestor is moved or deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .git import Git
from .past import TOOLS
from .store import Stores, sync

if TYPE_CHECKING:
    from .context import TaskContext

_ALTERNATES = "objects/info/alternates"


def share_stores(context: TaskContext) -> None:
    """Have the commits of the runs that a task's run was forked from in the stores of its own run."""
    fork = context.request.fork
    root = context.places.stores
    if fork is None or Stores.read_only or not root.is_dir():
        return
    # The oldest first: git follows what each store borrows from itself only to some depth, and needs none of that then.
    ancestors = [one.run for one in reversed(fork.lineage) if one.run.isalnum()]
    found: dict[str, list[Path]] = {}
    for run in ancestors:
        for store in sorted(root.glob(f"*/{run}.git")):
            found.setdefault(store.parent.name, []).append(store)
    for key, stores in found.items():
        _share(Stores(Git(), root), key, context.run, stores)


def _share(stores: Stores, key: str, run: str, ancestors: list[Path]) -> None:
    own = stores.root / key / f"{run}.git"
    wanted = [str(stores.root / f"{key}.git" / "objects"), *(str(store.absolute() / "objects") for store in ancestors)]
    if _borrows(own, wanted):
        return
    with stores.locked(key):
        if own.exists():
            _borrow_more(own, wanted)
            return
        nearest = ancestors[-1]
        files = {_ALTERNATES: "".join(f"{line}\n" for line in wanted).encode("utf-8", "surrogateescape")}
        for name in ("shallow", "refs/heads/base", "HEAD"):
            if (nearest / name).exists():
                files[name] = (nearest / name).read_bytes()
        stores.create(own, stores.git.run("rev-parse", "--show-object-format", git_dir=nearest).text, files)


def _lines(store: Path) -> list[str]:
    try:
        return (store / _ALTERNATES).read_bytes().decode("utf-8", "surrogateescape").split("\n")
    except FileNotFoundError:
        return []


def _borrows(store: Path, wanted: list[str]) -> bool:
    return set(wanted) <= set(_lines(store))


def _borrow_more(store: Path, wanted: list[str]) -> None:
    """Name what a store lacks behind what it borrows from already, synced and at once."""
    known = [line for line in _lines(store) if line]
    lines = [*known, *(line for line in wanted if line not in known)]
    making = store / f"{_ALTERNATES}.making"
    making.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    sync(making)
    making.replace(store / _ALTERNATES)
    sync(making.parent)


def own_ref(ref: str, context: TaskContext) -> str:
    """Return the ref that a task publishes: a fork that does so for real has its own in place of an ancestor's.

    What a fork was asked for was decided before it began, and names the run that it comes from.
    """
    fork = context.request.fork
    if fork is not None and TOOLS in fork.live:
        for one in fork.lineage:
            ref = ref.replace(one.run, context.run)
    return ref
