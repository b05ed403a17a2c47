"""What belongs to a run beside its events, read off them: runs it was forked from, versions, prompts, blobs, stores.

One fold for an export, which gathers all of it, and for whoever checks that all of it is there. Pure but for reads of
the log that it is given.
"""

from __future__ import annotations

import re
from typing import Any

from .agents.bundles import StoreNeeds, names_commits, stores_needed
from .eventstore.blob_names import blobs_named
from .eventstore.event import Event
from .eventstore.run import Readable, parts_of
from .run_file import Ancestor

_POSITION_MAX = (1 << 63) - 1
_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class RunContents:
    """The contents of a run, while its events are taken in the order of `read_run`.

    `prompts` are names by hashes, `versions` what each run of the lineage has pinned, `forgotten` how many payloads
    are gone, with whatever they named.
    """

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.versions: dict[str, Any] = {}
        self.prompts: dict[str, str] = {}
        self.blobs: set[str] = set()
        self.forgotten = 0
        self._about_stores: list[Event] = []

    def take(self, event: Event) -> None:
        """Take in the next event."""
        self.positions.append(event.position)
        if event.payload is None:
            self.forgotten += 1
            return
        if '"blob"' in event.payload:
            self.blobs |= blobs_named(event.payload)
        if names_commits(event):
            self._about_stores.append(event)
        if event.type == "run.started" and isinstance(event.data, dict):
            self.versions[event.run] = event.data.get("versions")
        if '"prompts"' in event.payload:
            self.prompts |= _prompts_in(event)

    def stores(self) -> list[StoreNeeds]:
        """Return what the events name of stores."""
        return stores_needed(self._about_stores)


def _prompts_in(event: Event) -> dict[str, str]:
    """Return the names of the prompts that an event names, by their hashes."""
    data = event.data if isinstance(event.data, dict) else {}
    caller, parameters = data.get("caller"), data.get("parameters")
    found: dict[Any, Any] = {}
    given = caller.get("prompts") if isinstance(caller, dict) else None
    if isinstance(given, dict):
        found |= {hash: name for name, hash in given.items() if isinstance(hash, str)}
    used = parameters.get("prompts") if isinstance(parameters, dict) else None
    if isinstance(used, list):
        found |= {str(one.get("hash")): str(one.get("name")) for one in used if isinstance(one, dict)}
    return {hash: name for hash, name in found.items() if _HASH.fullmatch(hash) and _NAME.fullmatch(name)}


def hollow_beginnings(log: Readable, run: str) -> list[Event]:
    """Return where those runs of a lineage begin of which nothing else belongs to it, in the order of the log.

    A fork may be forked before its own beginning: all that its fork has of it is whom it comes from itself.
    """
    parts = [part for part in parts_of(log, run, _POSITION_MAX) if part.until < part.first]
    return [event for part in reversed(parts) for event in log.read(stream=f"run.{part.run}", limit=1)]


def lineage_of(log: Readable, run: str) -> tuple[Ancestor, ...]:
    """Return the run after the runs that it was forked from, each of these with the position that it was forked at."""
    parts = parts_of(log, run, _POSITION_MAX)
    return (*(Ancestor(part.run, part.until) for part in reversed(parts[1:])), Ancestor(run))
