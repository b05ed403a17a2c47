"""The state of one run, as deciders read it and `evolve` makes it out of events.

Owns the shapes; how an event is read stands in `facts`, what each fact does to the state in `evolve`. What has a wrong
shape counts as absent. Shapes of which a run has thousands can't be part of a reference cycle, so the garbage collector
is kept from looking at them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from immutables import Map
from msgspec.structs import replace

from .budget import Budget
from .facts import SMALL_SIZE_MAX as SMALL_SIZE_MAX
from .facts import Fact as Fact
from .facts import fact_of as fact_of
from .facts import number as number
from .facts import run_of as run_of
from .facts import text as text
from .plan import PatternFields

#: The ends of a run. `needs_human` is a rest and not among them.
ENDS = frozenset({"succeeded", "nothing_to_do", "failed", "cancelled", "rolled_back"})


_UNSETTLED = frozenset({"requested", "expired", "stopping", "backoff", "ready", "parked"})
_OUT = frozenset({"requested", "expired", "stopping"})


#: Kinds of timers that belong to a task, or to the run; all others are alarms of nodes.
TASK_TIMERS = frozenset({"timeout", "deadline", "retry", "release", "human"})
RUN_TIMERS = frozenset({"run", "budget"})
#: Where a human is asked about files and branches that could not be taken back: no step of a plan has this path.
ROOT_UNDO = "0.undo"
#: What the inputs of one run that are not small may come to, blobs included: it is all held in memory.
HELD_SIZE_MAX = 256 << 20


class Report(msgspec.Struct, frozen=True, gc=False):
    """What became of one attempt at a task. `in_doubt`: it was stopped, and nobody knows how far it came.

    A question may have a time, `expires_s`, after which `default` counts as its answer, or without one the task fails;
    `choices` lists what may be answered, if not anything. `effect` is the one whose end nobody knows, by its key.
    `position` is where in the log it was said, `known_at` where that is known of one that nobody has said.
    """

    outcome: Literal["succeeded", "nothing_to_do", "failed", "needs_human"]
    value: Any = None
    evidence: tuple[dict[str, Any], ...] = ()
    reason: str = ""
    error: Any = None
    message: str = ""
    question: Any = None
    in_doubt: bool = False
    expires_s: float | None = None
    default: Any = msgspec.UNSET
    choices: tuple[Any, ...] = ()
    effect: str = ""
    position: int = 0
    known_at: int = 0


class Asking(msgspec.Struct, frozen=True):
    """What a human is asked for a task, as `human.requested` said it; `id` is that event's, `since` and `expires` are
    wall-clock nanoseconds (0: no end), `takes` lists the answers that count, () for any.
    """

    id: bytes
    reason: str = ""
    question: Any = None
    takes: tuple[Any, ...] = ()
    since: int = 0
    expires: int = 0
    default: Any = msgspec.UNSET


Phase = Literal["requested", "expired", "stopping", "reported", "planned", "backoff", "ready", "parked"]


class Ancestor(msgspec.Struct, frozen=True, gc=False):
    """A run that a fork comes from: what it did up to `until` is the fork's own past, and what it did up to `record`
    may be answered with where a fork's layers are recorded.
    """

    run: str
    until: int
    record: int


class TaskState(msgspec.Struct, frozen=True, gc=False):
    """One task of a run.

    Phases: requested → reported | planned | expired → stopping (withdrawn, its holder may still work) → reported;
    then backoff → ready → requested for another attempt, or parked for a human.
    `failures` counts failed attempts since the first one or a human's last word; `doubt`: an attempt was stopped, and
    nobody knows how far it came; `overdue`: its deadline has passed; `final`: a human has said how it ended;
    `approved`: a human has let it be requested; `level` counts the tasks above it that answered with plans.
    `answers` are what humans have answered, each with its question; `resolved` what they know of effects in doubt;
    `asking` is what a human is asked now. `carried` has the requests of ancestors, by their ids in hex, with which the
    attempt was begun before the run was forked; `moved`: it is to be requested again for that reason.
    """

    path: str
    agent: str = ""
    phase: Phase = "requested"
    attempt: int = 0
    failures: int = 0
    request: bytes = b""
    report: Report | None = None
    plan: PatternFields | None = None
    answers: tuple[dict[str, Any], ...] = ()
    resolved: tuple[dict[str, Any], ...] = ()
    asking: Asking | None = None
    reason: str = ""
    effect: str = "idempotent"
    undo: bool = False
    doubt: bool = False
    overdue: bool = False
    final: bool = False
    approved: bool = False
    level: int = 0
    carried: tuple[str, ...] = ()
    moved: bool = False


class Timer(msgspec.Struct, frozen=True, gc=False):
    """A timer that is set: `due` in wall-clock nanoseconds. It belongs to a task, to a node of the plan, or to the run.

    Kinds that are known here: timeout, deadline, retry, release, human (of a task), run, budget (of the run); patterns
    set others for their nodes.
    """

    name: str
    kind: str
    due: int
    path: str = ""
    attempt: int = 0
    cause: bytes = b""


class Stop(msgspec.Struct, frozen=True):
    """Why a run is being brought to its end before its plan is: by whom or what, and the reason in words."""

    kind: Literal["cancelled", "timeout", "budget", "rolled_back"]
    reason: str = ""


class Rollback(msgspec.Struct, frozen=True):
    """A run being taken back to how it was after the event at `to`, or that was: what was done later is undone.

    `begun` is the input that it was begun for, `restoring` the one for which files were to be restored last, `files`
    what came of that (None until it is known), all by position.
    """

    to: int
    reason: str = ""
    begun: int = 0
    restoring: int = 0
    files: Mapping[str, Any] | None = None


class Spent(msgspec.Struct, frozen=True):
    """What a run has spent of each thing that a budget bounds, but time."""

    tasks: int = 0
    tokens: int = 0
    usd: float = 0.0


class Joined(msgspec.Struct, frozen=True):
    """What was decided of a node whose parts ran beside each other: the numbers of those that count, and of those that
    are not needed any more and are taken back; as its pattern writes them.
    """

    counted: tuple[Any, ...]
    unneeded: tuple[Any, ...]


class Run(msgspec.Struct, frozen=True):
    """Everything that orchestration knows of a run; `first` and `last` are positions, `version` its stream's.

    `open` has the paths of tasks that are not settled, `out` the requests that are with the bus or an agent, by the id
    of the `task.requested`. `levels` bounds how many tasks are out at once by level, the last number for all below,
    and `used` counts those that are, compensations apart;
    `depth_max` how deep tasks may answer with plans. `alarms` tells of each timer that a node has ever set whether it
    has fired; `joined` has the nodes, by path, whose outcome stands although not all of their parts have ended. `held`
    is the size of all inputs that were not small.

    Of a fork, `lineage` has the runs that it comes from, the nearest first, `inherited` the tasks as they stood where
    it was cut, `live` the layers of effects (`model`, `tools`) that are not answered from its ancestors' record;
    `cut_ns` is when the cut was, `carried_ns` how much time had been spent then; `left` has the timers of the cut that
    are to be set again, each due as long after the fork's own beginning, of which `first` and `requested_ns` tell.
    """

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
    budget: Budget = Budget()
    spent: Spent = Spent()
    held: int = 0
    timeout_s: float | None = None
    levels: tuple[int, ...] = ()
    used: tuple[int, ...] = ()
    depth_max: int = 3
    tasks: Map[str, TaskState] = Map()
    open: Map[str, None] = Map()
    out: Map[bytes, str] = Map()
    timers: Map[str, Timer] = Map()
    alarms: Map[str, bool] = Map()
    joined: Map[str, Joined] = Map()
    undone: Map[str, None] = Map()
    stop: Stop | None = None
    rollback: Rollback | None = None
    pause_asked: bool = False
    paused: bool = False
    resting_on: tuple[str, ...] = ()
    outcome: str = ""
    end: Mapping[str, Any] = {}
    lineage: tuple[Ancestor, ...] = ()
    inherited: Map[str, TaskState] = Map()
    live: tuple[str, ...] = ()
    cut_ns: int = 0
    carried_ns: int = 0
    left: Map[str, Timer] = Map()


def is_waiting(task: TaskState) -> bool:
    """Tell whether a task waits for a human's word."""
    asked = task.phase == "reported" and task.report is not None and task.report.outcome == "needs_human"
    return asked or task.phase == "parked"


