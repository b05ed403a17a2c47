"""Which requirements of an issue exclude each other: numbers with their bounds, what is removed and kept, opposites.

Pure. Only what the words themselves exclude is found, between statements of one list or section; whether two designs
fit together is no question for this. Keeps: an issue without requirements side by side has no contradictions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import combinations

import msgspec

from ...orchestration.issue_language import Words
from ...orchestration.issue_units import Part, Reading
from ...orchestration.work_wording import short

#: So many statements are compared with each other.
STATEMENTS_MAX = 60
_UNITS = (
    r"(ms|milliseconds?|seconds?|secs?|s|minutes?|mins?|hours?|hrs?|h|days?|weeks?|months?|years?|bytes?|[kmgt]i?b|%"
    r"|percent|characters?|chars?|lines?|columns?|rows?|items?|entries|times|attempts|retries|files?|pixels?|px"
    r"|users?|requests?|connections?|threads?|workers?|digits?|levels?)"
)
_NUMBER = rf"(-?\d+(?:[.,]\d+)?)\s*{_UNITS}?\b"
_AT_MOST = re.compile(
    rf"(?:at (?:the )?most|no(?:t)? (?:\w+ ){{0,3}}(?:more|longer|greater|larger|higher|later) than|(?:max(?:imum"
    rf"|imal(?:ly)?)?|up to|limited to|limit(?: of| is)?|below|under|less than|fewer than|never exceeds?|within|<=?|≤"
    rf"|höchstens|au plus|como máximo))(?: \w+){{0,2}}? {_NUMBER}",
    re.I,
)
_NONE_LONGER = re.compile(
    rf"\b(?:no|never|nothing|none|not)\b.{{0,60}}?\b(?:longer|more|greater|larger|later|higher|older|exceeds?|above"
    rf"|over|beyond)(?: than)? {_NUMBER}",
    re.I,
)
_AT_LEAST = re.compile(
    rf"(?:at (?:the )?least|no(?:t)? (?:\w+ ){{0,3}}(?:less|fewer|shorter|smaller|lower|earlier) than|min(?:imum"
    rf"|imal)?(?: of| is)?|more than|longer than|above|over|>=?|≥|mindestens|au moins|como mínimo"
    rf"|al menos)(?: \w+){{0,2}}? {_NUMBER}",
    re.I,
)
_EXACTLY = re.compile(
    rf"(?:\bis(?: set)?(?: now)?(?: always| exactly)?|\bare|=|\bbe(?:comes?)?|\bto|\bequals?|\bof|\bexactly|\blasts?"
    rf"|:) (?:exactly |always |set to |raised to )?{_NUMBER}",
    re.I,
)
_GONE = (
    r"(?:is|are|gets?|must be|should be|shall be|will be|be|has to be)? ?(?:to be )?(?:removed|deleted|dropped|gone"
    r"|renamed|replaced|taken out|thrown out)"
)
_STAYS = (
    r"(?:stays?|remains?|is kept|are kept|must (?:stay|remain|be kept|not (?:be (?:removed|deleted|dropped|renamed"
    r"|touched|changed)|change))|is not (?:removed|deleted|changed|touched)|keeps? (?:its|their|working)|is unchanged"
    r"|unchanged)"
)
_REMOVING = r"(?:remove|delete|drop|get rid of|take out|throw out)"
_KEEPING = (
    r"(?:keep|leave|do(?:es)? not (?:remove|delete|drop|touch|change)|don['’]t (?:remove|delete|drop|touch|change))"
)
#: What makes room for both: another place, another time, another name.
_ROOM = Words(
    r"\b(?:alias(?:es)?|deprecat\w*|for (?:now|a|the) |until|unless|except\w*|if |when |where |only (?:in|for|if"
    r"|when)|hidden|warning|old name|new name|as before in|instead|but not|by default|optional(?:ly)?|(?:in"
    r"|from) the (?:docs|readme|tests?|documentation|code|public|private)|internally|first|then|later|afterwards"
    r"|otherwise|otro|sonst|sinon)\b"
)
_NEGATIONS = {
    "not",
    "never",
    "no",
    "without",
    "don't",
    "doesn't",
    "mustn't",
    "cannot",
    "isn't",
    "nicht",
    "kein",
    "keine",
}
_OPPOSITES = (
    ("enabled", "disabled"), ("required", "optional"), ("mandatory", "optional"), ("ascending", "descending"),
    ("public", "private"), ("synchronous", "asynchronous"), ("always", "never"), ("allowed", "forbidden"),
    ("included", "excluded"), ("visible", "hidden"), ("accepted", "rejected"), ("shown", "hidden"), ("kept", "removed"),
    ("on", "off"), ("increase", "decrease"), ("raise", "lower"), ("sorted", "unsorted"), ("sensitive", "insensitive"),
    ("mutable", "immutable"), ("first", "last"), ("before", "after"), ("stdout", "stderr"), ("allow", "forbid"),
    ("online", "offline"), ("encrypted", "unencrypted"), ("true", "false"), ("include", "exclude"),
    ("lowercase", "uppercase"), ("oldest", "newest"), ("blocking", "non-blocking"), ("same", "different"),
)  # fmt: skip
_EMPTY_WORDS = """
    the a an and or of to in on for is are be must should shall will it its that this with by as at from has have does
    do can may all any also still only"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
