"""`Procfile.options`: what a Procfile line cannot say, as TOML, one table a process. Pure.

Unknown tables and keys are errors, so that a slip of the pen is never silently a default.
"""

from __future__ import annotations

import re
import signal
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from .errors import ProcfileOptionsInvalid
from .limits import LIMIT_NAMES, Limits, LimitWrong, limits_of

QUANTITY_MAX = 10_000


class Restart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a process that ended is started again, and when that is given up.

    The n-th try in a row waits delay_s * 2^(n-1), at most delay_max_s; after attempts_max tries in a row the process
    is given up (`crashed`). A process that stayed up for steady_s begins a new row.
    """

    policy: Literal["always", "on-failure", "never"] = "always"
    attempts_max: int = 8
    delay_s: float = 0.1
    delay_max_s: float = 30.0
    steady_s: float = 10.0

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait before the attempt-th try in a row, from 1."""
        return float(min(self.delay_s * 2 ** min(attempt - 1, 60), self.delay_max_s))


class ProcessOptions(msgspec.Struct, frozen=True):
    """The options of one process; None leaves the choice to the command line.

    kind "task" runs once to its end, and what comes `after` it waits for its success; a "service" is kept running, and
    what comes after it waits until it is ready. `limits` are written as keys of the table itself. `sandbox` and
    `writable` are what agents of this line are told instead of, and beside, what all are told.
    """

    restart: Restart = Restart()
    after: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"
    stop_timeout_s: float | None = None
    quantity: int | None = None
    kind: Literal["service", "task"] = "service"
    limits: Limits = Limits()
    sandbox: Literal["files", "off", "required"] | None = None
    writable: tuple[str, ...] = ()


_KEYS = (*(name for name in ProcessOptions.__struct_fields__ if name != "limits"), *LIMIT_NAMES)


def parse_options(
    text: str, processes: Iterable[str], file: str = "Procfile.options", services: Sequence[str] = ()
) -> dict[str, ProcessOptions]:
    """Return the options of each process that has a table; raises ProcfileOptionsInvalid.

    `processes` are the Procfile's names; `services` are the names of the bus (the first one) and the orchestrator, with
    a line or without: tables and `after` may name them too, but there is always one of each.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _toml_error(text, file, str(error)) from None
    names = {name.lower(): name for name in (*services, *processes)}
    options: dict[str, ProcessOptions] = {}
    for table, values in tables.items():
        where = _Place(text, file, table)
        if not isinstance(values, dict):
            raise where.invalid(table, f"{table!r} stands outside a process's table", "put it below [NAME]")
        if table.lower() not in names:
            known = ", ".join(names.values())
            raise where.invalid(None, f"there is no process {table!r} in the Procfile", f"it has: {known}")
        name = names[table.lower()]
        if name in options:
            raise where.invalid(None, f"process {name!r} has two tables", "make one of them")
        options[name] = _parse_table(values, names, where)
        if name in services:
            _refuse_for_service(options[name], name == services[0], where)
    _refuse_cycles(options, text, file)
    return options


class _Place:
    """Finds the line of a table's key in the text, as tomllib keeps no positions."""

    def __init__(self, text: str, file: str, table: str) -> None:
        self.lines, self.file, self.table = text.split("\n"), file, table

    def invalid(self, key: str | None, problem: str, remedy: str = "") -> ProcfileOptionsInvalid:
        """Make the error that points at the key, or at the table's head."""
        head = re.compile(r"\s*\[\s*[\"']?" + re.escape(self.table) + r"[\"']?\s*[].]")
        number = next((n for n, line in enumerate(self.lines) if head.match(line)), 0)
        column = 1
        if key is not None:
            wanted = re.compile(r"(\s*|.*[{,.\s])[\"']?" + re.escape(key) + r"[\"']?\s*=")
            for n in [*range(number, len(self.lines)), *range(number)]:
                if found := wanted.match(self.lines[n]):
                    number, column = n, len(found.group(1)) + 1
                    break
        source = self.lines[number].rstrip("\r") if self.lines else ""
        return ProcfileOptionsInvalid(self.file, number + 1, column, problem, source, remedy)


def _toml_error(text: str, file: str, words: str) -> ProcfileOptionsInvalid:
    """Point at the place that tomllib only tells in words."""
    lines = text.split("\n")
    found = re.search(r" \(at line (\d+), column (\d+)\)", words)
    line, column = (int(found.group(1)), int(found.group(2))) if found else (len(lines), len(lines[-1]) + 1)
    problem = "not TOML: " + (words[: found.start()] if found else words.removesuffix(" (at end of document)"))
    return ProcfileOptionsInvalid(file, line, column, problem, lines[line - 1].rstrip("\r"), "")


def _parse_table(values: Mapping[str, Any], names: Mapping[str, str], where: _Place) -> ProcessOptions:
    """Check one process's table."""
    for key in values:
        if key not in _KEYS:
            raise where.invalid(key, f"unknown option {key!r}", f"the options are {', '.join(_KEYS)}")
    kind = values.get("kind", "service")
    if kind not in ("service", "task"):
        raise where.invalid("kind", "kind must be 'service' or 'task'")
    return ProcessOptions(
        restart=_restart(values.get("restart"), kind, where),
        after=_after(values.get("after", []), names, where),
        stop_signal=_signal(values.get("stop_signal", "SIGTERM"), where),
        stop_timeout_s=_seconds(values.get("stop_timeout_s"), where),
        quantity=_quantity(values.get("quantity"), where),
        kind=kind,
        limits=_limits(values, where),
        sandbox=_sandbox(values.get("sandbox"), where),
        writable=_writable(values.get("writable", []), where),
    )


