"""Passages: a file cut into pieces that can be found, read and cited by themselves.

Pure. Owns where a text is cut: prose at its headings, code at its definitions, anything else at empty lines. Keeps: the
passages of a file cover all of it and don't overlap, and none is longer than LINES_MAX.
"""

from __future__ import annotations

import re

import msgspec

from .symbols import Symbol, suffix_of, symbols_of

LINES_MAX = 50
_LINES_MIN = 5
_PROSE = frozenset([".md", ".markdown", ".mdx", ".rst", ".txt", ".adoc"])
_HEADING = re.compile(r"#{1,6}\s+(?P<name>.+?)\s*#*$|={1,5}\s+(?P<name2>.+)$")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}\s*$")


class Passage(msgspec.Struct, frozen=True):
    """A run of lines (from 1, both ends included) with the names that it defines, or the headings that it is below."""

    start: int
    end: int
    names: tuple[str, ...] = ()


def passages_of(text: str, path: str) -> list[Passage]:
    """Cut a file's text; an empty one has no passages."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    if not lines:
        return []
    suffix = suffix_of(path)
    if suffix in _PROSE or (
        "." not in suffix and suffix in ("readme", "license", "changes", "changelog", "news", "authors")
    ):
        return _of_prose(lines)
    return _of_code(lines, symbols_of(text, suffix))


def _of_prose(lines: list[str]) -> list[Passage]:
    found: list[Passage] = []
    trail: list[tuple[str, str]] = []
    start = 1
    fenced = False
    styles: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        heading, at = None, number
        if not fenced and (match := _HEADING.match(line)):
            heading = (match["name"] or match["name2"], line[: len(line) - len(line.lstrip("#="))])
        elif not fenced and number > 1 and _UNDERLINE.match(line) and _is_title(lines[number - 2], line):
            heading, at = (lines[number - 2].strip(), line[0]), number - 1
        if heading is None:
            continue
        if at > start:
            found += _split(lines, start, at - 1, tuple(name for name, _ in trail))
        if heading[1] not in styles:
            styles.append(heading[1])
        marked = heading[1][:1] == "#" and number == at
        depth = len(heading[1]) if marked else styles.index(heading[1]) + 1
        trail = [*trail[: max(depth - 1, 0)], (heading[0], heading[1])]
        start = at
    return found + _split(lines, start, len(lines), tuple(name for name, _ in trail))


def _is_title(line: str, underline: str) -> bool:
    return (
        bool(line.strip())
        and len(line.rstrip()) <= len(underline.rstrip()) + 2
        and not line.startswith((" ", "|", "-"))
    )


def _of_code(lines: list[str], symbols: list[Symbol]) -> list[Passage]:
    cuts = [1]
    for symbol in symbols:
        at = _with_comment(lines, symbol.start)
        long = symbol.end - symbol.start >= _LINES_MIN
        # A class is read together with its first members, if these come soon.
        if at - cuts[-1] >= _LINES_MIN or (long and at > cuts[-1] and symbol.own == symbol.name):
            cuts.append(at)
    found: list[Passage] = []
    for start, after in zip(cuts, [*cuts[1:], len(lines) + 1], strict=True):
        found += _split(lines, start, after - 1, ())
    return [_named(one, symbols) for one in found]


def _with_comment(lines: list[str], start: int) -> int:
    """Return where the comment right above a definition begins."""
    at = start
    while at > 1 and re.match(r"\s*(?:#|//|/\*|\*|--|;;|@)", lines[at - 2]):
        at -= 1
    return at


def _named(passage: Passage, symbols: list[Symbol]) -> Passage:
    inside = [one for one in symbols if passage.start <= one.start <= passage.end]
    around = [one for one in symbols if one.start < passage.start and one.end >= passage.end]
    # What goes on in here from further up; members have its name in theirs.
    names = [one.name for one in inside] or [f"… {one.name}" for one in around[-1:]]
    return msgspec.structs.replace(passage, names=tuple(dict.fromkeys(names)))


def _split(lines: list[str], start: int, end: int, names: tuple[str, ...]) -> list[Passage]:
    """Cut what is too long at its empty lines, else where it must be."""
    found = []
    while end - start + 1 > LINES_MAX:
        middle = range(start + LINES_MAX - 1, start + LINES_MAX // 2, -1)
        at = next((number for number in middle if not lines[number - 1].strip()), start + LINES_MAX - 1)
        found.append(Passage(start, at, names))
        start = at + 1
    return [*found, Passage(start, end, names)] if end >= start else found
