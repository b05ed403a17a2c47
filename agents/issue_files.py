"""Whole files that an issue gives: a file to be made, with a block that is all of it.

Pure. Also finds what would be left out silently if only the pairs beside it were made: a block under the name of a file
that no label explains.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from .issue_blocks import CODE, Block
from .issue_labels import is_label
from .issue_paths import LETTER, Scope, looks_like_path, mentioned, normal, of_heading
from .issue_statement import Pair, Problem

_ORDER = r"\W*(?:\d+[.)]\s*)?(?:and |then |also |please )*"
_PLACE = (
    r"(?:the |a |an |this |another )*(?:new |empty |following )*(?:file |module |test |page )*"
    r"(?:named |called |at |: )*"
    rf"({CODE}|[{LETTER}.@+~/\-]+)"
)
_MAKE = re.compile(
    rf"{_ORDER}(?:(?:create|add|write) {_PLACE}|new (?:file|module|test|page)s?\W* ?{_PLACE})"
    r"(?: (?:with|containing|that contains|as follows)(?: (?:the|this|these|following|contents?|code|text|lines?))*)?"
    r"\W*$",
    re.I,
)
_NEW_HEADING = re.compile(
    r"\((?:a )?(?:new|create|to be created|new file|create file)\)|\bnew (?:file|module)\b|\W(?:new|create)\W*$"
    r"|^\W*(?:\d+[.)]\s*)?(?:create|add (?:a |the )?(?:new )?file)\b",
    re.I,
)
#: Fences of what a person types or a program prints.
_CONSOLE = {"console", "shell-session", "pycon", "text", "output", "traceback", "pytb", "log", "none"}


def find_files(
    blocks: Sequence[Block], taken: Collection[int], edited: Collection[str]
) -> tuple[list[Pair], list[Problem]]:
    """Return files to be made, and what can't be taken.

    `taken` are the lines of blocks that belong to a pair, `edited` the files that pairs name.
    """
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for at, block in enumerate(blocks):
        if block.kind == "heading" and (paths := list(dict.fromkeys(of_heading(block)))):
            made = _section(blocks, at, paths, taken, edited)
        elif block.kind == "text":
            made = _line(blocks, at, taken)
        else:
            continue
        pairs += [item for item in made if isinstance(item, Pair)]
        problems += [item for item in made if isinstance(item, Problem)]
    done = {pair.line for pair in pairs}
    return pairs, [problem for problem in problems if problem.line not in done]


def _section(
    blocks: Sequence[Block], at: int, paths: Sequence[str], taken: Collection[int], edited: Collection[str]
) -> list[Pair | Problem]:
    """Read a section under the name of a file: a new one, or one with a block that belongs to nothing."""
    heading = blocks[at]
    end = next((n for n in range(at + 1, len(blocks)) if blocks[n].kind == "heading"), len(blocks))
    inside = blocks[at + 1 : end]
    loose = [block for block in inside if block.kind == "code" and block.line not in taken]
    if any(block.line in taken for block in inside) or any(is_label(b.text) for b in inside if b.kind == "text"):
        return []
    if _NEW_HEADING.search(heading.text.replace(CODE, " ")) or _made_below(inside):
        if len(loose) == 1 and len(paths) == 1:
            return [Pair(None, loose[0].text, True, loose[0].line, [Scope(list(paths), heading.line)])]
        what = "several blocks" if loose else "no block"
        return [Problem(heading.line, f"names a file to be made, and has {what} with its content")]
    named = [path for path in paths if looks_like_path(path) and path not in edited]
    shown = [block for block in loose if block.info.split(" ")[0].lower() not in _CONSOLE]
    if named and shown and edited and heading.level > 1:
        return [Problem(shown[0].line, f"shows a block under {named[0]} and does not say what it replaces")]
    return []


def _made_below(inside: Sequence[Block]) -> bool:
    """Tell whether the words of a section say that its file is to be made."""
    words = [line for block in inside if block.kind == "text" for line in block.plain().split("\n")]
    said = r"\W*(?:please )?(?:create|add|this is a|it is a|a) (?:this |the |new |following )*(?:file|module)\b.{0,40}$"
    return any(re.match(said, line, re.I) for line in words)


def _line(blocks: Sequence[Block], at: int, taken: Collection[int]) -> list[Pair | Problem]:
    """Read `Create `a.py`:` with the block behind it, which is all of it."""
    block = blocks[at]
    lines = block.text.split("\n")
    match = _MAKE.match(lines[-1])
    following = blocks[at + 1] if at + 1 < len(blocks) else None
    if match is None or following is None or following.kind != "code" or following.line in taken:
        return []
    word = next(group for group in match.groups() if group)
    named = mentioned(block)[-1:] if word == CODE else [normal(word)]
    if not named or not looks_like_path(named[0]):
        return []
    return [Pair(None, following.text, True, following.line, [Scope(named, block.line)])]
