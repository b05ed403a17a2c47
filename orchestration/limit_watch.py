"""What the kernel doesn't bind for a whole family of processes, looked at while they run: memory, processes, CPU time.

Owns the looking and the verdict; who is over is ended by whoever asks. Memory is the proportional share (PSS): what a
forked agent shares with the others is not held against each of them. A process without children in which nothing
moved since the last look is taken for idle, and costs a single read; but not for longer than ALONE_S, as what the
kernel counts is coarse.

Invariant: a verdict is given once for each family.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .limits import Excess, Limits
from .proc_files import Usage, children_of, environment_of, memory_of, parent_and_session, usage_of

#: How often is looked: while something moves, and while all is quiet.
BUSY_S, QUIET_S = 0.1, 0.25
ALONE_S = 1.0


@dataclass
class Watched:
    """One limited process and its descendants, as last seen."""

    pid: int
    instance: str
    limits: Limits
    seen: Usage | None = None
    alone_until: float = 0.0
    cpu_s: float = 0.0
    rss: int = 0
    count: int = 1
    excess: Excess | None = None


@dataclass
class LimitWatch:
    """The limited families, by the pid of their leaders.

    `adopted` returns children of this process that it didn't start: what descendants leave behind when they end.
    """

    adopted: Callable[[], Iterable[int]] = tuple
    families: dict[int, Watched] = field(default_factory=dict)
    due: float | None = None

    def begin(self, pid: int, instance: str, limits: Limits, now: float) -> None:
        """Watch a process from now on, if something of its limits needs that."""
        if limits.watched:
            self.families[pid] = Watched(pid, instance, limits)
            self.due = now if self.due is None else min(self.due, now)

    def end(self, pid: int, status: int = 0, cpu_s: float = 0.0) -> Excess | None:
        """Stop watching a process that ended; return what ended it, if that was a limit."""
        family = self.families.pop(pid, None)
        if not self.families:
            self.due = None
        if family is None:
            return None
        limit = family.limits.cpu_seconds
        if family.excess is None and limit is not None and status == -signal.SIGXCPU:
            # The kernel says so, though by its own count in ticks, which may run ahead of the accounts.
            return Excess("cpu_seconds", limit, max(limit, round(cpu_s, 2)))
        return family.excess

    def look(self, now: float) -> list[Watched]:
        """Look at all, if it is time; return those that are over, each once, with their `excess`."""
        if self.due is None or now < self.due:
            return []
        over, busy = [], False
        strangers = list(self.adopted())
        for family in self.families.values():
            if family.excess is not None:
                continue
            busy = self._measure(family, strangers, now) or busy
            family.excess = self._judged(family)
            if family.excess is not None:
                over.append(family)
        self.due = now + (BUSY_S if busy else QUIET_S)
        return over

    def _measure(self, family: Watched, strangers: list[int], now: float) -> bool:
        """Bring the figures of a family up to date; tell whether anything moved."""
        leader = usage_of(family.pid)
        if leader is None:
            return False
        if leader == family.seen and now < family.alone_until and not strangers:
            return False
        members = descendants(family.pid)
        for pid in strangers:
            if _belongs(pid, family):
                members |= {pid, *descendants(pid)}
        found = {family.pid: leader, **{pid: usage_of(pid) for pid in members}}
        usages = {pid: usage for pid, usage in found.items() if usage is not None}
        moved = leader != family.seen or bool(members)
        family.seen, family.alone_until = leader, 0.0 if members else now + ALONE_S
        family.cpu_s = max(family.cpu_s, sum(usage.cpu_s for usage in usages.values()))
        family.rss = sum(usage.rss_bytes for usage in usages.values())
        family.count = len(usages)
        limit = family.limits.memory
        if limit is not None and family.rss > limit:
            # Shared pages count in each process that has them: ask for the fair share only where it matters. The kernel
            # doesn't tell it of a process that has taken on another user.
            family.rss = sum(memory_of(pid)[1] or usage.rss_bytes for pid, usage in usages.items())
        return moved

    @staticmethod
    def _judged(family: Watched) -> Excess | None:
        limits = family.limits
        if limits.memory is not None and family.rss > limits.memory:
            return Excess("memory", limits.memory, family.rss)
        if limits.processes is not None and family.count > limits.processes:
            return Excess("processes", limits.processes, family.count)
        if limits.cpu_seconds is not None and family.cpu_s > limits.cpu_seconds:
            return Excess("cpu_seconds", limits.cpu_seconds, round(family.cpu_s, 2))
        return None


def descendants(pid: int) -> set[int]:
    """Return the pids of all processes below one, as far as they are still below it."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        fresh = children_of(waiting.pop()) - found
        found |= fresh
        waiting += fresh
    return found


def _belongs(pid: int, family: Watched) -> bool:
    """Tell whether a process that lost its parent comes from a family: by its session, or the instance it carries."""
    if parent_and_session(pid)[1] == family.pid:
        return True
    return bool(family.instance) and environment_of(pid).get(b"TWELVEFOLD_INSTANCE") == family.instance.encode()
