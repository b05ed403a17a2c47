"""Labelled old and new texts in an issue: a line such as `Current`, a text, a line such as `Should be`, a text.

Owns how labels and texts belong together; `issue_labels` has the labels, `issue_sentences` what stands within a line,
`issue_diff` the diffs. Pure. What is labelled by half is said, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from .edit import EVERY
from .issue_blocks import CODE, Block
from .issue_comments import halves, named_file
from .issue_inserts import find_block_insert, is_insert_label, read_insert
from .issue_labels import NEW, OLD, has_both_labels, head_of, is_label, is_weak, label_of, split_labels
from .issue_moves import find_listed, find_marked, read_moves
from .issue_orders import MORE, explained, find_orders
from .issue_paths import LETTER, Scope, looks_like_path, mentioned, normal, of_heading, of_info, scopes
from .issue_removals import read_removal
from .issue_sentences import find_in_table, find_sentences, without
from .issue_settings import read_settings_order
from .issue_statement import EXCEPTED, Pair, Problem, stated_count, stated_line

_ORDER = r"\s*(?:\d+[.)]\s*)?(?:and |then |also |please |simply |just )*"
#: "Remove this block:"; the text goes, and nothing takes its place.
_REMOVAL = re.compile(
    rf"{_ORDER}(?:remove|delete|drop)(?: (?:this|these|the|following|all|of|two|three|\d+|whole|entire|old|unused|dead"
    rf"|obsolete|code|text|lines?|block|contents?|function|method|class|import|imports|section|paragraph|sentence"
    rf"|(?:from|in|at) (?:the )?(?:file )?{CODE}|{CODE}))*\s*:?\s*$",
    re.I,
)
#: What would be left out silently if the pairs beside it were made: "Add after line 12:".
_OTHER_ORDER = re.compile(
    rf"{_ORDER}(?:(?:add|insert|append|prepend|remove|delete|drop)\b(?:[^.!?]*:|(?: [\w{CODE}]+){{0,6}})"
    rf"|(?:in|to|into) (?:the )?(?:file )?{CODE},? (?:add|insert|append|put|place)\b[^.!?]*:"
    rf"|(?:in {CODE},? )?(?:right |directly |just )?(?:after|before|below|above|behind|(?:at|to) the \w+ of)\b[^.!?]*"
    r"\b(?:add|insert|append|put|place)\b[^.!?]*)\s*$",
    re.I,
)
#: What a program did is told beside what it should do; that is no half of an edit.
_TOLD = re.compile(r"\W*(?:expected|desired|wanted|actual)\b", re.I)
#: What stands behind `Should be` where nothing takes the old text's place.
_NOTHING = re.compile(r"\W(?:removed?|deleted?|nothing|gone|empty|dropped)\W*(?:[,;(][^:]{0,40})?$", re.I)
#: A remark in brackets that names another place to look at.
_ASIDE = re.compile(r"\((?:see|compare|cf\.?|as|like|same|similar|copied|used|unlike)\b[^()]*\)", re.I)


def find_pairs(blocks: Sequence[Block]) -> tuple[list[Pair], list[Problem], set[int]]:
    """Return every pair in reading order, what looks like half of one, and the lines of the blocks that were read."""
    blocks = [part for block in blocks for part in _parted(_unlabelled(block))]
    pairs: list[Pair] = []
    problems: list[Problem] = []
    taken: set[int] = set()
    at = 0
    while at < len(blocks):
        block = blocks[at]
        step = 1
        if block.kind == "text":
            found, wrong, step = _read(blocks, at)
            pairs += found
            problems += wrong
            if step > 1:
                taken |= {one.line for one in blocks[at : at + step]}
        elif block.kind == "code" and (both := halves(block)) is not None:
            offered = [Scope(of_info(block.info), block.line), *scopes(blocks, at)]
            pairs.append(Pair(*both, True, block.line, [scope for scope in offered if scope.paths]))
            taken.add(block.line)
        elif block.kind == "table":
            found, wrong = find_in_table(blocks, at)
            pairs += found
            problems += wrong
        elif block.kind == "heading" and block.level > 1:
            listed, wrong, _ = find_listed(blocks, at)
            pairs += listed or find_marked(block) or find_orders(blocks, at, [read_moves])[0]
            problems += wrong
        at += step
    if not pairs and not problems:  # the title is all that some issues say
        for at, block in enumerate(blocks):
            if block.kind == "heading":
                found, wrong = _said(blocks, at)
                pairs += found
                problems += wrong
    return pairs, explained(problems, blocks, pairs), taken


def _read(blocks: Sequence[Block], at: int) -> tuple[list[Pair], list[Problem], int]:
    """Read what begins with a paragraph; the int is how many blocks that took."""
    if inserted := find_block_insert(blocks, at):
        made, step = inserted
        return ([made], [], step) if isinstance(made, Pair) else ([], [made], step)
    labelled = _labelled(blocks, at) or _removal(blocks, at)
    if isinstance(labelled, Problem):
        return [], [labelled], 2
    if labelled is not None:
        return [labelled[0]], [], labelled[1]
    if _OTHER_ORDER.match(blocks[at].text.split("\n")[-1]) and _is_code(blocks, at + 1):
        return [], [Problem(blocks[at].line, "asks for something else than an old text and its new one")], 2
    if has_both_labels(blocks[at].text):
        return [], [Problem(blocks[at].line, "has an old and a new text, and more around them than can be read")], 1
    listed, wrong, step = find_listed(blocks, at)
    if step:
        return listed, wrong, step
    return *_said(blocks, at), 1


def _said(blocks: Sequence[Block], at: int) -> tuple[list[Pair], list[Problem]]:
    """Read the sentences of a paragraph or heading."""
    pairs, problems, rest, _ = find_orders(blocks, at, [read_moves, read_insert, read_removal, read_settings_order])
    found, wrong = find_sentences([*blocks[:at], rest, *blocks[at + 1 :]], at)
    if found:  # what follows an order may be a couple of texts
        problems = [problem for problem in problems if problem.text != MORE]
    return [*pairs, *found], [*problems, *wrong]


def _removal(blocks: Sequence[Block], at: int) -> tuple[Pair, int] | None:
    """Read an order to remove the block behind it."""
    text = blocks[at].text.split("\n")[-1]
    if not _REMOVAL.match(text) or not _is_code(blocks, at + 1) or blocks[at + 1].info.startswith("diff"):
        return None
    shown = blocks[at + 1]
    near = [Scope(mentioned(blocks[at]), blocks[at].line), Scope(of_info(shown.info), shown.line)]
    offered = [scope for scope in [*near, *scopes(blocks, at + 1)] if scope.paths]
    count = stated_count(text)
    return Pair(shown.text, "", True, blocks[at].line, offered, 1 if count is None else count), 2


def _unlabelled(block: Block) -> Block:
    """A heading that is only a label isn't a section of its own."""
    label = block.kind == "heading" and (is_label(block.text) or is_insert_label(block.text))
    return msgspec.structs.replace(block, kind="text") if label else block


