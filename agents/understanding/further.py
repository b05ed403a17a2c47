"""What an issue asks for beside its explicit edits, so that nobody takes the edits for all of it.

Owns the judgement which sentences and items of an issue no edit carries out. Pure. Leaves what is asked at all to
`orchestration.issue_units`. Keeps: in doubt a wish is told, as what is told too often costs a line, and what is left
out silently costs the work.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...orchestration.issue_language import ORDER, Words
from ...orchestration.issue_outline import Section
from ...orchestration.issue_units import Part, Reading
from ...orchestration.work_wording import short
from ..issue_statement import Pair

FURTHER_MAX = 50
#: A single word is a label.
_WORDS_MIN = 2
#: What asks for nothing that could be changed in a file, or for what is done with every change.
_MANNERS = Words(
    r"^\W*(?:(?:please|and|then|also|just|finally|to)\W+){0,3}(?:let me know|(?:see|refer)\b|thanks?\b|thank you"
    r"|ping me|feel free|assign|(?:review|merge|approve|close|ship|release|commit|push|submit|backport)\b"
    r"|(?:open|send|make|create|submit) (?:a |the )?(?:pr|pull request|patch|mr|merge request)\b"
    r"|(?:re-?)?run (?:the |all )?(?:\w+ )?(?:tests?|suite|pytest|ci|checks?|linters?)\b|keep (?:the|all|every)"
    r"|(?:make sure|ensure|verify|check|confirm)(?: that)? (?:\w+ ){0,3}?(?:tests?|suite|ci|build|checks?|pipeline"
    r"|linters?)\b(?! (?:for|covers?|is added|exists?)))|\b(?:all|existing|other) tests (?:should|must|have to|need to)"
    r"|\btests? (?:should|must) (?:still |keep )?pass"
)
#: A sentence about what the edits say, or about the whole.
_OF_THE_EDITS = Words(
    r"^\W*(?:this|that|these|those|it|they|here|the (?:change|changes|edits?|diff|patch|fix|above|following|below)"
    r"|both|all of (?:this|these|them)|apply|make (?:the|these|this|those|all)|change (?:it|this|them|these) "
    r"|use the following|do the following|perform|carry out)\b|\b(?:as (?:shown|described|listed|given|follows)|below"
    r"|the following)\b"
)
_MORE_IN_A_SENTENCE = re.compile(
    r"(?:,|;)?\s*\b(?:and|then|also|as well as|plus|but also)\s+((?:(?:also|then|please)\s+)*(?P<order>\w.*))",
    re.I | re.S,
)
_NUMBERED = re.compile(r"\W*(?:(?:step|part|bug|issue|problem|item|task|change|fix)\s+)?#?\d+\b[.):\s–—-]", re.I)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{3,}")
_OF_EVERY_ISSUE = """this that with from into should must need needs have file files line lines code change changes
    update make please also replace remove rename value values text name function method class test tests when then"""
_COMMON = frozenset(_OF_EVERY_ISSUE.split())


def further_wishes(reading: Reading, pairs: Sequence[Pair]) -> list[str]:
    """Return what is asked for that none of the explicit edits carries out, in the issue's words; [] without edits."""
    if not pairs:
        return []
    place = _Edits(reading, pairs)
    found = [text for part in reading.parts if (text := _wish(part, place))]
    found += [_heading(section) for section in place.unedited()]
    return list(dict.fromkeys(found))[:FURTHER_MAX]


