"""Lines that an issue wants put after or before others, or at the end or the start of a file. Pure.

Owns the shapes in which people say so: an order over a code block, two labelled blocks, a sentence. Takes a place only
where it is a line, a line's number, or an end of the file: "after the function `f`" is none that a text shows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from .edit import How
from .issue_blocks import CODE, Block
from .issue_comments import named_file
from .issue_orders import END, Order, Said, path_of, paths_as_code
from .issue_paths import Scope, normal, of_info, scopes
from .issue_statement import Pair, Problem

_LEAD = (
    rf"\W*(?:\d+[.)]\s*)?(?:in (?:the )?(?:file )?(?P<lead>{CODE})[,:]? )?(?:please |also |then |and |simply |just )*"
)
_VERB = r"(?:add|insert|put|place|append|include)"
#: Words for what is put there, which the block behind them shows.
_THIS = (
    r"(?: (?:this|these|that|the|following|a|an|new|one|it|two|three|code|lines?|block|import|imports|statement|text"
    r"|entry|entries|section|paragraph|snippet|content|contents|comment|constant|rule|setting|row|item|test|tests"
    r"|function|method|class|helper|decorator|assignment|option|key))*"
)
_INTO = rf"(?: (?:to|in|into) (?:the )?(?:file )?(?P<into>{CODE}),?)?"
_NEAR = r"(?: (?:right|directly|immediately|just|straight))?"
_SIDE = r"(?P<side>after|below|behind|underneath|under|following|before|above|ahead of)"
_NOUN = r"(?:(?:the|this|existing|line|import|statement|text|entry|item|lines|that says|that reads|which reads|with) )*"
_ANCHOR = rf"(?:{_NOUN}(?P<anchor>{CODE})|(?:the )?line (?P<number>\d+)(?:,? ?\(?(?P<shown>{CODE})\)?)?)"
_WHERE = rf"(?:,? (?:in|of|inside) (?:the )?(?:file )?(?P<where>{CODE}))?"
_NAMED_LINE = r"(?: (?:on|at|in) line \d+)?"
_END = (
    r"(?:to|at|on) (?:the )?(?:very )?(?P<edge>end|bottom|top|start|beginning|head)"
    rf"(?: of (?:the )?(?:(?:file )?(?P<of>{CODE})|(?P<file>file|this file|it|module|document)))?"
)
#: Over the block that holds the new lines.
_BLOCK = (
    re.compile(rf"{_LEAD}{_VERB}{_THIS}{_INTO}{_NEAR} {_SIDE} {_ANCHOR}{_NAMED_LINE}{_WHERE}\s*:?\s*$", re.I),
    re.compile(
        rf"{_LEAD}{_NEAR.strip()} ?{_SIDE} {_ANCHOR}{_NAMED_LINE}{_WHERE},? (?:please )?{_VERB}{_THIS}{_INTO}\s*:?\s*$",
        re.I,
    ),
    re.compile(rf"{_LEAD}{_VERB}{_THIS} {_END}\s*:?\s*$", re.I),
    re.compile(rf"{_LEAD}{_END},? (?:please )?{_VERB}{_THIS}\s*:?\s*$", re.I),
    re.compile(
        rf"{_LEAD}(?P<edge>append|prepend){_THIS} to (?:the )?(?:(?:file )?(?P<of>{CODE})|(?P<file>file))\s*:?\s*$",
        re.I,
    ),
)
#: In a sentence that has the new line as well.
_SENTENCE = (
    re.compile(
        rf"{_LEAD}{_VERB} {_NOUN}(?P<new>{CODE})(?: line)?{_INTO}{_NEAR} {_SIDE} {_ANCHOR}{_NAMED_LINE}{_WHERE}{END}",
        re.I,
    ),
    re.compile(
        rf"{_LEAD}{_NEAR.strip()} ?{_SIDE} {_ANCHOR}{_NAMED_LINE}{_WHERE},? (?:please )?{_VERB} {_NOUN}(?P<new>{CODE})"
        rf"{_INTO}{END}",
        re.I,
    ),
    re.compile(rf"{_LEAD}{_VERB} {_NOUN}(?P<new>{CODE}) {_END}{END}", re.I),
    re.compile(rf"{_LEAD}(?:{_VERB}|prepend){_THIS} {_END}\s*:\s*(?P<new>{CODE}){END}", re.I),
    re.compile(rf"{_LEAD}{_END},? (?:please )?{_VERB}{_THIS}\s*:?\s*(?P<new>{CODE}){END}", re.I),
    re.compile(
        rf"{_LEAD}{_VERB}{_THIS}{_NEAR} {_SIDE} {_ANCHOR}{_NAMED_LINE}{_WHERE}\s*:\s*(?P<new>{CODE}){END}", re.I
    ),
    re.compile(
        rf"{_LEAD}(?P<edge>append|prepend) {_NOUN}(?P<new>{CODE}) to (?:the )?(?:file )?(?P<of>{CODE}){END}", re.I
    ),
    re.compile(rf"{_LEAD}(?P<edge>add) {_NOUN}(?P<new>{CODE}) to (?:the )?(?:file )?(?P<list>{CODE}){END}", re.I),
)
#: Files of which each line counts by itself, wherever it stands.
_LISTS = (".gitignore", ".dockerignore", ".npmignore", ".prettierignore", ".eslintignore")
_THIS_LINE = r"(?: (?:this|these|the|following|line|lines|block|code|text|one|import|statement|existing))*"
_ANCHOR_LABEL = re.compile(
    rf"{_LEAD}(?P<verb>{_VERB}(?: (?:it|this|them|the following|lines?|code|the block))* )?{_NEAR.strip()} ?{_SIDE}"
    rf"{_THIS_LINE}{_WHERE}\s*:?\s*(?P<value>{CODE})?\W*$",
    re.I,
)
_NEW_LABEL = re.compile(
    rf"\W*(?:\d+[.)]\s*)?(?:please |then )?(?:(?P<verb>{_VERB}|(?:new )?(?:code|lines?|text) to (?:add|insert))"
    rf"|new (?:code|lines?|text|block|import)|this|these|the following|following)?{_THIS}"
    rf"{_INTO}\s*:?\s*(?P<value>{CODE})?\W*$",
    re.I,
)


def is_insert_label(text: str) -> bool:
    """Tell whether a heading is no more than the label of lines to be put somewhere."""
    return re.fullmatch(rf"\W*{_VERB}{_THIS}{_NEAR}(?: (?:after|before))?{_THIS}\W*", text, re.I) is not None


def find_block_insert(blocks: Sequence[Block], at: int) -> tuple[Pair | Problem, int] | None:
    """Read an order to put the block behind it somewhere; the int is how many blocks that took."""
    block = _last_line(blocks[at])
    flat = block.text
    if labelled := _labelled(blocks, at):
        return labelled
    if at + 1 >= len(blocks) or blocks[at + 1].kind != "code" or blocks[at + 1].info.startswith("diff"):
        return None
    said = Said(flat, block.codes, block.line, lambda: scopes(blocks, at + 1))
    for pattern in _BLOCK:
        match = pattern.match(flat)
        if match is None:
            continue
        shown = blocks[at + 1]
        path, text = named_file(shown.text)
        near = [Scope(of_info(shown.info), shown.line), Scope([path] if path else [], shown.line)]
        made = _pair(said, match, text if path else shown.text, near, lines=True)
        if made is not None:
            return made, 2
    return None


def read_insert(said: Said, start: int) -> Order | None:
    """Read ``Add `a` after `b` in `c.py` `` at a place of a paragraph."""
    for pattern in _SENTENCE:
        match = pattern.match(said.flat, start)
        if match is None:
            continue
        made = _pair(said, match, said.code(match, "new"), [], lines=False)
        if isinstance(made, Pair):
            return Order(match.end(), [made])
        if made is not None:
            return Order(match.end(), [], [made])
    return None


def _pair(said: Said, match: re.Match[str], new: str, near: list[Scope], *, lines: bool) -> Pair | Problem | None:
    groups = match.groupdict()
    named = [said.code(match, name) for name in ("lead", "into", "where", "of", "list") if groups.get(name)]
    if any(not path_of(path) for path in named):
        return None  # an end of something else than a file
    places = [Scope([normal(path)], said.line) for path in dict.fromkeys(named)]
    if len(places) > 1:
        return Problem(said.line, "names two files for the same lines")
    anchor = said.code(match, "anchor") if groups.get("anchor") else None
    offered = [Scope([path for path in scope.paths if path not in (anchor, new)], scope.line) for scope in said.offered]
    given = [scope for scope in [*places, *near, *offered] if scope.paths]
    if not new.strip():
        return Problem(said.line, "has nothing to be put there")
    if groups.get("edge"):
        if groups.get("list") and normal(said.code(match, "list")).rpartition("/")[2] not in _LISTS:
            return Problem(said.line, f"asks to add something to {named[-1]}, and does not say where in it")
        if not (named or groups.get("file")) and lines is False:
            return None
        how: How = "start" if groups["edge"].lower() in ("top", "start", "beginning", "head", "prepend") else "end"
        return Pair(None, new, lines, said.line, given, how=how)
    how = "before" if groups["side"].lower() in ("before", "above", "ahead of") else "after"
    if anchor is not None:
        return Pair(anchor, new, False, said.line, given, how=how)
    shown = said.code(match, "shown") if groups.get("shown") else None
    return Pair(shown, new, lines, said.line, given, how=how, at_line=int(groups["number"]))


def _last_line(block: Block) -> Block:
    """Return the last line of a paragraph, with its own inline code; paths in it are inline code too."""
    first = block.text.rfind("\n") + 1
    codes = block.codes[block.text.count(CODE, 0, first) :]
    return paths_as_code(msgspec.structs.replace(block, text=block.text[first:], codes=codes))


class _Line(msgspec.Struct, frozen=True):
    """One line of a paragraph, or the code block `code`; `at` is the index of its block."""

    at: int
    block: Block
    code: bool = False


def _lines(blocks: Sequence[Block], at: int, most: int) -> list[_Line]:
    found: list[_Line] = []
    for n in range(at, min(at + most, len(blocks))):
        block = blocks[n]
        if block.kind not in ("text", "code"):
            break
        if block.kind == "code":
            found.append(_Line(n, block, code=True))
            continue
        done = 0
        for text in block.text.split("\n"):
            count = text.count(CODE)
            one = msgspec.structs.replace(block, text=text, codes=block.codes[done : done + count])
            found.append(_Line(n, paths_as_code(one)))
            done += count
    return found


def _labelled(blocks: Sequence[Block], at: int) -> tuple[Pair | Problem, int] | None:
    """Read `After:` … `Insert:` …, or the other way round; each with a block or inline code."""
    first = next((n for n, line in enumerate(_lines(blocks, at, 1)) if _label(line)), None)
    if first is None:
        return None
    lines = _lines(blocks, at, 4)
    one = _label(lines[first])
    value, after = _value(lines, first, one)
    if value is None or after >= len(lines) or lines[after].code:
        return None
    two = _label(lines[after])
    other, end = _value(lines, after, two)
    if one is None or two is None or other is None or (one.re is two.re):
        return None
    anchor, new = (one, two) if one.re is _ANCHOR_LABEL else (two, one)
    if not (anchor["verb"] or new["verb"]) or (not new["verb"] and one is new):
        return None  # "Before" and "After" alone are the two halves of a pair
    texts = {one.re: value, two.re: other}
    block = lines[first].block
    said = Said(block.text, block.codes, block.line, lambda: scopes(blocks, at + 1))
    named = []
    for line, match in ((lines[first], one), (lines[after], two)):
        group = "where" if match.re is _ANCHOR_LABEL else "into"
        for name in ("lead", group):
            if name in match.groupdict() and match[name]:
                named.append(Said(line.block.text, line.block.codes, 0).code(match, name))
    if any(not path_of(path) for path in named):
        return None
    shown = [Scope(of_info(line.block.info), line.block.line) for line in lines[first:end] if line.code]
    near = [Scope([normal(path)], block.line) for path in dict.fromkeys(named)] + shown
    given = [scope for scope in [*near, *said.offered] if scope.paths]
    how: How = "before" if anchor["side"].lower() in ("before", "above", "ahead of") else "after"
    (old, exact), (text, _) = texts[_ANCHOR_LABEL], texts[_NEW_LABEL]
    pair = Pair(old, text, exact, block.line, given, how=how)
    return pair, lines[end - 1].at - at + 1


def _label(line: _Line) -> re.Match[str] | None:
    if line.code:
        return None
    found = _ANCHOR_LABEL.match(line.block.text) or _NEW_LABEL.match(line.block.text)
    return found if found and re.search(r"\w", line.block.text) else None


def _value(lines: Sequence[_Line], at: int, label: re.Match[str] | None) -> tuple[tuple[str, bool] | None, int]:
    """Return a label's text and whether it is a block, and the index of the line behind it."""
    if label is None:
        return None, at
    if label["value"]:
        return (lines[at].block.codes[-1], False), at + 1
    if at + 1 < len(lines) and lines[at + 1].code:
        return (lines[at + 1].block.text, True), at + 2
    return None, at
