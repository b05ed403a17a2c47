"""The commands that start, show and control processes: `up` and all that talks to a running one.

Thin: plans come from `up_plan`, everything else from `orchestration`, imported when the command runs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import note, on_terminal, rfc3339, wants_colour, write, write_json, write_jsonl, write_table

if TYPE_CHECKING:
    from ..orchestration.control import ProcessStatus
    from ..settings import Settings

_WAIT_S = 60.0
#: How long `ps` waits, for which the supervisor does nothing but tell.
_LOOK_S = 10.0
_BUS_WAIT_S = 2.0
_FOLLOW_EVERY_S = 0.1

NamesArgument = Annotated[list[str] | None, typer.Argument(metavar="[NAME[.N]]...", help="Processes; all if none.")]
GivenNames = Annotated[list[str], typer.Argument(metavar="NAME[.N]...", help="Processes, or all of a line.")]
ProcfileOption = Annotated[Path, typer.Option("-f", "--procfile", help="The Procfile.")]
EnvOption = Annotated[
    str | None, typer.Option("-e", "--env", help="Environment files, by commas; `.env` beside the Procfile if none.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def up(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Lines to run; all if none.")] = None,
    procfile: ProcfileOption = Path("Procfile"),
    env: EnvOption = None,
    formation: Annotated[str, typer.Option("-c", "--formation", help="How many of each, as fixer=3,all=1.")] = "",
    port: Annotated[int | None, typer.Option("-p", "--port", help="First PORT.", min=1, max=65535)] = None,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Go on in the background.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="With -d: return once all are ready.")] = False,
    exit_on_failure: Annotated[bool, typer.Option(help="End with status 1 once a process is given up.")] = False,
    timeout: Annotated[
        float | None, typer.Option("-t", "--timeout", help="Seconds to stop in before a process is killed.", min=0)
    ] = None,
) -> int:
    """Start the bus, the orchestrator and every line of the Procfile.

    Ctrl-C lets processes finish what they do; Ctrl-C again kills them. The Procfile, `Procfile.options` and `.env` are
    read once, at the start: after a change, `down` and `up`. A line stays in the foreground: what goes into the
    background is ended with it.
    """
    from ..orchestration.process_output import Console
    from ..orchestration.supervising import launch, supervise
    from ..settings import load_settings
    from ..tracing.line import exporter_problem
    from ..up_plan import read_procfile, up_plan

    settings = load_settings()
    plan = up_plan(
        settings,
        read_procfile(procfile),
        names=names or (),
        formation=formation,
        env_files=_paths(env),
        port=port,
        stop_timeout_s=timeout,
        exit_on_failure=exit_on_failure,
    )
    _make_home(settings)
    if (problem := exporter_problem(plan.environ)) is not None:
        note(f"traces are not exported: {problem.message()} (help: {problem.help()})")
    if not detach:
        return supervise(plan, Console(1, 2, wants_colour(sys.stdout)))
    pid = launch(plan)
    note(f"up in the background as process {pid}: `twelvefold ps`, `twelvefold logs -f`, `twelvefold down`")
    return _failures(_ask("wait", [])) if wait else 0


def down(
    timeout: Annotated[float, typer.Option("-t", "--timeout", help="Seconds to wait for its end.", min=0)] = 60.0,
) -> None:
    """Stop a running `up` and all of its processes."""
    from ..orchestration.control import ControlRequest, ask, await_end

    settings = _settings()
    pid = ask(settings.home, settings.runtime_dir, ControlRequest("down"))
    await_end(settings.home, pid, timeout)


def stop(names: GivenNames) -> None:
    """Stop processes by NAME or NAME.N; they stay stopped."""
    _ask("stop", names)


def restart(names: GivenNames) -> int:
    """Restart processes by NAME or NAME.N."""
    return _failures(_ask("restart", names))


def scale(
    formation: Annotated[list[str], typer.Argument(metavar="NAME=COUNT...", help="As fixer=5.")],
) -> int:
    """Set how many instances of a line run: `scale fixer=5`."""
    from ..orchestration.formation import parse_formation

    known = list(dict.fromkeys(part.partition("=")[0].strip() for text in formation for part in text.split(",")))
    counts = parse_formation(",".join(formation), known)
    return max([_failures(_ask("scale", [name], count)) for name, count in counts.items()], default=0)


def ps(names: NamesArgument = None, as_json: JsonOption = False) -> None:
    """List the processes of a running `up`.

    With --json each process has the keys name, pid, state (starting, ready, busy, stopping, stopped, backoff, crashed),
    since, restarts, exit (below 0: a signal's number), rss_bytes, pss_bytes, lag (deliveries that wait for it), reason
    (the limit that ended its last process: memory, processes, cpu_seconds), paused (an agent that takes no tasks).
    """
    import msgspec

    from ..orchestration.process_report import report

    statuses = _ask("ps", names or [])
    rows = []
    for row in report(statuses, *_work_of(statuses)):
        row_data = msgspec.to_builtins(row)
        waits_for = row_data.pop("waits_for")
        row_data["since"] = rfc3339(int(row.since * 1e9))
        rows.append((row_data, waits_for))
    if as_json:
        write_json([row for row, _ in rows])
        return
    table = []
    for row, waits_for in rows:
        state = f"{row['state']} (waits for {waits_for})" if waits_for else row["state"]
        if row["paused"]:
            state += " (paused)"
        if row["reason"]:
            state += f" (was over {row['reason']})"
        memory = None if row["pss_bytes"] is None else f"{row['pss_bytes'] / 1e6:.1f} MB"
        table.append({**row, "state": state, "memory": memory, "since": row["since"][:19] + "Z"})
    write_table(table, ("name", "pid", "state", "since", "restarts", "exit", "memory", "lag"), empty="no processes")


def logs(
    names: NamesArgument = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is printed from now on.")] = False,
    last: Annotated[int | None, typer.Option("-n", "--lines", help="Only the last lines.", min=0)] = None,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
) -> None:
    """Show what processes have printed.

    With --jsonl each line has the keys time, name, text.
    """
    from collections import deque

    from ..orchestration.log_reading import LogFolder

    folder = LogFolder(_settings().home / "logs", names or [])
    folder.check()
    try:
        for line in deque(folder.lines(), last) if last is not None else folder.lines():
            _write_log_line(line, as_jsonl)
        if follow:
            sys.stdout.flush()
            for line in folder.follow(_pause):
                _write_log_line(line, as_jsonl)
    finally:
        folder.close()


def run_once(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A line of the Procfile.")],
    procfile: ProcfileOption = Path("Procfile"),
    env: EnvOption = None,
) -> int:
    """Run one line of the Procfile once, here, and end with its exit status."""
    from ..orchestration.run_once import run_line
    from ..settings import load_settings
    from ..up_plan import read_procfile, up_plan

    settings = load_settings()
    plan = up_plan(settings, read_procfile(procfile), names=[name], env_files=_paths(env))
    _make_home(settings)
    return run_line(plan, plan.only[0])


def check(
    procfile: ProcfileOption = Path("Procfile"),
    env: EnvOption = None,
    formation: Annotated[str, typer.Option("-c", "--formation", help="How many of each, as fixer=3,all=1.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Check a Procfile and its options.

    Shows what `up` would start. With --json the keys are procfile and processes, each with name, command, port (null
    for the bus and the orchestrator) and after (the names that must be ready before).
    """
    from ..orchestration.supervisor_plan import places
    from ..settings import load_settings
    from ..up_plan import read_procfile, up_plan

    read = read_procfile(procfile)
    plan = up_plan(load_settings(), read, formation=formation, env_files=_paths(env))
    found = places(plan)
    if as_json:
        write_json(
            {
                "procfile": str(read.path),
                "processes": [
                    {"name": spec.key, "command": spec.command, "port": spec.port, "after": spec.after}
                    for spec in found
                ],
            }
        )
        return
    rows = [{"name": spec.key, "port": spec.port, "command": spec.command} for spec in found]
    write_table(rows, ("name", "port", "command"), empty="nothing would run")
    note(f"{procfile} is valid: {', '.join(read.names) or 'no lines'}")


def systemd(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the unit is written.")],
    procfile: ProcfileOption = Path("Procfile"),
    env: EnvOption = None,
    formation: Annotated[str, typer.Option("-c", "--formation", help="How many of each, as fixer=3,all=1.")] = "",
) -> None:
    """Write systemd user units for the lines of a Procfile."""
    from ..orchestration.systemd import unit, unit_name
    from ..settings import load_settings
    from ..up_plan import read_procfile, up_plan

    settings = load_settings()
    read = read_procfile(procfile)
    plan = up_plan(settings, read, formation=formation, env_files=_paths(env))
    project = Path(plan.cwd).name
    command = [str(Path(sys.executable).with_name("twelvefold")), "up", "-f", str(read.path.absolute())]
    if env is not None:
        command += ["-e", ",".join(str(path.absolute()) for path in _paths(env) or [])]
    command += ["-c", formation] if formation else []
    options = [plan.stop_timeout_s, *(o.stop_timeout_s for o in plan.options.values() if o.stop_timeout_s is not None)]
    text = unit(
        project=project,
        command=command,
        folder=plan.cwd,
        home=plan.home,
        runtime_dir=plan.runtime_dir,
        stop_s=max(options),
    )
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / unit_name(project)
    path.write_text(text)
    write(str(path))
    note(f"then: systemctl --user daemon-reload && systemctl --user enable --now {path.name}")


def _settings() -> Settings:
    from ..settings import load_settings

    return load_settings()


def _make_home(settings: Settings) -> None:
    from ..home import make_home

    make_home(settings.home)


def _paths(text: str | None) -> list[Path] | None:
    return None if text is None else [Path(part.strip()) for part in text.split(",") if part.strip()]


def _ask(op: Any, names: list[str], count: int = 0) -> list[ProcessStatus]:
    """Ask the supervisor of this home; what it does for us may take as long as its processes do."""
    import msgspec

    from ..orchestration.control import ControlRequest, ProcessStatus, ask

    settings = _settings()
    wait_s = _LOOK_S if op == "ps" else _WAIT_S
    answer = ask(settings.home, settings.runtime_dir, ControlRequest(op, tuple(names), count), timeout_s=wait_s)
    return msgspec.convert(answer, list[ProcessStatus])


def _failures(statuses: list[ProcessStatus]) -> int:
    """Say which processes are given up; return 1 if there is one."""
    crashed = [status.name for status in statuses if status.state == "crashed"]
    for name in crashed:
        note(f"{name} is given up: see `twelvefold logs {name}`")
    return 1 if crashed else 0


def _work_of(statuses: list[ProcessStatus]) -> tuple[dict[str, int], dict[str, int]]:
    """Return how much each instance holds and how much waits for it, as the bus says; nothing if it doesn't answer."""
    from ..bus.client import BusClient
    from ..bus.endpoints import endpoints
    from ..eventstore.errors import TwelvefoldError

    if any(status.state != "ready" and status.name.startswith("bus.") for status in statuses):
        return {}, {}
    settings = _settings()
    try:
        with BusClient(endpoints(settings.home, settings.runtime_dir), timeout_s=_BUS_WAIT_S) as bus:
            stats = bus.stats()
    except TwelvefoldError as error:
        note(f"without lag and work, as the bus does not tell: {error.message()}")
        return {}, {}
    groups = stats["groups"]
    lags = {
        instance: sum(groups[key]["waiting"] for key in keys if key in groups)
        for instance, keys in stats["groups_of"].items()
    }
    return stats["held_by"], lags


def _pause() -> None:
    sys.stdout.flush()
    time.sleep(_FOLLOW_EVERY_S)


def _write_log_line(line: Any, as_jsonl: bool) -> None:
    if as_jsonl:
        write_jsonl({"time": line.time, "name": line.name, "text": line.text})
    else:
        write(f"{line.time[11:19] if on_terminal() else line.time} {line.name} | {line.text}")
