"""The read model of the inbox: what waits for a human, in runs and beside them. Pure.

Agrees with `orchestration/inbox.py`, which folds the open runs anew; a test holds the two together. Beside runs wait
deliveries, watches and projections that were parked: nothing of them is lost, and nothing goes on by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from ..eventstore.event import Event
from .projection import Projection, data_of, keepable, number, task_of, text
from .runs import ENDS

#: How many digits of an event's id name what it asks.
ID_LENGTH = 12
#: What parked work may wait for under its own name; all else is stuck.
_KINDS = ("approval", "in_doubt", "compensation")
_AGAIN, _OVER = ("retry", "approve"), ("done", "give_up", "reject")
_PARKED = ("delivery.parked", "watch.parked", "projection.parked")


class Item(msgspec.Struct, frozen=True):
    """One thing that waits. `kind` is question, approval, in_doubt, compensation, stuck, or parked; `takes` lists the
    answers that count (none: any); `expires_ns` is when the `default` counts as the answer, if there is one.
    """

    id: str
    kind: str
    agent: str | None
    reason: str | None
    question: Any
    takes: tuple[Any, ...]
    since_ns: int
    expires_ns: int | None = None
    default: Any = None
    position: int = 0


class Waiting(msgspec.Struct, frozen=True):
    """What waits in one run, by the paths of its tasks; `parked` tells why a task was parked, asked about or not."""

    items: dict[str, Item] = {}
    parked: dict[str, str] = {}


class Inbox(Projection[Waiting | None]):
    """All that waits for a human, by run, and under `@` what waits beside runs."""

    name = "inbox"
    types = ("human.*", "task.parked", "task.requested", "task.cancelled", "task.failed", "task.nothing_to_do",
             *sorted(ENDS), *_PARKED, "projection.resumed")  # fmt: skip
    key_names = ("run",)
    columns = ("id", "kind", "run", "path", "reason", "since")
    by_run = True

    def keys(self, event: Event) -> Iterable[str]:
        """Return the run; for what was parked beside runs the stream that tells it."""
        if event.type in _PARKED or event.type == "projection.resumed":
            # A task that can't be handed out is its run's to deal with.
            of_task = event.type == "delivery.parked" and event.run and data_of(event).get("queue") is not False
            return () if of_task else (f"@/{event.stream}",)
        if event.stream.startswith("task."):
            return ()
        run = task_of(event)[0]
        return (run,) if run else ()

    def initial(self, key: str) -> Waiting | None:
        """Return nothing that waits."""
        return None

    def apply(self, state: Waiting | None, event: Event) -> Waiting | None:
        """Return what waits after an event; None where nothing does."""
        kind, data = event.type, data_of(event)
        if kind in _PARKED:
            return _parked_beside(state or Waiting(), event, data)
        if kind in ENDS or kind == "projection.resumed":
            return None
        path = text(data.get("path"))
        if kind == "task.parked":
            known = state or Waiting()
            return replace(known, parked={**known.parked, path: text(data.get("reason"))})
        if kind == "human.requested":
            known = state or Waiting()
            return replace(known, items={**known.items, path: _item(known, path, event, data)})
        if state is None or (path not in state.items and path not in state.parked):
            return state
        if kind == "human.answered" and not _counts(state, path, data):
            return state
        items = {place: item for place, item in state.items.items() if place != path}
        parked = {place: reason for place, reason in state.parked.items() if place != path}
        return Waiting(items, parked) if items or parked else None

    def shown(self, key: str, state: Waiting | None) -> Iterable[dict[str, Any]]:
        """Return each thing that waits."""
        for path, item in (state.items if state is not None else {}).items():
            place = {"run": key, "path": path} if not key.startswith("@/") else {"run": None, "path": key[2:]}
            yield {**place, **msgspec.to_builtins(item)}


def _item(known: Waiting, path: str, event: Event, data: dict[str, Any]) -> Item:
    reason, takes = text(data.get("reason")), data.get("takes")
    if path in known.parked:
        why = known.parked[path]
        kind = why if why in _KINDS else "stuck"
    else:
        kind = "in_doubt" if reason == "in_doubt" and takes else "question"
    return Item(
        event.id.hex()[:ID_LENGTH],
        kind,
        text(data.get("agent")) or None,
        reason or None,
        keepable(data.get("question")),
        tuple(keepable(takes)) if isinstance(takes, list) else (),
        int(number(data.get("since"))) or event.time,
        int(number(data.get("expires"))) or None,
        keepable(data.get("default")),
        event.position,
    )


def _counts(state: Waiting, path: str, data: dict[str, Any]) -> bool:
    """Tell whether an answer is one to what is asked now, and one that counts."""
    item = state.items.get(path)
    question, answer = text(data.get("question")), data.get("answer")
    if item is None or (question and not question.startswith(item.id) and not item.id.startswith(question)):
        return False
    if path in state.parked:
        return answer in _OVER or (answer in _AGAIN and any(one in _AGAIN for one in item.takes))
    return not item.takes or answer in item.takes


def _parked_beside(state: Waiting, event: Event, data: dict[str, Any]) -> Waiting:
    about = {name: data.get(name) for name in ("group", "watch", "projection", "position", "type") if data.get(name)}
    error = text(data.get("error"))[:500]
    id = event.id.hex()[:ID_LENGTH]
    item = Item(id, "parked", None, error or None, keepable(about), (), event.time, position=event.position)
    return replace(state, items={**state.items, id: item})
