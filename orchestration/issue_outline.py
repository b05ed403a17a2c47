"""An issue's text as an outline: its title, its sentences and list items in reading order, and its code samples.

Owns the way from Markdown to that outline, line by line, in time proportional to the text and for any text at all;
leaves what the words mean to `issue_units`. Pure. Keeps: what stands in a code block, a quotation, a comment or behind
a URL never becomes a word of the issue.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

#: What is read of a text; nobody reads issues beyond that, and logs are attached at their end.
READ_MAX = 100_000
TITLE_LENGTH_MAX = 500
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.{0,4000}?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_FENCE = re.compile(r"(`{3,}|~{3,})([^`]{0,200})\Z")
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*)")
_UNDERLINE = re.compile(r"(?:={3,}|-{3,})\Z")
_RULE = re.compile(r"(?:[-*_][ ]?){3,}\Z")
_ITEM = re.compile(r"([-*+•]|\d{1,4}[.)])(?:[ ]+|\Z)(.*)")
_BOX = re.compile(r"\[([ xX])\][ ]+(.*)")
_BOLD_LINE = re.compile(r"(?:\*\*|__)([^*_]{1,80})(?:\*\*|__):?\Z")
_CODE = re.compile(r"(`{1,3})(?!`)([^`]{1,300})\1(?!`)")
_LINK = re.compile(r"!?\[([^\[\]]{0,300})\]\([^()\s]{0,500}(?:[ ][^()]{0,200})?\)")
_URL = re.compile(r"\b(?:[a-z][a-z0-9+.-]{1,12}://|www\.)[^\s<>\"'`)\]]{0,2000}")
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_MARKS = re.compile(r"\*{1,3}|~~")
_STRUCK = re.compile(r"(?<!~)~~(?=[^\s~])[^~]{1,2000}(?<=[^\s~])~~(?!~)")
#: Emphasis by underscores; `__init__` and `a/_b_.py` are names.
_UNDERSCORED = re.compile(
    r"(?<![\w/.`])(_(?=[^\W_])([^_\n]{1,200})_|__(?=\S)([^_\n]{1,200}\s[^_\n]{1,200})__)(?![\w./(])"
)
#: "Issue #12:" before a title is no part of it.
_NUMBERED = re.compile(r"\A(?:issue\s*)?#\d+\s*[:.–—-]?\s*", re.IGNORECASE)
#: The end of a sentence: a full stop and a new beginning, or the full stop of a script without blanks.
_SENTENCE = re.compile(r"(?<=[.!?])[\"'”»)*]{0,3}\s+(?=\S)|(?<=:)\n(?=[^\sa-z])|(?<=[。！？])")
#: Fields of an issue's form, which tell about the issue and not about the work.
_FIELD = re.compile(
    r"(?:type|priority|status|state|labels?|severity|milestone|assignees?|components?|versions?|environment|os|python"
    r"|depends on|blocked by|blocks|related|see also|kind|effort)\b[*_]{0,2}\s?:",
    re.IGNORECASE,
)
_ABBREVIATED = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|etc|resp|ca|approx|no|fig|z\.B|d\.h|bzw|p\.ej|Dr|Mr|Ms)|\b[A-Z])\.\Z"
)
#: Stands for a piece of inline code while sentences are told apart.
_CODE_MARK = "\ue001"


class Unit(msgspec.Struct, frozen=True):
    """A title, a sentence, a list item with all that belongs to it, or a row of a table.

    `text` is without markup, inline code included; `codes` are the pieces of inline code. `depth` is an item's nesting
    from 1, `group` the number of its list, `checked` its box. `intro` is the paragraph right before the list.
    """

    kind: Literal["title", "sentence", "item", "row"]
    text: str
    line: int
    section: int
    codes: tuple[str, ...] = ()
    depth: int = 0
    group: int = 0
    ordered: bool = False
    checked: bool | None = None
    intro: str = ""


class Section(msgspec.Struct, frozen=True):
    """A heading (or a bold line that serves as one) and where it stands; the first section has none."""

    heading: str
    level: int
    line: int


class Sample(msgspec.Struct, frozen=True):
    """A code block: its line, what stands behind its fence, its text, and the list that it stands in (0 for none)."""

    line: int
    info: str
    text: str
    group: int


class Outline(msgspec.Struct, frozen=True):
    """What an issue says, in reading order.

    `truncated` tells that there was more of it than is read, `titled` that the title is no sentence of the text.
    """

    title: str
    units: tuple[Unit, ...]
    sections: tuple[Section, ...]
    samples: tuple[Sample, ...]
    truncated: bool
    titled: bool = True

    @property
    def title_codes(self) -> tuple[str, ...]:
        """The pieces of inline code in the title."""
        return self.units[0].codes if self.units and self.units[0].kind == "title" else ()


def read_outline(text: str) -> Outline:
    """Read an issue's Markdown; any text is an issue."""
    truncated = len(text) > READ_MAX
    text = text[:READ_MAX].removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace(_CODE_MARK, " ")
    title = ""
    if front := _FRONT_MATTER.match(text):
        named = re.search(r"^title:[ \t]*([^\n]+)$", front[1], re.MULTILINE)
        title = named[1].strip().strip("\"'") if named else ""
        text = "\n" * front[0].count("\n") + text[front.end() :]
    text = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text)
    return _Reader(title).read(text, truncated)


