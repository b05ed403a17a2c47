"""Which files each workspace of a run held, as of any position: its store and commit, and the branches published.

Owns what `workspace.*` events say of files, across forks, retries and redeliveries, and what a rollback has made of
them. Leaves laying files out to the packages above. What a task that is delivered again begins from is its ledger's to
say: there a commit counts once the effect that made it is recorded. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

import msgspec
from immutables import Map
from msgspec.structs import replace

from ..eventstore.event import Event

CREATED, COMMITTED, REMOVED = "workspace.created", "workspace.committed", "workspace.removed"
PUBLISHED, UNPUBLISHED = "workspace.published", "workspace.unpublished"
#: What came of restoring files where a run was rolled back.
RESTORED = "run.restored"
_RESULTS = ("effect.completed", "effect.failed")
#: The types that say something of files, beside results of effects that were served from another run's record.
TYPES = frozenset({CREATED, COMMITTED, REMOVED, PUBLISHED, UNPUBLISHED, RESTORED})


class WorkspaceFiles(msgspec.Struct, frozen=True):
    """One workspace: `key` is its task's path, and behind a dot its name where the task has several.

    `store` is the git folder of the run's store, `folder` where the files lay, of the run `run` (a fork's may be its
    parent's). `start` is the commit that it was last laid out at, `position` the event that said last what it holds;
    `is_open` whether the folder was still there, `is_changed` whether anything was committed in it.
    """

    key: str
    path: str
    name: str
    run: str
    folder: str
    store: str
    start: str
    commit: str
    position: int
    is_open: bool = True
    is_changed: bool = False

    @property
    def repository(self) -> str:
        """What tells its repository from others: the folder in which every run has its store."""
        return str(PurePosixPath(self.store).parent)


class PublishedRef(msgspec.Struct, frozen=True):
    """A ref of a user's repository, and the commit that the run has put there; "" once the run has removed it.

    `path` is the task that has published it, `was` the commit that it was put at last.
    """

    repo: str
    ref: str
    commit: str
    was: str
    path: str
    position: int


class RunFiles(msgspec.Struct, frozen=True):
    """The files of a run: workspaces by key, published refs by repository and ref.

    `forgotten` has the positions of events about files whose payload was freed: what they said is not known any more.
    """

    workspaces: Map[str, WorkspaceFiles] = Map()
    published: Map[tuple[str, str], PublishedRef] = Map()
    forgotten: tuple[int, ...] = ()

    def latest(self) -> list[WorkspaceFiles]:
        """Return what shows the files, in the order of keys.

        All workspaces that were open, and of each repository the one that was changed last, unless one that was open
        held the same; where nothing was changed or open, the one that was laid out last.
        """
        shown = {one.key: one for one in self.workspaces.values() if one.is_open}
        held = {(one.repository, one.commit) for one in shown.values()}
        last: dict[str, WorkspaceFiles] = {}
        for one in self.workspaces.values():
            known = last.get(one.repository)
            if known is None or (one.is_changed, one.position) > (known.is_changed, known.position):
                last[one.repository] = one
        open = {one.repository for one in shown.values()}
        for repository, one in last.items():
            if (repository, one.commit) not in held and (one.is_changed or repository not in open):
                shown[one.key] = one
        return [shown[key] for key in sorted(shown)]


def initial() -> RunFiles:
    """Return the files of a run that has none yet."""
    return RunFiles()


def files_of(events: Iterable[Event], until: int | None = None) -> RunFiles:
    """Fold the events of a run, in position order, up to and with the position `until`."""
    files = initial()
    for event in events:
        if until is not None and event.position > until:
            break
        files = apply(files, event)
    return files


def apply(files: RunFiles, event: Event) -> RunFiles:
    """Return the files after an event; one that says nothing of files, or nothing that can be read, changes nothing."""
    if event.type in _RESULTS and event.payload is not None and '"recorded"' in event.payload:
        return _served(files, event)
    if event.type not in TYPES:
        return files
    if event.payload is None:
        return replace(files, forgotten=(*files.forgotten, event.position))
    data = event.data
    if not isinstance(data, dict):
        return files
    if event.type == RESTORED:
        return _restored(files, event, data)
    if event.type == REMOVED:
        return _removed(files, event, data)
    if event.type in (PUBLISHED, UNPUBLISHED):
        return _published(files, event, data)
    return _created(files, event, data) if event.type == CREATED else _committed(files, event, data)


def _created(files: RunFiles, event: Event, data: dict[str, Any]) -> RunFiles:
    folder, store, commit = (_text(data, name) for name in ("folder", "store", "commit"))
    key = PurePosixPath(folder).name
    if not (key and store and commit):
        return files
    path, name = _place(event, key)
    made = WorkspaceFiles(key, path, name, event.run, folder, store, commit, commit, event.position)
    return replace(files, workspaces=files.workspaces.set(key, made))


def _committed(files: RunFiles, event: Event, data: dict[str, Any]) -> RunFiles:
    store, commit, ref = (_text(data, name) for name in ("store", "commit", "ref"))
    key = PurePosixPath(ref).parent.name
    if not (key and store and commit):
        return files
    before = files.workspaces.get(key)
    if before is None or before.store != store:
        # Its beginning is not known: from before the log says so, or forgotten.
        path, name = _place(event, key)
        before = WorkspaceFiles(key, path, name, event.run, "", store, commit, commit, event.position)
    after = replace(before, commit=commit, position=event.position, is_changed=True)
    return replace(files, workspaces=files.workspaces.set(key, after))


def _served(files: RunFiles, event: Event) -> RunFiles:
    """Take in an effect of a fork that was answered from its ancestors' record: the files are where it left them."""
    data = event.data
    if not (isinstance(data, dict) and isinstance(data.get("recorded"), dict)):
        return files
    path, commits = event.stream.split(".", 2)[-1], data.get("commits")
    named = {"": data.get("commit"), **(commits if isinstance(commits, dict) else {})}
    workspaces = files.workspaces
    for name, commit in named.items():
        before = workspaces.get(f"{path}.{name}" if name else path)
        if before is not None and isinstance(commit, str) and commit != before.commit:
            after = replace(before, commit=commit, position=event.position, is_changed=True)
            workspaces = workspaces.set(before.key, after)
    return replace(files, workspaces=workspaces)


