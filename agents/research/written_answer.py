"""A written answer: sentences of a model, of which only those count that rest on passages that were looked up.

Owns what the model is shown and what of its answer is kept. Keeps: every sentence of an answer cites at least one
passage, names nothing that the cited passages don't have, and there is no answer without such a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ...eventstore.errors import TwelvefoldError
from ..errors import TaskWithdrawn
from .citation import Citation

if TYPE_CHECKING:
    from ..context import TaskContext

SENTENCES_MAX = 12
_SENTENCE_LENGTH_MAX = 600
#: What a sentence may only say if a cited passage does: code in backticks, numbers, names as only code has them.
_CHECKABLE = re.compile(r"`([^`]+)`|(?<![\w.])(\d[\d.,]*\d|\d)(?![\w])|\b([A-Za-z]+_\w+|[a-z]+[A-Z]\w*)\b")


class Sentence(msgspec.Struct, frozen=True):
    """One sentence and the numbers of the passages that say so."""

    text: str
    citations: list[int] = []


class _Reply(msgspec.Struct):
    sentences: list[Sentence]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's answer came to: the sentences that hold, how many didn't, and why there is none at all."""

    model: str | None = None
    sentences: list[Sentence] = []
    dropped: int = 0
    refused: str | None = None


def written_answer(context: TaskContext, question: str, citations: Sequence[Citation]) -> Written:
    """Have the model that the settings name answer from these passages; nothing where they name none.

    A model that fails takes nothing from the passages themselves. Raises TaskWithdrawn.
    """
    if not (context.settings.model or context.settings.model_url) or not citations:
        return Written()
    from ..models.calls import ask
    from ..models.choose import model_from
    from ..models.model import Message
    from ..prompt import load_prompt

    name = context.settings.model
    try:
        model = model_from(context.settings)
        if model is None:
            return Written()
        name = model.name
        prompt = load_prompt("research", context.settings.prompts)
        words = prompt.render(question=question, passages="\n\n".join(map(_shown, citations)))
        reply: _Reply = ask(context, model, [Message("user", words)], result=_Reply, prompt=prompt).value
    except TaskWithdrawn:
        raise
    except TwelvefoldError as error:
        return Written(model=name, refused=f"the model gave no usable answer: {error.message()[:300]}")
    kept = [one for one in reply.sentences[:SENTENCES_MAX] if holds(one, citations)]
    dropped = len(reply.sentences) - len(kept)
    if not kept:
        said = "none of its sentences holds" if reply.sentences else "the passages do not answer the question"
        return Written(model=name, dropped=dropped, refused=f"the model's answer was refused: {said}")
    return Written(model=name, sentences=kept, dropped=dropped)


def holds(sentence: Sentence, citations: Sequence[Citation]) -> bool:
    """Tell whether a sentence cites passages that there are, and names only what stands in them."""
    by_number = {one.n: one for one in citations}
    text = sentence.text.strip()
    if not text or len(text) > _SENTENCE_LENGTH_MAX or not sentence.citations:
        return False
    if any(number not in by_number for number in sentence.citations):
        return False
    cited = [by_number[number] for number in sentence.citations]
    there = "\n".join(
        f"{one.path}\n{' '.join(one.names)}\n{one.name}\n{one.author} {one.time}\n{one.text}" for one in cited
    )
    there = f"{there}\n{' '.join(one.commit for one in cited)}".lower()
    named = [next(group for group in match if group) for match in _CHECKABLE.findall(_without_marks(text))]
    return all(name.strip().removesuffix("()").lower() in there for name in named)


def told(sentences: Sequence[Sentence]) -> str:
    """Return sentences as one text, each with the numbers of its passages behind it."""
    parts = [f"{one.text.strip()} {''.join(f'[{n}]' for n in dict.fromkeys(one.citations))}" for one in sentences]
    return " ".join(parts)


def _without_marks(text: str) -> str:
    """Take out `[1]`, by which a model may cite in the text as well."""
    return re.sub(r"\[\d+(?:\s*,\s*\d+)*\]", " ", text)


def _shown(one: Citation) -> str:
    place = f"{one.name}, {one.path}, lines {one.lines[0]} to {one.lines[1]}" if one.path else f"{one.name}, a commit"
    who = f" by {one.author}, {one.time[:10]}" if one.author else ""
    return f"[{one.n}] {place}{who}:\n{one.text}"
