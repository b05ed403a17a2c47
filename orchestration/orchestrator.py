"""The process manager: takes the log's events in order, keeps the open runs, and says what is to be appended.

Owns the state of every open run and its timers, and the rule that each input is decided once, in position order.
Does no I/O: `process` feeds it from the bus, appends what `take` returns, and reads a run anew where an append was
refused. Invariant: a run's state is what its events in the log give by `run_fold`, plus the batches not yet taken
back; so forgetting a run and loading it again is always right.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ..bus import run_marks
from ..eventstore.event import Event, NewEvent, new_event
from ..eventstore.ids import derived_id
from ..eventstore.large_values import Load
from ..eventstore.run import FORKED
from .decider import Decision, decide, decline
from .evolve import INPUT_TYPES
from .memo import Memo
from .run_fold import fold_run, since_fork
from .run_state import Fact, Run, Timer, fact_of, run_of

#: What one that was away may have to begin with: new runs, and ended ones that are to be taken back.
ASKED = ("run.requested", FORKED, "run.rollback_requested")
_RUN_ID = re.compile(r"[0-9a-f]{32}")


class Batch(msgspec.Struct, frozen=True):
    """One atomic append to a run's stream. `withdrawn` has ids of requests that are taken back in the same commit."""

    run: str
    events: list[NewEvent]
    expected_version: dict[str, int]
    marks: dict[str, str | None]
    withdrawn: list[bytes]


class Restore(msgspec.Struct, frozen=True):
    """Files of a run to be laid out as of the position `to`; `order` is the position of the input that it follows."""

    run: str
    to: int
    order: int


class _Open(msgspec.Struct):
    """An open run: its state, the version of its stream after all batches made, the last event that is folded."""

    run: Run
    version: int
    folded: int
    memo: Memo = msgspec.field(default_factory=Memo)


