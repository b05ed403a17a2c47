"""What becomes of an event whose watch handler fails: tried again with backoff, then parked, visibly. Pure."""

from __future__ import annotations

import msgspec

from ..eventstore.event import Event, NewEvent
from ..eventstore.ids import derived_id

ATTEMPTS_MAX = 5
BACKOFF_S = 0.2
#: How often the pause is doubled: parking itself may have to wait for a disk that is full.
BACKOFFS_MAX = 8

_encode = msgspec.json.Encoder().encode


class Retry:
    """The attempts at one event; `due` is when to try again."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.attempts = 0
        self.due = 0.0

    def failed(self, now: float) -> bool:
        """Note a failure; return False when there will be no further attempt."""
        self.attempts += 1
        self.due = now + BACKOFF_S * 2 ** min(self.attempts - 1, BACKOFFS_MAX)
        return self.attempts < ATTEMPTS_MAX


def parked_event(watch: str, instance: str, retry: Retry, error: BaseException) -> NewEvent:
    """Return the event that says that a watch gave up on an event; an equal one each time."""
    event = retry.event
    facts = {
        "watch": watch, "instance": instance, "position": event.position, "event": event.id.hex(), "type": event.type,
        "attempts": retry.attempts, "error": f"{type(error).__name__}: {error}"[:4000],
    }  # fmt: skip
    return NewEvent(
        type="watch.parked",
        payload=_encode(facts).decode(),
        stream=f"projection.{watch}" if watch else "projection",
        id=derived_id(watch or instance, str(event.position), "watch.parked"),
        run=event.run,
        cause=event.id,
        trace=event.trace,
    )
