"""What `ps` shows: the supervisor's view of each process, its memory from /proc, and what the bus knows of its work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from .control import ProcessStatus
from .proc_files import all_pids, memory_of, parent_and_session


class ProcessReport(msgspec.Struct, frozen=True):
    """One process. `since` is a Unix time of its state; memory is that of its whole session; unknown things are None.

    `exit` is the code of the last exit, or minus the number of the signal; `lag` counts the events that wait for it.
    `reason` names the limit that ended its last process; a `paused` agent takes no tasks.
    """

    name: str
    pid: int | None
    state: str
    since: float
    restarts: int
    exit: int | None
    rss_bytes: int | None
    pss_bytes: int | None
    lag: int | None
    waits_for: str = ""
    reason: str | None = None
    paused: bool = False


def report(
    statuses: Sequence[ProcessStatus], holding: Mapping[str, int], lags: Mapping[str, int]
) -> list[ProcessReport]:
    """Return the report; `holding` and `lags` say, by instance, what is held by it and waits for it."""
    memory = memory_of_sessions({status.pid for status in statuses if status.pid is not None})
    rows = []
    for status in statuses:
        rss, pss = memory.get(status.pid or 0, (None, None))
        busy = status.state == "ready" and holding.get(status.instance, 0) > 0
        rows.append(
            ProcessReport(
                name=status.name,
                pid=status.pid,
                state="busy" if busy else status.state,
                since=status.since,
                restarts=status.restarts,
                exit=status.exit,
                rss_bytes=rss,
                pss_bytes=pss,
                lag=lags.get(status.instance),
                waits_for=status.waits_for,
                reason=status.excess.get("reason"),
                paused=status.paused,
            )
        )
    return rows


def memory_of_sessions(leaders: set[int]) -> dict[int, tuple[int, int]]:
    """Return resident and proportional memory, in bytes, of each of these sessions that still has a process."""
    totals: dict[int, tuple[int, int]] = {}
    for pid in all_pids():
        session = parent_and_session(pid)[1]
        if session in leaders:
            rss, pss = memory_of(pid)
            before = totals.get(session, (0, 0))
            totals[session] = (before[0] + rss, before[1] + pss)
    return totals