_FACTORS = {
    "ms": 0.001, "millisecond": 0.001, "s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hr": 3600,
    "hour": 3600, "day": 86400, "week": 604800, "month": 2592000, "year": 31536000, "byte": 1, "kb": 1e3, "mb": 1e6,
    "gb": 1e9, "tb": 1e12, "kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4,
}  # fmt: skip
_TIME = {"ms", "millisecond", "s", "sec", "second", "min", "minute", "h", "hr", "hour", "day", "week", "month", "year"}


class Contradiction(msgspec.Struct, frozen=True):
    """Two statements that can't both hold, and why, with their lines in the issue."""

    first: str
    second: str
    why: str
    lines: tuple[int, int]

    def text(self) -> str:
        """Say it in a sentence."""
        return f"“{self.first}” (line {self.lines[0]}) and “{self.second}” (line {self.lines[1]}): {self.why}"


def contradictions(reading: Reading) -> tuple[Contradiction, ...]:
    """Return the contradictions among what an issue asks for and what it says must stay."""
    parts = [
        part
        for part in reading.parts
        if part.role in ("ask", "criterion", "kept") and part.unit.kind in ("item", "sentence", "row")
    ][:STATEMENTS_MAX]
    found = []
    for one, other in combinations(parts, 2):
        if _apart(one, other):
            continue
        if why := _clash(one, other, reading.outline.title):
            first, second = (short(part.unit.text, 160, part.unit.codes) for part in (one, other))
            found.append(Contradiction(first, second, why, (one.unit.line, other.unit.line)))
    return tuple(found)


def _apart(one: Part, other: Part) -> bool:
    """Tell whether two statements don't speak of one thing: they are neither in one list nor in one section."""
    return one.unit.section != other.unit.section and one.unit.group != other.unit.group


def _clash(one: Part, other: Part, title: str) -> str:
    both = (one.unit.text, other.unit.text)
    first, second = ({match[0] for match in _ROOM.finditer(text)} for text in both)
    if first != second:
        return ""
    if name := _removed_and_kept(one, other):
        return f"`{name}` can't be removed and stay"
    listed = one.unit.kind == other.unit.kind == "item" and one.unit.group == other.unit.group
    if listed and (why := _numbers(*both, title)):
        return why
    return _opposite(*both) if one.unit.kind == other.unit.kind else ""


