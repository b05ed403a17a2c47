"""What Linux tells about processes in /proc: children, environment, memory. Reads only.

A process that is gone has nothing. Leaves to `stragglers` what to do about them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


_TICKS_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """What a process has used: processor seconds, with those of children it waited for, and resident memory now.

    `faults` counts the pages that it touched first: a process that ran has some more, nearly always.
    """

    cpu_s: float
    rss_bytes: int
    faults: int


def children_of_self() -> set[int]:
    """Return the pids of this process's children, adopted ones included; zombies too."""
    return children_of(os.getpid())


def children_of(pid: int) -> set[int]:
    """Return the pids of a process's children, adopted ones and zombies included; none where it is gone."""
    pids: set[int] = set()
    try:
        tasks = list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return pids
    for task in tasks:
        text = _read(task / "children")
        pids.update(int(child) for child in text.split())
    return pids


def usage_of(pid: int) -> Usage | None:
    """Return what a process has used, None where it is gone or only waited for."""
    fields = _stat(pid)
    if not fields or fields[0] in (b"Z", b"X"):
        return None
    return Usage(sum(map(int, fields[11:15])) / _TICKS_S, int(fields[21]) * _PAGE_BYTES, int(fields[7]))


def environment_of(pid: int) -> dict[bytes, bytes]:
    """Return the environment that a process was started with."""
    parts = (part.partition(b"=") for part in _read(_PROC / str(pid) / "environ").split(b"\0"))
    return {name: value for name, equals, value in parts if equals}


def all_pids() -> list[int]:
    """Return the pids of all processes that /proc shows."""
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def parent_and_session(pid: int) -> tuple[int, int]:
    """Return a process's parent and session, (0, 0) where it is gone."""
    fields = _stat(pid)
    return (int(fields[1]), int(fields[3])) if fields else (0, 0)


def group_of(pid: int) -> int:
    """Return a process's group, 0 where it is gone or only waited for: nothing is left to be ended then."""
    fields = _stat(pid)
    return int(fields[2]) if fields and fields[0] != b"Z" else 0


def memory_of(pid: int) -> tuple[int, int]:
    """Return a process's resident and proportional memory in bytes, (0, 0) where it is gone."""
    sizes = {b"Rss:": 0, b"Pss:": 0}
    for line in _read(_PROC / str(pid) / "smaps_rollup").splitlines():
        name, _, rest = line.partition(b" ")
        if name in sizes:
            sizes[name] = int(rest.split()[0]) * 1024
    return sizes[b"Rss:"], sizes[b"Pss:"]


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on, none where it is gone."""
    # The name in parentheses may hold anything, spaces and parentheses too.
    return _read(_PROC / str(pid) / "stat").rpartition(b")")[2].split()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        # Gone meanwhile, or another user's: both mean that it is not ours to know.
        return b""
