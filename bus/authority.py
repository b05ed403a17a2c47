"""Who may write what: the reserved families of types and streams, judged for one request of one sender. Pure.

Everything not named here is free. The sender's deliveries are given as the set of task streams that they open.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from ..eventstore.event import Event, NewEvent
from ..eventstore.names import NAME_LENGTH_MAX
from ..eventstore.run import FORKED
from .errors import ReservedFamily

ROLES = ("client", "agent", "orchestrator", "supervisor")

#: First tokens of types and streams that are not free.
RESERVED = frozenset(
    {"run", "timer", "task", "process", "effect", "workspace", "human", "request", "delivery", "group"}
)
REQUESTS = frozenset({
    "run.pause_requested", "run.resume_requested", "run.cancel_requested", "run.rollback_requested", "human.answered",
    "run.forget_requested",
})  # fmt: skip


class _TaskPath(msgspec.Struct):
    path: str


class _Cut(msgspec.Struct):
    parent: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    at: Annotated[int, msgspec.Meta(ge=1)]


#: Types and streams that were found free, so that most events need no splitting; bounded.
_free: set[str] = {""}
_FREE_MAX = 20_000
_RUN_STREAM = re.compile(r"run\.[0-9a-f]{32}")
_FIRST = ("run.requested", FORKED)
_decode_path = msgspec.json.Decoder(_TaskPath).decode
_decode_cut = msgspec.json.Decoder(_Cut).decode


def task_stream(event: Event) -> str | None:
    """Return the stream that a delivery of this event opens to its holder, None unless it is a task's request."""
    if event.type != "task.requested" or not event.run or event.stream != f"run.{event.run}" or event.payload is None:
        return None
    try:
        path = _decode_path(event.payload).path
    except msgspec.DecodeError:
        return None
    return f"task.{event.run}.{path}"


def is_free(events: Sequence[NewEvent]) -> bool:
    """Tell whether all of these events are free: anybody may append them."""
    for event in events:
        if (event.type not in _free and not _is_free_name(event.type)) or (
            event.stream not in _free and not _is_free_name(event.stream)
        ):
            return False
    return True


def _is_free_name(name: str) -> bool:
    if name.partition(".")[0] in RESERVED:
        return False
    if len(name) <= NAME_LENGTH_MAX:
        if len(_free) >= _FREE_MAX:
            _free.clear()
        _free.add(name)
    return True


def judge(role: str, events: Sequence[NewEvent], holds: Mapping[Any, str | None]) -> ReservedFamily | None:
    """Return why a sender may not append these events, or None where it may.

    The values of `holds` are the task streams that the sender's deliveries open to it.
    """
    if is_free(events):
        return None
    task_streams = {stream for stream in holds.values() if stream is not None}
    for event in events:
        stream = event.stream or event.type.partition(".")[0]
        reason = _refused(role, event.type, stream, task_streams)
        if reason is not None:
            return ReservedFamily(event.type, stream, role, reason)
    return None


def first_of_run(events: Sequence[NewEvent]) -> dict[str, int]:
    """Return the expected versions that make each `run.requested` and `run.forked` the first event of its run."""
    return {event.stream: 0 for event in events if event.type in _FIRST}


def cut_fault(events: Sequence[NewEvent], head: int) -> str | None:
    """Return what is wrong with where a fork begins, None where nothing is: its parent's part lies in the log."""
    for event in events:
        if event.type == FORKED:
            try:
                cut = _decode_cut(event.payload)
            except msgspec.DecodeError as error:
                return f"{FORKED}: {error}"
            if cut.at > head or event.stream == f"run.{cut.parent}":
                return f"{FORKED}: a run is forked from another one, at a position that the log has (up to {head})"
    return None


def _refused(role: str, type: str, stream: str, task_streams: Collection[str]) -> str | None:
    """Return the broken rule, or None."""
    family = type.partition(".")[0]
    place = stream.partition(".")[0]
    if family not in RESERVED and place not in RESERVED:
        return None
    if family == "delivery" or place == "group":
        return "it is the bus's own"
    if family == "process" or place == "process":
        return None if role == "supervisor" and family == place else "process.* is the supervisor's"
    if place == "request":
        return _request_refused(role, type, task_streams)
    if place == "task":
        if family not in ("task", "effect", "workspace") and type != "human.requested":
            return "a task's stream takes task.*, effect.*, workspace.* and human.requested only"
        if type == "task.requested":
            return "tasks are requested by the orchestrator"
        return None if stream in task_streams else "the sender holds no delivery of that task"
    if type in _FIRST and not _RUN_STREAM.fullmatch(stream):
        return "a run is requested, or forked, in run.<id>, an id of 32 hex digits"
    if type == FORKED:
        return "runs are forked from outside of tasks" if role == "agent" or task_streams else None
    if type == "run.requested":
        return None
    if role != "orchestrator":
        return f"{family if family in RESERVED else place}.* is reserved"
    return None if place in ("run", "timer", "human") else "the orchestrator writes into run.<id> only"


def _request_refused(role: str, type: str, task_streams: Collection[str]) -> str | None:
    """Judge an event for `request.<run>`."""
    if type not in REQUESTS:
        return "request.<run> takes requests about a run and human.answered only"
    if role == "agent" or task_streams:
        return "requests about a run come from outside of its tasks"
    return None
