"""Deciding stored runs again: does what is decided today say what was recorded?

The engine of `replay --check`. Each input of a run is decided again on the state that the recorded events give, and
what comes out is compared with what stands in the log, event by event, up to the first difference. Nothing is appended
and nothing is done. What a decider of another version has decided is not compared, but counted. Pure: events come in,
in position order, and one run at a time is held.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from heapq import merge
from typing import Any

import msgspec

from ..eventstore.event import Event, NewEvent
from ..eventstore.large_values import Load
from ..eventstore.run import FORKED, Readable, read_run
from .decider import decide, decider_versions, decline
from .errors import PatternUnknown
from .evolve import INPUT_TYPES, evolve
from .large_decisions import shrunk
from .memo import Memo
from .plan import PatternFields, nodes_of, pattern_of
from .run_fold import RunFold, follow
from .run_state import Fact, Run, fact_of, run_of, text

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_PAGE = 1000
_FIELDS = ("type", "id", "stream", "to", "run", "cause", "trace")
_NOTHING = "no decision"


class Difference(msgspec.Struct, frozen=True):
    """Where a decision and its repetition part.

    `position` is that of the recorded decision, or of the input where nothing was recorded. `field` is a field of the
    event (`to`, `data.input.path`), or `decision` where one of the two has none at all. `expected` is what is decided
    today, `got` what was recorded; `decider` the version of each pattern that had a part in it.
    """

    position: int
    field: str
    expected: Any
    got: Any
    decider: Mapping[str, int] = {}


class Redecided(msgspec.Struct, frozen=True):
    """What became of deciding a run again: how many inputs were, and how many recorded decisions came out the same.

    `older` counts decisions of deciders of other versions than today's; `pending` the inputs at the end that nothing
    was decided for yet. `problem` says why a run, or the rest of it, could not be decided again.
    """

    run: str
    inputs: int = 0
    decisions: int = 0
    older: int = 0
    pending: int = 0
    difference: Difference | None = None
    problem: str = ""

    @property
    def agrees(self) -> bool:
        """Whether nothing speaks against the record: no difference, and nothing that could not be looked at."""
        return self.difference is None and not self.problem


def redecide(run: str, events: Iterable[Event], *, load: Load | None = None, remember: bool = True) -> Redecided:
    """Decide a run again, from its events in position order, up to the first difference.

    `load` puts in what payloads hold as blobs; a log whose runs have large values can't be decided again without it.
    Without `remember` each input is decided with nothing known of the ones before but the state: slow, and the same.
    """
    again = _Again(run, load, remember=remember)
    for event in events:
        again.take(event)
        if again.over:
            break
    return again.result()


def redecide_all(log: Readable, *, until: int | None = None, load: Load | None = None) -> Iterator[Redecided]:
    """Decide every run of a log again, in the order in which they were requested or forked, one at a time."""
    begun = merge(*(_of_type(log, type, until) for type in ("run.requested", FORKED)), key=lambda one: one.position)
    for event in begun:
        family, _, run = event.stream.partition(".")
        if family == "run" and event.version == 1 and _RUN_ID.fullmatch(run):
            yield redecide(run, read_run(log, run, until=until), load=load)


def _of_type(log: Readable, type: str, until: int | None) -> Iterator[Event]:
    after = 0
    while page := list(log.read(after=after, until=until, limit=_PAGE, type=type)):
        yield from page
        after = page[-1].position


class _Again:
    """One run while it is decided again."""

    def __init__(self, run: str, load: Load | None, *, remember: bool) -> None:
        self.over = False
        self._run = Run(run)
        #: What a fork shares with its parent, which is decided again where it was decided.
        self._shared = RunFold(self._run)
        self._load = load
        self._remember = remember
        self._memo = Memo()
        self._today = decider_versions()
        #: The version of each pattern's decider that decided last, as far as the record tells.
        self._in_force: dict[str, int] = {}
        #: The patterns of which the run is made, as far as is known.
        self._patterns: set[str] = set()
        self._versions: dict[str, Any] = {}
        self._inputs: list[Fact] = []
        self._batch: list[tuple[Event, Fact]] = []
        self._told = Redecided(run)

    def take(self, event: Event) -> None:
        """Take the next event of the run; of a fork first those that it shares with its parent, whose own they are."""
        if run_of(event) != self._run.id:
            self._shared = follow(self._shared, event, self._load)
            if event.payload is None and (event.seen or event.type in INPUT_TYPES):
                self._stop(problem=f"the event at position {event.position} was forgotten")
            return
        if event.type == FORKED and not self._batch:
            self._run = self._shared.at_head
            self._patterns.update(_patterns_of(self._run.plan))
        decided = event.seen > 0 and event.stream == f"run.{self._run.id}"
        if self._batch and not (decided and event.seen == self._batch[0][0].seen):
            self._judge_batch()
        if self.over or not (decided or event.type in INPUT_TYPES):
            return
        if event.payload is None:
            self._stop(problem=f"the event at position {event.position} was forgotten")
        elif decided:
            self._batch.append((event, fact_of(event, self._load)))
        else:
            self._inputs.append(fact_of(event, self._load))

    def result(self) -> Redecided:
        """Say what came out, once all events were taken."""
        if self._batch and not self.over:
            self._judge_batch()
        # What follows upon the end of a run means nothing to it.
        pending = 0 if self.over or self._run.status == "ended" else len(self._inputs)
        return msgspec.structs.replace(self._told, pending=pending)

    def _judge_batch(self) -> None:
        """Decide the inputs up to the one that the batch answers; those before it were answered by nothing."""
        batch, self._batch = self._batch, []
        first, seen = batch[0][0], batch[0][0].seen
        due = [fact for fact in self._inputs if fact.position <= seen]
        self._inputs = self._inputs[len(due) :]
        if not due or due[-1].position != seen:
            expected = due[-1].position if due else "an input that nothing was decided for yet"
            self._stop(Difference(first.position, "seen", expected, seen, _decider_of(batch[0][1])))
            return
        last = batch[-1][1]
        refused = last.type == "run.failed" and last.data.get("reason") == "undecidable"
        for fact in due:
            if self.over:
                return
            if refused:
                # The log had not taken what was decided: the run was ended as it stood.
                self._run = evolve(self._run, fact)
            elif fact is not due[-1]:
                self._compare(fact, [])
        if refused:
            again = decline(self._run, due[-1], text(last.data.get("error")))
            self._judge(due[-1], batch, again.events, again.run)
        elif not self.over:
            self._compare(due[-1], batch)

    def _compare(self, fact: Fact, batch: Sequence[tuple[Event, Fact]]) -> None:
        """Decide an input again, and compare with what was recorded for it."""
        self._told = msgspec.structs.replace(self._told, inputs=self._told.inputs + 1)
        for _, recorded in batch:
            self._note_versions(recorded)
        try:
            decision = decide(self._run, fact, self._versions, self._memo if self._remember else None)
        except PatternUnknown as error:
            self._stop(problem=error.message())
            return
        self._patterns.update(_patterns_of(decision.run.plan) if self._run.plan is None else ())
        if any(recorded.type == "run.started" for _, recorded in batch) and decision.events[0].type == "run.failed":
            # Not all of its patterns are known here.
            self._stop(problem=msgspec.json.decode(decision.events[0].payload)["error"])
            return
        self._judge(fact, batch, decision.events, decision.run)

    def _note_versions(self, recorded: Fact) -> None:
        """Note which versions were at work, and what the run's first decision has pinned."""
        self._in_force.update(_decider_of(recorded))
        self._patterns.update(_decider_of(recorded))
        pinned = recorded.data.get("versions")
        if recorded.type == "run.started" and isinstance(pinned, dict):
            self._versions = {name: value for name, value in pinned.items() if name != "deciders"}
            self._in_force.update(_versions_in(pinned.get("deciders")))

    def _judge(
        self, fact: Fact, batch: Sequence[tuple[Event, Fact]], expected: Sequence[NewEvent], decided: Run
    ) -> None:
        found = None
        older = any(self._is_older(_decider_of(recorded)) for _, recorded in batch)
        if not older:
            found = _first_difference(fact, batch, shrunk(expected, _put))
            # A pattern may have had its part in it by deciding nothing, which leaves no version behind.
            older = found is not None and self._is_older({name: self._in_force.get(name, 0) for name in self._patterns})
        told = self._told
        if older:
            self._told = msgspec.structs.replace(told, older=told.older + max(1, len(batch)))
        elif found is not None:
            self._stop(found)
            return
        else:
            self._told = msgspec.structs.replace(told, decisions=told.decisions + len(batch))
            self._run = decided
            return
        self._memo = Memo()
        self._run = evolve(self._run, fact)
        for _, recorded in batch:
            self._run = evolve(self._run, recorded)

    def _is_older(self, versions: Mapping[str, int]) -> bool:
        return any(self._today.get(pattern) != version for pattern, version in versions.items())

    def _stop(self, difference: Difference | None = None, problem: str = "") -> None:
        self.over = True
        self._told = msgspec.structs.replace(self._told, difference=difference, problem=problem)


