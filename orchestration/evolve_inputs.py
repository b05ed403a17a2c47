"""What each input of a run does to its state: what clients, agents, the bus and the clock have said. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from ..eventstore.large_values import is_reference
from .budget import Budget, budget_from
from .errors import PlanInvalid
from .forked import evolve_forked
from .levels import LEVELS
from .plan import PatternFields, plan_from
from .run_errors import BudgetInvalid
from .run_state import (
    TASK_TIMERS,
    Fact,
    Phase,
    Report,
    Rollback,
    Run,
    Stop,
    TaskState,
    Timer,
    is_waiting,
    number,
    report_of,
    text,
    with_report,
    with_task,
)
from .values import unread


def _requested(run: Run, fact: Fact) -> Run:
    if run.status != "unknown":
        return run
    data = fact.data
    try:
        written = msgspec.json.encode(data.get("plan"))
        plan, problem = (_known_plan if len(written) <= KNOWN_SIZE_MAX else _read_plan)(written)
        if is_reference(data.get("plan")):
            problem = f"the plan {unread(data['plan'])}"
    except RecursionError:
        plan, problem = None, "the plan nests too deep to be read"
    depth_max = number(data.get("depth_max"))
    budget, overdrawn = _budget(data.get("budget"))
    return replace(
        run,
        status="requested",
        first=fact.position,
        requested_ns=fact.time,
        last_ns=fact.time,
        trace=fact.trace,
        plan=plan,
        plan_problem=problem or overdrawn,
        caller=data.get("caller"),
        input=data.get("input"),
        labels=data.get("labels"),
        budget=budget,
        timeout_s=number(data.get("timeout_s")),
        levels=_levels(data.get("levels")),
        depth_max=run.depth_max if depth_max is None else int(depth_max),
    )


def _budget(given: object) -> tuple[Budget, str]:
    """Read a budget, or say what is wrong with it: nothing is spent under bounds that nobody understands."""
    try:
        return budget_from(given or {}), ""
    except BudgetInvalid as error:
        return Budget(), error.message()


def _levels(given: object) -> tuple[int, ...]:
    """Return the limit of each level, none where no limits are wanted; a wrong one counts as not named."""
    if not isinstance(given, dict) or not given:
        return ()
    return tuple(max(1, int(number(given.get(name)) or default)) for name, default in LEVELS.items())


def _read_plan(text: bytes) -> tuple[PatternFields | None, str]:
    """Read and check a plan, or say what is wrong with it."""
    try:
        return plan_from(msgspec.json.decode(text)), ""
    except PlanInvalid as error:
        return None, error.message()


#: Many runs have the same plan, so the last ones are kept: those that are small.
_known_plan = lru_cache(maxsize=64)(_read_plan)
KNOWN_SIZE_MAX = 64 * 1024


def _cancel_requested(run: Run, fact: Fact) -> Run:
    if run.stop is not None or run.status in ("unknown", "ended"):
        return run
    return replace(run, stop=Stop("cancelled", text(fact.data.get("reason"))))


def _rollback_requested(run: Run, fact: Fact) -> Run:
    """Let a run be taken back, also one that has ended; while that goes on nothing else is asked of it.

    A position outside of the run counts as the nearest one in it. Once it is over, asking for the same changes nothing,
    unless it is to be done `again`.
    """
    if run.status == "unknown" or run.plan is None or run.first >= fact.position:
        return run
    given = fact.data.get("to")
    to = given if isinstance(given, int) and not isinstance(given, bool) else run.first
    to = min(max(to, run.first), fact.position - 1)
    if run.rollback is not None and (run.status != "ended" or _is_same(run.rollback, to, fact)):
        return run
    reason = text(fact.data.get("reason"))
    asked = replace(run, stop=Stop("rolled_back", reason), rollback=Rollback(to, reason))
    return asked if run.status == "requested" else replace(asked, status="open", resting_on=(), outcome="", end={})


def _is_same(rollback: Rollback, to: int, fact: Fact) -> bool:
    return to == rollback.to and fact.data.get("again") is not True


def _restored(run: Run, fact: Fact) -> Run:
    """Take what came of restoring files, if it answers the last order."""
    rollback = run.rollback
    if rollback is None or rollback.files is not None or fact.data.get("order") != rollback.restoring:
        return run
    return replace(run, rollback=replace(rollback, files=fact.data))


def _pause_requested(run: Run, fact: Fact) -> Run:
    return run if run.status in ("unknown", "ended") else replace(run, pause_asked=True)


def _resume_requested(run: Run, fact: Fact) -> Run:
    return run if run.status in ("unknown", "ended") else replace(run, pause_asked=False)


def _spent(run: Run, fact: Fact) -> Run:
    """Count what a model call used."""
    usage = fact.data.get("usage")
    if fact.data.get("kind") != "model" or not isinstance(usage, dict):
        return run
    tokens = (number(usage.get("tokens_in")) or 0) + (number(usage.get("tokens_out")) or 0)
    usd = number(usage.get("usd")) or 0.0
    spent = replace(run.spent, tokens=run.spent.tokens + int(tokens), usd=run.spent.usd + usd)
    return replace(run, spent=spent)


def _reported(run: Run, fact: Fact) -> Run:
    """Take a holder's outcome, if it answers the attempt that is open.

    One that is being stopped counts too: it was settled before the withdrawal was committed. A question is not asked
    any more then; how far the task has come, nobody knows.
    """
    task = _open_task(run, fact)
    if task is None:
        return run
    report = report_of(fact)
    if report.outcome == "needs_human" and task.phase == "stopping":
        return with_task(run, replace(task, phase="reported", doubt=True))
    return with_report(run, task, report)


def _planned(run: Run, fact: Fact) -> Run:
    task = _open_task(run, fact)
    if task is None:
        return run
    try:
        plan = plan_from(fact.data.get("plan"))
    except PlanInvalid as problem:
        return with_report(run, task, Report("failed", reason="plan", error=problem.message()))
    return with_task(run, replace(task, phase="planned", plan=plan))


def _delivery_parked(run: Run, fact: Fact) -> Run:
    """The bus gave up handing a task out, as each of its holders died or failed to settle it."""
    task = _task_of_delivery(run, fact)
    if task is None:
        return run
    error = fact.data.get("error")
    report = Report("failed", reason="parked", error=error, in_doubt=True, known_at=fact.position)
    return with_report(run, task, report)


def _delivery_withdrawn(run: Run, fact: Fact) -> Run:
    """Nobody works on a withdrawn request any more."""
    task = _task_of_delivery(run, fact)
    if task is None or task.phase != "stopping":
        return run
    doubt = task.doubt or fact.data.get("delivered") is not False
    return with_task(run, replace(task, phase="reported", doubt=doubt))


def _timer_fired(run: Run, fact: Fact) -> Run:
    timer = run.timers.get(text(fact.data.get("timer")))
    if timer is None:
        return run
    run = replace(run, timers=run.timers.delete(timer.name))
    if timer.kind in _STOPS:
        return run if run.stop else replace(run, stop=_STOPS[timer.kind])
    task = run.tasks.get(timer.path)
    if timer.kind not in TASK_TIMERS:
        return replace(run, alarms=run.alarms.set(timer.name, True))
    if task is None:
        return run
    if timer.kind == "retry":
        return with_task(run, replace(task, phase="ready")) if task.phase == "backoff" else run
    if timer.kind == "release":
        return with_task(run, replace(task, phase="reported", doubt=True)) if task.phase == "stopping" else run
    if timer.kind == "human":
        return _unanswered(run, task, timer)
    overdue = task.overdue or timer.kind == "deadline"
    if task.phase == "requested" and (overdue or timer.attempt == task.attempt):
        return with_task(run, replace(task, phase="expired", reason=timer.kind, overdue=overdue))
    # Past its deadline a task that waits for its next try keeps the failure that it has.
    phase: Phase = "reported" if overdue and task.phase in ("backoff", "ready") else task.phase
    return with_task(run, replace(task, phase=phase, overdue=overdue))


_STOPS = {"run": Stop("timeout"), "budget": Stop("budget", "wall_s")}


def _unanswered(run: Run, task: TaskState, timer: Timer) -> Run:
    """Nobody has answered in time."""
    if not is_waiting(task) or timer.attempt != task.attempt:
        return run
    run = with_task(run, replace(task, reason="human_expired"))
    return replace(run, status="open", resting_on=()) if run.status == "resting" else run


def _answered(run: Run, fact: Fact) -> Run:
    """A human's word: an answer to an agent's question, or what to do with parked work.

    `retry`, `done`, `give_up` for what is stuck; `approve` and `reject` let a task go on or not, and stand for `retry`
    and `give_up` where something is stuck.
    """
    waiting = [path for path in run.open if is_waiting(run.tasks[path]) and fact.path in ("", path)]
    if len(waiting) != 1:
        return run
    before = run.tasks[waiting[0]]
    meant = text(fact.data.get("question"))
    if meant and (before.asking is None or not before.asking.id.hex().startswith(meant)):
        return run  # what it answers was asked before, and isn't asked any more
    task = _said(before, fact) if before.phase != "parked" else _ruled(before, fact)
    if task is before:
        return run
    return replace(with_task(run, replace(task, asking=None)), status="open", resting_on=())


def _said(task: TaskState, fact: Fact) -> TaskState:
    """Take an answer to an agent's question: its next attempt gets it."""
    answer, report = fact.data.get("answer"), task.report
    if report is not None and report.reason == "in_doubt" and report.effect:
        return _resolved(task, report, answer, fact)
    if report is not None and report.choices and answer not in report.choices:
        return task
    said = {"question": report.question if report else None, "answer": answer}
    if note := text(fact.data.get("note")):
        said["note"] = note
    return replace(task, phase="ready", failures=0, answers=(*task.answers, said))


