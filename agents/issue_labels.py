"""The labels over the texts of an edit (`Current` / `Should be`, `Before` / `After`, `Replace` / `with`).

Pure. Takes only what is labelled as source text to be replaced: what a program printed must not become an edit.
"""

from __future__ import annotations

import functools
import re

from .issue_blocks import CODE
from .issue_statement import COUNTS, EVERY_WORDS

_THING = (
    r"(?: (?:source |exact )?(?:code|text|version|lines?|block|contents?|implementation|snippet|definition|value|state"
    r"|wording|name|string|one|this|these|the following|following|it|that|fix|change|solution|function|method|class"
    r"|two|three|four|five|\d+))*"
)
#: The same in German and French: "aktueller Code", "le texte actuel".
_CALLED = (
    r"(?:code|text|texte|zeilen?|lignes?|version|stand|zustand|fassung|inhalt|contenu|wert|valeur|(?:der|die|das|le|la|les)"
    r"|quelltext|stelle|block|bloc)"
)
_OLD_ELSEWHERE = (
    rf"(?:{_CALLED} )*(?:aktuell(?:e[rs]?)?|derzeit(?:ig(?:e[rs]?)?)?|vorher(?:ig(?:e[rs]?)?)?|bisher(?:ig(?:e[rs]?)?)?"
    r"|alt(?:e[rs]?)?|ist zustand|actuel(?:le|lement)?|avant|ancien(?:ne)?|existante?|original(?:e[rs]?)?)"
    rf"(?: {_CALLED})*"
)
_NEW_ELSEWHERE = (
    rf"(?:{_CALLED} )*(?:soll(?:te)?(?: (?:sein|lauten|werden|stehen|heißen|zustand))?"
    r"|(?:richtig|korrekt) (?:wäre|ist)|nachher"
    r"|neu(?:e[rs]?)?|künftig(?:e[rs]?)?"
    r"|devrait (?:être|devenir)|doit (?:être|devenir)|après|nouveau|nouvel(?:le)?|souhaitée?|proposée?"
    r"|corrigée?|devient)"
    rf"(?: {_CALLED})*"
)
#: Words that introduce an old text only where a new one follows; they introduce many other things as well.
_WEAK = (
    r"from|was|is|ist|(?:(?:hier|dort|da|aktuell|derzeit) )?steht(?: (?:hier|dort|da|aktuell|derzeit))?"
    r"|(?:currently )?(?:reads|says|looks like)|we (?:currently )?have|there is"
    r"|(?:this|the following|these)(?: (?:\d+|two|three|four))? (?:code|lines?|text|block)"
)
OLD = {
    "plain": rf"current(?:ly)?|before|old|existing|original(?:ly)?|{_WEAK}"
    rf"|(?:wrong|buggy|broken|incorrect|faulty|problematic|actual) (?:source )?(?:code|lines?)|{_OLD_ELSEWHERE}",
    "find": r"find|search(?: for)?",
    "verb": r"replace|instead of|change(?:d)?(?: it)?(?: from)?|substitute"
    rf"|(?:(?:bitte )?ersetze(?:n sie)?(?: bitte)?|remplace[rz]?)(?: {_CALLED})*",
}
_BECOMES = (
    r"(?:should|must|needs? to|has to|ought to)(?: instead| rather)? (?:be|become|read|look like|say|use)(?: instead)?"
    r"(?: (?:changed|replaced|corrected|updated))?(?: to| with| by| into)?"
)
_CHANGE = r"(?:replace|change|update)(?:d|s)?(?: it| this| that)? (?:with|by|to)"
NEW = {
    "plain": rf"{_BECOMES}|after|new|becomes?|to be|proposed|desired|fix(?:ed)?|suggest(?:ed|ion)|correct(?:ed)?|change"
    rf"|updated|modified|replacement|{_CHANGE}|to|with|instead|expected (?:source )?(?:code|lines?)"
    rf"|{_NEW_ELSEWHERE}",
    "find": rf"replace(?: (?:it|this|that))?|with|by|replacement|{_CHANGE}|new|{_BECOMES}",
    "verb": rf"with|by|to|into|for|use|durch|par|replacement|{_CHANGE}|new|{_BECOMES}",
}
_CODE_WORDS = r"(?:function|method|class|constant|variable|property|section|test|module|table|docstring)"
_LINES = r"(?:(?:on|at|in|around|near) )?(?:the )?lines? ~?\d+(?:\s*(?:[-–—]|to|and)\s*\d+)?"
#: What stands beside a label: remarks in brackets, the place, the line's number.
_BESIDE = (
    (re.compile(r"^\s*\d+(?:\.\d+)+[.)]?\s"), " "),
    (re.compile(r"\([^()]*\)"), " "),
    (
        re.compile(
            rf"^\s*(?:\d+[.)]|[-*•])?\s*(?:please\s+)?(?:in|at|dans|file:?)?\s*(?:(?:the|der|le) )?"
            rf"(?:(?:file|datei|fichier):? )?{CODE}\s*[,:]?\s*"
            rf"(?:(?:in )?(?:the )?{_CODE_WORDS} {CODE}\s*[,:]?\s*)?",
            re.I,
        ),
        "",
    ),
    (
        re.compile(
            rf"\s(?:in|of|at|from|inside|dans)(?: (?:the|der|le))?(?: (?:file|datei|fichier|{_CODE_WORDS}))? {CODE}",
            re.I,
        ),
        " ",
    ),
    (re.compile(rf"\b{_LINES}\b\s*[,:]?", re.I), " "),
    # Marks such as arrows, bullets and ticks in boxes; white space.
    (re.compile(rf"[^\w'’{CODE}]+|_+"), " "),
)
_BEFORE = r"(?:(?:the|please|and|but|then|so|it|this|that|which|they|es|code|line|text|value) )*"
_BEHIND = r"(?: of)?(?: (?:is|are|reads?|looks like|now|so|here|below))*"


