"""Words that lead to something: "The CLI should accept:" over a sample or a list, "Expected:" before a result.

Owns the judgement whether they ask for something beside explicit edits. Pure. Keeps: the label of an edit's own text,
and what the edits are expected to bring about, are no wishes of their own.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from ...orchestration.issue_language import Words
from ...orchestration.issue_units import Part, Reading
from ..issue_inserts import is_insert_label
from ..issue_labels import is_label

#: A sample stands at most so many lines below the words that lead to it.
_BELOW = 3
_ITEMS_MAX = 10
_WANTED = Words(
    r"\b(?:should|must|shall|(?:we|i|users?|you|it) needs?|needs? to|(?:has|have) to|ought to|soll(?:te)?n?|muss|müssen"
    r"|doi(?:t|vent)|devrai(?:t|ent)|deber?ía|debe)\b"
)
_OF_A_TEXT = Words(
    r"\b(?:be|become|read|say|look like)\W*$"
    r"|^\W*(?:this|that|it|the (?:code|line|text|file|diff|result|following|fix|change))\b"
)
_EXPECTED = Words(r"^\W*(?:expected|desired|wanted|erwartet\w*|attendu\w*|acceptance)(?: \w+){0,2}\W*:\s*")


def led_to(part: Part, reading: Reading, texts: Collection[str], first: int) -> str:
    """Return what words before a colon ask for, with the items or the sample's first line; "" where that is nothing.

    `texts` are those of the edits, `first` is the line of the first one.
    """
    unit = part.unit
    head = unit.text.rstrip()
    if unit.kind != "sentence" or not head.endswith(":") or not _WANTED.search(head):
        return ""
    if _OF_A_TEXT.search(head) or is_label(head) or is_insert_label(head):
        return ""
    items = [one.unit.text for one in reading.parts if one.unit.intro and one.unit.intro == unit.text]
    shown = [one.text for one in reading.outline.samples if 0 < one.line - unit.line <= _BELOW]
    if any(text.strip() in one or one.strip() in text for text in shown for one in texts if one.strip()):
        return ""
    if unit.line < first and not shown:
        return ""  # what leads to the edits
    if not items:
        sample = next((line.strip() for text in shown for line in text.split("\n") if line.strip()), "")
        return f"{head} {sample}" if sample else head.rstrip(":")
    more = len(items) - _ITEMS_MAX
    listed = ", ".join(items[:_ITEMS_MAX]) + (f" and {more} more" if more > 0 else "")
    return f"{head} {listed}"


def expected_beyond(text: str, known: Collection[str], words: Collection[str]) -> bool:
    """Tell whether a sentence expects something of which the edits and the title, with the words `known`, say little.

    `words` are the sentence's own, without those of every issue.
    """
    found = _EXPECTED.match(text)
    own = set(words) - (set() if found is None else {word.lower() for word in re.findall(r"\w+", found[0])})
    return bool(own) and 2 * len(own & set(known)) < len(own)
