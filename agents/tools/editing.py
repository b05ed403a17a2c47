"""Tools that change files: `edit_file`, `edit_files`, `write_file`, `move_file`, `delete_file`.

Leaves to `transaction` how changes are made. Keeps: a text is replaced only where it stands exactly, as often as was
said; a file keeps its encoding, line ends and mode.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any

from msgspec import Meta, Struct

from ..edit_hints import nearest
from ..edit_places import anywhere
from ..response import ToolResponse
from ..text_file import TextFile, decode
from .bench import WorkspaceTool, refused
from .reading import PathText
from .transaction import Edits

TEXT_LENGTH_MAX = 1_000_000
#: More occurrences of a text are not listed, nor replaced.
OCCURRENCES_MAX = 10_000
_NAMED = ("title", "description")
Text = Annotated[str, Meta(max_length=TEXT_LENGTH_MAX)]


class EditParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is replaced by what, how often."""

    path: PathText
    old_text: Annotated[
        str, Meta(min_length=1, max_length=TEXT_LENGTH_MAX, description="Exactly as it stands, with its indentation")
    ]
    new_text: Annotated[str, Meta(max_length=TEXT_LENGTH_MAX, description="What is to stand there instead")]
    count: Annotated[int, Meta(ge=1, description="How often old_text occurs; all of them are replaced")] = 1


class EditFile(WorkspaceTool):
    """Replace an exact text in a file. It must occur exactly once, or `count` times: take enough lines around it to
    make it unique. Nothing is changed where that isn't so, or where the file would no longer parse."""

    title = "edit_file"
    effect = "idempotent"
    parameters = EditParameters

    def perform(self, given: EditParameters) -> ToolResponse:
        """Answer with the lines at which the new text begins."""
        edits = self.bench.edits()
        made = _edited(edits, given)
        if isinstance(made, ToolResponse):
            return made
        if not self.bench.make(edits):
            return ToolResponse.nothing_to_do("no_change", "the new text is the old one")
        return ToolResponse.succeeded({"path": given.path, "lines": made})


class EditsParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Several edits."""

    edits: Annotated[list[EditParameters], Meta(min_length=1, max_length=500)]


class EditFiles(WorkspaceTool):
    """Make several edits, in one file or in many, all of them or none. Each is as in edit_file, and sees what those
    before it in the list have made."""

    title = "edit_files"
    effect = "idempotent"
    parameters = EditsParameters

    def perform(self, given: EditsParameters) -> ToolResponse:
        """Answer with the files that differ."""
        edits = self.bench.edits()
        for number, one in enumerate(given.edits, 1):
            made = _edited(edits, one)
            if isinstance(made, ToolResponse):
                return refused(made.reason or "", f"edit {number}: {made.error}", {"edit": number, "path": one.path})
        changed = self.bench.make(edits)
        if not changed:
            return ToolResponse.nothing_to_do("no_change", "the new texts are the old ones")
        return ToolResponse.succeeded({"files_changed": changed})

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema with the edits' own written out where it is used."""
        schema = super().schema()
        (part,) = schema.pop("$defs").values()
        schema["properties"]["edits"]["items"] = {name: part[name] for name in part if name not in _NAMED}
        return schema

    def doing(self, given: EditsParameters) -> str:
        """Return the files' names, shortened."""
        return f"{self.name} {' '.join(dict.fromkeys(one.path for one in given.edits))}"[:100]


def _edited(edits: Edits, given: EditParameters) -> list[int] | ToolResponse:
    """Add an edit to those collected; return the lines at which the new text begins, or why it can't be made."""
    content = edits.read(given.path)
    if content is None:
        return refused("file_missing", f"{given.path} is not there")
    file = decode(content)
    if file is None:
        return refused("not_text", f"{given.path} is not a text file")
    old, new = (text.replace("\r\n", "\n") for text in (given.old_text, given.new_text))
    if (times := file.text.count(old)) > OCCURRENCES_MAX:
        return refused("old_text_ambiguous", f"the old text occurs {times} times in {given.path}")
    spans = anywhere(file.text, old)
    if problem := _miscounted(given, file, old, new, spans):
        return problem
    try:
        edits.write(given.path, file.replaced([(start, end, new) for start, end in spans]))
    except UnicodeEncodeError:
        return refused("not_text", f"the new text can't be written in the encoding of {given.path} ({file.encoding})")
    grown = new.count("\n") - old.count("\n")
    return [file.line_at(start) + nth * grown for nth, (start, _) in enumerate(spans)]


