"""How pieces of work are named: short titles, kinds, and checks that say what is to be seen in the end. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from . import extent_language as extent
from . import issue_language as language
from .issue_outline import sentences
from .path_mentions import is_document, is_test

Kind = Literal["code", "documentation", "tests", "packaging", "continuous integration", "verification"]
#: A word that stands later than that in a text is not what the text is about.
TOPIC_LENGTH_MAX = 60
TITLE_LENGTH_MAX = 90
STATEMENT_LENGTH_MAX = 300
_PARTICLE = re.compile(r"^\W*(?:(?:please|and|then|also|now|finally|first|next|just|simply)\W+)+", re.IGNORECASE)
#: An order behind what only leads to it: "everywhere, and export both …".
_LATE_ORDER = re.compile(r"^[a-z][^,;:]{0,30}[,;:] (?:and|then) (?=\w)")
#: "**Exits.** …": the name of an item before its text.
_LEAD = re.compile(r"\A((?:[\w/&-]+ ){0,3}[\w/&-]+)[.:] (?=\S)")
_ENDS = " .:;,"
_PRONOUN = re.compile(r"(?:It|This|That|They|These|Those|Should|Must|He|She|Describe it|Document it|Remove it)\b")
_WORD = re.compile(r"[^\W\d_]{4,}|\w+_\w+")
_COMMON_WORDS = """
    with that this from have should must would which their there they them what when where were will been into
    only also more than then some such each every other same used uses using make made does done need needs like
    after before without these those could change changes new test tests file files"""
_COMMON = frozenset(_COMMON_WORDS.split())


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text that tell it from others."""
    return frozenset(word for word in map(str.lower, _WORD.findall(text)) if word not in _COMMON)


def title_of(text: str, codes: Sequence[str] = ()) -> str:
    """Return a title for a part of an issue: its name if it begins with one, and the first sentence that asks."""
    text = _LATE_ORDER.sub("", text)
    if _begins_with_code(text, codes) or (lead := _LEAD.match(text)) is None:
        return short(text, codes=codes)
    rest = text[lead.end() :]
    told = sentences(rest)
    asking = next((one for one in told if language.ASK.search(one)), told[0] if told else rest)
    return f"{lead[1]}: {short(asking, TITLE_LENGTH_MAX - len(lead[1]), codes)}"


def _begins_with_code(text: str, codes: Sequence[str]) -> bool:
    """Tell whether a text begins with one of its pieces of inline code, not only with the same letters."""
    return any(
        code and text.startswith(code) and not (code[-1].isalnum() and text[len(code) :][:1].isalnum())
        for code in codes
    )


def short(text: str, most: int = TITLE_LENGTH_MAX, codes: Sequence[str] = ()) -> str:
    """Return a text cut to a length: at the end of a sentence or clause where one is near, else at a word.

    It begins with a capital, but for one that begins with a piece of its inline code, which stays as it is written.
    What would steer a terminal is left out, or written as an escape where there is nothing else.
    """
    text = " ".join((_PARTICLE.sub("", text) or text).split())
    if not text.isprintable():
        # What is nothing but such letters still needs a name.
        text = "".join(character for character in text if character.isprintable()) or ascii(text)[1:-1]
    if not text.strip(_ENDS):
        return text[:most]
    first = text.split(" ", 1)[0]
    if first.isascii() and first.isalpha() and first.islower() and not _begins_with_code(text, codes):
        text = text[:1].upper() + text[1:]
    for mark in (". ", ": ", "; "):
        head = text.split(mark, 1)[0]
        if len(text) > most and 12 <= len(head) <= most:
            return head
    if len(text) <= most:
        return text.rstrip(_ENDS)
    cut = text[:most].rsplit(" ", 1)[0] if " " in text[:most] else text[:most]
    return cut.rstrip(_ENDS + "(") + " …"


def kind_of_file(path: str) -> Kind:
    """Return what kind of work a file is."""
    if is_test(path):
        return "tests"
    if re.fullmatch(r"(?:.*/)?(?:setup\.(?:py|cfg)|package\.json|Cargo\.toml|go\.mod|requirements[\w-]*\.txt)", path):
        return "packaging"
    if path.startswith((".github/", ".gitlab-ci", ".travis")):
        return "continuous integration"
    return "documentation" if is_document(path) else "code"


def kind_of(text: str, paths: Sequence[str]) -> Kind:
    """Return what kind of work a part of an issue is, by its files, else by its words."""
    if paths:
        kinds = {kind_of_file(path) for path in paths}
        return kinds.pop() if len(kinds) == 1 else "code"
    topic = text[:TOPIC_LENGTH_MAX]
    if extent.SURFACES["documentation"].search(topic) or re.search(r"\bdoc-?strings?\b|\bsection\b", topic, re.I):
        return "documentation"
    if extent.SURFACES["continuous integration"].search(topic):
        return "continuous integration"
    return "packaging" if extent.SURFACES["packaging"].search(topic) else "code"


def subject_of(text: str, title: str, title_codes: Sequence[str] = ()) -> str:
    """Return a part's title, which begins with the issue's where the part speaks of "it" and "this"."""
    if not _PRONOUN.match(text):
        return text
    return f"{short(title, TITLE_LENGTH_MAX // 2, title_codes)}: {text[:1].lower()}{text[1:]}"


def check_of(kind: Kind, text: str, paths: Sequence[str], codes: Sequence[str] = ()) -> str:
    """Return what is to be seen when a part of an issue is done."""
    statement = short(text, STATEMENT_LENGTH_MAX, codes)
    if kind == "documentation":
        return f"{paths[0] if paths else 'the documentation'} shows it: {statement}"
    if kind == "packaging":
        return f"a fresh installation shows it: {statement}"
    if kind == "continuous integration":
        return f"a run of the pipeline shows it: {statement}"
    if kind == "tests":
        return f"the tests pass, and show it: {statement}"
    return f"a test shows it: {statement}"
