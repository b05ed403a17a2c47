"""How complex an issue is, and what it falls into: the text, its explicit edits and its repository taken together.

Owns bringing the three together; leaves reading edits to `issue`, reading the repository to `repository_facts`, and
every judgement to `orchestration.complexity` and `orchestration.decomposition`. Nothing is executed or changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from ..orchestration.complexity import Assessment, Complexity
from ..orchestration.complexity_facts import EditFact, RepositoryFacts
from ..orchestration.decomposition import Decomposition, take_apart
from ..orchestration.issue_units import Reading, understand
from .edit import EVERY, Edit
from .issue import Issue, parse_issue
from .issue_statement import Pair
from .job import resolve_request
from .repository_facts import NAMES_MAX, read_repository

#: Longer texts are judged by their words alone: nobody writes explicit edits into them.
EDITS_READ_MAX = 100_000
_NAME = re.compile(r"[A-Za-z_][\w.]{2,80}")
#: A name that can hardly be an everyday word: `_join`, `filter_subjects`, `UserSchema`, `http2`.
_TELLING = re.compile(r"\w*_\w*|\w*[a-z][A-Z]\w*|[A-Z][a-z]+[A-Z]\w*|[A-Za-z]+\d+\w*")


class Origin(msgspec.Struct, frozen=True):
    """The commit of a repository that an issue is about; nothing where only the text counts."""

    repo: str | None = None
    commit: str | None = None


def analyze_complexity(
    text: str,
    *,
    repo: str | os.PathLike[str] | None = None,
    base: str | None = None,
    override: Complexity | str | None = None,
) -> Assessment:
    """Judge how complex an issue is: atomic, simple, moderate, complex or enterprise, with reasons and confidence.

    `repo` is a git repository whose files (at `base`, else HEAD) are taken into account. Deterministic. Raises
    ValueError for an override that is no level, and what `run` raises for a repository that cannot be read.
    """
    return decompose(text, repo=repo, base=base, override=override).assessment


def decompose(
    text: str,
    *,
    repo: str | os.PathLike[str] | None = None,
    base: str | None = None,
    override: Complexity | str | None = None,
) -> Decomposition:
    """Judge an issue as `analyze_complexity` does, and take it apart into subtasks with checks and dependencies.

    An atomic issue has no subtasks; an override decides how deeply the others are taken apart.
    """
    return decompose_at(text, Origin() if repo is None else origin_of(repo, base), override=override)


def origin_of(repo: str | os.PathLike[str], base: str | None = None) -> Origin:
    """Find the commit of a repository that is looked at; raises what `run` raises for one that cannot be read."""
    request = resolve_request(Path(repo), base)
    return Origin(request.repo, request.base)


def decompose_at(
    text: str, origin: Origin, *, override: Complexity | str | None = None, issue: Issue | None = None
) -> Decomposition:
    """Do what `decompose` does for a commit that was found before; `issue` is the text where it has been parsed."""
    if issue is None and len(text) <= EDITS_READ_MAX:
        issue = parse_issue(text)
    edits = [] if issue is None else facts_of(issue)
    if origin.repo is None or origin.commit is None:
        return take_apart(text, edits, override=override)
    names = names_to_look_up(understand(text), edits)
    facts = read_repository(Path(origin.repo), origin.commit, names)
    edits = [] if issue is None else facts_of(issue, facts.files)
    return take_apart(text, edits, _relevant(facts), override=override)


def edit_facts(text: str, files: Collection[str] = ()) -> list[EditFact]:
    """Return the explicit edits of an issue as plain facts; a pair of names without a file is a renaming."""
    return [] if len(text) > EDITS_READ_MAX else facts_of(parse_issue(text), files)


def facts_of(issue: Issue, files: Collection[str] = ()) -> list[EditFact]:
    """Return the explicit edits of an issue that has been parsed."""
    edits = [edit for edit in issue.edits(files)[0] if edit.path]
    found = [_of_edit(edit) for edit in edits]
    placed = {edit.line for edit in edits}
    for pair in issue.pairs:
        if pair.line not in placed and _is_renaming(pair):
            found.append(_renaming(pair))
        elif pair.line not in placed and not pair.lines:
            found.append(EditFact("", 2, pair.line))
    renamed: set[tuple[str, str]] = set()
    once = []
    for edit in found:
        if not edit.old or (edit.old, edit.new) not in renamed:
            once.append(edit)
        renamed.add((edit.old, edit.new))
    return once


def _of_edit(edit: Edit) -> EditFact:
    lines = _lines_changed(edit.old, edit.new) * max(1, edit.count)
    return EditFact(edit.path, lines, edit.line, everywhere=edit.count == EVERY)


def _lines_changed(old: str | None, new: str | None) -> int:
    """Count the lines that an edit takes away and adds, as a diff does."""
    before, after = (old or "").splitlines(), (new or "").splitlines()
    while before and after and before[-1] == after[-1]:
        before, after = before[:-1], after[:-1]
    same = next(
        (n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    return len(before) + len(after) - 2 * same


def _is_renaming(pair: Pair) -> bool:
    both = (pair.old or "", pair.new or "")
    return not pair.lines and all(_NAME.fullmatch(name) for name in both) and both[0] != both[1]


def _renaming(pair: Pair) -> EditFact:
    return EditFact("", 2, pair.line, pair.old or "", pair.new or "", pair.count == EVERY)


def names_to_look_up(reading: Reading, edits: Sequence[EditFact]) -> list[str]:
    """Return the names of an issue that are worth a search in the repository: those that are to change come first."""
    found = [edit.old.rsplit(".", 1)[-1] for edit in edits if edit.old and not edit.path]
    for part in reading.parts:
        if part.role in ("kept", "done", "step"):
            continue
        for code in part.unit.codes:
            name = code.removesuffix("()")
            if _NAME.fullmatch(name):
                found.append(name.rsplit(".", 1)[-1])
        if part.role == "title":
            found += [word for word in re.findall(r"\w{3,}", part.unit.text) if _TELLING.fullmatch(word)]
    return list(dict.fromkeys(found))[:NAMES_MAX]


def _relevant(facts: RepositoryFacts) -> RepositoryFacts:
    """Leave out definitions of names that stand everywhere: they lead to no place."""
    telling = {name: files for name, files in facts.definitions.items() if 0 < len(files) <= 3}
    return RepositoryFacts(facts.files, facts.uses, telling)
