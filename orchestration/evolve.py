"""What each event of a run does to its state: `evolve`.

Owns the meaning of every event of a run for orchestration. `run_fold` brings events into the order in which they
count; deciders only read the state. The orchestrator, `state --at`, replay and results share this one fold, so it
reads what every version of a decider has written. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from .errors import PlanInvalid
from .plan import PatternFields, plan_from
from .run_state import ENDS, Fact, Phase, Report, Run, Stop, TaskState, Timer, is_waiting, report_of, text


def evolve(run: Run, fact: Fact) -> Run:
    """Return the state after a fact; facts that mean nothing here only move `last` on."""
    if fact.position > run.last:
        run = replace(run, last=fact.position, last_ns=max(fact.time, run.last_ns))
    step = (_DECIDED if fact.decided else _INPUTS).get(fact.type)
    return run if step is None else step(run, fact)


# Inputs: what clients, agents, the bus and the clock said.


def _requested(run: Run, fact: Fact) -> Run:
    if run.status != "unknown":
        return run
    data = fact.data
    try:
        plan, problem = _read_plan(msgspec.json.encode(data.get("plan")))
    except RecursionError:
        plan, problem = None, "the plan nests too deep to be read"
    timeout_s = data.get("timeout_s")
    return replace(
        run,
        status="requested",
        first=fact.position,
        requested_ns=fact.time,
        last_ns=fact.time,
        trace=fact.trace,
        plan=plan,
        plan_problem=problem,
        caller=data.get("caller"),
        input=data.get("input"),
        labels=data.get("labels"),
        budget=data.get("budget"),
        timeout_s=float(timeout_s) if isinstance(timeout_s, int | float) and 0 <= timeout_s < 1e9 else None,
    )


@lru_cache(maxsize=64)
def _read_plan(text: bytes) -> tuple[PatternFields | None, str]:
    """Read and check a plan, or say what is wrong with it; many runs have the same one, so the last are kept."""
    try:
        return plan_from(msgspec.json.decode(text)), ""
    except PlanInvalid as error:
        return None, error.message()


def _cancel_requested(run: Run, fact: Fact) -> Run:
    if run.stop is not None or run.status in ("unknown", "ended"):
        return run
    return replace(run, stop=Stop("cancelled", text(fact.data.get("reason"))))


def _reported(run: Run, fact: Fact) -> Run:
    """Take a holder's outcome, if it answers the attempt that is open.

    One that is being stopped counts too: it was settled before the withdrawal was committed.
    """
    task = _open_task(run, fact)
    return run if task is None else _with_report(run, task, report_of(fact))


def _planned(run: Run, fact: Fact) -> Run:
    task = _open_task(run, fact)
    if task is None:
        return run
    try:
        plan = plan_from(fact.data.get("plan"))
    except PlanInvalid as problem:
        return _with_report(run, task, Report("failed", reason="plan", error=problem.message()))
    return _with_task(run, replace(task, phase="planned", plan=plan))


def _delivery_parked(run: Run, fact: Fact) -> Run:
    """The bus gave up handing a task out, as each of its holders died or failed to settle it."""
    task = _task_of_delivery(run, fact)
    if task is None:
        return run
    return _with_report(run, task, Report("failed", reason="parked", error=fact.data.get("error"), in_doubt=True))


def _delivery_withdrawn(run: Run, fact: Fact) -> Run:
    """Nobody works on a withdrawn request any more."""
    task = _task_of_delivery(run, fact)
    if task is None or task.phase != "stopping":
        return run
    doubt = task.doubt or fact.data.get("delivered") is not False
    return _with_task(run, replace(task, phase="reported", doubt=doubt))


def _timer_fired(run: Run, fact: Fact) -> Run:
    timer = run.timers.get(text(fact.data.get("timer")))
    if timer is None:
        return run
    run = replace(run, timers={name: other for name, other in run.timers.items() if name != timer.name})
    if timer.kind == "run":
        return run if run.stop else replace(run, stop=Stop("timeout"))
    task = run.tasks.get(timer.path)
    if task is None:
        return run
    if timer.kind == "retry":
        return _with_task(run, replace(task, phase="ready")) if task.phase == "backoff" else run
    if timer.kind == "release":
        return _with_task(run, replace(task, phase="reported", doubt=True)) if task.phase == "stopping" else run
    overdue = task.overdue or timer.kind == "deadline"
    if task.phase == "requested" and (overdue or timer.attempt == task.attempt):
        return _with_task(run, replace(task, phase="expired", reason=timer.kind, overdue=overdue))
    # Past its deadline a task that waits for its next try keeps the failure that it has.
    phase: Phase = "reported" if overdue and task.phase in ("backoff", "ready") else task.phase
    return _with_task(run, replace(task, phase=phase, overdue=overdue))


def _answered(run: Run, fact: Fact) -> Run:
    """A human's word: an answer to an agent's question, or what to do with a parked task: retry, done, give_up."""
    waiting = [task for task in run.tasks.values() if is_waiting(task) and fact.path in ("", task.path)]
    if len(waiting) != 1:
        return run
    task = waiting[0]
    answer = fact.data.get("answer")
    if task.phase != "parked":
        task = replace(task, phase="ready", failures=0, answers=(*task.answers, answer))
    elif answer == "retry":
        task = replace(task, phase="ready", failures=0)
    elif answer == "done":
        report = Report("succeeded", value=fact.data.get("value"), message="done by a human")
        task = replace(task, phase="reported", report=report, final=True)
    elif answer == "give_up":
        report = replace(task.report or Report("failed"), outcome="failed", in_doubt=False)
        task = replace(task, phase="reported", report=report, final=True, doubt=False)
    else:
        return run
    return replace(_with_task(run, task), status="open", resting_on=())


# Decisions: what deciders recorded, whatever their version.


def _started(run: Run, fact: Fact) -> Run:
    return replace(run, status="open")


def _task_requested(run: Run, fact: Fact) -> Run:
    data, before = fact.data, run.tasks.get(fact.path)
    task = TaskState(
        path=fact.path,
        agent=text(data.get("agent")),
        attempt=data.get("attempt", 1),
        failures=before.failures if before else 0,
        request=fact.id,
        answers=before.answers if before else (),
        effect=text(data.get("effect")),
        undo=bool(data.get("undo")),
        doubt=before.doubt if before else False,
        overdue=before.overdue if before else False,
    )
    return _with_task(run, task)


def _task_cancelled(run: Run, fact: Fact) -> Run:
    task = run.tasks.get(fact.path)
    if task is None:
        return run
    out = task.phase in ("requested", "expired")
    asked = task.report is not None and task.report.outcome == "needs_human"
    report = Report("failed", reason=text(fact.data.get("reason")), in_doubt=out or asked)
    return _with_report(run, task, report, "stopping" if out else "reported")


def _task_judged(run: Run, fact: Fact) -> Run:
    """The decider itself says how a task ended: unmet `requires`, or a reference without a value."""
    task = run.tasks.get(fact.path) or TaskState(fact.path, agent=text(fact.data.get("agent")))
    report = report_of(fact)
    if task.report is not None and task.report.outcome == "succeeded":
        # It did its work, only not as demanded: what it did still has to be undone.
        report = replace(report, value=task.report.value, in_doubt=True)
    return _with_report(run, task, report)


def _task_parked(run: Run, fact: Fact) -> Run:
    task = run.tasks.get(fact.path)
    return run if task is None else _with_task(run, replace(task, phase="parked", reason=text(fact.data.get("reason"))))


def _task_compensated(run: Run, fact: Fact) -> Run:
    return replace(run, undone=run.undone | {fact.path})


def _timer_set(run: Run, fact: Fact) -> Run:
    data = fact.data
    timer = Timer(data["timer"], data["kind"], data["due"], fact.path, data.get("attempt", 0), fact.id)
    run = replace(run, timers={**run.timers, timer.name: timer})
    task = run.tasks.get(fact.path)
    if timer.kind == "retry" and task is not None:
        run = _with_task(run, replace(task, phase="backoff"))
    return run


def _timer_cancelled(run: Run, fact: Fact) -> Run:
    return replace(run, timers={name: timer for name, timer in run.timers.items() if name != fact.data.get("timer")})


def _rested(run: Run, fact: Fact) -> Run:
    paths = tuple(question["path"] for question in fact.data.get("questions", ()))
    return replace(run, status="resting", resting_on=paths, outcome="needs_human", end=fact.data)


def _resumed(run: Run, fact: Fact) -> Run:
    return replace(run, status="open", resting_on=(), outcome="", end={})


def _ended(run: Run, fact: Fact) -> Run:
    return replace(run, status="ended", outcome=fact.type.partition(".")[2], end=fact.data, timers={}, resting_on=())


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
    for task in run.tasks.values():
        if task.request == fact.cause and task.phase in ("requested", "stopping"):
            return task
    return None


def _with_report(run: Run, task: TaskState, report: Report, phase: Phase = "reported") -> Run:
    failures = task.failures + (report.outcome == "failed")
    # How far a task came that is being stopped will be known when it is released.
    doubt = task.doubt or (report.in_doubt and phase != "stopping")
    return _with_task(run, replace(task, phase=phase, report=report, failures=failures, doubt=doubt))


def _with_task(run: Run, task: TaskState) -> Run:
    return replace(run, tasks={**run.tasks, task.path: task})


_INPUTS: dict[str, Callable[[Run, Fact], Run]] = {
    "run.requested": _requested,
    "run.cancel_requested": _cancel_requested,
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
_DECIDED: dict[str, Callable[[Run, Fact], Run]] = {
    "run.started": _started,
    "run.needs_human": _rested,
    "run.resumed": _resumed,
    "task.requested": _task_requested,
    "task.cancelled": _task_cancelled,
    "task.failed": _task_judged,
    "task.nothing_to_do": _task_judged,
    "task.parked": _task_parked,
    "task.compensated": _task_compensated,
    "timer.set": _timer_set,
    "timer.cancelled": _timer_cancelled,
    **{f"run.{end}": _ended for end in ENDS},
}
#: The types of events that a decider is called for; all else passes it by.
INPUT_TYPES = frozenset(_INPUTS)