def tree_order(path: str) -> tuple[tuple[int, str], ...]:
    """Return a key that orders paths as a tree is read: by number, a compensation after the steps."""
    return tuple((int(part), "") if part.isdigit() else (1 << 60, part) for part in path.split("."))


def report_of(fact: Fact) -> Report:
    """Read an outcome event `task.<outcome>` of whatever shape its writer gave it."""
    data, kind = fact.data, fact.type.partition(".")[2]
    expires_s = number(data.get("expires_s"))
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
        position=fact.position,
        expires_s=expires_s if kind == "needs_human" else None,
        default=data.get("default", msgspec.UNSET) if kind == "needs_human" else msgspec.UNSET,
        choices=tuple(choices) if isinstance(choices := data.get("choices"), list) else (),
        effect=text(data.get("effect")),
    )


def with_report(run: Run, task: TaskState, report: Report, phase: Phase = "reported") -> Run:
    """Return the state in which an attempt at a task has ended so."""
    failures = task.failures + (report.outcome == "failed")
    # How far a task came that is being stopped will be known when it is released.
    doubt = task.doubt or (report.in_doubt and phase != "stopping")
    return with_task(run, replace(task, phase=phase, report=report, failures=failures, doubt=doubt))


def with_task(run: Run, task: TaskState) -> Run:
    """Return the state with a task in it, and its two indexes of what is going on."""
    path, before = task.path, run.tasks.get(task.path)
    open, out = run.open, run.out
    if task.phase in _UNSETTLED or is_waiting(task):
        open = open.set(path, None) if path not in open else open
    elif path in open:
        open = open.delete(path)
    if before is not None and before.request in out and before.request != task.request:
        out = out.delete(before.request)
    if task.phase in _OUT:
        out = out.set(task.request, path) if task.request not in out else out
    elif task.request in out:
        out = out.delete(task.request)
    used = _used(run, before, out, task)
    return replace(run, tasks=run.tasks.set(path, task), open=open, out=out, used=used)


def _used(run: Run, before: TaskState | None, out: Map[bytes, str], task: TaskState) -> tuple[int, ...]:
    """Return how many tasks are out on each level, where levels have limits."""
    change = (task.request in out) - (before is not None and before.request in run.out)
    if not run.levels or task.undo or not change:
        return run.used
    used = [*(run.used or (0,) * len(run.levels))]
    used[min(task.level, len(used) - 1)] += change
    return tuple(used)
