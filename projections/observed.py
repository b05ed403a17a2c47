"""What is looked at, at one moment, to tell how a home does: plain values for the judges of health and metrics. Pure.

Owns the shape only: who looks is `twelvefold/observing.py`, who judges `health`, who tells `live_families`. What could
not be seen is None or empty, with the reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class ProcessSeen(msgspec.Struct, frozen=True):
    """One place of a running `up`, as its supervisor sees it; times in seconds since the epoch, memory in bytes.

    `reason` names the limit that ended its last process; a `paused` agent takes no tasks. One that is
    `on_bus` is connected to the bus as `instance` while it works.
    """

    name: str
    pid: int | None
    state: str
    since: float
    restarts: int
    exit: int | None
    instance: str = ""
    waits_for: str = ""
    reason: str = ""
    paused: bool = False
    on_bus: bool = False
    rss_bytes: int | None = None
    pss_bytes: int | None = None


class ProjectionSeen(msgspec.Struct, frozen=True):
    """How far a projection is folded. `behind_s` is how long the first event that it lacks has been in the log;
    `parked` is the position of the event that it can't fold.
    """

    name: str
    position: int
    behind_s: float = 0.0
    parked: int | None = None
    error: str = ""


class ParkedSeen(msgspec.Struct, frozen=True):
    """Something that was parked lately: what kind of thing (delivery, watch), where, and how long ago."""

    kind: str
    name: str
    position: int
    age_s: float
    error: str = ""


class ExportSeen(msgspec.Struct, frozen=True):
    """How far the export of traces to one place has come. `is_running` tells whether a process exports to it now;
    `failing_s` is for how long it hasn't taken spans, None where it takes them, and `reason` says why.
    """

    target: str
    delivered: int = 0
    rejected: int = 0
    undelivered: int = 0
    behind: int = 0
    failing_s: float | None = None
    reason: str = ""
    is_running: bool = True


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a home.

    `stats` are the bus's counters, None where it did not answer (`bus_problem` says why); `round_trip_s` is how long a
    question to it took. `processes` are those of an `up`, None where none runs (or it did not answer: `up_problem`).
    `head_ns` is the time of the last event. `waiting` counts what waits for a human, by kind. `undecided_s` is how long
    the oldest requested run has waited to be begun. `imported` counts the runs of other homes that lie beside the log.
    """

    now_ns: int
    home: str
    stats: Mapping[str, Any] | None = None
    bus_problem: str = ""
    round_trip_s: float | None = None
    processes: tuple[ProcessSeen, ...] | None = None
    up_problem: str = ""
    log_problem: str = ""
    head: int = 0
    head_ns: int = 0
    log_bytes: int = 0
    wal_bytes: int = 0
    free_bytes: int | None = None
    total_bytes: int | None = None
    projections: tuple[ProjectionSeen, ...] = ()
    waiting: Mapping[str, int] = {}
    parked: tuple[ParkedSeen, ...] = ()
    undecided_s: float = 0.0
    imported: int = 0
    exports: tuple[ExportSeen, ...] = ()

    @property
    def groups(self) -> Mapping[str, Mapping[str, Any]]:
        """The queues and groups of the bus by key; none where it did not answer."""
        found: Mapping[str, Mapping[str, Any]] = (self.stats or {}).get("groups", {})
        return found
