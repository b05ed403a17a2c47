"""The search: a question and repositories in, passages that are quoted and looked up out.

Owns the steps between the index and a list of citations. Keeps: what is returned was compared with the bytes of the
commit after it was found, so a stale or wrong index can lose an answer but never invent one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..repository_errors import CitationInvalid
from .citation import Citation, check, lines_at, reference, text_hash
from .index import Found, ResearchIndex
from .ranking import (
    PASSAGES_MAX,
    Ranked,
    choose,
    lines_to_quote,
    missing_words,
    path_hits,
    query_of,
    rank,
    weights_of,
)
from .sources import Source, first_with
from .words import Question, read_question

_CANDIDATES_MAX = 300
_PATHS_MAX = 20


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as it was read: its commit, how many files, how many of them were new to the index, and notes."""

    name: str
    path: str
    commit: str
    files: int
    indexed: int
    notes: list[str] = []


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a search came to. `missing` are words of the question that stand nowhere; `dropped` didn't hold."""

    citations: list[Citation]
    sources: list[SourceReport]
    missing: list[str]
    dropped: int = 0


def search(question: str, sources: Sequence[Source], folder: Path, limit: int = PASSAGES_MAX) -> Findings:
    """Search repositories for passages on a question; `folder` holds the index.

    Raises GitFailed; what cannot be read is told in the reports.
    """
    asked = read_question(question)
    reports = []
    with ResearchIndex(folder) as index:
        for source in sources:
            files, new, left = index.add(source)
            reports.append(_report(source, files, new, left))
        query = query_of(asked)
        if not query:
            return Findings(citations=[], sources=reports, missing=[])
        weights = weights_of(asked, index.count, [source.name for source in sources])
        ranked = rank(asked, _candidates(index, asked, sources, query, weights), weights)
        missing = missing_words(asked, weights, index.count)
    chosen = _first_of_history(asked, sources) + choose(ranked, limit)
    citations, dropped = _quoted(asked, chosen[:limit], weights)
    return Findings(citations=citations, sources=reports, missing=missing, dropped=dropped)


def _report(source: Source, files: int, new: int, left: list[str]) -> SourceReport:
    return SourceReport(
        name=source.name,
        path=source.path,
        commit=source.commit,
        files=files,
        indexed=new,
        notes=[*source.notes, *left],
    )


def _candidates(
    index: ResearchIndex, asked: Question, sources: Sequence[Source], query: str, weights: dict[str, float]
) -> list[Found]:
    """Return what matches by its words, and the beginnings of files that are called as the question says."""
    found = index.search(sources, query, _CANDIDATES_MAX)
    hits = [(path_hits(asked, path, weights), source, path) for source, path in index.paths(sources)]
    named = sorted((hit for hit in hits if hit[0] > 0), key=lambda hit: (-hit[0], len(hit[2])))[:_PATHS_MAX]
    known = {(one.source.path, one.path, one.start) for one in found}
    first = index.first_passages(sources, [(source, path) for _, source, path in named])
    return found + [one for one in first if (one.source.path, one.path, one.start) not in known]


def _first_of_history(asked: Question, sources: Sequence[Source]) -> list[Ranked]:
    """Return the commits that brought an identifier, where a question is about when or by whom that was done."""
    if not asked.history or not asked.identifiers:
        return []
    found = []
    for source in sources:
        commit = first_with(source, asked.identifiers[0])
        if commit is not None:
            message = lines_at(Path(source.path), commit, "", (1, 1))
            found.append(Ranked(Found(source, "", commit, 1, 1, "", message, 0.0), 1.0, 1.0))
    return found[:2]


def _quoted(asked: Question, chosen: Sequence[Ranked], weights: dict[str, float]) -> tuple[list[Citation], int]:
    """Return citations of the lines that say most, each compared with what git has there; and how many didn't hold."""
    citations: list[Citation] = []
    dropped = 0
    seen: set[str] = set()
    for one in chosen:
        lines = lines_to_quote(asked, one.found, weights)
        try:
            made = _citation(len(citations) + 1, one, lines)
            check(made)
        except CitationInvalid:
            dropped += 1
            continue
        if made.ref not in seen:
            seen.add(made.ref)
            citations.append(made)
    return citations, dropped


def _citation(number: int, one: Ranked, lines: tuple[int, int]) -> Citation:
    found = one.found
    text = lines_at(Path(found.source.path), found.commit, found.path, lines)
    rows = found.text.split("\n")[lines[0] - found.start : lines[1] - found.start + 1]
    if text != "\n".join(rows):
        raise CitationInvalid(reference(found.source.name, found.commit, found.path, lines), "the index is stale")
    author, time = ("", "") if found.path else _who(found)
    return Citation(
        n=number,
        ref=reference(found.source.name, found.commit, found.path, lines),
        name=found.source.name,
        repo=found.source.path,
        commit=found.commit,
        path=found.path,
        lines=lines,
        text=text,
        text_hash=text_hash(text),
        names=tuple(filter(None, found.names.split("\n"))),
        kind="file" if found.path else "commit",
        author=author,
        time=time,
        score=round(one.score, 3),
    )


def _who(found: Found) -> tuple[str, str]:
    from ..git import Git

    out = Git().run("log", "-1", "--no-show-signature", "--format=%an%x1f%aI", found.commit, at=Path(found.source.path))
    author, _, time = out.text.partition("\x1f")
    return author, time
