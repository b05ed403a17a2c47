"""An issue's Markdown as a flat list of blocks, which is what a person scrolling through it sees.

Owns the way from text to blocks, by markdown-it-py. Pure. Keeps the content of code blocks exact, and where in the
issue everything stands. Quotations and HTML (templates hide their instructions in comments) are left out: they aren't
the issue's own words.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

from .issue_unfenced import lift

#: Stands in `Block.text` for the next one of `Block.codes`.
CODE = "\ue000"
#: A longer paragraph is nobody's order, and reading it as sentences would take long.
PARAGRAPH_LENGTH_MAX = 8_000
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)", re.DOTALL)


class Block(msgspec.Struct, frozen=True):
    """A heading, a paragraph, a code block or a table, with the line (from 1) at which it starts.

    `text` is the words of a heading or paragraph without their markup, with CODE for each piece of inline code, or the
    content of a code block; `info` is what stands behind a code block's fence; `rows` are a table's cells.
    """

    kind: Literal["heading", "text", "code", "table"]
    line: int
    text: str = ""
    codes: list[str] = []
    level: int = 0
    info: str = ""
    rows: list[list[Block]] = []

    def plain(self) -> str:
        """Return the words with the inline code put back."""
        pieces = self.text.split(CODE)
        return "".join(a + b for a, b in zip(pieces, [*self.codes, ""], strict=False))


class Document(msgspec.Struct, frozen=True):
    """An issue's blocks in order, and the simple `key: value` lines of its front matter."""

    blocks: list[Block]
    fields: dict[str, str]


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def read(text: str) -> Document:
    """Split an issue into blocks; any text is a valid issue."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    # Lest a character of the issue be taken for inline code.
    text = text.replace(CODE, "\ufffd")
    fields: dict[str, str] = {}
    if found := _FRONT_MATTER.match(text):
        pairs = re.findall(r"^([A-Za-z_]+):[ \t]*(.*?)[ \t]*$", found[1], re.MULTILINE)
        fields = {name.lower(): value.strip("\"'") for name, value in pairs}
        text = "\n" * found[0].count("\n") + text[found.end() :]
    text, lifted = lift(text)
    blocks = _blocks(_parser().parse(text))
    blocks += [Block("code", line - 1, content, info="diff") for line, content in lifted]
    return Document(sorted(blocks, key=lambda block: block.line), fields)


def _blocks(tokens: list[Token]) -> list[Block]:
    found: list[Block] = []
    quoted = 0
    heading = 0
    rows: list[list[Block]] | None = None
    for token in tokens:
        line = token.map[0] + 1 if token.map else 0
        if token.type in ("blockquote_open", "blockquote_close"):
            quoted += token.nesting
        elif quoted:
            continue
        elif token.type == "heading_open":
            heading = int(token.tag[1:])
        elif token.type == "heading_close":
            heading = 0
        elif token.type == "html_block":
            found += _summaries(token.content, line)
        elif token.type in ("fence", "code_block"):
            found.append(Block("code", line, token.content, info=token.info.strip()))
        elif token.type == "table_open":
            rows = []
            found.append(Block("table", line, rows=rows))
        elif token.type == "table_close":
            rows = None
        elif token.type == "tr_open" and rows is not None:
            rows.append([])
        elif token.type == "inline":
            text, codes = _words(token.children or [])
            if len(text) > PARAGRAPH_LENGTH_MAX:
                text = text[:200] if heading else ""
                codes = codes[: text.count(CODE)]
            block = Block("heading" if heading else "text", line, text, codes, level=heading)
            (found if rows is None else rows[-1]).append(block)
    return found


def _summaries(html: str, line: int) -> list[Block]:
    """Return the headings of folded parts (`<details>`), of all HTML the one that people write issues with."""
    found = []
    for summary in re.finditer(r"<summary>(.*?)</summary>", re.sub(r"<!--.*?(?:-->|\Z)", "", html, flags=re.S), re.S):
        said = re.sub(r"</?code>", "`", summary[1])
        text, codes = _words(_parser().parseInline(re.sub(r"<[^>]*>", "", said).strip())[0].children or [])
        found.append(Block("text", line + html.count("\n", 0, summary.start()), text, codes))
    return found


def _words(tokens: list[Token]) -> tuple[str, list[str]]:
    """Return inline tokens as text and pieces of code; what is struck out is left out."""
    text: list[str] = []
    codes: list[str] = []
    struck = 0
    inside: list[str] = []
    for token in tokens:
        if token.type in ("s_open", "s_close"):
            struck += token.nesting
        elif struck:
            continue
        elif token.type == "code_inline":
            text.append(CODE)
            codes.append(token.content)
        elif token.type in ("strong_open", "em_open", "strong_close", "em_close"):
            # `package/__init__.py` without backticks is a name, not emphasis.
            if token.nesting > 0:
                inside.append(token.markup if "_" in token.markup and text and not text[-1][-1:].isspace() else "")
                text.append(inside[-1])
            else:
                text.append(inside.pop())
        elif token.type in ("softbreak", "hardbreak"):
            text.append("\n")
        elif token.type == "text":
            text.append(token.content)
    return "".join(text), codes
