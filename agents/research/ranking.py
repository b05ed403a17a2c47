"""Ranking: which passages answer a question best, and whether any does.

Pure. Owns the query that the index is asked, the order of what it finds, and the lines of a passage that are worth
quoting. Keeps: how much a passage counts follows from its own words, its names and its path; and where what was asked
about isn't there, nothing is taken for it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

import msgspec

from .index import Found
from .words import Question, Term, plain_name, stem, words_of

#: So many lines of a passage are quoted at most.
QUOTED_LINES_MAX = 24
PASSAGES_MAX = 8
_PER_FILE_MAX = 3
#: Of all that a question asks for, so much must stand in a passage.
_COVERED_MIN = 0.38
#: Where a proper name of the question stands nowhere, so much.
_COVERED_WITHOUT_NAME = 0.8
_UNKNOWN_FACTOR = 0.6
#: What is said of a repository that the question names counts more, and its name itself less.
_NAMED_FACTOR = 2.0
_NAME_WEIGHT = 0.15
#: What is far below the best is no answer any more.
_OF_BEST_MIN = 0.4
_TESTS = re.compile(
    r"(?:^|/)(?:tests?|testing|spec|specs|__tests__|fixtures|testdata)(?:/|$)|(?:^|/)test_[^/]*$|[_.](?:test|spec)s?\.\w+$"
)
_ASIDE = re.compile(
    r"(?:^|/)(?:vendor|examples?|benchmarks?|third_party|node_modules|_vendor|dist|build|migrations|locale|egg-info|[^/]*\.egg-info)(?:/|$)|\.min\.\w+$|(?:^|/)[^/]*lock[^/]*$|\.(?:po|svg|csv)$"
)
_CHANGES = re.compile(
    r"(?:^|/)(?:changelog|changes|history|news|release|authors|contributors|whatsnew)[^/]*$|(?:^|/)(?:changelog|releases|changes|newsfragments)/",
    re.I,
)
_DOCS = re.compile(r"\.(?:md|rst|txt|adoc|markdown)$|(?:^|/)(?:readme|license|copying)[^/]*$", re.I)


class Ranked(msgspec.Struct, frozen=True):
    """A passage with what it counts, and the part of the question that it speaks of (0 to 1)."""

    found: Found
    score: float
    covered: float


def query_of(question: Question) -> str:
    """Return the FTS5 query that finds every passage which may matter."""
    words: dict[str, None] = {}
    for term in question.terms:
        words[_quoted(term.word)] = None
        words |= dict.fromkeys(map(_quoted, term.alike))
    for name in (*question.identifiers, *question.phrases, *question.names):
        parts = re.findall(r"[^\W_]+", name)
        if parts:
            words[_quoted(" ".join(parts))] = None
    return " OR ".join(words)


def weights_of(
    question: Question, count: Callable[[str | None], int], repositories: Iterable[str] = ()
) -> dict[str, float]:
    """Return how much each term of a question says, by its stem: the rarer it is, the more.

    The name of one of the repositories says where to look, and not what for.
    """
    named = {stem(word) for name in repositories for word in words_of(name)}
    total = count(None)
    found = {}
    for term in question.terms:
        many = count(_quoted(term.word))
        found[term.stem] = term.weight * math.log(1 + (total - many + 0.5) / (many + 0.5))
        # What stands nowhere may only be another word for it, unless it is a name.
        if not many and term.word not in question.proper:
            found[term.stem] *= _UNKNOWN_FACTOR
    if set(found) - named:
        found |= {word: found[word] * _NAME_WEIGHT for word in named & set(found)}
    return found


def rank(question: Question, found: Iterable[Found], weights: dict[str, float]) -> list[Ranked]:
    """Return passages by how well they answer a question, best first; those that speak of too little of it are left."""
    whole = sum(weights.values()) or 1.0
    ranked = [_ranked(question, one, weights, whole) for one in found]
    known = set().union(*(_words(one.found) for one in ranked)) if ranked else set()
    enough = _COVERED_MIN if question.proper <= known else _COVERED_WITHOUT_NAME
    best = [one for one in ranked if one.covered >= enough or _names_it(question, one.found)]
    return sorted(best, key=lambda one: (-one.score, one.found.source.name, one.found.path, one.found.start))


def choose(ranked: Sequence[Ranked], limit: int = PASSAGES_MAX) -> list[Ranked]:
    """Return the best passages, of each file only a few and none that is far below the best."""
    chosen: list[Ranked] = []
    files: Counter[tuple[str, str]] = Counter()
    texts: set[str] = set()
    for one in ranked:
        place = (one.found.source.path, one.found.path or one.found.commit)
        if one.score < ranked[0].score * _OF_BEST_MIN or len(chosen) == limit:
            break
        if files[place] >= _PER_FILE_MAX or one.found.text in texts:
            continue
        files[place] += 1
        texts.add(one.found.text)
        chosen.append(one)
    return chosen


def lines_to_quote(question: Question, found: Found, weights: dict[str, float]) -> tuple[int, int]:
    """Return the first and last line of a passage that say most about a question."""
    lines = found.text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    lead = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if len(lines) - lead <= QUOTED_LINES_MAX:
        return found.start + lead, found.start + max(len(lines) - 1, lead)
    counted = [_said(question, line, weights) for line in lines]
    best, at = -1.0, lead
    for start in range(lead, len(lines) - QUOTED_LINES_MAX + 1):
        window = counted[start : start + QUOTED_LINES_MAX]
        worth = sum(weights.get(word, 0.0) for word in set().union(*window)) + 0.05 * sum(map(len, window))
        # A definition is read from its beginning.
        worth *= (1.6 if found.names and found.path else 1.2) if start == lead else 1.0
        if worth > best + 1e-9:
            best, at = worth, start
    end = min(at + QUOTED_LINES_MAX, len(lines))
    while end - 1 > at and not lines[end - 1].strip():
        end -= 1
    while at < end - 1 and not lines[at].strip():
        at += 1
    return found.start + at, found.start + end - 1


def path_hits(question: Question, path: str, weights: dict[str, float]) -> float:
    """Return how much of a question stands in a file's path."""
    stems = {stem(word) for word in words_of(path)}
    return sum(weight for word, weight in weights.items() if word in stems)