class _Edits:
    """Where the edits of an issue stand, and what they speak of."""

    def __init__(self, reading: Reading, pairs: Sequence[Pair]) -> None:
        self.lines = {pair.line for pair in pairs}
        self.first = min(self.lines)
        self.sections = reading.outline.sections
        #: The sections with an edit in them, or in one below them.
        self.own = {n for line in self.lines for n in self._around(line)}
        self.paths = {path for pair in pairs for scope in pair.scopes[:1] for path in scope.paths}
        self.texts = [text for pair in pairs for text in (pair.old, pair.new, pair.key) if text]
        told = "\n".join([*self.texts, *self.paths, *(pair.to for pair in pairs)])
        self.words = {word.lower() for word in _WORD.findall(told)} - _COMMON
        self._told = {part.unit.section for part in reading.parts if part.unit.kind != "title"}

    def is_of_edits(self, text: str, codes: Sequence[str]) -> bool:
        """Tell whether a sentence speaks of nothing but what is edited."""
        others = [code for code in codes if code not in self.paths and not any(code in one for one in self.texts)]
        words = {word.lower() for word in _WORD.findall(text)} - _COMMON
        return not others and bool(codes or words & self.words)

    def unedited(self) -> list[Section]:
        """Return the numbered sections without an edit, and with words, beside others that have one."""
        edited = [section for n, section in enumerate(self.sections) if n in self.own]
        beside = {section.level for section in edited if _NUMBERED.match(section.heading)}
        return [
            section
            for n, section in enumerate(self.sections)
            if n not in self.own and n in self._told and section.level in beside and _NUMBERED.match(section.heading)
        ]

    def _around(self, line: int) -> list[int]:
        """Return the numbers of the sections in which a line stands, the innermost first."""
        found: list[int] = []
        before = [n for n, section in enumerate(self.sections) if section.line <= line]
        for n in reversed(before):
            if not found or self.sections[n].level < self.sections[found[-1]].level:
                found.append(n)
        return found


def _wish(part: Part, edits: _Edits) -> str:
    """Return what a part of an issue asks for beyond the edits, "" where that is nothing."""
    unit = part.unit
    if part.role != "ask" or part.implied or unit.kind == "title" or unit.checked:
        return ""
    told = short(unit.text, 300, unit.codes)
    if _MANNERS.search(unit.text) or len(unit.text.split()) < _WORDS_MIN:
        return ""
    if unit.line in edits.lines and any(code in one for code in unit.codes for one in edits.texts):
        return _beyond(unit.text, unit.codes, edits)
    of_edits = edits.is_of_edits(unit.text, unit.codes)
    if unit.kind != "sentence":
        # Each item is a thing by itself; of a list before the edits some are what they carry out.
        return "" if of_edits else told
    if unit.line < edits.first and not _ALSO.search(unit.text):
        # What leads to the edits tells why they are made.
        others = [code for code in unit.codes if code not in edits.paths]
        return told if others and not of_edits and ORDER.match(unit.text) else ""
    if _OF_THE_EDITS.search(unit.text) or (of_edits and not _ALSO.search(unit.text) and not ORDER.match(unit.text)):
        return ""
    return told


_ALSO = Words(
    r"\b(?:also|additionally|in addition|furthermore|moreover|besides|as well|too|accordingly|another|second(?:ly)?"
    r"|außerdem|zusätzlich|auch|ebenfalls|aussi|également|de plus|además|también|inoltre|anche|além disso|também"
    r"|также|кроме того)\b|另外|此外|还|また|さらに"
)


def _beyond(text: str, codes: Sequence[str], edits: _Edits) -> str:
    """Return what a sentence that holds an edit asks for behind it."""
    ends = [
        text.rfind(code) + len(code) for code in codes if code in edits.paths or any(code in one for one in edits.texts)
    ]
    for more in _MORE_IN_A_SENTENCE.finditer(text):
        order = more["order"]
        behind = more.start() >= max((end for end in ends if end <= more.start()), default=len(text))
        of_edits = any(
            code in edits.paths or any(code in one for one in edits.texts) for code in codes if code in order
        )
        if behind and ORDER.match(order) and not of_edits and not _MANNERS.search(order):
            return short(order, 300, [code for code in codes if code in order])
    return ""


def _heading(section: Section) -> str:
    return short(section.heading, 300, ())
