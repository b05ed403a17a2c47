"""What the runs that a fork comes from have recorded of one of its tasks.

Owns reading it: what stands below the cut, which is the task's own past, and the record that layers which aren't live
are answered from. Leaves serving to `effects`. Keeps: what comes after a fork's own beginning is none of its past, so
that the same is found however often the task is delivered, whatever its parent goes on to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..eventstore.event import Event

if TYPE_CHECKING:
    from .effects import Call
    from .journal import ForkOrigin, Journal

MODEL, TOOLS = "model", "tools"
_RESULTS = ("effect.completed", "effect.failed")


def layer_of(call: Call) -> str | None:
    """Return the layer that a call belongs to; None for a value that a task notes for itself, which touches nothing."""
    if call.kind == "model":
        return MODEL
    is_noted = call.kind == "value" and call.effect == "read" and not call.name.startswith("state.")
    return None if is_noted else TOOLS


class _Attempt(msgspec.Struct):
    """What one attempt has recorded: results by key, and those of models by what was asked, in their order."""

    results: dict[str, Event] = {}
    replies: dict[str, list[Event]] = {}


class Past:
    """The ancestors' events of the task at a path. `attempt` is the number of the one that is made now."""

    def __init__(self, journal: Journal, origin: ForkOrigin, path: str, attempt: int) -> None:
        self.origin = origin
        self._attempt = attempt
        self._runs: list[tuple[int, int, list[Event]]] = []
        if origin.inherited or {MODEL, TOOLS} - set(origin.live):
            for one in reversed(origin.lineage):
                events = [event for event in journal.history(f"task.{one.run}.{path}") if event.position <= one.record]
                self._runs.append((one.until, one.record, events))
        self._attempts: dict[int, _Attempt] | None = None

    @property
    def parent(self) -> str:
        """The run that was forked."""
        return self.origin.lineage[0].run

    def below(self) -> Iterator[Event]:
        """Yield what the task has recorded up to the cut, oldest first."""
        for until, _, events in self._runs:
            yield from (event for event in events if event.position <= until)

    def is_live(self, call: Call) -> bool:
        """Tell whether a call of which nothing is recorded may be done."""
        layer = layer_of(call)
        return layer is None or layer in self.origin.live

    def carried(self, key: str) -> Event | None:
        """Return the result, known after the cut, of what one of the carried requests had begun before it."""
        causes = set(self.origin.carries)
        for _, _, events in self._runs:
            for event in events:
                if event.type in _RESULTS and event.cause.hex() in causes and _data(event).get("key") == key:
                    return event
        return None

    def replied(self, call: Call, nth: int) -> Event | None:
        """Return what a model replied below the cut to one of the carried requests, asked the same word for word.

        So a task that is asked of another model now still begins with the replies that it had.
        """
        asked = request_of_model(call)
        causes, known, replies = set(self.origin.carries), dict[str, str](), list[Event]()
        for event in self.below() if asked else ():
            data = _data(event) if event.cause.hex() in causes else {}
            if request := _request(data):
                known[str(data.get("key"))] = request
            if event.type in _RESULTS and known.get(str(data.get("key"))) == asked:
                replies.append(event)
        return replies[nth] if nth < len(replies) else None

    def find(self, call: Call, nth: int) -> Event | None:
        """Return the recorded result of a call: of the same attempt, else of a later one, else of an earlier one.

        What models have replied is also found by what they were asked, word for word: the `nth` equal one, from 0.
        """
        if self._attempts is None:
            self._attempts = self._read()
        order = sorted(self._attempts, key=lambda number: (number < self._attempt, abs(number - self._attempt)))
        for number in order:
            if found := self._attempts[number].results.get(call.key):
                return found
        if asked := request_of_model(call):
            for number in order:
                replies = self._attempts[number].replies.get(asked, [])
                if nth < len(replies):
                    return replies[nth]
        return None

    def _read(self) -> dict[int, _Attempt]:
        """Sort all results by the attempt that they belong to."""
        numbers: dict[bytes, int] = {}
        attempts: dict[int, _Attempt] = {}
        asked: dict[tuple[bytes, str], str] = {}
        for _, _, events in self._runs:
            for event in events:
                data = _data(event)
                if event.type == "task.started" and isinstance(data.get("attempt"), int):
                    numbers[event.cause] = data["attempt"]
                if not event.type.startswith("effect."):
                    continue
                number = numbers.setdefault(event.cause, len(numbers) + 1)
                attempt = attempts.setdefault(number, _Attempt({}, {}))
                key = str(data.get("key"))
                request = _request(data)
                if request:
                    asked[event.cause, key] = request
                if event.type in _RESULTS:
                    attempt.results[key] = event
                    if request := asked.get((event.cause, key), ""):
                        attempt.replies.setdefault(request, []).append(event)
        return attempts


def request_of_model(call: Call) -> str:
    """Return the hash of what a model is asked by a call, "" for any other call."""
    asked = call.parameters.get("request") if call.kind == "model" and isinstance(call.parameters, dict) else None
    return asked if isinstance(asked, str) else ""


def _request(data: dict[str, Any]) -> str:
    """Return the hash of what a model was asked, where an event says it."""
    parameters = data.get("parameters")
    request = parameters.get("request") if data.get("kind") == "model" and isinstance(parameters, dict) else None
    return request if isinstance(request, str) else ""


def _data(event: Event) -> dict[str, Any]:
    """Return the data of an event; of one that was forgotten nothing is known."""
    data = event.data
    return data if isinstance(data, dict) else {}