def label_of(text: str, labels: dict[str, str]) -> str | None:
    """Return the family of the label that a line consists of, besides its place and number; or None."""
    bare = _bare(text)
    return next((family for family, words in labels.items() if _whole(words).fullmatch(bare)), None)


# One line is looked at for several labels.
@functools.lru_cache(maxsize=256)
def _bare(text: str) -> str:
    """Return a line without what may stand beside a label."""
    for pattern in (*COUNTS, EVERY_WORDS):
        text = pattern.sub(" ", text)
    for pattern, put in _BESIDE:
        text = pattern.sub(put, text)
    return " ".join(text.split()).lower()


@functools.cache
def _whole(words: str) -> re.Pattern[str]:
    return re.compile(rf"{_BEFORE}(?:{words}){_THING}{_BEHIND}")


#: Both labels in one line: ``**Current:** `a` **Should be:** `b` ``.
_IN_LINE = re.compile(rf"(?<={CODE})(?:[\s,;.|/–—-]|->|→|=>|⇒)+(?=[^\W\d_][\w ’']{{1,40}}:\s*{CODE})")


#: A remark in brackets behind a text that changes nothing about it.
_REMARK = (
    r"(?:\s*\((?![^()]*\b(?:if|unless|or|maybe|perhaps|optional\w*|only|except|not|when|falls|wenn|oder|si|ou)\b)"
    rf"[^(){CODE}]*\))?"
)
#: A line that ends with inline code.
_WITH_CODE = re.compile(rf"(.*\w\W{{0,4}}){CODE}{_REMARK}[ .;,]*")
#: New labels that within a line may be words of a sentence.
_SHORT = re.compile(r"(?:to|with|instead|change|fix(?:ed)?|by)\s*", re.I)


def split_labels(text: str) -> list[str]:
    """Return a line in parts, where it has old and new texts in turn, each with a label of its own; else as it is."""
    parts, begun = list[str](), 0
    for found in _IN_LINE.finditer(text):
        if _family(text[found.end() :].partition(":")[0], OLD if len(parts) % 2 else NEW):
            parts.append(text[begun : found.start()])
            begun = found.end()
    parts.append(text[begun:])
    if len(parts) % 2:
        return [text]
    heads = [head_of(part) for part in parts]
    if any(head == part or not head.rstrip().endswith(":") for head, part in zip(heads, parts, strict=True)):
        return [text]
    labels = [re.split(r"[.!?] ", head)[-1] for head in heads]
    in_turn = all(_family(label, NEW if n % 2 else OLD) for n, label in enumerate(labels))
    return parts if in_turn else [text]


#: Both with more behind them than can be told from the new text.
_BOTH = re.compile(
    rf"(?:^|[.!?\n]\s*|[-*]\s+|:\s+)([^\W\d_][\w ’']{{1,40}}):\s*{CODE}(?:[\s,;.|/–—-]|->|→|=>|⇒)*"
    rf"([^\W\d_][\w ’']{{1,40}}):\s*{CODE}(?=\s*(?:$|[.;,(\n]|in\b|dans\b))"
)


def has_both_labels(text: str) -> bool:
    """Tell whether an old and a new text stand behind each other, each with its label, whatever is around them."""
    return any(_family(found[1], OLD) and _family(found[2], NEW) for found in _BOTH.finditer(text))


def _family(label: str, labels: dict[str, str]) -> bool:
    """Tell whether a text is a plain label, and no word that within a line may be one of a sentence."""
    plain = {"plain": labels["plain"]}
    return label_of(label, plain) is not None and not is_weak(label) and not _SHORT.fullmatch(label.strip(": "))


def is_weak(text: str) -> bool:
    """Tell whether a label of an old text says so little that it may introduce anything."""
    return label_of(head_of(text), {"weak": _WEAK}) is not None


def is_label(text: str) -> bool:
    """Tell whether a line is a label of either kind."""
    return label_of(text, OLD) is not None or label_of(text, NEW) is not None


def head_of(text: str) -> str:
    """Return a line without the inline code at its end, where that is the text which the label announces."""
    found = _WITH_CODE.fullmatch(text) if CODE in text else None
    return found[1] if found and not re.search(r"\b(?:in|of|at|inside|file)\W*$", found[1], re.I) else text
