"""One look at a home, for metrics and health: the bus's counters, the processes of an `up`, the log's file, the disk.

Owns where each is found and how long it is waited for. Judges nothing: that is `projections/health.py`'s and
`projections/live_families.py`'s. Keeps: whatever can't be seen is said to be so, and hides nothing else; looking
changes nothing, and works while a bus runs and when none does.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from .bus import run_marks
from .bus.client import BusClient
from .bus.endpoints import endpoints
from .eventstore.errors import TwelvefoldError
from .eventstore.presence import is_there
from .eventstore.reader import LogReader
from .moments import position_before
from .orchestration.control import ControlRequest, ProcessStatus, ask
from .orchestration.errors import NotUp
from .orchestration.inbox import read_inbox
from .orchestration.process_report import memory_of_sessions
from .projections.folding import Fold, pages
from .projections.inbox import Inbox
from .projections.observed import ExportSeen, Observed, ParkedSeen, ProcessSeen, ProjectionSeen
from .projections.projection import data_of, text
from .projections.stored import StoredRows
from .reach import listens
from .run_log import RunLog
from .run_place import imported_runs
from .tracing.progress import running_progress

#: How long bus and supervisor are waited for: who asks has to be told soon that they don't answer.
WAIT_S = 2.0
#: What was parked before that is history.
PARKED_FOR_S = 3600.0
_PARKED_MAX = 100
#: How many events are folded at most beyond what is kept of a read model; to ask open runs is quicker then.
_FOLD_MAX = 20_000


class Place(msgspec.Struct, frozen=True):
    """Where a home and its sockets lie."""

    home: Path
    runtime_dir: Path | None


def observe(place: Place, *, memory: bool = False, wait_s: float = WAIT_S) -> Observed:
    """Look at a home; with `memory` also at how much its processes hold, which costs most of the time."""
    now_ns = time.time_ns()
    facts: dict[str, Any] = {"now_ns": now_ns, "home": str(place.home)}
    facts |= _bus(place, wait_s)
    facts |= _processes(place, wait_s, memory=memory)
    facts |= _disk(place.home)
    facts |= _log(place.home, now_ns)
    facts["exports"] = _exports(place.home, facts.get("head", 0), now_ns)
    facts["imported"] = len(imported_runs(place.home))
    return Observed(**facts)


def _bus(place: Place, wait_s: float) -> dict[str, Any]:
    try:
        where = endpoints(place.home, place.runtime_dir)
        if not listens(where.ingress):
            return {"bus_problem": f"no bus runs for {place.home}"}
        with BusClient(where, timeout_s=wait_s) as client:
            client.head()  # the greeting is no part of a round trip
            asked = time.perf_counter()
            client.head()
            round_trip_s = time.perf_counter() - asked
            return {"stats": client.stats(), "round_trip_s": round_trip_s}
    except TwelvefoldError as error:
        return {"bus_problem": error.message()}


def _processes(place: Place, wait_s: float, *, memory: bool) -> dict[str, Any]:
    try:
        answer = ask(place.home, place.runtime_dir, ControlRequest("ps"), timeout_s=wait_s)
    except NotUp:
        return {}
    except TwelvefoldError as error:
        return {"up_problem": error.message()}
    except OSError as error:
        return {"up_problem": _words(error)}
    found = msgspec.convert(answer, list[ProcessStatus])
    held = memory_of_sessions({one.pid for one in found if one.pid is not None}) if memory else {}
    return {"processes": tuple(_process(one, held) for one in found)}


def _process(one: ProcessStatus, held: dict[int, tuple[int, int]]) -> ProcessSeen:
    rss, pss = held.get(one.pid or 0, (None, None))
    reason = text(one.excess.get("reason"))
    return ProcessSeen(one.name, one.pid, one.state, one.since, one.restarts, one.exit, one.instance, one.waits_for,
                       reason, one.paused, one.on_bus, rss, pss)  # fmt: skip


def _disk(home: Path) -> dict[str, Any]:
    try:
        there = next(part for part in (home, *home.parents) if part.exists())
        usage = shutil.disk_usage(there)
    except OSError:
        return {}
    return {"free_bytes": usage.free, "total_bytes": usage.total}


def _log(home: Path, now_ns: int) -> dict[str, Any]:
    path = home / "log.db"
    try:
        if not is_there(path):
            return {}
        with RunLog(home) as log:
            last = next(iter(log.read(limit=1, reverse=True)), None)
            head = last.position if last is not None else 0
            return {
                "head": head,
                "head_ns": last.time if last is not None else 0,
                "log_bytes": _size(path),
                "wal_bytes": _size(home / "log.db-wal"),
                "projections": _projections(home, log, head, now_ns),
                "waiting": _waiting(home, log, head),
                "parked": _parked(log, now_ns),
                "undecided_s": _undecided_s(log, now_ns),
            }
    except TwelvefoldError as error:
        return {"log_problem": error.message()}
    except OSError as error:
        return {"log_problem": _words(error)}


def _projections(home: Path, log: LogReader, head: int, now_ns: int) -> tuple[ProjectionSeen, ...]:
    found = []
    for one in StoredRows(home).checkpoints():
        if not one.live:
            continue
        missing = log.read(after=one.position, limit=1) if one.position < head else []
        behind_s = max(0, now_ns - missing[0].time) / 1e9 if missing else 0.0
        found.append(ProjectionSeen(one.name, one.position, behind_s, one.parked, one.error))
    return tuple(found)


def _exports(home: Path, head: int, now_ns: int) -> tuple[ExportSeen, ...]:
    """Return how far exports of traces are; of several whose targets look alike, the one that goes on."""
    found: dict[str, ExportSeen] = {}
    for one, is_running in running_progress(home):
        failing_s = max(0, now_ns - one.failing_since) / 1e9 if one.failing_since else None
        if is_running or one.target not in found:
            found[one.target] = ExportSeen(
                one.target, one.delivered, one.rejected, one.undelivered, max(0, head - one.position), failing_s,
                one.reason, is_running,
            )  # fmt: skip
    return tuple(found.values())


def _waiting(home: Path, log: RunLog, head: int) -> dict[str, int]:
    """Count what waits for a human in open runs, by kind: from the read model where one is kept up to date."""
    inbox = Inbox()
    kept = StoredRows(home).nearest(inbox, log, head)
    if kept is None or head - kept.position > _FOLD_MAX:
        return dict(Counter(one.kind for one in read_inbox(log, load=log.load)))
    fold = Fold(inbox, log=log)
    fold.states.update(kept.rows)
    for page in pages(log, kept.position, head):
        fold.take(page)
    # What was parked beside runs stands under "@": it is looked at by itself.
    rows = (state for key, state in fold.rows() if not key.startswith("@"))
    return dict(Counter(item.kind for state in rows for item in state.items.values()))


def _parked(log: LogReader, now_ns: int) -> tuple[ParkedSeen, ...]:
    """Return the latest deliveries and watched events that were parked, the last first."""
    types = [type for type in ("delivery.parked", "watch.parked") if log.last_position(type)]
    if not types:
        return ()
    since = position_before(log, now_ns - int(PARKED_FOR_S * 1e9))
    events = [event for type in types for event in log.read(type=type, after=since, limit=_PARKED_MAX, reverse=True)]
    return tuple(
        ParkedSeen(
            event.type.partition(".")[0],
            event.stream.partition(".")[2],
            event.position,
            max(0, now_ns - event.time) / 1e9,
            text(data_of(event).get("error")),
        )
        for event in sorted(events, key=lambda one: -one.position)
    )


def _undecided_s(log: LogReader, now_ns: int) -> float:
    """Return for how long the oldest run that nobody has begun has been asked for."""
    seen = int(log.marks(run_marks.SEEN).get(run_marks.SEEN, "0"))
    types = [type for type in ("run.requested", "run.forked") if log.last_position(type) > seen]
    waiting = [event for type in types for event in log.read(after=seen, type=type, limit=1)]
    return max((max(0, now_ns - event.time) / 1e9 for event in waiting), default=0.0)


def _words(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
