"""The read model of tasks: each task of each run, how it stands, and who had it. Pure.

A light form of what `orchestration/evolve.py` says of tasks; a test holds the two together. Decisions count directly
after the input that they answer, so one that lands behind a report which it did not know of is overtaken by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from ..eventstore.event import Event
from .projection import Alias, Projection, data_of, keepable, task_of, text

#: How tasks stand that are with an agent, or on the way to one.
_OUT = frozenset({"requested", "stopping"})
_AGAIN, _OVER = ("retry", "approve"), ("give_up", "reject")


class TaskRow(msgspec.Struct, frozen=True, gc=False, tag="task", tag_field="row"):
    """One task. `state` is requested, backoff, ready, stopping, open (it has answered with a plan; shown as planned),
    needs_human, or its outcome; `attempts` counts requests.

    `source` is the instance that reported last, `last` the position of the last event. `compensated`: what it did was
    undone; `undo`: it is a compensation itself.
    """

    state: str
    agent: str = ""
    attempts: int = 0
    reason: str | None = None
    message: str | None = None
    name: str | None = None
    source: str | None = None
    requested_ns: int | None = None
    started_ns: int | None = None
    ended_ns: int | None = None
    compensated: bool = False
    undo: bool = False
    last: int = 0
    #: The id of the request at hand, and the position of what was taken as the answer to it.
    request: str = ""
    reported: int = 0
    #: What a human is asked: the event's id, and the answers that count (none: any).
    asked: str | None = None
    takes: tuple[Any, ...] = ()
    parked: bool = False
    overdue: bool = False


Row = TaskRow | Alias | None


class Tasks(Projection[Row]):
    """All tasks, by run and path."""

    name = "tasks"
    types = ("task.*", "timer.set", "timer.fired", "human.*", "delivery.parked", "delivery.withdrawn")
    key_names = ("run", "path")
    columns = ("run", "path", "agent", "state", "attempts", "reason")
    by_run = True
    inherits = True

    def keys(self, event: Event) -> Iterable[str]:
        """Return the task's key; for what the bus says of a delivery that of its request."""
        if event.type.startswith("delivery."):
            return (f"{event.run}/@{event.cause.hex()}",) if event.run and event.cause else ()
        run, path = task_of(event)
        if not run or not path:
            return ()
        if event.type == "task.requested":
            return (f"{run}/{path}", f"{run}/@{event.id.hex()}")
        return (f"{run}/{path}",)

    def initial(self, key: str) -> Row:
        """Return nothing: a task begins with what is decided of it."""
        return Alias() if "/@" in key else None

    def apply(self, state: Row, event: Event) -> Row:
        """Return the task after an event."""
        if isinstance(state, Alias):
            return Alias("/".join(task_of(event))) if event.type == "task.requested" else state
        decided = event.stream.startswith("run.") and event.seen > 0
        if state is None and not (decided and event.type in _BEGIN):
            return None
        step = (_DECIDED if decided else _INPUTS).get(event.type)
        after = state if step is None else step(state or TaskRow("open"), event, data_of(event))
        if after is state or after is None:
            return after
        return replace(after, last=event.position)

    def taken_over(self, state: Row, event: Event) -> Row:
        """Return a task as a fork begins with it: what was under way is requested anew, what was asked asked again."""
        if not isinstance(state, TaskRow):
            return state
        if state.state == "requested":
            return replace(state, state="ready", attempts=state.attempts - 1)
        if state.state == "stopping":
            return replace(state, state="failed", ended_ns=event.time)
        return replace(state, asked=None, takes=()) if state.state == "needs_human" else state

    def shown(self, key: str, state: Row) -> Iterable[dict[str, Any]]:
        """Return a task without what only the fold needs.

        A task that has answered with a plan reads `planned`: what becomes of it is its children's and the run's to
        tell, and `open` would go on saying that it works when all has ended.
        """
        for row in super().shown(key, state):
            told = {name: value for name, value in row.items() if name not in _INTERNAL}
            yield {**told, "state": "planned"} if told.get("state") == "open" else told


_INTERNAL = frozenset({"request", "reported", "asked", "takes", "parked", "overdue"})
_BEGIN = frozenset({"task.requested", "task.failed", "task.nothing_to_do", "task.parked"})


