"""The Procfile's grammar: `name: command`, one a line. Pure; reading the file is the command line's part.

Invariant: no two lines that parse have names equal in lower case, as that form names their streams of events.
"""

from __future__ import annotations

import re

import msgspec

from .errors import ProcfileInvalid

NAME = re.compile(r"[A-Za-z0-9_-]+")
NAME_LENGTH_MAX = 64


class ProcfileLine(msgspec.Struct, frozen=True):
    """One line: a process's name as it was written, its shell command, and the line's number from 1."""

    name: str
    command: str
    number: int = 0

    @property
    def stream_name(self) -> str:
        """The name as streams of events write it."""
        return self.name.lower()


def parse_procfile(text: str, file: str = "Procfile") -> tuple[ProcfileLine, ...]:
    """Return the lines in their order; raises ProcfileInvalid at the first that isn't well-formed."""
    lines: list[ProcfileLine] = []
    first_use: dict[str, ProcfileLine] = {}
    # Not splitlines(): a form feed or U+2028 inside a command is no end of line to a shell.
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        source = raw.removesuffix("\r")
        if not source.strip() or source.lstrip().startswith("#"):
            continue
        line = _parse_line(source, number, file)
        earlier = first_use.setdefault(line.stream_name, line)
        if earlier is not line:
            column = source.index(line.name) + 1
            problem = f"process {line.name!r} is defined twice: line {earlier.number} has {earlier.name!r}"
            raise ProcfileInvalid(file, number, column, problem, source, "give one of them another name")
        lines.append(line)
    return tuple(lines)


def _parse_line(source: str, number: int, file: str) -> ProcfileLine:
    """Parse one line that is neither empty nor a comment."""

    def invalid(column: int, problem: str, remedy: str) -> ProcfileInvalid:
        return ProcfileInvalid(file, number, column, problem, source, remedy)

    if "\0" in source:
        raise invalid(source.index("\0") + 1, "a command cannot hold a NUL byte", "take it away")
    start = len(source) - len(source.lstrip())
    found = NAME.match(source, start)
    end = found.end() if found else start
    rest = source[end:].lstrip(" \t")
    if not rest.startswith(":"):
        colon = source.find(":", start)
        if colon < 0:
            raise invalid(end + 1, "expected `name: command`, found no colon", "put a name and a colon before it")
        raise invalid(end + 1, f"{source[end]!r} cannot be in a process's name", "use letters, digits, _ and - only")
    if found is None:
        raise invalid(start + 1, "a process needs a name before the colon", "write `name: command`")
    name = found.group()
    if len(name) > NAME_LENGTH_MAX:
        problem = f"a process's name has at most {NAME_LENGTH_MAX} characters"
        raise invalid(start + 1 + NAME_LENGTH_MAX, problem, "shorten the name")
    if name.lower() == "all":
        raise invalid(start + 1, "`all` means every process in a formation", "give the process another name")
    command = rest[1:].strip()
    if not command:
        raise invalid(len(source) + 1, f"process {name!r} has no command", "write a command after the colon")
    return ProcfileLine(name, command, number)
