"""Old and new texts in an issue, in the shapes in which people write them down.

Owns the recognition of labels (`Current` / `Should be`, `Before` / `After`, `Replace` / `with`), sentences (``Replace
`a` with `b` ``), arrows and tables; `issue_diff` has the diffs. Pure. Takes only what is labelled as source text to be
replaced: what a program printed, or an example without a file, must not become an edit.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import msgspec

from .edits import EVERY
from .issue_blocks import CODE, Block
from .issue_paths import Scope, mentioned, of_info, scopes, stated


class Pair(msgspec.Struct, frozen=True):
    """An old text, the new one, and what the issue says about their place and number.

    None as old or new text stands for a file to be made or removed; `at_line` is a diff's line.
    """

    old: str | None
    new: str | None
    lines: bool
    line: int
    scopes: list[Scope]
    count: int = 1
    at_line: int = 0


class Problem(msgspec.Struct, frozen=True):
    """What keeps a part of the issue from being an edit, and the line of it."""

    line: int
    text: str


_THING = (
    r"(?: (?:source |exact )?(?:code|text|version|lines?|block|contents?|implementation|snippet|definition|value|state"
    r"|wording|name|string|one|this|these|the following|following|it|that))*"
)
_OLD = {
    "plain": r"current(?:ly)?|before|old|existing|original(?:ly)?|from|was",
    "verb": r"replace|find|search(?: for)?|change|substitute",
}
_NEW = {
    "plain": r"should (?:be|become|read|look like|say)(?: instead)?|after|new|becomes?|to be|proposed|desired|fixed"
    r"|updated|replacement|replace(?:d)?(?: it)? (?:with|by)|change(?:d)?(?: it)? to|to|with|instead",
    "verb": r"with|by|to|into|for|replacement|replace(?:d)?(?: it)? (?:with|by)|change(?:d)?(?: it)? to|new"
    r"|should (?:be|become|read)",
}
_NUMBER = {"once": 1, "twice": 2, "both": 2, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
_NUMBER |= {"eight": 8, "nine": 9, "ten": 10}
_N = r"(\d{1,4}|two|three|four|five|six|seven|eight|nine|ten)"
_PLACE = r"(?:occurrences|places|instances|times|copies|spots|matches|lines)"
_OCCURS = r"(?:occurs?|occurring|appears?|stands|is there|found|exists?)"
_COUNTS = (
    re.compile(
        rf"\b(?:occurs?|occurring|appears?|stands|is there|found|exists?)(?: exactly)? (?:in )?{_N} {_PLACE}", re.I
    ),
    re.compile(r"\b(?:occurs?|occurring|appears?|stands|found|exists?)(?: exactly)? (once|twice)\b", re.I),
    re.compile(rf"\b(?:all|these|each of the|in|at|has|there are|exactly)(?: of)?(?: the)? {_N} {_PLACE}\b", re.I),
    re.compile(rf"\({_N} {_PLACE}\)|(?<!\w){_N} ?(?:x|×)(?!\w)|\b{_N} (?:occurrences|instances)\b", re.I),
    re.compile(rf"\b(both) {_PLACE}", re.I),
)
_EVERY = re.compile(
    r"\b(?:everywhere|throughout|(?:all|every|each) (?:of the )?(?:occurrences?|instances?|uses?))\b", re.I
)
_NOT = re.compile(r"\b(?:not|n't|never|without|avoid|instead of|rather than|no longer)\b|n['’]t\b", re.I)
#: Sections that tell of something else than what is to be done.
_ASIDE = re.compile(
    r"\b(?:alternatives?|rejected|out of scope|not in scope|non-goals|workarounds?|(?:actual|expected|example) output"
    r"|steps to reproduce|how to reproduce|traceback|logs?)\b",
    re.I,
)
_DETERMINERS = (
    r"(?:(?:the|this|that|these|all|every|each|both|any|of|old|text|word|line|string|name|value|calls?|code|number"
    r"|version|constant|identifier|variable|function|method|class|key|option|setting|default|import|occurrences?"
    r"|instances?|uses?|places?|\d+|two|three|four|five) )*"
)
_WHERE = rf"(?P<where> (?:in|inside|of|at|within) (?:the |file |module )*{CODE})?"
_LEAD = rf"(?P<lead>in (?:the |file |module )*{CODE},? )?(?:please |also |simply |just )*"
_SENTENCES = (
    re.compile(
        rf"{_LEAD}(?:replace|change|rename|substitute|swap) {_DETERMINERS}{CODE}"
        rf"(?P<mid> (?:in|inside|of) {CODE}| everywhere)? (?:with|by|to|into) {_DETERMINERS}{CODE}{_WHERE}",
        re.I,
    ),
    re.compile(
        rf"{_LEAD}(?:change|update|raise|increase|decrease|lower|reduce|bump|set|switch|rename) "
        rf"[^{CODE}.;!?\n]{{0,60}}?(?P<place>(?:in|inside|of) {CODE} )?from {CODE} to {CODE}{_WHERE}",
        re.I,
    ),
)
_ARROW = re.compile(rf"{CODE} ?(?:->|-->|→|=>|⇒|⟶) ?{CODE}(?P<where>[ ,;]*\(?(?:in )?{CODE}\)?)?[.;,]?")
#: What would be left out silently if the pairs beside it were made: "Add after line 12:", "Remove this block:".
_OTHER_ORDER = re.compile(
    r"\s*(?:and |then |also |please )*(?:add|insert|append|prepend|remove|delete|drop)\b[^.!?]*:\s*$", re.I
)
#: How alike two texts with an arrow between them must be: `f(1)` -> `2` shows what a call gives.
_LIKENESS_MIN = 0.5


def stated_count(text: str) -> int | None:
    """Return how often an old text is said to occur, EVERY for "everywhere", None where nothing is said."""
    for pattern in _COUNTS:
        if found := pattern.search(text):
            word = next(group for group in found.groups() if group).lower()
            return _NUMBER.get(word) or int(word)
    return EVERY if _EVERY.search(text) else None


def find_pairs(blocks: Sequence[Block]) -> tuple[list[Pair], list[Problem]]:
    """Return every pair in reading order, and what looks like half of one."""
    blocks = [_unlabelled(block) for block in blocks]
    pairs: list[Pair] = []
    problems: list[Problem] = []
    aside = 0
    at = 0
    while at < len(blocks):
        block = blocks[at]
        if block.kind == "heading" and not (aside and block.level > aside):
            aside = block.level if _ASIDE.search(block.text) else 0
        step = 1
        if not aside and block.kind == "text":
            labelled = _labelled(blocks, at)
            if isinstance(labelled, Problem):
                problems.append(labelled)
            elif labelled is not None:
                pair, step = labelled
                pairs.append(pair)
            elif _OTHER_ORDER.match(block.text.split("\n")[-1]) and _is_code(blocks, at + 1):
                problems.append(Problem(block.line, "asks for something else than an old text and its new one"))
            else:
                pairs += _sentences(blocks, at)
        elif not aside and block.kind == "table":
            pairs += _table(blocks, at)
        at += step
    return pairs, problems


def _unlabelled(block: Block) -> Block:
    """A heading that is only a label isn't a section of its own."""
    is_label = block.kind == "heading" and (_label(block.text, _OLD) or _label(block.text, _NEW))
    return msgspec.structs.replace(block, kind="text") if is_label else block


