"""Lines put beside others, or at the end or start of a file. Pure.

Keeps: lines go only beside whole lines that stand exactly once (or as often as stated), never between the parts of one,
and not where nobody can tell which indentation or meaning they would get.
"""

from __future__ import annotations

import ast
import re

from .edit import EVERY, Change, Edit, EditFailure, Present, failed
from .edit_hints import nearest
from .text_file import TextFile

#: A line that opens a block: what is put behind it could belong inside of it or not.
_OPENS = re.compile(r"(?:[:{(\[,]|=>|->|\bthen|\bdo|\\)\s*(?:#.*|//.*)?$")
#: The first line that must stay the first one.
_FIRST = re.compile(r"#!|<\?xml|<!doctype|---\s*$|.*coding[:=]", re.I)


def insertions(number: int, edit: Edit, file: TextFile) -> list[Change] | Present | EditFailure:
    """Find where the lines of an edit go, or that they had been put there before, or why they can't be."""
    if edit.how == "end":
        return _at_end(number, edit, file)
    if edit.how == "start":
        return _at_start(number, edit, file)
    return _beside(number, edit, file)


def _beside(number: int, edit: Edit, file: TextFile) -> list[Change] | Present | EditFailure:
    lines = file.text.split("\n")
    found = _anchors(edit, lines)
    if isinstance(found, str):
        return failed("place_unclear", number, edit, found)
    exact = [at for at in found if at[0] + 1 == edit.at_line] if edit.at_line else []
    if len(exact) == 1:
        found = exact
    if not found:
        hint = nearest(edit.old or "", file.text)
        message = f"there is no line such as that in {edit.path}" + (f"; {hint.message}" if hint else "")
        return failed("old_text_missing", number, edit, message, [hint.line] if hint else [])
    if edit.count not in (EVERY, len(found)):
        where = [at[0] + 1 for at in found]
        times = "exactly once" if edit.count == 1 else f"{edit.count} times"
        message = f"the line must stand {times} in {edit.path}, and stands there {len(found)} times: lines {where[:20]}"
        return failed("old_text_ambiguous", number, edit, message, where)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    changes = []
    there = []
    for first, behind, indent in found:
        new = _indented(edit.new or "", indent).split("\n")
        if edit.how == "after":
            anchor = lines[behind - 1]
            # A block that comes with an indentation of its own, below a line that was shown as it stands, says it all.
            exact_place = edit.lines or (not indent and (edit.new or "")[:1].isspace())
            if not exact_place and _OPENS.search(anchor):
                message = (
                    f"line {behind} of {edit.path} opens something, so nothing says how far the new one is indented"
                )
                return failed("place_unclear", number, edit, message, [behind])
            if lines[behind : behind + len(new)] == new:
                there.append(behind + 1)
            end = starts[behind] - 1
            changes.append(Change(end, end, "".join(f"\n{line}" for line in new), number))
        else:
            if lines[max(0, first - len(new)) : first] == new:
                there.append(first - len(new) + 1)
            changes.append(Change(starts[first], starts[first], "".join(f"{line}\n" for line in new), number))
    if len(there) == len(found):
        return Present(there[0])
    if there:
        message = f"the new text is there already at line {there[0]} of {edit.path}, and at other places not"
        return failed("old_text_ambiguous", number, edit, message, there)
    return changes


def _anchors(edit: Edit, lines: list[str]) -> list[tuple[int, int, str]] | str:
    """Return first and last line (from 0, the last not included) of each place, and the indentation that new lines get.

    A string says why the place is none.
    """
    count = len(lines) - (lines[-1] == "")
    if edit.old is None:
        if not 1 <= edit.at_line <= count:
            return f"{edit.path} has {count} lines, and no line {edit.at_line}"
        return [(edit.at_line - 1, edit.at_line, "")]
    wanted = edit.old.removesuffix("\n").split("\n")
    size = len(wanted)
    found = [(n, n + size, "") for n in range(count - size + 1) if lines[n : n + size] == wanted]
    if found or (edit.lines and not edit.at_line) or size > 1:
        return found
    alike = [(n, lines[n]) for n in range(count) if lines[n].strip() == wanted[0].strip()]
    return [(n, n + 1, line[: len(line) - len(line.lstrip())]) for n, line in alike]


def _indented(text: str, indent: str) -> str:
    return "\n".join(indent + line if line.strip() else line for line in text.removesuffix("\n").split("\n"))


def _at_end(number: int, edit: Edit, file: TextFile) -> list[Change] | Present | EditFailure:
    new = (edit.new or "").removesuffix("\n")
    text = file.text
    bare = text.removesuffix("\n")
    if f"\n{bare}\n".endswith(f"\n{new}\n"):
        return Present(bare.count("\n") + 1 - new.count("\n"))
    if not text:
        return [Change(0, 0, f"{new}\n", number)]
    if text.endswith("\n"):
        return [Change(len(text), len(text), f"{new}\n", number)]
    return [Change(len(text), len(text), f"\n{new}", number)]


def _at_start(number: int, edit: Edit, file: TextFile) -> list[Change] | Present | EditFailure:
    new = (edit.new or "").removesuffix("\n")
    if f"{file.text}\n".startswith(f"{new}\n"):
        return Present(1)
    first = file.text.split("\n", 1)[0]
    if _FIRST.match(first) or (edit.path.endswith((".py", ".pyi")) and _has_head(file.text, new)):
        message = f"the first lines of {edit.path} must stay the first ones, so its top is no place for others"
        return failed("place_unclear", number, edit, message, [1])
    return [Change(0, 0, f"{new}\n", number)]


def _has_head(source: str, new: str) -> bool:
    """Tell whether a Python file begins with a docstring or `__future__` imports that code before it would disable."""
    if all(not line.strip() or line.lstrip().startswith("#") for line in new.split("\n")):
        return False
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    said = ast.get_docstring(ast.Module(body, []), clean=False) is not None
    future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in body)
    return said or (future and "__future__" not in new)