def _resolved(task: TaskState, report: Report, answer: object, fact: Fact) -> TaskState:
    """Take what a human knows of an effect whose end is in doubt: it is done, may be repeated, or is given up."""
    if answer == "give_up":
        return replace(task, report=replace(report, outcome="failed"), final=True, doubt=True)
    if answer not in ("done", "retry"):
        return task
    known: dict[str, Any] = {"effect": report.effect, "answer": answer, "until": report.position}
    if answer == "done":
        known["value"] = fact.data.get("value")
    return replace(task, phase="ready", failures=0, resolved=(*task.resolved, known))


def _ruled(task: TaskState, fact: Fact) -> TaskState:
    """Take what a human wants to be done with parked work."""
    answer = fact.data.get("answer")
    approval = task.reason == "approval"
    if answer == "retry" or answer == "approve":
        if task.plan is not None:
            return task
        return replace(task, phase="ready", failures=0, approved=task.approved or approval)
    if answer == "done":
        report = Report("succeeded", value=fact.data.get("value"), message="done by a human", position=fact.position)
        return replace(task, phase="reported", report=report, final=True)
    if answer == "give_up" or answer == "reject":
        rejected = Report("failed", reason="rejected", error=fact.data.get("note")) if approval else None
        report = rejected or replace(task.report or Report("failed"), outcome="failed", in_doubt=False)
        return replace(task, phase="reported", report=report, final=True, doubt=False)
    return task