def inline(text: str) -> tuple[str, tuple[str, ...]]:
    """Return words without their markup, URLs and what is struck out, and the pieces of inline code among them."""
    codes: list[str] = []

    def keep(found: re.Match[str]) -> str:
        codes.append(" ".join(found[2].split()))
        return _CODE_MARK

    bare = _CODE.sub(keep, text)
    for struck in reversed(list(_STRUCK.finditer(bare))):
        del codes[(first := bare.count(_CODE_MARK, 0, struck.start())) : first + struck[0].count(_CODE_MARK)]
    bare = _TAG.sub(" ", _URL.sub(" ", _LINK.sub(r"\1", _STRUCK.sub("", bare))))
    bare = _UNDERSCORED.sub(lambda found: found[2] or found[3], bare)
    bare = " ".join(_MARKS.sub("", bare).split())
    pieces = bare.split(_CODE_MARK)
    kept = codes[: len(pieces) - 1]
    return "".join(a + b for a, b in zip(pieces, [*kept, ""], strict=False)), tuple(kept)


def sentences(text: str) -> list[str]:
    """Split raw text (markup included) into sentences; inline code is never split."""
    codes: list[str] = []

    def keep(found: re.Match[str]) -> str:
        codes.append(found[0])
        return _CODE_MARK

    bare = _CODE.sub(keep, text)
    parts: list[str] = []
    for part in _SENTENCE.split(bare):
        if parts and _ABBREVIATED.search(parts[-1][-12:]):
            parts[-1] += " " + part
        else:
            parts.append(part)
    restored = iter(codes)
    return [re.sub(_CODE_MARK, lambda _: next(restored, ""), part).strip() for part in parts if part.strip()]


class _Open(msgspec.Struct):
    """The paragraph or list item that lines are being added to."""

    lines: list[str]
    line: int
    item: bool = False
    depth: int = 0
    group: int = 0
    ordered: bool = False
    checked: bool | None = None
    intro: str = ""


