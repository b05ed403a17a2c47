"""Old and new texts within a line of an issue: sentences (``Replace `a` with `b` ``), arrows, and tables.

Pure. Leaves labelled blocks to `issue_pairs`. Takes only an order that nothing negates.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from itertools import takewhile

import msgspec

from .edit import EVERY
from .issue_blocks import CODE, Block
from .issue_orders import CONDITION, file_first, sentence, sentence_starts
from .issue_paths import Scope, looks_like_path, mentioned, normal, scopes, stated, with_paths_as_code
from .issue_statement import EXCEPTED, Pair, Problem, stated_count, stated_files, stated_line

_DETERMINERS = (
    r"(?:(?:the|this|that|these|all|every|each|both|any|of|old|text|word|line|string|name|value|calls?|code|number"
    r"|version|constant|identifier|variable|function|method|class|key|option|setting|default|import|occurrences?"
    r"|instances?|uses?|places?|\d+|two|three|four|five"
    r"|der|die|das|den|dem|zeile|wert|wort|le|la|les|valeur|ligne|mot|texte) )*"
)
_LINES = r"(?:,? ?\(?(?:on |at |in )?(?:the )?lines? \d+(?:[-–]\d+)?\)?)?"
_FILE = r"(?:both |the |file |module |der |datei |im |modul |le |fichier )*"
_WHERE = rf"(?P<where> (?:in|inside|of|at|within|dans) {_FILE}{CODE})?"
_LEAD = rf"(?P<lead>(?:in|dans) {_FILE}{CODE}{_LINES},? )?(?:please |also |simply |just |bitte |auch |aussi )*"
_SENTENCES = (
    re.compile(
        rf"{_LEAD}(?:replace|change|rename|substitute|swap) {_DETERMINERS}{CODE}"
        rf"(?P<mid> (?:in|inside|of) {CODE}| everywhere)? (?:with|by|to|into) {_DETERMINERS}{CODE}{_WHERE}",
        re.I,
    ),
    # In German and French, with the verb in front or at the end.
    re.compile(
        rf"{_LEAD}(?:(?:ersetzen? sie|ersetzen?|ändern? sie|ändere|remplace[rz]?|changez|changer) )(?:bitte )?"
        rf"(?P<place>(?:in|dans) {_FILE}{CODE},? )?(?:bitte )?{_DETERMINERS}{CODE}"
        rf" (?:durch|mit|zu|par) {_DETERMINERS}{CODE}{_WHERE}",
        re.I,
    ),
    re.compile(
        rf"{_LEAD}{_DETERMINERS}{CODE} durch {_DETERMINERS}{CODE}{_WHERE}"
        rf"(?=(?:(?:,| und| sowie) {_DETERMINERS}{CODE} durch {_DETERMINERS}{CODE}(?: in {_FILE}{CODE})?)*"
        r" ersetzen\s*(?:[.;!,]|$))",
        re.I,
    ),
    re.compile(
        rf"{_LEAD}(?:change|update|raise|increase|decrease|lower|reduce|bump|set|switch|rename) "
        rf"[^{CODE}.;!?\n]{{0,60}}?(?P<place>(?:in|inside|of) {CODE} )?from {CODE} to {CODE}{_WHERE}",
        re.I,
    ),
)
#: Both may speak of behaviour, so the two texts must be alike: an arrow, and "`a` should be `b`".
_SHOULD_BE = re.compile(
    rf"{_LEAD}{_DETERMINERS}{CODE} (?:should|must|has to|needs to) (?:be|become|read|say)"
    rf"(?: changed to| replaced (?:with|by))? (?:instead )?{_DETERMINERS}{CODE}{_WHERE}",
    re.I,
)
_ARROW = re.compile(rf"{CODE} ?(?:->|-->|→|=>|⇒|⟶) ?{CODE}(?P<where>[ ,;]*\(?(?:in )?{CODE}\)?)?[.;,]?")
_FILE_AND_ARROW = re.compile(rf"(?:in )?{CODE}{_LINES} ?[:,–—-]+ {CODE} ?(?:->|-->|→|=>|⇒|⟶) ?{CODE}[.;,]?", re.I)
#: What may follow an order to replace: another couple of texts for the same file.
_AND = r"(?:and|und|sowie|et)"
_MORE = re.compile(
    rf"(?:,? {_AND}|,|;)(?: (?:then|also|dann|auch|puis|aussi))? {_DETERMINERS}{CODE}"
    rf" (?:with|by|to|into|durch|mit|zu|par) {_DETERMINERS}{CODE}{_WHERE}",
    re.I,
)
_ELSEWHERE = re.compile(rf"(?:,? {_AND}(?: (?:in|dans))?|,) {CODE}")
#: What stands before or behind an order that is not to be carried out as it is, and not now.
_CONDITION_BEFORE = re.compile(
    r"\W*(?:if|unless|once|as soon as|provided|assuming|optionally|later|eventually|perhaps|maybe|possibly"
    r"|wenn|falls|sofern|sobald|eventuell|vielleicht|si|lorsque|peut-être|éventuellement)\b[^:]*,\s*"
    r"(?:then\s+)?$"
    r"|(?:.*[\s,])?todo\b[^,]*:\s*$|.*\boption \w{1,2}\b[^,]*:\s*$",
    re.I,
)
_CONDITION_BEHIND = re.compile(
    rf"[\s,(]*(?:(?:but )?only )?(?:if|unless|once|as soon as|provided|assuming|when (?:asked|approved)"
    r"|wenn|falls|sofern|sobald|si|lorsque)\b"
    rf"|[\s,(]*(?:or|oder|ou) (?:(?:maybe|perhaps|to|with|by|even|else|durch|par) )*{CODE}"
    r"|\s+(?:nicht|ne|n['’]\w+|wäre|würde|serait|est|ist|hilft|suffit)\b",
    re.I,
)
#: "One of these should do:" over a list.
_CHOICE = re.compile(
    r"\W*either\b[^.!?]*:\s*$|.*\b(?:(?:any |only )?one of (?:these|the following|them)|options are"
    r"|possible (?:fixes|solutions|ways)|alternatives)\b[^.!?]*:\s*$",
    re.I | re.S,
)
#: "The bot said: …"; the words behind are somebody else's.
_SAID_BEFORE = re.compile(
    r"\b(?:said|says|wrote|writes|answered|replied|claims?|prints?|printed)\b[^.!?:]{0,60}:\s*$", re.I
)
_EXAMPLE = re.compile(r"\W*(?:usage )?examples?(?: usage)?\W*", re.I)
#: "(done in #12)": what was made before isn't made again.
_DONE_BEHIND = re.compile(
    r"[\s,–—-]*\(?(?:is |was )?(?:already |now )?(?:done|fixed|merged|obsolete|no longer needed|not needed)\b", re.I
)
#: How far before an order its condition is looked for: hostile text is long.
_LOOKED_BACK = 500
#: How many items of a list are looked at on each side of one.
_ITEMS_BESIDE = 20
#: How alike such two texts must be: `f(1)` -> `2` shows what a call gives.
_LIKENESS_MIN = 0.5


def find_sentences(blocks: Sequence[Block], at: int) -> tuple[list[Pair], list[Problem]]:
    """Read ``Replace `a` with `b` in `c` `` and `` `a` -> `b` `` from a paragraph."""
    block = with_paths_as_code(blocks[at])
    found, problems = list[Pair](), list[Problem]()
    taken, told = set[re.Pattern[str]](), set[re.Pattern[str]]()
    flat = block.text.replace("\n", " ")
    done = 0
    for start in _starts(block, flat):
        if start < done:
            continue
        before = flat[:start].count(CODE)
        for pattern in (*_SENTENCES, _SHOULD_BE, _ARROW):
            if (match := pattern.match(flat, start)) is None:
                continue
            codes, groups = block.codes[before : before + match[0].count(CODE)], match.groupdict()
            where = _taken_out(codes, groups)
            unlike = pattern in (_SHOULD_BE, _ARROW) and _likeness(codes[0], codes[1]) < _LIKENESS_MIN
            if unlike and not (pattern is _ARROW and _among_edits(blocks, at)):
                told |= {pattern} if where else set()
                continue
            if re.match(r"[^.;!?]*\?(?:\s|$)", flat[match.end() :]):
                continue  # a question
            done = match.end()
            taken.add(pattern)
            if doubt := _doubt(blocks[:at], flat, start, done):
                problems.append(Problem(block.line, doubt))
                break
            end = flat.find(". ", match.end())
            count = stated_count(flat[start : end if end >= 0 else None])
            near = [Scope(mentioned(msgspec.structs.replace(block, codes=where)), block.line)] if where else []
            offered = [*near, *_file_before(block, flat, start), *without(scopes(blocks, at + 1), codes)]
            times = 1 if count is None else count
            own, done = _count_behind(flat, done) if groups.get("where") else (None, done)
            if not where and (several := _in_several(blocks, at, codes, flat, (done, end), count)):
                found += several
                break
            at_line = stated_line(_lines_named(blocks, at, flat, start, end))
            mine = times if own is None else own
            found.append(Pair(codes[0], codes[1], False, block.line, offered, mine, at_line))
            while pattern in _SENTENCES[:3] and (more := _MORE.match(flat, done)):
                codes, groups = block.codes[flat[:done].count(CODE) :][:3], more.groupdict()
                here = [Scope([normal(codes[2])], block.line)] if groups["where"] else []
                found.append(Pair(codes[0], codes[1], False, block.line, [*here, *offered], times, at_line))
                done = more.end()
            while groups.get("where") and (other := _ELSEWHERE.match(flat, done)):
                path = block.codes[flat[:done].count(CODE)]
                if not looks_like_path(path):
                    break
                theirs, done = _count_behind(flat, other.end())
                # A number behind the first file is that file's; one elsewhere in the sentence is each file's.
                known = theirs if theirs is not None else 1 if own is not None else times
                found.append(Pair(codes[0], codes[1], False, block.line, [Scope([normal(path)], block.line)], known))
            if count == EVERY and EXCEPTED.search(flat, start, end if end >= 0 else len(flat)):
                problems.append(Problem(block.line, "makes an exception from all occurrences"))
            if pattern in _SENTENCES and re.match(rf",? {_AND} {CODE}", flat[done:]):
                problems.append(Problem(block.line, "names more texts to be replaced, and not by what"))
            break
    if found and taken & told:
        problems.append(Problem(block.line, "names two texts in the way of an order, and they have little in common"))
    return found, problems


def _lines_named(blocks: Sequence[Block], at: int, flat: str, start: int, end: int) -> list[str]:
    """Return what may say in which line a text stands: the sentence that orders something, and its heading."""
    block = with_paths_as_code(blocks[at])
    begun = sentence(flat, start)
    spoken = msgspec.structs.replace(
        block, text=flat[begun : end if end >= 0 else None], codes=block.codes[flat[:begun].count(CODE) :]
    )
    heading = next((one.plain() for one in reversed(blocks[:at]) if one.kind == "heading"), "")
    return [spoken.plain(), heading]


def _taken_out(codes: list[str], groups: dict[str, str | None]) -> list[str]:
    """Take from a sentence's pieces of code those that name its file; return them."""
    where = [codes.pop(0)] if groups.get("lead") else []
    where += [codes.pop(0)] if groups.get("place") else []
    where += [codes.pop()] if groups.get("where") else []
    return where + ([codes.pop(1)] if CODE in (groups.get("mid") or "") else [])


