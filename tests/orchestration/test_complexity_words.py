"""What single words, the kind of a title and inline code say about how complex an issue is."""

from __future__ import annotations

import pytest

from twelvefold.orchestration.complexity import Complexity, assess


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("# Print each entry on one line\n\nPlease print each entry on one line.\n", Complexity.SIMPLE),
        ("# No blank before the name\n\nIt went missing in 2.1, please put it back.\n", Complexity.ATOMIC),
        ("# Wheel lacks its licence\n\nThe wheel must hold it, `MANIFEST.in` doesn't list it.\n", Complexity.SIMPLE),
        ("# `tool schema`\n\nPrints the schema of a file. Document it.\n", Complexity.MODERATE),
        ("# Drop Python 3.9\n\nIt has come to its end of life this month.\n", Complexity.COMPLEX),
        ("# A new `limit`\n\nI'd like `run(limit=2)`, described in `docs/run.md`.\n", Complexity.MODERATE),
        ("# A `limit`\n\nI'd like `run(limit=2)`. Guide and reference should have it.\n", Complexity.COMPLEX),
        ("# `find()` skips the last entry\n\nIt ends one too early.\n", Complexity.ATOMIC),
        ("# `find()` fails on the last entry\n\nIt ends one too early.\n", Complexity.SIMPLE),
        ("# Filters for entries in `find()`\n\nI'd like to give a pattern.\n", Complexity.SIMPLE),
        ("# Several things in `rewrite`\n\nIt fails in a frozen program.\n", Complexity.SIMPLE),
    ],
)
def test_what_a_few_words_say(text: str, level: Complexity) -> None:
    """Putting back is small, a dropped version large, a feature with two documents more than three files.

    What is done wrongly is a smaller thing than what fails; and the name of a function orders nothing.
    """
    assert assess(text).level is level


def test_arguments_of_a_call_are_no_parts() -> None:
    """What stands side by side within a call are its arguments."""
    judged = assess("# Compact output\n\nPlease let `format(sql, reindent=True, compact=True, wide=True)` do it.\n")
    assert "enumerated" not in {reason.name for reason in judged.reasons}
