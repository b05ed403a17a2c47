"""What kind of issue it is: about documents only, about the tooling, a fault. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import extent_language as extent
from . import issue_language as language
from .issue_units import Reading
from .path_mentions import is_document

#: Below that an issue has no room for a story.
FEW_WORDS = 40
_BUG = language.Words(
    r"\b(?:bugs?|errors?|fails|failing|failed|failure|wrong|crash\w*|broken|breaks?|refused|rejected|invalid"
    r"|ignored|ignores"
    r"|ignoriert|raises|exception|traceback|hangs?|leaks?|loses?|lost|dropped|drops|missing|incorrect\w*|not work\w*"
    r"|doesn['’]?t|does not|(?:is|are|was|did|wo|ca)n['’]t|leaves|lacks?|too (?:late|early|many|few)|internalerror"
    r"|\w+error|fehler|falla|erreur)\b|バグ|错误|ません"
)
_NO_BUG = language.Words(
    r"\b(?:feature|(?:new|an) option|options? (?:to|for|that|which)|allow|proposal|support for|add)\b"
)
#: A title in the third person: "It skips the last day".
_SAYS = language.Words(r"\s\w*[a-z]{2}(?<!s)s\b(?!['’])")
SAYS_WORDS_MIN = 4
_WISHED = language.Words(
    r"\b(?:i['’]d|would be|i want|(?:i|we) need|could (?:we|there)|new|options?|support for|propos\w+|suggest\w*"
    r"|let['’]s)\b"
)
#: What is to be, or several things, are no one slip.
_OWED = language.Words(
    r"\b(?:should|must|could|would|can|needs?|support|allow)\b|^\W*(?:several|some|many|various|two|three)\b"
)


def only_documents(reading: Reading, targets: Sequence[str]) -> bool:
    """Tell whether the issue is about documents and leaves the code as it is."""
    if not reading.parts:
        return False
    title = reading.parts[0]
    docs = extent.SURFACES["documentation"]
    if targets:
        if not all(map(is_document, targets)):
            return False
        text = " \n".join(part.unit.text for part in reading.parts)
        return bool(docs.search(title.unit.text) or title.paths or extent.NO_CODE.search(text))
    return docs.match(title.unit.text.lstrip("[( ")) is not None


def only_tooling(reading: Reading) -> bool:
    """Tell whether the title speaks of packaging or of the pipeline, so that the code itself isn't the place."""
    title = reading.outline.title
    return any(extent.SURFACES[name].search(title) for name in ("packaging", "continuous integration"))


def is_bug(reading: Reading) -> bool:
    """Tell whether an issue says that something goes wrong, rather than asks for something new."""
    title = reading.outline.title
    if language.ORDER.search(title) or _NO_BUG.search(title) or extent.PERFORMANCE.search(title):
        return False
    if only_documents(reading, reading.targets):
        return False
    told = [part.unit.text for part in reading.parts] + [section.heading for section in reading.outline.sections]
    expected = any(language.EXPECTED.search(text) for text in told)
    steps = any(part.role == "step" for part in reading.parts)
    broken = any(re.search("Traceback \\(most|panic:|Exception in", sample.text) for sample in reading.outline.samples)
    return expected or steps or broken or bool(_BUG.search(title))


def tells_of_a_slip(reading: Reading) -> bool:
    """Tell whether the title says what the program does, which is wrong, and not that it fails or lacks something.

    What decides wrongly is there already, so that less has to be written than where a case was forgotten.
    """
    title = reading.outline.title
    if len(title.split()) < SAYS_WORDS_MIN or not _SAYS.search(title) or _OWED.search(title):
        return False
    if language.ORDER.search(title) or extent.PERFORMANCE.search(title) or is_bug(reading):
        return False
    documents = only_documents(reading, reading.targets)
    return not documents and not any(_WISHED.search(part.unit.text) for part in reading.parts)


def in_one_spot(reading: Reading) -> bool:
    """Tell whether the issue is about a slip: a typo, a wrong word, something right next to what is there."""
    words = sum(len(part.unit.text.split()) for part in reading.parts)
    told = [part.unit.text for part in reading.parts if part.asks or (words <= FEW_WORDS and part.role == "told")]
    return any(extent.SPOT.search(text) or extent.MISSPELT.search(text) for text in told)
