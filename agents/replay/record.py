"""What a run's events hold of each task that an agent did: its request, its records, what it said, how it ended.

Owns reading that off the events of one run. Leaves serving it to `served`, and comparing to `rerun`. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from ...eventstore.event import Event
from ...eventstore.large_values import may_hold
from ..code_version import CodeVersion, read_version
from ..journal import Journal, load

#: How a holder settles a task.
OUTCOMES = frozenset(f"task.{one}" for one in ("succeeded", "nothing_to_do", "failed", "needs_human", "planned"))
#: Streams that handlers don't write into.
_NOT_THEIRS = frozenset({"run", "request", "group", "process", "telemetry", "projection", "timer"})


class TaskRecord(msgspec.Struct):
    """What the log holds of one request of a task that an agent began.

    `firsts` are the first events of its run, and of those it was forked from. `history` is the task's stream up to the
    last event of this request, of earlier attempts too, and `past` has that of the task in the runs that it was forked
    from, by the names of the streams; `facts` is what was emitted elsewhere. Without an `outcome` the agent never came
    to an end: it was killed, withdrawn, or is still at work.
    """

    request: Event
    firsts: list[Event]
    history: list[Event]
    facts: list[Event]
    outcome: Event | None = None
    past: dict[str, list[Event]] = {}

    @property
    def path(self) -> str:
        """The task's path."""
        path = data_of(self.request).get("path")
        return path if isinstance(path, str) else ""

    @property
    def queue(self) -> str:
        """The queue that it was asked for in."""
        return self.request.to

    @property
    def own(self) -> list[Event]:
        """The events of the task's stream that belong to this request."""
        return [event for event in self.history if event.cause == self.request.id]

    @property
    def began(self) -> list[Event]:
        """One `task.started` for each delivery that was begun."""
        return [event for event in self.own if event.type == "task.started"]

    @property
    def code(self) -> CodeVersion:
        """Which code did it last, as far as it was recorded."""
        said = [read_version(data_of(event).get("code")) for event in self.began]
        return said[-1] if said else CodeVersion("")

    @property
    def line(self) -> str:
        """The name of the Procfile line, or of whatever process, that did it last."""
        return self.began[-1].source.partition(".")[0] if self.began else ""

    @property
    def ancestors(self) -> list[tuple[str, int]]:
        """The streams of the task in the runs that its run was forked from, and up to where each counts."""
        fork = data_of(self.request).get("fork")
        lineage = fork.get("lineage") if isinstance(fork, dict) else None
        found = [one for one in lineage if isinstance(one, dict)] if isinstance(lineage, list) else []
        known = [(one.get("run"), one.get("record")) for one in found]
        return [(f"task.{run}.{self.path}", until) for run, until in known if isinstance(until, int)]


def task_records(events: Iterable[Event]) -> list[TaskRecord]:
    """Return the tasks of one run that agents began, in the order of their requests; `events` in position order."""
    requests: dict[bytes, Event] = {}
    firsts: dict[str, Event] = {}
    streams: defaultdict[str, list[Event]] = defaultdict(list)
    facts: defaultdict[bytes, list[Event]] = defaultdict(list)
    last: dict[bytes, Event] = {}
    outcomes: dict[bytes, Event] = {}
    for event in events:
        family = event.stream.partition(".")[0]
        if event.version == 1 and family == "run":
            firsts[event.stream] = event
        if event.type == "task.requested":
            requests[event.id] = event
        elif family == "task":
            streams[event.stream].append(event)
            if event.cause in requests:
                last[event.cause] = event
                if event.type in OUTCOMES:
                    outcomes[event.cause] = event
        elif event.cause in requests and family not in _NOT_THEIRS:
            facts[event.cause].append(event)
    found = []
    for id, end in last.items():
        history = [event for event in streams[end.stream] if event.position <= end.position]
        record = TaskRecord(requests[id], list(firsts.values()), history, facts.get(id, []), outcomes.get(id))
        if record.began or record.outcome is not None:
            found.append(record)
    return sorted(found, key=lambda record: record.request.position)


def loaded(event: Event, journal: Journal) -> dict[str, Any]:
    """Return an event's data with what is held as blobs in it."""
    data = data_of(event)
    return load(data, journal) if may_hold(event.payload or "") else data


def data_of(event: Event) -> dict[str, Any]:
    """Return an event's data, an empty object where it is none."""
    data = event.data
    return data if isinstance(data, dict) else {}
