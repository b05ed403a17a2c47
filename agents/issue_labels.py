"""The labels over the texts of an edit (`Current` / `Should be`, `Before` / `After`, `Replace` / `with`).

Pure. Takes only what is labelled as source text to be replaced: what a program printed must not become an edit.
"""

from __future__ import annotations

import re

from .issue_blocks import CODE
from .issue_statement import COUNTS, EVERY_WORDS

_THING = (
    r"(?: (?:source |exact )?(?:code|text|version|lines?|block|contents?|implementation|snippet|definition|value|state"
    r"|wording|name|string|one|this|these|the following|following|it|that|fix|change|solution|function|method|class"
    r"|two|three|four|five|\d+))*"
)
#: Words that introduce an old text only where a new one follows; they introduce many other things as well.
_WEAK = (
    r"from|was|is|(?:currently )?(?:reads|says|looks like)|we (?:currently )?have|there is"
    r"|(?:this|the following|these)(?: (?:\d+|two|three|four))? (?:code|lines?|text|block)"
)
OLD = {
    "plain": rf"current(?:ly)?|before|old|existing|original(?:ly)?|{_WEAK}"
    r"|(?:wrong|buggy|broken|incorrect|faulty|problematic|actual) (?:source )?(?:code|lines?)",
    "find": r"find|search(?: for)?",
    "verb": r"replace|instead of|change(?:d)?(?: it)?(?: from)?|substitute",
}
_BECOMES = (
    r"(?:should|must|needs? to|has to|ought to)(?: instead| rather)? (?:be|become|read|look like|say|use)(?: instead)?"
    r"(?: (?:changed|replaced|corrected|updated))?(?: to| with| by| into)?"
)
_CHANGE = r"(?:replace|change|update)(?:d|s)?(?: it| this| that)? (?:with|by|to)"
NEW = {
    "plain": rf"{_BECOMES}|after|new|becomes?|to be|proposed|desired|fix(?:ed)?|suggest(?:ed|ion)|correct(?:ed)?|change"
    rf"|updated|modified|replacement|{_CHANGE}|to|with|instead|expected (?:source )?(?:code|lines?)",
    "find": rf"replace(?: (?:it|this|that))?|with|by|replacement|{_CHANGE}|new|{_BECOMES}",
    "verb": rf"with|by|to|into|for|use|replacement|{_CHANGE}|new|{_BECOMES}",
}
_CODE_WORDS = r"(?:function|method|class|constant|variable|property|section|test|module|table|docstring)"
_LINES = r"(?:(?:on|at|in|around|near) )?(?:the )?lines? ~?\d+(?:\s*(?:[-–—]|to|and)\s*\d+)?"
#: What stands beside a label: remarks in brackets, the place, the line's number.
_BESIDE = (
    (re.compile(r"^\s*\d+(?:\.\d+)+[.)]?\s"), " "),
    (re.compile(r"\([^()]*\)"), " "),
    (
        re.compile(
            rf"^\s*(?:\d+[.)]|[-*•])?\s*(?:please\s+)?(?:in|at|file:?)?\s*(?:the )?(?:file )?{CODE}\s*[,:]?\s*"
            rf"(?:(?:in )?(?:the )?{_CODE_WORDS} {CODE}\s*[,:]?\s*)?",
            re.I,
        ),
        "",
    ),
    (re.compile(rf"\s(?:in|of|at|from|inside)(?: the)?(?: (?:file|{_CODE_WORDS}))? {CODE}", re.I), " "),
    (re.compile(rf"\b{_LINES}\b\s*[,:]?", re.I), " "),
    # Marks such as arrows, bullets and ticks in boxes; white space.
    (re.compile(rf"[^\w'’{CODE}]+|_+"), " "),
)
_BEFORE = r"(?:(?:the|please|and|but|then|so|it|this|that|which|they|code|line|text|value) )*"
_BEHIND = r"(?: of)?(?: (?:is|are|reads?|looks like|now|so|here|below))*"


def label_of(text: str, labels: dict[str, str]) -> str | None:
    """Return the family of the label that a line consists of, besides its place and number; or None."""
    bare = text
    for pattern in (*COUNTS, EVERY_WORDS):
        bare = pattern.sub(" ", bare)
    for pattern, put in _BESIDE:
        bare = pattern.sub(put, bare)
    bare = " ".join(bare.split()).lower()
    for family, words in labels.items():
        if re.fullmatch(rf"{_BEFORE}(?:{words}){_THING}{_BEHIND}", bare):
            return family
    return None


def is_weak(text: str) -> bool:
    """Tell whether a label of an old text says so little that it may introduce anything."""
    return label_of(head_of(text), {"weak": _WEAK}) is not None


def is_label(text: str) -> bool:
    """Tell whether a line is a label of either kind."""
    return label_of(text, OLD) is not None or label_of(text, NEW) is not None


def head_of(text: str) -> str:
    """Return a line without the inline code at its end, where that is the text which the label announces."""
    found = re.fullmatch(rf"(.*\w\W{{0,4}}){CODE}[ .;,]*", text)
    return found[1] if found and not re.search(r"\b(?:in|of|at|inside|file)\W*$", found[1], re.I) else text