def _starts(block: Block, flat: str) -> list[int]:
    """Return where something may be ordered: also behind the dash of an item that begins with its file."""
    behind = [flat.index(CODE, flat.index(CODE) + 1)] if _own_file(block, flat) else []
    return sorted({*sentence_starts(flat), *behind})


def _own_file(block: Block, flat: str) -> list[Scope]:
    """Return the file that an item of a list begins with, where an arrow is all that follows."""
    item = _FILE_AND_ARROW.fullmatch(flat.strip())
    return [Scope([normal(block.codes[0])], block.line)] if item and looks_like_path(block.codes[0]) else []


def _file_before(block: Block, flat: str, start: int) -> list[Scope]:
    """Return the file with which the item or line of an order begins: "`a.py`: replace …"."""
    if own := _own_file(block, flat):
        return own
    return file_first(block, start)


def _doubt(before: Sequence[Block], flat: str, start: int, end: int) -> str:
    """Return why an order may not be meant: only perhaps, in one of several ways, or not any more; "" where it is.

    `before` are the blocks before it.
    """
    section = next((block for block in reversed(before) if block.kind == "heading"), None)
    if section is not None and section.level > 1 and _EXAMPLE.fullmatch(section.text):
        return "stands where an example is given, so that it may be no order"
    begun = max(sentence(flat, start), start - _LOOKED_BACK)
    if _SAID_BEFORE.search(flat, begun, start):
        return "stands behind words that make it somebody else's, so that it may be no order"
    beside = takewhile(lambda block: block.kind == "text", reversed(before[-_ITEMS_BESIDE:]))
    if any(_CHOICE.match(block.text[-300:]) for block in beside):
        return CONDITION
    if _DONE_BEHIND.match(flat, end):
        return "is said to be done already, or not to be needed"
    return CONDITION if _CONDITION_BEFORE.match(flat[begun:start]) or _CONDITION_BEHIND.match(flat, end) else ""


