"""Words: how a question and a text are brought to what can be compared.

Pure. Owns which words of a question carry meaning, how identifiers fall into words, and which words count as one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

import msgspec

_WORD = re.compile(r"[^\W_]+")
#: An identifier as people write it in a question: with an underscore, a dot, a capital inside, or as a call.
_IDENTIFIER = re.compile(r"[A-Za-z_][\w]*(?:(?:\.|::|->)[A-Za-z_]\w*)*(?:\(\))?")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")
_STOP_WORDS = """
    a an and any are as at be been being but by can could did do does doing done for from had has have having he
    her how i if in into is it its itself just let like made make makes many may me might mine more most much
    must my need needs no not of on one or other our out own please s shall she should so some such t than that
    the their them then there these they this those to too us very was we were what when where whether which
    while who whom whose why will with would you your about after again all also am because before between both
    each exactly ever every get gets give gives given happen happens here know over same show tell through under
    until up use used uses using want way ways work works mean means say says via somebody someone something
    anybody anything nothing everything possible"""
_STOP = frozenset(_STOP_WORDS.split())
#: Words by which a question names the kind of thing it is after; they say little of the thing.
_WEAK_WORDS = """
    function functions method methods class classes file files code module modules define defined defines
    definition implement implemented implements implementation located declared declare value values name names
    called call calls set return returns returned repository repositories project package repo repos source line
    lines variable parameter parameters argument arguments option options handle handled handles handling
    default find found exist exists python javascript add added new"""
_WEAK = frozenset(_WEAK_WORDS.split())
#: Words that stand for each other in questions about code.
_ALIKE = (
    "config configuration settings setting preferences",
    "delete remove drop erase",
    "folder directory",
    "error exception failure",
    "maximum max limit upper",
    "minimum min lower",
    "create make build construct",
    "begin start launch",
    "end stop finish terminate",
    "args arguments argument",
    "timeout deadline",
    "password secret credential",
    "license licence",
    "dependency dependencies requires requirements require",
    "docs documentation",
    "cli command",
    "env environment",
    "num number count",
    "initialize initialise init",
    "authenticate auth authentication login",
    "escape quote",
    "version release",
    "fetch download retrieve",
    "store save persist write",
    "read load parse",
    "string str text",
    "integer int",
    "dict dictionary mapping",
    "regex regexp pattern",
)
_SUFFIXES = (
    "izations", "ization", "ations", "ation", "ments", "ment", "ities", "ity", "nesses", "ness", "ings", "ing",
    "ions", "ion", "edly", "ers", "er", "ors", "or", "ies", "ed", "es", "ly", "al", "s", "e", "y",
)  # fmt: skip


class Term(msgspec.Struct, frozen=True):
    """One word of a question: as it was written, its stem, how much it counts, and the words that may stand for it."""

    word: str
    stem: str
    weight: float
    alike: tuple[str, ...] = ()


class Question(msgspec.Struct, frozen=True):
    """A question read: its terms, identifiers and quoted phrases as written, and what it is after.

    `history`: when, who, why or in which commit something came about. `tests`: about tests themselves. `docs`: how
    something is used or installed. `names` are its words joined, as names of the code may be; `proper` is what it
    calls by a proper name, without which nothing can answer it.
    """

    text: str
    terms: tuple[Term, ...]
    identifiers: tuple[str, ...]
    phrases: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    history: bool
    tests: bool
    docs: bool
    names: frozenset[str] = frozenset()
    proper: frozenset[str] = frozenset()


def read_question(text: str) -> Question:
    """Read a question, or mere keywords; one without any word that means something has no terms."""
    plain = " ".join(text.split())
    low = plain.lower()
    identifiers, proper = _identifiers(plain), frozenset(_proper(plain))
    terms: dict[str, Term] = {}
    stems: list[str] = []
    for word in words_of(plain):
        if word in _STOP or (len(word) == 1 and not word.isdigit()):
            stems.append("")
            continue
        root = word if word in proper else stem(word)
        stems.append(root)
        weight = 0.45 if word in _WEAK else 1.0
        if root not in terms or terms[root].weight < weight:
            terms[root] = Term(word, root, weight, _alike(word))
    if terms and all(term.weight < 1 for term in terms.values()):
        terms = {root: msgspec.structs.replace(term, weight=1.0) for root, term in terms.items()}
    return Question(
        text=plain,
        terms=tuple(terms.values()),
        identifiers=identifiers,
        phrases=tuple(_quoted(plain)),
        pairs=tuple((a, b) for a, b in pairwise(stems) if a and b),
        history=bool(_HISTORY.search(low)),
        tests=bool(re.search(r"\btests?\b|\btested\b|\btesting\b|\bfixtures?\b", low)),
        docs=bool(
            re.search(r"\bhow (?:do|can|should|to)\b|\binstall|\bwhat is\b|\busage\b|\blicen[cs]e\b|\bdocs?\b", low)
        ),
        names=frozenset(joined for n in (2, 3) for joined in _joined(plain, n)),
        proper=proper,
    )


_DOCS = re.compile(r"\bhow (?:do|can|should|to)\b|\binstall|\bwhat is\b|\busage\b|\blicen[cs]e\b|\bdocs?\b")
_HISTORY = re.compile(
    r"\bwhen (?:was|were|did|has)\b|\bwho\b|\bwhich (?:commit|version|release)\b|\bwhy (?:was|were|did)\b|\bhistory\b"
    r"|\bcommit(?:ted|s)?\b|\bchanged\b|\bintroduced\b|\bsince\b|\bauthor\b|\brecent(?:ly)?\b|\blatest\b|\bchangelog\b"
)


def words_of(text: str) -> list[str]:
    """Return the words of a text in small letters, identifiers taken apart; a compound stands before its parts."""
    found: list[str] = []
    for match in _WORD.finditer(text):
        word = match[0]
        parts = _CAMEL.findall(word) if not word.islower() and not word.isupper() and not word.isdigit() else [word]
        if len(parts) > 1 and len(word) > 3:
            found.append(word.lower())
        found += [part.lower() for part in parts] if len(parts) > 1 else [word.lower()]
    return found


def compounds(text: str) -> str:
    """Return the words inside of identifiers in camel case, which an index of whole words would not find."""
    found = {part.lower() for word in set(_WORD.findall(text)) if not word.islower() for part in _CAMEL.findall(word)}
    return " ".join(sorted(part for part in found if len(part) > 1))


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Return what a word has in common with its other forms (`parse`, `parser`, `parsing`)."""
    if len(word) <= 3 or not word.isascii():
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            root = word[: -len(suffix)]
            if suffix == "s" and word.endswith(("ss", "us", "is")):
                return word
            if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "ls":
                root = root[:-1]
            return root[:-1] if root[-1] == "i" and len(root) > 3 else root
    return word