def _parted(block: Block) -> list[Block]:
    """Return a paragraph in parts, where each begins with the label of another old text."""
    behind = re.fullmatch(rf"(.*{CODE}) (?:in|dans) (?:the file )?{CODE}[ .;,]*", block.text)
    if behind and looks_like_path(block.codes[-1]) and has_both_labels(behind[1]):
        # Its file in front, where it stands mostly.
        turned = [block.codes[-1], *block.codes[:-1]]
        return [msgspec.structs.replace(block, text=f"{CODE}: {behind[1]}", codes=turned)]
    if block.kind != "text" or block.text.count(CODE) < 3:
        return [block]
    codes = iter(block.codes)
    parts: list[Block] = []
    text, mine, begun, paired = list[str](), list[str](), 0, False
    for number, line in enumerate(block.text.split("\n")):
        for part in split_labels(line):
            inline = head_of(part) != part
            if paired and inline and label_of(_last_sentence(part), OLD) and not is_weak(_last_sentence(part)):
                parts.append(_part(block, text, mine, begun))
                text, mine, begun, paired = [], [], number, False
            paired = paired or (inline and label_of(_last_sentence(part), NEW) is not None)
            text.append(part)
            mine += [next(codes) for _ in range(part.count(CODE))]
    return [*parts, _part(block, text, mine, begun)] if parts else [block]


def _part(block: Block, text: Sequence[str], codes: Sequence[str], begun: int) -> Block:
    return msgspec.structs.replace(block, text="\n".join(text), codes=list(codes), line=block.line + begun)


def _last_sentence(line: str) -> str:
    return re.split(r"[.!?] ", head_of(line))[-1]


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
        for text in (part for line in block.text.split("\n") for part in split_labels(line)):
            found.append(_Line(n, text, [next(codes) for _ in range(text.count(CODE))], block))
    return found