def _among_edits(blocks: Sequence[Block], at: int) -> bool:
    """Tell whether an item of a list, a file and an arrow behind it, has one beside it whose texts are alike."""
    if _file_and_arrow(blocks[at]) is None:
        return False
    for step in (-1, 1):
        for beside in range(at + step, at + step * _ITEMS_BESIDE, step):
            codes = _file_and_arrow(blocks[beside]) if 0 <= beside < len(blocks) else None
            if codes is None:
                break
            if _likeness(*codes) >= _LIKENESS_MIN:
                return True
    return False


def _file_and_arrow(block: Block) -> tuple[str, str] | None:
    """Return the two texts of an item that is no more than a file, an arrow and the texts beside it."""
    if block.kind != "text":
        return None
    block = with_paths_as_code(block)
    match = _FILE_AND_ARROW.fullmatch(block.text.strip())
    return (block.codes[1], block.codes[2]) if match and looks_like_path(block.codes[0]) else None


def _in_several(
    blocks: Sequence[Block], at: int, codes: Sequence[str], flat: str, span: tuple[int, int], count: int | None
) -> list[Pair]:
    """Return the pairs of a sentence that names its files in a list behind it, or means all that there are."""
    done, end = span
    old, new = codes[0], codes[1]
    if listed := _listed(blocks, at, flat[done:]):
        times = 1 if count is None else count
        return [Pair(old, new, False, line, [scope], own or times) for scope, own, line in listed]
    files = stated_files(flat[done : end if end >= 0 else None])
    if files is None:
        return []
    return [Pair(old, new, False, blocks[at].line, [], count or EVERY, how="everywhere", files=files)]


