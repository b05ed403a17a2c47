"""Answers that a model writes: only sentences that rest on cited passages are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.agents.research.conftest import Ask

ASKED = "How long is it waited before a letter is sent again?"


def says(*sentences: tuple[str, list[int]]) -> list[Any]:
    """A script of one reply."""
    return [json.dumps({"sentences": [{"text": text, "citations": numbers} for text, numbers in sentences]})]


def test_each_sentence_is_told_with_its_citations(ask: Ask) -> None:
    """Sentences that hold make the answer, with the numbers of their passages; passages stay part of it."""
    outcome = ask(ASKED, model=says(("The wait doubles each time, up to `600`.", [1]), ("It is `retry_delay`.", [1])))
    assert outcome.value["answer"] == "The wait doubles each time, up to `600`. [1] It is `retry_delay`. [1]"
    assert outcome.value["written_by"]
    assert outcome.value["citations"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("The wait doubles.", []),
        ("The wait doubles.", [99]),
        ("The wait doubles.", [1, 99]),
        ("The wait is `exponential_backoff`.", [1]),
        ("The wait ends after 9000 seconds.", [1]),
        ("It is made by makeItUp somewhere.", [1]),
        ("", [1]),
        ("x" * 1000, [1]),
    ],
)
def test_a_sentence_that_does_not_hold_is_dropped(ask: Ask, text: str, numbers: list[int]) -> None:
    """Without a citation, with a wrong one, or with a name or number that the passage doesn't have: not told."""
    outcome = ask(ASKED, model=says(("It doubles each time.", [1]), (text, numbers)))
    assert outcome.value["answer"] == "It doubles each time. [1]"
    assert any("1 sentences" in note for note in outcome.value["notes"])


def test_an_answer_without_a_sentence_that_holds_is_refused(ask: Ask) -> None:
    """Then the passages themselves are the answer, and a note says why."""
    outcome = ask(ASKED, model=says(("It is magic.", []), ("Believe me.", [7])))
    assert outcome.outcome == "succeeded"
    assert outcome.value["written_by"] is None
    assert outcome.value["answer"].startswith("[1] mail@")
    assert any("refused" in note for note in outcome.value["notes"])


@pytest.mark.parametrize("reply", ["no JSON at all", '{"sentences": "x"}', "[]", ""])
def test_a_model_that_fails_takes_nothing_from_the_passages(ask: Ask, reply: str) -> None:
    """What is no answer after some repairs is said, and the passages are told."""
    outcome = ask(ASKED, model=[reply] * 5)
    assert outcome.outcome == "succeeded"
    assert outcome.value["answer"].startswith("[1] mail@")
    assert any("model" in note for note in outcome.value["notes"])


def test_no_model_is_asked_where_nothing_was_found(ask: Ask) -> None:
    """Without a passage there is nothing that a sentence could rest on."""
    outcome = ask("How is plutonium enriched?", model=says(("By centrifuges.", [1])))
    assert (outcome.outcome, outcome.value["citations"]) == ("nothing_to_do", [])
    assert "centrifuges" not in outcome.value["answer"]
