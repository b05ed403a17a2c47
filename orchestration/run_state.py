"""The state of one run, as deciders read it and `evolve` makes it out of events.

Owns the shapes, and how an event is read into a Fact; what each fact does to the state stands in `evolve`. Reading
never fails on what a client or an agent wrote: what has a wrong shape counts as absent. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ..eventstore.event import Event
from .plan import PatternFields

#: The ends of a run. `needs_human` is a rest and not among them.
ENDS = frozenset({"succeeded", "nothing_to_do", "failed", "cancelled", "rolled_back"})


class Fact(msgspec.Struct, frozen=True):
    """An event of a run as `evolve` needs it: its payload decoded once, and the path of the task that it is about."""

    type: str
    data: dict[str, Any]
    path: str = ""
    id: bytes = b""
    position: int = 0
    time: int = 0
    cause: bytes = b""
    trace: str = ""
    decided: bool = False


class Report(msgspec.Struct, frozen=True):
    """What became of one attempt at a task. `in_doubt`: it was stopped, and nobody knows how far it came."""

    outcome: Literal["succeeded", "nothing_to_do", "failed", "needs_human"]
    value: Any = None
    evidence: tuple[dict[str, Any], ...] = ()
    reason: str = ""
    error: Any = None
    message: str = ""
    question: Any = None
    in_doubt: bool = False


Phase = Literal["requested", "expired", "stopping", "reported", "planned", "backoff", "ready", "parked"]


class TaskState(msgspec.Struct, frozen=True):
    """One task of a run.

    Phases: requested → reported | planned | expired → stopping (withdrawn, its holder may still work) → reported;
    then backoff → ready → requested for another attempt, or parked for a human.
    `failures` counts failed attempts since the first one or a human's last word; `doubt`: an attempt was stopped, and
    nobody knows how far it came; `overdue`: its deadline has passed; `final`: a human has said how it ended.
    """

    path: str
    agent: str = ""
    phase: Phase = "requested"
    attempt: int = 0
    failures: int = 0
    request: bytes = b""
    report: Report | None = None
    plan: PatternFields | None = None
    answers: tuple[Any, ...] = ()
    reason: str = ""
    effect: str = "idempotent"
    undo: bool = False
    doubt: bool = False
    overdue: bool = False
    final: bool = False


class Timer(msgspec.Struct, frozen=True):
    """A timer that is set: `due` in wall-clock nanoseconds, `kind` one of timeout, deadline, retry, release, run."""

    name: str
    kind: str
    due: int
    path: str = ""
    attempt: int = 0
    cause: bytes = b""


class Stop(msgspec.Struct, frozen=True):
    """Why a run is being brought to its end from outside."""

    kind: Literal["cancelled", "timeout"]
    reason: str = ""


class Run(msgspec.Struct, frozen=True):
    """Everything that orchestration knows of a run; `first` and `last` are positions, `version` its stream's."""

    id: str
    first: int = 0
    last: int = 0
    version: int = 0
    seen: int = 0
    requested_ns: int = 0
    last_ns: int = 0
    trace: str = ""
    status: Literal["unknown", "requested", "open", "resting", "ended"] = "unknown"
    caller: Any = None
    plan: PatternFields | None = None
    plan_problem: str = ""
    input: Any = None
    labels: Any = None
    budget: Any = None
    timeout_s: float | None = None
    tasks: Mapping[str, TaskState] = {}
    timers: Mapping[str, Timer] = {}
    undone: frozenset[str] = frozenset()
    stop: Stop | None = None
    resting_on: tuple[str, ...] = ()
    outcome: str = ""
    end: Mapping[str, Any] = {}


def fact_of(event: Event) -> Fact:
    """Decode an event once; a payload that is no object, or was forgotten, counts as an empty one."""
    try:
        data = event.data
    except (msgspec.DecodeError, RecursionError):
        data = None
    if not isinstance(data, dict):
        data = {}
    decided = event.stream.startswith("run.")
    if event.stream.startswith("task."):
        path = event.stream.split(".", 2)[-1]
    else:
        path = data.get("path", "") if isinstance(data.get("path"), str) else ""
    return Fact(
        event.type,
        data,
        path,
        event.id,
        event.position,
        event.time,
        event.cause,
        event.trace,
        decided and event.seen > 0,
    )


def run_of(event: Event) -> str:
    """Return the id of the run that an event belongs to, "" if none."""
    if event.run:
        return event.run
    family, _, rest = event.stream.partition(".")
    return rest.partition(".")[0] if family in ("run", "task", "request") else ""


def is_waiting(task: TaskState) -> bool:
    """Tell whether a task waits for a human's word."""
    asked = task.phase == "reported" and task.report is not None and task.report.outcome == "needs_human"
    return asked or task.phase == "parked"


def report_of(fact: Fact) -> Report:
    """Read an outcome event `task.<outcome>` of whatever shape its writer gave it."""
    data, kind = fact.data, fact.type.partition(".")[2]
    evidence = data.get("evidence")
    kept = tuple(item for item in evidence if isinstance(item, dict)) if isinstance(evidence, list) else ()
    return Report(
        kind if kind in ("succeeded", "nothing_to_do", "needs_human") else "failed",  # type: ignore[arg-type]
        value=data.get("value"),
        evidence=kept,
        reason=text(data.get("reason")),
        error=data.get("error"),
        message=text(data.get("message")),
        question=data.get("question"),
        in_doubt=data.get("in_doubt") is True,
    )


def text(value: Any) -> str:
    """Return a text, "" for anything that isn't one: what agents and clients write may be of any shape."""
    return value if isinstance(value, str) else ""