def _sandbox(value: Any, where: _Place) -> Literal["files", "off", "required"] | None:
    """Read `sandbox`."""
    try:
        mode: Literal["files", "off", "required"] | None = msgspec.convert(
            value, Literal["files", "off", "required"] | None
        )
    except msgspec.ValidationError:
        raise where.invalid("sandbox", "sandbox must be 'files', 'off' or 'required'") from None
    return mode


def _writable(value: Any, where: _Place) -> tuple[str, ...]:
    """Read `writable`: files or folders."""
    if not isinstance(value, list) or not all(isinstance(place, str) and place for place in value):
        raise where.invalid("writable", 'writable must be a list of folders, such as ["out"]')
    if broken := next((place for place in value if ":" in place), None):
        raise where.invalid("writable", f"writable names {broken!r}: a path in it can't have a colon")
    return tuple(value)


def _limits(values: Mapping[str, Any], where: _Place) -> Limits:
    """Read the limits among a table's keys."""
    try:
        return limits_of({name: values[name] for name in LIMIT_NAMES if name in values})
    except LimitWrong as error:
        raise where.invalid(error.name, str(error)) from None


def _refuse_for_service(options: ProcessOptions, is_bus: bool, where: _Place) -> None:
    """Raise where the bus or the orchestrator is given what it cannot have."""
    if options.quantity not in (None, 1):
        raise where.invalid("quantity", f"there is always exactly one {where.table}", "take `quantity` away")
    if options.kind == "task":
        raise where.invalid("kind", f"{where.table} is kept running: it is no task", "take `kind` away")
    if is_bus and options.limits:
        key = next(name for name in LIMIT_NAMES if getattr(options.limits, name) is not None)
        raise where.invalid(key, f"{where.table} carries all others: it has no limits", f"take `{key}` away")
    if is_bus and options.after:
        raise where.invalid("after", f"all other processes come after {where.table}", "take `after` away")


def _restart(value: Any, kind: str, where: _Place) -> Restart:
    """Read `restart`: a policy's name, or a table with the fields of Restart. A task isn't restarted by default."""
    default: dict[str, Any] = {"policy": "never" if kind == "task" else "always"}
    if value is None:
        return msgspec.convert(default, Restart)
    table = {"policy": value} if isinstance(value, str) else value
    try:
        restart = msgspec.convert({**default, **table} if isinstance(table, dict) else table, Restart, strict=True)
    except msgspec.ValidationError as error:
        found = re.search(r"\$\.(\w+)|unknown field `(\w+)`", str(error))
        key = (found.group(1) or found.group(2)) if found else ""
        problem = "restart: " + str(error).split(" - at ")[0] + (f" for {key!r}" if found and found.group(1) else "")
        remedy = f"write 'always', 'on-failure', 'never', or a table with {', '.join(Restart.__struct_fields__)}"
        raise where.invalid(key if isinstance(value, dict) and key in value else "restart", problem, remedy) from None
    times = (restart.delay_s, restart.delay_max_s, restart.steady_s)
    if restart.attempts_max < 0 or not all(0 <= value < 1e7 for value in times):
        raise where.invalid("restart", "restart: numbers must not be negative")
    if kind == "task" and restart.policy == "always":
        raise where.invalid("restart", "a task runs once, so it cannot be restarted 'always'", "use 'on-failure'")
    return restart


def _after(value: Any, names: Mapping[str, str], where: _Place) -> tuple[str, ...]:
    """Read `after`: names of other processes."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise where.invalid("after", 'after must be a list of process names, such as ["database"]')
    for name in value:
        if name.lower() not in names:
            raise where.invalid("after", f"after names {name!r}, which the Procfile doesn't have")
    return tuple(dict.fromkeys(names[name.lower()] for name in value))


def _signal(value: Any, where: _Place) -> str:
    """Read `stop_signal`: a signal's name, with or without SIG."""
    name = value.upper() if isinstance(value, str) else ""
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signal.Signals.__members__:
        raise where.invalid("stop_signal", f"{value!r} is no signal of this system", "write TERM, INT, QUIT, HUP, …")
    return name


def _seconds(value: Any, where: _Place) -> float | None:
    """Read `stop_timeout_s`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e7:
        raise where.invalid("stop_timeout_s", "stop_timeout_s must be a number of seconds, not negative")
    return float(value)


def _quantity(value: Any, where: _Place) -> int | None:
    """Read `quantity`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= QUANTITY_MAX:
        raise where.invalid("quantity", f"quantity must be a whole number from 0 to {QUANTITY_MAX}")
    return value


def _refuse_cycles(options: Mapping[str, ProcessOptions], text: str, file: str) -> None:
    """Raise where processes wait for each other in a circle."""
    settled: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            circle = " after ".join((*way[way.index(name) :], name))
            raise _Place(text, file, way[-1]).invalid("after", f"processes wait for each other: {circle}")
        if name not in settled and name in options:
            for earlier in options[name].after:
                visit(earlier, (*way, name))
            settled.add(name)

    for name in options:
        visit(name, ())
