"""What an issue lacks for anybody to act on it, and what would be good to know besides.

Pure. Only what is absent from the text is told; whether the work is worth doing is its maintainers' affair. Keeps: an
issue that names a file, a name of the code, a case or a number is never said to lack everything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from ...orchestration.extent_language import SAYING_NOTHING
from ...orchestration.issue_language import Words
from ...orchestration.issue_units import Reading
from .kind import Kind

#: Who writes more than that has told something that can be looked at.
FEW_WORDS = 60
#: So many words with a meaning in a title tell what goes wrong.
TITLE_WORDS_TELLING = 4
_PLACEHOLDER = Words(
    r"^\W*(?:tbd|tba|to-?do|todo: .{0,20}|fixme|to be (?:decided|determined|defined|discussed|filled in|specified"
    r"|done)|\?{2,}|…|\.{3}|xxx+|n/?a|none|no response|not (?:yet )?(?:decided|clear|known|specified)|lorem ipsum.*"
    r"|fill (?:this |me )?in.*|describe .{0,60}here|please (?:fill|describe).{0,40}|details? (?:follow|to follow"
    r"|later|soon)|see title|as discussed.{0,60}|as (?:we )?talked.{0,60})\W*$"
)
#: Where somebody saw it says nothing of what they saw.
_SURROUNDINGS = re.compile(
    r"\bv?\d+(?:\.\d+)+\w*|\b(?:python|node|java|go|ruby|php|windows|macos|mac ?os(?: x)?|ubuntu|debian|fedora|linux"
    r"|android|ios|chrome|firefox|safari|edge|version|release|python)\b[ -]?v?\d*(?:\.\d+)*|\b\d+ ?(?:people"
    r"|users|of us|colleagues|days|weeks|months|years)\b|\b(?:monday|tuesday|wednesday|thursday|friday|saturday"
    r"|sunday|january|february|march|april|june|july|august|september|october|november|december)\b|\b20\d\d\b",
    re.I,
)
_CONCRETE = re.compile(
    r"\d|\b[A-Z]{3,}\b|[\"“«„`']\w|\w_\w|\w\(|[a-z][A-Z]|--?\w{2,}|/\w|\.\w+\b(?=\W|$)(?<!\.\s)|[^\x00-\x7f]{6}"
)
_QUESTION = re.compile(
    r"\W*(?:how|why|what|where|when|who|which|is (?:it|there|this)|are there|does (?:it|this|anyone|anybody|somebody)"
    r"|do (?:you|we|i)|any(?:one|body)|can (?:i|someone|anyone|somebody)|am i|should i|wie|warum|pourquoi|comment"
    r"|cómo|por qué)\b.*\?\W*\Z",
    re.I,
)
_UNDECIDED = Words(
    r"\b(?:(?:we|i) (?:still )?(?:have|need) to (?:decide|discuss|agree|think|talk)|(?:not|isn['’]t|hasn['’]t been"
    r"|still) (?:yet )?(?:to be )?(?:decided|clear|agreed|settled|defined)|open question|undecided"
    r"|needs? (?:a )?(?:discussion|decision|design|more thought)|somehow|something like that|or whatever"
    r"|whatever (?:you|works|is best)|not sure (?:what|how|if|whether|which))\b"
)
_ELSEWHERE = Words(
    r"\b(?:see (?:the )?(?:attached|attachment|screenshot|log|chat|call|mail|slack|meeting|thread)|(?:attached"
    r"|enclosed) (?:is|you|file|log|screenshot)|as (?:discussed|agreed|mentioned|described) (?:in|on|during|yesterday"
    r"|elsewhere|earlier|with)|like (?:we|i) (?:said|discussed|talked)|you know (?:what|which|the)|the usual"
    r"|same as (?:last|the other) (?:time|one))\b"
)


#: `the add function`, `option --all`, `class Cart`: what is spoken of can be looked up, with or without code marks.
_THING = r"(?:functions?|methods?|class|commands?|options?|flags?|endpoints?|parameters?|arguments?|fields?|settings?)"
_NOT_A_NAME = (
    r"(?!(?:a|an|all|any|each|every|some|many|most|few|more|other|another|new|old|own|these|those|this|that|the|our|its|my"
    r"|your|their|which|what|whose|first|last|next|same|wrong|broken|slow|bad|and|or|is|are|was|were|to|in|of|for|with"
    r"|on|by|as|at|not|no|two|several|various|certain|important|main|existing|missing|right|member|static|private"
    r"|public|key|helper|utility|core|whole|only)\b)"
)
_NAMED = re.compile(
    rf"\b(?:the|in|of|fix|our) {_NOT_A_NAME}[a-z_][\w.-]+ {_THING}\b|\b{_THING} {_NOT_A_NAME}(?:--)?[a-z_]\w*[_.]\w+"
    rf"|\b{_THING} --[\w-]+|(?<!\S)--[\w-]+ {_THING}\b",
    re.I,
)


class Lack(msgspec.Struct, frozen=True):
    """Why an issue can't be acted on: a word for programs, and what would have to be said."""

    reason: str
    text: str


