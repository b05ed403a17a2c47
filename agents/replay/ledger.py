"""The ledger of a task that is run again: every effect is served from the record, and none is ever done.

Owns telling a call from all that was recorded: same key, same declared effect, in the same order. Keeps: a call of
which nothing is recorded ends the handler, as a difference, or at the end of the record where the task had none.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import msgspec

from ...eventstore.event import Event
from ..effects import Call, EffectLedger, Recorded
from ..errors import EffectInDoubt
from ..fork_errors import RecordedMiss
from ..journal import Journal, TaskRequest
from ..tool import Effect
from .found import Found, Parted, RecordEnds, at, first_difference
from .places import Places
from .record import TaskRecord, data_of, loaded

_RESULTS = ("effect.completed", "effect.failed")
#: Why a task of a fork ended that asked a recorded layer for what isn't there; the second of a compensation.
MISSED = ("recorded_miss", "not_live")


class _Effect(msgspec.Struct):
    """One recorded effect: where it began and ended, and what it was called with."""

    key: str
    begun: Event
    ended: Event | None = None
    served: bool = False

    @property
    def name(self) -> str:
        """Kind and name."""
        return ":".join(self.key.split(":")[:2])


class ReplayLedger(EffectLedger):
    """Serves the recorded effects of one request; `concurrent` is set by the context where calls may overlap."""

    def __init__(self, request: TaskRequest, journal: Journal, record: TaskRecord, places: Places) -> None:
        super().__init__(request, journal)
        self.record = record
        self.places = places
        self.concurrent = False
        self.served_count = 0
        self.order: list[_Effect] = []
        self._effects: dict[str, _Effect] = {}
        self._main = threading.current_thread()
        for event in record.own:
            if not event.type.startswith("effect.") or event.type == "effect.in_doubt":
                continue
            key = data_of(event)["key"]
            if event.type == "effect.intended":
                # Told again by a later delivery, it began where it was told first.
                self._effects.setdefault(key, _Effect(key, event))
            else:
                self._effects.setdefault(key, _Effect(key, event)).ended = event

    @property
    def exhausted(self) -> bool:
        """Whether all that was recorded has been served."""
        return all(one.served for one in self._effects.values() if one.ended is not None)

    def call(self, kind: str, name: str, parameters: Any, effect: Effect) -> Call:
        """Number a call and give it its key, by its parameters as they were when it was recorded."""
        self.concurrent |= threading.current_thread() is not self._main
        return super().call(kind, name, self.places.as_recorded(parameters), effect)

    def served(self, call: Call) -> Recorded:
        """Return what is recorded for a call; raises EffectInDoubt as the first time, Parted, RecordEnds."""
        known = self._effects.get(call.key)
        try:
            recorded = super().served(call)
        except RecordedMiss:
            if self.record.outcome is not None and data_of(self.record.outcome).get("reason") in MISSED:
                raise
            raise self._unrecorded(call) from None
        if recorded is None:
            if known is not None and known.ended is None:
                raise RecordEnds
            raise self._unrecorded(call)
        self.served_count += 1
        if known is not None and known.ended is not None and not known.served:
            known.served = True
            self.order.append(known)
            data = loaded(known.ended, self.journal)
            if data.get("effect") != call.effect:
                raise Parted(at(known.begun, "data.effect", data.get("effect"), call.effect, f"of {known.name}"))
            if known.ended.position > self.places.since:
                self.last_commits |= self.places.follow(data)
        return msgspec.structs.replace(recorded, result=self.places.as_here(recorded.result))

    def doubt(self, call: Call) -> EffectInDoubt:
        """Return the error of an effect whose end nobody knows; where the record knows it, that is a difference."""
        if call.key not in self._doubted and self.record.outcome is None:
            raise RecordEnds
        return super().doubt(call)

    def _take_over(self, call: Call, event: Event) -> Recorded:
        """Never come to: what another run's record was asked for stands in this one's own, or is asked for anew."""
        raise self._unrecorded(call)

    def intend(self, call: Call) -> None:
        """Never come to: what isn't served isn't done."""
        raise self._unrecorded(call)

    def _unrecorded(self, call: Call) -> BaseException:
        if self.record.outcome is None:
            return RecordEnds()
        name = f"{call.kind}:{call.name}"
        waiting = [one for one in self._effects.values() if not one.served and one.ended is not None]
        same = next((one for one in waiting if one.name == name), None)
        today = {"call": name, "parameters": call.parameters}
        if same is not None:
            recorded = loaded(same.begun, self.journal).get("parameters")
            if place := first_difference(recorded, call.parameters, "data.parameters"):
                return Parted(at(same.begun, *place, f"{name} is called with other parameters"))
            return Parted(at(same.begun, "data.key", same.key, call.key, f"{name} is called again"))
        if waiting:
            got = {"call": waiting[0].name, "parameters": data_of(waiting[0].begun).get("parameters")}
            return Parted(at(waiting[0].begun, "effect", got, today, f"{name} is called, which it was not"))
        return Parted(at(self.record.outcome, "effect", None, today, f"{name} is called, which it was not"))

    def left(self) -> Found | None:
        """Return the first difference that shows once a handler has ended: a call not made, or in another order."""
        required = [one for one in self._effects.values() if one.ended is not None and not self._is_within(one)]
        missing = next((one for one in required if not one.served), None)
        if missing is not None:
            got = {"call": missing.name, "parameters": data_of(missing.begun).get("parameters")}
            return at(missing.begun, "effect", got, None, f"{missing.name} was called, and is not any more")
        return self._disorder()

    def _disorder(self) -> Found | None:
        """Return where calls come in another order than they were recorded in, where one came after the other."""
        recorded = [one for one in sorted(self._effects.values(), key=_end) if one.served]
        called = [one for one in self.order if one.ended is not None]
        if self.concurrent:
            # What only reads is recorded when there is time to, so that its place tells nothing of calls side by side.
            recorded, called = ([one for one in some if one.begun is not one.ended] for some in (recorded, called))
        if any(later.begun.position < _end(earlier) for earlier, later in pairwise(recorded)):
            return None
        for one, other in zip(called, recorded, strict=True):
            if one is not other:
                return at(other.begun, "effect", {"call": other.name}, {"call": one.name}, "in another order")
        return None

    def is_doing(self, position: int, time: int | None = None) -> bool:
        """Tell whether an event may have been written by what an effect does, which is not done again.

        What only reads emits nothing, but it may report progress: where `time` is given, it is looked at as well.
        """
        for one in self._effects.values():
            end = one.ended.position if one.ended is not None else float("inf")
            if one.begun is not one.ended and one.begun.position < position < end:
                return True
            if time is None or one.begun is not one.ended:
                continue
            if position < end and _took_ns(one.begun) >= one.begun.time - time:
                return True
        return False

    def _is_within(self, one: _Effect) -> bool:
        """Tell whether an effect was one of another's doing."""
        return any(
            other is not one
            and other.ended is not None
            and other.begun is not other.ended
            and other.begun.position < one.begun.position
            and _end(one) < other.ended.position
            for other in self._effects.values()
        )


#: What only reads, and facts beside it, may wait so long before they are written together.
_QUEUED_NS = 500_000_000


def _end(one: _Effect) -> int:
    return one.ended.position if one.ended is not None else one.begun.position


def _took_ns(ended: Event) -> int:
    """Return for how long an effect that only reads may have been at work before its result was recorded."""
    elapsed_s = data_of(ended).get("elapsed_s")
    return int((elapsed_s if isinstance(elapsed_s, int | float) else 0.0) * 1e9) + _QUEUED_NS
