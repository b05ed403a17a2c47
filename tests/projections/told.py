"""A run's events as they would stand in a log, told in a few words, for tests of what is folded from them."""

from __future__ import annotations

from typing import Any

from twelvefold.eventstore.event import Event, NewEvent, new_event
from twelvefold.eventstore.ids import derived_id
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.memory_log import MemoryLog

MS = 1_000_000
BEGIN = 1_780_000_000 * 1_000_000_000


class Told:
    """A log in which something happens every millisecond, or when `at_ms` says; `run` is the run that it is about."""

    def __init__(self, run: str = "0" * 31 + "7", trace: str = "") -> None:
        self.run, self.trace = run, trace
        self.now_ms = 0
        self.log = MemoryLog(clock=lambda: BEGIN + self.now_ms * MS)
        self.source = "orchestrator.1.a"

    def add(self, type: str, data: Any = None, *, at_ms: int | None = None, source: str = "", **fields: Any) -> Event:
        """Append one event and return it."""
        self.now_ms = self.now_ms + 1 if at_ms is None else at_ms
        fields = {"run": self.run, "trace": self.trace, "stream": f"run.{self.run}"} | fields
        new: NewEvent = new_event(type, data, id=derived_id("", str(self.log.head), "told"), **fields)
        return self.log.append(Append(events=[new], source=source or self.source)).events[0]

    def requested(self, plan: dict[str, Any], **data: Any) -> Event:
        """The run is asked for."""
        return self.add("run.requested", {"plan": plan, "labels": {}, **data})

    def task(self, path: str, agent: str, cause: Event | None = None, **data: Any) -> Event:
        """A task is requested."""
        asked = {"path": path, "agent": agent, "attempt": 1, "undo": False, **data}
        return self.add("task.requested", asked, to=agent, cause=cause.id if cause else b"")

    def reported(self, request: Event, type: str, data: Any = None, *, by: str = "echo.1.a", **more: Any) -> Event:
        """Whoever has a task in hands says something of it."""
        path = request.data["path"] if request.payload is not None else more.pop("path")
        return self.add(type, data, stream=f"task.{self.run}.{path}", cause=request.id, source=by, **more)

    def effect(self, request: Event, what: str, key: str = "tool:look:1:0", **data: Any) -> Event:
        """Something is said of an effect."""
        kind, name = key.split(":")[:2]
        more = {name: data.pop(name) for name in ("by", "at_ms") if name in data}
        facts = {"kind": kind, "name": name, "effect": "idempotent", "key": key, **data}
        return self.reported(request, f"effect.{what}", facts, **more)

    @property
    def events(self) -> list[Event]:
        """All of it."""
        return self.log.read(limit=1_000_000)