def _first_difference(
    fact: Fact, batch: Sequence[tuple[Event, Fact]], expected: Sequence[NewEvent]
) -> Difference | None:
    for n in range(max(len(batch), len(expected))):
        if n >= len(expected):
            event, recorded = batch[n]
            return Difference(event.position, "decision", _NOTHING, _in_words(event), _decider_of(recorded))
        new, data = expected[n], msgspec.json.decode(expected[n].payload)
        by = _versions_in(data.get("decider"))
        if n >= len(batch):
            position = batch[-1][0].position if batch else fact.position
            return Difference(position, "decision", _in_words(new), _NOTHING, by)
        event, recorded = batch[n]
        by = {**by, **_decider_of(recorded)}
        for field in _FIELDS:
            one, other = getattr(new, field), getattr(event, field)
            if one != other:
                return Difference(event.position, field, _shown(one), _shown(other), by)
        if new.payload != event.payload:
            found = _data_difference(_comparable(new.type, data), _comparable(event.type, recorded.data), "data")
            if found is not None:
                return Difference(event.position, *found, by)
    return None


def _comparable(type: str, data: Any) -> Any:
    """Leave out what a run's first decision pins: which program and deciders ran then is no decision."""
    return {key: value for key, value in data.items() if key != "versions"} if type == "run.started" else data