class _Reader:
    """Reads lines one by one; `stack` holds where the open list items' markers and contents begin."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.units: list[Unit] = []
        self.sections = [Section("", 0, 0)]
        self.samples: list[Sample] = []
        self.stack: list[tuple[int, int]] = []
        self.open: _Open | None = None
        self.fence = ""
        self.code: list[str] | None = None
        self.code_start = (0, "", 0)
        self.blank = True
        self.groups = 0
        self.last_paragraph = ""
        self.first_line = ""

    def read(self, text: str, truncated: bool) -> Outline:
        for number, raw in enumerate(text.split("\n"), 1):
            self._line(number, raw.expandtabs(4))
        self._close_code()
        self._close()
        title, codes = inline(_NUMBERED.sub("", self.title, count=1) or self.title)
        titled = bool(title)
        if not titled and len(self.sections) == 1 and self.units and self.units[0].kind == "sentence":
            # Without any heading the first sentence is the title, and no longer a sentence of the text.
            first = self.units.pop(0)
            title, codes = first.text[:TITLE_LENGTH_MAX], first.codes
        elif not titled and self.units:
            titled, title = True, self.units[0].text[:TITLE_LENGTH_MAX]
        units = (Unit("title", title, 1, 0, codes), *self.units) if title else tuple(self.units)
        return Outline(title, units, tuple(self.sections), tuple(self.samples), truncated, titled)

    def _line(self, number: int, raw: str) -> None:
        stripped = raw.strip()
        indent = len(raw) - len(raw.lstrip())
        if self.fence:
            if stripped.startswith(self.fence) and not stripped.strip(self.fence[0]):
                self.fence = ""
                self._close_code()
            elif self.code is not None:
                self.code.append(raw)
            return
        if not stripped:
            self.blank = True
            if self.code is not None:
                self.code.append("")
            return
        if self.blank:
            while self.stack and indent < self.stack[-1][1]:
                self._close()
                self.stack.pop()
        base = self.stack[-1][1] if self.stack else 0
        if indent >= base + 4 and (self.blank or self.code is not None):
            if self.code is None:
                self._close()
                self.code, self.code_start = [], (number, "", self.groups if self.stack else 0)
            self.code.append(raw)
            self.blank = False
            return
        self._close_code()
        if self.blank and self.open is not None and not (self.open.item and self.stack):
            self._close()
        self._words(number, stripped, indent)
        self.blank = False

    def _words(self, number: int, stripped: str, indent: int) -> None:
        """Take a line that is not code."""
        if found := _FENCE.match(stripped):
            self._close()
            self.fence = found[1]
            self.code, self.code_start = [], (number, found[2].strip(), self.groups if self.stack else 0)
        elif stripped.startswith(">"):
            self._close()
        elif found := _HEADING.match(stripped):
            self._heading(found[2].rstrip("# "), len(found[1]), number)
        elif self.open and not self.open.item and not self.blank and _UNDERLINE.match(stripped):
            heading, line = " ".join(self.open.lines), self.open.line
            self.open = None
            self._heading(heading, 1 if stripped[0] == "=" else 2, line)
        elif _RULE.match(stripped):
            self._close()
        elif found := _ITEM.match(stripped):
            self._item(found, number, indent)
        elif stripped.startswith("|"):
            self._row(stripped, number)
        elif self.open is None and (found := _BOLD_LINE.match(stripped)):
            self._heading(found[1], 7, number)
        elif self.open is not None:
            self.open.lines.append(stripped)
        else:
            self.first_line = self.first_line or stripped
            self.open = _Open([stripped], number)

    def _heading(self, text: str, level: int, number: int) -> None:
        self._close()
        self.stack.clear()
        self.last_paragraph = ""
        if not self.title and level > 1 and self._begins_with_title():
            self.title = self.first_line
            self.units.clear()
        if not self.title:
            self.title = text
        else:
            self.sections.append(Section(inline(text)[0], level, number))

    def _begins_with_title(self) -> bool:
        """Tell whether one line that reads as a title is all that stands before the first heading, as in forms."""
        if len(self.units) != 1 or self.units[0].kind != "sentence" or self.samples:
            return False
        text = self.units[0].text
        return text == inline(self.first_line)[0] and len(text) <= TITLE_LENGTH_MAX and text[-1:] not in ".:!"

    def _item(self, found: re.Match[str], number: int, indent: int) -> None:
        self._close()
        while self.stack and indent <= self.stack[-1][0]:
            self.stack.pop()
        if not self.stack:
            previous = self.units[-1] if self.units else None
            # Another list begins where something else stood between.
            if previous is None or previous.kind != "item" or self.last_paragraph:
                self.groups += 1
                self.intro, self.last_paragraph = self.last_paragraph, ""
        self.stack.append((indent, indent + len(found[1]) + 1))
        box = _BOX.match(found[2])
        self.open = _Open(
            [box[2] if box else found[2]],
            number,
            item=True,
            depth=min(len(self.stack), 6),
            group=self.groups,
            ordered=found[1][0].isdigit(),
            checked=None if box is None else box[1] != " ",
            intro=self.intro,
        )

    intro = ""

    def _row(self, stripped: str, number: int) -> None:
        self._close()
        if set(stripped) <= set("|:- "):
            if self.units and self.units[-1].kind == "row":
                self.units.pop()  # the table's head
            return
        cells = [cell.strip() for cell in stripped.strip("|").split("|")]
        text, codes = inline(" | ".join(cells))
        if text.strip("| "):
            self.units.append(Unit("row", text, number, len(self.sections) - 1, codes))

    def _close(self) -> None:
        """End the open paragraph or item."""
        block, self.open = self.open, None
        if block is None:
            return
        section = len(self.sections) - 1
        if block.item:
            text, codes = inline(" ".join(block.lines))
            if not text:
                return
            shape = (block.depth, block.group, block.ordered, block.checked, block.intro)
            self.units.append(Unit("item", text, block.line, section, codes, *shape))
            return
        lines = [line for line in block.lines if not _FIELD.match(line.lstrip("*_"))]
        raw = "\n".join(lines)
        self.last_paragraph = inline(raw)[0]
        at = 0
        for sentence in sentences(raw):
            text, codes = inline(sentence)
            if text:
                at = max(raw.find(sentence[:40], at), 0)
                self.units.append(Unit("sentence", text, block.line + raw.count("\n", 0, at), section, codes))

    def _close_code(self) -> None:
        if self.code is not None:
            line, info, group = self.code_start
            self.samples.append(Sample(line, info, "\n".join(self.code).strip("\n"), group))
        self.code = None
