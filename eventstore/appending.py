"""Judging a group of appends and building its rows: the log's hot loop.

Works optimistically: ids are taken for new, and the file's unique index says if one was not; then, and where an
expected version doesn't hold, the whole group is judged again with a look-up of every id. Writes nothing itself and
changes nothing but the group it returns, so that a failed commit leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import starmap
from typing import Any

import msgspec

from .blob_names import blobs_named
from .chain import pack
from .check import (
    INTEGER_MAX,
    PAYLOAD_SIZE_MAX,
    SHALLOW_SIZE_MAX,
    append_fault,
    fault_of,
    good_names,
    good_runs,
    is_good_name,
    is_good_run,
    is_good_trace,
    is_too_deep,
    skip_json,
)
from .errors import DuplicateConflict, InvalidEvent, TwelvefoldError, VersionConflict
from .event import Event, NewEvent
from .log import Append, Appended
from .memory_log import same_content
from .names import prefixes

Row = tuple[Any, ...]
#: The ids of a group that the log has already.
Known = Mapping[bytes, Event]
#: Why a request adds nothing: a refusal, or its events as they stand already (in the log, or as an index of `rows`).
Before = TwelvefoldError | list[Event | int]
_fields_of = msgspec.structs.astuple
_TYPE, _ID = 4, 3
_INTEGER_END = INTEGER_MAX + 1


class LooksKnown(Exception):
    """A group cannot be judged without looking up its ids."""


class Group:
    """What a group of appends comes to: rows, versions, marks and blob names to write, and each request's result."""

    def __init__(self, head: int, hash: bytes, now: int, version_of: Callable[[str], int]) -> None:
        self.rows: list[Row] = []
        self.versions: dict[str, int] = {}
        self.marks: dict[str, str | None] = {}
        self.joined: dict[str, list[str]] = {}
        self.blobs: list[tuple[str, int]] = []
        self.frees: list[int] = []
        self.head = head
        self.hash = hash
        self.now = now
        #: Whether every row is a plain fact: to, run, cause, trace and seen are empty.
        self.is_plain = True
        #: The size of all payloads to write, in bytes.
        self.size = 0
        self._version_of = version_of
        #: A refusal, what was there before, or the half-open range of `rows` that a request became.
        self._outcomes: list[Before | tuple[int, int]] = []
        self._index_of: dict[bytes, int] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.rows or self.marks or self.joined or self.frees)

    def judge(self, requests: Sequence[Append], known: Known | None) -> None:
        """Judge requests in turn; `known` holds the group's ids that the log has, or None to be optimistic."""
        for request in requests:
            start = len(self.rows)
            before = self._judge_one(request, known)
            if before is None and known is not None:
                self._index_of.update((row[_ID], start + n) for n, row in enumerate(self.rows[start:]))
            self._outcomes.append((start, len(self.rows)) if before is None else before)

    def results(self) -> list[Appended | TwelvefoldError]:
        """Return what became of each request, once the group is committed."""
        events = list(starmap(Event, self.rows))
        results: list[Appended | TwelvefoldError] = []
        for outcome in self._outcomes:
            if isinstance(outcome, tuple):
                results.append(Appended(events[outcome[0] : outcome[1]], True))
            elif isinstance(outcome, list):
                old = [events[event] if isinstance(event, int) else event for event in outcome]
                results.append(Appended(old, False))
            else:
                results.append(outcome)
        return results

    def type_heads(self) -> dict[str, int]:
        """Return the last position of this group under each pattern that its types fall under, but for `*`."""
        exact = {row[_TYPE]: row[0] for row in self.rows}
        heads: dict[str, int] = {}
        for type, position in exact.items():
            for pattern in prefixes(type)[1:]:
                heads[pattern] = max(position, heads.get(pattern, 0))
        return heads

    def version(self, stream: str) -> int:
        """Return a stream's version with the group's events counted in."""
        version = self.versions.get(stream)
        return self._version_of(stream) if version is None else version

    def _judge_one(self, request: Append, known: Known | None) -> Before | None:
        """Add one request's rows and return None, or add nothing and return its refusal or what was there before."""
        marks, joined = request.marks, request.joined
        if known is not None or request.expected_version or marks or joined or len(request.events) != 1:
            fault = self._fault_of(request)
            if fault is not None:
                return fault
        if known is not None:
            before = self._known_before(request, known)
            if before is not None:
                if request.keeps_marks and isinstance(before, list):
                    self._mark(request)
                return before
        for stream, expected in request.expected_version.items():
            actual = self.version(stream)
            if actual != expected:
                if known is None:
                    raise LooksKnown
                return VersionConflict(stream, expected, actual)
        fault = self._add(request)
        if fault is None and (marks or joined or request.frees):
            self._mark(request)
        return fault

    def _mark(self, request: Append) -> None:
        """Take in what a request changes beside its events."""
        self.marks.update(request.marks)
        self.frees += request.frees
        for name, text in request.joined.items():
            texts = self.joined.get(name)
            if texts is None:
                self.joined[name] = [text]
            else:
                texts.append(text)

    def _fault_of(self, request: Append) -> TwelvefoldError | None:
        """Judge the form of an append as a whole; its events' own form is judged where rows are made of them."""
        marks = {**request.marks, **request.joined} if request.marks and request.joined else None
        fault = append_fault(request.source, marks or request.marks or request.joined)
        if fault is None and len(request.events) > 1:
            ids = {event.id for event in request.events}
            if len(ids) < len(request.events):
                return InvalidEvent(_first_repeated(request.events), "id", "occurs twice in one append")
        return fault

    def _known_before(self, request: Append, known: Known) -> Before | None:
        """Return where a request's events stand already, a conflict, or None where every id is new."""
        for index, new in enumerate(request.events):
            fault = fault_of(new, index)
            if fault is not None:
                return fault
        pairs: list[tuple[NewEvent, Event]] = []
        found: list[Event | int] = []
        for new in request.events:
            pending = self._index_of.get(new.id)
            old = known.get(new.id) if pending is None else Event(*self.rows[pending])
            if old is not None:
                pairs.append((new, old))
                found.append(old if pending is None else pending)
        if not pairs:
            return None
        if len(pairs) < len(request.events):
            return DuplicateConflict(pairs[0][0].id.hex(), pairs[0][1].position)
        for new, old in pairs:
            if not same_content(new, old):
                return DuplicateConflict(new.id.hex(), old.position)
        return found

    def _add(self, request: Append) -> TwelvefoldError | None:
        """Make rows of a request's events; where one is malformed, take them all back."""
        rows, versions, source, now = self.rows, self.versions, request.source, self.now
        position, previous, start, blobs = self.head, self.hash, len(self.rows), len(self.blobs)
        size = 0
        if source and source not in good_names and (fault := append_fault(source, {})) is not None:
            return fault
        for new in request.events:
            type, payload, stream, id, schema, to, run, cause, trace, seen = _fields_of(new)
            if not stream:
                stream = type.partition(".")[0]
            is_plain = not (to or run or cause or trace or seen)
            try:
                text = payload.encode()
                skip_json(text)
                well_formed = (
                    (type in good_names or is_good_name(type)) and (stream in good_names or is_good_name(stream))
                    and len(id) == 16 and 1 <= schema < _INTEGER_END
                    and (is_plain or (
                        (run in good_runs or is_good_run(run)) and (not to or to in good_names)
                        and (not cause or len(cause) == 16)
                        and (not trace or is_good_trace(trace)) and 0 <= seen < _INTEGER_END))
                    and (len(text) <= SHALLOW_SIZE_MAX or (len(text) <= PAYLOAD_SIZE_MAX and not is_too_deep(payload)))
                )  # fmt: skip
            except (UnicodeEncodeError, msgspec.DecodeError, RecursionError):
                well_formed = False
            if not well_formed and (fault := fault_of(new, position - self.head)) is not None:
                self._take_back(start, blobs)
                return fault
            if not is_plain:
                self.is_plain = False
            position += 1
            version = versions.get(stream)
            if version is None:
                version = self._version_of(stream)
            versions[stream] = version = version + 1
            size += len(text)
            data_hash = sha256(text).digest()
            header = (position, stream, version, id, type, schema, to, now, source, run, cause, trace, seen)
            previous = sha256(pack((previous, data_hash, header))).digest()
            rows.append((*header, payload, data_hash, previous))
            if '"blob"' in payload:
                self.blobs += [(blob, position) for blob in blobs_named(payload)]
        self.head, self.hash = position, previous
        self.size += size
        return None

    def _take_back(self, start: int, blobs: int) -> None:
        for row in self.rows[start:]:
            self.versions[row[1]] -= 1
        del self.rows[start:]
        del self.blobs[blobs:]


def _first_repeated(events: Sequence[NewEvent]) -> int:
    seen: set[bytes] = set()
    for index, event in enumerate(events):
        if event.id in seen:
            return index
        seen.add(event.id)
    return 0
