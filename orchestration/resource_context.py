"""Room that a ResourceManager has given out, and the processes that run in it.

Owns what binds them: cores by affinity, memory by RLIMIT_DATA against running away and by a watch over all of them
together. Leaves the book to `resources`. Invariant: a process that was started or taken in here is counted until it has
ended, with all that it started.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import psutil

from .limit_watch import descendants
from .limiting import bind, data_limit, data_size
from .limits import Excess, Limits
from .proc_files import memory_of, usage_of
from .resource_errors import ResourcesInvalid

if TYPE_CHECKING:
    from .resources import ResourceManager


class ResourceContext:
    """So many cores (`cores` says which) and so much memory (bytes), until it is given back; made by `allocate`.

    With `with` (or `async with`) it is given back at the end. `ended` tells of processes that were over its memory, by
    pid.
    """

    def __init__(self, id: int, cpu: int, memory: int, cores: tuple[int, ...], manager: ResourceManager) -> None:
        self.id = id
        self.cpu = cpu
        self.memory = memory
        self.cores = cores
        self.given_back = False
        self.pids: dict[int, float] = {}
        self.ended: dict[int, Excess] = {}
        self._manager = manager
        self._lock = threading.Lock()

    @property
    def limits(self) -> Limits:
        """What a process in this room is bound to."""
        return Limits(memory=self.memory, cpus=self.cores)

    def options(self) -> dict[str, Any]:
        """Return the same as options of a Procfile line, or for `BackgroundExecutor.spawn_background_agent`."""
        return {"memory": self.memory, "cpus": list(self.cores)}

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in this room, bound before any of its code runs; `options` are those of subprocess.Popen.

        It leads a process group of its own, which is killed once the room's memory is passed.
        """
        self._check_open()
        limits = self.limits
        options = {"start_new_session": True, **options}
        process = subprocess.Popen(command, preexec_fn=lambda: bind(limits, execs=True), **options)
        self._take_in(process.pid)
        return process

    def apply_to(self, pid: int) -> None:
        """Take a running process, and what it starts from now on, into this room.

        Its threads go to the room's cores, and its memory counts. Raises ResourcesInvalid where there is no such
        process, or it isn't ours to bind.
        """
        self._check_open()
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), self.cores)
            most = data_limit(self.memory, data_size(pid))
            _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))
        except OSError as error:
            raise ResourcesInvalid(f"process {pid} cannot be bound: {error.strerror}") from error
        self._take_in(pid)

    def living(self) -> list[int]:
        """Return the processes taken in here that have not ended."""
        with self._lock:
            for pid, begun in list(self.pids.items()):
                if _begun(pid) != begun:
                    del self.pids[pid]
            return list(self.pids)

    def members(self) -> set[int]:
        """Return the pids of all processes that run in this room."""
        leaders = self.living()
        return {*leaders, *(below for pid in leaders for below in descendants(pid))}

    def usage(self) -> dict[str, Any]:
        """Return what this room is and what is used of it, for `get_resource_usage`."""
        members = self.members()
        seconds = 0.0
        for pid in members:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                seconds += times.user + times.system
        return {
            "id": self.id,
            "cpu": self.cpu,
            "memory": self.memory,
            "cores": list(self.cores),
            "processes": len(members),
            "memory_used": sum(memory_of(pid)[1] for pid in members),
            "cpu_seconds": round(seconds, 2),
        }

    def enforce(self) -> Excess | None:
        """End everything in this room if all of it together has more memory than the room; called by its manager."""
        members = self.members()
        used = sum(usage.rss_bytes for pid in members if (usage := usage_of(pid)) is not None)
        if used > self.memory:
            # Shared pages count in each process that has them: ask for the fair share only where it matters.
            used = sum(memory_of(pid)[1] for pid in members)
        if used <= self.memory:
            return None
        excess = Excess("memory", self.memory, used)
        for pid in self.living():
            self.ended[pid] = excess
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) == pid:
                    os.killpg(pid, signal.SIGKILL)
                else:
                    os.kill(pid, signal.SIGKILL)
        return excess

    def _take_in(self, pid: int) -> None:
        begun = _begun(pid)
        with self._lock:
            if begun is not None:
                self.pids[pid] = begun
        self._manager.watch()

    def _check_open(self) -> None:
        if self.given_back:
            raise ResourcesInvalid(f"the room {self.id} has been given back: allocate another one")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._manager.deallocate(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._manager.deallocate(self)


def _begun(pid: int) -> float | None:
    """Return when a process began, which tells it from a later one of its number; None where it has ended."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