def plain_name(name: str) -> str:
    """Return a name without its case, underscores and punctuation: `retry_policy` and `RetryPolicy` are one."""
    return re.sub(r"[\W_]+", "", name).lower()


def _identifiers(text: str) -> tuple[str, ...]:
    quoted = re.findall(r"`([^`]+)`", text)
    found = [
        match[0]
        for match in _IDENTIFIER.finditer(re.sub(r"`[^`]*`", " ", text))
        if re.search(r"_|\.|::|->|\(\)|[a-z][A-Z]|[A-Z]{2,}[a-z]", match[0]) and not match[0].endswith(".")
    ]
    return tuple(dict.fromkeys(one.removesuffix("()").strip() for one in [*quoted, *found] if len(one) > 1))


def _quoted(text: str) -> list[str]:
    return [a or b for a, b in re.findall(r'"([^"]{3,})"|“([^”]{3,})”', text)]


def _proper(text: str) -> list[str]:
    """Return words with a capital in the middle of a sentence, and identifiers, in small letters."""
    inside = re.findall(r"(?<=[a-z0-9,] )[A-Z][A-Za-z0-9]{2,}", text)
    return [word.lower() for word in inside] + [one.lower() for one in _identifiers(text) if one.isalnum()]


def _joined(text: str, count: int) -> list[str]:
    words = [word.lower() for word in _WORD.findall(text)]
    runs = zip(*(words[n:] for n in range(count)), strict=False)
    return ["".join(run) for run in runs if not any(word in _STOP for word in run)]


@lru_cache(maxsize=1)
def _groups() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in _ALIKE:
        group = line.split()
        for word in group:
            found.setdefault(stem(word), tuple(other for other in group if stem(other) != stem(word)))
    return found


def _alike(word: str) -> tuple[str, ...]:
    return _groups().get(stem(word), ())
