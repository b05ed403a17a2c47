"""What one process may use: the limits of `Procfile.options`, of a resource context, of a background agent. Pure.

Owns their shapes, how sizes are written and what makes no sense. What binds them is `limiting` (in the child, before
any of its code), `limit_watch` (in the supervisor) and `cgroups` (in the kernel, where a subtree is ours).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")
#: As people write sizes: powers of 1024, as `ps`, cgroups, systemd and Docker count them.
_UNITS = {
    "": 1, "B": 1,
    "K": 1 << 10, "KB": 1 << 10, "KIB": 1 << 10,
    "M": 1 << 20, "MB": 1 << 20, "MIB": 1 << 20,
    "G": 1 << 30, "GB": 1 << 30, "GIB": 1 << 30,
    "T": 1 << 40, "TB": 1 << 40, "TIB": 1 << 40,
}  # fmt: skip
#: Less than this no interpreter starts in; a smaller limit is a slip of the pen.
MEMORY_MIN = 8 << 20
#: An agent at work has about twenty files open (its bus, its output); with fewer it would end at its start.
OPEN_FILES_MIN = 32
#: What a process may reserve beyond its memory without touching it: stacks of threads, arenas, heaps in waiting.
RESERVE_BYTES = 1 << 30
CORES_MAX = 4096


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a process and all that it starts may use; None does not limit.

    `memory` (bytes), `processes` and `cpu_seconds` are of the whole family and end it; `open_files` is of each process
    and is refused by the kernel. `cpus` is a number of cores, or which ones (from 0); `nice` is its priority (19 yields
    to all others).
    """

    memory: int | None = None
    processes: int | None = None
    open_files: int | None = None
    cpu_seconds: float | None = None
    cpus: int | tuple[int, ...] | None = None
    nice: int | None = None

    def __bool__(self) -> bool:
        return self != Limits()

    @property
    def watched(self) -> bool:
        """Whether something of it must be looked at while the process runs."""
        return not (self.memory is None and self.processes is None and self.cpu_seconds is None)


LIMIT_NAMES = Limits.__struct_fields__


def parse_size(text: str | int) -> int:
    """Return the bytes of a size such as `"512MB"`, `"1.5 GiB"`, `"64k"` (units are powers of 1024) or of a number.

    Raises ValueError with what is wrong.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError("a size is a text such as '512MB'")
    if isinstance(text, int):
        size = text
    else:
        found = _SIZE.fullmatch(text)
        if found is None or found[2].upper() not in _UNITS:
            raise ValueError(f"{text!r} is no size: write it as '512MB' or '2GB'")
        size = int(float(found[1]) * _UNITS[found[2].upper()])
    if not 0 < size < 1 << 60:
        raise ValueError(f"{text!r} is no size that a machine has")
    return size


def format_size(size: float) -> str:
    """Return a size as people write it, such as `512 MB` (units are powers of 1024)."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(size) < 1024 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.3g} {unit}"
        size /= 1024
    raise AssertionError(size)


class LimitWrong(ValueError):
    """One limit makes no sense; `name` says which."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(problem)
        self.name = name


def limits_of(values: Mapping[str, Any]) -> Limits:
    """Return limits from their names and values as a user writes them; raises LimitWrong."""
    for name in values:
        if name not in LIMIT_NAMES:
            raise LimitWrong(name, f"there is no limit {name!r}: they are {', '.join(LIMIT_NAMES)}")
    return Limits(
        memory=_memory(values.get("memory")),
        processes=_whole(values, "processes", 1, 1_000_000),
        open_files=_whole(values, "open_files", OPEN_FILES_MIN, 1 << 30),
        cpu_seconds=_seconds(values.get("cpu_seconds")),
        cpus=_cpus(values),
        nice=_whole(values, "nice", -20, 19),
    )


def _memory(value: Any) -> int | None:
    if value is None:
        return None
    try:
        size = parse_size(value)
    except ValueError as error:
        raise LimitWrong("memory", f"memory: {error}") from None
    if size < MEMORY_MIN:
        raise LimitWrong("memory", f"memory: no process starts in {format_size(size)}; at least 8MB")
    return size


def _whole(values: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise LimitWrong(name, f"{name} must be a whole number from {least} to {most}")
    return value


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value < 1e9:
        raise LimitWrong("cpu_seconds", "cpu_seconds must be a number of seconds, at least 0.1")
    return float(value)


def _cpus(values: Mapping[str, Any]) -> int | tuple[int, ...] | None:
    value = values.get("cpus")
    if isinstance(value, list | tuple):
        if not value or not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < CORES_MAX for n in value):
            raise LimitWrong("cpus", "cpus must name cores by their numbers from 0, such as [0, 2]")
        return tuple(sorted(set(value)))
    return _whole(values, "cpus", 1, CORES_MAX)


class Excess(msgspec.Struct, frozen=True):
    """A limit that was passed: which, how much there was, and how much was used (bytes, seconds or a number)."""

    reason: str
    limit: float
    used: float

    def words(self) -> str:
        """Say it in words."""
        if self.reason == "memory":
            return f"memory: {format_size(self.used)} of {format_size(self.limit)}"
        unit = " s" if self.reason == "cpu_seconds" else ""
        return f"{self.reason}: {self.used:g}{unit} of {self.limit:g}{unit}"

    def facts(self) -> dict[str, Any]:
        """Return what the event of the process's end says of it."""
        return {"reason": self.reason, "limit": self.limit, "used": self.used}
