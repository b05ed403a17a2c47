"""Edits: replacing exact texts in files, all of them or none.

Owns what an explicit edit is, how it is matched against the bytes of a file, and each way in which it can fail. Reads
and writes nothing: contents come in and go out. Keeps the line ends, byte-order mark, encoding and last line of a file
as they were; whatever is not replaced comes out byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from .edit import EVERY as EVERY
from .edit import Change as _Change
from .edit import Edit as Edit
from .edit import EditFailure as EditFailure
from .edit import Present as _Present
from .edit import failed as _failure
from .edit import unsafe_path as unsafe_path
from .edit_hints import nearest, spaced_otherwise
from .edit_inserts import insertions
from .edit_moves import arrange
from .edit_places import is_prose, occurrences
from .edit_settings import settings_changes
from .edit_tails import at_the_end, has_tail, with_tail
from .text_file import TextFile, decode
from .tools.syntax import broken_by


class Applied(msgspec.Struct, frozen=True):
    """New contents by path (None: the file is to be removed), and the line at which each edit took hold.

    `moved` has the old path of each file that is at a new one, with whatever belongs to it beside its content.
    """

    contents: dict[str, bytes | None]
    places: list[tuple[str, list[int]]]
    moved: dict[str, str] = {}


class AlreadyThere(msgspec.Struct, frozen=True):
    """Every new text stands in its file, and no old one does; with the places, as `path:line`."""

    places: list[str]


def named_paths(edits: Sequence[Edit]) -> list[str]:
    """Return every path whose content edits need to know, or that it is free."""
    return list(dict.fromkeys(path for edit in edits for path in (edit.path, edit.to) if path))


def apply_edits(edits: Sequence[Edit], files: Mapping[str, bytes | None]) -> Applied | AlreadyThere | list[EditFailure]:
    """Make all edits, or none and say for each why not.

    `files` holds the content of each path that is named, None where there is no such file. Every text is looked for
    in the files as they came in, never in what another edit has made.
    """
    unique = list(dict.fromkeys(msgspec.structs.replace(edit, line=0) for edit in edits))
    first = {key: next(e for e in edits if msgspec.structs.replace(e, line=0) == key) for key in unique}
    numbered = list(enumerate(first.values(), 1))
    arranged = arrange(numbered, files)
    if isinstance(arranged, list):
        return arranged
    contents: dict[str, bytes | None] = {}
    failures: list[EditFailure] = []
    made: list[tuple[str, list[int]]] = []
    present: list[str] = list(arranged.present)
    for path, mine in arranged.edits.items():
        result = _file_edits(path, mine, files.get(path))
        if isinstance(result, list):
            failures += result
            continue
        content, places, there = result
        made += places
        present += [f"{path}:{line}" for line in there]
        if content != files.get(path):
            contents[path] = content
    if failures:
        return failures
    for path in arranged.deleted:
        contents[path] = None
        made.append((path, [1]))
    moved = {new: old for old, new in arranged.moves.items()}
    arrived = {new: contents.get(old, files.get(old)) for new, old in moved.items()}
    contents |= dict.fromkeys(arranged.moves)
    contents |= arrived
    made += [(new, [1]) for new in moved]
    if present and made:
        # Half of it is there: nobody can tell whether the rest still fits.
        return [_half_made(numbered[0][1], present)]
    return AlreadyThere(present) if present else Applied(contents, made, moved)


def spread(
    edits: Sequence[Edit], holders: Callable[[str], Mapping[str, bytes]]
) -> tuple[list[Edit], list[EditFailure]]:
    """Make edits of the whole repository into edits of its files; also return why some can't be.

    `holders` returns the content of each file in which a text is found, whatever is around it. The text must stand
    there as often as the edit says, and in as many files.
    """
    made: list[Edit] = []
    failures: list[EditFailure] = []
    for number, edit in enumerate(edits, 1):
        if edit.how != "everywhere":
            made.append(edit)
            continue
        counts = {path: _count(path, content, edit.old or "") for path, content in holders(edit.old or "").items()}
        counts = {path: count for path, count in sorted(counts.items()) if count}
        if sum(counts.values()) == edit.count and edit.files in (0, len(counts)):
            made += [replace(edit, path=path, count=count, how="replace", files=0) for path, count in counts.items()]
            continue
        wanted = f"{edit.count} times" + (f" in {edit.files} files" if edit.files else "")
        where = ", ".join(f"{path} ({count})" for path, count in list(counts.items())[:20]) or "nowhere"
        message = f"{edit.old!r} must occur {wanted}, and occurs {sum(counts.values())} times: {where}"
        failures.append(_failure("old_text_ambiguous" if counts else "old_text_missing", number, edit, message))
    return made, failures


def _count(path: str, content: bytes, text: str) -> int:
    file = decode(content)
    return len(occurrences(file.text, text, False, is_prose(path))) if file is not None else 0


def _half_made(edit: Edit, present: list[str]) -> EditFailure:
    message = f"some edits have been made already ({', '.join(present)}), others have not"
    return EditFailure(reason="old_text_missing", edit=1, path=edit.path, line=edit.line, message=message)


_Made = tuple[bytes | None, list[tuple[str, list[int]]], list[int]]


def _file_edits(path: str, edits: list[tuple[int, Edit]], content: bytes | None) -> _Made | list[EditFailure]:
    """Return a file's new content, the places of edits made and of those that had been made before; or failures."""
    number, edit = edits[0]
    if problem := unsafe_path(path):
        return [_failure("unsafe_path", number, edit, f"{path!r} {problem}")]
    if any(one.how == "replace" and None in (one.old, one.new) for _, one in edits):
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
    ends: list[tuple[str, list[int]]] = []
    for number, edit in edits:
        found = _found(number, edit, file)
        if isinstance(found, EditFailure):
            failures.append(found)
        elif isinstance(found, _Present) and not has_tail(file.text, edit.tail):
            ends.append((path, [found.line]))
        elif isinstance(found, _Present):
            there.append(found.line)
        else:
            changes += found
    by_number = dict(edits)
    failures += _at_one_place(changes, by_number, path, file)
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
    new = with_tail(new, [edit for _, edit in edits])
    if broken := broken_by(path, content, new):
        return [_failure("syntax_broken", number, edit, broken)]
    return new, [*((path, [file.line_at(change.start)]) for change in changes), *ends], there