def _requested(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    attempt = data.get("attempt", 1)
    return TaskRow(
        "requested",
        text(data.get("agent")),
        attempt if isinstance(attempt, int) else row.attempts + 1,
        name=text(data.get("name")) or None,
        source=row.source,
        requested_ns=event.time if row.requested_ns is None else row.requested_ns,
        compensated=row.compensated,
        undo=data.get("undo") is True,
        request=event.id.hex(),
        overdue=row.overdue,
    )


def _cancelled(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    reason = text(data.get("reason")) or None
    if row.reported > event.seen:
        # It was answered before the decision landed, which did not know of that: the answer counts, unless it asks.
        if row.state == "needs_human":
            return replace(row, state="failed", reason=reason, asked=None, ended_ns=event.time)
        return row
    if row.state in _OUT and data.get("unsent") is not True:
        return replace(row, state="stopping", reason=reason, asked=None)
    return replace(row, state="failed", reason=reason, asked=None, parked=False, ended_ns=event.time)


def _judged(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    return replace(
        row,
        state=event.type.partition(".")[2],
        agent=row.agent or text(data.get("agent")),
        reason=text(data.get("reason")) or None,
        message=text(data.get("message")) or None,
        ended_ns=event.time,
        parked=False,
    )


def _parked(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    agent, reason = row.agent or text(data.get("agent")), text(data.get("reason")) or None
    undo = row.undo or text(data.get("path")).endswith(".undo")
    return replace(row, state="needs_human", agent=agent, reason=reason, parked=True, undo=undo)


def _asked(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    takes = data.get("takes")
    return replace(row, asked=event.id.hex(), takes=tuple(keepable(takes)) if isinstance(takes, list) else ())


def _expired(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    if "default" in data:
        return replace(row, state="ready", reason=None, asked=None, parked=False)
    return replace(row, state="failed", reason="human_expired", asked=None, parked=False, ended_ns=event.time)


def _compensated(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    return replace(row, compensated=True)


def _timer_set(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    # Past its deadline, of which the decision did not know, it isn't tried again.
    return replace(row, state="backoff") if data.get("kind") == "retry" and not row.overdue else row


def _started(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    if row.state not in _OUT or (event.cause and event.cause.hex() != row.request):
        return row
    return replace(row, started_ns=event.time, source=event.source)


def _reported(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    if row.state not in _OUT or (event.cause and event.cause.hex() != row.request):
        return row
    outcome = event.type.partition(".")[2]
    if outcome == "planned":
        return replace(row, state="open", source=event.source, reported=event.position)
    if outcome == "needs_human" and row.state == "stopping":
        # It isn't asked any more; how far it has come, nobody knows.
        return replace(row, state="failed", source=event.source, ended_ns=event.time, reported=event.position)
    return replace(
        row,
        state=outcome,
        source=event.source,
        reason=text(data.get("reason")) or None,
        message=text(data.get("message")) or None,
        ended_ns=None if outcome == "needs_human" else event.time,
        reported=event.position,
    )


def _delivery_parked(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    if not _is_of_attempt(row, event, data):
        return row
    return replace(row, state="failed", reason="parked", ended_ns=event.time, reported=event.position)


def _delivery_withdrawn(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    if row.state != "stopping" or not _is_of_attempt(row, event, data):
        return row
    return replace(row, state="failed", ended_ns=event.time)


def _is_of_attempt(row: TaskRow, event: Event, data: dict[str, Any]) -> bool:
    """Tell whether the bus speaks of the attempt at hand: queues hand out requests, groups may follow them too."""
    return data.get("queue") is not False and row.state in _OUT and event.cause.hex() == row.request


def _fired(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    kind, attempt = data.get("kind"), text(data.get("timer")).rpartition("/")[2]
    if kind == "deadline":
        row = replace(row, overdue=True)
    if kind == "retry":
        return replace(row, state="ready") if row.state == "backoff" else row
    if kind == "release":
        return replace(row, state="failed", ended_ns=event.time) if row.state == "stopping" else row
    if kind == "deadline" and row.state in ("backoff", "ready"):
        return replace(row, state="failed", ended_ns=event.time)
    if kind == "deadline" or (kind == "timeout" and attempt == str(row.attempts)):
        return replace(row, state="stopping", reason=str(kind)) if row.state == "requested" else row
    return row


def _answered(row: TaskRow, event: Event, data: dict[str, Any]) -> TaskRow:
    """Take a human's word, if it answers what is asked now and is one that counts."""
    question, answer = text(data.get("question")), data.get("answer")
    if row.state != "needs_human" or (question and not (row.asked or "").startswith(question)):
        return row
    if row.parked:
        return _ruled(row, event, answer)
    if row.reason == "in_doubt" and row.takes:
        if answer == "give_up":
            return replace(row, state="failed", asked=None, ended_ns=event.time)
        return replace(row, state="ready", asked=None) if answer in ("done", "retry") else row
    if row.takes and answer not in row.takes:
        return row
    return replace(row, state="ready", asked=None)


def _ruled(row: TaskRow, event: Event, answer: Any) -> TaskRow:
    """Take what a human wants to be done with parked work."""
    if answer in _AGAIN:
        # A task that has ended with its plan can't be tried again; it is asked for other answers then.
        return replace(row, state="ready", asked=None, parked=False) if any(one in _AGAIN for one in row.takes) else row
    if answer == "done":
        ended = {"message": "done by a human", "reason": None}
        return replace(row, state="succeeded", asked=None, parked=False, ended_ns=event.time, **ended)
    if answer in _OVER:
        reason = "rejected" if row.reason == "approval" else row.reason
        return replace(row, state="failed", asked=None, parked=False, ended_ns=event.time, reason=reason)
    return row


_DECIDED = {
    "task.requested": _requested,
    "task.cancelled": _cancelled,
    "task.failed": _judged,
    "task.nothing_to_do": _judged,
    "task.parked": _parked,
    "task.compensated": _compensated,
    "human.requested": _asked,
    "human.expired": _expired,
    "timer.set": _timer_set,
}
_INPUTS = {
    "task.started": _started,
    "task.succeeded": _reported,
    "task.nothing_to_do": _reported,
    "task.failed": _reported,
    "task.needs_human": _reported,
    "task.planned": _reported,
    "delivery.parked": _delivery_parked,
    "delivery.withdrawn": _delivery_withdrawn,
    "timer.fired": _fired,
    "human.answered": _answered,
}
