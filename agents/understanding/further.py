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
from ...orchestration.path_mentions import is_test
from ...orchestration.work_wording import short
from ..issue_asides import FORBIDDEN
from ..issue_statement import Pair
from .leads import expected_beyond, led_to

FURTHER_MAX = 50
#: A single word is a label; scripts without blanks say a sentence in one.
_WORDS_MIN = 2
_UNSPACED_MIN = 4
#: What is done with every change, not by one: "Please review this PR.", "Merge when green."
_OF_A_CHANGE = (
    r"(?:(?:this|it|that|the|a|an|my|your|these|new|and)\s+)*(?:pull requests?|prs?|mrs?|merge requests?|patch|issue"
    r"|ticket|changes?|branch|fix|result|work|everything|version|release|this|it|merge|when|once|after|afterwards|asap|soon|please)\b"
)
#: What asks for nothing that could be changed in a file, or for what is done with every change.
_MANNERS = Words(
    r"^\W*(?:(?:please|and|then|also|just|finally|to)\W+){0,3}(?:let me know|(?:see|refer to|cf\.?|compare)\b"
    r"|no(?:ne|thing)?\b|note(?: that\b|:)|(?:open|edit|save) (?:the )?(?:file )?\S+\W*$"
    r"|thanks?\b|thank you|ping me|feel free|assign"
    rf"|(?:review|merge|approve|close|ship|release|commit|push|submit|backport)(?:\W*$|\s+{_OF_A_CHANGE})"
    r"|(?:open|send|make|create|submit) (?:a |the )?(?:pr|pull request|patch|mr|merge request)\b"
    r"|(?:re-?)?run (?:the |all )?(?:\w+ )?(?:tests?|suite|pytest|ci|checks?|linters?)\b"
    r"|keep (?:the|all|every\w*)\b.*\b(?:as|same|intact|small|short|minimal|rest|others?|existing|indentation"
    r"|formatting|style|order|api|behaviou?r|signatures?|public|diff|line (?:ends|endings)|passing|green)\b"
    r"|(?:make sure|ensure|verify|check|confirm)(?: that)? (?:\w+ ){0,3}?(?:tests?|suite|ci|build|checks?|pipeline"
    r"|linters?) (?:\w+ ){0,3}?(?:pass\w*|green|succeed\w*|works?|runs?|ok|clean|happy)"
    r"|(?:make sure|ensure|verify|check|confirm)\b.*\b(?:kept|preserved|unchanged|intact|untouched|(?:still|everything)"
    r" works?|works? again|nothing else|not broken))"
    r"|\b(?:all|existing|other) tests (?:should|must|have to|need to) (?:\w+ )?(?:pass|be green|succeed|run|work)"
    r"|\btests? (?:should|must) (?:still |keep )?pass"
    r"|^\W*(?:i|we)\b.{0,20}\b(?:willing|happy|glad|searched|read|agree\w*|checked|confirm\w*)\b"
    r"|^\W*i (?:can|could|may|will|would)\b.{0,12}\b(?:open|submit|send|provide|make|try|help|prepare)\b"
)
#: Behind such words a sentence may ask for something all the same.
_CLAUSE = re.compile(r"(?:[,;:]|\s[–—-]|\band\b|\bbut\b)\s+")
_DUTY = Words(r"\b(?:must|should|needs? to|has to|have to|add|update|change|fix|remove|document)\b")
#: A sentence about what the edits say, or about the whole.
_OF_THE_EDITS = Words(
    r"^\W*(?:(?:please|just)\W+)*(?:this|that|these|those|it|they|here (?:is|are)"
    r"|(?:the )?(?:changes?|edits?|diff|patch|fix|above|following|below)"
    r"|both (?:are|changes|edits|were|have|files|places|values)|all of (?:this|these|them)"
    r"|apply (?:this|that|these|it|the (?:\w+ )?(?:changes?|edits?|diff|patch|fix|following|above|below))"
    r"|make (?:\w+ )?(?:the|these|this|those|all)(?: \w+){0,2} (?:changes?|edits?|replacements?)"
    r"|change (?:it|this|them|these) |use the following|do the following|perform|carry out)\b"
    r"|\b(?:as (?:shown|described|listed|given|follows)"
    r"|(?:shown|seen|given|listed|described|code|diff|patch|changes?|edits?|block|version) below|below\W*$)"
)
#: "It should warn": more than what the edits make of it, unless the verb says only that they help.
_MORE_OF_IT = Words(
    r"^\W*(?:it|they|this|that|these|those)\b.{0,30}?\b(?:should|must|needs?(?: to)?|has to|have to)\s+(?:also\s+)?"
    r"(?!(?:then|now|again|no|not|never|be|become|read|say|work|fix|solve|resolve|do|make|help|look|get|suffice|already"
    r"|instead|pass|close|address|give|return|match|stay|remain|keep|still|just|only|go|land|happen|wait)\b)\w+"
)
_MORE_IN_A_SENTENCE = re.compile(
    r"(?:(?:[,;]|\s[–—-])?\s*\b(?:and|then|also|as well as|plus|but also|while)\s+|\s&\s+|[;,]\s+|\s[–—-]\s+)"
    r"(?=(?:(?:also|then|please)\s+)*(?P<order>\w.{0,400}))",
    re.I | re.S,
)
_NUMBERED = re.compile(
    r"\W*(?:(?:step|part|bug|issue|problem|item|task|change|fix)\s+#?(?:\d+|[a-z])\b|#?\d+\b[.):\s–—-]|[A-Z][.)]\s)",
    re.I,
)
#: Orders, beside those that make any sentence one, by which a sentence behind the edits asks for more.
_ORDERS = Words(
    r"^\W*(?:(?:please|then|also|and|next|finally|afterwards|additionally|optionally|plus|lastly"
    r"|также|bitte|também|también|anche)\W+){0,3}"
    r"(?:adapt|adjust|amend|append|adopt|configure|cover|reg[eé]nerate|rebuild|refresh|rework|redo|run|support|sync"
    r"|tidy|wire|review|close|commit|release|double|restore|revert|verify|do (?:the same|that|this|so|it)"
    r"|swap|substitute|modify|increase|decrease"
    r"|mettez|ajoutez|corrigez|supprimez|atualize|adicione|actualiza|añade|aggiorna|aggiungi|обновите|добавьте"
    r"|удалите|исправьте)\b|\bwhile \w+ing\b"
)
_OPTIONAL = Words(r"^\W*(?:optionally|ideally|additionally|afterwards|lastly|plus|besides)\W+\w")
#: What asks without a verb of its own: "Likewise for the timeout", "Don't forget the changelog", "Also the docs".
_MARKED = Words(
    r"^\W*(?:likewise|ditto|same\b|the same (?:goes|applies|holds|for|in|change|fix|problem|bug|issue|mistake|error)"
    r"|(?:please )?(?:don['’]?t|do not) forget|(?:please )?remember (?:to|the)|remaining|(?:still )?left to do|plus\b"
    r"|also,? (?:the|a|an|in|for|please)\b|there(?: is|['’]s| are)? (?:also|another|one more|a second)\b|to-?do\b"
    r"|(?:do (?:that|this|it|the same)|same) (?:too|as well|also)\b"
    r"|(?:it|that) would be (?:\w+ )?(?:nice|great|good|useful|helpful|cool|better|best)\b"
    r"|thanks?\b.*\bplease\b|related: |merci d(?:e\b|['’])|(?:in addition|additionally|furthermore|moreover|besides)\b"
    r"(?!\W*(?:this|that|it|these|the (?:change|fix))\b)"
    r"|(?:users?|customers?|people|we) (?:also )?(?:want|need|expect|would like)\b)"
    r"|^\W*(?:reempla[zc]|sustitu|cambi[ae]|sostitui|substitu|vervang|замени)\w*\b|\bfrom \S{1,40} to \S{1,40}"
    r"|\bthe same (?:problem|bug|issue|mistake|error)\b"
)
#: What tells of a fault, which the edits of another place don't mend.
_FAULT = Words(
    r"\b(?:crash\w*|fails?|failing|raises?|throws?|wrong|broken|incorrect\w*|typo|bug|leaks?|hangs?|missing|traceback)\b"
)
#: What the edits mend although it stands in another file.
_WITHOUT_THEM = Words(r"\b(?:without|because|since|until|unless|therefore|so far|due to)\b")
#: Headings of sections that tell why.
_REASONS = Words(r"\b(?:why|impact|rationale|background|motivation|context|cause|analysis|reason)\b")
#: Headings of no thing of their own.
_GENERAL = Words(
    r"\b(?:summary|description|describe|overview|problem|issue|bug|why|what|how|context|background|motivation|details?"
    r"|notes?|impact|cause|analysis|fix|solution|changes?|proposed|proposal|suggestion|steps|reproduc\w*|expected"
    r"|actual|current|behaviou?r|environment|versions?|additional|info\w*|acceptance|criteria|checklist|tests?|testing"
    r"|files?|references?|related|logs?|output|traceback|examples?|symptoms?|rationale|scope|discussion|todo|tasks?"
    r"|before|after|old|new|edits?|implementation|requirements?|verification|root|screenshots?|result)\b"
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_OF_EVERY_ISSUE = """this that with from into should must need needs have file files line lines code change changes
    update make please also replace remove rename value values text name function method class test tests when then
    raise increase lower reduce bump correct adjust instead current currently default only where which there will would
    before after they them still just always never being been does both each more less than"""
_COMMON = frozenset(_OF_EVERY_ISSUE.split())
#: Work of a kind, and the files by which one sees that edits do it.
_KINDS = (
    (re.compile(r"\b(?:unit |regression )?tests?\b(?! (?:pass|fail|suite))", re.I), re.compile(r"test|spec", re.I)),
    (
        re.compile(r"\b(?:docs?|documentation|readme|document)\b", re.I),
        re.compile(r"\.(?:md|rst|txt|adoc)\Z|doc", re.I),
    ),
    (re.compile(r"\b(?:changelog|release notes?)\b", re.I), re.compile(r"change|history|news|release", re.I)),
)


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
        self.reading = reading
        self.pairs = pairs
        self.lines = {pair.line for pair in pairs}
        self.first = min(self.lines)
        self.sections = reading.outline.sections
        #: The sections with an edit in them, or in one below them.
        self.own = {n for line in self.lines for n in self._around(line)}
        self.paths = {path for pair in pairs for path in next((s.paths for s in pair.scopes if s.paths), ())}
        self.paths |= {pair.to for pair in pairs if pair.to}
        self.texts = [text for pair in pairs for text in (pair.old, pair.new, pair.key) if text]
        self.words = _words("\n".join([*self.texts, *self.paths]))
        self.title = _words(reading.outline.title)
        self._told = {part.unit.section for part in reading.parts if part.unit.kind != "title"}
        self._faulty = {
            part.unit.section
            for part in reading.parts
            if part.unit.kind != "title" and part.role != "done" and _FAULT.search(part.unit.text)
        }

    def is_of_edits(self, text: str, codes: Sequence[str]) -> bool:
        """Tell whether a sentence speaks of nothing but what is edited: most of its words are of the edits."""
        if any(code not in self.paths and not any(code in one for one in self.texts) for code in codes):
            return False
        if self.is_of_another_kind(text):
            return False
        words = _words(text)
        same = len(words & self.words) * 2
        return same >= len(words) if codes else same > len(words)

    def is_of_another_kind(self, text: str) -> bool:
        """Tell whether a sentence asks for tests or words, and the edits are in no file of such."""
        return any(kind.search(text) and not any(files.search(path) for path in self.paths) for kind, files in _KINDS)

    def stated_in(self, part: Part) -> bool:
        """Tell whether an edit was read off the words of a part, whose line others may share, or what they lead to."""
        for pair in self.pairs:
            if pair.lines and pair.line == part.unit.line and part.unit.text.endswith(":"):
                return True
            said = [pair.to] if pair.how == "move" else [pair.new] if pair.how == "set" else [pair.old, pair.new]
            if pair.how == "delete":
                said = [path for scope in pair.scopes[:1] for path in scope.paths]
            if pair.line == part.unit.line and any(one and _stands_in(one, part.unit.text) for one in said):
                return True
        return False

    def unedited(self) -> list[Section]:
        """Return the sections without an edit that are things of their own, beside others that have one.

        Those are numbered ones with words, those whose heading is an order, and those that tell of a fault.
        """
        edited = [section for n, section in enumerate(self.sections) if n in self.own and section.heading]
        numbered = {section.level for section in edited if _NUMBERED.match(section.heading)}
        levels = {section.level for section in edited if not _GENERAL.search(section.heading)}
        found = []
        for n, section in enumerate(self.sections):
            if n in self.own or not section.heading:
                continue
            of_edits = self.is_of_edits(section.heading, ())
            as_number = n in self._told and section.level in numbered and _NUMBERED.match(section.heading)
            as_order = ORDER.match(section.heading) and not of_edits and section.line > self.first
            plain = section.level in levels and not _GENERAL.search(section.heading)
            if as_number or as_order or (plain and n in self._faulty and not of_edits):
                found.append(section)
        return found

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
    if unit.kind == "title":
        return _beyond(unit.text, unit.codes, edits)
    if part.role in ("done", "step", "kept") or unit.checked:
        return ""
    if (
        len(unit.text.split()) < _WORDS_MIN
        and unit.checked is None
        and (unit.text.isascii() or len(unit.text) < _UNSPACED_MIN)
    ):
        return ""
    if FORBIDDEN.match(edits.sections[unit.section].heading):
        return ""
    told = short(unit.text, 300, unit.codes)
    if edits.stated_in(part):
        return _beyond(unit.text, unit.codes, edits)
    if lead := led_to(part, edits.reading, edits.texts, edits.first):
        return short(lead, 300, unit.codes)
    if part.role == "told" or part.implied:
        behind = unit.line >= edits.first and _marked(part, edits)
        return told if behind or _ordered_elsewhere(part, edits) else ""
    reasons = _REASONS.search(edits.sections[unit.section].heading) is not None
    if _is_manners(unit.text) or (reasons and not ORDER.match(unit.text) and not _ALSO.search(unit.text)):
        return ""
    of_edits = edits.is_of_edits(unit.text, unit.codes)
    if unit.kind != "sentence":
        # Each item is a thing by itself; of a list before the edits some are what they carry out.
        return "" if of_edits or (part.role == "criterion" and not _is_work(unit.text, edits)) else told
    if part.role == "criterion":
        beyond = expected_beyond(unit.text, edits.words | edits.title, _words(unit.text))
        return told if (beyond or ORDER.match(unit.text)) and not of_edits and unit.line >= edits.first else ""
    if unit.line < edits.first and not _ALSO.search(unit.text):
        # What leads to the edits tells why they are made.
        others = [code for code in unit.codes if code not in edits.paths]
        ordered = (others and not of_edits and ORDER.match(unit.text)) or _ordered_elsewhere(part, edits)
        return told if ordered else ""
    if _OF_THE_EDITS.search(unit.text):
        more = _ALSO.search(unit.text) or _MORE_OF_IT.search(unit.text) or _MARKED.search(unit.text)
        return told if more or edits.is_of_another_kind(unit.text) else ""
    if of_edits and not _ALSO.search(unit.text) and not ORDER.match(unit.text):
        return ""
    return told


_ALSO = Words(
    r"\b(?:also|additionally|in addition|furthermore|moreover|besides|as well|too(?=\W*(?:$|[,.;!)]|please))"
    r"|accordingly|another|second(?:ly)?|außerdem|zusätzlich|auch|ebenfalls|aussi|également|de plus|además|también"
    r"|inoltre|anche|além disso|também|также|кроме того)\b|另外|此外|还|また|さらに"
)


def _is_manners(text: str) -> bool:
    """Tell whether a sentence asks for nothing to be changed, in none of its clauses."""
    found = _MANNERS.search(text)
    if found is None:
        return False
    behind = [text[clause.end() :] for clause in _CLAUSE.finditer(text, found.end())]
    return not any((ORDER.match(rest) or _DUTY.search(rest)) and not _MANNERS.search(rest) for rest in behind)


def _marked(part: Part, edits: _Edits) -> bool:
    """Tell whether a sentence behind the edits that seems only to tell something asks for more nevertheless."""
    text = part.unit.text
    if part.unit.kind == "row":
        return ORDER.match(text) is not None and not edits.is_of_edits(text, part.unit.codes)
    ordered = _ORDERS.match(text) or (_OPTIONAL.match(text) and ORDER.match(text.split(None, 1)[1]))
    if _MARKED.search(text) or (ordered and not _is_manners(text)):
        return True
    others = [path for path in part.paths if path not in edits.paths and not is_test(path)]
    return bool(others) and _FAULT.search(text) is not None and not _WITHOUT_THEM.search(text)


def _ordered_elsewhere(part: Part, edits: _Edits) -> bool:
    """Tell whether a sentence orders something in a file that no edit is in: "In b.py, use 5 instead of 1."."""
    text = part.unit.text
    if part.unit.kind != "sentence" or not set(part.paths) - edits.paths or text.endswith(("?", ":")):
        return False
    clauses = [text, *(text[clause.end() :] for clause in _CLAUSE.finditer(text))]
    return any(_ARROW.match(rest) or ORDER.match(rest) or _ORDERS.match(rest) for rest in clauses)


_ARROW = re.compile(r"[^.;!?]{1,80}?(?:->|→|=>|⇒)\s*[^\W_\d\s]", re.S)


def _is_work(text: str, edits: _Edits) -> bool:
    """Tell whether a criterion is one that only more work fulfils: something new, or work of another kind."""
    return edits.is_of_another_kind(text) or _NEW.search(text) is not None


_NEW = Words(
    r"\b(?:new|exists?|(?:is|are) (?:added|documented|covered|mentioned|tested|removed)|mentions?|flag|option)\b"
)


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(_CAMEL.sub(" ", text))} - _COMMON


def _stands_in(said: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(said.strip())}(?!\w)", text) is not None


def _beyond(text: str, codes: Sequence[str], edits: _Edits) -> str:
    """Return what a sentence that holds an edit asks for behind it."""
    ends = [
        text.rfind(code) + len(code) for code in codes if code in edits.paths or any(code in one for one in edits.texts)
    ]
    for more in _MORE_IN_A_SENTENCE.finditer(text):
        order = more["order"]
        behind = more.start() >= max((end for end in ends if end <= more.start()), default=0)
        of_edits = any(
            code in edits.paths or any(code in one for one in edits.texts) for code in codes if code in order
        )
        asks = ORDER.match(order) or _ORDERS.match(order) or re.match(r"\w+ing\b", order)
        if behind and asks and not of_edits and not edits.is_of_edits(order, ()) and not _is_manners(order):
            return short(order, 300, [code for code in codes if code in order])
    return ""


def _heading(section: Section) -> str:
    return short(section.heading, 300, ())
