"""Where the files of a run are kept that is run again: what its home was called then, and where its stores are now.

A run may have been imported from another machine: neither its home nor the repositories that it worked on need be here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from ...eventstore.event import Event
from .record import data_of


class KeptRun(msgspec.Struct, frozen=True):
    """A run whose log, blobs and stores are at `place`. `home` is what its home was called when it was done.

    `repositories` has, by the path of a repository, the store of the run that was made for it.
    """

    place: Path
    home: Path
    repositories: dict[str, str]


def kept_run(events: Iterable[Event], place: Path) -> KeptRun:
    """Read off a run's events what its files were called, and find where they are."""
    home: Path | None = None
    asked: dict[bytes, str] = {}
    stores: dict[str, str] = {}
    for event in events:
        if event.type == "task.requested":
            given = data_of(event).get("input")
            if isinstance(given, dict) and isinstance(repo := given.get("repo"), str):
                asked[event.id] = repo
        elif event.type == "workspace.created":
            data = data_of(event)
            home = home or _home_of(Path(str(data.get("folder"))))
            store = find_store(place, str(data.get("store")))
            if store is not None and (repo := asked.get(event.cause, "")):
                stores.setdefault(repo, str(store))
    return KeptRun(place, home or place, stores)


def _home_of(workspace: Path) -> Path | None:
    """Return the home of a workspace, `<home>/workspaces/<run>/<path>`; None for any other folder."""
    above = workspace.parents
    return above[2] if len(above) > 2 and above[1].name == "workspaces" else None


def find_store(place: Path, recorded: str) -> Path | None:
    """Return where the store is that a record names: by its name where the run is kept, else where it was."""
    named = (place / "stores").joinpath(*Path(recorded).parts[-2:])
    return next((one for one in (named, Path(recorded)) if one.is_dir()), None)
