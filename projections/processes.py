"""The read model of processes: what the supervisor has told of each place that it fills. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from ..eventstore.event import Event
from .projection import Projection, data_of, number, text


class ProcessRow(msgspec.Struct, frozen=True, gc=False):
    """One place of a line of the Procfile. `state` is starting, ready, exited (ended, and to be started again unless it
    was stopped: `expected`), or crashed (given up).

    `exit` is the code of the last exit, or minus the signal's number; `starts` counts processes, `restarts` those
    that followed another one in the same `up`; `unexpected` counts ends that nobody had asked for.
    """

    state: str = "starting"
    pid: int | None = None
    instance: str | None = None
    command: str | None = None
    since_ns: int = 0
    starts: int = 0
    restarts: int = 0
    unexpected: int = 0
    exit: int | None = None
    expected: bool | None = None
    ready_after_s: float | None = None
    ran_s: float = 0.0
    rss_bytes: int | None = None
    reason: str | None = None


class Processes(Projection[ProcessRow]):
    """All places, by the name of their line and their number (`fixer.1`)."""

    name = "processes"
    types = ("process.*",)
    key_names = ("process",)
    columns = ("process", "state", "pid", "starts", "unexpected", "exit", "since")

    def keys(self, event: Event) -> Iterable[str]:
        """Return the place that a stream is of."""
        return (event.stream.removeprefix("process."),) if event.stream.startswith("process.") else ()

    def initial(self, key: str) -> ProcessRow:
        """Return a place where nothing was started."""
        return ProcessRow()

    def apply(self, state: ProcessRow, event: Event) -> ProcessRow:
        """Return a place after what was told of it."""
        data, what = data_of(event), event.type.partition(".")[2]
        pid = data.get("pid")
        known = pid if isinstance(pid, int) and abs(pid) < 1 << 53 else None
        match what:
            case "started":
                return replace(
                    state,
                    state="starting",
                    pid=known,
                    instance=text(data.get("instance")) or None,
                    command=text(data.get("command")) or state.command,
                    since_ns=event.time,
                    starts=state.starts + 1,
                    ready_after_s=None,
                    reason=None,
                )
            case "ready":
                return replace(
                    state, state="ready", since_ns=event.time, ready_after_s=float(number(data.get("after_s")))
                )
            case "restarted":
                return replace(state, restarts=state.restarts + 1)
            case "exited":
                return _exited(state, event, data)
            case "crashed":
                return replace(state, state="crashed", pid=None, since_ns=event.time, exit=_exit(data))
        return state


def _exited(state: ProcessRow, event: Event, data: dict[str, Any]) -> ProcessRow:
    expected = data.get("expected") is True
    rss = data.get("rss_bytes")
    return replace(
        state,
        state="exited",
        pid=None,
        since_ns=event.time,
        exit=_exit(data),
        expected=expected,
        unexpected=state.unexpected + (not expected),
        ran_s=round(float(state.ran_s + number(data.get("ran_s"))), 6),
        rss_bytes=int(number(rss)) if rss is not None else state.rss_bytes,
        reason=text(data.get("reason")) or None,
    )


def _exit(data: dict[str, Any]) -> int | None:
    code, signal = data.get("exit"), data.get("signal")
    if signal is not None:
        return -int(number(signal))
    return None if code is None else int(number(code))
