"""Which code would do a recorded task today: a project's agents, those that the record names, and the built-in ones.

Owns the choice. Nothing is imported here: what a target is, shows where it is loaded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from .agents.replay.record import TaskRecord
from .built_in import BUILT_IN
from .errors import NotAccessible
from .up_plan import read_procfile

_AGENT = re.compile(r"(?:^|[\s/;&|(])twelvefold\s+agent\s+([^;&|<>()]*)")
#: How a line goes to another folder before that.
_FOLDER = re.compile(r"(?:^|[;&(])\s*cd\s+([^\s;&|<>()]+)\s*(?=&&|;)")


class AgentLine(NamedTuple):
    """One agent of a Procfile: its line's name, its MODULE:CLASS, its queue, and the folder it is imported from."""

    name: str
    target: str
    queue: str
    folder: Path


class TodaysAgents:
    """The agents of a project. `folder` is where modules lie that no line names; without a Procfile all of them do."""

    def __init__(self, folder: Path, lines: tuple[AgentLine, ...] = ()) -> None:
        self.folder = folder
        self.lines = lines

    def of(self, record: TaskRecord) -> tuple[str, Path] | None:
        """Return the MODULE:CLASS that would do a task today, and its folder; None where nobody would.

        That is the class which did it, as the Procfile has it; else what serves its line, or its queue, now; else the
        class which did it wherever it lies; else the built-in agent of that queue.
        """
        recorded = record.code.target
        for line in sorted(self.lines, key=lambda line: (line.target != recorded, line.name != record.line)):
            if line.target == recorded or record.line == line.name or record.queue == line.queue:
                return line.target, line.folder
        built_in = next((one.place for one in BUILT_IN if one.queue == record.queue), None)
        target = recorded or built_in
        return None if target is None else (target, self.folder)


def todays_agents(folder: Path, procfile: Path | None = None) -> TodaysAgents:
    """Return the agents of the Procfile in a folder, or of the one that is named, and of the folder itself.

    Raises ProcfileInvalid, ProcfileOptionsInvalid; ProcfileMissing for one that is named, NotAccessible for a folder
    that isn't there.
    """
    if not folder.is_dir():
        raise NotAccessible(str(folder), "there is no such folder", "name the folder in which your agents lie")
    path = procfile or folder / "Procfile"
    if procfile is None and not path.exists():
        return TodaysAgents(folder.resolve())
    lines = []
    top = path.absolute().parent
    for line in read_procfile(path).lines:
        if (called := _AGENT.search(line.command)) is not None:
            gone = [one.strip("'\"") for one in _FOLDER.findall(line.command[: called.end()])]
            found = _agent_line(line.name.lower(), called[1].split(), top.joinpath(*gone))
            lines += [found] if found is not None else []
    return TodaysAgents(folder.resolve(), tuple(lines))


def _agent_line(name: str, words: list[str], top: Path) -> AgentLine | None:
    """Read what follows `twelvefold agent`; None where it names no agent."""
    target, queue, folder = "", "", top
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in ("--name", "--folder"):
            value = value if equals else next(rest, "")
            queue, folder = (value, folder) if option == "--name" else (queue, top / value)
        elif not word.startswith("-") and ":" in word:
            target = target or word
    return AgentLine(name, target, queue or _queue_of(target), folder) if target else None


def _queue_of(target: str) -> str:
    """Return the queue that a class of this name takes its tasks from."""
    from .agents.base import queue_name

    return queue_name(type(target.rpartition(":")[2], (), {}))