def _at_one_place(changes: list[_Change], by_number: dict[int, Edit], path: str, file: TextFile) -> list[EditFailure]:
    """Refuse lines that are all to stand right behind the same one: nobody says in which order."""
    placed: dict[int, int] = {}
    failures = []
    for change in changes:
        if by_number[change.edit].how in ("after", "start"):
            other = placed.setdefault(change.start, change.edit)
            if other != change.edit:
                said = f"edits {other} and {change.edit} want to be at the same place of {path}"
                line = [file.line_at(change.start)]
                failures.append(_failure("edits_overlap", change.edit, by_number[change.edit], said, line))
    return failures


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


def _found(number: int, edit: Edit, file: TextFile) -> list[_Change] | _Present | EditFailure:
    if edit.how == "replace":
        return _match(number, edit, file)
    return settings_changes(number, edit, file) if edit.how == "set" else insertions(number, edit, file)


def _match(number: int, edit: Edit, file: TextFile) -> list[_Change] | _Present | EditFailure:
    """Find where one edit applies, or that it had been made before, or why it cannot be."""
    old, new = edit.old or "", edit.new or ""
    prose = is_prose(edit.path)
    found = at_the_end(occurrences(file.text, old, edit.lines, prose), edit, file.text)
    spans = [
        span for span in found if not (_would_misalign(edit, file.text, span[0]) or _strips(edit, file.text, *span))
    ]
    made = occurrences(file.text, new, edit.lines, prose) if len("".join(new.split())) > 3 or old in new else []
    made = at_the_end(made, edit, file.text)
    live = [span for span in spans if not any(start <= span[0] and span[1] <= end for start, end in made)]
    if edit.at_line and len(new.strip().split("\n")) == 1 and edit.old != edit.new:
        # One line may well stand elsewhere for another reason.
        made = [span for span in made if file.line_at(span[0]) == edit.at_line]
    if not live and made and old.split() != new.split() and spaced_otherwise(old, file.text, made):
        made = []  # the old text is there yet, if not exactly
    if not live and made and edit.count in (EVERY, len(made)):
        return _Present(file.line_at(made[0][0]))
    here = [span for span in live if file.line_at(span[0]) == edit.at_line]
    if len(live) > 1 and edit.count == 1 and len(here) == 1:
        live = here
    lines = [file.line_at(start) for start, _ in live]
    if not live:
        hint = nearest(old, file.text)
        where = f"at the end of {edit.path}, where the diff has it" if edit.tail else f"in {edit.path}"
        message = f"the old text is not {where}" + (f"; {hint.message}" if hint else "")
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


def _strips(edit: Edit, text: str, start: int, end: int) -> bool:
    """Tell whether lines that go would leave of another line only what is no text: the mark of a list's item, say."""
    around = text[text.rfind("\n", 0, start) + 1 : start] + text[end : _line_end(text, end)]
    return edit.lines and not edit.new and bool(around.strip()) and not any(map(str.isalnum, around))


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _change(number: int, edit: Edit, text: str, start: int, end: int) -> _Change:
    new = edit.new or ""
    if edit.lines and new:
        return _Change(start, end, new.removesuffix("\n"), number)
    begun, ended = text.rfind("\n", 0, start) + 1, _line_end(text, end)
    if edit.lines and not (text[begun:start] + text[end:ended]).strip():
        # Lines that go take their indentation and a line end along.
        start, end = begun, ended
        if end < len(text):
            end += 1
        elif start > 0:
            start -= 1
    return _Change(start, end, new, number)
