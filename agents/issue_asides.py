"""Sections of an issue that tell of something else than what is to be done.

Pure. Keeps: a section whose heading names a file is never left out, as it says what is to be done there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .issue_blocks import Block
from .issue_paths import of_heading

_ASIDE = re.compile(
    r"(?:possible |other |considered |rejected )*(?:alternatives?|workarounds?)\b"
    r"|rejected\b|(?:not in|out of) scope\b|non-goals\b|(?:steps|how) to reproduce\b|reproduction\b"
    r"|(?:(?:actual|expected|example|relevant|error|server|console|debug|full|test|my) )*"
    r"(?:output|traceback|stack ?trace|logs?)(?: (?:output|messages?|of .*))?\W*$"
    r"|.*\b(?:alternatives|workarounds) (?:considered|tried)\b|.*\bdescribe alternatives\b",
    re.I,
)


def without_asides(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks without such sections, their sub-sections included."""
    kept: list[Block] = []
    aside = 0
    for block in blocks:
        if block.kind == "heading" and not (aside and block.level > aside):
            words = re.sub(r"^\W*(?:\d+[.)]\s*)?", "", block.text)
            aside = block.level if _ASIDE.match(words) and not of_heading(block) else 0
        if not aside:
            kept.append(block)
    return kept
