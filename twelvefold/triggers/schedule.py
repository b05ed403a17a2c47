"""Schedules: what the log says of each, and what is due now.

Owns the facts `trigger.set` (a schedule was first seen, or has changed) and `trigger.fired` (its run was started), in
the stream `trigger.<name>`. Keeps: a time is fired once, whoever and however many look at the clock, and however often
they die; of times that nobody was there for only the last is fired, once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from ..bus.client import BusClient
from ..cron import last_due, next_due
from ..eventstore.errors import VersionConflict
from ..project_file import Schedule
from .starting import Started, Starter


class _Known(msgspec.Struct, frozen=True):
    """What stands in the log of a schedule: up to when it has been looked after, and in which words it is known."""

    version: int = 0
    words: str = ""
    after: datetime = datetime.min.replace(tzinfo=UTC)


class ScheduleClock:
    """One schedule of a project file. `now` tells the time, in UTC."""

    def __init__(self, client: BusClient, schedule: Schedule, now: Callable[[], datetime]) -> None:
        self.schedule = schedule
        self._client = client
        self._now = now
        self._stream = f"trigger.{schedule.name}"
        self._words = f"{schedule.cron} {schedule.time_zone}"
        self._known: _Known | None = None

    @property
    def due(self) -> datetime | None:
        """When it is due next, as far as is known; None before it was looked after for the first time."""
        known = self._known
        return None if known is None else next_due(self.schedule.cron, self.schedule.time_zone, known.after)

    def look_after(self, starter: Starter) -> tuple[Started, str, int] | None:
        """Start what is due, and return the run, the time (RFC 3339), and how many times before it were missed."""
        known = self._known or self._read()
        if known.words != self._words:
            known = self._set(known)
        passed = last_due(self.schedule.cron, self.schedule.time_zone, known.after, self._now())
        if passed is None:
            self._known = known
            return None
        moment, missed = passed
        due = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        # The run first: a crash between the two finds it by its key, and only notes it then.
        started = starter.on_time(self.schedule, self.schedule.name, due)
        data = {"name": self.schedule.name, "due": due, "missed": missed, "run": started.run, "key": started.key}
        try:
            event = self._client.emit(
                "trigger.fired", data, stream=self._stream, expected_version={self._stream: known.version}
            )
        except VersionConflict:
            # Somebody else looks after it too, and has noted this time or a later one.
            self._known = None
            return None
        self._known = _Known(event.version, self._words, moment)
        return started, due, missed

    def _read(self) -> _Known:
        """Fold the schedule's facts, the latest first: those before the last that was set no longer matter."""
        version, fired = 0, None
        for event in self._client.read(stream=self._stream, reverse=True):
            version = version or event.version
            data = event.data if isinstance(event.data, dict) else {}
            if event.type == "trigger.fired" and fired is None:
                fired = _moment(data.get("due"))
            elif event.type == "trigger.set" and isinstance(data.get("words"), str):
                since = _moment(data.get("since")) or datetime.fromtimestamp(event.time / 1e9, UTC)
                return _Known(version, data["words"], max(fired, since) if fired else since)
        return _Known(version)

    def _set(self, known: _Known) -> _Known:
        """Note that the schedule is known from now on: it is due at its first time after this moment."""
        since = self._now()
        schedule = {"name": self.schedule.name, "cron": self.schedule.cron, "time_zone": self.schedule.time_zone}
        data = {**schedule, "words": self._words, "since": since.isoformat()}
        try:
            event = self._client.emit(
                "trigger.set", data, stream=self._stream, expected_version={self._stream: known.version}
            )
        except VersionConflict:
            return self._read_again()
        return _Known(event.version, self._words, since)

    def _read_again(self) -> _Known:
        known = self._read()
        return known if known.words == self._words else self._set(known)


def _moment(text: object) -> datetime | None:
    """Read a moment as it stands in a fact; None for what is none."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
