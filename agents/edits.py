"""Edits: replacing exact texts in files, all of them or none.

Owns what an explicit edit is, how it is matched against the bytes of a file, and each way in which it can fail. Reads
and writes nothing: contents come in and go out. Keeps the line ends, byte-order mark, encoding and last line of a file
as they were; whatever is not replaced comes out byte for byte.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from .edit_hints import nearest
from .edit_places import is_prose, occurrences
from .text_file import TextFile, decode

Reason = Literal[
    "unsafe_path",
    "file_missing",
    "file_exists",
    "not_text",
    "old_text_missing",
    "old_text_ambiguous",
    "edits_overlap",
    "syntax_broken",
]
#: The `count` of an edit that replaces every occurrence, however many (at least one).
EVERY = 0


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One explicit edit: `old` becomes `new` in the file `path`, exactly `count` times.

    `lines` says that the texts are whole lines (a code block) and not parts of one. An `old` of None makes the file,
    a `new` of None deletes it. `line` is where the issue says so, `at_line` where a diff says that the text stands.
    """

    path: str
    old: str | None
    new: str | None
    count: int = 1
    lines: bool = False
    line: int = 0
    at_line: int = 0


class EditFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why one edit cannot be made: which one (from 1), where the issue asks for it, and the lines that matter."""

    reason: Reason
    edit: int
    path: str
    line: int
    message: str
    places: list[int] = []


class Applied(msgspec.Struct, frozen=True):
    """New contents by path (None: the file is to be removed), and the line at which each edit took hold."""

    contents: dict[str, bytes | None]
    places: list[tuple[str, list[int]]]


class AlreadyThere(msgspec.Struct, frozen=True):
    """Every new text stands in its file, and no old one does; with the places, as `path:line`."""

    places: list[str]


class _Change(msgspec.Struct, frozen=True):
    """One span of a file's text to be replaced."""

    start: int
    end: int
    new: str
    edit: int


class _Present(msgspec.Struct, frozen=True):
    """The edit had been made before, at this line."""

    line: int


def unsafe_path(path: str) -> str | None:
    """Return why a path cannot be taken for a file inside a repository, or None."""
    parts = path.split("/")
    if not path or "\0" in path or "\\" in path or path != path.strip():
        return "is not a path"
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        return "is not relative to the repository"
    if ".." in parts:
        return "leads out of its folder"
    if "." in parts or "" in parts:
        return "is not in its plain form"
    # Names that some file systems take for .git.
    if any(part.lower().rstrip(". ") in (".git", "git~1") for part in parts):
        return "lies inside .git"
    return None


def apply_edits(edits: Sequence[Edit], files: Mapping[str, bytes | None]) -> Applied | AlreadyThere | list[EditFailure]:
    """Make all edits, or none and say for each why not.

    `files` holds the content of each path that is named, None where there is no such file. Every text is looked for
    in the files as they came in, never in what another edit has made.
    """
    unique = list(dict.fromkeys(msgspec.structs.replace(edit, line=0) for edit in edits))
    first = {key: next(e for e in edits if msgspec.structs.replace(e, line=0) == key) for key in unique}
    numbered = list(enumerate(first.values(), 1))
    contents: dict[str, bytes | None] = {}
    failures: list[EditFailure] = []
    made: list[tuple[str, list[int]]] = []
    present: list[str] = []
    for path in dict.fromkeys(edit.path for _, edit in numbered):
        mine = [(number, edit) for number, edit in numbered if edit.path == path]
        result = _file_edits(path, mine, files.get(path))
        if isinstance(result, list):
            failures += result
            continue
        content, places, there = result
        made += places
        present += [f"{path}:{line}" for line in there]
        if content != files.get(path):
            contents[path] = content
    if not failures and present and made:
        # Half of it is there: nobody can tell whether the rest still fits.
        failures = [_half_made(numbered[0][1], present)]
    if failures:
        return failures
    return AlreadyThere(present) if present else Applied(contents, made)


def _half_made(edit: Edit, present: list[str]) -> EditFailure:
    message = f"some edits have been made already ({', '.join(present)}), others have not"
    return EditFailure(reason="old_text_missing", edit=1, path=edit.path, line=edit.line, message=message)