def _removed(files: RunFiles, event: Event, data: dict[str, Any]) -> RunFiles:
    key = PurePosixPath(_text(data, "folder")).name
    before = files.workspaces.get(key)
    if before is None:
        return files
    after = replace(before, is_open=False)
    return replace(files, workspaces=files.workspaces.set(key, after))


def _published(files: RunFiles, event: Event, data: dict[str, Any]) -> RunFiles:
    repo, ref, commit = (_text(data, name) for name in ("repo", "ref", "commit"))
    if not (repo and ref and commit):
        return files
    before = files.published.get((repo, ref))
    if event.type == PUBLISHED:
        path = event.stream.split(".", 2)[-1]
        found = PublishedRef(repo, ref, commit, commit, path, event.position)
    elif before is not None and before.commit == commit:
        found = replace(before, commit="", position=event.position)
    else:
        return files
    return replace(files, published=files.published.set((repo, ref), found))


def _restored(files: RunFiles, event: Event, data: dict[str, Any]) -> RunFiles:
    """Take what a rollback has laid out: these workspaces are open, and no others; branches are where it put them."""
    workspaces = files.workspaces
    for key, one in workspaces.items():
        workspaces = workspaces.set(key, replace(one, is_open=False))
    for given in _entries(data.get("workspaces")):
        key, path, folder, store, commit = (_text(given, name) for name in ("key", "path", "folder", "store", "commit"))
        if given.get("state") == "restored" and key and store and commit:
            name = key[len(path) + 1 :] if key.startswith(f"{path}.") else ""
            made = WorkspaceFiles(
                key, path, name, event.run, folder, store, commit, commit, event.position, is_changed=True
            )
            workspaces = workspaces.set(key, made)
    published = files.published
    for given in _entries(data.get("branches")):
        before = published.get((_text(given, "repo"), _text(given, "ref")))
        if given.get("state") == "restored" and before is not None:
            commit = _text(given, "commit")
            after = replace(before, commit=commit, was=commit or before.was, position=event.position)
            published = published.set((before.repo, before.ref), after)
    return replace(files, workspaces=workspaces, published=published)


def _entries(given: Any) -> list[dict[str, Any]]:
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _place(event: Event, key: str) -> tuple[str, str]:
    """Return the path of the task and the name of its workspace."""
    family, _, rest = event.stream.partition(".")
    path = rest.partition(".")[2] if family == "task" else key
    return (path, key[len(path) + 1 :]) if key.startswith(f"{path}.") else (key, "")


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