def _is_code(blocks: Sequence[Block], at: int) -> bool:
    return at < len(blocks) and blocks[at].kind == "code"


class _Line(msgspec.Struct, frozen=True):
    """One line of a paragraph with its own inline code; or a whole code block."""

    at: int
    text: str
    codes: list[str]
    block: Block


def _lines(blocks: Sequence[Block], at: int, most: int) -> list[_Line]:
    found: list[_Line] = []
    for n in range(at, min(at + most, len(blocks))):
        block = blocks[n]
        if block.kind in ("heading", "table"):
            break
        if block.kind == "code":
            found.append(_Line(n, "", [], block))
            continue
        codes = iter(block.codes)
        for text in block.text.split("\n"):
            found.append(_Line(n, text, [next(codes) for _ in range(text.count(CODE))], block))
    return found


def _label(text: str, labels: dict[str, str]) -> str | None:
    """Return the family of the label that a line consists of, besides its place and number; or None."""
    bare = re.sub(r"\([^()]*\)", " ", text)
    bare = re.sub(rf"^\s*(?:\d+[.)]|[-*•])?\s*(?:please\s+)?(?:in|at|file:?)?\s*{CODE}\s*[,:]\s*", "", bare, flags=re.I)
    bare = re.sub(rf"\s(?:in|of|at|from|inside)(?: the)?(?: file)? {CODE}", " ", bare)
    for pattern in (*_COUNTS, _EVERY):
        bare = pattern.sub(" ", bare)
    bare = re.sub(r"\s+", " ", re.sub(r"[*_:.,=>\s-]+", " ", bare)).strip().lower()
    for family, words in labels.items():
        if re.fullmatch(rf"(?:the |please )?(?:{words}){_THING}(?: of)?", bare):
            return family
    return None


