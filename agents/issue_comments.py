"""What comment lines in an issue's code blocks say of them: which half is old and which new, and which file it is.

Pure. Such a line is the issue's, not the file's: it is left out of the texts.
"""

from __future__ import annotations

import re

from .issue_blocks import Block
from .issue_labels import NEW, OLD, is_weak, label_of
from .issue_paths import looks_like_path, normal

_COMMENT = re.compile(r"\s*(?:#+|//+|--|;+|%+|<!--|/\*)\s*(.*?\w.*?)\s*(?:-->|\*/)?\s*")


def halves(block: Block) -> tuple[str, str] | None:
    """Return the old and the new text of a block that begins with `# Before` and has one `# After` further down."""
    lines = block.text.split("\n")[:-1]
    said = [found[1] if (found := _comment(line)) else "" for line in lines]
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if not lines or not said[first] or is_weak(said[first]) or label_of(said[first], OLD) is None:
        return None
    news = [n for n, text in enumerate(said) if n > first and text and label_of(text, NEW) is not None]
    if len(news) != 1 or any(label_of(text, OLD) for text in said[first + 1 :] if text):
        return None
    return _trimmed(lines[first + 1 : news[0]]), _trimmed(lines[news[0] + 1 :])


def _comment(line: str) -> re.Match[str] | None:
    return _COMMENT.fullmatch(line) if len(line) < 500 else None


def _trimmed(lines: list[str]) -> str:
    """Join lines without the blank ones around them, which part the halves."""
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    while lines and not lines[0].strip():
        lines = lines[1:]
    return "".join(f"{line}\n" for line in lines)


def named_file(text: str) -> tuple[str, str]:
    """Return the path that a text's first line names as a comment, and the text without that line; else "" and all."""
    first, _, rest = text.partition("\n")
    found = _comment(first)
    word = re.sub(r"^(?:file|in|path)\s*:?\s+", "", found[1], flags=re.I).strip("`\"'") if found else ""
    return (normal(word), rest) if looks_like_path(word) else ("", text)
