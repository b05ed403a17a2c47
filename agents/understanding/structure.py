"""An issue's text made into data: kind, requirements, files, edits, checks, dependencies, what is missing, a verdict.

Owns the shape, and the order in which reasons not to act count. Leaves each judgement to its own module, reading the
text to `issue` and `orchestration.issue_units`, and the repository to `repository_facts`. Pure but for that reading.
Keeps: a verdict rests on what can be looked up in the text and the repository, never on what the text says to do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ...orchestration.complexity import Complexity
from ...orchestration.decomposition import Decomposition
from ...orchestration.issue_units import Reading, understand
from ...orchestration.path_mentions import is_test, paths_in
from ...orchestration.work_wording import short
from ..assessment import EDITS_READ_MAX, Origin, decompose_at
from ..issue import Issue, parse_issue
from ..issue_asides import blanked
from ..issue_statement import Pair
from .contradictions import contradictions
from .further import further_wishes
from .intentions import refusal
from .kind import Kind, kind_of_issue
from .lacking import lacking, wishes
from .statements import Statements, statements

Verdict = Literal["actionable", "needs_information", "refuse", "nothing_to_do"]
#: An issue beyond this many characters is not read, as the fixer wouldn't.
LENGTH_MAX = 1_000_000
REQUIREMENTS_MAX = 100
#: How many pairs are told one by one.
EDITS_MAX = 500
_NAME = re.compile(r"[A-Za-z_][\w.]{2,80}")
#: A title or a sentence by which an issue says itself that it is over.
_OVER_TITLE = re.compile(
    r"\A\W*[\[(](?:resolved|closed|done|fixed|obsolete|wont ?fix|duplicate|released|invalid)[\])]", re.I
)
_OVER_SENTENCE = re.compile(
    r"\A\W*(?:(?:edit|update|note|ps)\W+)?(?:(?:this|it|the (?:bug|issue|problem|feature|request))\s+)?(?:is |was "
    r"|has been |got |have been )?(?:already |now |meanwhile |since )*(?:fixed|resolved|solved|implemented|released"
    r"|closed|merged|shipped|done|obsolete|superseded|withdrawn)\b\s*(?:already|now|meanwhile)?\s*(?:(?:in|by|with"
    r"|since|on|as of|through|upstream)\s+(?:v?\d|#\d|pr\b|pull|commit|main\b|master\b|release|version|the (?:last"
    r"|latest|current|new))|already\b|[.!]*\Z)|\A\W*(?:closing|close[sd]?) (?:this|as|it)\b|\A\W*duplicate of #\d"
    r"|\A\W*(?:no longer|not) (?:needed|relevant|reproducible|an issue)\b|\A\W*nothing (?:is )?(?:left|more) to (?:do"
    r"|be done)\b|\A\W*(?:(?:edit|update|note|ps)\W+)?(?:please |you can |just )*(?:ignore|disregard"
    r"|forget(?: about)?) (?:this|it)(?: (?:issue|ticket|request|report|bug|one|please|for now))?\W*\Z"
    r"|\A\W*(?:(?:edit|update|note|ps)\W+)?(?:never ?mind|false alarm|my (?:mistake|bad))\b",
    re.I,
)
_STILL = re.compile(
    r"\b(?:but|still|again|however|yet|except|not (?:really|completely|fully)|only (?:in|for|partly)|unless"
    r"|regress\w*|back)\b",
    re.I,
)
_OWN_BOX = re.compile(r"\b(?:i have|i['’]ve|i am|i['’]m|i agree|i searched|i read|i checked|i confirm|my )\b", re.I)


class StructuredIssue(msgspec.Struct, frozen=True, kw_only=True):
    """An issue as data. `outcome` is the verdict, `reason` a word for it, `message` says why, in sentences.

    `target_files` are named as places of the work, as the repository calls them; `missing_files` those of them that it
    hasn't. `edits` have path (null where none is named), line, old and new. `depends_on` are numbers of issues, or
    `repository#number`. `further` are those wishes that none of the explicit edits carries out. `missing` is what
    would be good to know. `contradictions` are pairs that exclude each other.
    """

    title: str
    kind: Kind
    kind_why: str
    outcome: Verdict
    reason: str = ""
    message: str = ""
    requirements: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    target_files: tuple[str, ...] = ()
    missing_files: tuple[str, ...] = ()
    edits: tuple[dict[str, Any], ...] = ()
    problems: tuple[str, ...] = ()
    acceptance: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    depends_on: tuple[int | str, ...] = ()
    missing: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    level: str = ""
    confidence: float = 0.0
    labels: tuple[str, ...] = ()


class Understanding(msgspec.Struct, frozen=True, kw_only=True):
    """A structured issue and what it falls into."""

    issue: StructuredIssue
    work: Decomposition
    open_edits: int = 0


def understand_issue(
    name: str, text: str, origin: Origin | None = None, *, override: Complexity | str | None = None
) -> Understanding:
    """Make data of an issue; any text can be. With an `origin` its repository is read, at that commit.

    `override` is the level of complexity that counts instead of the estimated one. Raises what reading a repository
    raises (GitFailed), and ValueError for an override that is no level.
    """
    bare = text.strip("\ufeff \t\r\n\0")
    read = text if len(text) <= EDITS_READ_MAX else text[:EDITS_READ_MAX]
    issue = parse_issue(read, name)
    read = blanked(read, issue.settled)
    said = statements(read)
    reading = understand(read)
    work = decompose_at(read, Origin() if origin is None else origin, override=override, issue=issue)
    judged = work.assessment
    pairs = _once(issue.pairs)
    targets = _targets(reading, issue, judged.targets)
    renames = sum(1 for pair in pairs if _is_renaming(pair))
    kind = kind_of_issue(reading, said, targets, renames, len(pairs))
    clashes = contradictions(reading)
    verdict, reason, message = _verdict(bare, text, reading, issue, said, work, kind.kind, targets, len(pairs))
    return Understanding(
        issue=StructuredIssue(
            title=issue.title,
            kind=kind.kind,
            kind_why=kind.why,
            outcome=verdict,
            reason=reason,
            message=message,
            requirements=tuple(_requirements(reading)),
            further=tuple(further_wishes(reading, pairs)),
            target_files=targets,
            missing_files=judged.missing,
            edits=tuple(_edits(issue, pairs, targets))[:EDITS_MAX],
            problems=tuple(f"line {problem.line} {problem.text}" for problem in issue.problems[:50]),
            acceptance=tuple(_acceptance(reading, work)),
            constraints=work.constraints,
            depends_on=said.depends_on,
            missing=tuple(wishes(reading, kind.kind, judged.missing)) if verdict == "actionable" else (message,),
            contradictions=tuple(clash.text() for clash in clashes),
            level=str(judged.level),
            confidence=judged.confidence,
            labels=said.labels,
        ),
        work=work,
    )


def _verdict(
    bare: str,
    text: str,
    reading: Reading,
    issue: Issue,
    said: Statements,
    work: Decomposition,
    kind: Kind,
    targets: Sequence[str],
    pairs: int,
) -> tuple[Verdict, str, str]:
    """Return what to do with an issue first, why as a word, and in a sentence."""
    quoted = f"The issue “{issue.title}”"
    if not bare:
        return "needs_information", "empty_issue", "the issue is empty: it needs a title, and what shall be changed"
    if len(text) > LENGTH_MAX:
        return "needs_information", "issue_too_long", f"the issue has more than {LENGTH_MAX} characters"
    if over := issue.over or _over(reading, said):
        return "nothing_to_do", "issue_closed", f"the issue's status says: {over}"
    if refused := refusal(text, reading):
        asked = "It is not worked on; rewrite it if there is something to do in it"
        return "refuse", "refused", f"{quoted} can't be acted on: {refused.text()}. {asked}"
    clashes = contradictions(reading)
    if clashes and not any(pair.old for pair in issue.pairs):
        told = "; ".join(clash.text() for clash in clashes[:5])
        return "needs_information", "contradictory", f"{quoted} asks for what excludes itself: {told}. What holds?"
    vague = work.assessment.vague
    if not issue.problems and (lack := lacking(reading, kind, targets, pairs, vague=vague)):
        told = f"{quoted} states no explicit edits, and {lack.text}"
        return "needs_information", lack.reason, f"{told}. Tell what shall be changed, and what shows that it is done"
    return "actionable", "", ""


def _over(reading: Reading, said: Statements) -> str:
    """Return the words by which an issue says outside of a status that it is settled, "" for an open one."""
    if found := _OVER_TITLE.match(reading.outline.title):
        return found[0].strip()
    sentences = [part.unit.text for part in reading.parts if part.unit.kind == "sentence"]
    for text in [*sentences[:1], *sentences[-2:]]:
        if _OVER_SENTENCE.match(text) and not _STILL.search(text):
            return text[:120]
    boxes = [part.unit for part in reading.parts if part.unit.checked is not None]
    own = [unit for unit in boxes if not _OWN_BOX.search(unit.text)]
    others = [part for part in reading.parts if part.role == "ask" and part.unit.kind in ("item", "row")]
    if len(own) > 1 and all(unit.checked for unit in own) and not others and not said.status.startswith("open"):
        return f"all {len(own)} boxes are ticked"
    return ""


def _targets(reading: Reading, issue: Issue, judged: Sequence[str]) -> tuple[str, ...]:
    """Return the files that are named as places of the work; in an issue about tests also those that fail."""
    found = list(judged)
    if reading.about_tests:
        for sample in reading.outline.samples:
            shown = re.findall(r"^(?:E\s+)?([\w./-]+\.\w+):\d+:", sample.text, re.M)
            found += [path for path in shown if is_test(path) and paths_in(path) and path not in found]
    return tuple(dict.fromkeys(found))


def _once(pairs: Sequence[Pair]) -> list[Pair]:
    """Return pairs without those that say the same again."""
    seen: dict[tuple[Any, ...], Pair] = {}
    for pair in pairs:
        place = tuple(pair.scopes[0].paths) if pair.scopes else ()
        seen.setdefault((pair.old, pair.new, place, pair.at_line), pair)
    return list(seen.values())


def _is_renaming(pair: Pair) -> bool:
    both = (pair.old or "", pair.new or "")
    return not pair.lines and all(_NAME.fullmatch(name) for name in both) and both[0] != both[1]


def _edits(issue: Issue, pairs: Sequence[Pair], targets: Sequence[str]) -> list[dict[str, Any]]:
    placed, _ = issue.edits(targets)
    paths = {edit.line: edit.path or None for edit in placed}
    return [
        {"path": paths.get(pair.line), "line": pair.line, "old": pair.old, "new": pair.new, "count": pair.count}
        | {name: value for name, value in (("to", pair.to), ("key", pair.key)) if value}
        | ({"how": pair.how} if pair.how != "replace" else {})
        for pair in pairs
    ]


def _requirements(reading: Reading) -> list[str]:
    """Return what is asked for, in the issue's own words: its items, else its sentences, else its title."""
    asked = [part for part in reading.parts if part.role == "ask"]
    told = [short(part.unit.text, 300, part.unit.codes) for part in asked]
    if not told and reading.outline.title:
        told = [short(reading.outline.title, 300, reading.outline.title_codes)]
    return list(dict.fromkeys(told))[:REQUIREMENTS_MAX]


def _acceptance(reading: Reading, work: Decomposition) -> list[str]:
    """Return what shows that it is done: the issue's criteria, else the checks of what it falls into."""
    told = [part for part in reading.parts if part.role == "criterion" and part.unit.kind != "title"]
    found = [short(part.unit.text, 300, part.unit.codes) for part in told]
    if not found:
        found = [check for subtask in work.subtasks for check in subtask.checks]
    return list(dict.fromkeys(found))[:REQUIREMENTS_MAX]
