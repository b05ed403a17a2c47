"""Cores and memory shared out among the work of one program: slots that queue fairly, and limits that bind.

Owns the book of who has what, the queue, and the watch over processes that run in a context. One manager is one book:
share it among those who are to share the machine. Invariants: no more is given out than there is; whoever asked first
is served first, so that a large request isn't passed by small ones for ever; room comes back once the context has been
given back and nothing runs in it any more.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any

import psutil

from .cgroups import own_cgroup
from .cores import Cores
from .limit_watch import BUSY_S
from .limiting import available_cores
from .limits import MEMORY_MIN, parse_size
from .resource_context import ResourceContext
from .resource_errors import ResourcesInvalid, ResourcesTooLarge, ResourceTimeout


@dataclass
class _Request:
    """Somebody who waits for room."""

    cpu: int
    memory: int
    answer: Future[ResourceContext] = field(default_factory=Future)


class ResourceManager:
    """Gives out the machine's cores and memory, or the part of them that it is told of; safe from any thread.

    `cpus` and `memory` (as "8GB") are at most what this process may use, which is the default. Raises ResourcesInvalid
    and ResourcesTooLarge.
    """

    def __init__(self, cpus: int | None = None, memory: str | int | None = None) -> None:
        cores, total = available_cores(), machine_memory()
        wanted = total if memory is None else _size(memory)
        if cpus is not None:
            _check_cpu(cpus)
        if (cpus or 0) > len(cores) or wanted > total:
            raise ResourcesTooLarge(cpus or len(cores), wanted, len(cores), total)
        self.cpus = len(cores) if cpus is None else cpus
        self.memory = wanted
        self._cores = Cores(cores[: self.cpus])
        self._free_cpus, self._free_memory = self.cpus, self.memory
        self._lock = threading.RLock()
        self._queue: deque[_Request] = deque()
        self._contexts: dict[int, ResourceContext] = {}
        self._ids = itertools.count(1)
        self._watcher: threading.Thread | None = None

    def allocate(self, cpu: int, memory: str | int, *, timeout_s: float | None = None) -> ResourceContext:
        """Return room for some work, waiting until it is free; use it with `with`, or `deallocate` it.

        Raises ResourcesTooLarge where it never could be, ResourceTimeout after `timeout_s`, ResourcesInvalid.
        """
        request = self._ask(cpu, memory)
        try:
            return request.answer.result(timeout_s)
        except FutureTimeout:
            if not self._give_up(request):
                return request.answer.result()  # it came at the last moment
            raise ResourceTimeout(cpu, request.memory, timeout_s or 0.0) from None
        except BaseException:
            self._abandon(request)
            raise

    async def allocate_async(self, cpu: int, memory: str | int, *, timeout_s: float | None = None) -> ResourceContext:
        """Return room for some work as `allocate` does, leaving the event loop to others meanwhile."""
        request = self._ask(cpu, memory)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(request.answer)
        except TimeoutError:
            self._abandon(request)
            raise ResourceTimeout(cpu, request.memory, timeout_s or 0.0) from None
        except BaseException:
            self._abandon(request)
            raise

    def deallocate(self, context: ResourceContext) -> None:
        """Give room back: at once, or when the last process that runs in it has ended. Twice is the same as once."""
        with self._lock:
            context.given_back = True
            if context.id in self._contexts and not context.living():
                self._free(context)

    def get_resource_usage(self) -> dict[str, Any]:
        """Return what there is, what is given out, who waits, and what is really used (bytes, cores, percent).

        Keys: `cpu` and `memory` (total, allocated, free), `queued` (cpu, memory of each who waits, first come first),
        `contexts` (id, cpu, memory, cores, processes, memory_used, cpu_seconds), `machine` (cpu_percent since the last
        call, memory_total, memory_available).
        """
        with self._lock:
            contexts = list(self._contexts.values())
            queued = [{"cpu": r.cpu, "memory": r.memory} for r in self._queue if not r.answer.cancelled()]
            free_cpus, free_memory = self._free_cpus, self._free_memory
        machine = psutil.virtual_memory()
        return {
            "cpu": {"total": self.cpus, "allocated": self.cpus - free_cpus, "free": free_cpus},
            "memory": {"total": self.memory, "allocated": self.memory - free_memory, "free": free_memory},
            "queued": queued,
            "contexts": [context.usage() for context in contexts],
            "machine": {
                "cpu_percent": psutil.cpu_percent(),
                "memory_total": machine.total,
                "memory_available": machine.available,
            },
        }

    # --- the book -----------------------------------------------------------------------------------------------------

    def _ask(self, cpu: int, memory: str | int) -> _Request:
        _check_cpu(cpu)
        request = _Request(cpu, _size(memory))
        if cpu > self.cpus or request.memory > self.memory:
            raise ResourcesTooLarge(cpu, request.memory, self.cpus, self.memory)
        with self._lock:
            self._queue.append(request)
            self._serve()
        return request

    def _serve(self) -> None:
        """Give to those who wait, in their order, as long as the first of them can have what it wants."""
        while self._queue:
            first = self._queue[0]
            if first.answer.cancelled():
                self._queue.popleft()
                continue
            if first.cpu > self._free_cpus or first.memory > self._free_memory:
                return
            self._queue.popleft()
            if not first.answer.set_running_or_notify_cancel():
                continue
            context = ResourceContext(next(self._ids), first.cpu, first.memory, self._cores.take(first.cpu), self)
            self._free_cpus -= first.cpu
            self._free_memory -= first.memory
            self._contexts[context.id] = context
            first.answer.set_result(context)

    def _free(self, context: ResourceContext) -> None:
        del self._contexts[context.id]
        self._cores.give_back(context.cores)
        self._free_cpus += context.cpu
        self._free_memory += context.memory
        self._serve()

    def _give_up(self, request: _Request) -> bool:
        """Take a request out of the queue; False where it has been served already."""
        with self._lock:
            if request not in self._queue:
                return False
            self._queue.remove(request)
            self._serve()
            return True

    def _abandon(self, request: _Request) -> None:
        """Take a request back, and what was given for it, as nobody waits for it any more."""
        with self._lock:
            if request in self._queue:
                self._queue.remove(request)
                self._serve()
            elif request.answer.done() and not request.answer.cancelled():
                self.deallocate(request.answer.result())

    # --- the watch ----------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Have the contexts looked at while something runs in one; called by a context that gets a process."""
        with self._lock:
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._look, name="resources", daemon=True)
                self._watcher.start()

    def _look(self) -> None:
        while True:
            time.sleep(BUSY_S)
            with self._lock:
                running = [context for context in self._contexts.values() if context.pids]
            for context in running:
                context.enforce()
            with self._lock:
                for context in running:
                    if context.given_back and not context.living() and context.id in self._contexts:
                        self._free(context)
                if not any(context.living() for context in self._contexts.values()):
                    self._watcher = None
                    return


def machine_memory() -> int:
    """Return the bytes of memory that this process can ever have: the machine's, or what its cgroup allows."""
    total: int = psutil.virtual_memory().total
    cgroup = own_cgroup()
    if cgroup is not None:
        try:
            text = (cgroup / "memory.max").read_text().strip()
        except OSError:
            text = "max"
        total = total if text == "max" else min(total, int(text))
    return total


def _check_cpu(cpu: Any) -> None:
    if isinstance(cpu, bool) or not isinstance(cpu, int) or cpu < 1:
        raise ResourcesInvalid(f"{cpu!r} is no number of cores: at least 1")


def _size(memory: str | int) -> int:
    try:
        size = parse_size(memory)
    except ValueError as error:
        raise ResourcesInvalid(str(error)) from None
    if size < MEMORY_MIN:
        raise ResourcesInvalid(f"{memory!r}: no process starts in less than 8MB")
    return size