def _removed_and_kept(one: Part, other: Part) -> str:
    for name in set(one.unit.codes) & set(other.unit.codes):
        gone = [_says(part.unit.text, name, _GONE, _REMOVING) for part in (one, other)]
        stays = [_says(part.unit.text, name, _STAYS, _KEEPING) for part in (one, other)]
        for first, second in ((0, 1), (1, 0)):
            if gone[first] and stays[second] and not stays[first] and not gone[second]:
                return name
    return ""


def _says(text: str, name: str, behind: str, before: str) -> bool:
    """Tell whether a text says it of a name: `name` is removed; remove (the key) `name`."""
    quoted = re.escape(name)
    return bool(
        re.search(rf"{quoted}`? (?:\w+ ){{0,2}}{behind}\b", text, re.I)
        or re.search(rf"\b{before} (?:[\w'’]+ ){{0,4}}`?{quoted}", text, re.I)
    )


class _Span(msgspec.Struct, frozen=True):
    """The values that a statement allows, in the base unit of their dimension."""

    low: float
    high: float
    dimension: str
    shown: str


def _numbers(one: str, other: str, title: str) -> str:
    """Say why the numbers of two statements about one thing exclude each other."""
    for first in _spans(one):
        for second in _spans(other):
            apart = first.high < second.low or second.high < first.low
            if apart and first.dimension == second.dimension and _one_subject(one, other, title):
                return f"{first.shown} and {second.shown} exclude each other"
    return ""


def _spans(text: str) -> Iterable[_Span]:
    infinite = float("inf")
    taken: list[range] = []
    for pattern, bounds in (
        (_NONE_LONGER, "high"), (_AT_MOST, "high"), (_AT_LEAST, "low"), (_EXACTLY, "both"),
    ):  # fmt: skip
        for match in pattern.finditer(text[:2000]):
            if any(match.start(1) in span for span in taken):
                continue
            taken.append(range(match.start(1), match.end(1)))
            unit = (match[2] or "").lower().rstrip("s") or ("s" if match[2] else "")
            if not unit:
                continue
            value = float(match[1].replace(",", ".")) * _FACTORS.get(unit, 1)
            dimension = "time" if unit in _TIME else "size" if unit in _FACTORS else unit
            low = value if bounds in ("low", "both") else -infinite
            high = value if bounds in ("high", "both") else infinite
            yield _Span(low, high, dimension, match[0].strip())


def _one_subject(one: str, other: str, title: str) -> bool:
    """Tell whether two statements speak of the same: a word of theirs, or two that the title brings together."""
    first, second, named = (_words(re.sub(rf"{_NUMBER}", " ", text)) for text in (one, other, title))
    return bool(first & second - {"number", "value", "default"}) or bool(first & named and second & named)


def _opposite(one: str, other: str) -> str:
    """Say that two statements are the same but for a negation, or for two words that are opposites."""
    first, second = _tokens(one), _tokens(other)
    if not 3 <= len(first) <= 30 or not 3 <= len(second) <= 30:
        return ""
    bare = [[word for word in words if word not in _NEGATIONS and word not in _EMPTY] for words in (first, second)]
    negated = [sum(word in _NEGATIONS or word.endswith("n't") for word in words) % 2 for words in (first, second)]
    a, b = (set(map(_stem, words)) for words in bare)
    if len(a) >= 2 and a == b and negated[0] != negated[1]:
        return "the one denies the other"
    for left, right in _OPPOSITES:
        for x, y in ((left, right), (right, left)):
            same = {_stem(x)} | b - {_stem(y)} == a and _stem(y) in b and _stem(x) in a and len(a) >= 2
            if same and negated[0] == negated[1]:
                return f"{x} and {y} exclude each other"
    return ""


def _tokens(text: str) -> list[str]:
    return re.findall(r"[\w'’.-]*\w", text.lower().replace("’", "'"))


def _words(text: str) -> set[str]:
    return {_stem(word) for word in _tokens(text) if len(word) > 2} - _EMPTY - _NEGATIONS


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
