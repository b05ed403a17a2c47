"""Having runs forgotten: by the bus where one runs, else by this process, which owns the log for a moment.

Stores, workspaces and patches lie beside the log and are freed here, after it. Whoever is killed meanwhile leaves runs
that count as forgotten already: the log's next owner frees the rest of what it holds, and the next call what lies
beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .agents.forgetting import Kept, RunFolders, free_leftovers
from .bus import run_marks
from .bus.errors import BusNotRunning, BusTimeout
from .connection import SyncConnection, connect_sync
from .eventstore.blobs import BlobStore
from .eventstore.errors import TwelvefoldError
from .eventstore.event import NewEvent, new_event
from .eventstore.forgetting import Forgetting, check_forgettable, forks_of, marks_of
from .eventstore.forgotten import REQUESTED, forgotten
from .eventstore.ids import uuid7
from .eventstore.log import Append
from .eventstore.sqlite_log import SqliteLog
from .eventstore.storage_errors import LogLocked
from .orchestration.facts import fact_of
from .orchestration.result import Cost
from .orchestration.run_index import summary_of
from .run_log import RunLog
from .settings import Settings

#: How often the bus is asked how far it is, and how long nothing may move meanwhile.
POLL_S, STILL_S = 0.05, 60.0
#: How long a reader of the log is waited for that keeps the write-ahead file from being emptied.
WIPE_S = 10.0
_PAGE = 1000

#: Hears of how many runs are forgotten, of how many.
Progress = Callable[[int, int], None]


@dataclass(eq=False)
class ForgettingStopped(TwelvefoldError):
    """The bus has taken the request, but what it frees does not get less: it is stopped, or the disk refuses writes.

    Nothing is lost by that: the runs count as forgotten, and the bus goes on where it was, also after a restart.
    """

    code = "E574"
    exit_code = 124
    left: int
    waited_s: float

    def message(self) -> str:
        """Say how many runs are left, and for how long nothing has moved."""
        return f"{self.left} runs are not freed yet, and nothing has moved for {self.waited_s:g} s"

    def help(self) -> str:
        """Look at the bus."""
        return "see what the bus does with `twelvefold ps` and `twelvefold logs bus`"


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was freed, and what became of the log's file: its size before and after, whether it was written anew.

    `problem` says why that was not done although it was wanted. `by` is bus, or command where none runs.
    """

    runs: int
    payloads: int
    bytes: int
    blobs: int
    blob_bytes: int
    kept: Kept
    by: str
    compacted: bool
    log_bytes_before: int
    log_bytes_after: int
    problem: str = ""


def nothing_freed(home: Path) -> Done:
    """Return what is told where nothing of the log was touched."""
    size = _size_of(home)
    return Done(
        runs=0, payloads=0, bytes=0, blobs=0, blob_bytes=0, kept=Kept(), by="command", compacted=False,
        log_bytes_before=size, log_bytes_after=size,
    )  # fmt: skip


def forget_runs(
    settings: Settings, runs: Sequence[str], *, reason: str = "", compact: bool | None = None, progress: Progress
) -> Done:
    """Forget runs, and return once all is freed; raises RunNotForgettable, RunUnknown, ForgettingStopped.

    With `compact` the log's file is written anew without holes, with False it is not; else where no bus runs, or the
    file is small.
    """
    home = settings.home
    before = _size_of(home)
    with RunLog(home) as log:
        wanted = [run for run in runs if forgotten(log, run) is None]
        for run in wanted:
            check_forgettable(log, run, wanted)
        lots = [[_request(log, run, reason, compact) for run in lot] for lot in _lots(log, wanted)]
    by = "bus"
    try:
        told = _by_bus(home, lots, runs, progress)
        if compact and not lots and not told.problem:
            told.problem = (
                "a bus runs, which does that after it has freed something; stop it first with `twelvefold down`"
            )
    except BusNotRunning:
        try:
            told, by = _by_command(settings, lots, compact, progress), "command"
        except LogLocked as locked:
            # A bus has just been started, or somebody else is forgetting.
            try:
                told = _by_bus(home, lots, runs, progress)
            except BusNotRunning:
                raise locked from None
    folders = RunFolders(home)
    kept = Kept()
    with RunLog(home) as log:
        for run in runs:
            kept = kept.plus(folders.free(run))
        kept = kept.plus(free_leftovers(folders, lambda run: forgotten(log, run) is not None))
        if by == "command" and not [name for name in log.marks(run_marks.PREFIX) if name != run_marks.SEEN]:
            kept = kept.plus(Kept(bytes=folders.free_bases()))
        found = [one for run in wanted if (one := forgotten(log, run)) is not None]
    freed = {
        name: sum(one.freed.get(name, 0) for one in found) for name in ("payloads", "bytes", "blobs", "blob_bytes")
    }
    after = _size_of(home)
    return Done(
        runs=len(wanted), kept=kept, by=by, compacted=told.compacted, log_bytes_before=before, log_bytes_after=after,
        problem=told.problem, **freed,
    )  # fmt: skip


