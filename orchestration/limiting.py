"""Binding a process to its limits, by itself, before anything of the user's runs in it: after the fork, before `exec`.

What the kernel binds here holds for all that the process starts: open files, processor time of each process, cores,
priority, the cgroup. Memory is bound here only against running away; see `data_limit`. Invariant: a limit that cannot
be put on is an OSError, and the process doesn't start.
"""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path

from .limits import RESERVE_BYTES, Limits

#: Seconds between SIGXCPU, which a program may catch, and SIGKILL.
_CPU_GRACE_S = 2
_AFFINITY = hasattr(os, "sched_setaffinity")


def bind(limits: Limits, cgroup: str = "", *, execs: bool = False) -> None:
    """Put limits on the calling process; raises OSError. `execs`: its memory is about to be replaced by a program's."""
    if cgroup:
        (Path(cgroup) / "cgroup.procs").write_text("0")
    if isinstance(limits.cpus, tuple):
        _pin(limits.cpus)
    if limits.nice is not None:
        os.setpriority(os.PRIO_PROCESS, 0, limits.nice)
    if limits.memory is not None and not cgroup:
        _lower(resource.RLIMIT_DATA, data_limit(limits.memory, 0 if execs else data_size(os.getpid())))
    if limits.cpu_seconds is not None:
        soft = math.ceil(limits.cpu_seconds)
        _lower(resource.RLIMIT_CPU, soft, soft + _CPU_GRACE_S)
    if limits.open_files is not None:
        _lower(resource.RLIMIT_NOFILE, limits.open_files)


def data_limit(memory: int, now: int) -> int:
    """Return the RLIMIT_DATA that goes with a limit of memory, for a process that has `now` bytes of data already.

    Not RLIMIT_AS: a bus connection reserves hundreds of megabytes of address space (64 MB arenas for each thread that
    allocates, 8 MB stacks) and touches two of them; node reserves 700 MB and touches 40. RLIMIT_DATA counts what may be
    written privately, stacks included: an idle agent with ten threads has 106 MB of it and touches 17. So it has room
    beyond the memory itself: it refuses at once what could never fit, and what is touched, the watch ends.
    """
    return now + memory + RESERVE_BYTES


def data_size(pid: int) -> int:
    """Return what a process has in private writable mappings (VmData), in bytes; 0 where nobody tells."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    _, _, rest = status.partition("VmData:")
    return int(rest.split(None, 1)[0]) * 1024 if rest else 0


def available_cores() -> tuple[int, ...]:
    """Return the numbers of the cores that this process may run on."""
    if _AFFINITY:
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _pin(cores: tuple[int, ...]) -> None:
    if not _AFFINITY:
        raise OSError(0, "this system pins no process to cores")
    os.sched_setaffinity(0, cores)


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit for good, but never above what holds already."""
    hard = soft if hard is None else hard
    _, most = resource.getrlimit(kind)
    if most != resource.RLIM_INFINITY:
        hard = min(hard, most)
        soft = min(soft, hard)
    resource.setrlimit(kind, (soft, hard))
