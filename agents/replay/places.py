"""Where the files of a task are while it is run again, and how that compares with where they were.

Owns the two names of each workspace's folder: the recorded one, which stands in parameters and results, and the one
here. A workspace is laid out by the process that started the replay, which may write; this one asks for it. Keeps: the
files are those of the recorded commit, and go on to the next one when the effect is served that made it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ..journal import AgentPlaces


class PlacesThen(AgentPlaces, frozen=True):
    """The folders of a home as they were called when a task was done; what is read of them is now at `place`."""

    place: Path

    @property
    def stores(self) -> Path:
        """The stores that there are now."""
        return self.place / "stores"

    @property
    def workspaces(self) -> Path:
        """A folder with none in it: what a rollback has laid out is nothing that a killed holder has left."""
        return self.place / "replayed"

    @property
    def blobs(self) -> Path:
        """The blobs that there are now."""
        return self.place / "blobs"


class LayOut(Protocol):
    """Whoever prepares files: `store` is the recorded path of a run's store."""

    def __call__(self, store: str, key: str, commit: str, folder: str) -> tuple[str, str]:
        """Lay out a commit, in `folder` where that was laid out before; return the folder and its store, here."""


class Places:
    """The workspaces of one task that is run again. `recorded` names their folders as they were."""

    def __init__(self, lay_out: LayOut | None = None) -> None:
        self.lay_out = lay_out
        #: Folders as recorded, by what they are here, and the reverse.
        self._was: dict[str, str] = {}
        self._moves: dict[str, Callable[[str], None]] = {}
        #: Effects recorded up to here were done before the workspace was laid out.
        self.since = 0

    def add(self, here: str, recorded: str, name: str, move: Callable[[str], None]) -> None:
        """Take note of a workspace that was laid out; `move` brings its files to a commit."""
        if recorded and here != recorded:
            self._was[here] = recorded
        self._moves[name] = move

    def remove(self, name: str) -> None:
        """Let go of a workspace's files; what stood in it still has its recorded name."""
        self._moves.pop(name, None)

    def follow(self, data: dict[str, Any]) -> dict[str, str]:
        """Bring the files to what an effect has made of them, whose recorded result was just served; return how."""
        made: dict[str, str] = ({"": data["commit"]} if data.get("commit") else {}) | (data.get("commits") or {})
        for name, commit in made.items():
            if name in self._moves:
                self._moves[name](commit)
        return made

    def as_recorded(self, value: Any) -> Any:
        """Return JSON-like data with folders named as they were."""
        return _renamed(value, self._was) if self._was else value

    def as_here(self, value: Any) -> Any:
        """Return recorded data with folders named as they are here."""
        return _renamed(value, {was: here for here, was in self._was.items()}) if self._was else value


def _renamed(value: Any, names: dict[str, str]) -> Any:
    text = msgspec.json.encode(value).decode()
    for old, new in names.items():
        text = text.replace(_inside(old), _inside(new))
    return msgspec.json.decode(text)


def _inside(name: str) -> str:
    """Return a name as it stands within JSON text."""
    return msgspec.json.encode(name).decode()[1:-1]
