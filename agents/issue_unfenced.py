"""Diffs and blocks of SEARCH and REPLACE that stand in an issue without a fence around them.

Pure. Markdown would take their lines for lists, rules and headings. Keeps: every other line stays where it is, so that
line numbers hold.
"""

from __future__ import annotations

import re

_FENCE = re.compile(r"[ \t]*(?:[-*+]|\d+[.)])?[ \t]*(`{3,}(?!.*`)|~{3,})")
_NUMBERS = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_HEADER = re.compile(
    r"diff --git |index [0-9a-f]|--- |\+\+\+ |(?:new|deleted) file mode|(?:old|new) mode|similarity |rename |copy "
)
_SEARCH = re.compile(r"<{5,} ?(?:SEARCH|ORIGINAL|OLD)$")
_REPLACE = re.compile(r">{5,} ?(?:REPLACE|UPDATED|NEW)$")


def lift(text: str) -> tuple[str, list[tuple[int, str]]]:
    """Return the text with such places blank, and each of them with the number of its first line, from 1."""
    lines = text.split("\n")
    found: list[tuple[int, str]] = []
    fence = ""
    hidden = False
    at = 0
    while at < len(lines):
        mark = _FENCE.match(lines[at])
        if mark and (not fence or (mark[1].startswith(fence) and not lines[at].strip().strip(fence[0]))):
            fence = "" if fence else mark[1]
        if not fence:
            opened = hidden or "<!--" in lines[at]
            hidden = opened and "-->" not in lines[at].rpartition("<!--")[2]
        end = at if fence or hidden else _end(lines, at)
        if end > at:
            found.append((at + 1, "".join(f"{line}\n" for line in lines[at:end])))
            lines[at:end] = [""] * (end - at)
        at = max(end, at + 1)
    return "\n".join(lines), found


def _end(lines: list[str], at: int) -> int:
    """Return the index behind a place that begins at a line; that line itself where none does."""
    if _SEARCH.match(lines[at].rstrip()):
        return next((n + 1 for n in range(at, len(lines)) if _REPLACE.match(lines[n].rstrip())), at)
    following = [*lines[at + 1 : at + 3], "", ""]
    begins = lines[at].startswith("--- ") and following[0].startswith("+++ ") and following[1].startswith("@@")
    if not begins and not re.match(r"diff --git \S", lines[at]):
        return at
    end = at
    old = new = 0
    while end < len(lines):
        line = lines[end]
        counts = _NUMBERS.match(line)
        if counts:
            old, new = int(counts[1] or 1), int(counts[2] or 1)
        elif old > 0 or new > 0:
            if line[:1] not in ("", " ", "-", "+", "\\"):
                break
            old -= line[:1] in ("", " ", "-")
            new -= line[:1] in ("", " ", "+")
        # Beyond the numbers only what can hardly be anything else; a wrong header is found out later.
        elif not (_HEADER.match(line) or re.match(r"@@|\\ |\+|-(?!-? ?$| )", line)):
            break
        end += 1
    while not lines[end - 1].strip():
        end -= 1
    return end