def _labelled(blocks: Sequence[Block], at: int) -> tuple[Pair, int] | Problem | None:
    """Read `Current` … `Should be` … from blocks[at] on; the int is how many blocks that took."""
    start = next((n for n, line in enumerate(_lines(blocks, at, 1)) if _old_label(line)), None)
    if start is None:
        return None
    lines = _lines(blocks, at, 8)
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
    if new is None and old[1] and old[2] < len(lines) and _expected(blocks, at, lines[old[2]]):
        after = old[2]
        new = _value(lines, after)
    if new is None:
        following = lines[old[2]].text if old[2] < len(lines) else ""
        half = at > 0 and not is_weak(lines[start].text) and _ends_with_pair(blocks[at - 1], blocks[at])
        if (not old[1] and not half) or is_weak(re.split(r"[.!?] ", lines[start].text)[-1]) or _TOLD.match(following):
            return None
        return Problem(lines[start].block.line, "has an old text, and no new one after it")
    if new[2] < len(lines) and _is_another(lines[new[2]], family) and _value(lines, new[2]) is not None:
        return Problem(lines[new[2]].block.line, "has another new text for the same old one")
    remarks = " ".join([*texts, lines[after].text, _remark(lines, new[2])])
    near = [Scope(_places(line), line.block.line) for line in lines[start : new[2]] if line.block.kind == "text"]
    near += [Scope(of_info(line.block.info), line.block.line) for line in lines[start : new[2]] if line.block.info]
    count = stated_count(remarks)
    if count is None:
        before = next((b.text for b in reversed(blocks[:at]) if b.kind in ("heading", "text")), "")
        count = stated_count(before) or None
    if old[1] and new[1]:
        (path, stripped), (same, rest) = named_file(old[0]), named_file(new[0])
        if path and path == same:
            near.insert(0, Scope([path], lines[start].block.line))
            old, new = (stripped, *old[1:]), (rest, *new[1:])
    offered = without([*near, *scopes(blocks, at + 1)], [text for text, block, _ in (old, new) if not block])
    if count == EVERY and EXCEPTED.search(remarks):
        return Problem(lines[start].block.line, "makes an exception from all occurrences")
    pair = Pair(old[0], new[0], old[1] or new[1], lines[start].block.line, offered, 1 if count is None else count)
    heading = next((block for block in reversed(blocks[:at]) if block.kind == "heading"), None)
    said = [line.block.plain() for line in lines[start : new[2]] if line.block.kind == "text"]
    pair = msgspec.structs.replace(pair, at_line=stated_line([*said, heading.plain() if heading else ""]))
    last = lines[new[2] - 1].at
    return pair, last - at + 1


def _ends_with_pair(before: Block, block: Block) -> bool:
    """Tell whether a paragraph goes on behind an old and a new text that are labelled."""
    goes_on = before.kind == "text" and before.line + before.text.count("\n") + 1 >= block.line
    return goes_on and label_of(_last_sentence(before.text.split("\n")[-1]), NEW) is not None


def _is_another(line: _Line, family: str) -> bool:
    """Tell whether a line is one more label of a new text, and not a word that may say something else."""
    return (
        _new_label(line, family)
        and re.match(r"\W*(?:new|should|must|replacement|neu|soll)", line.text, re.I) is not None
    )


def _old_label(line: _Line) -> str | None:
    return _label(line, OLD)


def _label(line: _Line, labels: dict[str, str]) -> str | None:
    """Return the family of the label that a line, or the last sentence of it, consists of."""
    if line.block.kind != "text":
        return None
    head = head_of(_NOTHING.sub("", line.text))
    return label_of(head, labels) or label_of(re.split(r"[.!?] ", head)[-1], labels)


def _expected(blocks: Sequence[Block], at: int, line: _Line) -> bool:
    """Tell whether a line is the label `Expected`, which means source text only under the name of a file."""
    heading = next((block for block in reversed(blocks[:at]) if block.kind == "heading"), None)
    under = heading is not None and any(map(looks_like_path, of_heading(heading)))
    return under and line.block.kind == "text" and re.fullmatch(r"\W*expected\W*", line.text, re.I) is not None


def _new_label(line: _Line, family: str) -> bool:
    return _label(line, {family: NEW[family]}) is not None


def _value(lines: Sequence[_Line], at: int) -> tuple[str, bool, int] | None:
    """Return a label's text, whether it is a block of lines, and the index of the line after it."""
    line = lines[at]
    if head_of(line.text) != line.text:
        return line.codes[-1], False, at + 1
    if _NOTHING.search(line.text):
        return "", True, at + 1
    if at + 1 >= len(lines):
        return None
    if lines[at + 1].text.strip(" .;,") == CODE:
        return lines[at + 1].codes[0], False, at + 2
    # A sentence about the text may stand before it.
    for n in range(at + 1, min(at + 4, len(lines))):
        if lines[n].block.kind == "code":
            return lines[n].block.text, True, n + 1
        if is_label(lines[n].text):
            break
    return None


def _places(line: _Line) -> list[str]:
    codes = line.codes[:-1] if head_of(line.text) != line.text else line.codes
    plain = [
        normal(word)
        for word in re.findall(rf"[{LETTER}.@+~/:\-]+", _ASIDE.sub(" ", line.text))
        if looks_like_path(word)
    ]
    for aside in _ASIDE.finditer(line.text):  # "(as in `b.py`)" names no place
        first = line.text.count(CODE, 0, aside.start())
        codes = [code for n, code in enumerate(codes) if not first <= n < first + aside[0].count(CODE)]
    return mentioned(msgspec.structs.replace(line.block, text=CODE * len(codes), codes=codes)) + plain


def _remark(lines: Sequence[_Line], at: int) -> str:
    """A remark right behind a pair, if it is about a number and nothing else."""
    if at < len(lines) and lines[at].block.kind == "text":
        text = lines[at].text.strip("() ")
        if re.match(r"(?:it |this |the (?:old )?(?:text|line|block) )?(?:occurs|appears|all|both|\d+ occ)", text, re.I):
            return text
    return ""