def _count_behind(flat: str, at: int) -> tuple[int | None, int]:
    """Return the number of occurrences in brackets at a place, and where they end; None and the place without."""
    match = re.compile(r"\s*\(([^()]*)\)").match(flat, at)
    said = match[1].strip() if match else ""
    count = stated_count(said) or stated_count(f"({said})") or stated_count(f"occurs {said}")
    return (count, match.end()) if match and count is not None else (None, at)


def _listed(blocks: Sequence[Block], at: int, rest: str) -> list[tuple[Scope, int | None, int]]:
    """Return the files in a list behind a sentence that ends with a colon, each with its number of occurrences."""
    if not re.fullmatch(r"\s*(?:in(?: (?:the following|these|all|both))?(?: \w+){0,2})?\s*:\s*", rest):
        return []
    found: list[tuple[Scope, int | None, int]] = []
    for block in blocks[at + 1 :]:
        one = with_paths_as_code(block) if block.kind == "text" else block
        match = re.fullmatch(rf"\W*{CODE}(?:[\s:,–—-]+(.*))?\W*", one.text) if one.kind == "text" else None
        if match is None or not looks_like_path(one.codes[0]) or len(one.codes) != 1:
            break
        said = (match[1] or "").strip("() ")
        count = (stated_count(f"({said})") or stated_count(said) or stated_count(f"occurs {said}")) if said else None
        if said and count is None:
            break
        found.append((Scope([normal(one.codes[0])], one.line), count, one.line))
    return found


