"""One turn: a task from its request to its outcome, whatever the agent does on the way.

Owns the one code path that the agent process and trial runs share. Leaves delivering and settling to them. Keeps: every
turn ends in exactly one outcome, an exception is never swallowed, success is never assumed.
"""

from __future__ import annotations

import builtins
import inspect
from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec

from ..eventstore.check import PAYLOAD_SIZE_MAX
from ..eventstore.errors import TwelvefoldError
from ..eventstore.event import NewEvent
from . import evidence as proofs
from .base import BaseAgent
from .context import TaskContext
from .errors import EffectInDoubt, EvidenceUnresolved, HumanNeeded, InvalidResponse, InvalidTask, TaskWithdrawn
from .faults import Unwinding, compact, printable, said, whole
from .fork_errors import RecordedMiss
from .journal import Journal, TaskRequest, as_json, pack
from .response import Evidence, Outcome, ToolResponse
from .tool_calls import finished

if TYPE_CHECKING:
    from ..orchestration.plan import Plan


#: A plan must fit into its event: deciders read events only, no blobs.
PLAN_SIZE_MAX = PAYLOAD_SIZE_MAX - 4096


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended. `reason` is a word (None on success), `error` what went wrong (`message`, `class`, `at`, …).

    `message` is a sentence; for `needs_human` it is the question, with its `terms` (deadline, default, choices, or the
    effect in doubt). `value` and `evidence` as recorded; for `planned` the
    value is the plan's data. `contained` False, which the event then says, tells that no file rules held.
    """

    outcome: Outcome
    value: Any = None
    evidence: tuple[Evidence, ...] = ()
    message: str | None = None
    reason: str | None = None
    error: dict[str, Any] | None = None
    terms: dict[str, Any] = {}
    contained: bool = True

    def event(self, request: TaskRequest, journal: Journal) -> NewEvent:
        """Return the one event that settles the task."""
        proof = msgspec.to_builtins(self.evidence)
        data: dict[str, Any]
        if self.outcome == "succeeded":
            data = {"value": self.value, "evidence": proof, "message": self.message}
        elif self.outcome == "nothing_to_do":
            data = {"reason": self.reason, "message": self.message, "value": self.value}
        elif self.outcome == "planned":
            data = {"plan": self.value, "message": self.message}
        elif self.outcome == "needs_human":
            data = {"reason": self.reason, "question": self.message, "value": self.value, "evidence": proof}
            data |= self.terms
        else:
            data = {"reason": self.reason, "error": self.error, "evidence": proof, "value": self.value}
        if not self.contained:
            data["contained"] = False
        return NewEvent(
            type=f"task.{self.outcome}",
            payload=pack(data, journal),
            stream=request.stream,
            run=request.run,
            cause=request.id,
            trace=request.trace,
        )


def perform(agent: BaseAgent, context: TaskContext) -> TaskOutcome:
    """Do one task with an agent and return how it ended; raises nothing but what ends the process.

    The agent's `progress`, `current_stage` and `context` are set anew. An outcome says `needs_human` for an effect in
    doubt, and `failed` for a withdrawn task or a miss in a recorded layer, whatever the handler made of those errors.
    """
    agent.context = None
    agent.progress = 0.0
    agent.current_stage = None
    agent.context = context
    try:
        with context:
            if context.request.fork is not None:
                from .fork_stores import share_stores  # most runs are no forks

                share_stores(context)
            answer = _answer(agent, context)
        outcome = _outcome(answer, context)
    except (KeyboardInterrupt, Unwinding):
        raise
    except BaseException as error:  # noqa: BLE001 - the boundary where an agent's exceptions become facts
        # Not `Exception`: what asyncio cancels, and a panic of an extension in Rust, are none.
        outcome = _failure(error, context)
    finally:
        agent.context = None
    if context.ledger.missed is not None:
        outcome = _missed(context.ledger.missed, context)
    elif context.ledger.in_doubt is not None and outcome.reason != "in_doubt":
        outcome = _failure(context.ledger.in_doubt, context)
    elif context.asked is not None:
        # Whatever the handler made of the error that ended its turn.
        outcome = _question(context.asked)
    return msgspec.structs.replace(outcome, contained=context.contained)


def _answer(agent: BaseAgent, context: TaskContext) -> ToolResponse:
    needed, named, annotations, scope = _shape(agent.execute_task)
    task = _typed(agent, annotations.get(needed[0]) if needed else None, scope, context.input)
    answer: Any
    if "context" in named:
        answer = agent.execute_task(task, context=context)
    else:
        answer = agent.execute_task(task, context) if len(needed) > 1 else agent.execute_task(task)
    if inspect.isawaitable(answer):
        answer = finished(answer)
    if not isinstance(answer, ToolResponse):
        if isinstance(answer, msgspec.Struct) and _is_plan(answer):
            return ToolResponse.planned(answer)
        raise InvalidResponse(f"{type(agent).__name__}.execute_task", f"returned {type(answer).__name__}")
    return answer


def _is_plan(answer: msgspec.Struct) -> TypeGuard[Plan]:
    from ..orchestration.plan import Plan  # only agents that coordinate others need it

    return isinstance(answer, Plan)


def _shape(handler: Any) -> tuple[list[str], list[str], dict[str, Any], dict[str, Any]]:
    """Return a handler's parameters without default, all its parameters, their annotations, and the names in those."""
    function = getattr(handler, "__func__", handler)
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__"):
        # Decorated, or no plain method: what it looks like from outside counts.
        found = inspect.signature(handler).parameters.values()
        needed = [one.name for one in found if one.default is one.empty]
        return needed, [one.name for one in found], {one.name: one.annotation for one in found}, {}
    bound = handler is not function
    named = list(code.co_varnames[bound : code.co_argcount + code.co_kwonlyargcount])
    needed = list(code.co_varnames[bound : code.co_argcount - len(function.__defaults__ or ())])
    return needed, named, function.__annotations__, function.__globals__