def _open_task(run: Run, fact: Fact) -> TaskState | None:
    """Return the task whose open attempt a holder's event answers."""
    task = run.tasks.get(fact.path)
    if task is None or task.phase not in ("requested", "stopping") or (fact.cause and fact.cause != task.request):
        return None
    return task


def _task_of_delivery(run: Run, fact: Fact) -> TaskState | None:
    """Return the task whose open attempt the bus speaks of: queues hand out requests, groups may follow them too."""
    if fact.data.get("queue") is False:
        return None
    path = run.out.get(fact.cause)
    task = run.tasks[path] if path is not None else None
    return task if task is not None and task.phase in ("requested", "stopping") else None


INPUTS: dict[str, Callable[[Run, Fact], Run]] = {
    "run.requested": _requested,
    "run.forked": evolve_forked,
    "run.cancel_requested": _cancel_requested,
    "run.rollback_requested": _rollback_requested,
    "run.restored": _restored,
    "run.pause_requested": _pause_requested,
    "run.resume_requested": _resume_requested,
    "effect.completed": _spent,
    "human.answered": _answered,
    "timer.fired": _timer_fired,
    "delivery.parked": _delivery_parked,
    "delivery.withdrawn": _delivery_withdrawn,
    "task.planned": _planned,
    "task.succeeded": _reported,
    "task.nothing_to_do": _reported,
    "task.failed": _reported,
    "task.needs_human": _reported,
}