class Orchestrator:
    """All open runs. `versions` says what runs here; it is pinned in each run's first decision.

    `load` puts in values that are held as blobs, so that deciders see them whole (see `run_state.fact_of`).
    """

    def __init__(self, versions: Mapping[str, Any] | None = None, load: Load | None = None) -> None:
        self._versions = dict(versions or {})
        self._load_values = load
        self._open: dict[str, _Open] = {}
        self._timers: list[tuple[int, str, str]] = []
        self._made: list[Batch] = []
        #: Files that are to be restored, by run: ordered in the log, and nothing came of it yet.
        self.restores: dict[str, Restore] = {}
        #: Runs that somebody else has written to, or whose append was refused: to be read and loaded anew.
        self.stale: set[str] = set()

    @property
    def open_runs(self) -> int:
        """How many runs are open."""
        return len(self._open)

    @property
    def next_due(self) -> int | None:
        """When the next timer is due, in wall-clock nanoseconds; it may have been cancelled since."""
        return self._timers[0][0] if self._timers else None

    def receive(self, event: Event) -> None:
        """Take the next event of the log, in position order; events that no run waits for cost nothing."""
        own_stream = event.stream.startswith("run.")
        if not own_stream and event.type not in INPUT_TYPES:
            return
        id = run_of(event)
        if id in self.stale:
            return
        found = self._open.get(id)
        if event.type == "run.restoring" and own_stream and event.seen:
            self._order(event)
        if found is None:
            forked = event.type == FORKED and event.version == 1
            if (forked or event.type == "run.rollback_requested") and _RUN_ID.fullmatch(id):
                self.stale.add(id)  # its events, or those that it shares with its parent, are read
                return
            if event.type != "run.requested" or event.version != 1 or not _RUN_ID.fullmatch(id):
                return
            found = self._open[id] = _Open(Run(id), version=1, folded=0)
        if event.position <= found.folded:
            return
        if own_stream and event.version > found.version:
            self.refused(id)
        elif event.type in INPUT_TYPES and not event.seen:
            self._decide(found, fact_of(event, self._load_values))

    def load(self, id: str, events: Iterable[Event], *, unable: str = "") -> None:
        """Take all events of one run, in position order, and decide what its undecided inputs ask for.

        `unable` says why the log would not take those decisions (larger than a payload may be, say): the run fails.
        """
        self.stale.discard(id)
        self._open.pop(id, None)
        fold = fold_run(id, events, self._load_values)
        head = fold.at_head
        if not _RUN_ID.fullmatch(id) or head.status == "unknown" or fold.run.status == head.status == "ended":
            return
        if head.rollback is not None and head.rollback.restoring and head.rollback.files is None:
            self.restores[id] = Restore(id, head.rollback.to, head.rollback.restoring)
        fold = since_fork(fold)
        found = self._open[id] = _Open(fold.run, version=fold.run.version, folded=0)
        self._watch_timers(id, found.run.timers.values())
        if unable and fold.pending:
            self._keep(found, decline(fold.at_head, fold.pending[-1], unable))
        else:
            for fact in fold.pending:
                self._decide(found, fact)
        found.folded = max(found.folded, fold.run.last)

    def refused(self, id: str) -> None:
        """Forget a run whose append was refused, or that somebody else has written to: it is to be loaded anew."""
        self._open.pop(id, None)
        self._made = [batch for batch in self._made if batch.run != id]
        self.stale.add(id)

    def fire_due(self, now_ns: int) -> None:
        """Append a `timer.fired` for each timer that is due, in due order; its effect follows when it is received."""
        while self._timers and self._timers[0][0] <= now_ns:
            due, id, name = heapq.heappop(self._timers)
            found = self._open.get(id)
            timer = found.run.timers.get(name) if found else None
            if found is None or timer is None or timer.due != due:
                continue
            event = new_event(
                "timer.fired",
                {"timer": name, "kind": timer.kind, "path": timer.path, "due": due},
                stream=f"run.{id}",
                id=derived_id(id, timer.path, f"timer.fired/{name}", due),
                run=id,
                cause=timer.cause,
                trace=found.run.trace,
            )
            self._append(found, [event], {}, [])

    def restored(self, restore: Restore, facts: Mapping[str, Any]) -> None:
        """Append what came of restoring files, unless that is known already; its effect follows when it is received."""
        found = self._open.get(restore.run)
        rollback = found.run.rollback if found is not None else None
        if found is None or rollback is None or rollback.restoring != restore.order or rollback.files is not None:
            return
        event = new_event(
            "run.restored",
            {**facts, "to": restore.to, "order": restore.order},
            stream=f"run.{restore.run}",
            id=derived_id(restore.run, "", "run.restored", restore.order),
            run=restore.run,
            cause=derived_id(restore.run, "", "run.restoring", restore.order),
            trace=found.run.trace,
        )
        self._append(found, [event], {}, [])

    def _order(self, event: Event) -> None:
        """Take an order to restore files that stands in the log."""
        data = event.data if event.payload is not None else None
        if isinstance(data, dict) and isinstance(data.get("to"), int):
            self.restores[event.run] = Restore(event.run, data["to"], event.seen)

    def take(self) -> list[Batch]:
        """Return the appends made since the last call, in the order in which they must be made."""
        made, self._made = self._made, []
        return made

    def _decide(self, found: _Open, fact: Fact) -> None:
        found.folded = fact.position
        self._keep(found, decide(found.run, fact, self._versions, found.memo))

    def _keep(self, found: _Open, decision: Decision) -> None:
        # Of the first event of its stream nothing has been decided yet.
        before, run, started = found.run, decision.run, found.version > 1
        found.run = run
        self._watch_timers(run.id, decision.timers)
        if not decision.events:
            return
        marks: dict[str, str | None] = {}
        if not started:
            marks[run_marks.SEEN] = str(run.first)
        if run.status == "ended":
            self._open.pop(run.id, None)
            marks[f"{run_marks.PREFIX}{run.id}"] = None
        elif not started or "resting" in (before.status, run.status) or before.status == "ended":
            marks[f"{run_marks.PREFIX}{run.id}"] = run_marks.mark_of(run.first, resting=run.status == "resting")
        self._append(found, decision.events, marks, decision.withdrawn)

    def _append(
        self, found: _Open, events: list[NewEvent], marks: dict[str, str | None], withdrawn: list[bytes]
    ) -> None:
        id = found.run.id
        self._made.append(Batch(id, events, {f"run.{id}": found.version}, marks, withdrawn))
        found.version += len(events)

    def _watch_timers(self, id: str, timers: Iterable[Timer]) -> None:
        for timer in timers:
            heapq.heappush(self._timers, (timer.due, id, timer.name))