_Made = tuple[bytes | None, list[tuple[str, list[int]]], list[int]]


def _file_edits(path: str, edits: list[tuple[int, Edit]], content: bytes | None) -> _Made | list[EditFailure]:
    """Return a file's new content, the places of edits made and of those that had been made before; or failures."""
    number, edit = edits[0]
    if problem := unsafe_path(path):
        return [_failure("unsafe_path", number, edit, f"{path!r} {problem}")]
    if edit.old is None or edit.new is None:
        if len(edits) > 1:
            return [_failure("edits_overlap", number, edit, f"{path} is to be made or removed, and edited too")]
        return _whole_file(number, edit, content)
    if content is None:
        return [_failure("file_missing", number, edit, f"{path} is not in the repository")]
    file = decode(content)
    if file is None:
        return [_failure("not_text", number, edit, f"{path} is not a text file")]
    changes: list[_Change] = []
    failures: list[EditFailure] = []
    there: list[int] = []
    for number, edit in edits:
        found = _match(number, edit, file)
        if isinstance(found, EditFailure):
            failures.append(found)
        elif isinstance(found, _Present):
            there.append(found.line)
        else:
            changes += found
    by_number = dict(edits)
    changes, conflicts = _settled(changes, file.text)
    for before, after in conflicts:
        both = f"edits {before.edit} and {after.edit} want the same text of {path}"
        place = [file.line_at(after.start)]
        failures.append(_failure("edits_overlap", after.edit, by_number[after.edit], both, place))
    if failures:
        return failures
    try:
        new = file.replaced([(change.start, change.end, change.new) for change in changes])
    except UnicodeEncodeError:
        message = f"the new text cannot be written in the encoding of {path} ({file.encoding})"
        return [_failure("not_text", number, edit, message)]
    if broken := _broken_syntax(path, content, new):
        return [_failure("syntax_broken", number, edit, broken)]
    return new, [(path, [file.line_at(change.start)]) for change in changes], there


def _settled(changes: list[_Change], text: str) -> tuple[list[_Change], list[tuple[_Change, _Change]]]:
    """Return changes that don't overlap, in order, and the couples that cannot both be made.

    Lines that two edits merely show around what they change may be the same, and an edit may be stated twice; but what
    one changes, no other may show unchanged.
    """
    changes = sorted(changes, key=lambda change: (change.start, change.end))
    kept: list[_Change] = []
    near: list[_Change] = []
    conflicts = []
    shrunk = False
    for change in changes:
        near = [other for other in near if change.start < other.end]
        cores = [(_core(other, text), other) for other in near]
        core = _core(change, text)
        if any(core == known and change.edit != other.edit for known, other in cores):
            continue  # the same once more
        wrong = [other for known, other in cores if change.edit == other.edit or _disagree(core, change, known, other)]
        conflicts += [(other, change) for other in wrong[:1]]
        shrunk = shrunk or bool(near)
        near.append(change)
        kept.append(change)
    if not shrunk or conflicts:
        return kept, conflicts
    made = [_Change(*_core(change, text), change.edit) for change in kept]
    return sorted(made, key=lambda change: (change.start, change.end)), []


def _core(change: _Change, text: str) -> tuple[int, int, str]:
    """Return a change without the text at its start and end that stays as it is."""
    old = text[change.start : change.end]
    same = _same_start(old, change.new)
    tail = _same_start(old[same:][::-1], change.new[same:][::-1])
    return change.start + same, change.end - tail, change.new[same : len(change.new) - tail]


