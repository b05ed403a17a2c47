"""Limits that the kernel binds for a whole family of processes: cgroup v2, where a subtree is really ours.

Ours means: the cgroup that this process is in is of the unified hierarchy, may be written, has controllers to give, and
holds nobody but us (systemd's `Delegate=yes`, or a container of our own). Anything else is left alone, and `reason`
says why. Owns the making, reading and removing of one cgroup a process.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .limits import Excess, Limits

_CONTROLLERS = ("memory", "pids", "cpu")
_PERIOD_US = 100_000
#: The supervisor's own place: a cgroup that gives controllers to others may hold no process itself.
_OWN = "twelvefold-supervisor"


class Cgroups:
    """One delegated subtree; `controllers` is what it can bind, nothing where there is none."""

    def __init__(self, root: Path | None, controllers: tuple[str, ...] = (), reason: str = "") -> None:
        self._root = root
        self.controllers = controllers
        self.reason = reason
        self._made: dict[str, tuple[Path, Limits]] = {}

    @classmethod
    def take_over(cls, proc: Path = Path("/proc")) -> Cgroups:
        """Find the subtree that this process is in and make it ready, if it is ours to use."""
        own = own_cgroup(proc)
        if own is None:
            return cls(None, (), "there is no cgroup v2 here")
        problem, controllers = _judge(own)
        if problem:
            return cls(None, (), problem)
        try:
            inner = own / _OWN
            inner.mkdir(exist_ok=True)
            (inner / "cgroup.procs").write_text(str(os.getpid()))
            (own / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
        except OSError as error:
            return cls(None, (), f"{own} cannot be divided: {error.strerror or error}")
        return cls(own, controllers)

    def make(self, instance: str, limits: Limits) -> str:
        """Make the cgroup of a process that is about to start; return its path, "" where nothing of it is bound here.

        Raises OSError.
        """
        settings = self._settings(limits)
        if self._root is None or not settings:
            return ""
        path = self._root / instance
        path.mkdir()
        for name, value in settings.items():
            (path / name).write_text(value)
        self._made[instance] = (path, limits)
        return str(path)

    def end(self, instance: str) -> Excess | None:
        """Kill what is left of a process's cgroup and remove it; return what the kernel ended it for, if it did."""
        made = self._made.pop(instance, None)
        if made is None:
            return None
        path, limits = made
        kills = _counted(path / "memory.events", "oom_kill")
        peak = _number(path / "memory.peak") or limits.memory or 0
        _remove(path)
        return Excess("memory", limits.memory, peak) if kills and limits.memory is not None else None

    def close(self) -> None:
        """Remove what is still there."""
        for instance in list(self._made):
            self.end(instance)

    def _settings(self, limits: Limits) -> dict[str, str]:
        """Return the files that put limits on a cgroup, and what to write into each."""
        settings: dict[str, str] = {}
        if limits.memory is not None and "memory" in self.controllers:
            settings |= {"memory.max": str(limits.memory), "memory.oom.group": "1"}
        if limits.processes is not None and "pids" in self.controllers:
            settings["pids.max"] = str(limits.processes)
        if limits.cpus is not None and "cpu" in self.controllers:
            count = len(limits.cpus) if isinstance(limits.cpus, tuple) else limits.cpus
            settings["cpu.max"] = f"{count * _PERIOD_US} {_PERIOD_US}"
        return settings


def own_cgroup(proc: Path = Path("/proc")) -> Path | None:
    """Return the folder of the unified cgroup that this process is in, None where there is no such hierarchy."""
    try:
        mounts = (proc / "self" / "mountinfo").read_text().splitlines()
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return None
    inside = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        if inside is not None and after.startswith("cgroup2 "):
            root, point = before.split()[3:5]
            return Path(point) / Path(inside).relative_to("/" if root == "/.." or not inside.startswith(root) else root)
    return None


def _judge(own: Path) -> tuple[str, tuple[str, ...]]:
    """Tell why a cgroup isn't ours to divide ("" where it is), and the controllers that it has to give."""
    try:
        offered = (own / "cgroup.controllers").read_text().split()
        members = {int(pid) for pid in (own / "cgroup.procs").read_text().split()}
    except OSError as error:
        return f"{own} cannot be read: {error.strerror}", ()
    controllers = tuple(name for name in _CONTROLLERS if name in offered)
    if not controllers:
        return f"{own} has none of the controllers {', '.join(_CONTROLLERS)}", ()
    if not os.access(own, os.W_OK) or not os.access(own / "cgroup.subtree_control", os.W_OK):
        return f"{own} may not be written: nobody delegated it", ()
    if members - {os.getpid()}:
        return f"{own} holds other processes too: nobody delegated it to us alone", ()
    return "", controllers


def _counted(file: Path, name: str) -> int:
    """Return one number of a file of `name number` lines, 0 where there is none."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), 0)


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0  # an older kernel has no such file


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # an older kernel has no such file; its group is killed in any case
        (path / "cgroup.kill").write_text("1")
    with contextlib.suppress(OSError):  # its last process is about to end: an empty cgroup binds and costs nothing
        path.rmdir()
