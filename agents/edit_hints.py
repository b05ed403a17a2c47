"""Where a text that was not found probably stands, for a person to look at; never used to edit. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import msgspec

#: A file beyond this many lines is not searched for similar ones, which costs quadratic time.
LINES_MAX = 20_000
#: A text beyond this many lines is not looked for with other spacing.
WANTED_LINES_MAX = 1000
#: Lines are compared until so many pairs of characters may have been, which takes seconds at worst.
PAIRS_MAX = 30_000_000


class Hint(msgspec.Struct, frozen=True):
    """A line worth looking at, and why."""

    line: int
    message: str


def spaced_otherwise(wanted: str, text: str, beside: Sequence[tuple[int, int]]) -> int:
    """Return the line at which a text stands with other spacing, outside of the given places; 0 where it doesn't."""
    looked_for = [" ".join(line.split()) for line in wanted.split("\n") if line.strip()]
    filled, at = [], 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not any(start < at + len(line) and at < end for start, end in beside):
            filled.append((number, " ".join(line.split())))
        at += len(line) + 1
    if not looked_for or len(looked_for) > WANTED_LINES_MAX or len(filled) > LINES_MAX:
        return 0
    for n, (number, line) in enumerate(filled):
        if line == looked_for[0] and [other for _, other in filled[n : n + len(looked_for)]] == looked_for:
            return number
    return 0


def nearest(wanted: str, text: str) -> Hint | None:
    """Return the place that differs in white space only, or is longer, else the line most like the longest one."""
    wanted_lines = [line for line in wanted.split("\n") if line.strip()]
    lines = text.split("\n")
    if not wanted_lines or len(lines) > LINES_MAX:
        return None
    squeezed = [" ".join(line.split()) for line in lines]
    looked_for = [" ".join(line.split()) for line in wanted_lines]
    filled = [(number, line) for number, line in enumerate(squeezed, 1) if line]
    starts = range(len(filled) - len(looked_for) + 1) if len(looked_for) <= WANTED_LINES_MAX else ()
    for n in starts:
        if filled[n][1] == looked_for[0] and [line for _, line in filled[n : n + len(looked_for)]] == looked_for:
            line = filled[n][0]
            return Hint(line, f"at line {line} it stands with other indentation or spacing")
    if inside := _within_a_line(wanted, text):
        return inside
    longest = max(looked_for, key=len)
    similar = difflib.get_close_matches(
        longest, _of_like_length(longest, [line for _, line in filled]), n=1, cutoff=0.7
    )
    if not similar:
        return None
    line = squeezed.index(similar[0]) + 1
    return Hint(line, f"line {line} is the most similar: {lines[line - 1].strip()[:120]}")


def _of_like_length(wanted: str, lines: list[str]) -> list[str]:
    """Return the lines that can be compared with a text in bounded time, those of the most like length first."""
    found: list[str] = []
    left = PAIRS_MAX
    for line in sorted(dict.fromkeys(lines), key=lambda line: abs(len(line) - len(wanted))):
        left -= len(line) * len(wanted)
        if left < 0 or len(line) >= 500:
            break
        found.append(line)
    return found


def _within_a_line(wanted: str, text: str) -> Hint | None:
    """Return the place where a text stands, but as a part of a longer line or word."""
    at = text.find(wanted.removesuffix("\n")) if wanted.strip() else -1
    if at < 0:
        return None
    line = text.count("\n", 0, at) + 1
    return Hint(line, f"at line {line} it is a part of something longer: {text.split(chr(10))[line - 1].strip()[:120]}")