def _labelled(blocks: Sequence[Block], at: int) -> tuple[Pair, int] | Problem | None:
    """Read `Current` … `Should be` … from blocks[at] on; the int is how many blocks that took."""
    lines = _lines(blocks, at, 8)
    start = next((n for n, line in enumerate(lines) if line.at == at and _old_label(line)), None)
    if start is None:
        return None
    family = _old_label(lines[start])
    old = _value(lines, start)
    if old is None or family is None:
        return None
    texts = [lines[start].text, *(line.text for line in lines[:start])]
    after = old[2]
    # Between the two may stand a remark, such as how often the old text occurs.
    while after < len(lines) and lines[after].block.kind == "text" and not _new_label(lines[after], family):
        texts.append(lines[after].text)
        after += 1
    new = _value(lines, after) if after < len(lines) and _new_label(lines[after], family) else None
    if new is None:
        if not old[1]:
            return None
        return Problem(lines[start].block.line, "has an old text, and no new one after it")
    remarks = " ".join([*texts, lines[after].text, _remark(lines, new[2])])
    near = [Scope(_places(line), line.block.line) for line in lines[start : new[2]] if line.codes]
    near += [Scope(of_info(line.block.info), line.block.line) for line in lines[start : new[2]] if line.block.info]
    count = stated_count(remarks)
    if count is None:
        before = next((b.text for b in reversed(blocks[:at]) if b.kind in ("heading", "text")), "")
        count = stated_count(before) or None
    offered = _without([*near, *scopes(blocks, at + 1)], [text for text, block, _ in (old, new) if not block])
    pair = Pair(old[0], new[0], old[1] or new[1], lines[start].block.line, offered, 1 if count is None else count)
    last = lines[new[2] - 1].at
    return pair, last - at + 1


def _old_label(line: _Line) -> str | None:
    return _label(_head(line.text), _OLD) if line.block.kind == "text" else None


def _new_label(line: _Line, family: str) -> bool:
    return line.block.kind == "text" and _label(_head(line.text), {family: _NEW[family]}) is not None


def _head(text: str) -> str:
    """Return a line without the inline code at its end, where that is the text which the label announces."""
    found = re.fullmatch(rf"(.*\w\W{{0,4}}){CODE}[ .;,]*", text)
    return found[1] if found and not re.search(r"\b(?:in|of|at|inside|file)\W*$", found[1], re.I) else text


def _value(lines: Sequence[_Line], at: int) -> tuple[str, bool, int] | None:
    """Return a label's text, whether it is a block of lines, and the index of the line after it."""
    line = lines[at]
    if _head(line.text) != line.text:
        return line.codes[-1], False, at + 1
    if at + 1 >= len(lines):
        return None
    if lines[at + 1].text.strip(" .;,") == CODE:
        return lines[at + 1].codes[0], False, at + 2
    # A sentence about the text may stand before it.
    for n in range(at + 1, min(at + 4, len(lines))):
        if lines[n].block.kind == "code":
            return lines[n].block.text, True, n + 1
        if _label(lines[n].text, _OLD) or _label(lines[n].text, _NEW):
            break
    return None


def _places(line: _Line) -> list[str]:
    codes = line.codes[:-1] if _head(line.text) != line.text else line.codes
    return mentioned(msgspec.structs.replace(line.block, text=CODE * len(codes), codes=codes))


