"""What a tool call or a task answers, and what proves it.

Owns the shapes `ToolResponse` and `Evidence`. Whether evidence holds is judged in `evidence`; how an answer becomes
events is in `turn`. Keeps: there is no default success, and success and outcome never contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..orchestration.plan import Plan

#: `planned` is an answer, and no outcome yet: the task ends as its plan does.
Outcome = Literal["succeeded", "nothing_to_do", "failed", "needs_human", "planned"]


def _now() -> datetime:
    return datetime.now(UTC)


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reference to what proves an outcome, not a claim.

    `kind` is one that has a resolver: `commit` (ref: full hash), `effect` (ref: id of an effect recorded in this
    task), `file` (ref: path), `value` (ref: the returned data, or `sha256:` and its hash), `tests`. `details` are
    JSON-like facts beside the reference (a store, a hash, counts).
    """

    kind: str
    ref: Any
    details: dict[str, Any] = {}


class ToolResponse(msgspec.Struct, omit_defaults=True):
    """The answer of a tool call or a task. `success` has no default; `outcome` follows from it unless given.

    `nothing_to_do` counts as success; `needs_human` doesn't, nor does `planned`, as nothing is done yet. `data` is
    JSON-like. `reason` is a word for programs
    (`old_text_missing`), `message` and `error` are sentences for people; with `needs_human`, `message` is the question.
    `error` becomes text, whatever is given. Raises ValueError where success and outcome contradict each other.
    """

    success: bool
    data: Any = None
    error: Any = None
    message: str | None = None
    timestamp: datetime = msgspec.field(default_factory=_now)
    outcome: Outcome | None = None
    evidence: list[Evidence] = []
    reason: str | None = None
    expires_s: float | None = None
    default: Any = msgspec.UNSET
    choices: list[Any] = []

    def __post_init__(self) -> None:
        if self.outcome is None:
            self.outcome = "succeeded" if self.success else "failed"
        if self.success != (self.outcome in ("succeeded", "nothing_to_do")):
            raise ValueError(f"success={self.success} contradicts outcome={self.outcome!r}")
        if self.expires_s is not None and not 0 < self.expires_s < 1e9:
            raise ValueError(f"expires_s={self.expires_s} is not between 0 and 1e9 seconds")
        if isinstance(self.error, BaseException):
            self.error = f"{type(self.error).__name__}: {self.error}"
        elif self.error is not None:
            self.error = str(self.error)

    @classmethod
    def succeeded(cls, data: Any = None, evidence: Sequence[Evidence] = (), message: str | None = None) -> ToolResponse:
        """Answer that the work is done; evidence says what proves it."""
        return cls(True, data=data, message=message, evidence=list(evidence))

    @classmethod
    def nothing_to_do(cls, reason: str, message: str | None = None) -> ToolResponse:
        """Answer that what was asked for is already so; reason is a word, message a sentence."""
        return cls(True, message=message, outcome="nothing_to_do", reason=reason)

    @classmethod
    def failed(cls, reason: str, error: str, evidence: Sequence[Evidence] = ()) -> ToolResponse:
        """Answer that it could not be done; reason is a word, error a sentence."""
        return cls(False, error=error, evidence=list(evidence), reason=reason)

    @classmethod
    def needs_human(
        cls,
        reason: str,
        question: str,
        data: Any = None,
        *,
        expires_s: float | None = None,
        default: Any = msgspec.UNSET,
        choices: Sequence[Any] = (),
    ) -> ToolResponse:
        """Answer that a person must decide; reason is a word, question a sentence. See `TaskContext.ask`, too.

        The answer is in `context.answers` of the next attempt. After `expires_s` seconds `default` counts as the
        answer, or without one the task has failed; `choices` lists the answers that count, where not all do.
        """
        return cls(
            False,
            data=data,
            message=question,
            outcome="needs_human",
            reason=reason,
            expires_s=expires_s,
            default=default,
            choices=list(choices),
        )

    def terms(self) -> dict[str, Any]:
        """Return what a question says beside its words: until when, what counts then, what may be answered."""
        given: dict[str, Any] = {}
        if self.expires_s is not None:
            given["expires_s"] = self.expires_s
            if self.default is not msgspec.UNSET:
                given["default"] = self.default
        if self.choices:
            given["choices"] = self.choices
        return given

    @classmethod
    def planned(cls, plan: Plan | Mapping[str, Any], message: str | None = None) -> ToolResponse:
        """Answer with a plan (or its data) that is carried out in the task's place; its outcome is the task's.

        The plan stands in `data`. Raises PlanInvalid, which names the place.
        """
        from ..orchestration.plan import Plan, plan_data, plan_from  # most agents never answer with a plan

        made = plan if isinstance(plan, Plan) else plan_from(dict(plan))
        return cls(False, data=plan_data(made), message=message, outcome="planned")