def _typed(agent: BaseAgent, expected: Any, scope: dict[str, Any], task: Any) -> Any:
    """Convert a task's input to the type that the handler declares for it, where msgspec knows that type."""
    if isinstance(expected, str):
        try:
            # The author's own annotation. Compiling costs an agent memory, and most are one name.
            expected = _named(expected, scope) if expected.isidentifier() else eval(expected, scope)
        except NameError:  # a name imported for type checkers only
            return task
    if expected in (None, inspect.Parameter.empty) or not _checkable(expected):
        return task
    try:
        return msgspec.convert(task, expected)
    except msgspec.ValidationError as error:
        raise InvalidTask(type(agent).__name__, str(error)) from error


def _named(name: str, scope: dict[str, Any]) -> Any:
    if name in scope:
        return scope[name]
    try:
        return getattr(builtins, name)
    except AttributeError:
        raise NameError(name) from None


def _checkable(expected: Any) -> bool:
    """Tell whether JSON-like data can be of a type; an agent that declares any other class takes what comes."""
    if expected in (Any, str, dict, list):
        return True
    from msgspec.inspect import CustomType, type_info

    try:
        return not isinstance(type_info(expected), CustomType)
    except TypeError:
        return False


def _outcome(response: ToolResponse, context: TaskContext) -> TaskOutcome:
    outcome = response.outcome or "failed"
    try:
        value = as_json(response.data)
        as_json([response.evidence, response.terms()])
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResponse("execute_task", f"returned what isn't JSON-like: {error}") from error
    if context.cancelled:
        raise TaskWithdrawn(context.run, context.path)
    if outcome == "planned":
        if (size := len(msgspec.json.encode(value))) > PLAN_SIZE_MAX:
            raise InvalidResponse(
                "execute_task", f"returned a plan of {size} bytes, at most {PLAN_SIZE_MAX} are allowed"
            )
        return TaskOutcome(outcome=outcome, value=value, message=response.message)
    if outcome == "succeeded":
        proof = tuple(proofs.resolved(response, context))
        return TaskOutcome(outcome=outcome, value=value, evidence=proof, message=response.message)
    return TaskOutcome(
        outcome=outcome,
        value=value,
        evidence=tuple(response.evidence),
        message=response.message or response.error,
        reason=response.reason or ("unsaid" if outcome != "failed" else "agent"),
        error={"message": response.error or response.message or "the agent gave no error"}
        if outcome == "failed"
        else None,
        terms=as_json(response.terms()) if outcome == "needs_human" else {},
    )


def _question(asked: dict[str, Any]) -> TaskOutcome:
    terms = {name: asked[name] for name in ("expires_s", "default", "choices") if name in asked}
    return TaskOutcome(outcome="needs_human", reason=asked["reason"], message=asked["question"], terms=as_json(terms))


def _missed(miss: RecordedMiss, context: TaskContext) -> TaskOutcome:
    """Say how a task ends that asked a recorded layer for what isn't there; what was never done needs no undoing."""
    if context.undo:
        message = "what it would undo was answered from a record in this fork, and never done"
        return TaskOutcome(outcome="nothing_to_do", reason="not_live", message=message)
    return _failure(miss, context)


def _failure(error: BaseException, context: TaskContext) -> TaskOutcome:
    """Make an outcome of an exception; the whole traceback goes to the process's log."""
    if isinstance(error, EffectInDoubt):
        question = f"{error.message()}. Did it happen?"
        doubt = {"effect": error.key}
        return TaskOutcome(
            outcome="needs_human", reason="in_doubt", message=question, error=compact(error), terms=doubt
        )
    if isinstance(error, HumanNeeded) and context.asked is not None:
        return _question(context.asked)
    shown = printable(str(error)) if isinstance(error, TwelvefoldError) else whole(error)
    context.log.error("task %s of run %s failed: %s", context.path, context.run, shown)
    facts = compact(error)
    told = facts["message"] if "help" in facts and isinstance(error, OSError) else said(error)
    return TaskOutcome(outcome="failed", reason=reason_of(error), error=facts, message=told)


def reason_of(error: BaseException) -> str:
    """Return the word for an exception: `evidence`, our own class name in snake case, else `exception`."""
    if isinstance(error, EvidenceUnresolved):
        return "evidence"
    if not isinstance(error, TwelvefoldError):
        return "exception"
    return "".join("_" + c.lower() if c.isupper() else c for c in type(error).__name__).lstrip("_")