def _same_start(one: str, two: str) -> int:
    differing = (n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    return next(differing, min(len(one), len(two)))


def _disagree(one: tuple[int, int, str], whole: _Change, two: tuple[int, int, str], other: _Change) -> bool:
    """Tell whether one change touches what the other shows, or both insert at the same place."""

    def touches(core: tuple[int, int, str], shown: _Change) -> bool:
        start, end, _ = core
        return shown.start < start < shown.end if start == end else start < shown.end and shown.start < end

    return one[0] == two[0] or touches(one, other) or touches(two, whole)


def _whole_file(number: int, edit: Edit, content: bytes | None) -> _Made | list[EditFailure]:
    if edit.new is not None:  # make it
        wanted = edit.new.encode("utf-8")
        if content == wanted:
            return content, [], [1]
        if content is not None:
            return [
                _failure("file_exists", number, edit, f"{edit.path} is to be made, and is there with other content")
            ]
        return wanted, [(edit.path, [1])], []
    file = None if content is None else decode(content)
    if content is None:
        return [_failure("file_missing", number, edit, f"{edit.path} is to be removed, and is not in the repository")]
    if file is None or file.text.rstrip("\n") != (edit.old or "").rstrip("\n"):
        return [_failure("old_text_missing", number, edit, f"{edit.path} is to be removed, and has other content")]
    return None, [(edit.path, [1])], []


def _match(number: int, edit: Edit, file: TextFile) -> list[_Change] | _Present | EditFailure:
    """Find where one edit applies, or that it had been made before, or why it cannot be."""
    old, new = edit.old or "", edit.new or ""
    prose = is_prose(edit.path)
    found = occurrences(file.text, old, edit.lines, prose)
    spans = [span for span in found if not _would_misalign(edit, file.text, span[0])]
    made = occurrences(file.text, new, edit.lines, prose) if len("".join(new.split())) > 3 or old in new else []
    live = [span for span in spans if not any(start <= span[0] and span[1] <= end for start, end in made)]
    if not live and made and edit.count in (EVERY, len(made)):
        return _Present(file.line_at(made[0][0]))
    here = [span for span in live if file.line_at(span[0]) == edit.at_line]
    if len(live) > 1 and edit.count == 1 and len(here) == 1:
        live = here
    lines = [file.line_at(start) for start, _ in live]
    if not live:
        hint = nearest(old, file.text)
        message = f"the old text is not in {edit.path}" + (f"; {hint.message}" if hint else "")
        return _failure("old_text_missing", number, edit, message, [hint.line] if hint else [])
    if edit.count not in (EVERY, len(live)):
        times = "exactly once" if edit.count == 1 else f"{edit.count} times"
        where = ", ".join(map(str, lines[:20]))
        message = f"the old text must occur {times} in {edit.path}, and occurs {len(live)} times: lines {where}"
        return _failure("old_text_ambiguous", number, edit, message, lines)
    return [_change(number, edit, file.text, start, end) for start, end in live]


def _would_misalign(edit: Edit, text: str, start: int) -> bool:
    """Tell whether lines would go behind an indentation that isn't theirs, or of which only the first would get any."""
    before = text[text.rfind("\n", 0, start) + 1 : start]
    old, new = edit.old or "", (edit.new or "").removesuffix("\n")
    return edit.lines and before.isspace() and (old[:1].isspace() or new[:1].isspace() or "\n" in new)


def _change(number: int, edit: Edit, text: str, start: int, end: int) -> _Change:
    new = edit.new or ""
    if edit.lines and new:
        return _Change(start, end, new.removesuffix("\n"), number)
    whole = (start == 0 or text[start - 1] == "\n") and (end == len(text) or text[end] == "\n")
    if edit.lines and whole:  # lines that go take a line end along
        if end < len(text):
            end += 1
        elif start > 0:
            start -= 1
    return _Change(start, end, new, number)


def _broken_syntax(path: str, before: bytes, after: bytes) -> str | None:
    """Say where a Python file no longer parses that did before."""
    if not path.endswith((".py", ".pyi")) or _syntax_error(before) is not None:
        return None
    error = _syntax_error(after)
    return None if error is None else f"{path} would no longer be Python: {error}"


def _syntax_error(source: bytes) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in somebody's string literals
        try:
            ast.parse(source)
        except SyntaxError as error:
            return f"{error.msg} in line {error.lineno}"
        except (ValueError, RecursionError, MemoryError) as error:
            return str(error) or type(error).__name__
    return None


def _failure(reason: Reason, number: int, edit: Edit, message: str, places: list[int] | None = None) -> EditFailure:
    return EditFailure(reason=reason, edit=number, path=edit.path, line=edit.line, message=message, places=places or [])
