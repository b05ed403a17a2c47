"""What each decision does to the state of its run, whatever version of a decider recorded it. Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from immutables import Map
from msgspec.structs import replace

from ..eventstore.large_values import is_reference
from .run_state import (
    ENDS,
    RUN_TIMERS,
    TASK_TIMERS,
    Asking,
    Fact,
    Joined,
    Report,
    Run,
    Stop,
    TaskState,
    Timer,
    report_of,
    text,
    with_report,
    with_task,
)


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
        resolved=before.resolved if before else (),
        effect=text(data.get("effect")),
        undo=bool(data.get("undo")),
        doubt=before.doubt if before else False,
        overdue=before.overdue if before else False,
        approved=before.approved if before else False,
        level=level if isinstance(level := data.get("level"), int) else 0,
        carried=tuple(data["fork"].get("carries", ())) if "fork" in data else (),
    )
    run = replace(run, spent=replace(run.spent, tasks=run.spent.tasks + 1))
    if run.status == "resting":
        # Somebody works again although nobody has answered: a resume, a timer or the end of the run has brought it on.
        run = replace(run, status="open", resting_on=(), outcome="", end={})
    return with_task(run, task)


def _task_cancelled(run: Run, fact: Fact) -> Run:
    task = run.tasks.get(fact.path)
    if task is None:
        return run
    # What is withdrawn in the turn that requests it has never been with the bus.
    out = task.phase in ("requested", "expired") and fact.data.get("unsent") is not True
    asked = task.report is not None and task.report.outcome == "needs_human"
    reason = text(fact.data.get("reason"))
    report = Report("failed", reason=reason, in_doubt=out or asked, known_at=fact.position)
    return with_report(run, replace(task, asking=None), report, "stopping" if out else "reported")


def _task_judged(run: Run, fact: Fact) -> Run:
    """The decider itself says how a task ended: unmet `requires`, or a reference without a value."""
    task = run.tasks.get(fact.path) or TaskState(fact.path, agent=text(fact.data.get("agent")))
    report = report_of(fact)
    if task.report is not None and task.report.outcome == "succeeded":
        # It did its work, only not as demanded: what it did still has to be undone.
        report = replace(report, value=task.report.value, in_doubt=True)
    return with_report(run, task, report)


def _task_parked(run: Run, fact: Fact) -> Run:
    # One that waits for approval is parked before it was ever requested.
    agent = text(fact.data.get("agent"))
    task = run.tasks.get(fact.path) or TaskState(fact.path, agent=agent, undo=fact.path.endswith(".undo"))
    return with_task(run, replace(task, phase="parked", reason=text(fact.data.get("reason"))))


def _human_requested(run: Run, fact: Fact) -> Run:
    task, data = run.tasks.get(fact.path), fact.data
    if task is None:
        return run
    asking = Asking(
        fact.id,
        text(data.get("reason")),
        data.get("question"),
        tuple(data.get("takes") or ()),
        data.get("since") or 0,
        data.get("expires") or 0,
        data.get("default", msgspec.UNSET),
    )
    return with_task(run, replace(task, asking=asking))


def _human_expired(run: Run, fact: Fact) -> Run:
    """The decider says what follows where no human answered in time: the default counts, or the task has failed."""
    task = run.tasks.get(fact.path)
    if task is None:
        return run
    task = replace(task, asking=None)
    if "default" in fact.data:
        question = task.report.question if task.report else None
        said = {"question": question, "answer": fact.data["default"], "expired": True}
        return with_task(run, replace(task, phase="ready", reason="", failures=0, answers=(*task.answers, said)))
    report = Report("failed", reason="human_expired", in_doubt=task.doubt)
    return with_task(run, replace(task, phase="reported", reason="", report=report))


def _task_joined(run: Run, fact: Fact) -> Run:
    counted, unneeded = fact.data["counted"], fact.data["unneeded"]
    if is_reference(counted) or is_reference(unneeded):
        return run  # it can't be read any more, and is decided again
    verdict = Joined(tuple(counted), tuple(unneeded))
    return replace(run, joined=run.joined.set(fact.path, verdict))


def _task_compensated(run: Run, fact: Fact) -> Run:
    return replace(run, undone=run.undone.set(fact.path, None))


def _timer_set(run: Run, fact: Fact) -> Run:
    data = fact.data
    timer = Timer(data["timer"], data["kind"], data["due"], fact.path, data.get("attempt", 0), fact.id)
    left = run.left.delete(timer.name) if timer.name in run.left else run.left
    run = replace(run, timers=run.timers.set(timer.name, timer), left=left)
    if timer.kind not in TASK_TIMERS and timer.kind not in RUN_TIMERS:
        return replace(run, alarms=run.alarms.set(timer.name, False))
    task = run.tasks.get(fact.path)
    if timer.kind == "retry" and task is not None:
        run = with_task(run, replace(task, phase="backoff"))
    return run


def _timer_cancelled(run: Run, fact: Fact) -> Run:
    name = text(fact.data.get("timer"))
    return replace(run, timers=run.timers.delete(name)) if name in run.timers else run


def _rested(run: Run, fact: Fact) -> Run:
    questions = fact.data.get("questions", ())
    paths = () if is_reference(questions) else tuple(question["path"] for question in questions)
    return replace(run, status="resting", resting_on=paths, outcome="needs_human", end=fact.data)


def _resumed(run: Run, fact: Fact) -> Run:
    if "answered" not in fact.data:
        return replace(run, paused=False)
    return replace(run, status="open", resting_on=(), outcome="", end={})


def _paused(run: Run, fact: Fact) -> Run:
    return replace(run, paused=True)


def _stopping(run: Run, fact: Fact) -> Run:
    return run if run.stop else replace(run, stop=Stop("budget", text(fact.data.get("budget"))))


def _rolling_back(run: Run, fact: Fact) -> Run:
    return run if run.rollback is None else replace(run, rollback=replace(run.rollback, begun=fact.position))


def _restoring(run: Run, fact: Fact) -> Run:
    if run.rollback is None:
        return run
    return replace(run, rollback=replace(run.rollback, restoring=fact.position, files=None))


def _ended(run: Run, fact: Fact) -> Run:
    return replace(run, status="ended", outcome=fact.type.partition(".")[2], end=fact.data, timers=Map(), resting_on=())


DECIDED: dict[str, Callable[[Run, Fact], Run]] = {
    "run.started": _started,
    "run.needs_human": _rested,
    "run.resumed": _resumed,
    "run.paused": _paused,
    "run.stopping": _stopping,
    "run.rolling_back": _rolling_back,
    "run.restoring": _restoring,
    "human.requested": _human_requested,
    "human.expired": _human_expired,
    "task.requested": _task_requested,
    "task.cancelled": _task_cancelled,
    "task.failed": _task_judged,
    "task.nothing_to_do": _task_judged,
    "task.parked": _task_parked,
    "task.joined": _task_joined,
    "task.compensated": _task_compensated,
    "timer.set": _timer_set,
    "timer.cancelled": _timer_cancelled,
    **{f"run.{end}": _ended for end in ENDS},
}
