"""Orders in the sentences of an issue that say more than an old text and a new one.

Owns how sentences are cut and which readers look at them: moves and deletions (`issue_moves`), lines put beside others
(`issue_inserts`), settings (`issue_settings`); couples of texts are `issue_sentences`'. Pure. Keeps: an order counts
only as the whole of a sentence or of a part of it that begins like an order, not as a question, a condition, a step to
reproduce something or what nobody shall do; and nothing of a sentence that was read is read twice.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from itertools import pairwise, takewhile

import msgspec

from .issue_blocks import CODE, Block
from .issue_labels import is_label
from .issue_paths import LETTER, Scope, looks_like_path, normal, of_heading, scopes, stated
from .issue_statement import Pair, Problem

_NOT = re.compile(
    r"\b(?:not|nicht|keinesfalls|niemals|jamais|pas|n't|never|without|avoid|instead of|rather than|no longer)\b"
    r"|n['’]t\b",
    re.I,
)
#: What makes an order one that may or may not be meant.
_MAYBE = re.compile(
    r"\b(?:if|unless|when(?:ever)?|whether|maybe|perhaps|could|might|would|may|optional(?:ly)?|alternatively|either"
    r"|otherwise|suppose|assume|imagine|consider|e\.g|for example|for instance|ideally|eventually|later|todo)\b",
    re.I,
)
_REPRODUCED = re.compile(r"\b(?:reproduc\w*|repro|steps? to|workarounds?|i (?:tried|did|ran))\b", re.I)
#: Sections that tell how things are, or are wished to be, and not what is to be done to files.
_TOLD_HEADING = re.compile(
    r"\W*(?:\d+[.)]\s*)?(?:(?:the|current|actual|expected|desired|observed|what) )*(?:behaviou?rs?|results?|examples?"
    r"|usage|motivation|background|context|symptoms?|observations?|user stor(?:y|ies)|use cases?|impact|discussion"
    r"|history|(?:i|we) (?:tried|did)|(?:it |i )?(?:does|happens|happened|see|saw)(?: now)?|environment|rationale"
    r"|acceptance|criteria|definition of done|test plan|verification)\b",
    re.I,
)
#: The words before a list or behind which an order stands, that make it somebody else's.
_TOLD_BEFORE = re.compile(
    r"\b(?:now|currently|does|did|do this|happen(?:s|ed)?|prints?|printed|says?|said|shows?|asks?|asked|wants?|output"
    r"|examples?|like|such as|expected|actual|errors?|warnings?|messages?|logs?|tried|saw|observed?|behaviou?r|would"
    r"|users?|should|called|titled|named|option|button|command|dialog)\b[^.!?]*:\s*$",
    re.I,
)
#: What is done next where files were only moved to see what happens.
_SEEN = re.compile(
    r"\W*(?:\d+[.)]\s*)?(?:then |now )*(?:run|execute|start|open|see|observe|notice|call|import|try|look|watch)\b.*"
    r"\b(?:fail|crash|error|traceback|exception|raise|nothing happens|hang)",
    re.I,
)
#: What may stand behind an order without changing it.
END = r"(?=\s*(?:$|:\s*$|[.;!](?:\s|$)|,?\s(?:and|then)\s|,?\s(?:which|as|since|because|so that|it is|for)\b|,\s|\())"
_MORE = re.compile(
    r"[\s,]*(?:and|then|also|as well as|plus)\s+(?:also\s+|then\s+)?"
    r"(?!(?:run|rerun|make sure|ensure|check|verify|commit|thanks?|it (?:is|works|will|should)|you are done)\b)",
    re.I,
)
CONDITION = "says something that is to be done only under a condition"
UNREAD = "asks for something, and says not exactly enough where or how"
MORE = "asks for something more in the same sentence"
#: An order that would be left out silently if the others were carried out.
_UNREAD = re.compile(
    rf"(?:please |also |then |and )*(?:(?:add|insert|append|prepend|put) {CODE} (?:\w+ ){{0,3}}?"
    rf"(?:to|after|before|below|above|behind|at|into|in|under)\b"
    rf"|(?:move|git mv) {CODE} |(?:rename|delete|git rm) (?:the )?(?:file |module |folder |directory ){CODE}"
    rf"|(?:delete|remove|drop|comment out) (?:(?:the|this|line|import|text|word|call|statement) )*{CODE}"
    rf" (?:from|in) (?:the )?(?:file )?{CODE}"
    rf"|(?:bump|upgrade|downgrade) [^.;!?]{{0,80}}?\bto\b [^.;!?]{{0,20}}?\d"
    rf"|(?:delete|remove|git rm) {CODE} (?:if|unless|when|once|after|as soon as)\b)",
    re.I,
)


#: What has to follow when a file moves or goes; an issue may leave it to whoever does it.
_FOLLOW_UP = re.compile(
    r"(?:please |also |then |and )*(?:update|adjust|fix|correct|adapt|change|rewrite|replace) (?:(?:all|the|any|every"
    r"|its|their|other|existing) )*(?:[\w\ue000]+ ){0,3}?(?:imports?|references?|usages?|uses|callers?|call sites?"
    r"|links?|mentions?|importers?|docs|documentation|tests?|code)\b",
    re.I,
)


_FILE_FIRST = re.compile(
    rf"[\s(]*(?P<file>{CODE}|[{LETTER}.@+~/\-]+)"
    r"(?:,? ?\(?(?:on |at |in )?(?:the )?lines? \d+(?:[-–]\d+)?\)?)? ?[:–—-]\s",
    re.I,
)


class Order(msgspec.Struct, frozen=True):
    """What a reader has found at a place of a text, which it takes up to `end`."""

    end: int
    pairs: list[Pair]
    problems: list[Problem] = []


class Said(msgspec.Struct, frozen=True):
    """A paragraph in one line, with CODE for each of `codes`; `offer` finds where it may speak of, nearest first.

    `stands_under` finds the files under whose name it stands: those of its headings, and of lines that name a file
    only. Both look through all of the issue, and are asked for few paragraphs of it.
    """

    flat: str
    codes: list[str]
    line: int
    offer: Callable[[], list[Scope]] = list
    stands_under: Callable[[], list[Scope]] = list

    @property
    def offered(self) -> list[Scope]:
        """Where it may speak of, nearest first."""
        return self.offer()

    @property
    def under(self) -> list[Scope]:
        """The files under whose name it stands."""
        return self.stands_under()

    def code(self, match: re.Match[str], group: str | int) -> str:
        """Return the inline code that a group of a match consists of or begins with; "" where it took no part."""
        if match.start(group) < 0:
            return ""
        at = self.flat.find(CODE, match.start(group), match.end(group))
        return self.codes[self.flat.count(CODE, 0, at)] if at >= 0 else ""

    def text(self, match: re.Match[str], group: str | int) -> str:
        """Return what a group says, inline code without its marks; "" where it took no part."""
        if match.start(group) < 0:
            return ""
        return self.code(match, group) if CODE in match[group] else match[group].strip()


Reader = Callable[[Said, int], Order | None]
#: What stands before an order that is one of several: "First replace …", "Then replace …".
_NEXT = (
    r"(?:and|first(?:ly)?|second(?:ly)?|then|next|now|finally|lastly|und|zuerst|dann|danach|et"
    r"|d['’]abord|puis|ensuite)"
)
_START = re.compile(rf"[.;:!?,]\s+(?:{_NEXT}\s+)*|\b(?:and|then|und|dann|et|puis)\s+|^{_NEXT}\s+", re.I)
#: A word that may be a path, with its quotes.
_TOKEN = re.compile(rf"(?<![\w/@:.])[\"'“]?((?:\w|\.\w)[{LETTER}.@+~/\-]*)[\"'”]?")


# A paragraph is cut for each kind of order.
@lru_cache(maxsize=16)
def sentence_starts(text: str) -> tuple[int, ...]:
    """Return where a sentence or an order within one begins that nothing before it negates."""
    box = re.match(r"\[ \]\s+", text)  # of a list of tasks, still open
    starts = [
        box.end() if box else 0,
        *(found.end() for found in _START.finditer(text)),
    ]
    negated = [found.span() for found in _NOT.finditer(text)]
    kept = []
    for start in starts:
        first = bisect.bisect_left(negated, (sentence(text, start),))
        if first == len(negated) or negated[first][1] > start:
            kept.append(start)
    return tuple(kept)


def sentence(text: str, at: int) -> int:
    """Return where the sentence begins that holds a position."""
    return 1 + max(text.rfind(mark, 0, at) for mark in ".;!?")


def find_orders(
    blocks: Sequence[Block], at: int, readers: Sequence[Reader]
) -> tuple[list[Pair], list[Problem], Block, list[tuple[int, int]]]:
    """Return the orders of a paragraph or heading, what keeps them from being carried out, and the rest of the block.

    The last part are the places that were read, in the text of a block whose paths are all inline code.
    """
    block = paths_as_code(blocks[at])
    flat = block.text.replace("\n", " ")
    said = Said(flat, block.codes, block.line, lambda: scopes(blocks, at + 1), lambda: _under(blocks, at))
    pairs: list[Pair] = []
    problems: list[Problem] = []
    spans: list[tuple[int, int]] = []
    for start in sentence_starts(said.flat):
        if spans and start < spans[-1][1]:
            continue
        own = file_first(block, start)
        here = msgspec.structs.replace(said, offer=lambda own=own: [*own, *said.offered]) if own else said
        found = next((order for reader in readers if (order := reader(here, start)) is not None), None)
        if found is None:
            continue
        doubt = _doubt(blocks, at, said.flat, start, found.end)
        if doubt == "":
            pairs += found.pairs
            problems += found.problems
        elif doubt is not None:
            problems.append(Problem(block.line, doubt))
        spans.append((start, found.end))
    if not spans:
        return [], _unread(blocks, at, said), blocks[at], []
    rest = _cut(block, spans)
    for _, end in spans:
        more = _MORE.match(said.flat, end)
        if more and not any(end <= start <= more.end() for start, _ in spans):
            problems.append(Problem(block.line, MORE))
    return pairs, problems, rest, spans


def file_first(block: Block, start: int) -> list[Scope]:
    """Return the file with which the line of an order begins: "`a.py`: replace …"."""
    begun = block.text.rfind("\n", 0, start) + 1
    found = _FILE_FIRST.match(block.text, begun)
    if found is None or begun < start < found.end():
        return []
    path = block.codes[block.text.count(CODE, 0, begun)] if found["file"] == CODE else found["file"]
    return [Scope([normal(path)], block.line)] if looks_like_path(path) else []


def _under(blocks: Sequence[Block], at: int) -> list[Scope]:
    found: list[Scope] = []
    level = 7
    for block in reversed(blocks[:at]):
        if block.kind == "heading" and block.level < level:
            level = block.level
            found.append(Scope(of_heading(block), block.line))
        elif block.kind == "text" and level == 7:
            found.append(Scope(stated(block, told=False), block.line))
    return [scope for scope in found if scope.paths]


def find_follow_ups(blocks: Sequence[Block]) -> list[Problem]:
    """Return a problem for each sentence that leaves open what else changes when files move or go."""
    found = []
    for block in blocks:
        flat = block.text.replace("\n", " ") if block.kind == "text" else ""
        if any(_FOLLOW_UP.match(flat, start) for start in sentence_starts(flat)):
            found.append(Problem(block.line, "asks for changes where the file is used, and does not say which"))
    return found


def _doubt(blocks: Sequence[Block], at: int, flat: str, start: int, end: int) -> str | None:
    """Return why an order may not be meant, "" where it is, None for a question, which is none."""
    ends = re.compile(r"[.;!?](?:\s|$)").search(flat, end)
    if ends and ends[0].startswith("?"):
        return None
    before = flat[sentence(flat, start) : start]
    if _MAYBE.search(before) or _MAYBE.match(flat[end : ends.start() if ends else None].strip(" ,(")):
        return CONDITION
    section = list(takewhile(lambda one: one.kind != "heading", reversed(blocks[:at])))[::-1]
    told = [before, *(block.text for block in section if block.kind == "text")]
    # A colon over a list, not over the code that follows it.
    leads = [one.text for one, two in pairwise([*section, blocks[at]]) if one.kind == two.kind == "text"]
    leads = [before, *leads]
    following = [block.text for block in takewhile(lambda one: one.kind != "heading", blocks[at + 1 :])]
    if any(map(_is_reproduction, told)) or any(map(_SEEN.match, following[:3])):
        return "stands among the steps by which something is shown or got around"
    if any(map(_is_lead, leads)) or _is_told(blocks, at):
        return "stands where it is told how things are, so that it may be no order"
    return ""


# A paragraph is asked about for each order in it and behind it.
@lru_cache(maxsize=256)
def _is_reproduction(text: str) -> bool:
    return _REPRODUCED.search(text) is not None


@lru_cache(maxsize=256)
def _is_lead(text: str) -> bool:
    return text.rstrip().endswith(":") and not is_label(text) and _TOLD_BEFORE.search(text) is not None


def _is_told(blocks: Sequence[Block], at: int) -> bool:
    """Tell whether a place is in a section that tells how things are."""
    level = 7
    for block in reversed(blocks[:at]):
        if block.kind == "heading" and block.level < level:
            level = block.level
            if _TOLD_HEADING.match(block.text) and not of_heading(block):
                return True
    return False


def _unread(blocks: Sequence[Block], at: int, said: Said) -> list[Problem]:
    """Return a problem for an order that nothing here can carry out."""
    following = blocks[at + 1] if at + 1 < len(blocks) else None
    if blocks[at].kind != "text" or (following is not None and following.kind == "code"):
        return []
    for start in sentence_starts(said.flat):
        found = _UNREAD.match(said.flat, start)
        if found and _doubt(blocks, at, said.flat, start, found.end()) == "":
            return [Problem(said.line, UNREAD)]
    return []


def explained(problems: Sequence[Problem], blocks: Sequence[Block], pairs: Sequence[Pair]) -> list[Problem]:
    """Leave out those vague orders that only announce what edits further down say exactly."""
    edited = {path for pair in pairs for scope in pair.scopes[:1] for path in scope.paths}
    last = max((pair.line for pair in pairs), default=0)
    return [one for one in problems if one.text != UNREAD or one.line > last or _beyond(one.line, blocks, edited)]


def _beyond(line: int, blocks: Sequence[Block], edited: Collection[str]) -> bool:
    """Tell whether a paragraph names a file that no edit is for."""
    named = [code for block in blocks if block.line == line for code in paths_as_code(block).codes]
    return any(looks_like_path(code) and normal(code) not in edited for code in named)


def paths_as_code(block: Block) -> Block:
    """Return a block in which every path is inline code, though nobody marked it as such."""
    text, codes = block.text, list(block.codes)
    for found in reversed(list(_TOKEN.finditer(text))):
        word = found[1].rstrip(".,:;")
        if looks_like_path(word) and "://" not in text[max(0, found.start() - 8) : found.end()]:
            end = found.start(1) + len(word)
            end += text[end : end + 1] in ('"', "'", "”") and end < len(text)
            codes.insert(text.count(CODE, 0, found.start()), word)
            text = text[: found.start()] + CODE + text[end:]
    return msgspec.structs.replace(block, text=text, codes=codes)


def _cut(block: Block, spans: Sequence[tuple[int, int]]) -> Block:
    """Return a block without some parts of its text."""
    text, codes = block.text, list(block.codes)
    for start, end in reversed(spans):
        first = text.count(CODE, 0, start)
        del codes[first : first + text.count(CODE, start, end)]
        text = text[:start] + text[end:]
    return msgspec.structs.replace(block, text=text, codes=codes)


def path_of(token: str) -> str:
    """Return a token as a path, "" where it can hardly be one."""
    bare = normal(token)
    return bare if looks_like_path(bare) or "/" in bare.strip("/") else ""
