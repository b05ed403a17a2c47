"""The read model of agents: what each kind of agent was asked, what came of it, and what it is at. Pure.

An agent is named by its queue. Who reports names the request only, so that each request stands for its agent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from ..eventstore.event import Event
from .projection import Alias, Projection, data_of, text

_OUTCOMES = ("succeeded", "nothing_to_do", "failed", "needs_human", "planned")


class AtWork(msgspec.Struct, frozen=True, gc=False):
    """A task that an instance is at."""

    run: str
    path: str
    source: str
    started_ns: int


class AgentRow(msgspec.Struct, frozen=True, tag="agent", tag_field="row"):
    """One agent. Counts of requests, of those that were begun, and of outcomes; `busy_s` is how long tasks took in all,
    from the beginning to the report. `parked` counts tasks that all attempts to hand out have failed, `withdrawn`
    those that were taken back.
    """

    requested: int = 0
    started: int = 0
    succeeded: int = 0
    nothing_to_do: int = 0
    failed: int = 0
    needs_human: int = 0
    planned: int = 0
    parked: int = 0
    withdrawn: int = 0
    busy_s: float = 0.0
    at_work: dict[str, AtWork] = {}
    last_reason: str | None = None
    last_ns: int | None = None


Row = AgentRow | Alias


class Agents(Projection[Row]):
    """All agents, by the name of their queue."""

    name = "agents"
    types = ("task.*", "delivery.parked", "delivery.withdrawn")
    key_names = ("agent",)
    columns = ("agent", "requested", "succeeded", "nothing_to_do", "failed", "needs_human", "busy_s")

    def keys(self, event: Event) -> Iterable[str]:
        """Return the agent of a request, and of all else the request."""
        if event.type == "task.requested":
            return (event.to, f"@{event.id.hex()}") if event.to else ()
        return (f"@{event.cause.hex()}",) if event.cause and not event.stream.startswith("run.") else ()

    def initial(self, key: str) -> Row:
        """Return an agent that was never asked anything."""
        return Alias() if key.startswith("@") else AgentRow()

    def apply(self, state: Row, event: Event) -> Row:
        """Return an agent after it was asked something, or has reported."""
        what = event.type.partition(".")[2]
        if isinstance(state, Alias):
            return Alias(event.to) if event.type == "task.requested" else state
        request = event.cause.hex()
        if what == "requested":
            return replace(state, requested=state.requested + 1, last_ns=event.time)
        if what == "started":
            path = event.stream.split(".", 2)[-1]
            work = AtWork(event.run, path, event.source, event.time)
            at_work = {**state.at_work, request: work}
            return replace(state, started=state.started + 1, at_work=at_work, last_ns=event.time)
        if what in _OUTCOMES or event.type.startswith("delivery."):
            return _over(state, request, what, event)
        return state

    def shown(self, key: str, state: Row) -> Iterable[dict[str, Any]]:
        """Return an agent with what it is at as a list."""
        for row in super().shown(key, state):
            row["at_work"] = list(row["at_work"].values())
            yield row


def _over(row: AgentRow, request: str, what: str, event: Event) -> AgentRow:
    """Return an agent that is not at a task any more."""
    work = row.at_work.get(request)
    at_work = row.at_work if work is None else {id: one for id, one in row.at_work.items() if id != request}
    row = replace(row, at_work=at_work, last_ns=event.time)
    data = data_of(event)
    if event.type.startswith("delivery."):
        if data.get("queue") is False:
            return row
        return replace(row, **{what: getattr(row, what) + 1})
    busy_s = row.busy_s + ((event.time - work.started_ns) / 1e9 if work is not None else 0.0)
    reason = text(data.get("reason")) or row.last_reason
    counted = {what: getattr(row, what) + 1}
    return replace(row, busy_s=round(busy_s, 6), last_reason=reason, **counted)
