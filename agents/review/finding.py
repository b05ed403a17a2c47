"""What a review finds and what follows from it.

Pure. Owns the words: severity says how bad it would be, confidence how sure the finding is, harm what goes wrong if it
stays. Keeps: changes are asked for only by findings that are both bad and sure, and nothing is approved that was not
looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]
Confidence = Literal["high", "medium", "low"]
Verdict = Literal["approved", "changes_requested", "unreviewed"]
#: `ok`: ran and was understood; `skipped`: nothing for it to do, or it may not run here; `failed`: crashed, took too
#: long or said what cannot be read, so that what it should have looked at was not looked at.
ToolStatus = Literal["ok", "skipped", "failed"]

OWN = "twelvefold"
FINDINGS_MAX = 500
_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_CONFIDENCES: tuple[Confidence, ...] = ("high", "medium", "low")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a change, at a line of it.

    `line` counts from 1 in the file as the change leaves it; with `side` `old`, in the file as it was (a deleted one).
    """

    file: str
    line: int
    rule: str
    severity: Severity
    confidence: Confidence
    message: str
    harm: str
    tool: str = OWN
    end_line: int | None = None
    side: Literal["new", "old"] = "new"

    @property
    def blocks(self) -> bool:
        """Whether this alone is reason enough to ask for changes."""
        return self.severity == "error" and self.confidence == "high"


class ToolReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one analyzer; `reason` says why it was skipped or failed, or what to know of its answer.

    An `advisory` one is a second opinion: the verdict doesn't wait for it.
    """

    name: str
    status: ToolStatus
    version: str | None = None
    reason: str | None = None
    contained: bool | None = None
    advisory: bool = False


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A review as it is answered: verdict, why, and all that it rests on. `omitted` counts findings left out."""

    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...] = ()
    tools: tuple[ToolReport, ...] = ()
    omitted: int = 0


def weaker(confidence: Confidence, steps: int = 1) -> Confidence:
    """Return a confidence that is so many steps lower."""
    return _CONFIDENCES[min(_CONFIDENCES.index(confidence) + steps, len(_CONFIDENCES) - 1)]


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings without doubles, the worst and surest first, then by place."""
    return sorted(
        set(findings),
        key=lambda one: (
            not one.blocks,
            _SEVERITIES.index(one.severity),
            _CONFIDENCES.index(one.confidence),
            one.file,
            one.line,
            one.rule,
            one.message,
        ),
    )


def conclude(findings: Iterable[Finding], tools: Sequence[ToolReport], unseen: Sequence[str] = ()) -> Review:
    """Draw the verdict; `unseen` names what could not be looked at at all."""
    order = ranked(findings)
    blocking = [one for one in order if one.blocks]
    failed = [f"{one.name}: {one.reason or 'failed'}" for one in tools if one.status == "failed" and not one.advisory]
    missing = [*failed, *unseen]
    verdict: Verdict
    if blocking:
        first = blocking[0]
        more = f" and {len(blocking) - 1} more" if len(blocking) > 1 else ""
        verdict, reason = "changes_requested", f"{first.file}:{first.line}: {first.message}{more}"
    elif missing:
        verdict, reason = "unreviewed", f"not everything could be reviewed: {'; '.join(missing[:5])}"
    else:
        counted = f"{len(order)} remark{'s' if len(order) != 1 else ''}" if order else "no findings"
        verdict, reason = "approved", f"nothing asks for changes: {counted}"
    kept = order[:FINDINGS_MAX]
    return Review(
        verdict=verdict, reason=reason, findings=tuple(kept), tools=tuple(tools), omitted=len(order) - len(kept)
    )
