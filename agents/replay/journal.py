"""The journal of a task that is run again: what was recorded is read from it, and what is written is compared.

Keeps: nothing leaves the process; a handler that emits what it did emit gets the recorded event back, with its
position, time and id; what it did not emit, or emits no more, is a difference, but for what effects themselves wrote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ...bus.authority import judge
from ...eventstore.blob_files import BlobFiles
from ...eventstore.event import Event, NewEvent
from .found import Found, Parted, RecordEnds, at, first_difference
from .places import Places
from .record import TaskRecord, data_of, loaded

#: Written by the runtime itself, wherever a workspace is laid out or left.
_OF_RUNTIME = ("workspace.",)


class ReplayJournal:
    """Reads the record, and takes what a handler writes."""

    def __init__(self, record: TaskRecord, blobs: Path, places: Places) -> None:
        self.record = record
        self.places = places
        #: Fraction and stage of each progress report.
        self.progressed: list[dict[str, Any]] = []
        self._blobs = BlobFiles(blobs)
        self._put: dict[str, bytes] = {}
        began = record.began[-1].position if record.began else 0
        self._facts = [event for event in record.facts if event.position > began]
        self._own = [event for event in record.own if event.position > began]
        self._taken: set[int] = set()

    def append(self, events: Sequence[NewEvent], expected_version: Mapping[str, int] | None = None) -> Sequence[Event]:
        """Take events, and return the recorded ones that are equal to them; raises Parted, RecordEnds, ReservedFamily.

        Versions were judged when the recorded ones were appended.
        """
        return [self._take(event) for event in events]

    def append_soon(self, event: NewEvent) -> None:
        """Take an event."""
        self._take(event)

    def history(self, stream: str) -> Sequence[Event]:
        """Return what is recorded of the task's stream, in the run and in those that it was forked from."""
        own = f"task.{self.record.request.run}.{self.record.path}"
        return self.record.history if stream == own else self.record.past.get(stream, [])

    def newest(self, stream: str, limit: int) -> Sequence[Event]:
        """Return the last events of a stream, the newest first."""
        return [*self.history(stream)][-1 : -limit - 1 : -1]

    def first(self, stream: str) -> Event | None:
        """Return the first event of a stream: of the run's, of one that it was forked from, or of the task's own."""
        return next((one for one in (*self.record.firsts, *self.history(stream)) if one.stream == stream), None)

    def put_blob(self, data: bytes) -> str:
        """Hold bytes in memory."""
        digest = hashlib.sha256(data).hexdigest()
        self._put[digest] = data
        return digest

    def get_blob(self, digest: str) -> bytes:
        """Return bytes that were held, or a stored blob; raises BlobMissing or BlobDamaged."""
        return self._put[digest] if digest in self._put else self._blobs.get(digest)

    def _take(self, event: NewEvent) -> Event:
        if event.type == "task.progressed":
            self.progressed.append(msgspec.json.decode(event.payload))
            return _made(event)
        if event.type.startswith(_OF_RUNTIME):
            return _made(event)
        if refusal := judge("agent", [event], {0: event.stream if event.stream.startswith("task.") else None}):
            raise refusal
        wanted = self.places.as_recorded(msgspec.json.decode(event.payload))
        alike = [one for one in self._waiting() if (one.type, one.stream) == (event.type, event.stream)]
        for one in alike:
            if first_difference(one.data, wanted, "data") is None:
                self._taken.add(one.position)
                return one
        if self.record.outcome is None:
            raise RecordEnds
        if alike:
            place = first_difference(alike[0].data, wanted, "data")
            assert place is not None
            raise Parted(at(alike[0], *place))
        after = self._waiting() or [self.record.outcome]
        note = f"{event.type} is emitted, which it was not"
        raise Parted(at(after[0], "fact", None, {"type": event.type, "data": wanted}, note))

    def _waiting(self) -> list[Event]:
        own = [event for event in self._own if event.type == "effect.in_doubt"]
        return [event for event in (*self._facts, *own) if event.position not in self._taken]

    def left(self, is_doing: Any) -> Found | None:
        """Return the first fact that was emitted and is not any more; `is_doing` tells what effects wrote."""
        for event in self._waiting():
            if event.type != "effect.in_doubt" and not is_doing(event.position):
                got = {"type": event.type, "data": loaded(event, self)}
                return at(event, "fact", got, None, f"{event.type} was emitted, and is not any more")
        return self._stages(is_doing)

    def _stages(self, is_doing: Any) -> Found | None:
        """Compare the stages that were reported: how often one is, depends on time; that one is at all, does not."""
        reported = [event for event in self._own if event.type == "task.progressed"]
        known = [data_of(event) for event in reported]
        stages = [one.get("stage") for one in known]
        for one in self.progressed:
            if one["stage"] not in stages:
                after = reported[0] if reported else self.record.outcome
                assert after is not None
                return at(after, "data.stage", stages[0] if stages else None, one["stage"], "another stage is reported")
        today = iter(self.progressed)
        for event, said in zip(reported, known, strict=True):
            if is_doing(event.position, event.time):
                return None  # from here on nobody knows who said what
            if not any(one == said for one in today):
                seen = [one for one in self.progressed if one["stage"] == said.get("stage")]
                if not seen:
                    return at(event, "data.stage", said.get("stage"), None, "a stage is not reported any more")
                return at(event, "data.progress", said.get("progress"), seen[0]["progress"])
        return None


class JournalThen(ReplayJournal):
    """The same as it was before the last delivery began."""

    def history(self, stream: str) -> Sequence[Event]:
        """Return what was recorded of a stream until then."""
        began = self.record.began[-1].position if self.record.began else 0
        found = super().history(stream)
        return [event for event in found if event.position < began] if found is self.record.history else found


def _made(event: NewEvent) -> Event:
    """Return an event that is nowhere, for a caller that gets one back."""
    return Event(
        0, event.stream, 0, event.id, event.type, event.schema, event.to, 0, "", event.run, event.cause, event.trace,
        0, event.payload, b"", b"",
    )  # fmt: skip