def _lots(log: RunLog, runs: Sequence[str]) -> list[list[str]]:
    """Put forks and the runs that they were forked from together: they are forgotten in one append, or not at all."""
    lot_of: dict[str, list[str]] = {run: [run] for run in runs}
    for run in runs:
        for fork in forks_of(log, run):
            if lot_of[fork] is not lot_of[run]:
                lot_of[run] += lot_of[fork]
                lot_of.update(dict.fromkeys(lot_of[fork], lot_of[run]))
    return list({id(lot): lot for lot in lot_of.values()}.values())


def _request(log: RunLog, run: str, reason: str, compact: bool | None) -> NewEvent:
    """Return the event that asks for it, with what stays known of the run."""
    about = summary_of(log, run, {})
    facts: dict[str, Any] = {
        "outcome": about and about.outcome,
        "reason": about and about.reason,
        "cost": msgspec.to_builtins(_cost(log, run)),
        "why": reason or None,
    }
    if compact is not None:
        facts["compact"] = compact
    id = uuid7(time.time_ns() // 1_000_000, os.urandom(10))
    return new_event(REQUESTED, facts, stream=f"request.{run}", run=run, id=id)


def _cost(log: RunLog, run: str) -> Cost:
    """Return what the run's model calls used, as `status` tells it."""
    cost, after = Cost(), 0
    while page := log.read(run=run, type="effect.completed", after=after, limit=_PAGE):
        for event in page:
            data = fact_of(event).data
            cost = cost.plus(data.get("usage")) if data.get("kind") == "model" else cost
        after = page[-1].position
    return cost


class _Told(msgspec.Struct):
    """Whether the log's file was written anew, and why it could not be, where that was wanted."""

    compacted: bool = False
    problem: str = ""


def _by_bus(home: Path, lots: list[list[NewEvent]], runs: Sequence[str], progress: Progress) -> _Told:
    """Have the bus forget, and wait until all is freed."""
    with connect_sync(home) as bus:
        asked = [event.run for lot in lots for event in lot]
        before = bus.stats()["forgetting"]["compacted"]
        for ticket in [bus.begin(lot) for lot in lots if forgotten(bus, lot[0].run) is None]:
            bus.finish(ticket)
        _follow(bus, [run for run in runs if run not in asked] + asked, progress)
        after = _rested(bus)
        return _Told(after["compacted"] > before, after["problem"])


def _follow(bus: SyncConnection, runs: list[str], progress: Progress) -> None:
    """Wait until the bus has freed all of these runs; raises ForgettingStopped."""
    left = [run for run in runs if (found := forgotten(bus, run)) is not None and not found.done]
    moved, deadline = -1, time.monotonic() + STILL_S
    while left:
        steps = bus.stats()["forgetting"]["steps"]
        if steps != moved:
            moved, deadline = steps, time.monotonic() + STILL_S
        elif time.monotonic() > deadline:
            raise ForgettingStopped(len(left), STILL_S)
        time.sleep(POLL_S)
        # They are forgotten in this order.
        while left and (found := forgotten(bus, left[0])) is not None and found.done:
            left.pop(0)
        progress(len(runs) - len(left), len(runs))


def _rested(bus: SyncConnection) -> dict[str, Any]:
    """Return what the bus tells of forgetting once it has nothing left to do, or can't because of a reader."""
    deadline = time.monotonic() + WIPE_S
    while True:
        try:
            told: dict[str, Any] = bus.stats()["forgetting"]
        except BusTimeout:
            # It writes its file anew, and answers nobody meanwhile.
            deadline = time.monotonic() + WIPE_S
            continue
        if not told["busy"] or time.monotonic() > deadline:
            return told
        time.sleep(POLL_S)


def _by_command(settings: Settings, lots: list[list[NewEvent]], compact: bool | None, progress: Progress) -> _Told:
    """Forget as the log's owner."""
    with closing(SqliteLog(settings.home / "log.db", durability=settings.durability)) as log:
        due = [lot for lot in lots if forgotten(log, lot[0].run) is None]
        for event in (event for lot in due for event in lot):
            # Again, now that nobody else writes.
            check_forgettable(log, event.run, [other.run for lot in due for other in lot])
        source = f"forget-{os.getpid()}"
        for result in log.append_many([Append(events=lot, marks=marks_of(log, lot), source=source) for lot in due]):
            if isinstance(result, TwelvefoldError):
                raise result
        forgetting = Forgetting(log, BlobStore(settings.home / "blobs"))
        many = forgetting.left
        while forgetting.pending:
            append, committed = forgetting.step()
            log.append(append)
            committed()
            progress(many - forgetting.left, many)
        log.wipe()
        if compact is False or (compact is None and not many):
            return _Told()
        try:
            log.compact()
        except TwelvefoldError as error:
            return _Told(problem=error.message())
    return _Told(compacted=True)


def _size_of(home: Path) -> int:
    return sum(file.stat().st_size for file in (home / "log.db", home / "log.db-wal") if file.exists())
