"""A text file as an editor sees it, and its bytes again afterwards.

Owns encodings, byte-order marks and line ends. Pure. Keeps: what is not replaced comes out byte for byte.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


class TextFile:
    """`text` is the content with every line end as a newline; `encoding` names how it is written."""

    def __init__(self, raw: str, mark: bytes, encoding: str) -> None:
        self._raw = raw
        self._mark = mark
        self.encoding = encoding
        self.text = raw.replace("\r\n", "\n")

    # Both are found when they are asked for: a file that is only read may have millions of lines.
    @cached_property
    def _newlines(self) -> list[int]:
        return [found.start() for found in re.finditer("\n", self.text)]

    @cached_property
    def _carriages(self) -> list[int]:
        """Where in `text` the line ends stand that were written as \r\n."""
        return [found.start() - n for n, found in enumerate(re.finditer("\r\n", self._raw))]

    def line_at(self, position: int) -> int:
        """Return the number of the line, from 1, that holds a position of `text`."""
        return bisect_left(self._newlines, position) + 1

    def replaced(self, changes: Sequence[tuple[int, int, str]]) -> bytes:
        """Return the bytes with each span (start, end, new) replaced; spans are sorted and don't overlap.

        New line ends are written as the ones beside them are. Raises UnicodeEncodeError where the encoding lacks a
        character of the new text.
        """
        parts = []
        done = 0
        for start, end, new in changes:
            parts += [self._raw[done : self._offset(start)], new.replace("\n", self._line_end(start))]
            done = self._offset(end)
        return self._mark + "".join([*parts, self._raw[done:]]).encode(self.encoding)

    def _offset(self, position: int) -> int:
        return position + bisect_left(self._carriages, position)

    def _line_end(self, position: int) -> str:
        """Choose the line end of the line at a position, or of the one before where it is the last and has none."""
        at = min(bisect_left(self._newlines, position), len(self._newlines) - 1)
        if at < 0:
            return "\n"
        newline = self._newlines[at]
        found = bisect_right(self._carriages, newline)
        return "\r\n" if found and self._carriages[found - 1] == newline else "\n"


def decode(content: bytes) -> TextFile | None:
    """Return a file's text, or None where it is binary. Nothing is lost: encoding it again gives the same bytes."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _as(content[len(mark) :], mark, encoding)
    if b"\0" in content:
        return None
    return _as(content, b"", "utf-8") or _as(content, b"", _declared(content)) or _as(content, b"", "latin-1")


def _as(content: bytes, mark: bytes, encoding: str) -> TextFile | None:
    try:
        text = content.decode(encoding)
        faithful = text.encode(encoding) == content
    except (UnicodeError, LookupError):
        return None
    return TextFile(text, mark, encoding) if faithful else None


def _declared(content: bytes) -> str:
    """Return the encoding that one of the first two lines declares, as Python and Emacs do; else Latin-1."""
    for line in content.split(b"\n", 2)[:2]:
        if found := _COOKIE.match(line):
            return found[1].decode("ascii", "replace")
    return "latin-1"
