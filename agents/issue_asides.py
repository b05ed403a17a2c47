"""Sections of an issue that tell of something else than what is to be done.

Pure. Keeps: a section whose heading names a file is never left out as an aside, as it says what is to be done there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .issue_blocks import Block
from .issue_paths import of_heading

#: "Do not do this" as a whole; "Don't crash on empty input" is a wish.
FORBIDDEN = re.compile(
    r"\W*(?:\d+[.)]\s*)?(?:please )?(?:do not|don['’]t|never|what not to|not to)"
    r"(?: (?:do|be done|change|touch|edit|apply|replace|make|use))?"
    r"(?: (?:this|these|that|it|so|the following|(?:any|all) of (?:this|these|the following)))?\W*$",
    re.I,
)
_ASIDE = re.compile(
    r"(?:possible |other |considered |rejected )*(?:alternatives?|workarounds?)\b"
    r"|rejected\b|(?:not in|out of) scope\b|non-goals\b|(?:steps|how) to reproduce\b|reproduction\b"
    r"|(?:(?:actual|expected|example|relevant|error|server|console|debug|full|test|my) )*"
    r"(?:output|traceback|stack ?trace|logs?)(?: (?:output|messages?|of .*))?\W*$"
    r"|.*\b(?:alternatives|workarounds) (?:considered|tried)\b|.*\bdescribe alternatives\b",
    re.I,
)


#: The heading of one issue among several: "## Issue B: …", "## 2. …".
_ONE_OF_SEVERAL = re.compile(
    r"\W*(?:(?:sub-?)?(?:issue|task|bug|item|part|ticket|problem|story)\s+#?\w{1,4}\b|#?\d+\b[.):\s–—-])", re.I
)
#: What a status may say of an issue that is over; such an issue asks for nothing any more.
OVER = re.compile(
    r"(?:resolved|closed|done|fixed|merged|completed?|released|won['’]?t ?fix|wont ?fix|duplicate|invalid|obsolete"
    r"|rejected|cancell?ed)\b",
    re.IGNORECASE,
)
STATUS = re.compile(r"\s*(?:status|state)\s*:\s*(.+)", re.I)


def settled_lines(blocks: Sequence[Block]) -> list[tuple[int, int]]:
    """Return where those of several issues in one text stand that begin with a status which says that they are over.

    Each is its first line and the one behind its last one, 0 for the end of the text. Where that is said of all of
    them, it is said of the whole: there is none then.
    """
    own = [n for n, block in enumerate(blocks) if block.kind == "heading" and _ONE_OF_SEVERAL.match(block.text)]
    level = min((blocks[n].level for n in own), default=0)
    own = [n for n in own if blocks[n].level == level]
    settled = []
    for n in own:
        lines = blocks[n + 1].plain().split("\n") if n + 1 < len(blocks) and blocks[n + 1].kind == "text" else []
        if any((said := STATUS.match(line)) and OVER.match(said[1].strip()) for line in lines):
            ends = (m for m in range(n + 1, len(blocks)) if blocks[m].kind == "heading" and blocks[m].level <= level)
            settled.append((blocks[n].line, next((blocks[m].line for m in ends), 0)))
    return settled if len(settled) < len(own) else []


def is_within(line: int, places: Sequence[tuple[int, int]]) -> bool:
    """Tell whether a line is in one of such places."""
    return any(first <= line and (line < end or not end) for first, end in places)


def blanked(text: str, places: Sequence[tuple[int, int]]) -> str:
    """Return a text with nothing in the lines of such places."""
    lines = text.split("\n") if places else [text]
    return "\n".join("" if is_within(n, places) else line for n, line in enumerate(lines, 1))


def without_asides(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks without such sections, their sub-sections included; the title stands for no section."""
    kept: list[Block] = []
    aside = 0
    titled = not any(block.kind == "heading" and block.level == 1 for block in blocks[:1])
    for block in blocks:
        if block.kind == "heading" and not (aside and block.level > aside):
            words = re.sub(r"^\W*(?:\d+[.)]\s*)?", "", block.text)
            left = titled and not of_heading(block) and (_ASIDE.match(words) or FORBIDDEN.match(words))
            aside = block.level if left else 0
            titled = titled or block.level == 1
        if not aside:
            kept.append(block)
    return kept