def lacking(reading: Reading, kind: Kind, targets: Sequence[str], pairs: int, *, vague: bool) -> Lack | None:
    """Return what keeps an issue from being acted on, None for one that says enough."""
    title = reading.outline.title
    whole = " ".join([title, *(part.unit.text for part in reading.parts if part.unit.kind != "title")])
    if vague and not _NAMED.search(whole):
        return Lack("vague", "it names no file, no case and no number: nothing in it could be checked")
    if targets or pairs or reading.outline.samples:
        return None
    units = [part.unit for part in reading.parts if part.unit.kind != "title"]
    if any(unit.codes for unit in units) or reading.outline.title_codes:
        return None
    told = [unit.text for unit in units if not _PLACEHOLDER.search(unit.text)]
    words = sum(len(text.split()) for text in [title, *told])
    if units and not told:
        return Lack("unfinished", "below its title there are only placeholders")
    asks = [part for part in reading.parts if part.role in ("ask", "criterion")]
    if _QUESTION.match(title) and not asks and words <= FEW_WORDS:
        return Lack("question", "it asks a question, and for no change")
    if words > FEW_WORDS or any(part.role == "criterion" for part in reading.parts):
        return None
    plain = [_SURROUNDINGS.sub(" ", text) for text in [title, *told]]
    concrete = any(_CONCRETE.search(text) for text in plain)
    if told and not concrete and (_ELSEWHERE.search(" ".join(told)) or _UNDECIDED.search(" ".join([title, *told]))):
        return Lack("elsewhere", "what it is about is told somewhere else, or not decided yet")
    told_much = len(set(re.findall(r"[^\W\d_]{3,}", title.lower())) - SAYING_NOTHING) >= TITLE_WORDS_TELLING
    if (
        kind in ("bug", "perf")
        and told
        and not told_much
        and not concrete
        and not reading.items()
        and not _has_steps(reading)
    ):
        return Lack("no_case", "it tells that something is wrong, and no case in which it could be seen")
    return None


def wishes(reading: Reading, kind: Kind, missing_files: Sequence[str]) -> list[str]:
    """Return what would be good to know of an issue that can be acted on."""
    found = [f"`{path}` is named, and is not in the repository" for path in missing_files[:10]]
    shown = reading.outline.samples or _has_steps(reading) or any(part.unit.codes for part in reading.parts)
    if kind == "bug" and not shown:
        found.append("a case in which it can be seen")
    if kind in ("feature", "perf") and not any(part.role == "criterion" for part in reading.parts):
        found.append("what shows that it is done (acceptance)")
    told = [part.unit.text for part in reading.parts if part.role != "title"]
    found += [f"“{text[:120]}” says nothing yet" for text in told if _PLACEHOLDER.search(text)][:5]
    return found


def _has_steps(reading: Reading) -> bool:
    return sum(1 for part in reading.parts if part.role == "step" and len(part.unit.text.split()) > 3) > 1
