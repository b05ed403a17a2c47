"""How a file ends: whether its last line has a line end, which a diff says beside its lines. Pure.

Keeps: only the end of the file changes, and the line end that it gets is that of the lines before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from .edit import Edit, Tail
from .text_file import TextFile, decode


def has_tail(text: str, tail: Tail) -> bool:
    """Tell whether a text ends as an edit says; any does where it says nothing, and an empty one has no line to end."""
    return not tail or not text or text.endswith("\n") == (tail == "newline")


def at_the_end(spans: Sequence[tuple[int, int]], edit: Edit, text: str) -> list[tuple[int, int]]:
    """Return the places that an edit may mean: where it says how the file ends, only those that are its end."""
    return [span for span in spans if not edit.tail or text[span[1] :] in ("", "\n")]


def with_tail(content: bytes, edits: Sequence[Edit]) -> bytes:
    """Return a file's content with the end that one of its edits says."""
    tail: Tail = next((edit.tail for edit in edits if edit.tail), "")
    file: TextFile | None = decode(content) if tail else None
    if file is None or has_tail(file.text, tail):
        return content
    end = len(file.text)
    return file.replaced([(end, end, "\n")] if tail == "newline" else [(end - 1, end, "")])
