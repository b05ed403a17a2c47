"""What a supervisor is asked to run, as plain data that fits into a pipe; and the places that follow from it. Pure.

Invariant: there are always one bus and one orchestrator, the bus before all others; what the Procfile doesn't have is
implied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from .command_line import is_service_line
from .errors import SupervisorRefused
from .formation import port_of, quantities
from .process_table import RANK_BUS, RANK_LINE, RANK_ORCHESTRATOR, ProcessSpec
from .procfile import ProcfileLine
from .procfile_options import ProcessOptions

BUS, ORCHESTRATOR = "bus", "orchestrator"
#: What runs without a line, under these names.
IMPLIED = (BUS, ORCHESTRATOR)


class SupervisorPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a supervisor needs to know. `environ` is what children inherit, the `.env` file's lines included.

    `only` names the lines to run (all where it is empty). `idle_s` makes it end by itself when there has been neither
    an open run nor a client for so long (what `run` starts without an `up`). `agent_entry` is what agents are forked
    into, as `module:function`.
    """

    home: str
    runtime_dir: str | None
    cwd: str
    environ: dict[str, str]
    lines: tuple[ProcfileLine, ...] = ()
    options: dict[str, ProcessOptions] = {}
    formation: dict[str, int] = {}
    only: tuple[str, ...] = ()
    port: int = 5000
    stop_timeout_s: float = 5.0
    exit_on_failure: bool = False
    idle_s: float | None = None
    agent_entry: str = "twelvefold.agents.process:main"


def places(plan: SupervisorPlan) -> list[ProcessSpec]:
    """Return the places to fill, in the order in which they start."""
    bus, orchestrator = service_names(plan.lines)
    present = {service_of(line) for line in plan.lines}
    specs = []
    for service in IMPLIED:
        if service not in present:
            specs += specs_of(plan, ProcfileLine(service, f"twelvefold {service}"), None, bus, orchestrator, 1)
    counts = quantities([line.name for line in plan.lines], plan.options, plan.formation)
    only = {name.lower() for name in plan.only}
    for index, line in enumerate(plan.lines):
        chosen = not only or line.stream_name in only
        count = 1 if service_of(line) else counts[line.name] if chosen else 0
        specs += specs_of(plan, line, index, bus, orchestrator, count)
    # Sorted by rank, and by nothing else: a stable sort keeps the order of the lines.
    return sorted(specs, key=lambda spec: -spec.rank)


def service_names(lines: Iterable[ProcfileLine]) -> tuple[str, str]:
    """Return what the bus and the orchestrator are called: as their lines are, where they have one."""
    named = {service_of(line): line.name for line in lines}
    bus, orchestrator = (named.get(service, service) for service in IMPLIED)
    return bus, orchestrator


def specs_of(
    plan: SupervisorPlan, line: ProcfileLine, index: int | None, bus: str, orchestrator: str, count: int
) -> list[ProcessSpec]:
    """Return `count` places of one line; index is its place in the Procfile (None: it has none, and no PORT)."""
    options = plan.options.get(line.name, ProcessOptions())
    rank = {bus: RANK_BUS, orchestrator: RANK_ORCHESTRATOR}.get(line.name, RANK_LINE)
    stop_timeout_s = plan.stop_timeout_s if options.stop_timeout_s is None else options.stop_timeout_s
    return [
        ProcessSpec(
            name=line.name,
            number=number,
            command=line.command,
            port=None if index is None else port_of(plan.port, index, number),
            restart=options.restart,
            after=options.after if rank == RANK_BUS else (bus, *options.after),
            stop_signal=options.stop_signal,
            stop_timeout_s=stop_timeout_s,
            task=options.kind == "task",
            rank=rank,
            limits=options.limits,
            sandbox=options.sandbox,
            writable=options.writable,
        )
        for number in range(1, count + 1)
    ]


def scaled(plan: SupervisorPlan, name: str, count: int) -> list[ProcessSpec]:
    """Return the places that a line has at another count."""
    return [
        spec
        for spec in places(msgspec.structs.replace(plan, formation={**plan.formation, name: count}, only=()))
        if spec.name == name
    ]


def with_lines(plan: SupervisorPlan, lines: Iterable[ProcfileLine], counts: Mapping[str, int]) -> SupervisorPlan:
    """Return a plan with lines that it may lack, and with at least so many places for each.

    Raises SupervisorRefused where a line of that name runs another command.
    """
    known = {line.stream_name: line for line in plan.lines}
    formation, only = dict(plan.formation), list(plan.only)
    fresh: list[ProcfileLine] = []
    for line in lines:
        before = known.get(line.stream_name)
        if before is not None and before.command != line.command:
            raise SupervisorRefused(f"there is a line {before.name!r} already, which runs: {before.command}")
        if before is None:
            fresh.append(line)
            only += [line.name] if only else []
        name = before.name if before is not None else line.name
        now = len(specs_named(plan, name)) if before is not None else 0
        formation[name] = max(now, counts.get(line.name, 1))
    return msgspec.structs.replace(plan, lines=(*plan.lines, *fresh), formation=formation, only=tuple(only))


def specs_named(plan: SupervisorPlan, name: str) -> list[ProcessSpec]:
    """Return the places of one line."""
    return [spec for spec in places(plan) if spec.name.lower() == name.lower()]


def one_of_each(plan: SupervisorPlan) -> list[ProcessSpec]:
    """Return the first place of every line and implied process, in their order, whether any runs or not."""
    return places(msgspec.structs.replace(plan, formation={line.name: 1 for line in plan.lines}, only=()))


def service_of(line: ProcfileLine) -> str:
    """Return which of the two services a line is, by its command or by its name, or ""."""
    return next((s for s in IMPLIED if is_service_line(line.command, s) or line.stream_name == s), "")