def _likeness(old: str, new: str) -> float:
    return difflib.SequenceMatcher(None, old, new, autojunk=False).ratio()


def without(offered: Sequence[Scope], codes: Sequence[str]) -> list[Scope]:
    """A text to be replaced isn't the path of its own file."""
    kept = [Scope([path for path in scope.paths if path not in codes], scope.line) for scope in offered]
    return [scope for scope in kept if scope.paths]


_OLD_HEAD = re.compile(
    r"(?:old|before|current|existing|original|from|find|replace|vorher|alt|aktuell|bisher|avant|actuel|ancien)"
    r"(?: (?:code|text|value|line|version))?"
)
_NEW_HEAD = re.compile(
    r"(?:new|after|should (?:be|become|read)|to|replace(?:d)? (?:with|by)|with|replacement|proposed|updated|fixed"
    r"|nachher|neu|soll|après|nouveau)"
    r"(?: (?:code|text|value|line|version))?"
)
_WHERE_HEAD = re.compile(
    r"(?:file(?: ?[:/,&]? ?(?:and )?lines?)|file|path|where|in|location|file ?name|file path|datei|fichier)s?"
)


def find_in_table(blocks: Sequence[Block], at: int) -> tuple[list[Pair], list[Problem]]:
    """Read a table with a column of old and one of new texts, each cell a single piece of code."""
    rows = blocks[at].rows
    head = [" ".join(cell.plain().split()).lower().rstrip(":") for cell in rows[0]] if rows else []
    olds = [n for n, text in enumerate(head) if _OLD_HEAD.fullmatch(text)]
    news = [n for n, text in enumerate(head) if _NEW_HEAD.fullmatch(text)]
    wheres = [n for n, text in enumerate(head) if _WHERE_HEAD.fullmatch(text)]
    if len(olds) != 1 or len(news) != 1:
        return [], []
    found: list[Pair] = []
    wrong: list[Problem] = []
    for number, row in enumerate(rows[1:], blocks[at].line + 2):
        cells = [row[n] if n < len(row) else None for n in (olds[0], news[0])]
        codes = [cell.codes[0] for cell in cells if cell and cell.text.strip() == CODE]
        if len(codes) != 2:
            wrong.append(Problem(number, "is a row of a table whose old or new text is not one piece of inline code"))
            continue
        where = row[wheres[0]] if wheres and wheres[0] < len(row) else None
        near = [Scope(mentioned(where) or stated(where), number)] if where else []
        count = next((n for n in (stated_count(b.text) for b in blocks[max(0, at - 1) : at + 2]) if n is not None), 1)
        offered = [scope for scope in near if scope.paths] + scopes(blocks, at)
        found.append(Pair(codes[0], codes[1], False, number, offered, count))
    # A table of which no row is an edit may tell of anything, unless it names files.
    return found, wrong if found or wheres else []
