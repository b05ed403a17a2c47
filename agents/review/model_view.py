"""A model's view of a change: asked for where a model is set, believed only as far as it points at the change.

Owns what the model is shown and what of its answer counts. Keeps: no secret that was found is shown to it; what it says
is never sure enough to refuse a change alone, and a model that fails takes nothing from the rest of the review.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

import msgspec

from ...eventstore.errors import TwelvefoldError
from ..errors import TaskWithdrawn
from .change import Change, ChangedFile
from .finding import Finding, ToolReport

if TYPE_CHECKING:
    from ..context import TaskContext

#: How much of a change a model is shown, in characters.
SHOWN_LENGTH_MAX = 48_000
ISSUE_LENGTH_MAX = 8_000
FINDINGS_MAX = 50


class _Remark(msgspec.Struct):
    file: str
    line: int
    severity: Literal["error", "warning", "note"]
    message: str
    harm: str = ""


class _View(msgspec.Struct):
    findings: list[_Remark]


def model_view(
    context: TaskContext, change: Change, issue: str, found: Collection[Finding]
) -> tuple[list[Finding], list[ToolReport]]:
    """Ask the model that the settings name; nothing where they name none. Raises TaskWithdrawn."""
    if not (context.settings.model or context.settings.model_url):
        return [], []
    from ..models.calls import ask
    from ..models.choose import model_from
    from ..models.model import Message
    from ..prompt import load_prompt

    name = f"model:{context.settings.model}"
    try:
        model = model_from(context.settings)
        if model is None:
            return [], []
        name = f"model:{model.name}"
        prompt = load_prompt("review", context.settings.prompts)
        text, whole = shown(change, found)
        words = prompt.render(issue=issue[:ISSUE_LENGTH_MAX] or "(none is given)", diff=text)
        view: _View = ask(context, model, [Message("user", words)], result=_View, prompt=prompt, repairs_max=1).value
    except TaskWithdrawn:
        raise
    except TwelvefoldError as error:
        return [], [ToolReport(name=name, status="failed", reason=error.message()[:500], advisory=True)]
    kept = [_finding(remark, name) for remark in view.findings[:FINDINGS_MAX] if _points(remark, change)]
    dropped = len(view.findings) - len(kept)
    remarks = [f"{dropped} of what it said points at nothing that the change brings"] if dropped else []
    remarks += [] if whole else [f"it was shown the first {SHOWN_LENGTH_MAX} characters of the change"]
    return kept, [ToolReport(name=name, status="ok", reason="; ".join(remarks) or None, advisory=True)]


def shown(change: Change, found: Collection[Finding]) -> tuple[str, bool]:
    """Return the change as a model is shown it, and whether that is all of it."""
    hidden = {(one.file, one.line) for one in found if one.rule in ("secret", "private-key", "possible-secret")}
    parts: list[str] = []
    length = 0
    for file in change.files:
        for line in [f"\n=== {file.path} ({file.status})", *_lines(file, hidden)]:
            length += len(line) + 1
            if length > SHOWN_LENGTH_MAX:
                return "\n".join(parts), False
            parts.append(line)
    return "\n".join(parts), True


def _lines(file: ChangedFile, hidden: Collection[tuple[str, int]]) -> list[str]:
    if file.new_file is None and file.old_file is None:
        return ["(not text)"]
    secret = any(path == file.path for path, _ in hidden)
    lines = []
    for start, count, new_start, new_count in file.hunks:
        old = file.old_lines[start - 1 : start - 1 + count] if count else []
        # An old line may hold the same secret, and a key goes on below the line that was found.
        lines += ["- (a line of a file with a secret)" if secret else f"- {line[:500]}" for line in old]
        for number in range(new_start, new_start + new_count):
            if number <= len(file.new_lines):
                text = file.new_lines[number - 1][:500]
                near = any(path == file.path and line <= number <= line + 60 for path, line in hidden)
                lines.append(f"{number} + {'(a secret stands here)' if near else text}")
    return lines


def _points(remark: _Remark, change: Change) -> bool:
    file = change.file(remark.file)
    return file is not None and file.brings(remark.line)


def _finding(remark: _Remark, name: str) -> Finding:
    return Finding(
        file=remark.file,
        line=remark.line,
        rule="model",
        severity=remark.severity,
        confidence="low",
        message=remark.message[:1000],
        harm=remark.harm[:1000] or "the model didn't say",
        tool=name,
    )
