"""Runs whose payloads were freed: how a log tells of them, and what is said to whoever needs what is gone.

`run.forget_requested` in `request.<run>` is the intent: the log takes it only for a run that may be forgotten, and from
then on the run counts as forgotten. `run.forgotten` after it tells that all was freed, and how much that was. Both keep
their data. Works on any log, reader or blocking client of the bus. Leaves the freeing to `forgetting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from .errors import TwelvefoldError
from .event import Event
from .run import Readable

REQUESTED, DONE = "run.forget_requested", "run.forgotten"


class Forgotten(msgspec.Struct, frozen=True):
    """A run that was forgotten: when that was asked for (wall-clock nanoseconds) and by whom; `facts` is what was kept.

    `facts` has what the asker told of the run: outcome, reason, cost, and why it was forgotten. `done` tells that
    all is freed, and `freed` then how much: payloads, bytes, blobs, blob_bytes.
    """

    run: str
    since_ns: int
    by: str
    facts: dict[str, Any]
    done: bool = False
    freed: dict[str, int] = {}


def forgotten(log: Readable, run: str) -> Forgotten | None:
    """Return what is known of a run that was forgotten, None for any other: one look into the log's index."""
    stream = f"request.{run}"
    asked = next(iter(log.read(stream=stream, type=REQUESTED, limit=1)), None)
    if asked is None:
        return None
    done = next(iter(log.read(stream=stream, type=DONE, limit=1, reverse=True)), None)
    freed = {} if done is None else {name: n for name, n in _data(done).items() if isinstance(n, int)}
    return Forgotten(run, asked.time, asked.source, _data(asked), done is not None, freed)


def refuse_forgotten(log: Readable, run: str, wanted: str) -> None:
    """Raise RunForgotten where what `wanted` names ("be replayed") needs what was freed of a run."""
    found = forgotten(log, run)
    if found is not None:
        when = datetime.fromtimestamp(found.since_ns // 10**9, UTC)
        raise RunForgotten(run, f"{when:%Y-%m-%dT%H:%M:%SZ}", wanted)


def _data(event: Event) -> dict[str, Any]:
    data = event.data
    return data if isinstance(data, dict) else {}


@dataclass(eq=False)
class RunForgotten(TwelvefoldError):
    """What was asked for needs payloads, blobs or commits of a run that has been forgotten.

    `twelvefold forget` has freed them for good. The headers of its events, its outcome and the chain of hashes are
    still there: `status`, `tree` and `log` show them.
    """

    code = "E570"
    exit_code = 3
    run: str
    since: str
    wanted: str

    def message(self) -> str:
        """Name the run, when it was forgotten and what can't be done any more."""
        return f"run {self.run} was forgotten at {self.since}: its payloads are gone, so it cannot {self.wanted}"

    def help(self) -> str:
        """Show what is left."""
        return f"see what is left of it with `twelvefold status {self.run}`; a backup or an export may still hold it"


@dataclass(eq=False)
class RunNotForgettable(TwelvefoldError):
    """A run is to be forgotten that somebody still needs: it is open, or a fork of it reads its events.

    A run that has not ended goes on from its payloads. A fork shares the events of its parent up to where it was
    forked, so the parent can only be forgotten after, or together with, all of its forks.
    """

    code = "E571"
    exit_code = 4
    run: str
    reason: str
    forks: Sequence[str] = ()

    def message(self) -> str:
        """Name the run and who needs it."""
        return f"run {self.run} cannot be forgotten: {self.reason}"

    def help(self) -> str:
        """End it, or forget its forks with it."""
        if self.forks:
            return f"forget its forks with it: `twelvefold forget {' '.join([*self.forks, self.run])}`"
        return f"wait for its end with `twelvefold tree {self.run} -f`, or end it with `twelvefold cancel {self.run}`"


@dataclass(eq=False)
class RunUnknown(TwelvefoldError):
    """No run of this id stands in the log, so there is nothing of it to forget."""

    code = "E572"
    exit_code = 3
    run: str

    def message(self) -> str:
        """Name the run."""
        return f"there is no run {self.run} in the log"

    def help(self) -> str:
        """List runs."""
        return "see which runs there are with `twelvefold runs`"
