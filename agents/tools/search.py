"""The tool `search_files`: a regular expression or a text, looked for in the repository's files.

Owns which files are searched and the shape of the answer, which is the same with ripgrep and without. The search runs
as a command of its own under limits: a regular expression can take ages, and in this process would hold up every
thread. Keeps: links are never followed, `.git` and what `.gitignore` leaves out isn't searched.
"""

from __future__ import annotations

import base64
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ..errors import TaskWithdrawn
from ..guarded import Execution, Limits, run_guarded
from ..response import ToolResponse
from ..tool_calls import stopping
from .bench import WorkspaceTool, refused
from .commands import command_places
from .globs import Glob
from .reading import printable

WALK = Path(__file__).with_name("search_walk.py")
#: Larger files are passed over.
SEARCHED_BYTES_MAX = 5 << 20
#: A line of the answer is cut behind so many characters.
LINE_LENGTH_MAX = 400
SEARCH_TIMEOUT_S = 30.0
#: The names of files that one command line may hold.
_NAMES_BYTES_MAX = 100_000


class SearchParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is looked for, and where."""

    pattern: Annotated[
        str, Meta(min_length=1, max_length=2000, description="A regular expression, matched within single lines")
    ]
    files: Annotated[
        str, Meta(max_length=500, description="Only in these files, such as *.py, src/**/*.ts, or a folder's path")
    ] = "**"
    literal: Annotated[bool, Meta(description="Take the pattern as plain text")] = False
    ignore_case: bool = False
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many matching lines at most")] = 100


class _Match(Struct):
    path: str
    line: int
    text: str


class SearchFiles(WorkspaceTool):
    """Search the repository's files for a regular expression (without look-around and back-references) or a text.
    Answers with path, number and text of each matching line. Binary files and those that .gitignore leaves out are
    not searched."""

    title = "search_files"
    parameters = SearchParameters
    timeout_s = SEARCH_TIMEOUT_S + 30.0

    def perform(self, given: SearchParameters) -> ToolResponse:
        """Answer with the matching lines, sorted by path and line."""
        try:
            wanted = Glob(given.files)
        except ValueError as error:
            return refused("invalid_pattern", str(error))
        known = self.bench.visible()
        files, passed_over = [], 0
        for path, facts in self.bench.tree.walk():
            if path in known and wanted.matches(path):
                files.append(path)
                if facts.st_size > SEARCHED_BYTES_MAX:
                    files.pop()
                    passed_over += 1
        found: list[_Match] = []
        program = shutil.which("rg", path=self.bench.environ.get("PATH", os.defpath))
        with command_places(self.bench) as (scratch, _):
            for some in _portions(sorted(files)):
                ended = self._run(_ripgrep(program, given, some) if program else _walk(scratch, given, some), scratch)
                if problem := _problem(ended, program):
                    return problem
                lines = _output(scratch)
                found += _ripgrep_matches(lines) if program else [msgspec.convert(line, _Match) for line in lines]
                if len(found) > given.limit:
                    break
        found.sort(key=lambda match: (match.path, match.line))
        data: dict[str, Any] = {
            "matches": [msgspec.to_builtins(match) for match in found[: given.limit]],
            "truncated": len(found) > given.limit,
            "files_searched": len(files),
        }
        if passed_over:
            data["files_too_large"] = passed_over
        return ToolResponse.succeeded(data)

    def _run(self, argv: list[str], scratch: Path) -> Execution:
        limits = Limits(timeout_s=SEARCH_TIMEOUT_S, memory_bytes_max=1 << 30, output_bytes_max=32 << 20)
        context = self.bench.context
        ended = run_guarded(
            argv,
            folder=self.bench.tree.folder,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            scratch=scratch,
            limits=limits,
            cancelled=lambda: context.cancelled or stopping(),
            # It writes nothing, and should a folder become a link meanwhile, it reads none of the user's secrets.
            writable=None if context.settings.sandbox == "off" else (),
        )
        if ended.stopped == "cancelled" and context.cancelled:
            raise TaskWithdrawn(context.run, context.path)
        return ended


def _portions(files: list[str]) -> Iterator[list[str]]:
    """Yield the files in portions whose names fit into one command line."""
    some: list[str] = []
    size = 0
    for path in files:
        some.append(path)
        size += len(os.fsencode(path)) + 1
        if size > _NAMES_BYTES_MAX:
            yield some
            some, size = [], 0
    if some:
        yield some


def _ripgrep(program: str, given: SearchParameters, files: list[str]) -> list[str]:
    # The files are named, so that no setting and no .ignore file has a say in which are searched.
    options = ["--json", "--no-config", "--no-ignore", "--hidden", "--no-messages", f"--max-count={given.limit + 1}"]
    options += ["--fixed-strings"] if given.literal else []
    options += ["--ignore-case"] if given.ignore_case else ["--case-sensitive"]
    return [program, *options, "-e", given.pattern, "--", *(f"./{path}" for path in files)]


def _walk(scratch: Path, given: SearchParameters, files: list[str]) -> list[str]:
    spec = scratch / "search.json"
    asked = {**msgspec.to_builtins(given), "files": [os.fsencode(path).decode("latin-1") for path in files]}
    spec.write_bytes(msgspec.json.encode({**asked, "line_length_max": LINE_LENGTH_MAX}))
    return [sys.executable, "-I", "-S", str(WALK), str(spec)]


def _problem(ended: Execution, ripgrep: str | None) -> ToolResponse | None:
    """Say why a search came to no answer."""
    if ended.stopped:
        return refused(
            "timeout", f"the search had not ended after {ended.elapsed_s:.0f} s: take a simpler pattern, or fewer files"
        )
    if ended.problem:
        return refused("not_started", f"the search could not be started: {ended.problem}")
    said = ended.tail.strip()
    # ripgrep's 1 is its word for no match; its 2 with nothing but results, that a file went meanwhile.
    if ended.exit_code == 0 or (ripgrep and (ended.exit_code == 1 or said.endswith("}"))):
        return None
    if ended.exit_code == 2 and ("regex" in said or not ripgrep):
        return refused("invalid_pattern", f"the pattern is no regular expression: {said[-500:]}")
    return refused("search_failed", f"the search ended with {ended.exit_code}: {said[-500:]}")


def _output(scratch: Path) -> list[Any]:
    """Read the lines of JSON that a search has written; one that was cut off at the end doesn't count."""
    handle = os.open(scratch / "output", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor
        return [msgspec.json.decode(line) for line in file if line.startswith(b"{") and line.endswith(b"}\n")]


def _ripgrep_matches(messages: list[Any]) -> list[_Match]:
    found: list[_Match] = []
    begun = 0
    for message in messages:
        data = message["data"]
        if message["type"] == "begin":
            begun = len(found)
        elif message["type"] == "match":
            text = _bytes(data["lines"]).decode("utf-8", "replace").rstrip("\r\n")
            cut = text if len(text) <= LINE_LENGTH_MAX else f"{text[:LINE_LENGTH_MAX]}…"
            path = os.fsdecode(_bytes(data["path"])).removeprefix("./")
            found.append(_Match(printable(path), data["line_number"], cut))
        elif message["type"] == "end" and data.get("binary_offset") is not None:
            del found[begun:]
    return found


def _bytes(data: dict[str, str]) -> bytes:
    """Read a text of ripgrep's, which it gives as base64 where it isn't UTF-8."""
    return data["text"].encode() if "text" in data else base64.b64decode(data["bytes"])
