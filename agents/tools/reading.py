"""Tools that look at files: `read_file` and `list_files`.

Keeps: what they answer with is bounded, and says so where it is not all.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from msgspec import Meta, Struct

from ..response import ToolResponse
from ..text_file import decode
from .bench import WorkspaceTool, refused
from .globs import Glob

TEXT_LENGTH_MAX = 64_000
LINES_MAX = 2000

PathText = Annotated[str, Meta(description="Path relative to the top of the repository", min_length=1, max_length=4096)]


class ReadParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which lines of which file."""

    path: PathText
    start_line: Annotated[int, Meta(ge=1, description="First line, from 1")] = 1
    end_line: Annotated[int, Meta(ge=1, description="Last line")] | None = None


class ReadFile(WorkspaceTool):
    """Read a text file, or some of its lines. At most 2000 lines or 64000 characters are returned at once: where
    `truncated` is true, go on at `next_line`."""

    title = "read_file"
    parameters = ReadParameters

    def perform(self, given: ReadParameters) -> ToolResponse:
        """Answer with the text, its line numbers and how many lines there are."""
        try:
            content = self.bench.tree.read(given.path)
        except FileNotFoundError:
            return refused("file_missing", f"{given.path} is not there")
        file = decode(content)
        if file is None:
            facts = {"path": given.path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            return refused("binary_file", f"{given.path} is a binary file of {len(content)} bytes", facts)
        total = file.text.count("\n") + (not file.text.endswith("\n") and file.text != "")
        if given.start_line > max(total, 1):
            return refused("no_such_line", f"{given.path} has {total} lines")
        wanted = min(total, given.end_line or total)
        text, last, cut = _lines(file.text, given.start_line, min(wanted, given.start_line + LINES_MAX - 1))
        facts = {
            "path": given.path,
            "text": text,
            "start_line": given.start_line,
            "end_line": last,
            "lines_total": total,
            "truncated": last < wanted,
        }
        if last < wanted:
            facts["next_line"] = last + 1
        if cut:
            facts["cut"] = f"line {last} is longer than {TEXT_LENGTH_MAX} characters; the rest of it is left out"
        if file.encoding != "utf-8":
            facts["encoding"] = file.encoding
        return ToolResponse.succeeded(facts)


def _lines(text: str, first: int, last: int) -> tuple[str, int, bool]:
    """Return the lines with these numbers, as many as may be returned, the number of the last, and whether it is cut.

    Lines end where git and editors end them, at newlines only.
    """
    start = 0
    for _ in range(first - 1):
        start = text.index("\n", start) + 1
    end, number = start, first - 1
    while number < last:
        following = text.find("\n", end) + 1 or len(text)
        if following - start > TEXT_LENGTH_MAX:
            if number < first:
                return text[start : start + TEXT_LENGTH_MAX], first, True
            break
        end, number = following, number + 1
    return text[start:end], number, False


class ListParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which files."""

    pattern: Annotated[
        str, Meta(max_length=500, description="Such as *.py (in any folder), src/**/*.ts, or a folder's path")
    ] = "**"
    limit: Annotated[int, Meta(ge=1, le=5000, description="How many paths at most")] = 500


class ListFiles(WorkspaceTool):
    """List the files of the repository by a pattern of their paths, sorted. Files that .gitignore leaves out are not
    listed."""

    title = "list_files"
    parameters = ListParameters

    def perform(self, given: ListParameters) -> ToolResponse:
        """Answer with paths, and how many there are in all."""
        try:
            pattern = Glob(given.pattern)
        except ValueError as error:
            return refused("invalid_pattern", str(error))
        known = self.bench.visible()
        found = [path for path, _ in self.bench.tree.walk() if path in known and pattern.matches(path)]
        shown = [printable(path) for path in sorted(found)[: given.limit]]
        return ToolResponse.succeeded({"files": shown, "total": len(found), "truncated": len(found) > given.limit})


def printable(path: str) -> str:
    """Return a path as text: bytes that aren't UTF-8 are written as `\\xff`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
