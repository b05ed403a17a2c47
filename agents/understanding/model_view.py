"""How a model reads an issue, where one is set: a summary, questions and risks beside the facts.

Owns what the model is shown and what of its answer is kept. Keeps: nothing that a model says changes a verdict, a file,
an edit or a dependency; where it can't be asked, or answers what can't be read, that is said and the facts stand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from ...eventstore.errors import TwelvefoldError
from ..context import TaskContext
from ..errors import TaskWithdrawn

#: So much of an issue a model is shown.
SHOWN_LENGTH_MAX = 20_000
_LISTED_MAX = 5
_LENGTH_MAX = 400
_KNOWN = ("title", "kind", "outcome", "requirements", "target_files", "missing_files", "acceptance", "missing")


class _View(msgspec.Struct):
    summary: str
    questions: list[str] = []
    risks: list[str] = []


def model_view(text: str, known: Mapping[str, Any], context: TaskContext) -> dict[str, Any] | None:
    """Return `{model, summary, questions, risks}`, `{model, error}` where none could be had, None where none is set.

    Raises TaskWithdrawn.
    """
    if not (context.settings.model or context.settings.model_url):
        return None
    from ..models.calls import ask
    from ..models.choose import model_from
    from ..models.model import Message
    from ..prompt import load_prompt

    name = context.settings.model
    try:
        model = model_from(context.settings)
        if model is None:
            return None
        name = model.name
        prompt = load_prompt("issue", context.settings.prompts)
        told = msgspec.json.encode({key: known[key] for key in _KNOWN}).decode()
        fence = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        words = prompt.render(issue=text[:SHOWN_LENGTH_MAX], known=told, fence=fence)
        view: _View = ask(context, model, [Message("user", words)], result=_View, prompt=prompt, repairs_max=1).value
    except TaskWithdrawn:
        raise
    except TwelvefoldError as error:
        return {"model": name, "error": error.message()[:_LENGTH_MAX]}
    lists = {"questions": _kept(view.questions), "risks": _kept(view.risks)}
    return {"model": name, "summary": view.summary[:_LENGTH_MAX], **lists}


def _kept(texts: list[str]) -> list[str]:
    return [text[:_LENGTH_MAX] for text in texts[:_LISTED_MAX]]
