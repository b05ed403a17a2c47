"""What a part of an issue states: an old text and a new one, a number of occurrences, or what keeps it from being that.

Pure. Leaves finding them to `issue_pairs`, `issue_sentences`, `issue_files` and `issue_diff`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from .edit import EVERY, How, Tail
from .issue_paths import Scope

_NUMBER = {"once": 1, "twice": 2, "both": 2, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
_NUMBER |= {"eight": 8, "nine": 9, "ten": 10}
_N = r"(\d{1,4}|two|three|four|five|six|seven|eight|nine|ten)"
_PLACE = r"(?:occurrences?|places?|instances?|times|copies|spots?|matches)"
_OCCURS = r"(?:occurs?|occurring|appears?|stands|is there|found|exists?)"
COUNTS = (
    re.compile(rf"\b{_OCCURS}(?: exactly)? (?:(?:in )?{_N} {_PLACE}|[io]n {_N} lines)", re.I),
    re.compile(rf"\b{_OCCURS}(?: exactly)? (once|twice)\b", re.I),
    re.compile(rf"\b(?:all|these|each of the|in|at|has|there are|exactly)(?: of)?(?: the)? {_N} {_PLACE}\b", re.I),
    re.compile(rf"\({_N} {_PLACE}\)|(?<!\w){_N} ?(?:x|×)(?!\w)|\b{_N} (?:occurrences?|instances?)\b", re.I),
    re.compile(rf"\b(both) {_PLACE}", re.I),
)
EVERY_WORDS = re.compile(
    r"\b(?:everywhere|throughout|(?:all|every|each) (?:of the )?(?:occurrences?|instances?|uses?))\b", re.I
)


#: "all of them but this one", which no number says.
EXCEPTED = re.compile(r"\b(?:except|excepting|but not|other than|apart from|excluding|save for|only the)\b", re.I)


#: "in the whole project", which names no file.
_ALL_FILES = re.compile(
    r"(?![^.;!?]{0,30}\b(?:the|this|that) file\b)[\s,]*"
    r"(?:everywhere|throughout|across|in (?:all|every|each|the (?:whole|entire)))\b[^.;!?]{0,60}?"
    r"\b(?:repo|repository|project|code ?base|package|tree|files?)\b",
    re.I,
)
_IN_FILES = re.compile(rf"\b(?:in|across) {_N} files?\b", re.I)


#: One line, or the first of a range; two lines are two places.
_LINE = re.compile(
    r"\bline ~?(\d+)\b(?!\s*(?:,|and|&|or)\s*\d)|\blines ~?(\d+)\s*(?:[-–—]|to)\s*\d|\.\w+(?::|#L)(\d+)\b", re.I
)


class Pair(msgspec.Struct, frozen=True):
    """An old text, the new one, and what the issue says about their place and number.

    None as old or new text stands for a file to be made or removed; `at_line` is a diff's line. `how`, `key`, `to` and
    `tail` are those of an edit; a `to` that ends with a slash is the folder that a file goes to.
    """

    old: str | None
    new: str | None
    lines: bool
    line: int
    scopes: list[Scope]
    count: int = 1
    at_line: int = 0
    how: How = "replace"
    key: str = ""
    to: str = ""
    files: int = 0
    tail: Tail = ""


class Problem(msgspec.Struct, frozen=True):
    """What keeps a part of the issue from being an edit, and the line of it."""

    line: int
    text: str


def stated_files(text: str) -> int | None:
    """Return in how many files a text is said to be, where the words right behind an order mean the whole repository.

    0 where they do and give no number; None where they don't.
    """
    if _ALL_FILES.match(text) is None:
        return None
    found = _IN_FILES.search(text)
    return (_NUMBER.get(found[1].lower()) or int(found[1])) if found else 0


def stated_count(text: str) -> int | None:
    """Return how often an old text is said to occur, EVERY for "everywhere", None where nothing is said."""
    for pattern in COUNTS:
        if found := pattern.search(text):
            word = next(group for group in found.groups() if group).lower()
            return _NUMBER.get(word) or int(word)
    return EVERY if EVERY_WORDS.search(text) else None


def stated_line(texts: Sequence[str]) -> int:
    """Return the line at which the first of some texts says that something stands; 0 where none does."""
    found = (_LINE.search(text) for text in texts)
    return next((int(next(filter(None, match.groups()))) for match in found if match), 0)