def missing_words(question: Question, weights: dict[str, float], count: Callable[[str | None], int]) -> list[str]:
    """Return the words of a question that no passage has."""
    return [term.word for term in question.terms if term.weight >= 1 and not count(_quoted(term.word))]


def _ranked(question: Question, one: Found, weights: dict[str, float], whole: float) -> Ranked:
    # A proper name is only what it is, and no other form of some word.
    body, names, path = (
        Counter(word if word in question.proper else stem(word) for word in words_of(text))
        for text in (one.text, one.names, one.path)
    )
    for counted in (body, names, path):
        # `filename` in the code speaks of the file's name.
        for name in question.names:
            if stem(name) in counted:
                counted.update(term.stem for term in question.terms if term.word in name)
    length = 0.5 + 0.5 * min(sum(body.values()) / 150.0, 3.0)
    score = 0.0
    said = 0.0
    for term in question.terms:
        weight = weights[term.stem]
        times, factor = _times(term, body)
        in_name = term.stem in names
        in_path = term.stem in path
        if times or in_name:
            said += weight * (1.0 if in_name else factor)
        elif in_path:
            said += weight * 0.8
        score += weight * (
            factor * times / (times + 1.2 * length) * 2.2 + (1.6 if in_name else 0) + (0.9 if in_path else 0)
        )
    covered = said / whole
    score *= 0.4 + covered
    score += _exact(question, one, max(weights.values(), default=1.0))
    score += 0.5 * _pairs(question, one, weights)
    named = stem(one.source.name.lower()) in weights or plain_name(one.source.name) in question.names
    return Ranked(one, score * _kind_factor(question, one) * (_NAMED_FACTOR if named else 1.0), covered)


def _words(one: Found) -> set[str]:
    return set(words_of(f"{one.text} {one.names} {one.path} {one.source.name}"))


def _times(term: Term, body: Counter[str]) -> tuple[int, float]:
    if times := body[term.stem]:
        return times, 1.0
    alike = sum(body[stem(other)] for other in term.alike)
    return (alike, 0.55) if alike else (0, 0.0)


def _exact(question: Question, one: Found, unit: float) -> float:
    """Return what names count that stand in the question as they stand in the code."""
    score = 0.0
    own = {plain_name(re.split(r"\.|::", name)[-1]) for name in one.names.split("\n")}
    own |= {plain_name(name) for name in one.names.split("\n")}
    around = {plain_name(re.split(r"\.|::", name)[0]) for name in one.names.split("\n") if "." in name or "::" in name}
    for name in question.identifiers:
        last = re.split(r"\.|::|->", name)[-1]
        if plain_name(name) in own or plain_name(last) in own:
            score += 3.0 * unit
        elif plain_name(name) in around:
            score += 1.0 * unit
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", one.text):
            score += 1.5 * unit
        elif re.search(rf"(?<!\w){re.escape(last)}(?!\w)", one.text):
            score += 0.7 * unit
        if name in (one.path, PurePosixPath(one.path).name):
            score += 2.0 * unit
    score += 2.5 * unit * len(question.names & own)
    score += sum(1.5 * unit for phrase in question.phrases if phrase.lower() in one.text.lower())
    return score


def _pairs(question: Question, one: Found, weights: dict[str, float]) -> float:
    """Return what words count that stand side by side in the question and in the passage."""
    if not question.pairs:
        return 0.0
    stems = [stem(word) for word in words_of(one.text)]
    there = set(pairwise(stems))
    return sum(min(weights.get(a, 0.0), weights.get(b, 0.0)) for a, b in set(question.pairs) if (a, b) in there)


def _kind_factor(question: Question, one: Found) -> float:
    factor = 1.0
    if not one.path:
        return 1.2 if question.history else 0.55
    if _TESTS.search(one.path):
        factor *= 1.1 if question.tests else 0.5
    if _ASIDE.search(one.path):
        factor *= 0.5
    if _CHANGES.search(one.path):
        factor *= 1.1 if question.history else 0.55
    elif _DOCS.search(one.path):
        factor *= 1.15 if question.docs else 0.95
    return factor


def _names_it(question: Question, one: Found) -> bool:
    """Tell whether a passage has an identifier of the question, exactly, or defines a name of it."""
    own = {plain_name(re.split(r"\.|::", name)[-1]) for name in one.names.split("\n") if not name.startswith("…")}
    return any(
        plain_name(name) in own or (not name.isalnum() and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", one.text))
        for name in question.identifiers
        if len(name) > 3
    )


def _said(question: Question, line: str, weights: dict[str, float]) -> set[str]:
    stems = {stem(word) for word in words_of(line)}
    alike = {term.stem for term in question.terms if any(stem(other) in stems for other in term.alike)}
    return (stems | alike) & weights.keys()


def _quoted(words: str) -> str:
    return '"' + words.replace('"', "") + '"'
