"""The decider of a single task: request, timeouts, retries with backoff, demanded evidence, answers with a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from .plan import PatternFields, Retry, Task
from .run_state import Report, Run, TaskState
from .turn import NS, STUCK, At, Outcome, Turn, register_decider
from .undoing import take_back
from .values import Absent, resolve

VERSION = 4
#: Paths are parts of names of streams (`task.<run>.<path>`, 255 characters at most).
PATH_LENGTH_MAX = 200
ONCE = Retry(attempts_max=1)
COMPENSATION_RETRY = Retry(attempts_max=5, backoff_s=0.5, backoff_max_s=30.0)
_OF_ATTEMPTS = ("timeout", "retry", "human")
_TIMERS = (*_OF_ATTEMPTS, "deadline")
_APPROVAL = ("approve", "reject")


def advance(plan: Task, at: At, turn: Turn) -> Outcome | None:
    """Request the task where that is due, judge what was reported, and tell the outcome once it is final."""
    while True:
        task = turn.run.tasks.get(at.path)
        if task is None or task.phase == "ready":
            if not _may_start(plan, at, task, turn) or not _request(plan, at, task, turn):
                return None
        elif task.phase == "expired":
            turn.cancel(task, task.reason)
        elif task.phase == "parked":
            if task.reason == "approval":
                turn.ask(at.path, task.reason, plan.approval, _APPROVAL)
            else:
                turn.ask(at.path, task.reason, task.report.error if task.report else None)
            return None
        elif task.phase == "planned" and task.plan is not None:
            turn.cancel_timers(at.path, task.attempt, _OF_ATTEMPTS)
            if not _refused(at, turn):
                outcome = _of_subtree(plan, task, task.plan, at, turn)
                if turn.run.tasks[at.path].phase == "planned":
                    return outcome
        elif task.phase == "reported" and task.report is not None:
            turn.cancel_timers(at.path, task.attempt, ("timeout",))
            if not _unproven(plan, task, task.report.outcome, task.report.evidence, turn):
                return _judged(plan, task, task.report, at, turn)
        else:
            return None


def _of_subtree(plan: Task, task: TaskState, answer: PatternFields, at: At, turn: Turn) -> Outcome | None:
    """Bring the plan that the task answered with forward, or take it back past the deadline; return its outcome.

    It counts only while the task is `planned`: what isn't proven, or was taken back, has failed.
    """
    place = at.planned(answer)
    if task.overdue:
        if take_back([(answer, place)], at, turn, "deadline"):
            error = f"the plan that it answered with was not done within {plan.deadline_s:g} s of its first request"
            turn.decide("task.failed", at.path, reason="deadline", error=error)
        return None
    outcome = turn.advance(answer, place)
    if outcome is not None:
        turn.cancel_timers(at.path, task.attempt, ("deadline",))
        _unproven(plan, task, outcome.kind, outcome.evidence, turn)
    return outcome


def undo(plan: Task, at: At, turn: Turn) -> bool:
    """Undo the plan that the task answered with; what a task did itself only its step's `undo` can undo."""
    task = turn.run.tasks.get(at.path)
    if task is None or task.plan is None:
        return True
    place = at.planned(task.plan)
    if task.phase != "planned":
        # The task has ended around its plan: how far that came is only known by looking.
        turn.wind_up(task.plan, place)
    return turn.undo(task.plan, place)


def _may_start(plan: Task, at: At, task: TaskState | None, turn: Turn) -> bool:
    """Tell whether the next attempt may be requested now; asks for the approval that it needs."""
    if _is_undo(at.path):
        return True  # whatever happens, what was done must be undone
    if turn.stopping:
        return False
    if plan.approval and not (task and task.approved):
        turn.decide("task.parked", at.path, what="parked/approval", agent=plan.agent, reason="approval")
        turn.ask(at.path, "approval", plan.approval, _APPROVAL)
        return False
    return turn.may_start(at.path, at.depth)


def _request(plan: Task, at: At, task: TaskState | None, turn: Turn) -> bool:
    """Request the next attempt; False once it is out, True where the task was decided without one."""
    if len(at.path) > PATH_LENGTH_MAX:
        turn.decide("task.failed", at.path, agent=plan.agent, reason="plan", error="plans nest too deep in each other")
        return True
    compensates = _is_undo(at.path)
    wanted = at.given if plan.input is None and at.given is not msgspec.UNSET else plan.input
    value = wanted if wanted is at.given else resolve(wanted, lambda one: turn.look_up(one, at), lenient=compensates)
    if isinstance(value, Absent):
        kind = "nothing_to_do" if value.idle else "failed"
        detail = {"reason": value.problem} if value.idle else {"reason": "reference", "error": value.problem}
        turn.decide(f"task.{kind}", at.path, agent=plan.agent, **detail)
        return True
    attempt = task.attempt + 1 if task else 1
    data: dict[str, Any] = {
        "agent": plan.agent,
        "input": value,
        "requires": list(plan.requires),
        "attempt": attempt,
        "timeout_s": plan.timeout_s,
        "effect": plan.effect,
        "undo": compensates,
        "level": at.depth,
    }
    if plan.name:
        data["name"] = plan.name
    if plan.undo is not None:
        data["compensation"] = msgspec.to_builtins(plan.undo)
    if task and task.answers:
        data["answers"] = list(task.answers)
    if task and task.resolved:
        data["resolved"] = list(task.resolved)
    if turn.run.lineage:
        data["fork"] = _origin(turn.run, at.path, task)
    if task:
        turn.cancel_timers(at.path, task.attempt, ("human",))
    turn.decide("task.requested", at.path, queue=plan.agent, **data)
    if plan.timeout_s is not None:
        turn.set_timer("timeout", at.path, turn.fact.time + int(plan.timeout_s * NS), attempt)
    if plan.deadline_s is not None and attempt == 1 and f"deadline/{at.path}/0" not in turn.run.timers:
        turn.set_timer("deadline", at.path, turn.fact.time + int(plan.deadline_s * NS))
    return False