def _remark(lines: Sequence[_Line], at: int) -> str:
    """A remark right behind a pair, if it is about a number and nothing else."""
    if at < len(lines) and lines[at].block.kind == "text":
        text = lines[at].text.strip("() ")
        if re.match(r"(?:it |this |the (?:old )?(?:text|line|block) )?(?:occurs|appears|all|both|\d+ occ)", text, re.I):
            return text
    return ""


def _sentences(blocks: Sequence[Block], at: int) -> list[Pair]:
    """Read ``Replace `a` with `b` in `c` `` and `` `a` -> `b` `` from a paragraph."""
    block = blocks[at]
    found: list[Pair] = []
    flat = block.text.replace("\n", " ")
    done = 0
    for start in _sentence_starts(flat):
        if start < done:
            continue
        before = flat[:start].count(CODE)
        for pattern in (*_SENTENCES, _ARROW):
            match = pattern.match(flat, start)
            if match is None:
                continue
            codes = block.codes[before : before + match[0].count(CODE)]
            groups = match.groupdict()
            where = [codes.pop(0)] if groups.get("lead") else []
            where += [codes.pop(0)] if groups.get("place") else []
            where += [codes.pop()] if groups.get("where") else []
            where += [codes.pop(1)] if CODE in (groups.get("mid") or "") else []
            if pattern is _ARROW and _likeness(codes[0], codes[1]) < _LIKENESS_MIN:
                continue
            done = match.end()
            end = flat.find(". ", match.end())
            count = stated_count(flat[start : end if end >= 0 else None])
            near = [Scope(mentioned(msgspec.structs.replace(block, codes=where)), block.line)] if where else []
            offered = [*near, *_without(scopes(blocks, at + 1), codes)]
            found.append(Pair(codes[0], codes[1], False, block.line, offered, 1 if count is None else count))
            break
    return found


def _likeness(old: str, new: str) -> float:
    return difflib.SequenceMatcher(None, old, new, autojunk=False).ratio()


def _without(offered: Sequence[Scope], codes: Sequence[str]) -> list[Scope]:
    """A text to be replaced isn't the path of its own file."""
    kept = [Scope([path for path in scope.paths if path not in codes], scope.line) for scope in offered]
    return [scope for scope in kept if scope.paths]


def _sentence_starts(text: str) -> list[int]:
    """Return where a sentence or an order within one begins that nothing before it negates."""
    starts = [0, *(found.end() for found in re.finditer(r"[.;:!?,]\s+(?:and\s+|then\s+)?|\b(?:and|then)\s+", text))]
    kept = []
    for start in starts:
        sentence = max(text.rfind(mark, 0, start) for mark in ".;!?")
        if not _NOT.search(text[sentence + 1 : start]):
            kept.append(start)
    return kept


def _table(blocks: Sequence[Block], at: int) -> list[Pair]:
    """Read a table with a column of old and one of new texts, each cell a single piece of code."""
    rows = blocks[at].rows
    head = [cell.text.strip().lower() for cell in rows[0]] if rows else []
    olds = [n for n, text in enumerate(head) if text in ("old", "before", "current", "from", "find", "replace")]
    news = [n for n, text in enumerate(head) if text in ("new", "after", "should be", "to", "replace with", "with")]
    wheres = [n for n, text in enumerate(head) if text in ("file", "path", "where", "in")]
    if len(olds) != 1 or len(news) != 1:
        return []
    found = []
    for row in rows[1:]:
        cells = [row[n] if n < len(row) else None for n in (olds[0], news[0])]
        codes = [cell.codes[0] for cell in cells if cell and cell.text.strip() == CODE]
        if len(codes) != 2:
            continue
        line = cells[0].line if cells[0] and cells[0].line else blocks[at].line
        where = row[wheres[0]] if wheres and wheres[0] < len(row) else None
        near = [Scope(mentioned(where) or stated(where), line)] if where else []
        count = next((n for n in (stated_count(b.text) for b in blocks[max(0, at - 1) : at + 2]) if n is not None), 1)
        offered = [scope for scope in near if scope.paths] + scopes(blocks, at)
        found.append(Pair(codes[0], codes[1], False, line, offered, count))
    return found