def _miscounted(
    given: EditParameters, file: TextFile, old: str, new: str, spans: list[tuple[int, int]]
) -> ToolResponse | None:
    """Say why a text can't be replaced, where it doesn't stand as often as was said."""
    if not spans:
        hint = nearest(old, file.text)
        there = anywhere(file.text, new) if new.strip() else []
        said = f"; {hint.message}" if hint else ""
        said += f"; the new text stands in line {file.line_at(there[0][0])}" if there else ""
        return refused("old_text_missing", f"the old text is not in {given.path}{said}")
    lines = [file.line_at(start) for start, _ in spans]
    if len(spans) != given.count:
        times = "exactly once" if given.count == 1 else f"{given.count} times"
        where = ", ".join(map(str, lines[:20]))
        message = f"the old text must occur {times} in {given.path}, and occurs {len(spans)} times: lines {where}"
        return refused("old_text_ambiguous", message, {"lines": lines[:200]})
    if any(end > start for (_, end), (start, _) in itertools.pairwise(spans)):
        return refused("edits_overlap", f"the occurrences in {given.path} overlap", {"lines": lines[:200]})
    return None


class WriteParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which file is to hold what."""

    path: PathText
    text: Annotated[Text, Meta(description="The whole content")]
    executable: Annotated[bool, Meta(description="Whether it can be run; unchanged if left out")] | None = None
    unchecked: Annotated[bool, Meta(description="Write it even if it doesn't parse, such as a broken test input")] = (
        False
    )


class WriteFile(WorkspaceTool):
    """Write a whole file, new or in place of what it held; folders are made as needed. To change a part of a file use
    edit_file. A file that would not parse (Python, JSON, TOML, XML, YAML, INI) is refused."""

    title = "write_file"
    effect = "idempotent"
    parameters = WriteParameters

    def perform(self, given: WriteParameters) -> ToolResponse:
        """Answer with the file's size, and whether it is new."""
        edits = self.bench.edits()
        known = edits.read(given.path) is not None
        try:
            content = given.text.encode()
        except UnicodeEncodeError:
            return refused("not_text", "the text holds half of a character (a lone surrogate)")
        edits.write(given.path, content, executable=given.executable, unchecked=given.unchecked)
        if not self.bench.make(edits):
            return ToolResponse.nothing_to_do("no_change", f"{given.path} holds just that")
        return ToolResponse.succeeded({"path": given.path, "size": len(content), "created": not known})


class MoveParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which file goes where."""

    path: PathText
    to: Annotated[str, Meta(description="Its new path; nothing may be there", min_length=1, max_length=4096)]


class MoveFile(WorkspaceTool):
    """Move or rename a file. What mentions its old path is not changed."""

    title = "move_file"
    effect = "idempotent"
    parameters = MoveParameters

    def perform(self, given: MoveParameters) -> ToolResponse:
        """Answer with both paths."""
        edits = self.bench.edits()
        edits.move(given.path, given.to)
        self.bench.make(edits)
        return ToolResponse.succeeded({"path": given.to, "was": given.path})


class DeleteParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which file goes."""

    path: PathText


class DeleteFile(WorkspaceTool):
    """Delete a file, and the folders that hold nothing else."""

    title = "delete_file"
    effect = "idempotent"
    parameters = DeleteParameters

    def perform(self, given: DeleteParameters) -> ToolResponse:
        """Answer with its path."""
        edits = self.bench.edits()
        edits.delete(given.path)
        self.bench.make(edits)
        return ToolResponse.succeeded({"path": given.path})