def _origin(run: Run, path: str, task: TaskState | None) -> dict[str, Any]:
    """Say where a task of a fork comes from: whose record its agent goes on from, and which layers are done for real.

    `carries` are the requests that it was begun with before the cut, `inherited` tells whether there were any.
    """
    return {
        "lineage": msgspec.to_builtins(run.lineage),
        "live": list(run.live),
        "carries": list(task.carried) if task is not None and task.moved else [],
        "inherited": path in run.inherited,
    }


def _unproven(plan: Task, task: TaskState, outcome: str, evidence: Sequence[dict[str, Any]], turn: Turn) -> bool:
    """Fail a success that lacks a kind of evidence which the plan demands (a human's word needs none)."""
    if outcome != "succeeded" or not plan.requires or task.final:
        return False
    lacking = sorted(set(plan.requires) - {str(item.get("kind")) for item in evidence})
    if lacking:
        error = f"succeeded without the evidence that is demanded: {', '.join(lacking)}"
        turn.decide("task.failed", task.path, reason="evidence", error=error, evidence=list(evidence))
    return bool(lacking)


def _refused(at: At, turn: Turn) -> bool:
    """Fail a task that must not answer with a plan."""
    problem = ""
    if _is_undo(at.path):
        problem = "a compensation can't answer with a plan"
    elif at.depth >= turn.run.depth_max:
        problem = f"tasks of this run may answer with plans at most {turn.run.depth_max} deep"
    if problem:
        turn.decide("task.failed", at.path, reason="plan", error=problem)
    return bool(problem)


def _judged(plan: Task, task: TaskState, report: Report, at: At, turn: Turn) -> Outcome | None:
    """Tell what a report means: the outcome, or None where a human or another attempt follows."""
    if report.outcome == "needs_human":
        return _ask(plan, at, task, report, turn)
    if report.outcome == "failed" and _tries_again(plan, task, report, turn):
        return None
    turn.cancel_timers(task.path, task.attempt, _TIMERS)
    return Outcome(
        report.outcome,
        task.path,
        report.value,
        report.evidence,
        report.reason,
        report.error,
        report.message,
        report.position,
    )


def _ask(plan: Task, at: At, task: TaskState, report: Report, turn: Turn) -> Outcome | None:
    """Ask a human, and go on without one where the question's time is over."""
    if task.reason == "human_expired":
        given = {} if report.default is msgspec.UNSET else {"default": report.default}
        turn.decide("human.expired", task.path, what=f"human.expired/{task.attempt}", **given)
        return advance(plan, at, turn)
    takes = report.choices if not report.effect else STUCK
    if report.expires_s is None or report.effect:
        turn.ask(task.path, report.reason, report.question, takes)
    elif task.asking is None:
        # In a fork it was asked before, and has the time that was left.
        known = turn.run.timers.get(f"human/{task.path}/{task.attempt}")
        expires = known.due if known is not None else turn.fact.time + int(report.expires_s * NS)
        given = {} if report.default is msgspec.UNSET else {"default": report.default}
        turn.ask(task.path, report.reason, report.question, takes, expires=expires, **given)
        if known is None:
            turn.set_timer("human", task.path, expires, task.attempt)
    else:
        turn.ask(task.path, report.reason, report.question, takes)
    return None


def _tries_again(plan: Task, task: TaskState, report: Report, turn: Turn) -> bool:
    """Set the timer of the next attempt, if there is to be one."""
    compensates = _is_undo(task.path)
    retry = plan.retry or (COMPENSATION_RETRY if compensates else ONCE)
    over = (
        task.final
        or task.overdue
        or task.plan is not None
        or task.failures >= retry.attempts_max
        or report.reason in (*retry.unless, "human_expired", "recorded_miss")
    )
    if over or not task.request or (turn.stopping and not compensates):
        return False
    due = turn.fact.time + int(retry.delay_s(task.failures) * NS)
    turn.set_timer("retry", task.path, due, task.attempt)
    return True


def _is_undo(path: str) -> bool:
    return path.endswith(".undo")


register_decider(Task, VERSION, advance, undo)