def _data_difference(expected: Any, got: Any, place: str) -> tuple[str, Any, Any] | None:
    """Return the first place at which two payloads differ, and what stands there in each."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in [*expected, *(key for key in got if key not in expected)]:
            if key not in expected or key not in got:
                return f"{place}.{key}", expected.get(key), got.get(key)
            found = _data_difference(expected[key], got[key], f"{place}.{key}")
            if found is not None:
                return found
        return None
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got, strict=True))
        return next(filter(None, (_data_difference(one, other, f"{place}[{n}]") for n, (one, other) in pairs)), None)
    return None if type(expected) is type(got) and expected == got else (place, expected, got)


def _put(value: bytes) -> str:
    """Name a blob as the one that was stored with the recorded decision is named."""
    return sha256(value).hexdigest()


def _patterns_of(plan: PatternFields | None) -> set[str]:
    return set() if plan is None else {pattern_of(node) for node in nodes_of(plan)}


def _decider_of(recorded: Fact) -> dict[str, int]:
    return _versions_in(recorded.data.get("decider"))


def _versions_in(given: object) -> dict[str, int]:
    if not isinstance(given, dict):
        return {}
    return {str(pattern): version for pattern, version in given.items() if isinstance(version, int)}


def _in_words(event: Event | NewEvent) -> str:
    data = msgspec.json.decode(event.payload or "null")
    path = data.get("path", "") if isinstance(data, dict) else ""
    return f"{event.type} {path}".strip()


def _shown(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
