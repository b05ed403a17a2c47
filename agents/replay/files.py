"""The workspace of a task that is run again: the files of the recorded commits, to be read and no more.

Owns finding which of the recorded workspaces a handler means. Who lays it out is another process, as this one can't
write (see `places`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...eventstore.event import Event
from ..faults import Unwinding
from ..git import Git, check_commit
from ..repositories.allowed import require
from ..store import RunStore, Stores, find_repository
from ..workspace import Workspace
from .found import Parted, RecordEnds, at
from .record import data_of

if TYPE_CHECKING:
    from .rerun import ReplayContext


class Lacking(Unwinding):
    """Ends a handler whose files aren't there any more. No Exception, as the handler could not have met it."""


@contextmanager
def replayed_copy(context: ReplayContext, repo: str | Path, commit: str, name: str) -> Iterator[Workspace]:
    """Lay out a workspace as `working_copy` did. Raises Parted where there was none, or one with other files."""
    check_commit(commit)
    git = Git()
    top = Path(repo)
    if top.is_dir():  # of a run from elsewhere it isn't, and was then
        top = find_repository(git, top).top
        require(context, top, "read")
    key = f"{context.path}.{name}" if name else context.path
    created = recorded_workspace(context, key, context.recorded_commits.get(name, commit))
    facts = data_of(created)
    lay_out = context.files.lay_out
    if lay_out is None:
        raise Lacking("there are no files here")
    store, start = str(facts["store"]), str(facts["commit"])
    folder, own_store = lay_out(store, key, start, "")
    stores = Stores(git, context.places.stores, context.emit)
    workspace = Workspace(stores, RunStore(context.run, Path(own_store)), key, Path(folder), start, context.emit)
    workspace.start, workspace.repo = commit, top

    def move(to: str) -> None:
        if to != workspace.commit:
            lay_out(store, key, to, folder)
            workspace.commit = to

    context.files.add(folder, str(facts["folder"]), name, move)
    try:
        yield workspace
    finally:
        context.files.remove(name)


def recorded_workspace(context: ReplayContext, key: str, commit: str) -> Event:
    """Return how the next workspace of this key was laid out; raises Parted where that was with another commit."""
    known = [event for event in context.created if Path(str(data_of(event).get("folder"))).name == key]
    if not known:
        if context.record_of_task.outcome is None:
            raise RecordEnds
        today: Any = {"type": "workspace.created", "data": {"commit": commit}}
        raise Parted(at(context.record_of_task.outcome, "fact", None, today, "a workspace is laid out, which was not"))
    created = known[0]
    context.created.remove(created)
    if data_of(created).get("commit") != commit:
        raise Parted(at(created, "data.commit", data_of(created).get("commit"), commit))
    return created
