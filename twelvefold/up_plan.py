"""From a Procfile, its options, environment files and a formation to a supervisor's plan. Reads files, starts nothing.

The Procfile's folder is where its processes run, and where its `.options` and `.env` lie.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

import msgspec

from .agent_environment import located
from .errors import NotAccessible
from .orchestration.errors import ProcfileInvalid, ProcfileMissing, UnknownProcess
from .orchestration.formation import parse_formation
from .orchestration.procfile import ProcfileLine, parse_procfile
from .orchestration.procfile_options import ProcessOptions, parse_options
from .orchestration.supervisor_plan import SupervisorPlan, service_names, service_of
from .project_file import ProjectFile, read_project_file
from .settings import Settings, read_env_file
from .tracing.line import with_exporter

#: The name of the line that serves what starts runs by itself, and of that which keeps read models up to date.
TRIGGERS, PROJECTOR = "triggers", "projector"


class Procfile(msgspec.Struct, frozen=True):
    """A Procfile with its options, read and checked."""

    path: Path
    lines: tuple[ProcfileLine, ...]
    options: dict[str, ProcessOptions]

    @property
    def names(self) -> list[str]:
        """The names of its lines, in their order."""
        return [line.name for line in self.lines]


def read_procfile(path: Path) -> Procfile:
    """Read a Procfile and the `.options` beside it; raises ProcfileMissing, ProcfileInvalid, ProcfileOptionsInvalid."""
    lines = parse_procfile(_text(path), str(path))
    beside = path.with_name(path.name + ".options")
    options: dict[str, ProcessOptions] = {}
    if beside.exists():
        options = parse_options(_text(beside), [line.name for line in lines], str(beside), service_names(lines))
    return Procfile(path, lines, options)


def up_plan(
    settings: Settings,
    procfile: Procfile,
    *,
    names: Sequence[str] = (),
    formation: str = "",
    env_files: Sequence[Path] | None = None,
    port: int | None = None,
    stop_timeout_s: float | None = None,
    exit_on_failure: bool = False,
    environ: Mapping[str, str] | None = None,
) -> SupervisorPlan:
    """Return the plan of `up`; raises UnknownProcess, FormationInvalid, EnvFileInvalid and ProjectFileInvalid.

    Children inherit `environ` (this process's own where None) with what the files add; what is set in it already holds.
    """
    known = {name.lower(): name for name in procfile.names}
    for name in names:
        if name.lower() not in known:
            raise UnknownProcess(name, tuple(procfile.names))
    folder = procfile.path.absolute().parent
    inherited = os.environ if environ is None else environ
    from_files = environment_files(folder, env_files)
    project = read_project_file(folder)
    # What a file says counts from the folder in which it lies, and there the processes start.
    paths = {name: value for name, value in located(settings).items() if name in inherited or name not in from_files}
    text = from_files.get("PORT", "") or inherited.get("PORT", "")
    environ = {**project.settings, **from_files, **inherited, **paths}
    lines = _with_triggers(procfile.lines, project)
    only = [known[name.lower()] for name in names]
    exported = with_exporter(lines, environ)
    served, options = _with_projector(exported, procfile.options)
    if only:
        # What exports traces and keeps read models serves whatever runs.
        only += [line.name for line in served[len(lines) :]]
    base = int(text) if text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65_536 else settings.port
    return SupervisorPlan(
        home=str(settings.home),
        runtime_dir=str(settings.runtime_dir) if settings.runtime_dir is not None else None,
        cwd=str(folder),
        environ=environ,
        lines=served,
        options=options,
        formation=parse_formation(formation, [line.name for line in procfile.lines if not service_of(line)]),
        only=tuple(only),
        port=base if port is None else port,
        stop_timeout_s=settings.stop_timeout_s if stop_timeout_s is None else stop_timeout_s,
        exit_on_failure=exit_on_failure,
    )


def _with_triggers(lines: tuple[ProcfileLine, ...], project: ProjectFile) -> tuple[ProcfileLine, ...]:
    """Add the line that serves the project file's schedules and folders, where there are such and no line does it."""
    served = any(line.command.split()[:2] == ["twelvefold", "watch"] or line.name == TRIGGERS for line in lines)
    if not project.has_triggers or served:
        return lines
    return (*lines, ProcfileLine(TRIGGERS, "twelvefold watch", len(lines) + 1))


def _with_projector(
    lines: tuple[ProcfileLine, ...], options: dict[str, ProcessOptions]
) -> tuple[tuple[ProcfileLine, ...], dict[str, ProcessOptions]]:
    """Add the projector's line, unless there is one. It starts once the orchestrator works, and so delays nobody."""
    if any(line.command.split()[:2] == ["twelvefold", PROJECTOR] or line.stream_name == PROJECTOR for line in lines):
        return lines, options
    _, orchestrator = service_names(lines)
    line = ProcfileLine(PROJECTOR, f"twelvefold {PROJECTOR}", len(lines) + 1)
    return (*lines, line), {**options, PROJECTOR: ProcessOptions(after=(orchestrator,))}


def environment_files(folder: Path, files: Sequence[Path] | None) -> dict[str, str]:
    """Return what environment files say, later ones before earlier ones; `.env` in the folder, if any, where None.

    Raises EnvFileInvalid and NotAccessible.
    """
    if files is None:
        files = [folder / ".env"] if (folder / ".env").is_file() else []
    found: dict[str, str] = {}
    for file in files:
        if not file.exists():
            raise NotAccessible(str(file), "there is no such file", f"touch {quote(str(file))}")
        found.update(read_env_file(file))
    return found


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ProcfileMissing(str(path)) from error
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        start = raw.rfind(b"\n", 0, error.start) + 1
        column = len(raw[start : error.start].decode()) + 1
        source = raw.split(b"\n")[line - 1].decode("utf-8", "replace")
        raise ProcfileInvalid(str(path), line, column, "the file is not UTF-8", source) from None
