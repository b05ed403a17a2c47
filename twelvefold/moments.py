"""Moments as people write them (`5m`, `2026-01-31T12:00:00Z`), and the positions in the log that they stand for.

Positions and times grow together (the log stamps times that never decrease), so a moment is found by halving. Pure but
for the reads of the log it is given.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

from .errors import MomentInvalid
from .eventstore.event import Event

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN_S_MAX = 100 * 366 * 86_400


class Readable(Protocol):
    """The part of a log that is needed to find a position."""

    @property
    def head(self) -> int:
        """The position of the last event."""

    def read(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Read one page."""


def parse_moment(text: str, now_ns: int) -> int:
    """Return the nanoseconds since the epoch that a text stands for; raises MomentInvalid.

    A span (`90s`, `5m`, `1h30m`, `2d`) counts back from now; anything else is ISO 8601, in UTC unless it says so.
    """
    stripped = text.strip()
    if stripped == "now":
        return now_ns
    spans = _SPAN.findall(stripped)
    if spans and "".join(number + unit for number, unit in spans) == stripped:
        seconds = sum(float(number) * _UNIT_S[unit] for number, unit in spans)
        if seconds > _SPAN_S_MAX:
            raise MomentInvalid(text)
        return now_ns - int(seconds * 1_000_000_000)
    try:
        moment = datetime.fromisoformat(stripped)
    except ValueError:
        raise MomentInvalid(text) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def position_before(log: Readable, time_ns: int) -> int:
    """Return the position of the last event earlier than a time, 0 where there is none."""
    low, high = 0, log.head
    while low < high:
        middle = (low + high + 1) // 2
        page = log.read(after=middle - 1, limit=1)
        if page and page[0].time < time_ns:
            low = middle
        else:
            high = middle - 1
    return low
