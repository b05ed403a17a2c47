"""What a supervisor does about limits: resolves them before a start, has them watched, says what ended a process.

Owns which cores and which cgroup a process has. Leaves the killing to the supervisor. Invariant: what was granted to an
instance is given back once, when it has ended or was never born.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from .cgroups import Cgroups
from .cores import Cores
from .limit_watch import LimitWatch
from .limiting import available_cores
from .limits import Excess, Limits


class Grant(msgspec.Struct, frozen=True):
    """The limits of one process as they are put on: cores named, and the cgroup it joins ("" for none)."""

    limits: Limits
    cgroup: str = ""


class Limiter:
    """The limits of all processes of one supervisor. `adopted` is for the watch; `say` tells a person."""

    def __init__(self, adopted: Callable[[], Iterable[int]], say: Callable[[str], None]) -> None:
        self._watch = LimitWatch(adopted)
        self._cores = Cores(available_cores())
        self._say = say
        # At once: a subtree that has others in it, as our children would be, isn't ours to divide any more.
        self._cgroups = Cgroups.take_over()
        self._granted: dict[str, tuple[Grant, tuple[int, ...]]] = {}

    @property
    def due(self) -> float | None:
        """When (monotonic) `enforce` is needed next."""
        return self._watch.due

    def grant(self, instance: str, limits: Limits) -> Grant | None:
        """Return what a process that is about to start is bound to, None where it has no limits. Raises OSError."""
        if not limits:
            return None
        if not self._granted and self._cgroups.controllers:
            self._say(f"limits of {', '.join(self._cgroups.controllers)} are bound by cgroups")
        cores: tuple[int, ...] = ()
        if isinstance(limits.cpus, int):
            cores = self._cores.take(limits.cpus)
            limits = msgspec.structs.replace(limits, cpus=cores)
        grant = Grant(limits, self._cgroups.make(instance, limits))
        self._granted[instance] = (grant, cores)
        return grant

    def born(self, instance: str, pid: int, now: float) -> None:
        """Watch a process that has started."""
        if instance in self._granted:
            self._watch.begin(pid, instance, self._granted[instance][0].limits, now)

    def enforce(self, now: float) -> list[tuple[int, Excess]]:
        """Return the processes (leaders) that are over a limit now, each once, and which limit that is."""
        return [(family.pid, family.excess) for family in self._watch.look(now) if family.excess is not None]

    def ended(self, instance: str, pid: int = 0, status: int = 0, cpu_s: float = 0.0) -> Excess | None:
        """Take back what an instance had been granted; return the limit that ended it, if one did."""
        _, cores = self._granted.pop(instance, (None, ()))
        self._cores.give_back(cores)
        excess = self._watch.end(pid, status, cpu_s)
        by_kernel = self._cgroups.end(instance)
        return excess or by_kernel

    def close(self) -> None:
        """Leave nothing behind."""
        self._cgroups.close()
