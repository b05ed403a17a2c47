"""The read model of repositories: what was fetched from each, committed for it, and published into it. Pure.

A repository is named by its working tree's path. What is told of a store of ours is its repository's whose commits were
fetched into that store's base.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

import msgspec
from msgspec.structs import replace

from ..eventstore.event import Event
from .projection import Alias, Projection, data_of, task_of, text


class Branch(msgspec.Struct, frozen=True, gc=False):
    """A ref that runs have put into a repository, and who did it last."""

    commit: str
    run: str
    position: int


class RepositoryRow(msgspec.Struct, frozen=True, tag="repository", tag_field="row"):
    """One repository: how often commits were fetched from it, workspaces laid out and commits made for it, and the
    refs in it that are ours.
    """

    fetches: int = 0
    workspaces: int = 0
    commits: int = 0
    files_changed: int = 0
    published: int = 0
    branches: dict[str, Branch] = {}
    last_run: str | None = None
    last_ns: int | None = None
    last: int = 0


Row = RepositoryRow | Alias


class Repositories(Projection[Row]):
    """All repositories, by path."""

    name = "repositories"
    types = ("workspace.*",)
    key_names = ("repo",)
    columns = ("repo", "fetches", "workspaces", "commits", "published", "last_run")

    def keys(self, event: Event) -> Iterable[str]:
        """Return the repository's path where the event tells it, else its store's key."""
        data = data_of(event)
        repo, store = text(data.get("repo")), text(data.get("store"))
        if event.type == "workspace.fetched":
            return (repo, f"@{PurePosixPath(store).stem}") if repo and store else ()
        if repo:
            return (repo,)
        return (f"@{PurePosixPath(store).parent.name}",) if store else ()

    def initial(self, key: str) -> Row:
        """Return a repository of which nothing is known."""
        return Alias() if key.startswith("@") else RepositoryRow()

    def apply(self, state: Row, event: Event) -> Row:
        """Return a repository after something was done for it."""
        data, what = data_of(event), event.type.partition(".")[2]
        if isinstance(state, Alias):
            return Alias(text(data.get("repo"))) if what == "fetched" else state
        run = task_of(event)[0]
        row = replace(state, last_run=run or state.last_run, last_ns=event.time, last=event.position)
        ref = text(data.get("ref"))
        match what:
            case "fetched":
                return replace(row, fetches=row.fetches + 1)
            case "created":
                return replace(row, workspaces=row.workspaces + 1)
            case "committed":
                files = data.get("files_changed")
                changed = len(files) if isinstance(files, list) else 0
                return replace(row, commits=row.commits + 1, files_changed=row.files_changed + changed)
            case "published":
                branch = Branch(text(data.get("commit")), run, event.position)
                return replace(row, published=row.published + 1, branches={**row.branches, ref: branch})
            case "unpublished":
                return replace(row, branches={name: one for name, one in row.branches.items() if name != ref})
        return row
